"""Reads a .tflite file into a `Graph`, without TensorFlow, numpy or a runtime.

It decodes names, shapes, quantization and options, and checks every number that refers to something else in
the file; constants are located, not decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

from edgekit_targets.errors import MalformedModelError
from edgekit_targets.tflite.flatbuffer import DEFAULT_LIMITS, Flatbuffer, Limits, Table
from edgekit_targets.tflite.graph import Graph, Operator, Quantization, Signature, Span, Subgraph, Tensor
from edgekit_targets.tflite.schema import (
    BITS,
    ENUMS,
    IDENTIFIER,
    OPERATORS,
    OPTIONS,
    OPTIONS_2,
    QUANTIZATION_DETAILS,
    SCHEMA_VERSION,
    SUBGRAPH_FIELDS,
    TENSOR_TYPES,
    OptionField,
    option_tables,
    options_of_operators,
)

_NEWER = "it may come from a later TensorFlow than edgekit knows (2.21)"


@dataclass(frozen=True, slots=True)
class _OperatorCode:
    opcode: str
    version: int
    custom_code: str | None


def read_graph(data: bytes | bytearray | memoryview, limits: Limits = DEFAULT_LIMITS) -> Graph:
    """Reads a .tflite file.

    Args:
        data: The whole file. It must stay unchanged as long as the graph is used.
        limits: How much the file may make the reader build.

    Returns:
        The graph. Every tensor, buffer and subgraph number in it is valid, and a constant has as many bytes
        as its shape and type say.

    Raises:
        MalformedModelError: The bytes are not a sound .tflite file of schema version 3, or exceed a limit.
    """
    try:
        return _read(data, limits)
    except MalformedModelError as error:
        hint = error.hint or "was the download or the copy interrupted?"
        raise MalformedModelError(f"not a sound .tflite: {error}", hint=hint) from None


def _read(data: bytes | bytearray | memoryview, limits: Limits) -> Graph:
    buffer = Flatbuffer(data, IDENTIFIER, limits)
    root = buffer.root("model")
    version = root.uint32(0)
    if version != SCHEMA_VERSION:
        root.fail(f"schema version {version}, and only version {SCHEMA_VERSION} is in use")
    codes = tuple(_operator_code(table) for table in root.tables(1, "operator code", limits.buffers))
    buffers = tuple(_buffer_span(table) for table in root.tables(4, "buffer", limits.buffers))
    subgraphs = tuple(
        _subgraph(index, table, codes, buffers)
        for index, table in enumerate(root.tables(2, "subgraph", limits.subgraphs))
    )
    if not subgraphs:
        root.fail("it holds no subgraph")
    _check_subgraph_references(subgraphs)
    return Graph(
        data=buffer.view,
        version=version,
        description=root.string(3) or "",
        subgraphs=subgraphs,
        buffers=buffers,
        signatures=tuple(_signature(t, subgraphs) for t in root.tables(7, "signature", limits.buffers)),
        metadata=_metadata(root, buffers, buffer),
    )


def _name(table: Table, names: tuple[str, ...], number: int, what: str) -> str:
    """Returns the name of an enumeration's number."""
    if not 0 <= number < len(names):
        raise MalformedModelError(f"{table.where}: {what} {number} is not known", hint=_NEWER)
    return names[number]


def _operator_code(table: Table) -> _OperatorCode:
    # Files older than schema 3a hold the number in the int8 field only; newer ones in both, or 127 in the old
    # one.
    opcode = _name(table, OPERATORS, max(table.int8(0), table.int32(3)), "operator number")
    custom_code = table.string(1)
    if opcode == "CUSTOM" and not custom_code:
        table.fail("a custom operator without a name")
    return _OperatorCode(opcode, table.int32(2, 1), custom_code if opcode == "CUSTOM" else None)


def _large_span(table: Table, slot: int) -> Span | None:
    """Returns the span of data kept behind the flatbuffer (files over 2 GiB), or None."""
    offset, length = table.uint64(slot), table.uint64(slot + 1)
    if offset <= 1:
        return None
    if offset + length > table.buffer.size:
        table.fail(f"its {length} bytes at offset {offset} run out of the file")
    return (offset, length) if length else None


def _buffer_span(table: Table) -> Span | None:
    span = table.span(0)
    return span if span is not None and span[1] else _large_span(table, 1)


