"""Small float networks for tests of the quantizer, built operator by operator."""

from __future__ import annotations

from typing import Any

import numpy as np
from tflite_models import Net, Op, T

FLOAT = "FLOAT32"
NONE, RELU, RELU6 = 0, 1, 3
"""schema.fbs, ActivationFunctionType."""

SIDE = 6
"""Height and width of everything that has them."""


class Stack:
    """Layers on top of each other; `last` names what the next one reads.

    Args:
        seed: Of the weights.
        channels: Of the input "x".
    """

    def __init__(self, seed: int = 0, channels: int = 3) -> None:
        self.generator = np.random.default_rng(seed)
        self.tensors: dict[str, T] = {"x": T((1, SIDE, SIDE, channels), FLOAT)}
        self.ops: list[Op] = []
        self.last = "x"

    def add(
        self, opcode: str, inputs: tuple[str, ...], name: str, table: str | None, **options: Any
    ) -> Stack:
        """Any operator; its output, called `name`, must have a tensor already."""
        self.ops.append(Op(opcode, inputs, (name,), table, options))
        self.last = name
        return self

    def constant(self, name: str, value: np.ndarray) -> str:
        """A constant tensor."""
        kind = {"float32": FLOAT, "int32": "INT32"}[str(value.dtype)]
        self.tensors[name] = T(value.shape, kind, data=value)
        return name

    @property
    def shape(self) -> tuple[int, ...]:
        """Of `last`."""
        return self.tensors[self.last].shape

    def _linear(
        self, opcode: str, name: str, weights: np.ndarray, outputs: int, table: str, **options: Any
    ) -> Stack:
        bias = self.generator.normal(0.2, 0.2, outputs).astype(np.float32)
        inputs = (self.last, self.constant(f"{name}/w", weights), self.constant(f"{name}/b", bias))
        return self.add(opcode, inputs, name, table, **options)

    def conv(self, name: str, outputs: int, activation: int = RELU, gains: Any = 1.0) -> Stack:
        """A 3 x 3 convolution; `gains` scale its output channels."""
        shape = self.shape
        weights = self.generator.normal(0, 0.3, (outputs, 3, 3, shape[-1])) * np.reshape(gains, (-1, 1, 1, 1))
        self.tensors[name] = T((*shape[:-1], outputs), FLOAT)
        options = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
        return self._linear(
            "CONV_2D", name, weights.astype(np.float32), outputs, "Conv2DOptions",
            fusedActivationFunction=activation, **options,
        )  # fmt: skip

    def depthwise(self, name: str, activation: int = RELU) -> Stack:
        """A 3 x 3 depthwise convolution."""
        shape = self.shape
        weights = self.generator.normal(0, 0.4, (1, 3, 3, shape[-1])).astype(np.float32)
        self.tensors[name] = T(shape, FLOAT)
        options = {
            "strideW": 1,
            "strideH": 1,
            "dilationWFactor": 1,
            "dilationHFactor": 1,
            "depthMultiplier": 1,
        }
        return self._linear(
            "DEPTHWISE_CONV_2D", name, weights, shape[-1], "DepthwiseConv2DOptions",
            fusedActivationFunction=activation, **options,
        )  # fmt: skip

    def dense(self, name: str, outputs: int) -> Stack:
        """A dense layer."""
        weights = self.generator.normal(0, 0.4, (outputs, self.shape[-1])).astype(np.float32)
        self.tensors[name] = T((1, outputs), FLOAT)
        return self._linear("FULLY_CONNECTED", name, weights, outputs, "FullyConnectedOptions")

    def pool(self, name: str, opcode: str = "AVERAGE_POOL_2D", activation: int = NONE) -> Stack:
        """A 2 x 2 pool of stride 1, padded."""
        self.tensors[name] = T(self.shape, FLOAT)
        options = {"strideW": 1, "strideH": 1, "filterWidth": 2, "filterHeight": 2}
        return self.add(
            opcode, (self.last,), name, "Pool2DOptions", fusedActivationFunction=activation, **options
        )

    def pad(self, name: str) -> Stack:
        """One row and column of zeros all around."""
        batch, height, width, channels = self.shape
        self.tensors[name] = T((batch, height + 2, width + 2, channels), FLOAT)
        widths = np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
        return self.add("PAD", (self.last, self.constant(f"{name}/widths", widths)), name, "PadOptions")

    def mean(self, name: str, axes: tuple[int, ...] = (1, 2)) -> Stack:
        """The mean over those axes, which are dropped."""
        shape = tuple(size for axis, size in enumerate(self.shape) if axis not in axes)
        self.tensors[name] = T(shape, FLOAT)
        inputs = (self.last, self.constant(f"{name}/axes", np.array(axes, np.int32)))
        return self.add("MEAN", inputs, name, "ReducerOptions", keepDims=False)

    def plain(self, opcode: str, name: str, table: str | None = None, **options: Any) -> Stack:
        """An operator of one operand that keeps its shape."""
        self.tensors[name] = T(self.shape, FLOAT)
        return self.add(opcode, (self.last,), name, table, **options)

    def net(self, *outputs: str) -> Net:
        """The network, from "x" to `last` or to those outputs."""
        return Net(self.tensors, tuple(self.ops), ("x",), outputs or (self.last,))

    def samples(self, count: int = 24) -> list[dict[str, np.ndarray]]:
        """Inputs, smooth like photos."""
        noise = np.random.default_rng(9).normal(0, 1, (count, *self.tensors["x"].shape))
        noise = (noise + np.roll(noise, 1, 2) + np.roll(noise, 1, 3)) / np.sqrt(3)
        return [{"x": row.astype(np.float32)} for row in noise]
