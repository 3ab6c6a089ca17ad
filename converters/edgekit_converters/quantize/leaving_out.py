"""Takes outlying samples out of everything that calibration says."""

from __future__ import annotations

import math

from edgekit.errors import DataError
from edgekit_converters.calibration.observe import Observation, observe
from edgekit_converters.calibration.outliers import MOST_SHARE, LeftOut, bounded_tensors, outlying
from edgekit_converters.quantize.samples import Samples
from edgekit_targets.tflite import read_graph

MOST_NAMED = 5
"""Samples that an error message names."""


def leave_out(
    float_model: bytes, observation: Observation, samples: Samples
) -> tuple[Observation, Samples, tuple[LeftOut, ...]]:
    """Observation and samples without the outlying ones.

    Histograms lose exactly what those samples put in: they are observed once more, under the numbers they had.

    Args:
        float_model: What was observed.
        observation: Of all samples.
        samples: The same.

    Returns:
        Both without the outlying samples, and these.

    Raises:
        DataError: They are more than MOST_SHARE of all; the message names them.
    """
    found = outlying(observation, bounded_tensors(read_graph(float_model)))
    if not found:
        return observation, samples, ()
    rows = [each.row for each in found]
    outside = samples.only(rows)
    left_out = tuple(map(LeftOut, outside.origins(), found))
    _require_few(left_out, len(samples))
    again = {}
    if observation.histograms:
        numbers = observation.numbers[rows].tolist()
        again = dict(observe(float_model, outside, histograms=True, numbers=numbers).histograms)
    return observation.without(rows, again), samples.without(rows), left_out


def _require_few(left_out: tuple[LeftOut, ...], count: int) -> None:
    if len(left_out) <= MOST_SHARE * count:
        return
    named = [f"  {each}" for each in left_out[:MOST_NAMED]]
    if len(left_out) > MOST_NAMED:
        named.append(f"  and {len(left_out) - MOST_NAMED} more")
    raise DataError(
        f"{len(left_out)} of {count} calibration samples lie far outside the others, and no more than "
        f"{math.floor(MOST_SHARE * count)} ({MOST_SHARE:.0%}) would be left out:\n" + "\n".join(named),
        hint="look at these samples: a wrong scale or unit, or broken readings? If the device will see such "
        "input, --keep-outliers uses all samples as they are",
    )
