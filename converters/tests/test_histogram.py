"""Histograms of bfloat16 bins: exact sums and differences, bins where they should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekit_converters.calibration.histogram import Histogram, keys_of

VALUES = arrays(
    np.float32,
    st.integers(0, 60),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def same(one: Histogram, other: Histogram) -> bool:
    return np.array_equal(one.bins, other.bins) and np.array_equal(one.counts, other.counts)


def test_small_whole_numbers_have_bins_at_their_place() -> None:
    histogram = Histogram.of(np.array([6, 6, 0, -0.0, 1, 256, -3], np.float32))
    assert histogram.values.tolist() == [-3, 0, 1, 6, 256]
    assert histogram.counts.tolist() == [1, 2, 1, 2, 1]
    assert histogram.total == 7


def test_a_value_goes_to_the_nearest_bin() -> None:
    # Between 1 and 2, bfloat16 steps by 1/128; halves go away from 0.
    histogram = Histogram.of(np.array([1 + 0.49 / 128, 1 + 0.5 / 128, -1 - 0.5 / 128], np.float32))
    assert histogram.values.tolist() == [-1 - 1 / 128, 1, 1 + 1 / 128]


def test_the_largest_floats_stay_finite() -> None:
    largest = np.finfo(np.float32).max
    histogram = Histogram.of(
        np.array([largest, -largest, np.finfo(np.float32).smallest_subnormal], np.float32)
    )
    assert np.isfinite(histogram.values).all()
    assert np.isfinite(np.concatenate(histogram.edges())).all()
    assert histogram.values[1] == 0


def test_nothing_can_be_counted() -> None:
    empty = Histogram.of(np.empty(0, np.float32))
    assert empty.total == 0
    assert same(empty, Histogram.empty())
    with pytest.raises(ValueError, match="quantile"):
        empty.quantile(0.5)


def test_what_was_never_counted_cannot_be_taken_off() -> None:
    with pytest.raises(ValueError, match="part"):
        Histogram.of(np.array([1, 2], np.float32)).minus(Histogram.of(np.array([3], np.float32)))


def test_quantiles_by_hand() -> None:
    histogram = Histogram.of(np.repeat(np.array([-2, 0, 5], np.float32), [1, 6, 3]))
    quantiles = [histogram.quantile(share) for share in (0, 0.1, 0.11, 0.7, 0.71, 1)]
    assert quantiles == [-2, -2, 0, 0, 5, 5]


def test_linear_bins_by_hand() -> None:
    # The bin of 0 falls whole into the second; that of 2, which spans 1.996 to 2.008, is split at 2 as 1 to 2.
    histogram = Histogram.of(np.repeat(np.array([-1, 0, 2], np.float32), [4, 5, 6]))
    assert histogram.linear(-2, 4, 3) == pytest.approx([4, 5 + 2, 4])


def test_linear_bins_count_what_lies_beyond_at_the_ends() -> None:
    histogram = Histogram.of(np.array([-100, -1, 1, 100, 100], np.float32))
    assert histogram.linear(-2, 2, 2).tolist() == [2, 3]


@given(VALUES)
def test_a_bin_is_within_half_a_step_of_its_values(values: np.ndarray) -> None:
    usual = values[(np.abs(values) > 1e-37) & (np.abs(values) < 3e38)]
    keys = keys_of(usual)
    near = (keys.astype(np.uint32) << 16).view(np.float32)
    assert (np.abs(near.astype(np.float64) - usual) <= np.abs(usual.astype(np.float64)) / 256).all()


@given(VALUES, VALUES)
def test_merging_counts_both(one: np.ndarray, other: np.ndarray) -> None:
    merged = Histogram.of(one).merged(Histogram.of(other))
    assert same(merged, Histogram.of(np.concatenate([other, one])))


@given(VALUES, VALUES)
def test_taking_off_undoes_merging(one: np.ndarray, other: np.ndarray) -> None:
    first, second = Histogram.of(one), Histogram.of(other)
    assert same(first.merged(second).minus(second), first)


@given(st.lists(VALUES, max_size=5))
def test_the_order_of_merging_does_not_matter(parts: list[np.ndarray]) -> None:
    histograms = [Histogram.of(part) for part in parts]
    assert same(Histogram.merging(histograms), Histogram.merging(reversed(histograms)))


@given(VALUES.filter(lambda values: len(values) > 0), st.integers(1, 40))
def test_linear_bins_lose_no_count(values: np.ndarray, count: int) -> None:
    histogram = Histogram.of(values)
    low, high = float(values.min()), float(values.max())
    linear = histogram.linear(low - 1, high + 1, count)
    assert linear.min() >= -1e-9
    assert linear.sum() == pytest.approx(len(values))
