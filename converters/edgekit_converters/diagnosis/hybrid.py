"""Runs stretches of a network in float or in int8, and carries the tensors across the cuts between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from edgekit.preprocess import dequantize, quantize
from edgekit_converters.diagnosis.blocks import Chain
from edgekit_converters.quantize.parts import part
from edgekit_converters.runner import Runner
from edgekit_converters.surgery import tensor_name, unpack
from edgekit_targets.tflite import Graph, Tensor, read_graph

Arithmetic = Literal["float", "rounded", "int8"]
"""How a stretch computes: the float model's operators, the same with the int8 model's weights and biases, or int8."""

State = Mapping[str, np.ndarray]
"""Tensors by name at one cut: real values (float32), or what int8 stores."""


class Hybrid:
    """The parts of a float model and of its int8 version.

    Args:
        float_model: The float .tflite.
        int8_model: What it became.
        chain: Their blocks.
        threads: Of each interpreter.
    """

    def __init__(self, float_model: bytes, int8_model: bytes, chain: Chain, threads: int = 1) -> None:
        self.chain = chain
        self._threads = threads
        exact = unpack(float_model)
        rounded = unpack(float_model)
        _round_constants(rounded, read_graph(float_model), read_graph(int8_model))
        self._models: dict[Arithmetic, Any] = {
            "float": exact,
            "rounded": rounded,
            "int8": unpack(int8_model),
        }
        self._singles: dict[tuple[Arithmetic, int], Runner | None] = {}

    def block(self, arithmetic: Arithmetic, number: int) -> Runner | None:
        """One block, kept until it is forgotten; None where it has no operator."""
        key = (arithmetic, number)
        if key not in self._singles:
            self._singles[key] = self.stretch(arithmetic, number, number)
        return self._singles[key]

    def forget(self, number: int) -> None:
        """Drops the interpreters of that block."""
        for key in [key for key in self._singles if key[1] == number]:
            del self._singles[key]

    def stretch(self, arithmetic: Arithmetic, first: int, last: int) -> Runner | None:
        """The blocks `first`..`last` as one model; None where they hold no operator.

        Its inputs are the tensors that come from before, its outputs those that are alive behind `last`.
        """
        blocks = self.chain.blocks[first : last + 1]
        spans = [block.int8_ops if arithmetic == "int8" else block.float_ops for block in blocks]
        if not spans or spans[0][0] == spans[-1][1]:
            return None
        reads: dict[str, None] = {}
        written: dict[str, None] = {}
        for block in blocks:
            reads |= dict.fromkeys(name for name in block.reads if name not in written)
            written |= dict.fromkeys(block.writes)
        kept = [name for name in written if name in self.chain.alive[last] and name not in reads]
        model = self._models[arithmetic]
        places = {tensor_name(model.subgraphs[0], t): t for t in range(len(model.subgraphs[0].tensors))}
        cut = part(
            model,
            spans[0][0],
            spans[-1][1] - 1,
            [places[name] for name in reads],
            [places[name] for name in sorted(kept, key=places.__getitem__)],
        )
        return Runner(cut, threads=self._threads)

    def real(self, stored: State) -> dict[str, np.ndarray]:
        """What int8 values stand for."""
        scales = self.chain.scales
        return {
            name: dequantize(values, *scales[name]) if name in scales else values
            for name, values in stored.items()
        }

    def store(self, real: State) -> dict[str, np.ndarray]:
        """Real values rounded to int8."""
        scales = self.chain.scales
        return {
            name: quantize(values, *scales[name]) if name in scales else values
            for name, values in real.items()
        }


def through(runner: Runner | None, state: State, alive: frozenset[str]) -> dict[str, np.ndarray]:
    """Runs a stretch from a state to the next, where the tensors `alive` are kept."""
    computed = {} if runner is None else runner.run(state)
    known = {**state, **computed}
    return {name: known[name] for name in alive}


def _round_constants(model: Any, exact: Graph, rough: Graph) -> None:
    """Gives the float model the weights and biases that the int8 model has, in real units.

    Constants are matched by name and shape; one that the int8 model does not have stays as it is.
    """
    from ai_edge_litert.schema_py_generated import BufferT

    rounded = {tensor.name: tensor for tensor in rough.main.tensors if rough.constant(tensor) is not None}
    for tensor in exact.main.tensors:
        other = rounded.get(tensor.name)
        if tensor.type != "FLOAT32" or exact.constant(tensor) is None or other is None:
            continue
        values = constant_values(rough, other)
        if values is not None and other.shape == tensor.shape:
            # A buffer of its own: another constant may share the old one, and be rounded otherwise.
            model.subgraphs[0].tensors[tensor.index].buffer = len(model.buffers)
            model.buffers.append(BufferT())
            model.buffers[-1].data = np.frombuffer(values.tobytes(), np.uint8)


def constant_values(graph: Graph, tensor: Tensor) -> np.ndarray | None:
    """The real values of a constant, float32 of its shape; None for a type that has none."""
    data = graph.constant(tensor)
    kinds = {"FLOAT32": "<f4", "INT8": "i1", "UINT8": "u1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8"}
    if data is None or tensor.type not in kinds or tensor.sparse:
        return None
    values = np.frombuffer(data, kinds[tensor.type]).reshape(tensor.shape)
    quantization = tensor.quantization
    if quantization is None or not quantization.scale or tensor.type == "FLOAT32":
        return values.astype(np.float32)
    along = [1] * values.ndim
    if len(quantization.scale) > 1:
        along[quantization.quantized_dimension] = -1
    scale = np.asarray(quantization.scale).reshape(along if values.ndim else ())
    zero = np.asarray(quantization.zero_point or 0).reshape(along if len(quantization.zero_point) > 1 else ())
    real: np.ndarray = ((values - zero.astype(np.float64)) * scale).astype(np.float32)
    return real
