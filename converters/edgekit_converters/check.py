"""`check`: from a model to where each of its operators would run. It conducts: model -> operators -> forecast.

A bundle and a quantized .tflite are read as they are, with the standard library alone; only what is not
quantized yet goes through TensorFlow, in the worker.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any

from edgekit.bundle import MANIFEST, MODEL, TFLITE_IDENTIFIER, read_unverified
from edgekit.errors import (
    CompilerError,
    ForecastContractError,
    MissingExtraError,
    UnknownModelError,
    UnsupportedModelError,
)
from edgekit.files import read_capped
from edgekit_converters.progress import SILENT, Progress
from edgekit_targets.catalog import load_target
from edgekit_targets.forecast import Forecast, OpForecast, Placement, forecast
from edgekit_targets.latency import LatencyEstimate, estimate
from edgekit_targets.layers import layer_name
from edgekit_targets.memory import Planner, plan_arena
from edgekit_targets.ops import OpView, view
from edgekit_targets.rules import rule_set
from edgekit_targets.target import Kind, Target
from edgekit_targets.tflite import DEFAULT_LIMITS, Graph, Tensor, read_graph

if TYPE_CHECKING:
    from edgekit_converters.sources import SourceOptions

PLACEHOLDER = (-6.0, 6.0)
"""The range that every tensor of an unquantized model is given. Which operators come out, and on what types and
shapes, does not depend on it: converters/tests/test_check.py holds it against observed ranges."""

_WHOLE = frozenset({"INT4", "INT8", "UINT8", "INT16"})
_COMPILED = "edgetpu-custom-op"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """What a person says to `check`.

    Attributes:
        model: Path of a bundle, a .tflite, or any other model that `convert` takes.
        target: Name of the device.
        device_dirs: Folders with device files of the user's own.
        as_is: Whether a float .tflite is looked at as it stands and not quantized first.
        options: What is said about a model that must be quantized first; None says nothing.
    """

    model: Path
    target: str
    device_dirs: tuple[Path, ...] = ()
    as_is: bool = False
    options: SourceOptions | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """The .tflite that is looked at.

    Attributes:
        graph: Its content.
        kind: What it came as, in words.
        unverified: It came in a bundle whose origin nobody checked.
        assumed_ranges: It was quantized here, with `PLACEHOLDER` for every range.
        notes: What else should be known, as sentences.
    """

    graph: Graph = field(repr=False)
    kind: str
    unverified: bool = False
    assumed_ranges: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Timing:
    """An estimate of how long one inference takes.

    Attributes:
        threads: Of the runtime on the processor.
        estimate: The time and its error.
    """

    threads: int
    estimate: LatencyEstimate


@dataclass(frozen=True, slots=True)
class Check:
    """What `check` found.

    Attributes:
        model: The path as it was given.
        target: The device.
        subject: The .tflite that was looked at.
        ops: Its operators.
        forecast: Where each of them would run.
        arena_bytes: What the tensors take while the model runs on the CPU, without weights and scratch memory.
        timings: With one thread, and with one for each core; empty where nothing is known to estimate from.
    """

    model: str
    target: Target
    subject: Subject
    ops: tuple[OpView, ...] = field(repr=False)
    forecast: Forecast
    arena_bytes: int
    timings: tuple[Timing, ...]

    @property
    def accelerator(self) -> str | None:
        """What the target's chip is called in placements, or None where the target has none."""
        return accelerator_of(self.forecast)

    def remarkable(self) -> tuple[OpForecast, ...]:
        """The operators that a person should look at.

        Those that do not surely run on the accelerator; on a target without one, those that a rule objects to.
        """
        if self.accelerator is None:
            return tuple(op for op in self.forecast.ops if op.rule is not None)
        return tuple(op for op in self.forecast.ops if not is_accelerated(op))

    def to_json(self) -> dict[str, object]:
        """The check as ``--json`` prints it."""
        answer: dict[str, Any] = self.forecast.to_json()
        for op, entry in zip(self.forecast.ops, answer["ops"], strict=True):
            entry["layer"] = layer_of(op)
        answer["summary"]["arena_bytes"] = self.arena_bytes
        answer["summary"]["latency"] = [
            {"threads": timing.threads, **asdict(timing.estimate)} for timing in self.timings
        ]
        return {
            "model": self.model,
            "kind": self.subject.kind,
            "target": self.target.name,
            "unverified": self.subject.unverified,
            "assumed_ranges": self.subject.assumed_ranges,
            "notes": list(self.subject.notes),
        } | answer


