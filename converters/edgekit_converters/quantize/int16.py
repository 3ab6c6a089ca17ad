"""Gives a few operators of an int8 model 16-bit activations (int16x8), between QUANTIZE operators.

Weights stay the int8 ones that they are, biases become int64, and every tensor outside of the operators named, the
model's inputs and outputs among them, stays int8. Source of the scheme: LiteRT, "Full integer quantization with int16
activations and int8 weights"; which operators have kernels that compute right is `edgekit_targets.tflite.wide`.

TensorFlow's own quantizer cannot be asked for this: in its 16-bit mode it takes all operators or none, and with ranges of
our own it writes zero points and int32 biases that its kernels refuse. Decision 0012 has the figures.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit_converters.audit.view import WEIGHTED, Weighted
from edgekit_converters.surgery import (
    compact_buffers,
    operator_name,
    pack,
    set_metadata,
    set_operator,
    tensor_name,
    unique_name,
    unpack,
)
from edgekit_targets.tflite import Graph
from edgekit_targets.tflite.wide import LEAST_TENSORFLOW, WIDE_OPERATORS

SUFFIX = ";int16"
"""Ends the name of a 16-bit tensor, after that of the int8 tensor beside it; TensorFlow too joins names by ";"."""

STEPS = 2**15
"""Of an int16 scale in the larger half of its range."""


@dataclass(frozen=True, slots=True)
class Widened:
    """A model in which some operators have 16-bit activations.

    Attributes:
        model: The flatbuffer.
        tensors: Names of all its tensors that are int16, and of the biases that are int64: what an audit may let pass.
    """

    model: bytes
    tensors: frozenset[str]


def convertible(graph: Graph) -> frozenset[int]:
    """Numbers of the operators that `widen` takes: known to compute right, on int8 activations alone.

    Args:
        graph: A fully int8 model.
    """
    tensors = graph.main.tensors
    return frozenset(
        operator.index
        for operator in graph.main.operators
        if operator.opcode in WIDE_OPERATORS - {"QUANTIZE"}
        and all(tensors[index].type == "INT8" for index in operator.outputs)
    )


def wide_scale(scale: float, zero_point: int) -> float:
    """The int16 scale that covers what an int8 tensor covers, zero in the middle.

    The fixed scales come out as kernels have them: 1/256 and -128 of SOFTMAX and LOGISTIC, and 1/128 and 0 of TANH, all
    become 1/32768 (tensorflow/lite/kernels/activations.cc). Equal int8 scales become equal int16 ones, so that operators
    that only move values stay free of rescaling.

    Args:
        scale: Of the int8 tensor, in its real unit.
        zero_point: Of the int8 tensor, -128 to 127.
    """
    return float(np.float32(scale) * np.float32(max(128 + zero_point, 128 - zero_point)) / np.float32(STEPS))


def widen(model: bytes, operators: Collection[int]) -> Widened:
    """Gives those operators 16-bit activations.

    Args:
        model: A fully int8 flatbuffer with one subgraph.
        operators: Numbers out of `convertible`.

    Returns:
        The mixed model. Where two of the operators follow on each other, no QUANTIZE stands between them.
    """
    mutable = unpack(model)
    surgeon = _Surgeon(mutable, frozenset(operators))
    surgeon.operate()
    set_metadata(mutable, "min_runtime_version", LEAST_TENSORFLOW.encode())
    compact_buffers(mutable)
    return Widened(pack(mutable), frozenset(surgeon.made))


class _Surgeon:
    """One operation on the object tree of a model.

    A tensor that is wanted in 8 bits too gets a 16-bit one beside it; any other is changed in its place.

    Attributes:
        made: Names of the tensors that are int16 now, and of the biases that are int64.
    """

    def __init__(self, model: Any, chosen: frozenset[int]) -> None:
        from ai_edge_litert import schema_py_generated  # here: the module costs a quarter of a second

        self.made: list[str] = []
        self._schema: Any = schema_py_generated
        self._model = model
        self._tensors = model.subgraphs[0].tensors
        self._names = {tensor_name(model.subgraphs[0], index) for index in range(len(self._tensors))}
        self._chosen = chosen
        self._wide: dict[int, int] = {}
        self._placed: list[Any] = []
        self._readers: dict[int, set[int]] = {}
        for number, operator in enumerate(model.subgraphs[0].operators):
            for index in operator.inputs:
                self._readers.setdefault(int(index), set()).add(number)

    def operate(self) -> None:
        """Goes through the operators in their order, so that what computes a tensor comes before what reads it."""
        for number, operator in enumerate(self._model.subgraphs[0].operators):
            if number in self._chosen:
                self._widen(operator)
            else:
                self._placed.append(operator)
        self._model.subgraphs[0].operators = self._placed

    def _widen(self, operator: Any) -> None:
        name = operator_name(self._model, operator)
        roles = WEIGHTED.get(name)
        operator.inputs = [
            self._input(int(index)) if self._is_activation(position, int(index), roles) else int(index)
            for position, index in enumerate(operator.inputs)
        ]
        if roles is not None and len(operator.inputs) > roles.bias and operator.inputs[roles.bias] >= 0:
            operator.inputs[roles.bias] = self._bias(operator, roles)
        if name in ("ADD", "SUB"):
            operator.builtinOptions.potScaleInt16 = (
                False  # else kernels take scales that are powers of two alone
            )
        self._placed.append(operator)
        outputs = [int(index) for index in operator.outputs]
        operator.outputs = [self._beside(index, keep=self._is_wanted(index)) for index in outputs]
        for index in filter(self._is_wanted, outputs):
            self._quantize(self._wide[index], index)

    def _is_activation(self, position: int, index: int, roles: Weighted | None) -> bool:
        is_int8 = index >= 0 and self._tensors[index].type == self._schema.TensorType.INT8
        return is_int8 and (roles is None or position == roles.data)

    def _is_wanted(self, index: int) -> bool:
        """Whether a tensor must be there in 8 bits too: it goes out of the model, or to an operator that stays."""
        leaves = index in map(int, self._model.subgraphs[0].outputs)
        return leaves or not self._readers.get(index, set()) <= self._chosen

    def _input(self, index: int) -> int:
        """The 16-bit form of an input: computed, constant, or made by a QUANTIZE from the 8-bit one."""
        if index in self._wide:
            return self._wide[index]
        stored = self._model.buffers[self._tensors[index].buffer].data
        if stored is None:
            wide = self._beside(index, keep=True)
            self._quantize(index, wide)
            return wide
        old = self._tensors[index].quantization
        steps = np.frombuffer(bytes(stored), np.int8).astype(np.float64) - int(old.zeroPoint[0])
        real = steps * float(old.scale[0])
        wide = self._beside(index, keep=self._is_wanted(index))
        scale = float(self._tensors[wide].quantization.scale[0])
        self._store(wide, np.round(real / scale).clip(1 - STEPS, STEPS - 1).astype("<i2"))
        return wide

    def _beside(self, index: int, *, keep: bool) -> int:
        """A 16-bit tensor in the place of an 8-bit one, or beside it."""
        wide = self._copy(index, SUFFIX) if keep else index
        tensor = self._tensors[wide]
        old = tensor.quantization
        scale = wide_scale(float(old.scale[0]), int(old.zeroPoint[0]))
        self._retype(wide, self._schema.TensorType.INT16, [scale])
        self._wide[index] = wide
        return wide

    def _bias(self, operator: Any, roles: Weighted) -> int:
        """The bias in int64, in units of the 16-bit input's scale times the weights'."""
        index = int(operator.inputs[roles.bias])
        old = self._tensors[index]
        stored = np.frombuffer(bytes(self._model.buffers[old.buffer].data), "<i4")
        real = stored * np.asarray(old.quantization.scale, np.float64)
        data = np.float32(self._tensors[operator.inputs[roles.data]].quantization.scale[0])
        weights = self._tensors[operator.inputs[roles.weights]].quantization
        scales = data * np.asarray(weights.scale, np.float32)
        wide = index if len(self._readers[index]) == 1 else self._copy(index, ";int64")
        self._retype(wide, self._schema.TensorType.INT64, scales.tolist())
        self._store(wide, np.round(real / scales.astype(np.float64)).astype("<i8"))
        return wide

    def _copy(self, index: int, suffix: str) -> int:
        made = copy.copy(self._tensors[index])
        name = unique_name(tensor_name(self._model.subgraphs[0], index) + suffix, self._names)
        self._names.add(name)
        made.name, made.buffer = name.encode(), 0
        self._tensors.append(made)
        return len(self._tensors) - 1

    def _retype(self, index: int, kind: int, scales: list[float]) -> None:
        tensor = self._tensors[index]
        quantization = copy.copy(tensor.quantization)
        quantization.scale, quantization.zeroPoint = scales, [0] * len(scales)
        quantization.min = quantization.max = None
        tensor.type, tensor.quantization = kind, quantization
        self.made.append(tensor_name(self._model.subgraphs[0], index))

    def _store(self, index: int, values: np.ndarray) -> None:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        self._tensors[index].buffer = len(self._model.buffers) - 1

    def _quantize(self, source: int, target: int) -> None:
        operator = self._schema.OperatorT()
        operator.outputs = [target]
        set_operator(self._model, operator, "QUANTIZE", [source], version=2)
        self._placed.append(operator)
