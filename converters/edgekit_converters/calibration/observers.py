"""Observers: from the values that a tensor had, its histogram and its exact extremes, to the range that int8 shall cover.

Every range lies within the extremes and includes 0, which int8 TFLite represents exactly (asymmetric int8, 256 levels, zero
point within -128..127: TFLite 8-bit quantization specification). Softmax, logistic and tanh results have ranges that the
specification fixes; TensorFlow's quantizer sets those itself, whatever is said here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgekit.errors import EdgekitError
from edgekit_converters.calibration.histogram import Histogram
from edgekit_converters.calibration.observe import Observation, Ranges

LEVELS = 256
"""Of int8."""

METHODS = ("minmax", "percentile", "mse", "entropy")
"""What `ranges` knows; "percentile" takes the share that is kept, in percent, behind a colon: "percentile:99.99"."""

CLIPS_PER_OCTAVE = 16
OCTAVES = 12
"""Clip points that `mse` tries: each end, and down from it in steps of 4.4 % to 1/4096 of it."""

LINEAR_BINS = 2048
"""Of Migacz's histogram (slide 38 gives 2048 as the usual number)."""

ENTROPY_STEP = 8
"""Linear bins between the clip points that `entropy` tries; every single one would cost eight times as much."""

Range = tuple[float, float]
"""Lower and upper end, in the tensor's unit."""


def minmax(histogram: Histogram, low: float, high: float) -> Range:
    """The extremes: nothing is clipped."""
    return min(low, 0.0), max(high, 0.0)


def percentile(histogram: Histogram, low: float, high: float, share: float) -> Range:
    """The central `share` percent of the values; as much is cut off at either end, so zeros below a RELU cost nothing.

    Wu et al. 2020, "Integer Quantization for Deep Learning Inference: Principles and Empirical Evaluation", section 5,
    does it on magnitudes with 99.9 to 99.9999; here each end is cut by itself, since int8 TFLite is asymmetric.
    """
    outside = (1 - share / 100) / 2
    return _within(histogram.quantile(outside), histogram.quantile(1 - outside), low, high)


def mse(histogram: Histogram, low: float, high: float) -> Range:
    """The range with the least expected squared error, rounding and clipping together, over a grid of both ends.

    Banner et al. 2019, "Post training 4-bit quantization of convolutional networks for rapid-deployment" (section 3),
    derive the optimal clip point of a known distribution; the same two terms are summed over the histogram here.
    """
    low, high = minmax(histogram, low, high)
    lows, highs = _clip_points(low), _clip_points(high)
    errors = squared_errors(histogram, lows[:, None], highs[None, :])
    row, column = np.unravel_index(int(errors.argmin()), errors.shape)
    return float(lows[row]), float(highs[column])


def squared_errors(histogram: Histogram, lows: np.ndarray, highs: np.ndarray) -> np.ndarray:
    """The expected squared error of one value that is rounded to 256 levels between `low` and `high`.

    A step s rounds with s**2 / 12 (uniformly distributed errors: Widrow 1956), but 0 is exact; what lies outside is
    clipped to the end.

    Args:
        histogram: Of the values.
        lows: At most 0; float64, of a shape that broadcasts with `highs`.
        highs: At least 0.
    """
    values, counts = histogram.values, histogram.counts.astype(np.float64)
    rounded = np.where(values == 0, 0.0, counts)
    above = _clipping(values, counts, rounded, highs)
    below = _clipping(-values[::-1], counts[::-1], rounded[::-1], -lows)
    steps = (highs - lows) / (LEVELS - 1)
    inside = rounded.sum() - above[1] - below[1]
    errors: np.ndarray = (above[0] + below[0] + inside * np.square(steps) / 12) / max(histogram.total, 1)
    return errors


