"""How a model was, or shall be, quantized: printable data that can be given back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgekit.errors import EdgekitError
from edgekit_converters.calibration.observers import observer

EFFORTS = ("fast", "balanced", "best")
ENGINE = "tensorflow-mlir"

EQUALIZE_WEIGHTS = "equalize-weights"
EQUALIZE = "equalize"
DEAD_CHANNELS = "dead-channels"
ROUND = "round"
REFIT = "refit"
BIAS = "bias"

CORRECTIONS = (EQUALIZE_WEIGHTS, EQUALIZE, DEAD_CHANNELS, ROUND, REFIT, BIAS)
"""In the order in which they are done. "refit" takes its ridge behind a colon: "refit:0.1"."""

LEAST_RIDGE, MOST_RIDGE = 1e-3, 1e6
"""Of refitting: with less, a Hessian of inputs that go together has no inverse; with more, nothing is refitted."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The steps between the float and the int8 model.

    Attributes:
        effort: "fast" takes the extremes of the calibration samples as they are; "balanced" also tries a few corrections and
            keeps what measures best; "best" tries more of them, and other ranges.
        ranges: How ranges follow from the samples: "minmax", "mse", "entropy" or "percentile:SHARE".
        corrections: Of CORRECTIONS, in that order.
        per_channel: One scale a channel for weights, else one a tensor.
        legalized: Operators that were rewritten because int8 has no kernel for them.
        int16: Names of the tensors that have 16 bits (int16, and int64 biases), in order; the audit allows no others.
        int16_operators: Numbers of the operators that were widened, in the int8 model as the quantizer makes it: what
            `int16.widen` takes, to do the same again.
    """

    effort: str = "balanced"
    ranges: str = "minmax"
    corrections: tuple[str, ...] = ()
    per_channel: bool = True
    legalized: tuple[str, ...] = ()
    int16: tuple[str, ...] = ()
    int16_operators: tuple[int, ...] = ()

    def corrected(self, *names: str) -> Recipe:
        """The same recipe with more corrections, put into their order."""
        return replace(self, corrections=tuple(sorted({*self.corrections, *names}, key=_place)))

    @property
    def refit_ridge(self) -> float | None:
        """The ridge of refitting; None where weights are not refitted."""
        return next(
            (float(each.partition(":")[2]) for each in self.corrections if _kind(each) == REFIT), None
        )

    def __str__(self) -> str:
        return " + ".join((self.ranges, *self.corrections, *(["some int16"] if self.int16 else [])))

    def to_json(self) -> dict[str, object]:
        """For the manifest."""
        return {
            "effort": self.effort,
            "engine": ENGINE,
            "ranges": self.ranges,
            "corrections": list(self.corrections),
            "per_channel": self.per_channel,
            "legalized": list(self.legalized),
            "int16": list(self.int16),
            "int16_operators": list(self.int16_operators),
        }


def recipe_from_json(said: object) -> Recipe:
    """A recipe as a manifest or a user's file has it.

    Args:
        said: An object with any of "ranges", "corrections" and "per_channel"; what a manifest says beside them is kept or
            follows from the model, and is let pass.

    Raises:
        EdgekitError: It says what no recipe knows.
    """
    if not isinstance(said, Mapping):
        raise _refusal("is no JSON object")
    unknown = sorted(
        set(map(str, said))
        - {
            "effort",
            "engine",
            "ranges",
            "corrections",
            "per_channel",
            "legalized",
            "int16",
            "int16_operators",
        }
    )
    if unknown:
        raise _refusal(f"knows no '{unknown[0]}'")
    ranges, corrections = said.get("ranges", "minmax"), said.get("corrections", [])
    per_channel, effort = said.get("per_channel", True), said.get("effort", "balanced")
    if not isinstance(ranges, str) or not isinstance(per_channel, bool) or effort not in EFFORTS:
        raise _refusal("needs a text as ranges, true or false as per_channel, and a known effort, if any")
    observer(ranges)
    if not isinstance(corrections, list | tuple) or not all(isinstance(each, str) for each in corrections):
        raise _refusal("needs a list of texts as corrections")
    for each in corrections:
        _check_correction(each)
    rounding = sorted({each for each in corrections if _kind(each) in (ROUND, REFIT)})
    if len(rounding) > 1:
        raise _refusal(f"rounds weights twice: {rounding[0]} and {rounding[1]}")
    widened = said.get("int16_operators", [])
    if not isinstance(widened, list | tuple) or not all(type(each) is int and each >= 0 for each in widened):
        raise _refusal("needs a list of operator numbers as int16_operators")
    recipe = Recipe(
        effort=str(effort), ranges=ranges, per_channel=per_channel, int16_operators=tuple(widened)
    )
    return recipe.corrected(*corrections)


def _check_correction(name: str) -> None:
    kind, _, ridge = name.partition(":")
    if kind not in CORRECTIONS:
        raise _refusal(f"knows no correction '{name}'")
    if (kind == REFIT) != bool(ridge) or (ridge and not _is_ridge(ridge)):
        raise _refusal(
            f"has a correction '{name}': only refit takes a number, within {LEAST_RIDGE:g}..{MOST_RIDGE:g} behind a colon"
        )


def _is_ridge(text: str) -> bool:
    try:
        return LEAST_RIDGE <= float(text) <= MOST_RIDGE
    except ValueError:
        return False


def _refusal(problem: str) -> EdgekitError:
    return EdgekitError(
        f"the recipe {problem}",
        hint=f"ranges: minmax, mse, entropy, percentile:99.99; corrections: {', '.join(CORRECTIONS)} (refit:0.1), as in "
        "a bundle's manifest",
    )


def _kind(correction: str) -> str:
    return correction.partition(":")[0]


def _place(correction: str) -> tuple[int, str]:
    return CORRECTIONS.index(_kind(correction)), correction