def _subgraph(
    index: int, table: Table, codes: tuple[_OperatorCode, ...], buffers: tuple[Span | None, ...]
) -> Subgraph:
    limits = table.buffer.limits
    tensors = tuple(_tensor(i, t, buffers) for i, t in enumerate(table.tables(0, "tensor", limits.tensors)))
    operators = tuple(
        _operator(i, t, codes, len(tensors))
        for i, t in enumerate(table.tables(3, "operator", limits.operators))
    )
    return Subgraph(
        index=index,
        name=table.string(4) or "",
        tensors=tensors,
        operators=operators,
        inputs=_tensor_numbers(table, 1, "input", len(tensors)),
        outputs=_tensor_numbers(table, 2, "output", len(tensors)),
    )


def _tensor_numbers(table: Table, slot: int, what: str, tensors: int, least: int = 0) -> tuple[int, ...]:
    numbers = table.int32s(slot)
    if numbers and not (least <= min(numbers) and max(numbers) < tensors):
        table.fail(f"{what} numbers {min(numbers)} to {max(numbers)} are not all among its {tensors} tensors")
    return numbers


def _tensor(index: int, table: Table, buffers: tuple[Span | None, ...]) -> Tensor:
    shape = _shape(table, 0)
    number = table.uint32(2)
    if number >= len(buffers):
        table.fail(f"buffer {number} is not among the {len(buffers)} of the model")
    if table.uint32(10):
        raise MalformedModelError(
            f"{table.where}: its constant is kept in another file",
            hint="export the model with its weights inside",
        )
    tensor = Tensor(
        index=index,
        name=table.string(3) or "",
        shape=shape,
        shape_signature=_shape(table, 7) or shape,
        type=_name(table, TENSOR_TYPES, table.int8(1), "tensor type"),
        buffer=number,
        quantization=_quantization(table),
        is_variable=table.boolean(5),
        sparse=table.table(6, "sparsity") is not None,
    )
    if len(tensor.shape_signature) != len(shape):
        table.fail(f"its signature {tensor.shape_signature} and its shape {shape} differ in rank")
    span = buffers[number]
    if span is not None:
        _check_constant(table, tensor, span[1])
    return tensor


def _shape(table: Table, slot: int) -> tuple[int, ...]:
    shape = table.int32s(slot)
    if len(shape) > table.buffer.limits.rank:
        table.fail(f"{len(shape)} dimensions are more than the {table.buffer.limits.rank} that are read")
    if min(shape, default=0) < -1:
        table.fail(f"the shape {shape} has an impossible dimension")
    return shape


def _check_constant(table: Table, tensor: Tensor, length: int) -> None:
    """Refuses a constant whose bytes do not fit its shape.

    TFLite does so on loading: Subgraph::SetTensorParametersReadOnly in tensorflow/lite/core/subgraph.cc.
    """
    bits = BITS.get(tensor.type)
    if bits is None or tensor.sparse:
        return
    if min(tensor.shape, default=0) < 0:
        table.fail(f"a constant of unknown shape {tensor.shape}")
    expected = (prod(tensor.shape) * bits + 7) // 8
    if length != expected:
        table.fail(
            f"a constant of {length} bytes, where {tensor.type} of shape {tensor.shape} takes {expected}"
        )


def _quantization(tensor: Table) -> Quantization | None:
    table = tensor.table(4, "quantization")
    if table is None:
        return None
    kind = _name(table, QUANTIZATION_DETAILS, table.uint8(4), "quantization scheme")
    quantization = Quantization(
        scale=table.float32s(2),
        zero_point=table.int64s(3),
        quantized_dimension=table.int32(6),
        min=table.float32s(0),
        max=table.float32s(1),
        details=None if kind == "NONE" else kind,
    )
    q = quantization
    return quantization if q.scale or q.zero_point or q.min or q.max or q.details else None


def _operator(index: int, table: Table, codes: tuple[_OperatorCode, ...], tensors: int) -> Operator:
    number = table.uint32(0)
    if number >= len(codes):
        table.fail(f"operator code {number} is not among the {len(codes)} of the model")
    code = codes[number]
    return Operator(
        index=index,
        opcode=code.opcode,
        version=code.version,
        custom_code=code.custom_code,
        inputs=_tensor_numbers(table, 1, "input", tensors, least=-1),
        outputs=_tensor_numbers(table, 2, "output", tensors),
        intermediates=_tensor_numbers(table, 8, "intermediate", tensors, least=-1),
        options=_options(table, code.opcode),
        custom_options=_custom_options(table),
        has_options=table.field(4) is not None or table.field(12) is not None,
    )


