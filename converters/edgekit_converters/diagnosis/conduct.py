"""`diagnose`: from a trained model and calibration data to what its int8 form loses, where, and why. It only conducts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import UnsupportedModelError
from edgekit_converters.calibration import CalibrationSet, DataSpec
from edgekit_converters.calibration.observe import Observation, observe
from edgekit_converters.conversion import open_calibration
from edgekit_converters.diagnosis.ablation import ablate
from edgekit_converters.diagnosis.blocks import Chain, chain_of
from edgekit_converters.diagnosis.channels import layers_with_weights
from edgekit_converters.diagnosis.findings import Facts, findings
from edgekit_converters.diagnosis.hybrid import Hybrid, State
from edgekit_converters.diagnosis.layering import Graphs, layers_of
from edgekit_converters.diagnosis.record import Diagnosis
from edgekit_converters.early import settle
from edgekit_converters.progress import SILENT, Progress
from edgekit_converters.quantize.closing import open_ended
from edgekit_converters.quantize.pipeline import Int8Model, quantize_model
from edgekit_converters.quantize.samples import Samples
from edgekit_converters.request import Request
from edgekit_converters.sources import FloatModel, load_float
from edgekit_converters.worker import Worker
from edgekit_targets.tflite import Graph, read_graph

ANY_TARGET = ""
"""What a request that is only diagnosed says of its target: the int8 model is the same for all of them."""

LOOKED_AT = 32
"""Samples that go through the parts of the models, evenly spread. The shares of 32 differ from those of 100 by 3 points at
most on MobileNetV1 0.25, and by 9 on DS-CNN, whose error is small; the first layers are the same from 8 on."""

MEMORY_BYTES = 256 << 20
"""The most that the tensors at a cut may take, over all samples; then fewer samples are looked at."""


def diagnose(
    model: object, *, calibration: DataSpec | None, progress: Progress = SILENT, **words: Any
) -> Diagnosis:
    """Finds out which layers of a model lose what in int8, and why.

    Args:
        model: As for `edgekit_converters.convert`; it must not be quantized yet.
        calibration: Where the calibration samples are.
        progress: Is told how far the work has come.
        **words: What `convert` takes on calibration, preprocessing and the model, such as ``range=(-1, 1)`` or
            ``effort="fast"``: what is diagnosed is the int8 model that `convert` makes with them.

    Raises:
        EdgekitError: Model, data or words are refused.
        TypeError: A word that does not exist.
    """
    return run(Request(model=model, target=ANY_TARGET, calibration=calibration, **words), progress)


def run(request: Request, progress: Progress = SILENT) -> Diagnosis:
    """Does what `request` says; its target, output and evaluation are not looked at. See `diagnose`."""
    settled = settle(request)
    with Worker(log=progress.status) as worker:
        source = load_float(request.model, request.source_options(), worker)
        source.close_original()  # the framework that a model came from has nothing more to say
        if source.quantized:
            raise UnsupportedModelError(
                "this model came quantized, and a diagnosis compares int8 with the float original: there is none",
                hint="give the float model that it was made from",
            )
        data = open_calibration(request, source, settled)
        samples = Samples(data, len(data))
        made = quantize_model(source.flatbuffer, samples, request.settings(), worker, progress)
    return _examine(request, source, made, data, progress)


def _examine(
    request: Request, source: FloatModel, made: Int8Model, data: CalibrationSet, progress: Progress
) -> Diagnosis:
    """All that comes after the int8 model is made."""
    assert made.twin is not None
    left = {each.outlier.row for each in made.left_out}
    kept = data.without(left)
    numbers = [number for number in range(len(data)) if number not in left]
    observation, origins = _observe(made.twin, kept, numbers, request.cores, progress)
    exact, rough, closers = open_ended(made.twin, made.model)
    hybrid = Hybrid(exact, rough, chain_of(exact, rough), request.cores)
    graphs = Graphs(read_graph(made.twin), read_graph(made.model), read_graph(rough))
    samples = spread(kept, LOOKED_AT, _bytes_of(hybrid.chain, graphs.exact))
    with progress.bar("taking the network apart", len(hybrid.chain.blocks)) as step:
        effects = ablate(hybrid, samples, step)
    facts = Facts(
        layers=layers_of(graphs, hybrid.chain, effects, observation),
        error=effects[-1].upto,
        effort=request.effort,
        origins=dict(zip(numbers, origins, strict=True)),
        left_out=tuple(map(str, made.left_out)),
        closers=closers,
    )
    return _diagnosis(request, source, made, kept, facts, len(samples))


def _observe(
    model: bytes, data: CalibrationSet, numbers: Sequence[int], threads: int, progress: Progress
) -> tuple[Observation, list[str]]:
    """What the float model does on every sample that is used, and where each comes from."""
    origins: list[str] = []
    names = layers_with_weights(read_graph(model))
    with progress.bar("looking at every sample", len(data)) as step:
        found = observe(
            model,
            _remembering(data, origins),
            means_of=names,
            numbers=numbers,
            threads=threads,
            progress=step,
        )
    return found, origins


def _remembering(data: CalibrationSet, origins: list[str]) -> Iterator[Mapping[str, np.ndarray]]:
    """The model inputs of a set, while it is noted where each sample comes from."""
    for sample, inputs in data:
        origins.append(sample.origin)
        yield inputs


def spread(data: CalibrationSet, most: int, size: int) -> list[State]:
    """The inputs of a few samples, evenly spread over a set.

    Args:
        data: The set.
        most: How many at most; also no more than fit into `MEMORY_BYTES`, but 2.
        size: Bytes that are kept for each.
    """
    count = min(len(data), most, max(2, MEMORY_BYTES // max(size, 1)))
    rows = {index * len(data) // count for index in range(count)}
    return [inputs for row, (_, inputs) in enumerate(data) if row in rows]


def _bytes_of(chain: Chain, exact: Graph) -> int:
    """What one sample takes: inputs and outputs, and around the widest cut each tensor in float and in int8."""
    size = {tensor.name: math.prod(tensor.shape) for tensor in exact.main.tensors}
    widest = max(sum(size[name] for name in alive) for alive in chain.alive)
    ends = sum(size[name] for name in (*chain.blocks[0].reads, *(3 * chain.outputs)))
    return 4 * ends + 2 * (4 + 1) * widest


def _diagnosis(
    request: Request,
    source: FloatModel,
    made: Int8Model,
    data: CalibrationSet,
    facts: Facts,
    count: int,
) -> Diagnosis:
    return Diagnosis(
        model=str(request.model) if isinstance(request.model, str | Path) else request.bundle_name,
        kind=source.kind,
        effort=request.effort,
        recipe=str(made.choice.recipe) if made.choice else "",
        source=data.source.description,
        samples=len(data),
        looked_at=count,
        layers=tuple(facts.layers),
        findings=findings(facts),
        closers=tuple(facts.closers),
        notes=(*source.notes, *made.notes),
    )
