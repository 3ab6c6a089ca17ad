"""What a layer wrote into its output tensor, in float and in int8: the error that has piled up, and full-scale values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.preprocess import dequantize
from edgekit_converters.calibration.histogram import Histogram
from edgekit_converters.diagnosis.hybrid import State
from edgekit_converters.diagnosis.score import weights_of

LOWEST, HIGHEST = -128, 127

SLACK = 1.0
"""Steps beyond the range that are no loss worth a word: the scale of a softmax is 1/256 by TFLite's 8-bit quantization
specification, so that a probability of 1 lies one step beyond 127."""


@dataclass(frozen=True, slots=True)
class Saturation:
    """How much of an int8 tensor lies at the ends of its range.

    Attributes:
        at_ends: Share of int8 values that are -128 or 127.
        explained: Share of float values whose own place is there: what an activation function clips (the 0 of a ReLU, the
            6 of a ReLU6) and the extremes themselves, up to one step beyond the range.
    """

    at_ends: float
    explained: float

    @property
    def beyond(self) -> float:
        """The share of int8 values at an end for which the float model gives no reason."""
        return max(0.0, self.at_ends - self.explained)


@dataclass(frozen=True, slots=True)
class Written:
    """One tensor over all samples.

    Attributes:
        name: Of the tensor.
        scale: Real units a step.
        zero_point: The integer that means 0.
        error: Power of the int8 error, that of earlier layers included, relative to the power of the float values as
            `score.weights_of` says.
        saturation: At the ends of the range.
        histogram: Of the float values.
        uneven: The largest magnitude of its largest channel over that of its median channel, channels of nothing but 0
            left out; 1 where there is one channel.
    """

    name: str
    scale: float
    zero_point: int
    error: float
    saturation: Saturation
    histogram: Histogram
    uneven: float

    @property
    def low(self) -> float:
        """The least value that int8 can say."""
        return (LOWEST - self.zero_point) * self.scale

    @property
    def high(self) -> float:
        """The greatest value that int8 can say."""
        return (HIGHEST - self.zero_point) * self.scale

    @property
    def clipped(self) -> float:
        """Share of float values that lie beyond the range by more than `SLACK`; to the width of histogram bins."""
        values, counts = self.histogram.values, self.histogram.counts
        slack = SLACK * self.scale
        beyond = (values < self.low - slack) | (values > self.high + slack)
        return float(counts[beyond].sum() / max(self.histogram.total, 1))


def look(name: str, scale: float, zero_point: int, exact: Sequence[State], rough: Sequence[State]) -> Written:
    """Compares one tensor.

    Args:
        name: Of the tensor.
        scale: Of the int8 tensor.
        zero_point: Of the int8 tensor.
        exact: The float model's tensors, of each sample.
        rough: The int8 model's.
    """
    signal, noise = np.zeros(len(exact)), np.zeros(len(exact))
    at_ends = explained = count = 0
    histograms, peaks = [], []
    for row, (state, state8) in enumerate(zip(exact, rough, strict=True)):
        values, stored = state[name], state8[name]
        signal[row] = np.square(values, dtype=np.float64).sum()
        noise[row] = np.square(dequantize(stored, scale, zero_point) - values, dtype=np.float64).sum()
        steps = values / np.float32(scale) + zero_point
        at_ends += int(np.count_nonzero((stored == LOWEST) | (stored == HIGHEST)))
        explained += _at_ends(steps)
        count += stored.size
        histograms.append(Histogram.of(values))
        peaks.append(np.abs(values.reshape(-1, values.shape[-1] if values.ndim else 1)).max(axis=0))
    share = 1 / max(count, 1)
    return Written(
        name=name,
        scale=scale,
        zero_point=zero_point,
        error=float(weights_of(signal) @ noise),
        saturation=Saturation(at_ends * share, explained * share),
        histogram=Histogram.merging(histograms),
        uneven=_uneven(np.max(peaks, axis=0)),
    )


def _uneven(peaks: np.ndarray) -> float:
    peaks = peaks[peaks > 0]
    return float(peaks.max() / np.median(peaks)) if len(peaks) else 1.0


def _at_ends(steps: np.ndarray) -> int:
    """How many values belong at an end of the range; `steps` are places on it."""
    low = (steps >= LOWEST - SLACK) & (steps < LOWEST + 0.5)
    high = (steps > HIGHEST - 0.5) & (steps <= HIGHEST + SLACK)
    return int(np.count_nonzero(low | high))
