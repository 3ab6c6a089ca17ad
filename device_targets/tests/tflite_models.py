"""Builds small .tflite files for tests: a network is data, changed by making a changed copy; `build()` gives bytes.

The bytes are written with the object API of LiteRT's generated schema: edgekit's own reader has no part in it.

    conv().build()                                   a sound int8 CONV_2D
    conv().tensor("weights", scale=[0.0] * 4)        the same with one thing wrong
    net("RELU", {"x": ...}, {"y": ...})              any operator
    edit(data, change)                               bytes with `change(model)` applied to the schema's objects
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

DTYPES = {
    "FLOAT32": np.float32, "FLOAT16": np.float16, "FLOAT64": np.float64, "INT8": np.int8, "UINT8": np.uint8,
    "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "BOOL": np.bool_,
}  # fmt: skip


@dataclass(frozen=True)
class T:
    """A tensor: `data` makes it a constant, `scale` quantized; scale and zero point are one value or one a channel."""

    shape: tuple[int, ...]
    type: str = "INT8"
    scale: float | Sequence[float] | None = None
    zero_point: int | Sequence[int] = 0
    data: Any = None
    dimension: int = 0
    range: tuple[float, float] | None = None
    signature: tuple[int, ...] | None = None
    variable: bool = False
    sparse: bool = False
    details: bool = False

    def bytes(self) -> bytes | None:
        """The constant as the file holds it."""
        if self.data is None or isinstance(self.data, bytes):
            return self.data
        return np.broadcast_to(np.asarray(self.data, DTYPES[self.type]), self.shape).tobytes()


@dataclass(frozen=True)
class Op:
    """An operator. `options` are fields of its option table under their names in the object API (`strideW=1`)."""

    opcode: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    table: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    custom_code: str | None = None
    custom_options: bytes | None = None


@dataclass(frozen=True)
class Net:
    """A model. `subgraphs` are further ones, whose own subgraphs, signatures and metadata are ignored."""

    tensors: Mapping[str, T]
    ops: tuple[Op, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    subgraphs: tuple[Net, ...] = ()
    signatures: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]] = field(default_factory=dict)
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    name: str = "main"

    def tensor(self, tensor_name: str, **changes: Any) -> Net:
        """A copy in which one tensor differs."""
        return replace(
            self, tensors={**self.tensors, tensor_name: replace(self.tensors[tensor_name], **changes)}
        )

    def op(self, index: int = 0, **changes: Any) -> Net:
        """A copy in which one operator differs."""
        return replace(
            self, ops=(*self.ops[:index], replace(self.ops[index], **changes), *self.ops[index + 1 :])
        )

    def rename(self, **names: str) -> Net:
        """A copy in which tensors have other names in the file (`x="model/dense/BiasAdd"`)."""
        new = {old: names.get(old, old) for old in self.tensors}
        return replace(
            self,
            tensors={new[old]: tensor for old, tensor in self.tensors.items()},
            ops=tuple(
                replace(
                    op,
                    inputs=tuple(None if i is None else new[i] for i in op.inputs),
                    outputs=tuple(new[o] for o in op.outputs),
                )
                for op in self.ops
            ),
            inputs=tuple(new[i] for i in self.inputs),
            outputs=tuple(new[o] for o in self.outputs),
        )

    def build(self) -> bytes:
        """The .tflite file."""
        return _Builder().build(self)


class _Builder:
    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = b"built for a test"
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.codes: dict[tuple[str, int, str | None], int] = {}

    def build(self, net: Net) -> bytes:
        self.model.subgraphs = [self.subgraph(each) for each in (net, *net.subgraphs)]
        names = list(net.tensors)
        self.model.signatureDefs = [
            self.signature(key, inputs, outputs, names) for key, (inputs, outputs) in net.signatures.items()
        ]
        self.model.metadata = [self.metadata(name, data) for name, data in net.metadata.items()]
        return pack(self.model)

    def subgraph(self, net: Net) -> Any:
        numbers = {name: number for number, name in enumerate(net.tensors)}
        subgraph = schema.SubGraphT()
        subgraph.name = net.name.encode()
        subgraph.tensors = [self.tensor(name, tensor) for name, tensor in net.tensors.items()]
        subgraph.operators = [self.operator(op, numbers) for op in net.ops]
        subgraph.inputs = [numbers[name] for name in net.inputs]
        subgraph.outputs = [numbers[name] for name in net.outputs]
        return subgraph

    def buffer(self, data: bytes | None) -> int:
        if data is None:
            return 0
        buffer = schema.BufferT()
        buffer.data = list(data)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def tensor(self, name: str, spec: T) -> Any:
        tensor = schema.TensorT()
        tensor.name = name.encode()
        tensor.shape = list(spec.shape)
        tensor.shapeSignature = None if spec.signature is None else list(spec.signature)
        tensor.type = getattr(schema.TensorType, spec.type)
        tensor.buffer = self.buffer(spec.bytes())
        tensor.isVariable = spec.variable
        tensor.sparsity = schema.SparsityParametersT() if spec.sparse else None
        tensor.quantization = self.quantization(spec)
        return tensor

    @staticmethod
    def quantization(spec: T) -> Any:
        quantization = schema.QuantizationParametersT()
        if spec.scale is not None:
            scale = [spec.scale] if isinstance(spec.scale, (int, float)) else list(spec.scale)
            zero = (
                [spec.zero_point] * len(scale) if isinstance(spec.zero_point, int) else list(spec.zero_point)
            )
            quantization.scale, quantization.zeroPoint = scale, zero
            quantization.quantizedDimension = spec.dimension
        if spec.range is not None:
            quantization.min, quantization.max = [spec.range[0]], [spec.range[1]]
        if spec.details:
            quantization.detailsType = schema.QuantizationDetails.CustomQuantization
            quantization.details = schema.CustomQuantizationT()
        return quantization

    def operator(self, op: Op, numbers: Mapping[str, int]) -> Any:
        operator = schema.OperatorT()
        operator.opcodeIndex = self.code(op)
        operator.inputs = [-1 if name is None else numbers[name] for name in op.inputs]
        operator.outputs = [numbers[name] for name in op.outputs]
        if op.table is not None:
            options = getattr(schema, op.table + "T")()
            for name, value in op.options.items():
                assert hasattr(options, name), f"{op.table} has no {name}"
                setattr(options, name, value)
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, op.table)
            operator.builtinOptions = options
        if op.custom_options is not None:
            operator.customOptions = list(op.custom_options)
        return operator

    def code(self, op: Op) -> int:
        key = (op.opcode, op.version, op.custom_code)
        if key not in self.codes:
            code = schema.OperatorCodeT()
            number = getattr(schema.BuiltinOperator, op.opcode)
            code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
            code.version = op.version
            code.customCode = None if op.custom_code is None else op.custom_code.encode()
            self.codes[key] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        return self.codes[key]

    @staticmethod
    def signature(
        key: str, inputs: Mapping[str, str], outputs: Mapping[str, str], names: Sequence[str]
    ) -> Any:
        def entries(mapping: Mapping[str, str]) -> list[Any]:
            result = []
            for name, tensor in mapping.items():
                entry = schema.TensorMapT()
                entry.name, entry.tensorIndex = name.encode(), names.index(tensor)
                result.append(entry)
            return result

        signature = schema.SignatureDefT()
        signature.signatureKey = key.encode()
        signature.inputs, signature.outputs = entries(inputs), entries(outputs)
        return signature

    def metadata(self, name: str, data: bytes) -> Any:
        entry = schema.MetadataT()
        entry.name, entry.buffer = name.encode(), self.buffer(data)
        return entry


def pack(model: Any) -> bytes:
    """The bytes of a tree of schema objects."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def edit(data: bytes, change: Callable[[Any], object]) -> bytes:
    """A copy of a .tflite, sound or not, after `change(model)` on its tree of schema objects."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
    change(model)
    return pack(model)


def net(
    opcode: str,
    inputs: Mapping[str, T],
    outputs: Mapping[str, T],
    *,
    table: str | None = None,
    options: Mapping[str, Any] | None = None,
    version: int = 1,
    custom_code: str | None = None,
    custom_options: bytes | None = None,
) -> Net:
    """A model of one operator; inputs without data are the model's inputs."""
    op = Op(
        opcode, tuple(inputs), tuple(outputs), table, options or {}, version, custom_code, custom_options
    )  # fmt: skip
    feeds = tuple(name for name, tensor in inputs.items() if tensor.data is None)
    return Net({**inputs, **outputs}, (op,), feeds, tuple(outputs))


