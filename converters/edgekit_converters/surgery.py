"""Takes a .tflite apart into the schema's mutable object tree, changes it, and puts it together again.

Everything that arrives from outside goes through `edgekit_targets.tflite.read_graph` first, which checks
each offset; the generated object API used here trusts its input.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import MalformedModelError

if TYPE_CHECKING:
    # Any in effect, since the generated schema is untyped; the names say what a function takes.
    from ai_edge_litert.schema_py_generated import ModelT, OperatorT, SubGraphT

Array = npt.NDArray[Any]

BUFFER_ALIGNMENT = 16  # tensorflow/compiler/mlir/lite/schema/schema.fbs: Buffer.data (force_align: 16)


def unpack(data: bytes) -> ModelT:
    """Parses a flatbuffer into its object tree (`ModelT`); constants stay views into `data`.

    Args:
        data: A .tflite that `read_graph` has found sound.

    Raises:
        MalformedModelError: The object API cannot parse it.
    """
    from ai_edge_litert.schema_py_generated import ModelT  # here: the module costs a quarter of a second

    try:
        model = ModelT.InitFromPackedBuf(data, 0)
    except (struct.error, IndexError, TypeError, ValueError, AttributeError) as error:
        raise MalformedModelError(
            f"not a sound .tflite: {error}", hint="was the download or the copy interrupted?"
        ) from error
    return model


def pack(model: ModelT) -> bytes:
    """Writes an object tree as a flatbuffer; the same tree gives the same bytes."""
    import flatbuffers

    class AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers is untyped
        """Aligns constants as the schema demands; the generated Python packs them without any alignment."""

        def CreateNumpyVector(self, x: Array) -> int:  # noqa: N802  # overrides
            if x.dtype == np.uint8:
                self.Prep(4, x.nbytes)
                self.Prep(BUFFER_ALIGNMENT, x.nbytes)
            offset: int = super().CreateNumpyVector(x)
            return offset

    for buffer in model.buffers:
        if buffer.data is not None and not isinstance(buffer.data, np.ndarray):
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    size = sum(buffer.data.nbytes for buffer in model.buffers if buffer.data is not None)
    builder = AlignedBuilder(size + (1 << 20))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operator_name(model: ModelT, operator: OperatorT) -> str:
    """The builtin operator's name in the schema, such as "CONV_2D"; "CUSTOM" for custom ones."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    code = model.operatorCodes[operator.opcodeIndex]
    # schema.fbs: the larger of the two holds, since old files know only the deprecated byte.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return str(next(name for name, value in vars(BuiltinOperator).items() if value == number))


def tensor_name(subgraph: SubGraphT, index: int) -> str:
    """A tensor's name as text; "" where the file has none."""
    name = subgraph.tensors[index].name
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""


def add_constant(model: ModelT, name: str, value: Array) -> int:
    """Adds a constant tensor to the main subgraph.

    Args:
        model: Is changed.
        name: Made unique by a number where it is taken.
        value: Of a dtype that TFLite has.

    Returns:
        The index of the new tensor.
    """
    from ai_edge_litert.schema_py_generated import BufferT, TensorT

    subgraph = model.subgraphs[0]
    taken = {tensor_name(subgraph, index) for index in range(len(subgraph.tensors))}
    data = np.ascontiguousarray(value)
    tensor, buffer = TensorT(), BufferT()
    buffer.data = np.frombuffer(data.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.name = unique_name(name, taken).encode()
    tensor.shape = list(value.shape)
    tensor.type = _tensor_type(value.dtype)
    tensor.buffer = len(model.buffers) - 1
    tensor.hasRank = True
    subgraph.tensors.append(tensor)
    return len(subgraph.tensors) - 1


def set_operator(
    model: ModelT, operator: OperatorT, name: str, inputs: Sequence[int], *, version: int = 1
) -> None:
    """Makes an operator another one, with default options, on the same outputs.

    Args:
        model: Is changed.
        operator: One of its operators.
        name: The new builtin operator ("MUL").
        inputs: Its new inputs.
        version: Of the operator.
    """
    from ai_edge_litert import schema_py_generated as schema

    options = name.title().replace("_", "") + "Options"
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, options, 0)
    operator.builtinOptions = getattr(schema, options + "T")() if operator.builtinOptionsType else None
    operator.builtinOptions2Type, operator.builtinOptions2 = 0, None
    operator.inputs = list(inputs)
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)  # schema.fbs: PLACEHOLDER_FOR_GREATER_OP_CODES
    code.version = version
    for index, known in enumerate(model.operatorCodes):
        if (known.builtinCode, known.version) == (code.builtinCode, code.version):
            operator.opcodeIndex = index
            return
    model.operatorCodes.append(code)
    operator.opcodeIndex = len(model.operatorCodes) - 1


