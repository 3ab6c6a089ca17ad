"""From a float .tflite and samples to the int8 model that is kept: the conductor of this package."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from edgekit_converters.audit import LEGACY_UINT8, Audit, audit, require_int8
from edgekit_converters.calibration.observe import Observation, observe
from edgekit_converters.golden import probe
from edgekit_converters.layers import SAMPLES as LAYER_SAMPLES
from edgekit_converters.layers import LayerError, layer_errors
from edgekit_converters.progress import Progress
from edgekit_converters.quantize.candidates import (
    HELD_OUT_EVERY,
    LEAST_SAMPLES,
    MEMORY_BYTES,
    MOST_SAMPLES,
    Choice,
    FittingSamples,
    choose,
    judges,
)
from edgekit_converters.quantize.corrections import BIASED_OPERATORS
from edgekit_converters.quantize.engine import Quantizer, quantize, write_ranges
from edgekit_converters.quantize.int16_choice import with_int16
from edgekit_converters.quantize.legalize import legalize
from edgekit_converters.quantize.recipe import Recipe
from edgekit_converters.quantize.ties import tie_ranges
from edgekit_converters.runner import Runner
from edgekit_converters.worker import Worker
from edgekit_targets.tflite import read_graph


@dataclass(frozen=True, slots=True)
class Int8Model:
    """The int8 model that is kept.

    Attributes:
        model: Its flatbuffer.
        audit: Of it.
        float_model: The float .tflite that it is measured against, unsupported operators rewritten; None for a model that
            came quantized.
        choice: How it was found; None for a model that came quantized.
        notes: What was rewritten, for the report.
        layers: The error along the network; empty for a model that came quantized.
        exceptions: What the audit let pass, one line each.
    """

    model: bytes
    audit: Audit
    float_model: bytes | None = None
    choice: Choice | None = None
    notes: tuple[str, ...] = ()
    layers: tuple[LayerError, ...] = ()
    exceptions: tuple[str, ...] = ()


class Samples(Iterable[Mapping[str, np.ndarray]]):
    """Float model inputs by name, batch 1: a stream that can be started anew, and whose length is known."""

    def __init__(self, source: Iterable[tuple[object, Mapping[str, np.ndarray]]], count: int) -> None:
        self._source = source
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Mapping[str, np.ndarray]]:
        return (inputs for _, inputs in self._source)


def quantize_model(
    exported: bytes,
    samples: Samples,
    effort: str,
    worker: Worker,
    progress: Progress,
    threads: int,
    allow_int16: bool = False,
) -> Int8Model:
    """Calibrates, quantizes, audits and corrects.

    Args:
        exported: A float .tflite, static shapes, batch 1.
        samples: To calibrate on.
        effort: One of `recipe.EFFORTS`.
        worker: Where TensorFlow and everything that may crash runs.
        progress: Is told how far the passes have come.
        threads: Interpreters side by side.
        allow_int16: Whether a few operators may work on 16 bits.

    Returns:
        The int8 model that is kept, strictly int8 by its audit but for what the recipe names.

    Raises:
        NotInt8Error: The quantizer left something float.
        QuantizationError: The quantizer refuses the model.
        WorkerCrashedError: The runtime or the quantizer crashes on the model.
    """
    float_model, rewritten = legalize(exported)
    worker.call("run the float model once", probe, float_model)
    means_of = biased_outputs(float_model) if effort != "fast" else frozenset[str]()
    with progress.bar("calibrating", len(samples)) as step:
        observation = observe(float_model, samples, means_of=means_of, threads=threads, progress=step)
    ranges = tie_ranges(float_model, observation.minmax())
    plain = worker.call("quantize the model", quantize, write_ranges(float_model, ranges), Quantizer())
    require_int8(audit(plain))
    worker.call("run the int8 model once", probe, plain)
    worker.close()  # nothing after this needs TensorFlow, and the passes below need the memory
    recipe = Recipe(effort=effort, ranges=ranges.method, legalized=rewritten)
    if effort == "fast":
        choice = Choice(plain, recipe)
    else:
        fitting = fitting_samples(float_model, plain, samples, observation)
        if len(fitting.rows) >= LEAST_SAMPLES:
            progress.status(f"correcting biases on {len(fitting.rows)} samples")
        choice = choose(plain, recipe, observation, fitting, threads=threads)
        choice = with_int16(plain, choice, observation, fitting, asked=allow_int16, threads=threads)
    finished = audit(choice.model, int16=choice.recipe.int16)
    require_int8(finished)
    few = itertools.islice(samples, LAYER_SAMPLES)
    return Int8Model(
        model=choice.model,
        audit=finished,
        float_model=float_model,
        choice=choice,
        notes=(*rewritten, *filter(None, [choice.proposal])),
        exceptions=finished.exceptions,
        layers=layer_errors(float_model, choice.model, few),
    )


def keep_quantized(model: bytes) -> Int8Model:
    """Audits a model that came quantized and keeps it as it is.

    Raises:
        NotInt8Error: Something in it is neither int8 nor, as TensorFlow once quantized, uint8.
    """
    verdict = audit(model, allow=[LEGACY_UINT8])
    require_int8(verdict)
    return Int8Model(model=model, audit=verdict, exceptions=verdict.exceptions)


def biased_outputs(model: bytes) -> frozenset[str]:
    """Names of the tensors that bias correction needs the channel means of."""
    main = read_graph(model).main
    return frozenset(
        main.tensors[operator.outputs[0]].name
        for operator in main.operators
        if operator.opcode in BIASED_OPERATORS
    )


def fitting_samples(
    float_model: bytes, int8_model: bytes, samples: Samples, observation: Observation
) -> FittingSamples:
    """Takes up to MOST_SAMPLES, evenly spread, and no more than fit into MEMORY_BYTES."""
    exact, rough = Runner(float_model), Runner(int8_model)
    size = sum(math.prod(spec.shape) for spec in rough.inputs)
    size += sum(4 * math.prod(spec.shape) for spec in exact.outputs) // HELD_OUT_EVERY
    count = min(len(samples), MOST_SAMPLES, max(1, MEMORY_BYTES // size))
    rows = [index * len(samples) // count for index in range(count)]
    wanted = set(rows)
    quantized: list[Mapping[str, np.ndarray]] = []
    outputs: dict[int, Mapping[str, np.ndarray]] = {}
    for inputs in (inputs for row, inputs in enumerate(samples) if row in wanted):
        if judges(len(quantized)):
            outputs[len(quantized)] = exact.run(inputs)
        quantized.append({spec.name: spec.store(inputs[spec.name]) for spec in rough.inputs})
    return FittingSamples(rows, quantized, outputs)