def activation(*shape: int, scale: float = 0.05, zero_point: int = 3, **changes: Any) -> T:
    """An int8 tensor that is computed or fed."""
    return T(shape, "INT8", scale, zero_point, **changes)


def shape_constant(*values: int) -> T:
    """An int32 constant: a shape, axes, paddings."""
    return T((len(values),), "INT32", data=values)


def _weighted(
    opcode: str, table: str, weights: T, options: Mapping[str, Any], x: T, y: T, version: int
) -> Net:
    assert isinstance(x.scale, float)
    channels = weights.shape[weights.dimension]
    scale = [x.scale * s for s in weights.scale]  # type: ignore[union-attr]
    bias = T((channels,), "INT32", scale, 0, np.arange(channels) * 10)
    return net(
        opcode,
        {"x": x, "weights": weights, "bias": bias},
        {"y": y},
        table=table,
        options=options,
        version=version,
    )


def conv(channels: int = 4) -> Net:
    """A sound int8 CONV_2D, 1x8x8x3 to 1x8x8x`channels`, per-channel weights."""
    scale = [0.01 * (c + 1) for c in range(channels)]
    weights = T(
        (channels, 3, 3, 3), "INT8", scale, 0, np.arange(channels * 27).reshape(channels, 3, 3, 3) % 127
    )
    options = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    x, y = activation(1, 8, 8, 3), activation(1, 8, 8, channels, scale=0.1)
    return _weighted("CONV_2D", "Conv2DOptions", weights, options, x, y, 3)


