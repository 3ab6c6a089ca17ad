"""The layers that hold weights, convolutions and dense layers, and a way to read and to write their constants."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit_converters.surgery import operator_name, tensor_name

# The operators whose third input is a bias at input_scale * weight_scale
# (TFLite 8-bit quantization specification: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED).
DEPTHWISE = "DEPTHWISE_CONV_2D"
DENSE = "FULLY_CONNECTED"
LINEAR_OPERATORS = frozenset({"CONV_2D", DEPTHWISE, DENSE})

DTYPES = {0: "<f4", 2: "<i4", 4: "<i8", 9: "i1"}
"""Of constants, by the schema's TensorType: FLOAT32, INT32, INT64 (biases behind 16-bit activations), INT8."""

# schema.fbs, ActivationFunctionType: NONE, RELU, RELU_N1_TO_1, RELU6; the others have no int8 kernel in these layers.
ACTIVATION_BOUNDS = {0: (-np.inf, np.inf), 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}

WEIGHTS, BIAS = 1, 2
"""Positions among the inputs of a linear operator."""


@dataclass(frozen=True, slots=True)
class LinearLayer:
    """One linear operator with constant weights and a constant bias, in an unpacked model.

    Attributes:
        index: Of the operator.
        operator: The `OperatorT` itself.
        kind: One of LINEAR_OPERATORS.
        name: Of its output tensor, by which a float layer and its int8 twin are found.
    """

    index: int
    operator: Any
    kind: str
    name: str

    @property
    def source(self) -> int:
        """The tensor that it reads."""
        return int(self.operator.inputs[0])

    @property
    def output(self) -> int:
        """The tensor that it writes."""
        return int(self.operator.outputs[0])

    @property
    def channel_axis(self) -> int:
        """Of the weights: the axis that counts output channels."""
        return 3 if self.kind == DEPTHWISE else 0

    @property
    def bounds(self) -> tuple[float, float]:
        """What its fused activation cuts its output to."""
        return ACTIVATION_BOUNDS[self.operator.builtinOptions.fusedActivationFunction]


def linear_layers(model: Any) -> list[LinearLayer]:
    """The layers of the main subgraph whose weights and bias can be rewritten, in order.

    Left out are layers without a bias, grouped convolutions, and whatever computes its weights.
    """
    subgraph = model.subgraphs[0]
    found = []
    for index, operator in enumerate(subgraph.operators):
        kind = operator_name(model, operator)
        if kind not in LINEAR_OPERATORS or len(operator.inputs) < 3 or operator.inputs[BIAS] < 0:
            continue
        layer = LinearLayer(index, operator, kind, tensor_name(subgraph, operator.outputs[0]))
        if _is_plain(model, layer):
            found.append(layer)
    return found


def _is_plain(model: Any, layer: LinearLayer) -> bool:
    tensors = model.subgraphs[0].tensors
    constants = [tensors[layer.operator.inputs[position]] for position in (WEIGHTS, BIAS)]
    if any(model.buffers[t.buffer].data is None or t.type not in DTYPES for t in constants):
        return False
    if layer.operator.builtinOptions.fusedActivationFunction not in ACTIVATION_BOUNDS:
        return False
    grouped = layer.kind == "CONV_2D" and tensors[layer.source].shape[-1] != constants[0].shape[-1]
    return not grouped


def constant(model: Any, layer: LinearLayer, position: int) -> np.ndarray:
    """The stored values of the weights or of the bias, in the tensor's shape; to be copied before a change."""
    tensor = model.subgraphs[0].tensors[layer.operator.inputs[position]]
    data = bytes(model.buffers[tensor.buffer].data)
    return np.frombuffer(data, DTYPES[tensor.type]).reshape(tensor.shape)


def scales(model: Any, layer: LinearLayer, position: int) -> np.ndarray:
    """float64 [1] or [channels]: the scale of int8 weights or of an int32 bias."""
    tensor = model.subgraphs[0].tensors[layer.operator.inputs[position]]
    return np.asarray(tensor.quantization.scale, np.float64)


def replace_constant(
    model: Any, layer: LinearLayer, position: int, values: np.ndarray, scale: np.ndarray | None = None
) -> None:
    """Writes the weights or the bias of one layer and of no other, even where layers shared them before.

    Args:
        model: Is changed.
        layer: One of it.
        position: WEIGHTS or BIAS.
        values: In the tensor's shape; cast to its dtype.
        scale: [1] or [channels], the new scale; None keeps the old one.
    """
    from ai_edge_litert.schema_py_generated import BufferT

    subgraph = model.subgraphs[0]
    index = int(layer.operator.inputs[position])
    if sum(Counter(map(int, operator.inputs))[index] for operator in subgraph.operators) > 1:
        subgraph.tensors.append(copy.copy(subgraph.tensors[index]))
        index = len(subgraph.tensors) - 1
        layer.operator.inputs = [*layer.operator.inputs]
        layer.operator.inputs[position] = index
    tensor = subgraph.tensors[index]
    if sum(each.buffer == tensor.buffer for each in subgraph.tensors) > 1:
        model.buffers.append(BufferT())
        tensor.buffer = len(model.buffers) - 1
    data = np.ascontiguousarray(values, DTYPES[tensor.type])
    model.buffers[tensor.buffer].data = np.frombuffer(data.tobytes(), np.uint8)
    if scale is not None:
        tensor.quantization = copy.copy(tensor.quantization)
        tensor.quantization.scale = np.asarray(scale, np.float32)


def as_rows(layer: LinearLayer, weights: np.ndarray) -> np.ndarray:
    """Weights as [output channels, values that one output is a sum over]."""
    return np.moveaxis(weights, layer.channel_axis, 0).reshape(weights.shape[layer.channel_axis], -1)


def from_rows(layer: LinearLayer, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `as_rows`."""
    if layer.kind == DEPTHWISE:
        return rows.T.reshape(shape)
    return rows.reshape(shape)
