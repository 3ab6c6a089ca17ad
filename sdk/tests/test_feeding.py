"""The fused step gives, bit for bit, what `to_model_input` and `quantize` give, and allocates nothing."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit import feeding
from edgekit.errors import EdgekitError, InputError
from edgekit.feeding import Feeder
from edgekit.manifest import COLOR_CHANNELS, Preprocessing, TensorSpec
from edgekit.preprocess import quantize, to_model_input

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def image(
    shape: tuple[int, ...], scale: float, zero_point: int, layout: str = "NHWC", **said: Any
) -> TensorSpec:
    channels = shape[1] if layout == "NCHW" else shape[3]
    color = {number: name for name, number in COLOR_CHANNELS.items()}[channels]
    prepared = Preprocessing("image", "uint8", **{"range": (0.0, 1.0), **said}, color=color)
    return TensorSpec("photo", shape, "int8", scale, zero_point, layout, prepared)


def array(shape: tuple[int, ...], dtype: str, scale: float, zero_point: int, **said: Any) -> TensorSpec:
    return TensorSpec("x", shape, "int8", scale, zero_point, None, Preprocessing("array", dtype, **said))


BIG = (1, 64, 64, 3)
CASES = {
    "XOR with 0x80": (image(BIG, 1 / 255, -128), "_Shift"),
    "a shift with steps": (image(BIG, 0.0078125, -1, range=(-1.0, 1.0)), "_Shift"),
    "uint8 stored": (replace(image(BIG, 1 / 255, 0), dtype="uint8"), "_Shift"),
    "a table of pairs": (image(BIG, 0.0186, -14, range=(-2.0, 2.0)), "_Lookup"),
    "per channel, pairs": (image(BIG, 0.0186, -14, **IMAGENET), "_Lookup"),
    "per channel, few values": (image((1, 5, 3, 3), 0.0186, -14, **IMAGENET), "_Lookup"),
    "per channel, an odd number": (image((1, 65, 63, 3), 0.0186, -14, **IMAGENET), "_Lookup"),
    "channels first": (image((1, 3, 64, 64), 0.0186, -14, "NCHW", **IMAGENET), "_Lookup"),
    "channels first, one table": (image((1, 3, 64, 64), 1 / 255, -128, "NCHW"), "_Shift"),
    "gray": (image((1, 65, 65, 1), 0.013, -99, range=(-1.0, 1.0)), "_Lookup"),
    "uint8 rows, five channels": (
        array((1, 9, 5), "uint8", 0.02, 3, range=(0.0, 1.0), mean=(0.1, 0.2, 0.3, 0.4, 0.5)),
        "_Arithmetic",
    ),
    "int16, a table": (array((1, 16000), "int16", 1 / 128, 0, range=(-1.0, 1.0)), "_Lookup"),
    "int16, few": (array((1, 100), "int16", 1 / 128, 0, range=(-1.0, 1.0)), "_Arithmetic"),
    "floats": (array((1, 49, 10, 1), "float32", 0.6, 83), "_Arithmetic"),
    "floats with mean": (
        array((1, 7, 3), "float32", 0.1, 5, mean=(1.0, 2.0, 3.0), std=(0.5,)),
        "_Arithmetic",
    ),
}


def raw_shape(spec: TensorSpec) -> tuple[int, ...]:
    assert spec.preprocessing is not None
    if spec.layout == "NCHW" and spec.preprocessing.source == "image":
        return (*spec.shape[2:], spec.shape[1])
    return spec.shape[1:]


def drawn(spec: TensorSpec, seed: int = 0) -> np.ndarray[Any, Any]:
    generator = np.random.default_rng(seed)
    assert spec.preprocessing is not None
    dtype = spec.preprocessing.dtype
    if dtype == "float32":
        return generator.normal(0, 40, raw_shape(spec)).astype(np.float32)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, raw_shape(spec), dtype, endpoint=True)


def by_arithmetic(raw: np.ndarray[Any, Any], spec: TensorSpec) -> np.ndarray[Any, Any]:
    assert spec.preprocessing is not None
    real = to_model_input(raw, spec.shape, spec.layout, spec.preprocessing)
    return quantize(real, spec.scale, spec.zero_point, spec.dtype)


@pytest.mark.parametrize("case", CASES)
def test_the_integers_are_those_of_the_arithmetic(case: str) -> None:
    spec, way = CASES[case]
    feed = Feeder(spec)
    assert type(feed._fill).__name__ == way
    for seed in range(3):
        raw = drawn(spec, seed)
        stored = feed(raw)
        assert (stored.dtype, stored.shape) == (np.dtype(spec.dtype), spec.shape)
        np.testing.assert_array_equal(stored, by_arithmetic(raw, spec))
        np.testing.assert_array_equal(feed(raw[np.newaxis]), stored)


@pytest.mark.parametrize("case", CASES)
def test_arrays_that_are_not_contiguous_are_read_right(case: str) -> None:
    spec, _ = CASES[case]
    feed = Feeder(spec)
    raw = drawn(spec)
    for view in (np.flip(raw, 0), np.repeat(raw, 2, axis=-1)[..., ::2], np.asfortranarray(raw)):
        np.testing.assert_array_equal(feed(view), by_arithmetic(np.ascontiguousarray(view), spec))
    swapped = raw.astype(raw.dtype.newbyteorder())
    if swapped.dtype == raw.dtype or raw.dtype.kind == "f":
        np.testing.assert_array_equal(feed(swapped), by_arithmetic(raw, spec))


@settings(max_examples=150, deadline=None)
@given(
    scale=st.floats(1e-4, 4.0),
    zero_point=st.integers(-128, 127),
    low=st.floats(-3.0, 0.5),
    span=st.floats(0.25, 300.0),
    channels=st.sampled_from([1, 3]),
    side=st.sampled_from([3, 16, 64]),
)
def test_every_scale_and_zero_point(
    scale: float, zero_point: int, low: float, span: float, channels: int, side: int
) -> None:
    try:
        spec = image((1, side, side, channels), scale, zero_point, range=(low, low + span))
    except EdgekitError:
        return
    raw = np.resize(np.arange(256, dtype=np.uint8), raw_shape(spec))
    np.testing.assert_array_equal(Feeder(spec)(raw), by_arithmetic(raw, spec))


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(1e-4, 1.0), zero_point=st.integers(-128, 127), high=st.floats(0.1, 40.0))
def test_every_sound(scale: float, zero_point: int, high: float) -> None:
    spec = array((1, 65536), "int16", scale, zero_point, range=(-high, high))
    raw = np.arange(-32768, 32768, dtype=np.int16)
    np.testing.assert_array_equal(Feeder(spec)(raw), by_arithmetic(raw, spec))


def test_infinities_saturate_and_nan_is_refused() -> None:
    spec = array((1, 3), "float32", 0.1, 0)
    feed = Feeder(spec)
    assert feed(np.array([np.inf, -np.inf, 1e39], np.float64)).tolist() == [[127, -128, 127]]
    with pytest.raises(InputError, match="input 'x': the input holds NaN"):
        feed(np.array([0, np.nan, 0], np.float32))
    assert feed(np.zeros(3, np.float32)).tolist() == [[0, 0, 0]]  # and the next sample is none the worse


def test_integers_without_preprocessing_mean_themselves() -> None:
    feed = Feeder(TensorSpec("tokens", (1, 3), "int32", 1.0, 0))
    assert feed(np.array([3, 0, 2**31 - 1], np.int64)).tolist() == [[3, 0, 2**31 - 1]]
    assert feed(np.array([[3, 0, 7]], np.uint8)).tolist() == [[3, 0, 7]]
    for bad in (np.array([3, 0, 2**31]), np.array([3.0, 0, 1]), np.array([3, 0])):
        with pytest.raises(InputError, match="input 'tokens': takes int"):
            feed(bad)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros((64, 64, 3), np.float32), "the sample is float32, and the model takes uint8"),
        (np.zeros((64, 64, 3), np.int8), "the sample is int8"),
        (np.zeros((64, 64), np.uint8), "the sample has shape (64, 64), and (64, 64, 3) is wanted"),
        (np.zeros((3, 64, 64), np.uint8), "the sample has shape (3, 64, 64)"),
        (np.zeros((2, 64, 64, 3), np.uint8), "the sample has shape (2, 64, 64, 3)"),
    ],
)
def test_what_does_not_fit_names_the_input(raw: np.ndarray[Any, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Feeder(CASES["XOR with 0x80"][0])(raw)
    assert str(caught.value).startswith("input 'photo': ")
    assert message in str(caught.value)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("case", CASES)
def test_feeding_allocates_no_buffers(case: str, traced: None) -> None:
    """Small objects of Python come and go; what would grow with the input is kept."""
    spec, _ = CASES[case]
    feed, raw = Feeder(spec), drawn(spec)
    feed(raw)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(3):
        feed(raw)
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before < max(4096, raw.nbytes // 8)


def test_the_limits_are_where_the_ways_part() -> None:
    """A table with one step more than MOST_STEPS is looked up."""
    table = np.arange(256, dtype=np.uint8)
    for steps in (feeding.MOST_STEPS, feeding.MOST_STEPS + 1):
        for step in range(steps):
            table = np.where(np.arange(256) >= 40 * (step + 1) - 5 * steps, table + 1, table).astype(np.uint8)
        found = feeding._as_steps(table)
        assert (found is None) == (steps > feeding.MOST_STEPS)
        table = np.arange(256, dtype=np.uint8)
