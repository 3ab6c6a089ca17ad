"""How far an int8 model's answers are from float's, on samples that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit_converters.quantize.candidates import Inputs
from edgekit_converters.quantize.closing import open_ended
from edgekit_converters.runner import Runner

MOST_DB = 60.0
"""Of one sample: an output that is right to a thousandth is right, and a silent one says nothing."""


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

    def __len__(self) -> int:
        return len(self._samples)

    def sqnr_db(self, int8_model: bytes) -> np.ndarray:
        """Signal-to-quantization-noise ratio of all outputs together, sample by sample.

        Each output counts alike, whatever its size: its noise is taken relative to its own power. (The mean over samples
        of decibels, unlike that of powers, is not ruled by a few samples.)

        Returns:
            float64 [samples], in dB, within -MOST_DB..MOST_DB.
        """
        runner = Runner(open_ended(self._float_model, int8_model)[1], threads=self._threads)
        ratios = []
        for inputs, expected in zip(self._samples, self._expected, strict=True):
            answers = runner.run_real(inputs)
            noise = [_noise(self._seen(answers[name]), wanted) for name, wanted in expected.items()]
            ratios.append(np.mean(noise))
        return np.asarray(np.clip(-10 * np.log10(np.maximum(ratios, 1e-30)), -MOST_DB, MOST_DB))

    def _seen(self, answer: np.ndarray) -> np.ndarray:
        return answer - answer.mean(axis=-1, keepdims=True) if self._centred else answer


def _noise(answer: np.ndarray, expected: np.ndarray) -> float:
    power = float(np.square(expected, dtype=np.float64).sum())
    error = float(np.square(answer - expected, dtype=np.float64).sum())
    return error / max(power, 1e-30)
