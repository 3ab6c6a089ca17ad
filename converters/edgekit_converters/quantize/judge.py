"""How far an int8 model's answers are from float's, on samples that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit_converters.quantize.candidates import Inputs
from edgekit_converters.quantize.closing import open_ended
from edgekit_converters.runner import Runner

SILENCE = 1e-30
"""Stands in for the power of an output that is 0 throughout."""


class Judge:
    """Measures int8 models of one float model on the same samples.

    It listens in front of a closing softmax or sigmoid, which would let the samples that a network is surest of decide: on
    MobileNetV1 0.25, 20 photos tell two candidates 1 dB apart there, and behind the softmax they do not.

    Args:
        float_model: The original.
        int8_model: Any int8 model of it.
        samples: Model inputs.
        threads: Of the interpreters.
    """

    def __init__(
        self, float_model: bytes, int8_model: bytes, samples: Sequence[Inputs], threads: int
    ) -> None:
        exact, _, closers = open_ended(float_model, int8_model)
        self._float_model, self._samples, self._threads = float_model, samples, threads
        runner = Runner(exact, threads=threads)
        # A softmax does not see what all classes have in common.
        self._centred = closers == ("SOFTMAX",) and len(runner.outputs) == 1
        self._expected = [
            {name: self._seen(answer) for name, answer in runner.run(inputs).items()} for inputs in samples
        ]
        self._power = {
            port.name: max(float(np.mean([_power(each[port.name]) for each in self._expected])), SILENCE)
            for port in runner.outputs
        }

    def __len__(self) -> int:
        return len(self._samples)

    def noise(self, int8_model: bytes) -> np.ndarray:
        """The power of the outputs' error in each sample, as a share of the mean power of the float outputs.

        Each output counts alike, whatever its size: its noise is taken relative to its own power.

        Returns:
            float64 [samples].
        """
        runner = Runner(open_ended(self._float_model, int8_model)[1], threads=self._threads)
        found = []
        for inputs, expected in zip(self._samples, self._expected, strict=True):
            answers = runner.run_real(inputs)
            shares = [
                _power(self._seen(answers[name]) - wanted) / self._power[name]
                for name, wanted in expected.items()
            ]
            found.append(float(np.mean(shares)))
        return np.maximum(found, 1e-12)

    def _seen(self, answer: np.ndarray) -> np.ndarray:
        return answer - answer.mean(axis=-1, keepdims=True) if self._centred else answer


def _power(values: np.ndarray) -> float:
    return float(np.square(values, dtype=np.float64).sum())
