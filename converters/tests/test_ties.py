"""Ranges of operators that share a scale: wide enough for everybody who reads the operand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Net, Op, T

from edgekit_converters.calibration.observe import Ranges
from edgekit_converters.quantize.ties import tie_ranges

FLOAT = "FLOAT32"
CONSTANTS = {
    "limit": T((), FLOAT, data=np.float32(0.1)),
    "shape": T((3,), "INT32", data=np.int32([1, 2, 4])),
    "axis": T((1,), "INT32", data=np.int32([1])),
}


def tied(
    ops: list[Op], outputs: tuple[str, ...], **observed: tuple[float, float]
) -> dict[str, tuple[float, float]]:
    tensors = {name: T((1, 8), FLOAT) for op in ops for name in (*op.inputs, *op.outputs) if name} | CONSTANTS
    model = Net(tensors, tuple(ops), ("x",), outputs).build()
    low, high = ({name: span[end] for name, span in observed.items()} for end in (0, 1))
    result = tie_ranges(model, Ranges("minmax", low, high))
    assert result.method == "minmax"
    return {name: (result.low[name], result.high[name]) for name in result.low}


MINIMUM = Op("MINIMUM", ("x", "limit"), ("y",))
OTHER = Op("LOGISTIC", ("x",), ("z",))


def test_a_clipped_tensor_that_others_read_is_not_narrowed() -> None:
    spans = {"x": (-2.0, 3.0), "y": (-2.0, 0.1), "z": (0.0, 1.0)}
    assert tied([MINIMUM, OTHER], ("y", "z"), **spans) == spans | {"y": (-2.0, 3.0)}


def test_a_clipped_tensor_that_nobody_else_reads_is() -> None:
    spans = {"x": (-2.0, 3.0), "y": (-2.0, 0.1)}
    assert tied([MINIMUM], ("y",), **spans) == spans


def test_being_an_output_is_being_read() -> None:
    spans = {"x": (-2.0, 3.0), "m": (-4.0, 5.0), "y": (-4.0, 0.1)}
    ops = [Op("LOGISTIC", ("x",), ("m",)), Op("MINIMUM", ("m", "limit"), ("y",))]
    assert tied(ops, ("y", "m"), **spans)["y"] == (-4.0, 5.0)


def test_narrowing_is_not_passed_on_through_operators_in_between() -> None:
    ops = [
        OTHER,
        Op("RESHAPE", ("x", "shape"), ("r",), "ReshapeOptions"),
        Op("MINIMUM", ("r", "limit"), ("m",)),
        Op("MAXIMUM", ("m", "limit"), ("y",)),
    ]
    spans = {"x": (-2.0, 3.0), "r": (-2.0, 3.0), "m": (-2.0, 0.1), "y": (0.1, 0.1), "z": (0.0, 1.0)}
    assert tied(ops, ("y", "z"), **spans) == dict.fromkeys(("x", "r", "m", "y"), (-2.0, 3.0)) | {
        "z": (0.0, 1.0)
    }


def test_both_sides_of_a_reverse_share_one_range() -> None:
    ops = [
        Op("PACK", ("x", "x2"), ("p",), "PackOptions", {"valuesCount": 2}),
        Op("REVERSE_V2", ("p", "axis"), ("r",)),
        Op("CONCATENATION", ("r", "f"), ("y",), "ConcatenationOptions"),
        Op("LOGISTIC", ("y",), ("z",)),
    ]
    ops = [Op("TANH", ("x",), ("x2",)), Op("TANH", ("x2",), ("f",)), *ops]
    spans = {
        "x": (-1.0, 1.0),
        "x2": (0.0, 4.0),
        "p": (-1.0, 4.0),
        "r": (-1.0, 3.9),
        "f": (-6.0, 1.0),
        "y": (-6.0, 4.0),
    }
    spans["z"] = (0.0, 1.0)
    assert tied(ops, ("z",), **spans) == dict.fromkeys(spans, (-6.0, 4.0)) | {"z": (0.0, 1.0)}


@given(st.lists(st.floats(-10, 10), min_size=8, max_size=8))
def test_ranges_only_grow(ends: list[float]) -> None:
    names = ("x", "y", "z", "w")
    spans = {
        name: (min(pair), max(pair))
        for name, pair in zip(names, zip(ends[::2], ends[1::2], strict=True), strict=True)
    }
    ops = [OTHER, Op("MINIMUM", ("x", "limit"), ("y",)), Op("MAXIMUM", ("y", "z"), ("w",))]
    for name, (low, high) in tied(ops, ("w",), **spans).items():
        assert low <= spans[name][0]
        assert high >= spans[name][1]
