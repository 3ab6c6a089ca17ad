"""Operators as rules see them, from real .tflite bytes."""

from __future__ import annotations

import pytest
from tflite_models import Net, Op, T, activation, binary, conv, dense, net, shape_constant

from edgekit_targets.ops import OpView, TensorView, view
from edgekit_targets.tflite import read_graph


def views(model: Net) -> tuple[OpView, ...]:
    return view(read_graph(model.build()))


def test_a_convolution() -> None:
    (op,) = views(conv().rename(y="cnn/conv2d/BiasAdd"))
    assert (op.index, op.opcode, op.version, op.custom_code, op.name) == (
        0,
        "CONV_2D",
        3,
        None,
        "cnn/conv2d/BiasAdd",
    )
    feed, weights, bias = op.given
    assert feed == TensorView((1, 8, 8, 3), "INT8", quantized=True, scale=pytest.approx(0.05), zero_point=3)
    assert (weights.constant, weights.quantized, weights.per_channel, weights.values) == (
        True,
        True,
        True,
        None,
    )
    assert (bias.dtype, bias.constant, bias.values) == ("INT32", True, (0, 10, 20, 30))
    assert op.options["stride_w"] == 1
    assert op.computed == (feed,)
    assert op.tensors == (feed, weights, bias, *op.outputs)


def test_who_reads_whom() -> None:
    tensors = {name: activation(1, 8) for name in "xabcy"}
    model = Net(
        tensors,
        (
            Op("RELU", ("x",), ("a",)),
            Op("RELU", ("x",), ("b",)),
            Op("ADD", ("b", "a"), ("c",), "AddOptions"),
            Op("MUL", ("c", "c"), ("y",), "MulOptions"),
        ),
        ("x",),
        ("y",),
    )
    assert [op.reads for op in views(model)] == [(), (), (0, 1), (2,)]


def test_small_integer_constants_are_decoded() -> None:
    model = net(
        "RESHAPE", {"x": activation(1, 4, 8), "shape": shape_constant(1, -1)}, {"y": activation(1, 32)}
    )
    assert views(model)[0].inputs[1] == TensorView((2,), "INT32", constant=True, values=(1, -1))


def test_weights_are_not_decoded() -> None:
    weights = views(dense())[0].inputs[1]
    assert weights is not None
    assert weights.elements == 64
    assert len(weights.values or ()) == 64  # the largest that are
    wider = views(dense(units=5))[0].inputs[1]
    assert wider is not None
    assert wider.values is None


def test_an_optional_input_is_none() -> None:
    model = dense()
    model = model.op(inputs=("x", "weights", None))
    op = views(model)[0]
    assert op.inputs[2] is None
    assert op.input(2) is op.input(7) is None
    assert len(op.given) == 2


@pytest.mark.parametrize(
    ("shape", "signature", "dynamic", "open_batch"),
    [
        ((1, 8, 8, 3), None, False, False),
        ((1, 8, 8, 3), (-1, 8, 8, 3), False, True),
        ((-1, 8, 8, 3), None, False, True),
        ((1, 8, 8, 3), (1, -1, 8, 3), True, False),
        ((1, 1, 1, 3), (-1, -1, -1, 3), True, False),
    ],
)
def test_open_sizes(
    shape: tuple[int, ...], signature: tuple[int, ...] | None, dynamic: bool, open_batch: bool
) -> None:
    feed = views(conv().tensor("x", shape=shape, signature=signature))[0].inputs[0]
    assert feed is not None
    assert (feed.dynamic, feed.open_batch) == (dynamic, open_batch)
    assert feed.elements == 1 * abs(shape[1]) * abs(shape[2]) * 3


def test_a_variable_and_a_fed_constant_are_not_constant() -> None:
    state = T((1, 8), "INT8", 0.05, data=0, variable=True)
    model = net("ADD", {"x": activation(1, 8), "state": state}, {"y": activation(1, 8)}, table="AddOptions")
    assert views(model)[0].inputs[1].constant is False  # type: ignore[union-attr]
    fed = binary().tensor("b", data=0)
    assert views(fed)[0].inputs[1].constant is False  # type: ignore[union-attr]


def test_bytes_of_packed_and_unsized_types() -> None:
    assert TensorView((3, 3), "INT4").bytes == 5
    assert TensorView((3,), "INT32").bytes == 12
    assert TensorView((3,), "STRING").bytes == 0
    assert TensorView((1 << 30, 1 << 30, 1 << 30), "INT8").elements == 1 << 40


def test_a_custom_operator_has_its_own_name() -> None:
    model = net("CUSTOM", {"x": activation(1, 8)}, {"y": activation(1, 8)}, custom_code="FlexErf")
    op = views(model)[0]
    assert (op.opcode, op.custom_code, op.title) == ("CUSTOM", "FlexErf", "FlexErf")
