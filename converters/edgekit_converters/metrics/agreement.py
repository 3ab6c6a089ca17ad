"""How closely int8 follows float where nothing else is known: equal answers, and signal to noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.metrics.classification import decisions
from edgekit_converters.metrics.metric import Answer, Decision, FloatArray, Metric
from edgekit_converters.metrics.statistics import Statistic, Weights, weighted_means

# The signal-to-noise ratio of float32's own rounding, 6.02 N + 1.76 dB for its 24-bit significand (Widrow &
# Kollár, Quantization Noise, 2008): nothing can be measured beyond it, so equal outputs get this value and
# not infinity.
DECIBELS_LIMIT = 6.02 * 24 + 1.76


def equal_share(first: Decision, second: Decision) -> float:
    """The share (0..1) of decisions that are equal; 0 or 1 where a sample has one."""
    return float(np.mean(first == second))


def powers(reference: FloatArray, other: FloatArray) -> tuple[float, float]:
    """Mean square of the reference, and of what the other differs from it by."""
    signal = reference.astype(np.float64)
    noise = signal - other
    return float(np.mean(signal**2)), float(np.mean(noise**2))


def decibels(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """10 log10(signal / noise) of powers, elementwise, within plus or minus the limit of float32."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * (np.log10(signal) - np.log10(noise))
    return np.clip(np.where(noise == 0, DECIBELS_LIMIT, ratio), -DECIBELS_LIMIT, DECIBELS_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement(Metric):
    """The percentage of classes (one a sample, or one a pixel) that int8 answers as float does; no labels.

    Attributes:
        outputs: The outputs with a class axis (the last one).
    """

    outputs: tuple[str, ...]
    needs_label: bool = False
    compares_to_float: bool = True

    def score(self, answer: Answer) -> NDArray[np.float64]:
        """The share of equal decisions of one sample: float64 (1,)."""
        reference = answer.label
        assert isinstance(reference, Mapping), "the float model's outputs stand in the label's place"
        return np.array([equal_share(self.decide(reference), self.decide(answer.outputs))])

    def pool(self, records: Sequence[NDArray[np.float64]]) -> Statistic:
        """The mean share, in %."""
        means = weighted_means(np.stack(records))

        def share(weights: Weights) -> NDArray[np.float64]:
            return 100 * means(weights)[:, 0]

        return share

    def decide(self, outputs: Mapping[str, FloatArray]) -> Decision:
        """The winning classes of all class outputs, one after another."""
        return np.concatenate([decisions(outputs[name]) for name in self.outputs])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sqnr(Metric):
    """Signal-to-quantization-noise ratio of int8 against float, in dB; no labels.

    For outputs that are no classes. Powers are summed over the samples before the ratio is taken, so that a
    silent sample cannot dominate. With several outputs it is the worst one's.

    Attributes:
        outputs: The outputs to compare.
    """

    outputs: tuple[str, ...]
    unit: str = "dB"
    needs_label: bool = False
    compares_to_float: bool = True

    def score(self, answer: Answer) -> NDArray[np.float64]:
        """Signal and noise power of each output: float64 (outputs, 2)."""
        reference = answer.label
        assert isinstance(reference, Mapping), "the float model's outputs stand in the label's place"
        return np.array([powers(reference[name], answer.outputs[name]) for name in self.outputs])

    def pool(self, records: Sequence[NDArray[np.float64]]) -> Statistic:
        """The worst output's ratio, in dB."""
        stacked = np.stack(records)
        signal, noise = (weighted_means(stacked[:, :, column]) for column in (0, 1))

        def worst(weights: Weights) -> NDArray[np.float64]:
            ratio: NDArray[np.float64] = decibels(signal(weights), noise(weights)).min(axis=1)
            return ratio

        return worst
