"""One operator of a model with its tensors, as the rules of the firewall look at it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NoReturn

from edgekit_targets.errors import MalformedModelError
from edgekit_targets.tflite.graph import Graph, Operator, Tensor

Shape = tuple[int, ...]

MOST_STEP = 65_535
"""The longest stride, dilation and window; kernels multiply them in 32 bits."""

MOST_DIMENSIONS = 8
"""Dimensions of a tensor; some kernels have room for no more."""

_FEW = 64
_MOST_ELEMENTS = 512 << 20
_CODES = {"INT8": "b", "UINT8": "B", "BOOL": "B", "INT32": "i", "INT64": "q", "UINT32": "I"}
_LEARNED = {"INT32": 32, "INT64": 64}


def listed(values: Sequence[int]) -> str:
    """Numbers as a message quotes them: not more than a shape has."""
    shown = ", ".join(map(str, values[:MOST_DIMENSIONS]))
    return f"[{shown}, ... {len(values)} in all]" if len(values) > MOST_DIMENSIONS else f"[{shown}]"


@dataclass(slots=True)
class Known:
    """What is found out on the way from the first operator to the last, by tensor number.

    Attributes:
        values: What is computed while the model runs, and yet known: what SHAPE gives, and what follows from it.
        shapes: What the operators of some tensors compute, where the file says another shape: 1 for a size that the
            signature leaves open, or as many elements in other dimensions (`regroups`).
    """

    values: dict[int, Shape] = field(default_factory=dict)
    shapes: dict[int, Shape] = field(default_factory=dict)


class Call:
    """An operator and its tensors.

    Attributes:
        operator: From the file.
        inputs: None for one that is left out.
        outputs: What it writes.
    """

    __slots__ = ("_graph", "_known", "inputs", "operator", "outputs")

    def __init__(self, graph: Graph, operator: Operator, known: Known) -> None:
        """Look up the tensors.

        Args:
            graph: The file.
            operator: One of its main subgraph.
            known: Of the operators before it; `learn` and `gives` add to it.
        """
        tensors = graph.main.tensors
        self._graph = graph
        self._known = known
        self.operator = operator
        self.inputs = tuple(tensors[number] if number >= 0 else None for number in operator.inputs)
        self.outputs = tuple(tensors[number] for number in operator.outputs)

    def fail(self, message: str) -> NoReturn:
        """Raises MalformedModelError that names this operator."""
        raise MalformedModelError(f"operator {self.operator.index} ({self.operator.title}): {message}")

    def require(self, holds: bool, message: str) -> None:
        """Raises MalformedModelError that names this operator unless it holds."""
        if not holds:
            self.fail(message)

    def input(self, position: int) -> Tensor:
        """An input that the operator must have."""
        tensor = self.inputs[position] if position < len(self.inputs) else None
        if tensor is None:
            self.fail(f"input {position} is missing")
        return tensor

    def has(self, position: int) -> bool:
        """Whether an input is there."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def shape(self, position: int = 0) -> Shape:
        """The shape of an input."""
        tensor = self.input(position)
        return self._known.shapes.get(tensor.index, tensor.shape)

    def number(self, name: str) -> int:
        """An integer or bool option."""
        value = self.operator.options[name]
        assert isinstance(value, int)
        return value

    def real(self, name: str) -> float:
        """A float option."""
        value = self.operator.options[name]
        assert isinstance(value, float)
        return value

    def positive(self, name: str, most: int) -> int:
        """An integer option within 1 and `most`."""
        value = self.number(name)
        self.require(1 <= value <= most, f"{name} is {value}, and must lie within 1..{most}")
        return value

    def values(self, position: int, *ranks: int, wide: bool = False, most: int = _FEW) -> tuple[int, ...]:
        """The integers of an input that is a constant, or follows from constants and shapes.

        Kernels read these as what they expect, whatever the file says: a type or rank that is not theirs makes them
        compute another shape than the file has.

        Args:
            position: Of the input.
            ranks: How many dimensions it may have; one where left out.
            wide: Whether its kernel reads int64 too, not only int32.
            most: How many there may be.

        Raises:
            MalformedModelError: It is computed from the model's inputs, or of another type, rank or length.
        """
        tensor = self.input(position)
        if wide:
            self.indices(position)
        else:
            self.require(
                tensor.type == "INT32", f"input {position} is {tensor.type.lower()}, and must be int32"
            )
        count = prod(self.rank(position, *(ranks or (1,))))
        self.require(count <= most, f"input {position} has {count} numbers, and may have {most}")
        found = self.constant(position)
        if found is None:
            self.fail(f"input {position} ('{tensor.name[:80]}') must be a constant of integers, and is none")
        return found

    def constant(self, position: int) -> tuple[int, ...] | None:
        """The integers of an input of any length, and None where they are not known."""
        tensor = self.input(position)
        if tensor.type not in _CODES:
            return None
        data = self._graph.constant(tensor)
        if data is not None:
            return struct.unpack(f"<{prod(tensor.shape)}{_CODES[tensor.type]}", data)
        return () if 0 in tensor.shape else self._known.values.get(tensor.index)

    def scalar(self, position: int, *, wide: bool = False) -> int:
        """The only integer of an input, as of `values`."""
        values = self.values(position, 0, 1, wide=wide)
        self.require(len(values) == 1, f"input {position} must be one number, and is {len(values)}")
        return values[0]

    def learn(self, values: Sequence[int] | None) -> None:
        """Notes what the first output holds, where that is known.

        What its type cannot hold is not known: kernels wrap around.
        """
        output = self.outputs[0]
        bits = _LEARNED.get(output.type)
        if values is None or bits is None:
            return
        if all(-(1 << bits - 1) <= value < 1 << bits - 1 for value in values):
            self._known.values[output.index] = tuple(values)

    def few(self, position: int) -> tuple[int, ...] | None:
        """As `constant`, and None where it is no list or single number of moderate length: shapes and the like."""
        shape = self.shape(position)
        return self.constant(position) if len(shape) <= 1 and prod(shape) <= _FEW else None

    def axis(self, value: int, rank: int, what: str = "axis") -> int:
        """An axis, counted from 0; negative ones count from behind.

        Raises:
            MalformedModelError: There is no such axis.
        """
        self.require(-rank <= value < rank, f"{what} {value} is not among the {rank} of its input")
        return value % rank

    def gives(self, shape: Sequence[int], output: int = 0) -> None:
        """Requires the shape of an output.

        Where the file leaves a size open, what the operator computes holds; so it does where it computes as many
        elements in other dimensions, because an input has other dimensions than the file says.

        Raises:
            MalformedModelError: The file says another one.
        """
        tensor, computed = self.outputs[output], tuple(shape)
        if tensor.shape == computed:
            return
        signature = tensor.shape_signature
        is_open = len(signature) == len(computed) and all(
            signed in (-1, size) for signed, size in zip(signature, computed, strict=True)
        )
        if not is_open and not self._follows(tensor, computed):
            self.fail(f"output {output} has the shape {list(tensor.shape)}, and it computes {listed(shape)}")
        if min(computed, default=1) < 1 or prod(computed) > _MOST_ELEMENTS:
            self.fail(f"output {output} gets the shape {listed(shape)}, which is too large or empty")
        self._known.shapes[tensor.index] = computed

    def _follows(self, tensor: Tensor, computed: Shape) -> bool:
        """Whether an output has the elements that it computes, and an input was regrouped."""
        if prod(tensor.shape) != prod(computed):
            return False
        given = ((each.shape, self._known.shapes.get(each.index)) for each in self.inputs if each is not None)
        return any(noted not in (None, said) and prod(noted or ()) == prod(said) for said, noted in given)

    def regroups(self, shape: Sequence[int]) -> None:
        """Notes the shape of the first output, which has as many elements in the file, in whatever dimensions."""
        tensor = self.outputs[0]
        if tensor.shape != tuple(shape):
            self._known.shapes[tensor.index] = tuple(shape)

    def same_types(self, *positions: int) -> None:
        """Requires inputs to have the type of the first output."""
        wanted = self.outputs[0].type
        for position in positions:
            given = self.input(position).type
            self.require(
                given == wanted, f"input {position} is {given.lower()}, and the output {wanted.lower()}"
            )

    def indices(self, position: int) -> None:
        """Requires an input to be of int32 or int64."""
        kind = self.input(position).type
        self.require(
            kind in ("INT32", "INT64"), f"input {position} is {kind.lower()}, and must be int32 or int64"
        )

    def rank(self, position: int, *allowed: int) -> Shape:
        """The shape of an input that must have one of these ranks."""
        shape = self.shape(position)
        self.require(
            len(shape) in allowed,
            f"input {position} has {len(shape)} dimensions, and must have {' or '.join(map(str, allowed))}",
        )
        return shape


def broadcast(call: Call, *shapes: Shape) -> Shape:
    """The shape of several operands together, by numpy's rule.

    Raises:
        MalformedModelError: They do not go together.
    """
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = []
    for sizes in zip(*padded, strict=True):
        wider = {size for size in sizes if size != 1}
        call.require(len(wider) <= 1, f"shapes {', '.join(str(list(s)) for s in shapes)} do not go together")
        result.append(wider.pop() if wider else 1)
    return tuple(result)
