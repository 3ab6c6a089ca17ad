"""Confidence intervals: Wilson for one share, paired bootstrap for everything else.

A statistic is given as a function of *weights*: how often each sample was drawn. Drawing samples anew then
means drawing weights anew, float and int8 get the very same ones (which is what makes the bootstrap paired),
and a mean over 50,000 samples is one product instead of 2,000 copies.

Sources: B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 (percentile
interval) and 16; E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22
(1927); J. A. Hanley and A. Lippman-Hand, If nothing goes wrong, is everything all right?, JAMA 249 (1983).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Weights: TypeAlias = NDArray[np.float64]
"""Shape (draws, samples): how often each sample counts in a draw; a row sums to the number of samples."""

Statistic: TypeAlias = Callable[[Weights], NDArray[np.float64]]
"""From weights of shape (draws, samples) to one value a draw, shape (draws,); NaN where a draw has none."""

RESAMPLES = 2000  # Efron & Tibshirani 1993, section 13.3: 1,000 at least for percentile intervals
CONFIDENCE = 0.95
Z95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution

_BLOCK_CELLS = (
    1 << 19
)  # weights held at once (4 MB): blocks that stay in cache are about twice as fast as large ones


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval, in the unit of the value beside it."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """How far apart the ends are; 0 where the samples at hand cannot tell an uncertainty."""
        return self.high - self.low

    def scaled(self, factor: float) -> Interval:
        """The interval in another unit, `factor` (> 0) times as large."""
        return Interval(self.low * factor, self.high * factor)


def wilson(successes: float, n: int) -> Interval:
    """The Wilson score interval of a share, both in 0..1.

    Args:
        successes: How many of the samples succeeded, 0..n.
        n: Number of samples, at least 1.
    """
    share = successes / n
    shrink = 1 + Z95**2 / n
    centre = (share + Z95**2 / (2 * n)) / shrink
    half = Z95 / shrink * float(np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2)))
    # The exact bounds at 0 and n successes are 0 and 1; rounding may miss them by an ulp.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(min(low, share), max(high, share))


def rule_of_three(n: int) -> float:
    """The 95 % upper bound of the share of an event that n samples never showed (Hanley, Lippman-Hand)."""
    return min(1.0, 3 / n)


def evaluate_at_sample(statistic: Statistic, n: int) -> float:
    """The value of a statistic over the samples as they are, each once; NaN where it has none."""
    return float(statistic(np.ones((1, n)))[0])


def weighted_means(records: NDArray[np.float64]) -> Callable[[Weights], NDArray[np.float64]]:
    """From weights (draws, samples) to weighted means (draws, columns) of records (samples, columns).

    It sums by einsum, not by a BLAS product, whose order of summation depends on the number of threads.
    """
    columns = np.ascontiguousarray(records.T, dtype=np.float64)

    def means(weights: Weights) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.einsum("rn,kn->rk", weights, columns)
        value: NDArray[np.float64] = sums / weights.sum(axis=1, keepdims=True)
        return value

    return means


@dataclass(frozen=True, slots=True)
class PairedIntervals:
    """95 % percentile intervals of two statistics over the same draws, and of second - first."""

    first: Interval
    second: Interval
    difference: Interval


def bootstrap(
    statistics: Sequence[Statistic], n: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Values of statistics over resamples drawn with replacement, all from the same draws.

    Args:
        statistics: What to compute.
        n: Number of samples, at least 1.
        resamples: Number of draws.
        seed: Of the generator; the same seed gives the same draws.

    Returns:
        Shape (len(statistics), resamples), float64; NaN where a draw has no value (an AUC of one class).
    """
    generator = np.random.default_rng(seed)
    values = np.empty((len(statistics), resamples))
    rows = min(resamples, max(1, _BLOCK_CELLS // n))
    for start in range(0, resamples, rows):
        weights = np.empty((min(rows, resamples - start), n))
        for row in weights:
            row[:] = np.bincount(generator.integers(0, n, n), minlength=n)
        for index, statistic in enumerate(statistics):
            values[index, start : start + len(weights)] = statistic(weights)
    return values


def bootstrap_interval(
    statistic: Statistic, n: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The 95 % percentile interval of one statistic."""
    return _percentiles(bootstrap([statistic], n, resamples=resamples, seed=seed)[0], statistic, n)


def paired_bootstrap(
    first: Statistic, second: Statistic, n: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> PairedIntervals:
    """95 % percentile intervals of two statistics of the same samples and of second - first.

    One sample, or samples that are all equal, give intervals of no width: that is what resampling can say of
    them, and no certainty. The caller says so.
    """
    drawn = bootstrap([first, second], n, resamples=resamples, seed=seed)
    return PairedIntervals(
        first=_percentiles(drawn[0], first, n),
        second=_percentiles(drawn[1], second, n),
        difference=_percentiles(drawn[1] - drawn[0], lambda weights: second(weights) - first(weights), n),
    )


def _percentiles(values: NDArray[np.float64], statistic: Statistic, n: int) -> Interval:
    defined = values[np.isfinite(values)]
    if defined.size == 0:
        value = evaluate_at_sample(statistic, n)
        return Interval(value, value)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(float(low), float(high))
