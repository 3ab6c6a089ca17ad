"""How far outputs are from those of the float model: relative powers that no single sample decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit_converters.diagnosis.hybrid import Hybrid, State, through

MOST_DB = 120.0
"""An error of nothing as a ratio; float32 carries about 146 dB."""

Outputs = Mapping[str, np.ndarray]


def decibels(relative: float) -> float:
    """The SQNR of a relative error power, in dB."""
    return float(-10 * math.log10(max(relative, 10 ** (-MOST_DB / 10))))


def weights_of(signal: np.ndarray) -> np.ndarray:
    """What the error power of each sample is multiplied with, so that their sum is a relative error.

    An error counts relative to the power of its own sample where that is louder than the median, else relative to the
    median: one sample at a hundred times the size of all others would else be the only one that counts, and an almost
    silent one would count without limit.

    Args:
        signal: float64 [samples], the power of each in float.

    Returns:
        float64 [samples].
    """
    weights: np.ndarray = 1 / (np.maximum(np.maximum(signal, np.median(signal)), 1e-30) * len(signal))
    return weights


@dataclass(frozen=True, slots=True)
class Score:
    """What outputs are compared with.

    Attributes:
        expected: Of each sample, the float outputs.
        error: Of each sample, int8 minus float.
        weights: Of each output: what the error power of each sample is multiplied with, float64 [samples].
    """

    expected: Sequence[Outputs]
    error: Sequence[Outputs]
    weights: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, hybrid: Hybrid, samples: Sequence[State]) -> Score:
        """Runs both models as a whole."""
        chain = hybrid.chain
        last = len(chain.blocks) - 1
        exact, rough = hybrid.stretch("float", 0, last), hybrid.stretch("int8", 0, last)
        outputs = frozenset(chain.outputs)
        expected = [through(exact, sample, outputs) for sample in samples]
        answers = [hybrid.real(through(rough, hybrid.store(sample), outputs)) for sample in samples]
        weights = {}
        for name in chain.outputs:
            signal = np.array([_dot(output[name], output[name]) for output in expected])
            weights[name] = weights_of(signal) / len(chain.outputs)
        return cls(expected, [difference(*pair) for pair in zip(answers, expected, strict=True)], weights)

    def product(self, some: Sequence[Outputs], others: Sequence[Outputs]) -> float:
        """The inner product of two errors over all samples and outputs."""
        return sum(
            float(weights[sample]) * _dot(one[name], other[name])
            for sample, (one, other) in enumerate(zip(some, others, strict=True))
            for name, weights in self.weights.items()
        )

    def relative(self, answers: Sequence[Outputs]) -> float:
        """The relative error power of answers."""
        errors = [difference(*pair) for pair in zip(answers, self.expected, strict=True)]
        return self.product(errors, errors)


def difference(some: Outputs, others: Outputs) -> Outputs:
    """Output by output, float32."""
    return {name: np.asarray(value, np.float32) - others[name] for name, value in some.items()}


def _dot(some: np.ndarray, others: np.ndarray) -> float:
    return float(np.vdot(np.asarray(some, np.float64), np.asarray(others, np.float64)))
