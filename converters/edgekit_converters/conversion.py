"""`convert`: from a trained model to a bundle. It conducts; every stage is a module of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.arrays import write_arrays
from edgekit.bundle import GOLDEN, MANIFEST, MODEL, REFERENCE, write_bundle
from edgekit.errors import AccuracyContractError, DataError, EdgekitError, UnsupportedModelError
from edgekit.files import write_atomically
from edgekit.firewall import check_variant
from edgekit.strictjson import dump
from edgekit_converters.calibration import CalibrationSet, DataSpec, open_set
from edgekit_converters.calibration.checks import check_classes
from edgekit_converters.compilers.choice import compiler_of
from edgekit_converters.early import Settled, settle
from edgekit_converters.evaluate import Evaluation, evaluate, rehearse
from edgekit_converters.golden import draw_inputs, golden_arrays, probe, require_room, stored_inputs
from edgekit_converters.labels import FROM_FOLDER, check_labels, folder_labels
from edgekit_converters.manifests import make_manifest
from edgekit_converters.metrics import Metric
from edgekit_converters.metrics.classification import TopK, class_count
from edgekit_converters.micro.export import (
    Export,
    export,
    file_names,
    folder_beside,
    refuse_occupied,
    write_export,
)
from edgekit_converters.micro.source import from_bundle
from edgekit_converters.parity import compare_with_original
from edgekit_converters.progress import SILENT, Progress
from edgekit_converters.quantize.pipeline import Int8Model, keep_quantized, quantize_model
from edgekit_converters.quantize.recipe import EFFORTS
from edgekit_converters.quantize.samples import Samples
from edgekit_converters.reference import OFFSET, reference_histograms
from edgekit_converters.report import Report, Sizes
from edgekit_converters.request import Request
from edgekit_converters.runner import PortNames, Runner, run_once
from edgekit_converters.sources import FloatModel, load_float
from edgekit_converters.worker import Worker
from edgekit_targets.catalog import load_target
from edgekit_targets.forecast import forecast
from edgekit_targets.ops import view
from edgekit_targets.target import Kind
from edgekit_targets.tflite import read_graph


def convert(
    model: object = None,
    *,
    target: str,
    calibration: DataSpec | None,
    output: str | Path | None = None,
    progress: Progress = SILENT,
    **words: Any,
) -> Report:
    """Converts a trained model into a strictly int8 bundle for a device.

    Args:
        model: Path of a .keras, .h5, SavedModel, .tflite, .pt2 or .onnx; or a `keras.Model`, a `tf.function`, a concrete
            function, a `torch.nn.Module` or a function of JAX (these two with ``example_inputs=``); or nothing, with
            ``torch="file.py:factory"``.
        target: Name of the device, such as "raspberry-pi-4".
        calibration: Where the calibration samples are: a path, ``file.py:function``, or a function that yields samples.
        output: The bundle to write; None writes nothing and only reports. For a microcontroller, cats.edgekit gets its
            C sources in the folder cats_c beside it.
        progress: Is told how far the work has come.
        **words: Any other field of `edgekit_converters.request.Request`, such as ``range=(-1, 1)`` or
            ``evaluation="test/"``.

    Returns:
        What was measured.

    Raises:
        EdgekitError: Model, data or words are refused; nothing is written then.
        AccuracyContractError: int8 loses more than `max_drop`; nothing is written.
        TypeError: A word that does not exist.
    """
    request = Request(
        model=model,
        target=target,
        calibration=calibration,
        output=None if output is None else Path(output),
        **words,
    )
    return run(request, progress).report


@dataclass(frozen=True, slots=True)
class Conversion:
    """A finished conversion.

    Attributes:
        report: What was measured.
        bundle: The bytes of the bundle, as they were written to `Request.output`.
        sources: The C sources that were written beside it; for microcontrollers only.
        no_sources: Why there are none, although the target is a microcontroller; else None.
    """

    report: Report
    bundle: bytes
    sources: Export | None = None
    no_sources: UnsupportedModelError | None = None


def run(request: Request, progress: Progress = SILENT) -> Conversion:
    """Does what `request` says; see `convert`."""
    target = load_target(request.target, request.device_dirs)
    request = replace(request, target=target.name)
    request.check_device(target)
    settled = settle(request)
    sources_folder = None
    if target.kind is Kind.MICROCONTROLLER and request.output is not None:
        sources_folder = folder_beside(request.output)
        refuse_occupied(sources_folder, file_names(request.bundle_name))
    compiler = compiler_of(target) if request.compile else None
    if compiler is not None:
        compiler.find()  # a compiler that is missing must not cost a conversion
    with Worker(log=progress.status) as worker:
        source = load_float(request.model, request.source_options(), worker)
        try:
            data = _open_data(request, source, settled)
            parity = compare_with_original(source, data.calibration)
        finally:
            source.close_original()
        if data.evaluation is not None:
            _rehearse(source, data, data.evaluation, settled.metric, worker)
        made = _make_int8(request, source, data.calibration, worker, progress)
        evaluation = _evaluate(made, data.evaluation, settled.metric, request.cores, progress)
        kept = data.calibration.without([each.outlier.row for each in made.left_out])
        with progress.bar("recording the reference", len(kept)) as step:
            histograms = reference_histograms(made.model, (x for _, x in kept), data.names, step)
        golden = _golden(request, made.model, data, histograms, worker)
    compiled = None
    if compiler is not None:
        progress.status(f"compiling for {target.title}")
        compiled = compiler.compile(made.model, target)
    variants = {MODEL: made.model} | ({compiler.member: compiled.data} if compiler and compiled else {})
    for name, model in variants.items():
        check_variant(name, model)  # what a device would refuse is refused here
    report = Report(
        kind=source.kind,
        notes=(*source.notes, *made.notes),
        manifest=make_manifest(
            request,
            made,
            kept,
            evaluation,
            data.labels,
            data.names,
            golden=0 if golden is None else len(golden["input.0"]),
            variants=variants,
        ),
        sizes=Sizes(None if source.quantized else len(source.flatbuffer), len(made.model)),
        audit=made.audit,
        choice=made.choice,
        evaluation=evaluation,
        layers=made.layers,
        forecast=forecast(view(read_graph(made.model)), target),
        compiled=compiled,
        left_out=made.left_out,
        parity=parity,
    )
    _hold_contract(request, report)
    bundle = _pack(report, variants, histograms, golden)
    if sources_folder is not None:
        return _with_sources(request, report, bundle, sources_folder, progress)
    if request.output is not None:
        write_atomically(request.output, bundle)
    return Conversion(report, bundle)


@dataclass(frozen=True, slots=True)
class _Data:
    calibration: CalibrationSet
    evaluation: CalibrationSet | None
    golden: CalibrationSet | None
    labels: tuple[str, ...] | None
    names: PortNames
    outputs: Mapping[str, tuple[int, ...]]


def open_calibration(request: Request, source: FloatModel, settled: Settled) -> CalibrationSet:
    """Opens the calibration data as the words about preprocessing say.

    Raises:
        DataError: They cannot be used, or a word names an input that the model does not have.
    """
    inputs = tuple(replace(spec, layout=request.layout_of(spec)) for spec in source.inputs)
    unknown = request.names_inputs() - {spec.name for spec in inputs}
    if unknown:
        raise DataError(
            f"the model has no input '{sorted(unknown)[0]}'",
            hint="its inputs are: " + ", ".join(spec.name for spec in inputs),
        )
    said = {spec.name: request.said(spec) for spec in inputs}
    return open_set(settled.calibration, inputs, said, samples=request.samples, seed=request.seed)


def _open_data(request: Request, source: FloatModel, settled: Settled) -> _Data:
    calibration = open_calibration(request, source, settled)
    inputs = tuple(calibration.inputs)
    said = {spec.name: request.said(spec) for spec in inputs}
    evaluation = None
    if request.evaluation is not None:
        if source.quantized:
            raise EdgekitError(
                "--evaluation compares with the float original, and this model came quantized: there is none",
                hint="drop --evaluation and --max-drop, or convert the float model",
            )
        evaluation = open_set(request.evaluation, inputs, said, for_calibration=False)
    golden = None
    if request.golden_data is not None:
        golden = open_set(request.golden_data, inputs, said, samples=request.golden, for_calibration=False)
    labels = settled.labels
    if request.labels == FROM_FOLDER:
        labels = folder_labels([calibration] if evaluation is None else [calibration, evaluation])
    main = read_graph(source.flatbuffer).main
    shapes = (main.tensors[index].shape for index in main.outputs)
    outputs = dict(zip(source.outputs, shapes, strict=True))
    require_room(request.golden, [spec.shape for spec in inputs], list(outputs.values()))
    if labels is not None:
        check_labels(labels, outputs)
    names = PortNames(tuple(spec.name for spec in inputs), source.outputs)
    return _Data(calibration, evaluation, golden, labels, names, outputs)


def _rehearse(
    source: FloatModel,
    data: _Data,
    evaluation: CalibrationSet,
    metric: Metric | str | None,
    worker: Worker,
) -> None:
    """Judges the first evaluation sample, so that labels or a metric that do not fit are refused before the long part."""

    def answers(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return worker.call("run the float model once", run_once, source.flatbuffer, inputs)

    chosen = rehearse(*next(iter(evaluation)), answers, metric)
    classes = class_count(data.outputs[chosen.output]) if isinstance(chosen, TopK) else None
    if classes is not None:
        check_classes(evaluation.source, classes)


def _make_int8(
    request: Request, source: FloatModel, calibration: CalibrationSet, worker: Worker, progress: Progress
) -> Int8Model:
    if source.quantized:
        worker.call("run the model once", probe, source.flatbuffer)
        return keep_quantized(source.flatbuffer)
    samples = Samples(calibration, len(calibration))
    return quantize_model(source.flatbuffer, samples, request.settings(), worker, progress)


def _evaluate(
    made: Int8Model,
    samples: CalibrationSet | None,
    metric: Metric | str | None,
    threads: int,
    progress: Progress,
) -> Evaluation | None:
    if samples is None or made.float_model is None:
        return None
    exact, rough = (Runner(model, threads=threads) for model in (made.float_model, made.model))
    with progress.bar("evaluating", len(samples)) as step:
        return evaluate(samples, exact.run_real, rough.run_real, metric, lambda _: step(1))


def _golden(
    request: Request, model: bytes, data: _Data, histograms: Mapping[str, np.ndarray], worker: Worker
) -> dict[str, np.ndarray] | None:
    """The golden arrays; None for a model with an input that has no histogram to draw from."""
    inputs = Runner(model, data.names).inputs
    if data.golden is not None:
        chosen = stored_inputs((x for _, x in data.golden), inputs)
    elif all(spec.dtype in OFFSET for spec in inputs):
        chosen = draw_inputs(histograms, inputs, request.golden)
    else:
        return None
    return worker.call("compute the golden outputs", golden_arrays, model, chosen, data.names)


def _hold_contract(request: Request, report: Report) -> None:
    evaluation = report.evaluation
    if request.max_drop is None or evaluation is None or not evaluation.exceeds(request.max_drop):
        return
    raise AccuracyContractError(
        f"int8 loses {evaluation.drop_pp:.2f} {evaluation.drop_unit} of {evaluation.metric}, and --max-drop allows "
        f"{request.max_drop:g}; no bundle is written\n\n{report.render()}\n\n"
        f"the layers that lose most:\n{report.render_worst_layers()}",
        hint="".join(
            f"say --effort {effort}, " for effort in EFFORTS[EFFORTS.index(request.effort) + 1 :][:1]
        )
        + "give more calibration samples, check --range and --mean, or cut the layers that lose most with --outputs",
        report=report.to_json(),
    )


def _with_sources(
    request: Request, report: Report, bundle: bytes, folder: Path, progress: Progress
) -> Conversion:
    """Writes a bundle for a microcontroller and its C sources: both, or none.

    Where TensorFlow Lite Micro lacks an operator the bundle is written alone, as the forecast in it says the same.
    """
    assert request.output is not None
    progress.status("writing C sources")
    try:
        sources = export(from_bundle(bundle))
    except UnsupportedModelError as error:
        write_atomically(request.output, bundle)
        return Conversion(report, bundle, no_sources=error)
    write_export(folder, sources.files, {request.output: bundle})
    return Conversion(report, bundle, sources)


def _pack(
    report: Report,
    variants: Mapping[str, bytes],
    histograms: Mapping[str, np.ndarray],
    golden: Mapping[str, np.ndarray] | None,
) -> bytes:
    members = {
        **variants,
        MANIFEST: report.manifest.to_bytes(),
        REFERENCE: write_arrays(histograms),
        "report.json": dump(report.to_json()),
        "forecast.json": dump(report.forecast.to_json()),
    }
    if golden is not None:
        members[GOLDEN] = write_arrays(golden)
    return write_bundle(members)
