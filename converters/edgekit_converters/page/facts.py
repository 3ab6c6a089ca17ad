"""What stands above the list of operators, on a terminal and on the page: counts, sizes, the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from edgekit.page.figures import counted, percent, size
from edgekit_converters.check import Check, accelerator_of
from edgekit_targets.forecast import Forecast, OpForecast, Placement
from edgekit_targets.ops import TensorView
from edgekit_targets.target import Kind as TargetKind


class Kind(StrEnum):
    """How an operator is drawn. The values are the CSS classes of the page."""

    HOME = "home"  # where it should run: on the accelerator, or on the CPU of a target without one
    CPU = "cpu"  # on the CPU in place of the accelerator, or on slow kernels
    UNSURE = "unsure"
    NOWHERE = "nowhere"


def kind_of(op: OpForecast, accelerator: str | None) -> Kind:
    """How an operator is drawn on a target with that accelerator, or with none."""
    if op.placement is Placement.UNSUPPORTED:
        return Kind.NOWHERE
    if op.placement is Placement.UNCERTAIN:
        return Kind.UNSURE
    if op.placement is Placement.CPU and (accelerator is not None or op.rule is not None):
        return Kind.CPU
    return Kind.HOME


def word_of(op: OpForecast, accelerator: str | None) -> str:
    """Where an operator runs, in a word or two."""
    is_slow = accelerator is None and kind_of(op, accelerator) is Kind.CPU
    return "CPU (slower)" if is_slow else str(op.placement)


@dataclass(frozen=True, slots=True)
class Side:
    """The operators that run in one place.

    Attributes:
        word: Where they run.
        kind: How they are drawn.
        ops: How many.
        macs: Their multiply-accumulates of one inference.
        op_share: Share of all operators, 0 to 1.
        mac_share: Share of all multiply-accumulates, 0 to 1.
    """

    word: str
    kind: Kind
    ops: int
    macs: int
    op_share: float
    mac_share: float

    def __str__(self) -> str:
        macs = f", {percent(self.mac_share)} of the MACs" if self.macs else ", no MACs"
        return f"{counted(self.ops, 'operator')} ({percent(self.op_share)}){macs}"


def sides(forecast: Forecast) -> tuple[Side, ...]:
    """Sums up operators by where they run, in the order of `Kind`."""
    ops, accelerator = forecast.ops, accelerator_of(forecast)
    macs = sum(op.macs for op in ops)
    by_kind: dict[Kind, list[OpForecast]] = {}
    for op in ops:
        by_kind.setdefault(kind_of(op, accelerator), []).append(op)
    return tuple(
        Side(
            word=word_of(chosen[0], accelerator),
            kind=kind,
            ops=len(chosen),
            macs=sum(op.macs for op in chosen),
            op_share=len(chosen) / len(ops),
            mac_share=sum(op.macs for op in chosen) / macs if macs else 0.0,
        )
        for kind, chosen in sorted(by_kind.items(), key=lambda item: list(Kind).index(item[0]))
    )


def headline(forecast: Forecast) -> str:
    """A forecast in one line, as ``edgekit convert`` prints it."""
    counts = ", ".join(f"{side.ops:,} {side.word}" for side in sides(forecast))
    return f"{counts or 'no operators'}; {forecast.verdict.text} (confidence: {forecast.verdict.confidence})"


def facts(found: Check) -> Iterator[tuple[str, str]]:
    """Yields label and text of each fact, the most important first."""
    forecast = found.forecast
    yield "verdict", f"{forecast.verdict.text} (confidence: {forecast.verdict.confidence})"
    yield "target", f"{found.target.title} ({found.target.name})"
    yield "model", f"{found.model}: {found.subject.kind}"
    for side in sides(forecast):
        yield side.word, str(side)
    if found.accelerator is not None:
        yield "partitions", str(forecast.partitions)
    if forecast.parameters is not None and forecast.parameters.total_bytes:
        yield "parameters", parameters(found)
    yield from latencies(found)
    yield "arena", f"{size(found.arena_bytes)} {arena(found)}"
    for note in found.subject.notes:
        yield "note", note


def parameters(found: Check) -> str:
    """Where the parameters lie, as a sentence; empty where the target caches none."""
    p = found.forecast.parameters
    if p is None:
        return ""
    return (
        f"{size(p.total_bytes)} on the {found.accelerator}: {size(p.cached_bytes)} cached on the chip, "
        f"{size(p.streamed_bytes)} streamed at each inference"
    )


def latencies(found: Check) -> Iterator[tuple[str, str]]:
    """Yields a line an estimate, and one that says so where there is none."""
    for timing in found.timings:
        yield "latency", f"{timing.estimate.text}: {timing.estimate.basis}"
    if not found.timings:
        yield (
            "latency",
            "no estimate: there are no published times to fit one to for this model on this device",
        )


def arena(found: Check) -> str:
    """What the size of the tensor arena means on this target, to be said behind it."""
    memory = found.target.memory
    limit = None if memory is None or memory.arena_limit_kib is None else memory.arena_limit_kib.value * 1024
    says = "of tensors at once, beside the weights"
    if found.target.kind is TargetKind.EDGETPU:
        says += ", where all of it runs on the CPU"
    if limit is not None:
        says += f"; {'MORE THAN' if found.arena_bytes > limit else 'within'} the {size(limit)} that there are"
    return says


def shape(tensor: TensorView) -> str:
    """A shape as "1x224x224x3", with "?" for an open size."""
    return "x".join("?" if size < 0 else str(size) for size in tensor.shape) or "scalar"