def _custom_options(table: Table) -> memoryview:
    start, length = table.span(5) or _large_span(table, 9) or (0, 0)
    return table.buffer.view[start : start + length]


def _options(operator: Table, opcode: str) -> Mapping[str, object]:
    """Returns the option fields of an operator, whichever of the two unions holds them."""
    kind, slot = _name(operator, OPTIONS, operator.uint8(3), "option table"), 4
    if kind == "NONE":
        kind, slot = _name(operator, OPTIONS_2, operator.uint8(11), "option table"), 12
    expected = options_of_operators().get(opcode)
    table = None if kind == "NONE" else operator.table(slot, kind)
    if table is not None and expected is not None and kind != expected:
        operator.fail(f"{opcode} carries {kind} in place of {expected}")
    fields = option_tables().get(expected or "", ())
    return MappingProxyType({f.name: _option(table, f) for f in fields})


_NUMBERS: Mapping[str, Callable[[Table, int, int], object]] = MappingProxyType(
    {
        "int": Table.int32,
        "uint": Table.uint32,
        "long": Table.int64,
        "bool": lambda table, slot, default: table.boolean(slot, bool(default)),
        "float": lambda table, slot, default: table.float32(slot, float(default)),
        "ints": lambda table, slot, _: table.int32s(slot),
        "floats": lambda table, slot, _: table.float32s(slot),
        "string": lambda table, slot, _: table.string(slot) or "",
        "bytes": lambda table, slot, _: _bytes(table, slot),
    }
)

_ABSENT: Mapping[str, object] = MappingProxyType(
    {"ints": (), "floats": (), "string": "", "bytes": memoryview(b"")}
)


def _bytes(table: Table, slot: int) -> memoryview:
    start, length = table.span(slot) or (0, 0)
    return table.buffer.view[start : start + length]


def _option(table: Table | None, item: OptionField) -> object:
    names = ENUMS.get(item.kind)
    if table is not None and names is None:
        return _NUMBERS[item.kind](table, item.slot, item.default)
    if names is not None:
        number = item.default if table is None else table.int8(item.slot, item.default)
        return names[number] if table is None else _name(table, names, number, item.name)
    if item.kind in _ABSENT:
        return _ABSENT[item.kind]
    return {"bool": bool, "float": float}.get(item.kind, int)(item.default)


def _check_subgraph_references(subgraphs: tuple[Subgraph, ...]) -> None:
    for subgraph in subgraphs:
        for operator in subgraph.operators:
            for name in SUBGRAPH_FIELDS & operator.options.keys():
                number = operator.options[name]
                if not (isinstance(number, int) and 0 <= number < len(subgraphs)):
                    raise MalformedModelError(
                        f"model, subgraph {subgraph.index}, operator {operator.index}: "
                        f"{name} {number} is not among the {len(subgraphs)} subgraphs"
                    )


def _signature(table: Table, subgraphs: tuple[Subgraph, ...]) -> Signature:
    number = table.uint32(4)
    if number >= len(subgraphs):
        table.fail(f"subgraph {number} is not among the {len(subgraphs)} of the model")
    tensors = len(subgraphs[number].tensors)
    return Signature(
        key=table.string(2) or "",
        subgraph=number,
        inputs=_tensor_map(table, 0, "input", tensors),
        outputs=_tensor_map(table, 1, "output", tensors),
    )


def _tensor_map(table: Table, slot: int, what: str, tensors: int) -> Mapping[str, int]:
    names: dict[str, int] = {}
    for entry in table.tables(slot, what, table.buffer.limits.vector):
        name, number = entry.string(0) or "", entry.uint32(1)
        if number >= tensors:
            entry.fail(f"tensor {number} is not among the {tensors} of the subgraph")
        if name in names:
            entry.fail(f"the name '{name}' occurs twice")
        names[name] = number
    return MappingProxyType(names)


def _metadata(root: Table, buffers: tuple[Span | None, ...], buffer: Flatbuffer) -> Mapping[str, memoryview]:
    entries: dict[str, memoryview] = {}
    for entry in root.tables(6, "metadata", buffer.limits.buffers):
        number = entry.uint32(1)
        if number >= len(buffers):
            entry.fail(f"buffer {number} is not among the {len(buffers)} of the model")
        start, length = buffers[number] or (0, 0)
        entries[entry.string(0) or ""] = buffer.view[start : start + length]
    return MappingProxyType(entries)