def _clipping(
    values: np.ndarray, counts: np.ndarray, rounded: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each upper end: the summed squared distance of what lies above it, and how much that is."""
    first = np.searchsorted(values, ends, side="right")
    moments = [np.append(np.cumsum((counts * values**power)[::-1])[::-1], 0.0)[first] for power in (0, 1, 2)]
    squares = moments[2] - 2 * ends * moments[1] + np.square(ends) * moments[0]
    beyond = np.append(np.cumsum(rounded[::-1])[::-1], 0.0)[first]
    return np.maximum(squares, 0.0), beyond


def _clip_points(end: float) -> np.ndarray:
    if end == 0:
        return np.zeros(1)
    points: np.ndarray = end * 2.0 ** (-np.arange(CLIPS_PER_OCTAVE * OCTAVES + 1) / CLIPS_PER_OCTAVE)
    return points


def entropy(histogram: Histogram, low: float, high: float) -> Range:
    """The clip point of magnitudes that keeps most information: the least Kullback-Leibler divergence.

    Migacz 2017, "8-bit Inference with TensorRT" (GTC 2017, slides 26 to 41): the distribution, what is clipped counted in
    its outermost bins, beside the same distribution on 256 levels. It is resampled to linear bins. Zeros are not counted,
    as int8 has an exact 0; the two ends are clipped at the same magnitude where they reach it.
    """
    low, high = minmax(histogram, low, high)
    some = histogram.bins != 0
    nonzero = Histogram(histogram.bins[some], histogram.counts[some])
    if not nonzero.total or high - low < np.finfo(np.float32).tiny:
        return low, high
    linear = nonzero.linear(low, high, LINEAR_BINS)
    width = (high - low) / LINEAR_BINS
    zero = round(-low / width)
    reach = max(zero, LINEAR_BINS - zero)  # bins on the longer side of 0
    best, kept = np.inf, reach
    for clip in range(reach, 0, -ENTROPY_STEP):
        first, last = max(zero - clip, 0), min(zero + clip, LINEAR_BINS)
        if last - first < LEVELS:
            break
        divergence = _divergence(linear, first, last)
        if divergence < best:
            best, kept = divergence, clip
    return _within(-kept * width, kept * width, low, high)


def _divergence(linear: np.ndarray, first: int, last: int) -> float:
    """KL divergence of the bins `first`..`last` from what 256 levels make of them."""
    inside = linear[first:last]
    expected = inside.copy()
    expected[0] += linear[:first].sum()
    expected[-1] += linear[last:].sum()
    level = np.arange(len(inside)) * LEVELS // len(inside)
    filled = inside > 0
    mass = np.bincount(level, inside, LEVELS) / np.maximum(np.bincount(level, filled, LEVELS), 1)
    quantized = np.where(filled, mass[level], 0.0)
    if not quantized.sum():
        return math.inf
    p, q = expected / expected.sum(), quantized / quantized.sum()
    some = p > 0
    # Where the levels leave a bin empty that has something, the divergence would be infinite; a floor of 1e-9 counts
    # it dear and finite.
    return float(np.sum(p[some] * np.log(p[some] / np.maximum(q[some], 1e-9))))


def _within(low: float, high: float, least: float, most: float) -> Range:
    """A range that lies within the extremes and includes 0."""
    return min(max(low, least), 0.0), max(min(high, most), 0.0)


def observer(method: str) -> Callable[[Histogram, float, float], Range]:
    """The observer of that name.

    Args:
        method: One of METHODS, such as "mse" or "percentile:99.99".

    Raises:
        EdgekitError: There is none, or its share lies outside 50..100.
    """
    plain = {"minmax": minmax, "mse": mse, "entropy": entropy}
    name, colon, argument = method.partition(":")
    if name in plain and not colon:
        return plain[name]
    if name == "percentile":
        share = _share(argument)
        return lambda histogram, low, high: percentile(histogram, low, high, share)
    raise EdgekitError(
        f"ranges '{method}': there is no such way to choose ranges",
        hint="say minmax, mse, entropy, or percentile with the share that is kept, such as percentile:99.99",
    )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 50 <= share <= 100:
        raise EdgekitError(
            f"ranges 'percentile:{text}': the share that is kept must be a number within 50..100 percent",
            hint="percentile:99.99 cuts off one value in 20,000 at each end",
        )
    return share


def ranges(observation: Observation, method: str) -> Ranges:
    """The range of every observed tensor.

    Args:
        observation: With histograms, unless the method is "minmax".
        method: See `observer`. The extremes come as they are: TensorFlow's quantizer adds the 0 itself.

    Raises:
        EdgekitError: There is no such method.
    """
    choose = observer(method)
    if choose is minmax:
        return observation.minmax()
    extremes = observation.minmax()
    chosen = {
        name: choose(observation.histograms[name], extremes.low[name], extremes.high[name])
        for name in observation.tensors
    }
    return Ranges(
        method,
        {name: low for name, (low, _) in chosen.items()},
        {name: high for name, (_, high) in chosen.items()},
    )
