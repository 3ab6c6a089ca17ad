"""What a caller may give a session, and what it becomes: one row of arrays a sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.manifest import Preprocessing, TensorSpec
from edgekit.samples import is_batch, raw_samples, stored_samples

FLOATS = Preprocessing("array", "float32")


def spec(shape: tuple[int, ...], layout: str | None = None, name: str = "x") -> TensorSpec:
    return TensorSpec(name, shape, "int8", 0.5, 0, layout, FLOATS)


def f32(values: object) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("shape", "layout", "sample", "batch"),
    [
        ((1, 2), None, (2,), (5, 2)),
        ((1, 2), None, (2,), (1, 2)),
        ((1, 4, 4, 3), "NHWC", (4, 4, 3), (5, 4, 4, 3)),
        ((1, 4, 4, 1), "NHWC", (4, 4, 1), (5, 4, 4, 1)),
        ((1, 4, 4, 1), "NHWC", (4, 4), (5, 4, 4)),
        ((1, 3, 4, 4), "NCHW", (4, 4, 3), (5, 4, 4, 3)),
        ((1, 1, 4, 4), "NCHW", (4, 4), (5, 4, 4)),
        ((1, 49, 10, 1), None, (49, 10, 1), (5, 49, 10)),
        ((1, 49, 10, 1), None, (49, 10), (5, 49, 10, 1)),
        ((1, 1), None, (1,), (5, 1)),
    ],
)
def test_batches_are_told_from_samples(
    shape: tuple[int, ...], layout: str | None, sample: tuple[int, ...], batch: tuple[int, ...]
) -> None:
    assert not is_batch(sample, spec(shape, layout))
    assert is_batch(batch, spec(shape, layout))


def test_one_sample_is_one_row() -> None:
    sample = f32([1, 2])
    ((row,),) = raw_samples(sample, [spec((1, 2))])
    assert row is sample


def test_a_batch_is_a_row_a_sample() -> None:
    rows = raw_samples(f32([[1, 2], [3, 4]]), [spec((1, 2))])
    assert [row[0].tolist() for row in rows] == [[1, 2], [3, 4]]


def test_inputs_by_name_come_in_the_order_of_the_manifest() -> None:
    specs = [spec((1, 2), name="left"), spec((1, 1), name="right")]
    rows = raw_samples({"right": f32([[5], [6]]), "left": f32([[1, 2], [3, 4]])}, specs)
    assert [[array.tolist() for array in row] for row in rows] == [[[1, 2], [5]], [[3, 4], [6]]]


def test_lists_of_numbers_are_taken() -> None:
    assert raw_samples([1.0, 2.0], [spec((1, 2))])[0][0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (f32([1, 2]), "the model has 2 inputs, and one value was given"),
        ({"left": f32([1, 2])}, "no value is given for the input(s) right"),
        ({"left": f32([1, 2]), "right": f32([1, 2]), "up": 1}, "the model has no input 'up'"),
        ({"left": f32([[1, 2]] * 2), "right": f32([[1, 2]] * 3)}, "2 for 'left', 3 for 'right'"),
        ({"left": f32([[1, 2]] * 2), "right": f32([1, 2])}, "2 for 'left', 1 for 'right'"),
        ({"left": np.zeros((0, 2), np.float32), "right": np.zeros((0, 2), np.float32)}, "holds no samples"),
        ({"left": Path("a.jpg"), "right": f32([1, 2])}, "the input 'left' takes arrays, and got a path"),
    ],
)
def test_what_does_not_fit_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        raw_samples(given, [spec((1, 2), name="left"), spec((1, 2), name="right")])
    assert message in str(caught.value)


def test_stored_samples_have_their_batch_axis() -> None:
    ((row,),) = stored_samples(np.zeros(2, np.int8), [spec((1, 2))])
    assert row.shape == (1, 2)
    rows = stored_samples(np.arange(6, dtype=np.int8).reshape(3, 2), [spec((1, 2))])
    assert [array.tolist() for (array,) in rows] == [[[0, 1]], [[2, 3]], [[4, 5]]]


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((1, 2), np.uint8),
        np.zeros((1, 3), np.int8),
        np.int8(1),
        np.zeros((1, 1, 2), np.int8),
    ],
)
def test_stored_samples_are_not_converted(given: Any) -> None:
    with pytest.raises(InputError, match=r"the input 'x' takes int8 of shape \(1, 2\)"):
        stored_samples(given, [spec((1, 2))])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([np.zeros(2), None], "different shapes"),
        ([[1.0, 2.0], [3.0]], "different shapes"),
        (None, "takes numbers, and got None"),
        (["a.jpg", "b.jpg"], "takes numbers, and got list of <U5"),
    ],
)
def test_what_is_no_array_is_named(given: Any, message: str) -> None:
    for taken in (raw_samples, stored_samples):
        with pytest.raises(InputError, match="the input 'x'") as caught:
            taken(given, [spec((1, 2))])
        assert message in str(caught.value)
        assert caught.value.hint
