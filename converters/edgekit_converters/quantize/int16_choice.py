"""Whether 16-bit activations in a few operators are worth it, beside the best model that is int8 throughout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgekit_converters.quantize.candidates import (
    HELD_OUT_EVERY,
    Choice,
    Inputs,
    Trial,
    most_fitted,
    split,
)
from edgekit_converters.quantize.int16 import widen
from edgekit_converters.quantize.int16_search import (
    LEAST_GAIN_DB,
    Judge,
    Mixed,
    gain_db,
    islands_that_fit,
    search,
    surely_better,
)
from edgekit_converters.quantize.search import Made, make

MOST_PROPOSALS = 3
"""Islands that are tried where nobody asked: each costs as much as one candidate does."""

NOTHING_GAINED = (
    f"--allow-int16: no few layers bring {LEAST_GAIN_DB:g} dB on the held-out samples, so that all stay int8"
)
LEAST_JUDGES = 16
"""Held-out samples: half of them search, half decide, and fewer than eight decide nothing."""

TOO_FEW = f"--allow-int16 needs {LEAST_JUDGES * HELD_OUT_EVERY} calibration samples to choose layers by: all stay int8"


@dataclass(frozen=True, slots=True)
class MixedChoice:
    """The mixed model that beats the best int8 one.

    Attributes:
        mixed: Which operators; `Mixed.gain_db` is the gain over the best int8 model.
        corrected: Whether its biases are to be corrected.
    """

    mixed: Mixed
    corrected: bool


def choose_mixed(
    plain: bytes, best: bytes, judges_of: tuple[Judge, Judge], correct: Callable[[bytes], bytes]
) -> MixedChoice | None:
    """Searches, corrects biases where that helps, and compares.

    Args:
        plain: The int8 model before bias correction.
        best: The int8 model that would be kept.
        judges_of: Of samples that neither is fitted on: those that the search goes by, and others, which decide. The best
            of many on one set of samples is partly luck.
        correct: Corrects the biases of a mixed model, on samples that do not judge.

    Returns:
        What to keep in the place of `best`; None where it brings less than LEAST_GAIN_DB.
    """
    searching, judge = judges_of
    mixed = search(plain, searching)
    if mixed is None:
        return None
    bar = judge.noise(best)
    as_it_is, corrected = judge.noise(mixed.widened.model), judge.noise(correct(mixed.widened.model))
    is_corrected = bool(corrected.mean() < as_it_is.mean())
    noise = corrected if is_corrected else as_it_is
    if not surely_better(bar, noise):
        return None
    return MixedChoice(replace(mixed, gain_db=gain_db(bar, noise)), is_corrected)


def proposal(plain: bytes, best: bytes, judge: Judge) -> str | None:
    """One sentence for the report where 16 bits would help and nobody asked; None where they would not.

    Only islands of operators without weights are tried, a few of them: that is where int8 fails worst, and cheap to know.
    """
    bar = judge.noise(best)
    gains = {}
    for island in islands_that_fit(plain)[:MOST_PROPOSALS]:
        noise = judge.noise(widen(plain, island).model)
        if surely_better(bar, noise):
            gains[gain_db(bar, noise)] = island
    if not gains:
        return None
    return (
        f"--allow-int16 would raise the output SQNR by {max(gains):.1f} dB or more: 16-bit activations in "
        f"{len(gains[max(gains)])} operators without weights"
    )


def with_int16(choice: Choice, samples: Sequence[Inputs], *, asked: bool, threads: int) -> Choice:
    """Puts a mixed model in the place of the int8 one where that was asked for and pays, else says what it would bring.

    Args:
        choice: The best int8 model.
        samples: To fit and to judge on, the same as for `choice`.
        asked: Whether 16 bits are allowed.
        threads: For the interpreters.

    Returns:
        The choice, changed or not.
    """
    if choice.base is None:
        return replace(choice, proposal=TOO_FEW) if asked else choice
    most = most_fitted(choice.base.float_model)
    fitting, judging = split(samples, most)
    if len(judging) < LEAST_JUDGES:
        return replace(choice, proposal=TOO_FEW) if asked else choice
    base, plain = choice.base, choice.base.int8_model

    def judge(chosen: Sequence[Inputs]) -> Judge:
        return Judge.of(base.float_model, plain, chosen, threads=threads)

    if not asked:
        return replace(choice, proposal=proposal(plain, choice.model, judge(judging)) or "")

    def correct(model: bytes, chosen: Sequence[Inputs]) -> Made:
        return make(replace(base, int8_model=model), choice.recipe, chosen, threads=threads)

    halves = judge(judging[::2]), judge(judging[1::2])
    found = choose_mixed(plain, choice.model, halves, lambda model: correct(model, fitting).int8_model)
    if found is None:
        return replace(choice, proposal=NOTHING_GAINED)
    widened = found.mixed.widened
    made = Made(widened.model, base.float_model)
    if found.corrected:
        made = correct(widened.model, samples if len(fitting) < most else fitting)
    recipe = replace(
        choice.recipe,
        corrections=choice.recipe.corrections if found.corrected else base.recipe.corrections,
        int16=tuple(sorted(widened.tensors)),
        int16_operators=found.mixed.operators,
    )
    best = max(trial.sqnr_db for trial in choice.trials)
    return replace(
        choice,
        model=made.int8_model,
        float_model=made.float_model,
        recipe=recipe,
        trials=(*choice.trials, Trial(recipe, best + found.mixed.gain_db)),
    )
