"""How much memory the tensors of a model take while it runs, planned as the runtimes plan it.

Tensors that are not needed at the same time share addresses. Both runtimes place tensors one after the other,
largest first, each where it overlaps none that lives at the same time:

- LiteRT and TensorFlow Lite (tensorflow/lite/arena_planner.cc, simple_memory_arena.cc, TensorFlow 2.21): in
  the smallest gap that takes it, at multiples of 64 bytes; inputs and outputs of the model keep their place
  for good, and some operators write their result over an input.
- TensorFlow Lite Micro (tensorflow/lite/micro/memory_planner/greedy_memory_planner.cc): in the first gap that
  takes it, in units of 16 bytes (micro_arena_constants.h).

What is not in these figures: scratch memory of single kernels, the weights, the interpreter's own tables (in
TensorFlow Lite Micro a part of the arena), and what a delegate such as XNNPACK packs or keeps for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod
from types import MappingProxyType

from edgekit_targets.tflite.graph import Graph, Operator, Subgraph, Tensor
from edgekit_targets.tflite.schema import BITS

_SCALAR_BYTES = 4  # kScalarTensorBytes in arena_planner.cc: so small a result is never written over an input


class Planner(Enum):
    """Whose plan is followed."""

    LITERT = "LiteRT"
    MICRO = "TensorFlow Lite Micro"


@dataclass(frozen=True, slots=True)
class Allocation:
    """Where a tensor lies, and while which operators.

    Attributes:
        tensor: Its number in the subgraph.
        offset: First byte in the arena.
        bytes: Its size.
        first: The operator that writes it; 0 for inputs and variables.
        last: The last operator that reads it; for what stays, the number of operators.
    """

    tensor: int
    offset: int
    bytes: int
    first: int
    last: int

    def meets(self, other: Allocation) -> bool:
        """Whether both live at the same time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Arena:
    """The plan of a model's tensors.

    Attributes:
        bytes: What all of them take together, variables included.
        variable_bytes: Of these, tensors that keep their value between two runs.
        allocations: Of the main subgraph, without variables, in the order of placing.
    """

    bytes: int
    variable_bytes: int
    allocations: tuple[Allocation, ...]


def plan_arena(graph: Graph, planner: Planner = Planner.LITERT) -> Arena:
    """Plans the tensors of a model.

    Args:
        graph: The model. An open dimension counts as 1.
        planner: Whose plan to follow.

    Returns:
        The plan. Bodies of control flow have arenas of their own in LiteRT, and their bytes are added; the
        sum is the most that they take in TensorFlow Lite Micro, which plans all together.
    """
    plans = [_plan(subgraph, planner) for subgraph in graph.subgraphs]
    variables = sum(
        _round_up(_bytes(tensor), _ALIGNMENT[planner])
        for subgraph in graph.subgraphs
        for tensor in subgraph.tensors
        if tensor.is_variable
    )
    highest = sum(max((a.offset + a.bytes for a in plan), default=0) for plan in plans)
    return Arena(highest + variables, variables, plans[0])


_ALIGNMENT = {Planner.LITERT: 64, Planner.MICRO: 16}  # kDefaultTensorAlignment; MicroArenaBufferAlignment()

# Operators of LiteRT that may write over an input: which inputs, and whether the bytes change. Source: the
# `inplace_operator` of their registrations in tensorflow/lite/kernels, confirmed by addresses (test_memory.py).
_IN_PLACE: Mapping[str, tuple[tuple[int, ...], bool]] = MappingProxyType(
    {
        "RESHAPE": ((0,), False),
        "BITCAST": ((0,), False),
        "SOFTMAX": ((0,), True),
        "DYNAMIC_UPDATE_SLICE": ((0,), True),
        "ADD": ((0, 1), True),
        "SUB": ((0, 1), True),
        "MUL": ((0, 1), True),
        "DIV": ((0, 1), True),
    }
)


def _bytes(tensor: Tensor) -> int:
    """Returns the bytes of a tensor, 0 for types without a fixed size (they live outside of the arena)."""
    return (prod(abs(size) for size in tensor.shape) * BITS.get(tensor.type, 0) + 7) // 8


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _plan(subgraph: Subgraph, planner: Planner) -> tuple[Allocation, ...]:
    """Places all tensors of a subgraph but its constants and variables."""
    alignment = _ALIGNMENT[planner]
    micro = planner is Planner.MICRO
    placed: list[Allocation] = []
    order: list[Allocation] = []
    for wanted in _in_order(subgraph, planner):
        size = _round_up(wanted.bytes, alignment) if micro else wanted.bytes
        beside = [a for a in placed if a.meets(wanted)]
        offset = _first_gap(beside, size) if micro else _best_gap(beside, size, alignment)
        allocation = Allocation(wanted.tensor, offset, size, wanted.first, wanted.last)
        order.append(allocation)
        placed.append(allocation)
        placed.sort(key=lambda a: a.offset)
    return tuple(order)


