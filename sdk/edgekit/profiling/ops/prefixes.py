"""Times of operators as differences between ever longer prefixes of a model. Works with every runtime.

All prefixes and the whole model run in turn, round after round. Of each the quietest rounds count, and of those only
the ratio to the whole: so neither what comes and goes (a neighbour) nor what changes slowly (clock, temperature)
weighs much. Each pass opens every model anew, because where its memory happens to lie makes a model a few per cent
faster or slower for as long as it is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from edgekit.errors import ProfileError, SessionError
from edgekit.profiling.ops.accounts import account, quietest
from edgekit.profiling.ops.cutting import WHOLE, Cutter
from edgekit.profiling.ops.kernels import XNNPACK, delegates, fused_pads
from edgekit_targets.memory import plan_arena

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.backends import Backend, Interpreter, Kernels
    from edgekit.profiling.record import OpsProfile
    from edgekit_targets.ops import OpView
    from edgekit_targets.tflite import Graph

PASSES = 5
LEAST_ROUNDS = 2
VISIT_NS = 50_000
"""A visit to a model lasts at least so long, a thousand times the cost of reading the clock twice."""

MOST_CALLS = 100
"""In one visit: no runtime takes less than a few hundred nanoseconds a call."""

QUIET = 0.25
"""The share of the rounds that counts. Chosen of five ways by 17 profiles of one model (MobileNetV1 0.25, LiteRT, x86-64
with busy neighbours): operators came 1.2 to 4 times closer to what LiteRT's profiler says of a quiet machine than with
medians of ratios; half of the rounds, or the best alone, did worse than a quarter."""

COLD_NS = 10_000_000
"""From here on a visit needs no call to fill the caches first: that takes far less than 1 % of a call."""

BUDGET_NS = 20_000_000_000
"""So long may all visits take together, unless `LEAST_ROUNDS` rounds already take longer."""

PANEL_BYTES = 96 << 20
"""So much may all models that are open at once take, by estimate: a Raspberry Pi Zero 2 W has 512 MB in all."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Models that were open at the same time.

    Attributes:
        counts: How many operators each prefix has.
        prefix_ns: One row a prefix: a call in each round.
        whole_ns: A call of the whole model in each round.
    """

    counts: tuple[int, ...]
    prefix_ns: tuple[tuple[float, ...], ...]
    whole_ns: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Differences:
    """What prefixes say of operators.

    Attributes:
        call_ns: A call of the runtime with no operator at all.
        times_ns: Of each operator, at least 0.
        whole_ns: A call of the whole model.
        negative: How many prefixes took less than a shorter one.
        excess_ns: By how much at most.
        spread_ns: By how much the time of one prefix differs between passes: the median of all prefixes.
    """

    call_ns: float
    times_ns: tuple[float, ...]
    whole_ns: float
    negative: int
    excess_ns: float
    spread_ns: float


def profile_prefixes(
    graph: Graph,
    ops: Sequence[OpView],
    backend: Backend,
    *,
    threads: int | None,
    kernels: Kernels,
    runs: int,
    inputs: Sequence[NDArray[Any]],
    notes: Sequence[str] = (),
) -> OpsProfile:
    """Measures every operator of a model by differences.

    Args:
        graph: The model.
        ops: Its operators.
        backend: The runtime.
        threads: Threads for one inference; None leaves it to the runtime.
        kernels: Which kernels to run on.
        runs: How often every prefix is timed, at most; fast ones run several times each time.
        inputs: An array an input, of its very shape and dtype.
        notes: Sentences to stand before this method's own.

    Raises:
        ProfileError: The model has no operators, or the runtime refuses one of its prefixes.
    """
    bench = Bench(graph, backend, threads, kernels, inputs)
    whole_ns = bench.whole_ns()
    rounds, calls = plan(whole_ns, len(ops), runs)
    warm_up = whole_ns < COLD_NS
    passes = [
        [
            bench.measure(counts, rounds, calls, warm_up=warm_up)
            for counts in panels(len(ops) + 1, bench.capacity, number)
        ]
        for number in range(PASSES)
    ]
    found = differences(passes)
    who = delegates(ops, backend.name, kernels)
    pads = [number for number in fused_pads(ops) if who[number] == XNNPACK]
    own = _notes(found, rounds * calls * PASSES, pads)
    return account(
        "prefix",
        ops,
        found.times_ns,
        who,
        call_ns=found.call_ns,
        whole_ns=found.whole_ns,
        notes=(*notes, *own),
    )


def differences(passes: Sequence[Sequence[Panel]]) -> Differences:
    """Turns the times of prefixes into times of operators.

    A prefix that takes longer than a longer one owes it to chance, or to a cut between two operators that the
    runtime would have fused; it counts as taking no longer. So the sum stays that of the longest prefix.

    Args:
        passes: At least one; every pass holds every prefix once, from 0 operators to all.
    """
    whole_ns = median(quietest(panel.whole_ns, QUIET) for one_pass in passes for panel in one_pass)
    pooled = _ratios([panel for one_pass in passes for panel in one_pass])
    taken = [median(pooled[count]) * whole_ns for count in sorted(pooled)]
    capped = list(taken)
    for place in reversed(range(len(capped) - 1)):
        capped[place] = min(capped[place], capped[place + 1])
    over = [a - b for a, b in zip(taken, capped, strict=True) if a > b]
    return Differences(
        call_ns=capped[0],
        times_ns=tuple(after - before for before, after in pairwise(capped)),
        whole_ns=whole_ns,
        negative=len(over),
        excess_ns=max(over, default=0.0),
        spread_ns=_spread(passes) * whole_ns,
    )


def _ratios(panels: Sequence[Panel]) -> dict[int, list[float]]:
    """Of each prefix, its time over that of the whole model, in every panel that holds it."""
    found: dict[int, list[float]] = {}
    for panel in panels:
        whole_ns = quietest(panel.whole_ns, QUIET)
        for count, row in zip(panel.counts, panel.prefix_ns, strict=True):
            found.setdefault(count, []).append(quietest(row, QUIET) / whole_ns)
    return found


def _spread(passes: Sequence[Sequence[Panel]]) -> float:
    """By how much the ratio of one prefix differs between passes: the median of all prefixes."""
    middles: dict[int, list[float]] = {}
    for one_pass in passes:
        for count, ratios in _ratios(one_pass).items():
            middles.setdefault(count, []).append(median(ratios))
    return median(max(values) - min(values) for values in middles.values())


def plan(whole_ns: float, operators: int, runs: int) -> tuple[int, int]:
    """How often prefixes run in each pass.

    Args:
        whole_ns: A call of the whole model, about.
        operators: How many it has.
        runs: How often every prefix is visited in all passes together, at most.

    Returns:
        Rounds, and timed calls a visit.
    """
    calls = max(1, min(int(VISIT_NS / max(whole_ns, 1)), MOST_CALLS))
    rounds = max(LEAST_ROUNDS, runs // PASSES)
    # On average a prefix takes half as long as the whole.
    round_ns = (operators / 2 + 1) * (calls + (whole_ns < COLD_NS)) * whole_ns
    return max(LEAST_ROUNDS, min(rounds, int(BUDGET_NS / PASSES / max(round_ns, 1)))), calls


def panels(prefixes: int, capacity: int, number: int) -> Iterator[tuple[int, ...]]:
    """Shares prefixes out among panels, at other borders in every pass.

    Args:
        prefixes: How many there are.
        capacity: How many may be open at once.
        number: Of the pass, from 0.
    """
    first = capacity - number * capacity // PASSES
    borders = [0, *range(min(first, prefixes), prefixes, capacity), prefixes]
    for start, end in pairwise(borders):
        yield tuple(range(start, end))


class Bench:
    """Opens models and times them."""

    def __init__(
        self,
        graph: Graph,
        backend: Backend,
        threads: int | None,
        kernels: Kernels,
        inputs: Sequence[NDArray[Any]],
    ) -> None:
        self._model = bytes(graph.data)
        self._cutter = Cutter(graph)
        self._backend = backend
        self._threads = threads
        self._kernels = kernels
        self._inputs = inputs
        # A copy of the file, the weights as a runtime may pack them, and the tensors.
        each = 2 * len(self._model) + plan_arena(graph).bytes
        self.capacity = max(2, PANEL_BYTES // each)

    def whole_ns(self) -> float:
        """A call of the whole model, about."""
        whole = self._open(self._model)
        return median(_visit(whole, 1, warm_up=False) for _ in range(5))

    def measure(self, counts: tuple[int, ...], rounds: int, calls: int, *, warm_up: bool) -> Panel:
        """Times some prefixes and the whole in turn."""
        opened = [self._prefix(count) for count in counts]
        opened.append(self._open(self._model))
        times: list[list[float]] = [[] for _ in opened]
        for _ in range(rounds):
            for interpreter, row in zip(opened, times, strict=True):
                row.append(_visit(interpreter, calls, warm_up=warm_up))
        *prefixes, whole = map(tuple, times)
        return Panel(counts, tuple(prefixes), whole)

    def _prefix(self, count: int) -> Interpreter:
        try:
            return self._open(self._cutter.prefix(count))
        except SessionError as error:
            raise ProfileError(
                f"{self._backend.name} does not run the first {count} operators by themselves: {error}",
                hint=WHOLE,
            ) from error

    def _open(self, model: bytes) -> Interpreter:
        interpreter = self._backend.open(model, threads=self._threads, kernels=self._kernels)
        for tensor, array in zip(interpreter.inputs, self._inputs, strict=True):
            interpreter.set_input(tensor.index, array)
        interpreter.invoke()
        return interpreter


def _visit(interpreter: Interpreter, calls: int, *, warm_up: bool) -> float:
    """Times some calls, if wanted after one that fills the caches; nanoseconds a call."""
    invoke = interpreter.invoke
    if warm_up:
        invoke()
    started = perf_counter_ns()
    for _ in range(calls):
        invoke()
    return max(perf_counter_ns() - started, 1) / calls


def _notes(found: Differences, calls: int, pads: Sequence[int]) -> list[str]:
    notes = [
        f"Differences between ever longer prefixes of the model, {calls:,} calls of each. Taken {PASSES} times, "
        f"the time of a prefix varies by {_us(found.spread_ns)}: smaller differences mean nothing."
    ]
    if found.negative:
        counted = "1 prefix" if found.negative == 1 else f"{found.negative:,} prefixes"
        notes.append(
            f"{counted} took longer than a longer one (by {_us(found.excess_ns)} at most): "
            "what came out below 0 counts as 0."
        )
    if pads:
        numbers = ", ".join(map(str, pads))
        notes.append(
            f"XNNPACK may do a padding (op {numbers}) inside the convolution behind it: "
            "cut off from it, the padding seems dearer than it is."
        )
    return notes


def _us(ns: float) -> str:
    return f"{ns / 1000:,.3f} us" if ns < 1000 else f"{ns / 1000:,.1f} us"
