"""The nouns of the search: what is tried, what it is tried on, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit_converters.quantize.recipe import Recipe
from edgekit_converters.runner import Runner

HELD_OUT_EVERY = 5
"""Every fifth sample judges, the others fit."""

LEAST_SAMPLES = 2 * HELD_OUT_EVERY
"""With fewer samples nothing is left to judge on, and what a correction is fitted to is noise."""

MOST_SAMPLES = 160
"""More samples than this cost time and move no correction by much."""

MEMORY_BYTES = 128 << 20
"""The most that kept model inputs and outputs may take."""

MOST_DB = 60.0
"""Of one sample: an output that is right to a thousandth is right, and a silent one says nothing."""

Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Base:
    """An int8 model as the quantizer made it, and the float model that its layers stand for.

    Attributes:
        recipe: What made it.
        float_model: A float .tflite that computes what the original does.
        int8_model: From it.
    """

    recipe: Recipe
    float_model: bytes
    int8_model: bytes


@dataclass(frozen=True, slots=True)
class FittingSample:
    """One calibration sample that corrections are fitted or judged on.

    Attributes:
        inputs: Model inputs by name, float32, batch 1.
        outputs: What the float model answers, where the sample judges.
    """

    inputs: Inputs
    outputs: Inputs | None = None


def judges(index: int) -> bool:
    """Whether the sample at that position is held out from fitting, to judge."""
    return index % HELD_OUT_EVERY == 0


@dataclass(frozen=True, slots=True)
class Trial:
    """One int8 model that was measured.

    Attributes:
        recipe: How it was made.
        sqnr_db: Power of the float outputs over the power of the int8 outputs' error, the mean over held-out samples, in dB.
    """

    recipe: Recipe
    sqnr_db: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The int8 model that is kept.

    Attributes:
        model: The flatbuffer.
        float_model: The float model that its layers stand for: rescaled where the recipe says so.
        recipe: How it was made.
        trials: Everything that was measured, in order; empty where there was nothing to choose.
        held_out: Number of samples that judged.
        stopped: Whether the budget ended the search.
    """

    model: bytes
    float_model: bytes
    recipe: Recipe
    trials: tuple[Trial, ...] = ()
    held_out: int = 0
    stopped: bool = False


def stored(int8_model: bytes, samples: Sequence[FittingSample]) -> list[tuple[Inputs, Inputs]]:
    """For each sample the float inputs, and what an int8 model is fed for them."""
    ports = Runner(int8_model).inputs
    return [
        (sample.inputs, {port.name: port.store(sample.inputs[port.name]) for port in ports})
        for sample in samples
    ]


def sqnr_db(int8_model: bytes, samples: Sequence[FittingSample], *, threads: int) -> np.ndarray:
    """Signal-to-quantization-noise ratio of all outputs together, sample by sample.

    Each output counts alike, whatever its size: its noise is taken relative to its own power. The mean over samples of
    decibels, unlike that of powers, is not ruled by the few samples that the model is surest or least sure of.

    Args:
        int8_model: The flatbuffer.
        samples: That judge.
        threads: Of the interpreter.

    Returns:
        float64 [samples], in dB, within -MOST_DB..MOST_DB.
    """
    runner = Runner(int8_model, threads=threads)
    ratios = []
    for sample in samples:
        assert sample.outputs is not None
        answers = runner.run_real(sample.inputs)
        noise = [_noise(answers[name], expected) for name, expected in sample.outputs.items()]
        ratios.append(np.mean(noise))
    return np.asarray(np.clip(-10 * np.log10(np.maximum(ratios, 1e-30)), -MOST_DB, MOST_DB))


def _noise(answer: np.ndarray, expected: np.ndarray) -> float:
    power = float(np.square(expected, dtype=np.float64).sum())
    error = float(np.square(answer - expected, dtype=np.float64).sum())
    return error / max(power, 1e-30)
