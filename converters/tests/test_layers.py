"""The error along the network, on models whose loss is put in on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tflite_models import Net, Op, T

from edgekit_converters.layers import LayerError, layer_errors, worst

FLOAT = "FLOAT32"


def networks(*, middle_scale: float = 1 / 64, unread: bool = False) -> tuple[bytes, bytes]:
    """x -> ABS a -> NEGated by MUL b -> ADD y, in float and as int8 whose `b` has a scale of one's choice."""
    ops = [
        Op("ABS", ("x",), ("a",)),
        Op("MUL", ("a", "c"), ("b",), "MulOptions"),
        Op("ADD", ("b", "x"), ("y",), "AddOptions"),
    ]
    names = ["x", "a", "b", "y"]
    if unread:
        ops.append(Op("ABS", ("a",), ("spare",)))
        names.append("spare")
    tensors = {name: T((1, 64), FLOAT) for name in names} | {"c": T((), FLOAT, data=np.float32(-1))}
    exact = Net(tensors, tuple(ops), ("x",), ("y",))
    scales = {"x": 1 / 64, "a": 1 / 64, "b": middle_scale, "y": 1 / 32, "c": 1 / 64, "spare": 1 / 64}
    stored = {
        name: replace(
            tensor, type="INT8", scale=scales[name], data=None if tensor.data is None else np.int8(-64)
        )
        for name, tensor in tensors.items()
    }
    return exact.build(), Net(stored, tuple(ops), ("x",), ("y",)).build()


def samples(count: int = 4) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(1)
    return [{"x": generator.uniform(-1.9, 1.9, (1, 64)).astype(np.float32)} for _ in range(count)]


def test_the_layer_that_loses_is_named_first() -> None:
    errors = layer_errors(*networks(middle_scale=0.5), samples())
    assert [(error.index, error.opcode, error.name) for error in errors] == [
        (0, "ABS", "a"),
        (1, "MUL", "b"),
        (2, "ADD", "y"),
    ]
    (first,) = worst(errors, 1)
    assert first.name == "b"
    # Rounding to steps of s adds s^2 / 12 to the power of the error; here it is all there is.
    power = np.mean([np.square(sample["x"]).mean() for sample in samples()])
    assert first.sqnr_db == pytest.approx(10 * np.log10(power / (0.5**2 / 12)), abs=0.7)
    assert first.loss_db > 20


def test_no_layer_stands_out_where_all_scales_are_fine() -> None:
    errors = layer_errors(*networks(), samples())
    assert min(error.sqnr_db for error in errors) > 35
    assert max(error.loss_db for error in errors) < 10


def test_outputs_that_nobody_reads_are_left_out() -> None:
    """XNNPACK gives them no memory."""
    assert [error.name for error in layer_errors(*networks(unread=True), samples())] == ["a", "b", "y"]


def test_silence_has_a_finite_error() -> None:
    for error in layer_errors(*networks(), [{"x": np.zeros((1, 64), np.float32)}]):
        assert np.isfinite(error.sqnr_db)
        assert np.isfinite(error.loss_db)


def test_worst_first_and_no_more_than_asked_for() -> None:
    errors = [
        LayerError(index, "ADD", f"t{index}", 20.0, loss) for index, loss in enumerate((1.0, 9.0, -3.0, 4.0))
    ]
    assert [error.index for error in worst(errors, 2)] == [1, 3]
    assert len(worst(errors)) == 4


def test_json_is_rounded() -> None:
    error = LayerError(3, "CONV_2D", "conv/BiasAdd", 31.41592, -2.71828)
    assert error.to_json() == {
        "index": 3, "opcode": "CONV_2D", "name": "conv/BiasAdd", "sqnr_db": 31.42, "loss_db": -2.72,
    }  # fmt: skip
