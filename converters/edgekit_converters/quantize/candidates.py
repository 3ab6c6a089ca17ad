"""The nouns of the search: what is tried, what it is tried on, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit_converters.quantize.recipe import Recipe
from edgekit_targets.cost import macs
from edgekit_targets.ops import view
from edgekit_targets.tflite import read_graph

HELD_OUT_EVERY = 5
"""At least every fifth sample judges, the others fit."""

LEAST_SAMPLES = 2 * HELD_OUT_EVERY
"""With fewer samples nothing is left to judge on, and what a correction is fitted to is noise."""

LEAST_FITTED, MOST_FITTED = 48, 128
FITTING_MACS = 2 * 10**10
"""Samples that corrections are fitted to: as many as run the network with so many multiplications, within those bounds.
More cost time and move corrections by little. What is left over judges."""

MOST_SAMPLES = 256
"""That fit or judge."""

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


def most_fitted(float_model: bytes) -> int:
    """How many samples corrections of that model are fitted to at most."""
    work = sum(map(macs, view(read_graph(float_model))))
    return min(max(FITTING_MACS // max(work, 1), LEAST_FITTED), MOST_FITTED)


def split(samples: Sequence[Inputs], most: int) -> tuple[list[Inputs], list[Inputs]]:
    """Those to fit on, and those held out to judge; both evenly spread.

    Args:
        samples: All of them.
        most: That fit, from `most_fitted`.
    """
    count = min(len(samples) - -(-len(samples) // HELD_OUT_EVERY), most)
    fitted = {index * len(samples) // count for index in range(count)} if count else set()
    fitting = [sample for index, sample in enumerate(samples) if index in fitted]
    return fitting, [sample for index, sample in enumerate(samples) if index not in fitted]


@dataclass(frozen=True, slots=True)
class Trial:
    """One int8 model that was measured.

    Attributes:
        recipe: How it was made.
        sqnr_db: Power of the float outputs over the power of the int8 outputs' error, over the held-out samples, in dB.
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
        repeated: Whether a recipe was done again, without a search.
        base: What its corrections were applied to; None where nothing was searched.
        proposal: One sentence on what --allow-int16 would bring, or that it brings nothing; "" for neither.
    """

    model: bytes
    float_model: bytes
    recipe: Recipe
    trials: tuple[Trial, ...] = ()
    held_out: int = 0
    stopped: bool = False
    repeated: bool = False
    base: Base | None = None
    proposal: str = ""
