"""From a float .tflite and samples to the int8 model that is kept: the conductor of this package."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgekit_converters.audit import LEGACY_UINT8, Audit, audit, require_int8
from edgekit_converters.calibration.observe import Observation, observe
from edgekit_converters.calibration.observers import ranges
from edgekit_converters.calibration.outliers import LeftOut
from edgekit_converters.golden import probe
from edgekit_converters.layers import SAMPLES as LAYER_SAMPLES
from edgekit_converters.layers import LayerError, layer_errors
from edgekit_converters.progress import Progress
from edgekit_converters.quantize.candidates import (
    MEMORY_BYTES,
    MOST_SAMPLES,
    Base,
    Choice,
    Inputs,
)
from edgekit_converters.quantize.engine import Quantizer, quantize, write_ranges
from edgekit_converters.quantize.equalize import equalize_weights
from edgekit_converters.quantize.int16_choice import with_int16
from edgekit_converters.quantize.leaving_out import leave_out
from edgekit_converters.quantize.legalize import legalize
from edgekit_converters.quantize.recipe import EQUALIZE_WEIGHTS, Recipe
from edgekit_converters.quantize.samples import Samples
from edgekit_converters.quantize.search import Budget, repeat, search
from edgekit_converters.quantize.spans import channel_spans
from edgekit_converters.quantize.ties import tie_ranges
from edgekit_converters.runner import Runner
from edgekit_converters.worker import Worker

RANGES = {
    "fast": ("minmax",),
    "balanced": ("minmax", "mse"),
    "best": ("minmax", "mse", "percentile:99.99"),
}
"""Methods that each effort tries, the plainest first. (Entropy lost by 10 dB and more on networks with hard-swish, and won
nowhere: a recipe may ask for it.)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked of quantization.

    Attributes:
        effort: One of `recipe.EFFORTS`.
        recipe: To be done as it is, without a search; None searches.
        per_channel: One scale a channel for weights, else one a tensor; a recipe says it for itself.
        keep_outliers: Whether samples that lie far outside the others are used all the same.
        allow_int16: Whether a few operators may work on 16 bits.
        budget_s: After so many seconds no other candidate is opened; None for no limit.
        threads: Interpreters side by side.
    """

    effort: str = "balanced"
    recipe: Recipe | None = None
    per_channel: bool = True
    keep_outliers: bool = False
    allow_int16: bool = False
    budget_s: float | None = None
    threads: int = 1

    @property
    def start(self) -> Recipe:
        """The recipe that everything begins with."""
        return self.recipe or Recipe(effort=self.effort, per_channel=self.per_channel)

    @property
    def methods(self) -> tuple[str, ...]:
        """How ranges are made from what was observed."""
        return RANGES[self.effort] if self.recipe is None else (self.recipe.ranges,)


@dataclass(frozen=True, slots=True)
class Int8Model:
    """The int8 model that is kept.

    Attributes:
        model: Its flatbuffer.
        audit: Of it.
        float_model: The float .tflite that it is measured against, unsupported operators rewritten; None for a model that
            came quantized.
        twin: The float .tflite that its layers stand for one by one: `float_model`, or what computes the same with channels
            rescaled; None for a model that came quantized.
        choice: How it was found; None for a model that came quantized.
        notes: What was rewritten, for the report.
        layers: The error along the network; empty for a model that came quantized.
        exceptions: What the audit let pass, one line each.
        left_out: Calibration samples that lay too far outside the others to be used.
    """

    model: bytes
    audit: Audit
    float_model: bytes | None = None
    twin: bytes | None = None
    choice: Choice | None = None
    notes: tuple[str, ...] = ()
    layers: tuple[LayerError, ...] = ()
    exceptions: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def quantize_model(
    exported: bytes, samples: Samples, settings: Settings, worker: Worker, progress: Progress
) -> Int8Model:
    """Calibrates, quantizes, corrects and audits.

    Args:
        exported: A float .tflite, static shapes, batch 1.
        samples: To calibrate on.
        settings: What is asked for.
        worker: Where TensorFlow and everything that may crash runs.
        progress: Is told how far the passes have come.

    Returns:
        The int8 model that is kept, strictly int8 by its audit but for what the recipe names.

    Raises:
        DataError: Too many samples lie far outside the others.
        NotInt8Error: The quantizer left something float.
        QuantizationError: The quantizer refuses the model.
        WorkerCrashedError: The runtime or the quantizer crashes on the model.
    """
    started = time.monotonic()
    float_model, rewritten = legalize(exported)
    worker.call("run the float model once", probe, float_model)
    observation = _observe(float_model, samples, settings, progress)
    left_out: tuple[LeftOut, ...] = ()
    if not settings.keep_outliers:
        observation, samples, left_out = leave_out(float_model, observation, samples)
    bases = list(_bases(float_model, observation, samples, settings, worker, progress))
    worker.close()  # nothing after this needs TensorFlow, and the passes below need the memory
    bases = [replace(base, recipe=replace(base.recipe, legalized=rewritten)) for base in bases]
    # A recipe with corrections needs samples whatever effort it names.
    plain = settings.start.effort == "fast" and not settings.start.corrections
    fitting = [] if plain else fitting_samples(float_model, samples)
    if settings.recipe is not None:
        choice = repeat(bases[-1], settings.recipe, fitting, threads=settings.threads)
    else:
        budget = Budget(settings.budget_s, started)
        choice = search(bases, fitting, budget, progress.status, threads=settings.threads)
        choice = with_int16(choice, fitting, asked=settings.allow_int16, threads=settings.threads)
    finished = audit(choice.model, int16=choice.recipe.int16)
    require_int8(finished)
    return Int8Model(
        model=choice.model,
        audit=finished,
        float_model=float_model,
        twin=choice.float_model,
        choice=choice,
        notes=(*rewritten, *filter(None, [choice.proposal])),
        exceptions=finished.exceptions,
        layers=layer_errors(choice.float_model, choice.model, itertools.islice(samples, LAYER_SAMPLES)),
        left_out=left_out,
    )


def _observe(model: bytes, samples: Samples, settings: Settings, progress: Progress) -> Observation:
    histograms = any(method != "minmax" for method in settings.methods)
    with progress.bar("calibrating", len(samples)) as step:
        return observe(model, samples, histograms=histograms, threads=settings.threads, progress=step)


def _bases(
    float_model: bytes,
    observation: Observation,
    samples: Samples,
    settings: Settings,
    worker: Worker,
    progress: Progress,
) -> Iterator[Base]:
    """The int8 models that the search starts from, the plainest first."""
    start = settings.start
    equalized = EQUALIZE_WEIGHTS in start.corrections
    if not equalized:
        for method in settings.methods:
            yield _base(float_model, observation, replace(start, ranges=method), worker)
    if equalized or (settings.recipe is None and not start.per_channel and start.effort != "fast"):
        # Channels of unlike weights matter where they share one scale; ranges are then those of the rescaled model.
        twin = equalize_weights(
            float_model, channel_spans(float_model, fitting_samples(float_model, samples))
        )
        observed = _observe(twin, samples, settings, progress)
        yield _base(twin, observed, start.corrected(EQUALIZE_WEIGHTS), worker)


def _base(float_model: bytes, observation: Observation, recipe: Recipe, worker: Worker) -> Base:
    tied = tie_ranges(float_model, ranges(observation, recipe.ranges))
    quantizer = Quantizer(per_channel=recipe.per_channel, per_channel_dense=recipe.per_channel)
    int8_model = worker.call("quantize the model", quantize, write_ranges(float_model, tied), quantizer)
    require_int8(audit(int8_model))
    worker.call("run the int8 model once", probe, int8_model)
    return Base(recipe, float_model, int8_model)


def keep_quantized(model: bytes) -> Int8Model:
    """Audits a model that came quantized and keeps it as it is.

    Raises:
        NotInt8Error: Something in it is neither int8 nor, as TensorFlow once quantized, uint8.
    """
    verdict = audit(model, allow=[LEGACY_UINT8])
    require_int8(verdict)
    return Int8Model(model=model, audit=verdict, exceptions=verdict.exceptions)


def fitting_samples(float_model: bytes, samples: Samples) -> list[Inputs]:
    """Takes up to MOST_SAMPLES, evenly spread, and no more than fit into MEMORY_BYTES."""
    size = sum(4 * math.prod(port.shape) for port in Runner(float_model).inputs)
    count = min(len(samples), MOST_SAMPLES, max(1, MEMORY_BYTES // max(size, 1)))
    wanted = {index * len(samples) // count for index in range(count)}
    return [inputs for row, inputs in enumerate(samples) if row in wanted]
