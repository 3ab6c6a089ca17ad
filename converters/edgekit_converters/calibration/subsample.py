"""Which values of each tensor go into its histogram: enough of them, cheaply, and none preferred.

Counting every value costs about ten times the inference; every s-th value of a tensor, from an offset that is drawn anew for
each sample, costs less than the search for its extremes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

LEAST_VALUES = 4096
"""Taken of each tensor in each sample, if it has that many; the share of a value in 100 samples is then known to within
0.0016 (twice the standard error at a share of one half)."""

SEED = 20_261_127
"""Fixed, so that the same samples give the same histograms."""


def stride(size: int) -> int:
    """Of the values that are taken of a tensor with `size` values: 1 takes all of them.

    It shares no factor with the size, hence with none of its dimensions: else only some channels, or only some columns,
    would ever be seen in a sample.
    """
    longest = max(size // LEAST_VALUES, 1)
    return next(step for step in range(longest, 0, -1) if math.gcd(step, size) == 1)


def offsets(strides: Sequence[int], sample: int) -> list[int]:
    """Where in each tensor the first value is taken.

    Args:
        strides: Of the tensors.
        sample: Number of the sample in its set: it alone decides, whatever was drawn before.

    Returns:
        For each tensor a place below its stride.
    """
    drawn: list[int] = np.random.default_rng([SEED, sample]).integers(0, np.asarray(strides)).tolist()
    return drawn
