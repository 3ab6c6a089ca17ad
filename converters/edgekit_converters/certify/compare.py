"""How far the answers of a board are from those that were expected, and whether that is allowed. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.errors import CertifyError
from edgekit.manifest import Manifest
from edgekit_converters.certify.recipes import TFLITE
from edgekit_converters.golden import TOLERANCE_STEPS

MICRO = "tflite-micro"
GOLDEN = "golden"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is no fault: one of the two.

    Attributes:
        steps: The largest difference of any value, in int8 steps.
        top1: The least share of samples with the same highest value, 0..1.
    """

    steps: int | None = None
    top1: float | None = None

    def __str__(self) -> str:
        """As `parse_tolerance` reads it."""
        return f"{self.steps}" if self.top1 is None else f"{self.top1 * 100:.6g}%"


TOLERANCES: Mapping[str, Tolerance] = {
    GOLDEN: Tolerance(steps=0),
    "reference": Tolerance(steps=0),
    "xnnpack": Tolerance(steps=1),
    "builtin": Tolerance(top1=0.99),
    TFLITE: Tolerance(top1=0.99),
    MICRO: Tolerance(top1=0.99),
}
"""By LiteRT's kernels, or by the name of another runtime. "golden" is for x86-64 against the recorded answers, where
the same runtime and kernels are to give the same bits."""

WITHOUT_SCORES = Tolerance(steps=TOLERANCE_STEPS["builtin"])
"""What stands for a share of samples where the model has no output with scores of classes."""

APPROXIMATED = frozenset({"SOFTMAX"})
"""Operators that XNNPACK computes by way of floats, and not alike on every processor."""

_WORD = re.compile(r"([a-z0-9-]+)=(\d{1,3})(\.\d{1,6})?(%?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Difference:
    """How far answers are from others.

    Attributes:
        bit_exact: Whether every value is the same.
        max_step: The largest difference of any value, in int8 steps.
        top1_agreement: The share of samples with the same highest value, 0..1; None without an output of scores.
    """

    bit_exact: bool
    max_step: int
    top1_agreement: float | None


def parse_tolerances(words: Sequence[str]) -> dict[str, Tolerance]:
    """The tolerances of a command line over the usual ones.

    Args:
        words: Each "KERNELS=STEPS" or "KERNELS=SHARE%", or several with commas between.

    Raises:
        CertifyError: One of them is neither.
    """
    found = dict(TOLERANCES)
    for word in (part.strip() for several in words for part in several.split(",")):
        match = _WORD.fullmatch(word)
        if match is None or match[1] not in TOLERANCES or (match[3] and not match[4]):
            raise CertifyError(
                f"--tolerance {word}: is no tolerance",
                hint=f"write KERNELS=STEPS or KERNELS=PERCENT%, where KERNELS is one of {', '.join(TOLERANCES)}",
            )
        number = float(match[2] + (match[3] or ""))
        if number > (100 if match[4] else 255):
            raise CertifyError(
                f"--tolerance {word}: is too large", hint="steps lie within 0..255, a share within 0..100%"
            )
        found[match[1]] = Tolerance(top1=number / 100) if match[4] else Tolerance(steps=int(number))
    return found


def scores_of(manifest: Manifest) -> int | None:
    """The number of the output whose last axis holds scores of classes; None where there is none.

    With labels it is the first output that has as many values there; without, the first that is a vector.
    """
    for number, spec in enumerate(manifest.outputs):
        classes = spec.shape[-1]
        if classes > 1 and (
            len(spec.shape) == 2 if manifest.labels is None else classes == len(manifest.labels)
        ):
            return number
    return None


def compare(expected: Sequence[np.ndarray], given: Sequence[np.ndarray], scores: int | None) -> Difference:
    """Sets answers beside those that were expected.

    Args:
        expected: One array of integers for each output, [samples, *shape without batch].
        given: Likewise.
        scores: The output whose last axis holds scores; None for none.

    Raises:
        CertifyError: They are not of the same shapes and dtypes.
    """
    if [(a.shape, a.dtype) for a in expected] != [(a.shape, a.dtype) for a in given]:
        shapes = ", ".join(f"{a.dtype} {a.shape}" for a in given)
        raise CertifyError(
            f"the model answers outputs that its manifest does not know: {shapes}",
            hint="convert the model again",
        )
    steps = [
        int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max())
        for a, b in zip(expected, given, strict=True)
    ]
    agreement = None if scores is None else _agreement(expected[scores], given[scores])
    return Difference(max(steps) == 0, max(steps), agreement)


def _agreement(expected: np.ndarray, given: np.ndarray) -> float:
    """The share of rows whose highest value stands where the expected row has its highest; equal ones all count."""
    place = given.argmax(-1)[..., None]
    return float((np.take_along_axis(expected, place, -1)[..., 0] == expected.max(-1)).mean())


def find_fault(difference: Difference, tolerance: Tolerance, samples: int) -> str | None:
    """What is wrong with answers, in words that follow "is"; None where nothing is.

    Args:
        difference: How far they are from what was expected.
        tolerance: What is allowed.
        samples: How many there were, for the words.
    """
    if tolerance.top1 is not None:
        if difference.top1_agreement is not None:
            if difference.top1_agreement >= tolerance.top1:
                return None
            agreed, asked = f"{difference.top1_agreement * 100:.4g}", f"{tolerance.top1 * 100:.4g}"
            often = f"top-1 agrees in {agreed} % of {samples} samples, and at least {asked} is asked"
            return f"of another opinion too often: {often}"
        tolerance = WITHOUT_SCORES
    assert tolerance.steps is not None
    if difference.max_step <= tolerance.steps:
        return None
    return f"off by {difference.max_step} int8 step{'s' * (difference.max_step != 1)}, and {tolerance.steps} allowed"