def check(request: CheckRequest, progress: Progress = SILENT) -> Check:
    """Tells where each operator of a model would run on a device, and why.

    Args:
        request: The model, the device, and what else is said.
        progress: Is told what the worker does, for a model that must be quantized first.

    Raises:
        UnknownTargetError: The catalogue has no such device.
        SourceError: The path holds no model, or one that cannot be quantized.
        MalformedModelError: A .tflite that is not sound.
        BundleError: A bundle that is not well-formed.
        MissingExtraError: The model must be quantized first, and TensorFlow is not installed.
    """
    target = load_target(request.target, request.device_dirs)
    if request.target != target.name:
        progress.status(f"{request.target} is {target.name}")
    subject = _open(request, progress)
    ops = view(subject.graph)
    found = forecast(ops, target, assumed_ranges=subject.assumed_ranges)
    if target.kind is Kind.ETHOS_U:
        found, note = _ask_vela(subject.graph, found, target)
        subject = replace(subject, notes=(*subject.notes, note))
    micro = target.kind in (Kind.MICROCONTROLLER, Kind.ETHOS_U)
    arena = plan_arena(subject.graph, Planner.MICRO if micro else Planner.LITERT)
    timings = tuple(_timings(ops, found, target))
    return Check(str(request.model), target, subject, ops, found, arena.bytes, timings)


def _ask_vela(graph: Graph, found: Forecast, target: Target) -> tuple[Forecast, str]:
    """What Vela itself says, where it is installed; else the forecast as it is, and why."""
    from edgekit_converters.compilers.vela import compile_vela

    try:
        compiled = compile_vela(bytes(graph.data), target)
    except (CompilerError, MissingExtraError) as error:
        return found, f"forecast by rules, not by Vela: {str(error).splitlines()[0]}"
    answer = replace(compiled.forecast, rules=found.rules, assumed_ranges=found.assumed_ranges)
    ms = compiled.figures.get("inference_ms")
    time = "" if ms is None else f"; it estimates {ms:.3g} ms an inference"
    return answer, f"where operators run is what {compiled.tool} itself says{time}"


def _timings(ops: Sequence[OpView], found: Forecast, target: Target) -> Iterator[Timing]:
    cores = target.cpu.cores.value if target.cpu is not None and target.cpu.cores is not None else 1
    placements = [op.placement for op in found.ops]
    for threads in sorted({1, cores}):
        timing = estimate(ops, placements, target, threads)
        if timing is not None:
            yield Timing(threads, timing)


def hold_strict(found: Check) -> None:
    """Holds the contract of ``--strict``.

    Raises:
        ForecastContractError: An operator stays on the CPU, or what is known does not decide where it runs.
    """
    apart = [op for op in found.forecast.ops if not is_accelerated(op)]
    if not apart:
        return
    unsure = sum(op.placement is Placement.UNCERTAIN for op in apart)
    says = [
        f"{count} {words}"
        for count, words in ((len(apart) - unsure, "on the CPU"), (unsure, "uncertain"))
        if count
    ]
    if found.accelerator is None:
        hint = f"{found.target.name} has no accelerator: leave --strict out, or choose another target"
    else:
        hint = "the report names each of them with its reason and what to change"
    raise ForecastContractError(
        f"--strict: of {len(found.forecast.ops)} operators {' and '.join(says)}", hint=hint
    )


def accelerator_of(found: Forecast) -> str | None:
    """What the target's chip is called in placements, or None where the target has none."""
    name = rule_set(found.rules).accelerator
    return None if name == Placement.CPU else name


def is_accelerated(op: OpForecast) -> bool:
    """Whether an operator surely runs on the accelerator."""
    return op.placement in (Placement.TPU, Placement.NPU)


def layer_of(op: OpForecast) -> str:
    """The layer of an operator as the training framework named it, as well as the tensor's name tells."""
    return layer_name(op.name) or op.name


def is_quantized(graph: Graph) -> bool:
    """Whether any tensor that is fed or computed holds quantized integers, whatever inputs and outputs are."""
    main = graph.main
    used = {*main.inputs, *main.outputs, *(number for op in main.operators for number in op.outputs)}
    return any(_is_whole(main.tensors[number]) for number in used)


def _is_whole(tensor: Tensor) -> bool:
    return tensor.type in _WHOLE and tensor.quantization is not None and bool(tensor.quantization.scale)


