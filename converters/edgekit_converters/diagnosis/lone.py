"""Ranges that a single sample set: from the extremes of each sample, without another pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgekit_converters.calibration.observe import Observation

LEAST_RATIO = 1.5
"""A range that is so many times wider for one sample costs 3.5 dB of rounding noise in all others: worth a look."""

LEAST_SAMPLES = 10
"""Among fewer samples any one may well set a range, and nothing is odd about it."""


@dataclass(frozen=True, slots=True)
class LoneSample:
    """A tensor whose range one sample set alone.

    Attributes:
        tensor: Its name.
        sample: Number of the sample in its set.
        ratio: How many times wider the int8 range is than the other samples need.
    """

    tensor: str
    sample: int
    ratio: float


def find_lone_samples(
    observation: Observation, ranges: Mapping[str, tuple[float, float]]
) -> list[LoneSample]:
    """Looks for them.

    Args:
        observation: The extremes of each tensor in each sample.
        ranges: The least and the greatest value that the int8 tensor can say, by name. Where this range leaves the odd
            sample out, all is well, and nothing is found.

    Returns:
        At most one a tensor: the sample whose absence would narrow the range most.
    """
    found: list[LoneSample] = []
    if len(observation.low) < LEAST_SAMPLES:
        return found
    for column, name in enumerate(observation.tensors):
        if name not in ranges:
            continue
        low, high = observation.low[:, column], observation.high[:, column]
        sample, needed = _widest(low, high)
        # The smaller of the two: a range that is wide for another reason, a shared scale, is not the sample's doing.
        covered = min(_width(low, high), ranges[name][1] - ranges[name][0])
        if needed > 0 and covered >= LEAST_RATIO * needed:
            found.append(LoneSample(name, int(observation.numbers[sample]), covered / needed))
    return found


def _widest(low: np.ndarray, high: np.ndarray) -> tuple[int, float]:
    """The sample without which the range would be narrowest, and the width of the range then."""
    candidates = {int(low.argmin()), int(high.argmax())}
    widths = [(_width(np.delete(low, each), np.delete(high, each)), each) for each in sorted(candidates)]
    width, sample = min(widths)
    return sample, width


def _width(low: np.ndarray, high: np.ndarray) -> float:
    """Of the range that covers all of it; 0 lies within every int8 range (TFLite 8-bit quantization specification)."""
    return max(float(high.max()), 0.0) - min(float(low.min()), 0.0)
