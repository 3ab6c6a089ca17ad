"""Costs beside numbers computed by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tflite_models import conv, depthwise

from edgekit_targets.cost import cost, macs, parameter_bytes
from edgekit_targets.ops import OpView, TensorView, view
from edgekit_targets.tflite import read_graph


def fed(*shape: int, dtype: str = "INT8") -> TensorView:
    return TensorView(shape, dtype)


def weights(*shape: int, dtype: str = "INT8") -> TensorView:
    return TensorView(shape, dtype, constant=True)


def op(
    opcode: str,
    inputs: tuple[TensorView | None, ...],
    *outputs: TensorView,
    options: Mapping[str, object] | None = None,
) -> OpView:
    return OpView(0, opcode, 1, None, "y", inputs, outputs, options or {})


BIAS = weights(32, dtype="INT32")

BY_HAND = {
    # The first layer of MobileNet: 112 * 112 * 32 outputs, each 3 * 3 * 3 products.
    "conv": (
        op("CONV_2D", (fed(1, 224, 224, 3), weights(32, 3, 3, 3), BIAS), fed(1, 112, 112, 32)),
        10_838_016,
    ),
    # Two groups: a filter sees 16 of the 32 channels, and its shape says so.
    "grouped conv": (op("CONV_2D", (fed(1, 8, 8, 32), weights(32, 3, 3, 16)), fed(1, 8, 8, 32)), 294_912),
    "depthwise": (
        op("DEPTHWISE_CONV_2D", (fed(1, 112, 112, 32), weights(1, 3, 3, 32)), fed(1, 112, 112, 32)),
        3_612_672,
    ),
    # 8 * 8 * 16 inputs, each spread over 2 * 2 positions of 4 channels.
    "transpose conv": (
        op(
            "TRANSPOSE_CONV",
            (weights(4, dtype="INT32"), weights(4, 2, 2, 16), fed(1, 8, 8, 16)),
            fed(1, 16, 16, 4),
        ),
        16_384,
    ),
    "dense": (op("FULLY_CONNECTED", (fed(1, 1024), weights(1000, 1024), None), fed(1, 1000)), 1_024_000),
    "dense on a sequence": (op("FULLY_CONNECTED", (fed(1, 7, 5), weights(3, 5)), fed(1, 7, 3)), 105),
    "batch matmul": (op("BATCH_MATMUL", (fed(2, 4, 8), fed(2, 8, 5)), fed(2, 4, 5)), 320),
    "batch matmul, left adjoint": (
        op("BATCH_MATMUL", (fed(2, 8, 4), fed(2, 8, 5)), fed(2, 4, 5), options={"adj_x": True}),
        320,
    ),
    "conv 3d": (op("CONV_3D", (fed(1, 4, 4, 4, 2), weights(3, 3, 3, 2, 5)), fed(1, 4, 4, 4, 5)), 17_280),
    "conv 3d transpose": (
        op(
            "CONV_3D_TRANSPOSE",
            (weights(5, dtype="INT32"), weights(2, 2, 2, 5, 3), fed(1, 4, 4, 4, 3)),
            fed(1, 8, 8, 8, 5),
        ),
        7_680,
    ),
    "batch left open": (op("FULLY_CONNECTED", (fed(-1, 16), weights(4, 16)), fed(-1, 4)), 64),
    "average pool": (op("AVERAGE_POOL_2D", (fed(1, 8, 8, 4),), fed(1, 1, 1, 4)), 0),
    "add": (op("ADD", (fed(1, 8), fed(1, 8)), fed(1, 8)), 0),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_macs(name: str) -> None:
    operator, expected = BY_HAND[name]
    assert macs(operator) == expected


def lstm(steps: int, width: int, units: int) -> OpView:
    """UNIDIRECTIONAL_SEQUENCE_LSTM without peepholes and projection, time first, batch 1."""
    to_gates = tuple(weights(units, width) for _ in range(4))
    recurrent = tuple(weights(units, units) for _ in range(4))
    biases = tuple(weights(units, dtype="INT32") for _ in range(4))
    state = TensorView((1, units), "INT8")  # a variable, no constant
    inputs = (
        fed(steps, 1, width),
        *to_gates,
        *recurrent,
        None,
        None,
        None,
        *biases,
        None,
        None,
        state,
        state,
    )
    return op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, fed(steps, 1, units))


def test_an_lstm_multiplies_each_weight_at_each_step() -> None:
    assert macs(lstm(steps=28, width=20, units=10)) == 28 * 4 * (20 * 10 + 10 * 10)


@pytest.mark.parametrize(
    "inputs", [(), (fed(1, 8, 8, 3),), (fed(1, 8, 8, 3), None), (fed(1, 8, 8, 3), weights(32))]
)
@pytest.mark.parametrize(
    "opcode",
    ["CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "CONV_3D", "SVDF"],
)
def test_an_operator_without_what_decides_costs_nothing_and_never_fails(
    opcode: str, inputs: tuple[TensorView | None, ...]
) -> None:
    if opcode == "BATCH_MATMUL" and len(inputs) > 0:
        inputs = (fed(3), *inputs[1:])
    assert macs(op(opcode, inputs)) == 0


def test_bytes_of_a_file() -> None:
    (operator,) = view(read_graph(conv(channels=4).build()))
    found = cost(operator)
    assert found.macs == 8 * 8 * 4 * 27
    assert found.parameter_bytes == 4 * 27 + 4 * 4  # int8 weights, int32 bias
    assert (found.input_bytes, found.output_bytes) == (8 * 8 * 3, 8 * 8 * 4)
    assert found.bytes_moved == 108 + 16 + 192 + 256


def test_parameters_of_a_depthwise_convolution() -> None:
    (operator,) = view(read_graph(depthwise(channels=4).build()))
    assert parameter_bytes(operator) == 9 * 4 + 4 * 4
    assert macs(operator) == 8 * 8 * 4 * 9
