"""Which calibration samples lie so far outside the others that they must not set ranges.

One sample that was scaled wrongly, or holds a few broken readings, stretches min-max ranges until all the others share a
handful of int8 values. Judged is how far each tensor reaches in each sample, below 0, above it, and at either end, in
octaves (log2): gains and activations spread by factors, and 0.1 beside 1 is as far as 10. A sample is outlying in a
tensor if one of these

- exceeds the median over samples by more than SPREADS robust standard deviations, from the median absolute deviation
  (Leys et al. 2013, "Detecting outliers: do not use standard deviation around the mean, use absolute deviation
  around the median"; Iglewicz and Hoaglin 1993, "How to Detect and Handle Outliers"): neither moves with a few outliers;
- and exceeds what four of five samples reach at either end: what does not costs no precision;
- and stands apart: between it and the rest there is a gap, which is wide by itself and wide beside the spread of the
  rest. Data with a heavy tail or two modes (lying beside walking, silence beside speech) exceed any multiple of the
  deviation, but without such a gap.

Inputs are judged first. A tensor behind them is judged by what it exceeds beyond its sample's own inputs, as networks of
convolutions and RELUs pass a gain on; and several must agree, as single tensors have whims. Functions with a fixed range
(softmax) are not judged: they cannot stretch theirs. Decision 0013 has the measurements behind the constants.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from edgekit_converters.calibration.observe import Observation
from edgekit_targets.tflite import Graph

LEAST_SAMPLES = 20
"""With fewer, one sample is more than MOST_SHARE already, and a deviation of so few says little."""

MOST_SHARE = 0.05
"""What is left out beyond this share is no exception: it is how the data are, or they are broken as a whole."""

TO_SIGMA = 1.4826
"""Times the median absolute deviation: the standard deviation, if the values are normal."""

SPREADS = 3.0
"""Robust standard deviations above the median; 3 is Leys et al.'s "very conservative" choice."""

LARGEST_GROUP = 0.2
"""What more than a fifth of the samples do is a mode of the data."""

INPUT_GAP = math.log2(3)
INNER_GAP = math.log2(4)
"""The narrowest gap, in octaves. Nearest among clean sets of 20 samples: 2.5 for inputs, 3.5 behind them."""

AGREEING = 0.25
"""The share of the judged tensors behind the inputs in which a sample must be outlying."""

# A function whose results have the same bounds whatever it is fed.
BOUNDED_OPERATORS = frozenset(
    {"COS", "L2_NORMALIZATION", "LOGISTIC", "RELU6", "RELU_N1_TO_1", "SIN", "SOFTMAX", "TANH"}
)


