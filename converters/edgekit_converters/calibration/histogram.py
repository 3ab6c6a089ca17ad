"""`Histogram`: how often each value of a tensor was seen, in bins that need no range to be known beforehand.

A bin is a bfloat16 number: what lies nearer to it than to any other is counted there. So bins are at most 1/128 of
their value wide wherever the values lie, 0 and the whole numbers up to 256 (the 6 of a RELU6 among them) have bins at
exactly their place, and merging or subtracting adds integers: in any order, and without rounding. Decision 0011 names
what lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

# The bit pattern of a bfloat16 is the upper half of that of a float32: 1 bit of sign, 8 of exponent, 7 of fraction.
_SIGN = 1 << 15
_HALF = np.uint32(1 << 15)  # half a bfloat16 step, in units of the last place of a float32
_LARGEST = 0x7F7F  # the largest finite magnitude; above it come infinity and NaN


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of values by bfloat16 bin; empty bins are not stored.

    Attributes:
        bins: int32, ascending: sign times the bit pattern of the magnitude. -0.0 and 0.0 share bin 0.
        counts: int64, above 0, one a bin.
    """

    bins: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """Counts all of `values`, finite float32 of any shape."""
        return cls.from_keys(keys_of(np.ascontiguousarray(values, np.float32).reshape(-1)))

    @classmethod
    def from_keys(cls, keys: np.ndarray) -> Self:
        """Counts `keys`, uint16 as `keys_of` gives them."""
        counts = np.bincount(keys)
        present = np.flatnonzero(counts != 0)
        positive = int(np.searchsorted(present, _SIGN))
        below = present[positive:][::-1]  # the larger the pattern of a negative number, the lower it lies
        bins = np.concatenate([_SIGN - below, present[:positive]])
        sums = np.concatenate([counts[below], counts[present[:positive]]])
        if len(bins) and np.abs(bins).max() <= _LARGEST and (np.diff(bins) > 0).all():
            return cls(bins.astype(np.int32), sums)
        return cls._summed(bins, sums)  # both zeros, or what was rounded up to infinity

    @classmethod
    def empty(cls) -> Self:
        """A histogram of nothing, to merge others into."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int64))

    @classmethod
    def merging(cls, histograms: Iterable[Histogram]) -> Self:
        """The histogram of everything that `histograms` counted; their order does not matter."""
        parts = list(histograms)
        if not parts:
            return cls.empty()
        return cls._summed(np.concatenate([h.bins for h in parts]), np.concatenate([h.counts for h in parts]))

    @classmethod
    def _summed(cls, bins: np.ndarray, counts: np.ndarray) -> Self:
        """From bins in any order, some perhaps more than once."""
        places = np.clip(bins, -_LARGEST, _LARGEST) + _LARGEST
        dense = np.bincount(places, weights=counts)  # float64, and exact: no count comes near 2**53
        present = np.flatnonzero(dense != 0)
        return cls((present - _LARGEST).astype(np.int32), dense[present].astype(np.int64))

    def merged(self, other: Histogram) -> Self:
        """The histogram of what either of the two counted."""
        return self.merging((self, other))

    def minus(self, other: Histogram) -> Self:
        """The histogram without what `other` counted, which must be a part of it.

        Raises:
            ValueError: `other` counted something that this one did not.
        """
        left = self._summed(
            np.concatenate([self.bins, other.bins]), np.concatenate([self.counts, -other.counts])
        )
        if (left.counts < 0).any():
            raise ValueError("a histogram can only be taken off one that it is a part of")
        return left

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    @property
    def values(self) -> np.ndarray:
        """float64, ascending: the value that each bin stands for, in the tensor's unit."""
        return _value_of(self.bins)

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """float64: the lower and the upper end of each bin, halfway to its neighbours."""
        middle = self.values
        return (_value_of(self.bins - 1) + middle) / 2, (middle + _value_of(self.bins + 1)) / 2

    def quantile(self, share: float) -> float:
        """The least bin value that at least `share` of the counted values do not exceed; share 0 gives the first.

        Args:
            share: Within 0..1.

        Raises:
            ValueError: Nothing was counted.
        """
        if not len(self.bins):
            raise ValueError("an empty histogram has no quantiles")
        below = np.cumsum(self.counts)
        place = int(np.searchsorted(below, share * below[-1], side="left"))
        return float(self.values[min(place, len(below) - 1)])

    def linear(self, low: float, high: float, count: int) -> np.ndarray:
        """float64 [count]: the counts over `count` equal bins between `low` and `high`.

        A bin wider than a linear one is spread evenly over those that it covers, except that bin 0 falls whole where 0
        lies. What lies beyond an end is counted in the outermost bin.
        """
        lower, upper = self.edges()
        zero = self.bins == 0
        lower[zero], upper[zero] = 0.0, 0.0
        # The counts below every linear edge, by bin: 0 before it, all behind it, its share within.
        grid = np.linspace(low, high, count + 1)[1:-1]
        heights = np.concatenate([[0.0], np.cumsum(self.counts)])
        within = np.searchsorted(upper, grid, side="left")  # the first bin that does not end before the edge
        place = np.minimum(within, len(upper) - 1)
        width = upper[place] - lower[place]
        share = np.clip(grid - lower[place], 0.0, width) / np.where(width > 0, width, 1.0)
        inside = np.where(within < len(upper), share * self.counts[place], 0.0)
        below = np.concatenate([[0.0], heights[within] + inside, [heights[-1]]])
        result: np.ndarray = np.diff(below)
        return result


def keys_of(values: np.ndarray) -> np.ndarray:
    """uint16: the bfloat16 bit patterns nearest to finite float32 values, halves rounded away from 0.

    Args:
        values: One-dimensional float32, of any stride.
    """
    keys: np.ndarray = ((values.view(np.uint32) + _HALF) >> np.uint32(16)).astype(np.uint16)
    return keys


def _value_of(bins: np.ndarray) -> np.ndarray:
    magnitude = np.minimum(np.abs(bins), _LARGEST).astype(np.uint32)
    values: np.ndarray = (magnitude << np.uint32(16)).view(np.float32).astype(np.float64)
    return np.where(bins < 0, -values, values)
