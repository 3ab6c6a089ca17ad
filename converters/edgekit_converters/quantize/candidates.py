"""Which of a few int8 models stays closest to the float one, by measurement and not by belief.

No correction wins on every model (bias correction gained 5 points on one network and cost 0.4 on another), so a correction
is first fitted on a part of the samples and judged on the rest; only if it wins there is it fitted on all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit_converters.calibration.observe import Observation
from edgekit_converters.quantize.corrections import correct_biases
from edgekit_converters.quantize.recipe import Recipe
from edgekit_converters.runner import Runner

HELD_OUT_EVERY = 5
"""Every fifth sample judges, the others fit."""

LEAST_SAMPLES = 2 * HELD_OUT_EVERY
"""With fewer samples nothing is left to judge on, and the means that a correction is made of are noise."""

MOST_SAMPLES = 256
"""More samples than this cost time and move no channel mean by much."""

MEMORY_BYTES = 64 << 20
"""The most that kept activations may take, so that `convert` needs no more memory than TFLiteConverter."""

MARGIN_DB = 0.5
"""By how much a correction must win: less than this, on a few dozen samples, is chance, and the plainer model is kept."""

SILENCE = 1e-30
"""Stands in for the power of an output that is 0 throughout."""

Samples = Sequence[Mapping[str, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Trial:
    """One int8 model that was measured.

    Attributes:
        recipe: How it was made.
        sqnr_db: Power of the float outputs over the power of the int8 outputs' error, on the held-out samples, in dB.
    """

    recipe: Recipe
    sqnr_db: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The int8 model that is kept.

    Attributes:
        model: The flatbuffer.
        recipe: How it was made.
        trials: Everything that was measured; empty where there was nothing to choose.
        held_out: Number of samples that judged.
        proposal: One sentence on what --allow-int16 would bring, or that it brings nothing; "" for neither.
    """

    model: bytes
    recipe: Recipe
    trials: tuple[Trial, ...] = ()
    held_out: int = 0
    proposal: str = ""


def judges(index: int) -> bool:
    """Whether the sample at that position is held out from fitting, to judge."""
    return index % HELD_OUT_EVERY == 0


@dataclass(frozen=True, slots=True)
class FittingSamples:
    """The calibration samples that corrections are fitted and judged on.

    Attributes:
        rows: Which row of the observation each sample is.
        quantized: Model inputs of each sample by name, int8.
        float_outputs: For the samples that judge, by their position: what the float model answers, float32, by name.
    """

    rows: Sequence[int]
    quantized: Samples
    float_outputs: Mapping[int, Mapping[str, np.ndarray]]


def choose(
    plain: bytes, recipe: Recipe, observation: Observation, samples: FittingSamples, *, threads: int
) -> Choice:
    """Tries bias correction on `plain` and keeps the better of the two.

    Args:
        plain: The int8 model as the quantizer made it.
        recipe: What made it.
        observation: Of the float model.
        samples: To fit and to judge on.
        threads: For the interpreters.

    Returns:
        The choice.
    """
    count = len(samples.rows)
    if count < LEAST_SAMPLES:
        return Choice(plain, recipe)
    judging = [index for index in range(count) if judges(index)]
    fitting = [index for index in range(count) if not judges(index)]

    def corrected(chosen: Sequence[int]) -> bytes:
        means = observation.channel_means([samples.rows[index] for index in chosen])
        inputs = [samples.quantized[index] for index in chosen]
        return correct_biases(plain, means, inputs, memory_bytes=MEMORY_BYTES, threads=threads).model

    def judged(model: bytes) -> float:
        inputs = [samples.quantized[index] for index in judging]
        expected = [samples.float_outputs[index] for index in judging]
        return output_sqnr_db(model, inputs, expected, threads=threads)

    with_bias = recipe.with_correction("bias")
    trials = (Trial(recipe, judged(plain)), Trial(with_bias, judged(corrected(fitting))))
    if trials[1].sqnr_db > trials[0].sqnr_db + MARGIN_DB:
        return Choice(corrected(range(count)), with_bias, trials, len(judging))
    return Choice(plain, recipe, trials, len(judging))


def output_sqnr_db(model: bytes, quantized: Samples, float_outputs: Samples, *, threads: int) -> float:
    """Signal-to-quantization-noise ratio of all outputs together, in dB.

    Each output counts alike, whatever its size: its noise is taken relative to its own power.
    """
    runner = Runner(model, threads=threads)
    signal = dict.fromkeys((spec.name for spec in runner.outputs), 0.0)
    noise = dict(signal)
    for inputs, expected in zip(quantized, float_outputs, strict=True):
        answers = runner.run(inputs)
        for spec in runner.outputs:
            error = spec.real(answers[spec.name]) - expected[spec.name]
            signal[spec.name] += float(np.square(expected[spec.name], dtype=np.float64).sum())
            noise[spec.name] += float(np.square(error, dtype=np.float64).sum())
    ratios = [noise[name] / max(signal[name], SILENCE) for name in signal]
    return float(-10 * np.log10(max(float(np.mean(ratios)), 1e-12)))