def _first_gap(beside: Sequence[Allocation], size: int) -> int:
    """Returns the lowest offset between others that takes `size` bytes."""
    end = 0
    for other in beside:
        if other.offset - end >= size:
            return end
        end = max(end, other.offset + other.bytes)
    return end


def _best_gap(beside: Sequence[Allocation], size: int, alignment: int) -> int:
    """Returns the offset in the smallest gap that takes `size` bytes, or behind all others."""
    best, fit = None, None
    end = 0
    for other in beside:
        start = _round_up(end, alignment)
        if start + size <= other.offset and (fit is None or other.offset - start < fit):
            best, fit = start, other.offset - end
        end = max(end, other.offset + other.bytes)
    return _round_up(end, alignment) if best is None else best


def _in_order(subgraph: Subgraph, planner: Planner) -> list[Allocation]:
    """Returns the tensors to place, offsets still 0, in the order of placing."""
    stay = len(subgraph.operators)
    shared = _shared(subgraph) if planner is Planner.LITERT else {}
    wanted = list(_lifetimes(subgraph, shared, inputs_stay=planner is Planner.LITERT))

    def litert(a: Allocation) -> tuple[int, int, int, int]:
        # What lives throughout goes first, in the order of tensors; the rest by size, then by time.
        through = a.first == 0 and a.last == stay
        return (0, a.tensor, 0, 0) if through else (1, -a.bytes, a.first, a.tensor)

    if planner is Planner.LITERT:
        return sorted(wanted, key=litert)
    unit = _ALIGNMENT[planner]  # of equal sizes, the planner takes the last tensor first
    return sorted(wanted, key=lambda a: (-_round_up(a.bytes, unit), -a.tensor))


def _lifetimes(subgraph: Subgraph, shared: Mapping[int, int], *, inputs_stay: bool) -> Iterator[Allocation]:
    """Yields every tensor that takes a place of its own, with the operators between which it lives.

    Args:
        subgraph: The subgraph.
        shared: For a tensor that lies on another's place, that other.
        inputs_stay: Whether inputs of the subgraph are kept to the end.
    """
    stay = len(subgraph.operators)
    first = dict.fromkeys(subgraph.inputs, 0)
    last: dict[int, int] = {}
    for operator in subgraph.operators:
        for number in operator.outputs:
            first.setdefault(number, operator.index)
        for number in operator.inputs:
            last[shared.get(number, number)] = operator.index
    kept = {*subgraph.outputs, *(subgraph.inputs if inputs_stay else ())}
    # A result that nobody reads is never released by LiteRT, and needed for one operator by TFLite Micro.
    unread = stay if inputs_stay else -1
    for number in sorted(first):
        tensor = subgraph.tensors[number]
        size = _bytes(tensor)
        if size and number not in shared and not tensor.is_variable:
            end = stay if number in kept else last.get(number, max(unread, first[number]))
            yield Allocation(number, 0, size, first[number], end)


def _shared(subgraph: Subgraph) -> dict[int, int]:
    """Returns for each result that is written over an input the tensor whose place it takes.

    Source: ArenaPlanner::IdentifyInPlaceTensors.
    """
    computed = {number for operator in subgraph.operators for number in operator.outputs}
    uses: dict[int, int] = dict.fromkeys(subgraph.outputs, 1)
    for operator in subgraph.operators:
        for number in operator.inputs:
            uses[number] = uses.get(number, 0) + 1
    shared: dict[int, int] = {}
    for operator in subgraph.operators:
        inputs, changes = _IN_PLACE.get(operator.opcode, ((), False))
        if not inputs or not operator.outputs or operator.outputs[0] in subgraph.outputs:
            continue
        for number in _given(operator, inputs):
            if number in computed and _may_share(subgraph, operator, number, changes, uses):
                actual = shared.get(number, number)
                if _fits(subgraph, operator, actual) and not (changes and uses.get(actual, 0) > 1):
                    shared[operator.outputs[0]] = actual
                break
    return shared


def _given(operator: Operator, positions: Sequence[int]) -> list[int]:
    return [operator.inputs[p] for p in positions if p < len(operator.inputs) and operator.inputs[p] >= 0]


def _may_share(
    subgraph: Subgraph, operator: Operator, number: int, changes: bool, uses: Mapping[int, int]
) -> bool:
    """Whether the first result of an operator may take the place of an input (InputTensorCanBeShared)."""
    tensor = subgraph.tensors[number]
    if number in subgraph.inputs or tensor.is_variable:
        return False
    size = _bytes(tensor)
    result = _bytes(subgraph.tensors[operator.outputs[0]])
    return not changes or (size == result and size > _SCALAR_BYTES and uses.get(number, 0) <= 1)


def _fits(subgraph: Subgraph, operator: Operator, actual: int) -> bool:
    """Whether the place has the size of the result; LiteRT drops the sharing otherwise."""
    return _bytes(subgraph.tensors[actual]) == _bytes(subgraph.tensors[operator.outputs[0]])
