"""`diagnose`: from a trained model and calibration data to what its int8 form loses, where, and why. It only conducts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import UnsupportedModelError
from edgekit_converters.calibration import CalibrationSet, DataSpec
from edgekit_converters.calibration.observe import Observation, observe
from edgekit_converters.conversion import open_calibration
from edgekit_converters.diagnosis.ablation import Effect, ablate
from edgekit_converters.diagnosis.blocks import Chain, chain_of, main_operator
from edgekit_converters.diagnosis.channels import layers_with_weights, look_at_channels
from edgekit_converters.diagnosis.findings import Facts, findings
from edgekit_converters.diagnosis.hybrid import Hybrid, State
from edgekit_converters.diagnosis.lone import find_lone_samples
from edgekit_converters.diagnosis.record import INPUT, Diagnosis, Layer
from edgekit_converters.early import settle
from edgekit_converters.progress import SILENT, Progress
from edgekit_converters.quantize.pipeline import Int8Model, quantize_model
from edgekit_converters.quantize.samples import Samples
from edgekit_converters.request import Request
from edgekit_converters.sources import FloatModel, load_float
from edgekit_converters.worker import Worker
from edgekit_targets.layers import layer_of
from edgekit_targets.tflite import Graph, read_graph

ANY_TARGET = ""
"""What a request that is only diagnosed says of its target: the int8 model is the same for all of them."""

LOOKED_AT = 64
"""Samples that go through the parts of the models, evenly spread. On MobileNetV1 0.25 the shares of 64 photos differ from
those of 100 by 2 points at most, those of 32 by 8, those of 16 by 14."""

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
        if source.quantized:
            raise UnsupportedModelError(
                "this model came quantized, and a diagnosis compares int8 with the float original: there is none",
                hint="give the float model that it was made from",
            )
        data = open_calibration(request, source, settled)
        made = quantize_model(
            source.flatbuffer,
            Samples(data, len(data)),
            request.effort,
            worker,
            progress,
            request.cores,
            request.keep_outliers,
        )
    assert made.float_model is not None
    exact = read_graph(made.float_model)
    names = layers_with_weights(exact)
    left = {each.outlier.row for each in made.left_out}
    kept = data.without(left)
    numbers = [number for number in range(len(data)) if number not in left]
    origins: list[str] = []
    with progress.bar("looking at every sample", len(kept)) as step:
        observation = observe(
            made.float_model,
            _remembering(kept, origins),
            means_of=names,
            numbers=numbers,
            threads=request.cores,
            progress=step,
        )
    effects, chain, count = _take_apart(made, kept, request.cores, progress)
    layers = _layers(read_graph(made.model), exact, chain, effects, observation)
    facts = Facts(
        layers=layers,
        error=effects[-1].upto,
        effort=request.effort,
        origins=dict(zip(numbers, origins, strict=True)),
        left_out=tuple(map(str, made.left_out)),
    )
    return _diagnosis(request, source, made, kept, facts, count)


def _remembering(data: CalibrationSet, origins: list[str]) -> Iterator[Mapping[str, np.ndarray]]:
    """The model inputs of a set, while it is noted where each sample comes from."""
    for sample, inputs in data:
        origins.append(sample.origin)
        yield inputs


def _take_apart(
    made: Int8Model, data: CalibrationSet, threads: int, progress: Progress
) -> tuple[list[Effect], Chain, int]:
    """The effect of each block, the blocks, and how many samples were looked at."""
    assert made.float_model is not None
    chain = chain_of(made.float_model, made.model)
    samples = spread(data, LOOKED_AT, _bytes_of(chain, read_graph(made.float_model)))
    with progress.bar("taking the network apart", len(chain.blocks)) as step:
        effects = ablate(Hybrid(made.float_model, made.model, chain, threads), samples, step)
    return effects, chain, len(samples)


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


def _layers(
    rough: Graph, exact: Graph, chain: Chain, effects: Iterable[Effect], observation: Observation
) -> tuple[Layer, ...]:
    """The blocks as people know them."""
    ranges = {
        name: ((-128 - zero_point) * scale, (127 - zero_point) * scale)
        for name, (scale, zero_point) in chain.scales.items()
    }
    lone = {found.tensor: found for found in find_lone_samples(observation, ranges)}
    channels = look_at_channels(exact, rough, observation.channels)
    layers = []
    for number, (block, effect) in enumerate(zip(chain.blocks, effects, strict=True)):
        operators = rough.main.operators[slice(*block.int8_ops)]
        operator = main_operator(operators) if number else None
        written = [rough.main.tensors[index].name for each in operators for index in each.outputs]
        layers.append(
            Layer(
                number=number,
                index=None if operator is None else operator.index,
                opcode=INPUT if operator is None else operator.opcode,
                name=", ".join(block.reads) if operator is None else layer_of(rough.main, operator),
                effect=effect,
                channels=next((channels[name] for name in written if name in channels), None),
                lone=next((lone[name] for name in (*written, *block.writes) if name in lone), None),
            )
        )
    return tuple(layers)


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
        notes=(*source.notes, *made.notes),
    )