@dataclass(frozen=True, slots=True)
class Outlier:
    """One outlying sample, with the tensor in which it lies farthest outside.

    Attributes:
        row: Of the observation.
        tensor: Its name.
        value: How far from 0 the sample reaches there, below it or above.
        limit: How far would not be outlying.
        others: How far the samples that are not outlying reach.
    """

    row: int
    tensor: str
    value: float
    limit: float
    others: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A sample that is not used.

    Attributes:
        origin: Where it comes from: "photos/cat/1.jpg", "x.npz row 12".
        outlier: Why.
    """

    origin: str
    outlier: Outlier

    def __str__(self) -> str:
        found = self.outlier
        return (
            f"{self.origin}: reaches {found.value:.3g} in tensor '{found.tensor}', {found.value / found.others:.3g} times "
            f"what the others reach ({found.others:.3g}; the limit is {found.limit:.3g})"
        )

    def to_json(self) -> dict[str, object]:
        """For the report; magnitudes rounded to six digits."""
        found = self.outlier
        numbers = {"value": found.value, "limit": found.limit, "others": found.others}
        return {
            "origin": self.origin,
            "tensor": found.tensor,
            **{key: float(f"{value:.6g}") for key, value in numbers.items()},
        }


def bounded_tensors(graph: Graph) -> frozenset[str]:
    """Names of the tensors that a function with a fixed range computes."""
    main = graph.main
    return frozenset(
        main.tensors[index].name
        for operator in main.operators
        if operator.opcode in BOUNDED_OPERATORS
        for index in operator.outputs
    )


def outlying(observation: Observation, bounded: Collection[str] = ()) -> tuple[Outlier, ...]:
    """The outlying samples, in the order of the observation.

    Args:
        observation: Of all samples.
        bounded: Names of tensors that are not judged.
    """
    judged = [column for column, name in enumerate(observation.tensors) if name not in bounded]
    if len(observation.low) < LEAST_SAMPLES or not judged:
        return ()
    names = [observation.tensors[column] for column in judged]
    fed = np.array([name in observation.fed for name in names])
    below, above = -observation.low[:, judged], observation.high[:, judged]
    ends = np.stack([below, above, np.maximum(below, above)]).astype(np.float64)
    octaves = _octaves(ends)  # [3, samples, tensors]
    magnitudes = octaves[2].copy()
    gains = _gains(magnitudes[:, fed])
    octaves[:, :, ~fed] -= gains[:, None]
    limits, others = _ends_of_rest(octaves, np.where(fed, INPUT_GAP, INNER_GAP))
    usual = np.quantile(magnitudes, 1 - LARGEST_GROUP, axis=0, method="higher")
    beyond = (octaves > limits[:, None]) & (_octaves(ends) > usual)
    agreeing = (beyond.any(axis=0) & ~fed).sum(axis=1) >= max(1.0, AGREEING * (~fed).sum())
    beyond &= fed | agreeing[:, None]
    result = []
    for row in np.flatnonzero(beyond.any(axis=(0, 2))):
        # What is seen at an input is named there: it is what the user gave.
        seen = beyond[:, row] & fed if (beyond[:, row] & fed).any() else beyond[:, row]
        excess = np.where(seen, octaves[:, row] - np.where(seen, limits, 0), -np.inf)
        end, worst = np.unravel_index(int(excess.argmax()), excess.shape)
        gain = 0.0 if fed[worst] else float(gains[row])
        limit, rest = (float(2 ** (level[end, worst] + gain)) for level in (limits, others))
        result.append(Outlier(int(row), names[worst], float(ends[end, row, worst]), limit, rest))
    return tuple(result)


def _octaves(reached: np.ndarray) -> np.ndarray:
    """log2; -inf where an end of a tensor does not lie beyond 0."""
    octaves: np.ndarray = np.log2(reached, out=np.full_like(reached, -np.inf), where=reached > 0)
    return octaves


def _gains(inputs: np.ndarray) -> np.ndarray:
    """[samples]: by how many octaves a sample's inputs exceed their median, at least 0."""
    gains = np.zeros(len(inputs))
    for octaves in inputs.T:
        some = octaves[np.isfinite(octaves)]
        if len(some):
            gains = np.maximum(gains, octaves - np.median(some))
    return gains


def _ends_of_rest(octaves: np.ndarray, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[3, tensors] twice: the limits, and the most that the samples within them reach."""
    pairs = [[_end_of_rest(column, gap) for column, gap in zip(end.T, gaps, strict=True)] for end in octaves]
    limits, others = np.moveaxis(np.array(pairs, np.float64), -1, 0)
    return limits, others


def _end_of_rest(octaves: np.ndarray, least_gap: float) -> tuple[float, float]:
    """Where the samples end from which others stand apart.

    Samples that do not reach beyond 0 at that end (-inf) are not counted: a feature that is seldom seen is not broken.

    Returns:
        The limit, and the most that the samples within reach; infinity twice where none stands apart.
    """
    ordered = np.sort(octaves[np.isfinite(octaves)])
    count = len(ordered)
    if count < LEAST_SAMPLES:
        return np.inf, np.inf
    median = np.median(ordered)
    deviation = TO_SIGMA * np.median(np.abs(ordered - median))
    apart = max(1, int(LARGEST_GROUP * count))  # at most so many
    rest, candidates = ordered[-apart - 1 : -1], ordered[-apart:]
    gaps = np.maximum(least_gap, _gap_per_spread(count) * (rest - median))
    limits = np.maximum(median + SPREADS * deviation, rest + gaps)
    found = np.flatnonzero(candidates > limits)
    return (float(limits[found[0]]), float(rest[found[0]])) if len(found) else (np.inf, np.inf)


def _gap_per_spread(count: int) -> float:
    """How wide a gap must be beside the spread, median to largest, of the `count` samples below it.

    The gap below the largest of n log-normal values is exponentially distributed with a mean of about
    sigma / sqrt(2 ln n), and the spread is about sigma * sqrt(2 ln n); this is 12 to 15 times their quotient.
    """
    return 1 + 30 / count
