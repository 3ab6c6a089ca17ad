"""An operator as rules and costs see it: types and shapes beside it, nothing else of the file."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from edgekit_targets.tflite import Graph, Operator, Subgraph, Tensor
from edgekit_targets.tflite.schema import BITS

EIGHT_BIT = frozenset({"INT8", "UINT8"})
FLOATS = frozenset({"FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64"})

_INTEGERS = {"INT8": "b", "UINT8": "B", "INT16": "h", "INT32": "i", "INT64": "q"}
_MOST_VALUES = 64  # axes, paddings, shapes and strides are shorter; weights need not be decoded
_MOST_ELEMENTS = 1 << 40  # more fit no memory, and their product is not worth having


@dataclass(frozen=True, slots=True)
class TensorView:
    """A tensor beside an operator.

    Attributes:
        shape: Sizes; -1 where not known.
        dtype: Name in the schema, such as "INT8".
        constant: Its values stand in the file.
        quantized: It has a scale.
        per_channel: It has more than one scale.
        dynamic: A size other than the batch is open, in its shape or in its signature.
        open_batch: Its signature leaves the first size open, and only that; the shape may still say 1.
        values: Of an integer constant of up to 64 elements, row-major; None for any other tensor.
        scale: Of a tensor with one scale, else None.
        zero_point: Of a tensor with one scale, else None.
    """

    shape: tuple[int, ...]
    dtype: str
    constant: bool = False
    quantized: bool = False
    per_channel: bool = False
    dynamic: bool = False
    open_batch: bool = False
    values: tuple[int, ...] | None = None
    scale: float | None = None
    zero_point: int | None = None

    @property
    def rank(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    @property
    def elements(self) -> int:
        """How many elements it has, an open size counted as 1."""
        return min(prod(abs(size) for size in self.shape), _MOST_ELEMENTS)

    @property
    def bytes(self) -> int:
        """Bytes of all elements, 0 for types without a fixed size."""
        return (self.elements * BITS.get(self.dtype, 0) + 7) // 8


@dataclass(frozen=True, slots=True)
class OpView:
    """An operator and the tensors beside it.

    Attributes:
        index: Its place in the flatbuffer's main subgraph.
        opcode: Name in the schema, such as "CONV_2D"; "CUSTOM" for custom and flex operators.
        version: The version of the operator.
        custom_code: Name of a custom operator, else None.
        name: Of its first output tensor.
        inputs: None for an optional input that is left out.
        outputs: What it computes.
        options: Fields of its option table by their schema names, enumerations as their names.
        reads: Indices of the operators whose outputs it reads, ascending.
    """

    index: int
    opcode: str
    version: int
    custom_code: str | None
    name: str
    inputs: tuple[TensorView | None, ...]
    outputs: tuple[TensorView, ...]
    options: Mapping[str, object] = field(default_factory=dict, hash=False)
    reads: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The opcode, or for a custom operator its own name."""
        return self.opcode if self.custom_code is None else self.custom_code

    @property
    def tensors(self) -> tuple[TensorView, ...]:
        """All inputs that are there, then all outputs."""
        return (*self.given, *self.outputs)

    @property
    def given(self) -> tuple[TensorView, ...]:
        """The inputs that are there."""
        return tuple(tensor for tensor in self.inputs if tensor is not None)

    @property
    def computed(self) -> tuple[TensorView, ...]:
        """The inputs that are fed or computed while the model runs."""
        return tuple(tensor for tensor in self.given if not tensor.constant)

    def input(self, position: int) -> TensorView | None:
        """Returns an input, or None where it is left out or the operator has fewer."""
        return self.inputs[position] if position < len(self.inputs) else None


def view(graph: Graph) -> tuple[OpView, ...]:
    """Returns the operators of a model's main subgraph, in the order of the file."""
    main = graph.main
    computed = {number for operator in main.operators for number in operator.outputs}
    fed = computed | set(main.inputs)
    views = tuple(_tensor_view(graph, tensor, tensor.index in fed) for tensor in main.tensors)
    producer: dict[int, int] = {}
    ops = []
    for operator in main.operators:
        ops.append(_op_view(main, operator, views, producer))
        producer.update(dict.fromkeys(operator.outputs, operator.index))
    return tuple(ops)


def _op_view(
    main: Subgraph, operator: Operator, views: tuple[TensorView, ...], producer: Mapping[int, int]
) -> OpView:
    outputs = operator.outputs
    return OpView(
        index=operator.index,
        opcode=operator.opcode,
        version=operator.version,
        custom_code=operator.custom_code,
        name=main.tensors[outputs[0]].name if outputs else "",
        inputs=tuple(views[number] if number >= 0 else None for number in operator.inputs),
        outputs=tuple(views[number] for number in outputs),
        options=operator.options,
        reads=tuple(sorted({producer[number] for number in operator.inputs if number in producer})),
    )


def _tensor_view(graph: Graph, tensor: Tensor, is_fed: bool) -> TensorView:
    data = graph.constant(tensor)
    # An empty constant (the shape of a scalar) has no bytes, and so no buffer.
    constant = not is_fed and (data is not None or 0 in tensor.shape) and not tensor.is_variable
    q = tensor.quantization
    scales = q.scale if q is not None else ()
    single = q is not None and len(q.scale) == 1
    open_axes = [
        axis
        for axis, (size, signed) in enumerate(zip(tensor.shape, tensor.shape_signature, strict=True))
        if size < 0 or signed < 0
    ]
    return TensorView(
        shape=tensor.shape,
        dtype=tensor.type,
        constant=constant,
        quantized=bool(scales),
        per_channel=len(scales) > 1,
        dynamic=bool(open_axes) and open_axes != [0],
        open_batch=open_axes == [0],
        values=_values(tensor, data) if constant else None,
        scale=scales[0] if single else None,
        zero_point=q.zero_point[0] if q is not None and single and q.zero_point else None,
    )


def _values(tensor: Tensor, data: memoryview | None) -> tuple[int, ...] | None:
    code = _INTEGERS.get(tensor.type)
    if code is None or tensor.sparse:
        return None
    if data is None:
        return ()
    count = prod(tensor.shape)
    if count > _MOST_VALUES:
        return None
    return struct.unpack(f"<{count}{code}", data)
