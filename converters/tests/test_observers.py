"""Observers: ranges by hand, and what holds for any histogram."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekit.errors import EdgekitError
from edgekit_converters.calibration.histogram import Histogram
from edgekit_converters.calibration.observe import Observation
from edgekit_converters.calibration.observers import (
    METHODS,
    mse,
    observer,
    percentile,
    ranges,
    squared_errors,
)

VALUES = arrays(np.float32, st.integers(1, 80), elements=st.floats(-1000, 1000, width=32))
EXAMPLES = ("minmax", "percentile:99", "mse", "entropy")


def of(values: np.ndarray) -> tuple[Histogram, float, float]:
    values = np.asarray(values, np.float32)
    return Histogram.of(values), float(values.min()), float(values.max())


def observed(values: np.ndarray) -> Observation:
    """An observation of one tensor, a sample a value."""
    column = np.asarray(values, np.float32)[:, None]
    return Observation(("x",), column, column, {}, histograms={"x": Histogram.of(column)})


def test_percentile_cuts_both_ends_alike() -> None:
    histogram, low, high = of(np.arange(-100, 101))  # 201 values: 5 % are 10 of them, 5 at each end
    assert percentile(histogram, low, high, 95) == (-95, 95)
    assert percentile(histogram, low, high, 100) == (-100, 100)


def test_percentile_of_a_relu_clips_above_only() -> None:
    histogram, low, high = of(np.repeat([0, 1, 64], [500, 490, 10]))
    assert percentile(histogram, low, high, 97) == (0, 1)


def test_squared_error_by_hand() -> None:
    # A step of 1 rounds 100 values by 1/12 each; 0 is exact; 300 is clipped by 45.
    histogram = Histogram.of(np.repeat(np.array([0, 64, 300], np.float32), [50, 100, 1]))
    error = squared_errors(histogram, np.zeros(1), np.array([255.0]))[0]
    assert error == pytest.approx((100 / 12 + 45**2) / 151)


def test_mse_gives_up_one_far_value_for_the_others() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=1_000_000), [40.0]])
    low, high = mse(*of(values))
    assert values.min() <= low < -3.5
    assert 3.5 < high < 20


def test_mse_keeps_what_is_not_rare() -> None:
    values = np.concatenate([np.linspace(0, 1, 900), np.full(100, 10.0)])
    assert mse(*of(values))[1] == pytest.approx(10, rel=0.05)


def test_mse_finds_what_quantizing_every_value_finds() -> None:
    values = np.random.default_rng(1).normal(size=200_000)
    clips = np.linspace(2.5, 4.9, 49)
    errors = []
    for clip in clips:
        step = 2 * clip / 255
        errors.append(np.square(values - np.clip(np.round(values / step), -128, 127) * step).mean())
    best = clips[int(np.argmin(errors))]
    low, high = mse(*of(values))
    assert -low == pytest.approx(best, abs=0.25)
    assert high == pytest.approx(best, abs=0.25)


def test_entropy_clips_a_long_tail_and_keeps_a_uniform_one() -> None:
    rng = np.random.default_rng(2)
    tail = np.abs(np.concatenate([rng.normal(size=100_000), rng.uniform(0, 100, 20)]))
    histogram, low, high = of(tail)
    assert observer("entropy")(histogram, low, high)[1] < 30
    histogram, low, high = of(rng.uniform(0, 6, 100_000))
    assert observer("entropy")(histogram, low, high)[1] == pytest.approx(6, rel=0.02)


@given(VALUES)
def test_ranges_lie_within_the_extremes_and_include_zero(values: np.ndarray) -> None:
    for method in EXAMPLES:
        low, high = observer(method)(*of(values))
        assert min(values.min(), 0) <= low <= 0 <= high <= max(values.max(), 0), method


@given(VALUES)
def test_mse_is_never_worse_than_minmax(values: np.ndarray) -> None:
    histogram, low, high = of(values)
    chosen, plain = (
        squared_errors(histogram, *np.array([observer(method)(histogram, low, high)]).T)[0]
        for method in ("mse", "minmax")
    )
    assert chosen <= plain


@given(VALUES, st.floats(50, 100), st.floats(50, 100))
def test_a_larger_share_gives_no_smaller_range(values: np.ndarray, one: float, other: float) -> None:
    (inner_low, inner_high), (outer_low, outer_high) = (
        percentile(*of(values), share) for share in sorted((one, other))
    )
    assert outer_low <= inner_low
    assert inner_high <= outer_high


def test_every_method_gives_a_range_for_every_tensor() -> None:
    observation = observed(np.linspace(-1, 3, 50))
    for method in EXAMPLES:
        chosen = ranges(observation, method)
        assert chosen.method == method
        assert set(chosen.low) == set(chosen.high) == {"x"}
    assert {method.partition(":")[0] for method in EXAMPLES} == set(METHODS)


@pytest.mark.parametrize("method", ["", "max", "mse:3", "percentile", "percentile:x", "percentile:nan"])
def test_unknown_methods_are_refused(method: str) -> None:
    with pytest.raises(EdgekitError) as refusal:
        ranges(observed(np.linspace(-1, 3, 50)), method)
    assert "percentile:99.99" in (refusal.value.hint or "")
