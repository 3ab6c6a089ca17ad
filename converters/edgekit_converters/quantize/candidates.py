"""The nouns of the search: what is tried, what it is tried on, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgekit_converters.quantize.recipe import Recipe

HELD_OUT_EVERY = 5
"""Every fifth sample judges, the others fit."""

LEAST_SAMPLES = 2 * HELD_OUT_EVERY
"""With fewer samples nothing is left to judge on, and what a correction is fitted to is noise."""

MOST_SAMPLES = 160
"""More samples than this cost time and move no correction by much."""

MEMORY_BYTES = 128 << 20
"""The most that kept model inputs and outputs may take."""

Inputs = Mapping[str, np.ndarray]
"""Of the float model, by name: float32, batch 1."""


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