def depthwise(channels: int = 4) -> Net:
    """A sound int8 DEPTHWISE_CONV_2D; its channels are dimension 3."""
    scale = [0.01 * (c + 1) for c in range(channels)]
    weights = T((1, 3, 3, channels), "INT8", scale, 0, np.arange(channels * 9).reshape(1, 3, 3, channels), 3)
    options = {"strideW": 1, "strideH": 1, "depthMultiplier": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    x, y = activation(1, 8, 8, channels), activation(1, 8, 8, channels, scale=0.1)
    return _weighted("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", weights, options, x, y, 3)


def dense(units: int = 4, per_channel: bool = False) -> Net:
    """A sound int8 FULLY_CONNECTED, 1x16 to 1x`units`."""
    scale = [0.01 * (c + 1) for c in range(units)] if per_channel else [0.02]
    weights = T((units, 16), "INT8", scale, 0, np.arange(units * 16).reshape(units, 16) % 127)
    model = _weighted(
        "FULLY_CONNECTED",
        "FullyConnectedOptions",
        weights,
        {},
        activation(1, 16),
        activation(1, units, scale=0.1),
        4,
    )
    bias_scale = [0.05 * s for s in scale]
    return model.tensor("bias", shape=(units,), scale=bias_scale, data=np.arange(units) * 10)


def binary(opcode: str = "ADD", table: str | None = "AddOptions") -> Net:
    """A sound int8 operator with two inputs of one shape."""
    feeds = {"a": activation(1, 8), "b": activation(1, 8, scale=0.03)}
    return net(opcode, feeds, {"y": activation(1, 8, scale=0.08)}, table=table, version=2)


def unary(
    opcode: str,
    table: str | None = None,
    *,
    scale: float = 0.05,
    zero_point: int = 3,
    shape: tuple[int, ...] = (1, 8),
    **op: Any,
) -> Net:
    """A sound int8 operator with one input and one output of one shape; `scale` and `zero_point` are the output's."""
    output = activation(*shape, scale=scale, zero_point=zero_point)
    return net(opcode, {"x": activation(*shape)}, {"y": output}, table=table, **op)