def _open(request: CheckRequest, progress: Progress) -> Subject:
    path, head = request.model, _head(request.model)
    if _is_bundle(path, head):
        _refuse_options(request, "a bundle")
        graph = read_graph(read_unverified(read_capped(path)).members[MODEL])
        return Subject(_uncompiled(graph), "int8 model of a bundle, UNVERIFIED", unverified=True)
    if head[4:8] == TFLITE_IDENTIFIER:
        graph = read_graph(read_capped(path, DEFAULT_LIMITS.size, error=UnknownModelError))
        quantized = is_quantized(_uncompiled(graph))
        if quantized or request.as_is:
            _refuse_options(request, "a quantized .tflite" if quantized else "a .tflite with --as-is")
            return Subject(graph, "quantized .tflite" if quantized else "float .tflite, as it is")
    elif request.as_is:
        raise UnsupportedModelError(
            f"--as-is looks at a .tflite as it stands, and {path} is none",
            hint="leave --as-is out: the model is then quantized in memory first",
        )
    return _quantized_here(request, progress)


def _head(path: Path) -> bytes:
    """The first bytes of a file; empty for a folder and for what cannot be read, which the source refuses."""
    try:
        mode = path.stat().st_mode
        if not (S_ISREG(mode) or S_ISDIR(mode)):  # to open a pipe that nobody writes to would wait for ever
            raise UnknownModelError(f"{path} is not a regular file", hint="give the name of a file or folder")
        with path.open("rb") as file:
            return file.read(8)
    except (OSError, ValueError):
        return b""


def _is_bundle(path: Path, head: bytes) -> bool:
    if path.suffix == ".edgekit" and path.is_file():
        return True  # even if it is broken: the reader of bundles then says how
    if not head.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {MANIFEST, MODEL} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def _uncompiled(graph: Graph) -> Graph:
    if any(op.custom_code == _COMPILED for op in graph.main.operators):
        raise UnknownModelError(
            "this .tflite is already compiled for the Edge TPU: what was mapped can no longer be seen in it",
            hint="check the int8 .tflite that it was compiled from",
        )
    return graph


def _refuse_options(request: CheckRequest, what: str) -> None:
    """Refuses words that change a model where nothing is changed, rather than skip them in silence."""
    options = request.options
    if options is None:
        return
    for word, value in (
        ("--outputs", options.outputs),
        ("--input-shape", options.input_shapes),
        ("--saved-model-signature", options.signature),
        ("--custom-objects", options.custom_objects),
    ):
        if value:
            raise UnsupportedModelError(
                f"{word} is for models that are quantized first, and {what} is checked as it is",
                hint=f"leave {word} out, or give the float model",
            )


def _quantized_here(request: CheckRequest, progress: Progress) -> Subject:
    """Brings any other model to int8 in memory, with placeholder ranges."""
    from edgekit_converters.sources import SourceOptions, load_float
    from edgekit_converters.sources.kinds import identify
    from edgekit_converters.worker import Worker

    identify(request.model)  # a wrong path is refused before anything asks for TensorFlow
    with Worker(log=progress.status) as worker:
        source = load_float(request.model, request.options or SourceOptions(), worker)
        source.close_original()
        model, rewritten = worker.call(
            "quantize the model with placeholder ranges", quantize_with_placeholders, source.flatbuffer
        )
    low, high = PLACEHOLDER
    assumed = (
        f"quantized in memory with placeholder ranges ({low:g} to {high:g} for every tensor) and not saved: where "
        "operators run does not depend on them, accuracy does; operators are numbered as in that model"
    )
    return Subject(
        read_graph(model), source.kind, assumed_ranges=True, notes=(assumed, *source.notes, *rewritten)
    )


def quantize_with_placeholders(model: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Quantizes a float .tflite whose ranges nobody knows; call it in the worker process.

    Args:
        model: One subgraph, static shapes.

    Returns:
        An int8 flatbuffer that must not be used for anything but looking at it, and what was rewritten.

    Raises:
        QuantizationError: The quantizer refuses the model.
    """
    from edgekit_converters.calibration.observe import Ranges
    from edgekit_converters.quantize.engine import Quantizer, quantize, write_ranges
    from edgekit_converters.quantize.legalize import legalize

    model, rewritten = legalize(model)
    graph = read_graph(model)
    names = [t.name for t in graph.main.tensors if t.type == "FLOAT32" and graph.constant(t) is None]
    low, high = PLACEHOLDER
    ranges = Ranges("placeholder", dict.fromkeys(names, low), dict.fromkeys(names, high))
    return quantize(write_ranges(model, ranges), Quantizer()), rewritten
