"""Which of a few int8 models stays closest to the float one, by measurement and not by belief.

No correction wins on every model (bias correction gained 5 points on one network and cost 0.4 on another), so each is
fitted on a part of the calibration samples and judged on the rest. Candidates come plainest first, and one takes the place
of a plainer one only by more than chance.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekit.errors import EdgekitError
from edgekit_converters.quantize.candidates import (
    LEAST_SAMPLES,
    Base,
    Choice,
    Inputs,
    Trial,
    most_fitted,
    split,
)
from edgekit_converters.quantize.equalize import equalize_activations
from edgekit_converters.quantize.int16 import convertible, widen
from edgekit_converters.quantize.judge import Judge
from edgekit_converters.quantize.recipe import BIAS, DEAD_CHANNELS, EQUALIZE, REFIT, ROUND, Recipe
from edgekit_converters.quantize.reconstruct import Method, reconstruct
from edgekit_converters.quantize.rounding import DAMPING
from edgekit_converters.quantize.spans import channel_spans, int8_ranges
from edgekit_converters.quantize.spare import use_dead_channels
from edgekit_converters.runner import Runner
from edgekit_targets.tflite import read_graph

MARGIN_DB = 0.1
STANDARD_ERRORS = 1.0
"""By how much a candidate must win over a plainer one: a gain below either is as likely chance. (Two standard errors would
keep plainer models that are worse: 32 samples of 10 classes tell no less than 1 dB apart.)"""

BALANCED = ((BIAS,), (EQUALIZE, DEAD_CHANNELS, ROUND, BIAS))
BEST = (
    *BALANCED,
    (ROUND, BIAS),
    (EQUALIZE, ROUND, BIAS),
    (DEAD_CHANNELS, ROUND, BIAS),
    (f"{REFIT}:1", BIAS),
    (EQUALIZE, DEAD_CHANNELS, f"{REFIT}:1", BIAS),
    (f"{REFIT}:0.1", BIAS),
    (EQUALIZE, f"{REFIT}:0.1", BIAS),
)
CANDIDATES = {"balanced": BALANCED, "best": BEST}
"""Corrections that each effort tries, in the order of their cost."""


@dataclass(frozen=True, slots=True)
class Made:
    """An int8 model with its corrections, and the float model that its layers stand for."""

    int8_model: bytes
    float_model: bytes


def make(base: Base, recipe: Recipe, samples: Sequence[Inputs], *, threads: int) -> Made:
    """Applies the corrections of a recipe.

    Args:
        base: As the quantizer made it.
        recipe: Which corrections.
        samples: To fit them to.
        threads: Of the interpreters.
    """
    float_model, done = base.float_model, set(recipe.corrections)
    if done & {EQUALIZE, DEAD_CHANNELS}:
        ranges, spans = int8_ranges(base.int8_model), channel_spans(float_model, samples)
        if EQUALIZE in done:
            float_model, spans = equalize_activations(float_model, spans, ranges)
        if DEAD_CHANNELS in done:
            float_model, _ = use_dead_channels(float_model, spans, ranges)
    ridge = recipe.refit_ridge
    rounding = "refitted" if ridge is not None else "compensated" if ROUND in done else "nearest"
    method = Method(rounding, DAMPING if ridge is None else ridge, bias=BIAS in done)
    if rounding == "nearest" and not method.bias and float_model is base.float_model:
        return Made(base.int8_model, float_model)
    ports = Runner(base.int8_model).inputs
    pairs = [(inputs, {port.name: port.store(inputs[port.name]) for port in ports}) for inputs in samples]
    return Made(reconstruct(float_model, base.int8_model, pairs, method, threads=threads), float_model)


@dataclass(frozen=True, slots=True)
class Budget:
    """How long the search may go on opening candidates.

    Attributes:
        seconds: None for as long as it takes.
        started: By `time.monotonic`.
    """

    seconds: float | None
    started: float

    @property
    def spent(self) -> bool:
        """Whether no other candidate may be opened."""
        return self.seconds is not None and time.monotonic() - self.started >= self.seconds


@dataclass(frozen=True, slots=True)
class _Measured:
    base: Base
    recipe: Recipe
    made: Made
    noise: np.ndarray

    def beats(self, other: _Measured) -> bool:
        """Whether it is closer to float by more than chance."""
        gains = other.noise - self.noise
        error = float(gains.std(ddof=1)) / math.sqrt(len(gains))
        return self.trial.sqnr_db > other.trial.sqnr_db + MARGIN_DB and bool(
            gains.mean() > STANDARD_ERRORS * error
        )

    @property
    def trial(self) -> Trial:
        return Trial(self.recipe, -10 * math.log10(float(self.noise.mean())))


def search(
    bases: Sequence[Base],
    samples: Sequence[Inputs],
    budget: Budget,
    tell: Callable[[str], None],
    *,
    threads: int,
) -> Choice:
    """Tries what the recipe's effort allows and keeps what measures best.

    Args:
        bases: The plainest first.
        samples: Some fit, the others judge: see `split`.
        budget: Of the search.
        tell: Is told what is tried.
        threads: Of the interpreters.

    Returns:
        The choice.
    """
    plain = bases[0]
    if len(samples) < LEAST_SAMPLES or plain.recipe.effort not in CANDIDATES:
        return Choice(plain.int8_model, plain.float_model, plain.recipe)
    race = _Race(plain, samples, budget, tell, threads)
    kept = race.run(None, [(plain, plain.recipe)])
    first, *others = CANDIDATES[plain.recipe.effort]
    kept = race.run(kept, [(base, base.recipe.corrected(*first)) for base in bases])
    # Ranges that win with corrected biases alone need not win with everything else: "best" tries it on the plain ones too.
    starts = [kept.base] if kept.base is plain or plain.recipe.effort != "best" else [plain, kept.base]
    kept = race.run(kept, [(base, base.recipe.corrected(*each)) for each in others for base in starts])
    made = kept.made
    # With so many samples to fit on, the model that was judged is kept; with fewer, all are needed, those that judged too.
    if len(race.fitting) < race.most:
        made = make(kept.base, kept.recipe, samples, threads=threads)
    return Choice(
        made.int8_model,
        made.float_model,
        kept.recipe,
        tuple(race.trials),
        held_out=len(race.judge),
        stopped=race.stopped,
        base=kept.base,
    )


class _Race:
    """Candidates against each other, on the same samples."""

    def __init__(
        self,
        plain: Base,
        samples: Sequence[Inputs],
        budget: Budget,
        tell: Callable[[str], None],
        threads: int,
    ) -> None:
        self.most = most_fitted(plain.float_model)
        self.fitting, judging = split(samples, self.most)
        self.judge = Judge(plain.float_model, plain.int8_model, judging, threads)
        self.trials: list[Trial] = []
        self.stopped = False
        self._budget, self._tell, self._threads = budget, tell, threads

    def run(self, kept: _Measured | None, candidates: Sequence[tuple[Base, Recipe]]) -> _Measured:
        """Measures candidates in turn; returns the last that beat what was kept before it. The first of all wins."""
        for base, recipe in candidates:
            if kept is not None and self._budget.spent:
                self.stopped = True
                break
            found = self._measure(base, recipe)
            self.trials.append(found.trial)
            kept = found if kept is None or found.beats(kept) else kept
        assert kept is not None
        return kept

    def _measure(self, base: Base, recipe: Recipe) -> _Measured:
        self._tell(f"trying {recipe}")
        made = make(base, recipe, self.fitting, threads=self._threads)
        return _Measured(base, recipe, made, self.judge.noise(made.int8_model))


def repeat(base: Base, recipe: Recipe, samples: Sequence[Inputs], *, threads: int) -> Choice:
    """Does what a recipe says, without a search.

    Args:
        base: What the quantizer made of the recipe's ranges.
        recipe: Of an earlier search, or a user's own.
        samples: The same that a search would take.
        threads: Of the interpreters.
    """
    most = most_fitted(base.float_model)
    fitting, _ = split(samples, most)
    unfit = sorted(set(recipe.int16_operators) - convertible(read_graph(base.int8_model)))
    if unfit:
        raise EdgekitError(
            f"the recipe gives operator {unfit[0]} of this model 16-bit activations, and it cannot have them",
            hint="operators are numbered anew in every model: convert with --allow-int16 in the recipe's place",
        )
    widened = widen(base.int8_model, recipe.int16_operators) if recipe.int16_operators else None
    if widened is not None:
        base = replace(base, int8_model=widened.model)
    made = make(base, recipe, samples if len(fitting) < most else fitting, threads=threads)
    done = replace(
        recipe, legalized=base.recipe.legalized, int16=tuple(sorted(widened.tensors)) if widened else ()
    )
    return Choice(made.int8_model, made.float_model, done, repeated=True)
