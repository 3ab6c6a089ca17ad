"""From the events of LiteRT's profiler to operators of the model. Pure.

An operator on the runtime's own kernels has an event with its number in the model. Inside XNNPACK, events carry
names and numbers of XNNPACK's own operators, in the order of the delegated operators: mostly one for one, but a
FULLY_CONNECTED brings a reshape along, and a padding may be gone, done by the convolution behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING

from edgekit.errors import ProfileError
from edgekit.profiling.ops.answer import INSTEAD
from edgekit.profiling.ops.kernels import XNNPACK
from edgekit.profiling.ops.litert_c import DELEGATED

if TYPE_CHECKING:
    from edgekit_targets.ops import OpView

Key = tuple[int, str, int]
"""Kind, name and number of an event."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """Which events belong to which operator.

    Attributes:
        ops: Of each event, the operator's place in the model.
        delegates: Of each operator, who runs it.
        fused: Operators without an event of their own.
        doubtful: Events whose name does not fit the operator that they were given to.
    """

    ops: tuple[int, ...]
    delegates: tuple[str | None, ...]
    fused: tuple[int, ...]
    doubtful: int


def assign(ops: Sequence[OpView], events: Sequence[Key]) -> Assigned:
    """Finds the operator of every event of a run.

    Args:
        ops: The operators of the model, in its order.
        events: Of one run, in the order of execution.

    Raises:
        ProfileError: An event belongs to no operator.
    """
    own = {node for kind, _, node in events if kind != DELEGATED}
    if own and max(own) >= len(ops):
        raise ProfileError(
            f"LiteRT's profiler speaks of operator {max(own)}, and the model has {len(ops)}", hint=INSTEAD
        )
    delegated = [op for op in execution_order(ops, own) if op.index not in own]
    names = [name for kind, name, _ in events if kind == DELEGATED]
    if names and not delegated:
        raise ProfileError("LiteRT's profiler gives every operator to two kernels", hint=INSTEAD)
    places = iter(align(names, delegated))
    doubtful = 0
    found: list[int] = []
    for kind, name, node in events:
        if kind != DELEGATED:
            found.append(node)
            continue
        op = delegated[next(places)]
        doubtful += not (fits(name, op.opcode) or _is_helper(name))
        found.append(op.index)
    return Assigned(
        ops=tuple(found),
        delegates=tuple(None if op.index in own else XNNPACK for op in ops),
        fused=tuple(op.index for op in ops if op.index not in found),
        doubtful=doubtful,
    )


def operator_times(
    events: Sequence[Key], assigned: Sequence[int], runs_us: Sequence[Sequence[int]], operators: int
) -> tuple[float, ...]:
    """What each operator takes, in nanoseconds.

    XNNPACK cuts each of its times down to whole microseconds (xnn_get_elapsed_time in src/runtime.c), so half of
    one is added; the runtime's own are differences of two clock readings, and right on average.

    Args:
        events: Of one run.
        assigned: Of each event, the operator.
        runs_us: Of each run, the microseconds of each event.
        operators: How many there are.
    """
    halves = [500.0 if kind == DELEGATED else 0.0 for kind, _, _ in events]
    totals = [sum(run) for run in runs_us]
    limit = sorted(totals)[(len(totals) - 1) // 2]
    quiet = [run for run, total in zip(runs_us, totals, strict=True) if total <= limit]
    times = [0.0] * operators
    for place, (op, half) in enumerate(zip(assigned, halves, strict=True)):
        times[op] += 1000 * sum(run[place] for run in quiet) / len(quiet) + half
    return tuple(times)


def execution_order(ops: Sequence[OpView], own: set[int]) -> list[OpView]:
    """The order in which TensorFlow Lite runs a model of which a delegate takes a part.

    Operators of one kind go into one partition for as long as what they read is there, whatever stands between
    them (PartitionGraphIntoIndependentNodeSubsets in tensorflow/lite/graph_info.cc).

    Args:
        ops: The operators of the model, in its order.
        own: Those that stay on the runtime's own kernels.
    """
    waiting = list(ops)
    done: set[int] = set()
    order: list[OpView] = []
    while waiting:
        kind = _first_ready(waiting, done).index in own
        left = []
        for op in waiting:
            if (op.index in own) == kind and done.issuperset(op.reads):
                done.add(op.index)
                order.append(op)
            else:
                left.append(op)
        waiting = left
    return order


def _first_ready(waiting: Sequence[OpView], done: set[int]) -> OpView:
    return next(op for op in waiting if done.issuperset(op.reads))


_MISS, _EXTRA, _MISFIT, _NEVER = 2, 2, 3, 1 << 40
_BAND = 16  # so many names more or fewer than operators at any place, beside the difference at the end


def align(names: Sequence[str], ops: Sequence[OpView]) -> list[int]:
    """Shares XNNPACK's operators out among the delegated ones, both in order, as their names suit best.

    Args:
        names: Of XNNPACK's operators.
        ops: The delegated operators; at least one, if there are names.

    Returns:
        Of each name, the place in `ops`. A name more than there are operators goes with the next operator.
    """
    rows, columns = len(names) + 1, len(ops) + 1
    band = abs(rows - columns) + _BAND
    cost = [[_NEVER] * columns for _ in range(rows)]
    cost[0][0] = 0
    for i in range(rows):
        for j in range(max(0, i - band), min(columns, i + band + 1)):
            if i or j:
                cost[i][j] = _best(cost, names, ops, i, j)[0]
    place, i, j = [0] * len(names), len(names), len(ops)
    while i:
        _, before, j = _best(cost, names, ops, i, j)
        if before < i:
            place[before] = min(j, len(ops) - 1)
        i = before
    return place


def _best(
    cost: Sequence[Sequence[int]], names: Sequence[str], ops: Sequence[OpView], i: int, j: int
) -> tuple[int, int, int]:
    """The cheapest way to have used up i names and j operators: its cost, and where it comes from.

    Of equal ones, that in which the last name is one too many: of two reshapes, the second is the helper of the
    FULLY_CONNECTED behind it.
    """
    steps = []
    if i:
        steps.append((cost[i - 1][j] + _EXTRA, i - 1, j))
    if i and j:
        penalty = 0 if fits(names[i - 1], ops[j - 1].opcode) else _MISFIT
        steps.append((cost[i - 1][j - 1] + penalty, i - 1, j - 1))
    if j:
        steps.append((cost[i][j - 1] + _MISS, i, j - 1))
    return min(steps, key=itemgetter(0))


def fits(name: str, opcode: str) -> bool:
    """Whether an operator of XNNPACK can be what became of one of the model.

    Args:
        name: As XNNPACK has it (src/operators/operator-utils.c), such as "Fully Connected (NC, QS8, QC8W) GEMM".
        opcode: As the model has it.
    """
    title = name.partition(" (")[0]
    return title.upper().replace(" ", "_") == opcode or opcode in _BECOMES.get(title, ())


def _is_helper(name: str) -> bool:
    return name.partition(" (")[0] in _HELPERS


_HELPERS = frozenset({"Static Reshape", "Copy", "Convert", "Fuse Dims", "Split Dims", "Transpose"})

_BECOMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Average Pooling": ("AVERAGE_POOL_2D",),
        "Batch Matrix Multiply": ("BATCH_MATMUL",),
        "Clamp": ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"),
        "Constant Pad": ("PAD", "PADV2"),
        "Convert": ("QUANTIZE", "DEQUANTIZE", "CAST"),
        "Convolution": ("CONV_2D", "DEPTHWISE_CONV_2D"),
        "Copy": ("CONCATENATION", "RESHAPE", "SPLIT"),
        "Deconvolution": ("TRANSPOSE_CONV",),
        "Divide": ("DIV",),
        "Dynamic Fully Connected": ("FULLY_CONNECTED",),
        "Fully Connected": ("CONV_2D", "FULLY_CONNECTED"),  # a 1x1 convolution is a matrix product
        "HardSwish": ("HARD_SWISH",),
        "LeakyReLU": ("LEAKY_RELU",),
        "Max Pooling": ("MAX_POOL_2D",),
        "Multiply": ("MUL",),
        "Sigmoid": ("LOGISTIC",),
        "Slice": ("SLICE", "STRIDED_SLICE", "SPLIT"),
        "Square": ("MUL",),
        "Static Expand Dims": ("EXPAND_DIMS", "RESHAPE"),
        "Static Reshape": ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
        "Subtract": ("SUB",),
    }
)