def insert_operator(
    model: ModelT,
    before: OperatorT,
    name: str,
    inputs: Sequence[int],
    *,
    like: int | None = None,
    output: int | None = None,
) -> int:
    """Adds an operator to the main subgraph, version 1 and with default options.

    Args:
        model: Is changed.
        before: The operator in front of which it goes.
        name: The builtin operator ("MUL").
        inputs: Tensors that it reads.
        like: A tensor of the type and shape of its output, which is a new tensor.
        output: In place of `like`: the tensor that it writes.

    Returns:
        The index of its output.
    """
    from ai_edge_litert.schema_py_generated import OperatorT

    subgraph = model.subgraphs[0]
    if output is None:
        assert like is not None
        taken = {tensor_name(subgraph, index) for index in range(len(subgraph.tensors))}
        output = _duplicate(model, like)
        made = unique_name(f"{tensor_name(subgraph, like)}/{name.lower()}", taken)
        subgraph.tensors[output].name = made.encode()
    operator = OperatorT()
    operator.outputs = [output]
    set_operator(model, operator, name, inputs)
    position = next(index for index, known in enumerate(subgraph.operators) if known is before)
    subgraph.operators.insert(position, operator)
    return output


def rename_io(model: ModelT, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Names the inputs and outputs of the main subgraph, and makes every tensor's name unique.

    Ranges are found by tensor name later, so that two tensors of one name would share a range.

    Args:
        model: Is changed: signatures, which name tensors too, are dropped.
        inputs: One name an input, in tensor order.
        outputs: One name an output, in tensor order; of other tensors than `inputs`.
    """
    subgraph = model.subgraphs[0]
    wanted = dict(zip((*subgraph.inputs, *subgraph.outputs), (*inputs, *outputs), strict=True))
    taken = set(wanted.values())
    for index, tensor in enumerate(subgraph.tensors):
        name = wanted.get(index) or unique_name(tensor_name(subgraph, index) or "unnamed", taken)
        taken.add(name)
        tensor.name = name.encode()
    model.signatureDefs = None


def prune_to_outputs(model: ModelT, outputs: Sequence[int]) -> tuple[int, ...]:
    """Cuts the main subgraph at `outputs` and drops all that they do not need.

    Args:
        model: Is changed: dead operators, tensors, buffers and inputs go, the rest is renumbered.
            Signatures go too.
        outputs: Tensor indices that become the outputs, in this order.

    Returns:
        The positions, among the former inputs, of those that were kept.
    """
    subgraph = model.subgraphs[0]
    needed = set(map(int, outputs))
    operators = []
    for operator in reversed(subgraph.operators):
        if needed.intersection(map(int, operator.outputs)):
            needed.update(int(index) for index in operator.inputs if index >= 0)
            operators.append(operator)
    subgraph.operators = operators[::-1]
    kept = tuple(position for position, index in enumerate(subgraph.inputs) if int(index) in needed)
    subgraph.inputs = [int(subgraph.inputs[position]) for position in kept]
    subgraph.outputs = list(map(int, outputs))
    model.signatureDefs = None
    _compact(model)
    return kept


def set_static_shapes(model: ModelT, shapes: Mapping[int, Sequence[int]]) -> None:
    """Writes settled shapes into tensors of the main subgraph and forgets that any dimension was open.

    Args:
        model: Is changed.
        shapes: By tensor index; other tensors keep their shape.
    """
    for index, tensor in enumerate(model.subgraphs[0].tensors):
        if index in shapes:
            tensor.shape = list(map(int, shapes[index]))
            tensor.hasRank = True
        tensor.shapeSignature = None


def make_constant(model: ModelT, index: int, value: Array) -> None:
    """Turns a computed tensor of the main subgraph into a constant; what computed it is dead then.

    Args:
        model: Is changed.
        index: The tensor.
        value: Its value, from now on also its type and shape.
    """
    from ai_edge_litert.schema_py_generated import BufferT

    tensor = model.subgraphs[0].tensors[index]
    buffer = BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    tensor.type = _tensor_type(value.dtype)
    tensor.shape = list(value.shape)
    tensor.shapeSignature = None
    tensor.quantization = None
    for operator in model.subgraphs[0].operators:
        if index in map(int, operator.outputs):
            # It may have further outputs that live on: it then writes this one to a tensor that nobody reads.
            spare = _duplicate(model, index)
            operator.outputs = [spare if int(output) == index else int(output) for output in operator.outputs]


def set_metadata(model: ModelT, name: str, value: bytes) -> None:
    """Writes an entry of the file's metadata, in the place of an earlier one of that name."""
    from ai_edge_litert.schema_py_generated import BufferT, MetadataT

    buffer = BufferT()
    buffer.data = np.frombuffer(value.ljust(BUFFER_ALIGNMENT, b"\0"), np.uint8)  # as TensorFlow pads it
    model.buffers.append(buffer)
    entry = MetadataT()
    entry.name, entry.buffer = name.encode(), len(model.buffers) - 1
    model.metadata = [known for known in model.metadata or [] if known.name != entry.name] + [entry]


def unique_name(name: str, taken: Iterable[str]) -> str:
    """`name`, or the first of name_1, name_2, ... that is not in `taken`."""
    known = set(taken)
    if name not in known:
        return name
    number = 1
    while f"{name}_{number}" in known:
        number += 1
    return f"{name}_{number}"


def _duplicate(model: ModelT, index: int) -> int:
    import copy

    subgraph = model.subgraphs[0]
    spare = copy.copy(subgraph.tensors[index])
    spare.buffer = 0
    subgraph.tensors.append(spare)
    return len(subgraph.tensors) - 1


def _compact(model: ModelT) -> None:
    """Drops tensors and buffers that no operator, input, output or metadata refers to."""
    subgraph = model.subgraphs[0]
    used = {*map(int, subgraph.inputs), *map(int, subgraph.outputs)}
    for operator in subgraph.operators:
        used.update(int(index) for index in (*operator.inputs, *operator.outputs) if index >= 0)
        used.update(int(index) for index in _listed(operator.intermediates) if index >= 0)
    renumbered = {old: new for new, old in enumerate(sorted(used))}
    subgraph.tensors = [subgraph.tensors[old] for old in sorted(used)]
    for operator in subgraph.operators:
        operator.inputs = [renumbered.get(int(index), -1) for index in operator.inputs]
        operator.outputs = [renumbered[int(index)] for index in operator.outputs]
        operator.intermediates = [renumbered.get(int(index), -1) for index in _listed(operator.intermediates)]
    subgraph.inputs = [renumbered[int(index)] for index in subgraph.inputs]
    subgraph.outputs = [renumbered[int(index)] for index in subgraph.outputs]
    compact_buffers(model)


def compact_buffers(model: ModelT) -> None:
    """Drops the buffers that no tensor and no metadata refer to."""
    metadata = model.metadata or []
    tensors = [tensor for subgraph in model.subgraphs for tensor in subgraph.tensors]
    used = {0, *(tensor.buffer for tensor in tensors), *(entry.buffer for entry in metadata)}
    renumbered = {old: new for new, old in enumerate(sorted(used))}
    model.buffers = [model.buffers[old] for old in sorted(used)]
    for holder in (*tensors, *metadata):
        holder.buffer = renumbered[holder.buffer]
    model.metadataBuffer = None


def _listed(values: Sequence[int] | None) -> Sequence[int]:
    return [] if values is None else values


def _tensor_type(dtype: np.dtype[Any]) -> int:
    from ai_edge_litert.schema_py_generated import TensorType

    number: int = getattr(TensorType, dtype.name.upper())
    return number
