"""Small real int8 models for the tests of `edgekit.profiling.ops`, as `tflite_models` builds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tflite_models import Net, Op, T, activation, shape_constant

from edgekit_targets.tflite import Graph

_CONV = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
_VALID = 1  # enum Padding


def weights(*shape: int, channel: int = 0) -> T:
    """Random int8 weights with a scale a channel."""
    channels = shape[channel]
    values = np.random.default_rng(shape).integers(-127, 128, shape)
    return T(shape, "INT8", [0.01 + 0.001 * c for c in range(channels)], 0, values, channel)


def bias(channels: int, scale: float = 0.05) -> T:
    values = np.random.default_rng(channels).integers(-99, 99, channels)
    return T((channels,), "INT32", [scale * (0.01 + 0.001 * c) for c in range(channels)], 0, values)


def cnn() -> Net:
    """Padding, convolutions, a branch, pooling, a dense layer and a softmax: 8 operators, 1x8x8x3 to 1x10."""
    c = activation(1, 8, 8, 4)
    tensors = {
        "x": activation(1, 8, 8, 3),
        "paddings": T((4, 2), "INT32", data=[[0, 0], [1, 1], [1, 1], [0, 0]]),
        "padded": activation(1, 10, 10, 3),
        "conv_w": weights(4, 3, 3, 3),
        "conv_b": bias(4),
        "conv": c,
        "depth_w": weights(1, 3, 3, 4, channel=3),
        "depth_b": bias(4),
        "depth": c,
        "sum": activation(1, 8, 8, 4, scale=0.1),
        "pooled": activation(1, 4, 4, 4, scale=0.1),
        "flat_shape": shape_constant(1, 64),
        "flat": activation(1, 64, scale=0.1),
        "dense_w": weights(10, 64),
        "dense_b": bias(10, 0.1),
        "dense": activation(1, 10, scale=0.5),
        "y": activation(1, 10, scale=1 / 256, zero_point=-128),
    }
    pool = {"strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    ops = (
        Op("PAD", ("x", "paddings"), ("padded",), "PadOptions", version=2),
        Op("CONV_2D", ("padded", "conv_w", "conv_b"), ("conv",), "Conv2DOptions",
           _CONV | {"padding": _VALID}, 3),
        Op("DEPTHWISE_CONV_2D", ("conv", "depth_w", "depth_b"), ("depth",), "DepthwiseConv2DOptions",
           _CONV | {"depthMultiplier": 1}, 3),
        Op("ADD", ("conv", "depth"), ("sum",), "AddOptions", version=2),
        Op("MAX_POOL_2D", ("sum",), ("pooled",), "Pool2DOptions", pool, 2),
        Op("RESHAPE", ("pooled", "flat_shape"), ("flat",), "ReshapeOptions"),
        Op("FULLY_CONNECTED", ("flat", "dense_w", "dense_b"), ("dense",), "FullyConnectedOptions", {}, 4),
        Op("SOFTMAX", ("dense",), ("y",), "SoftmaxOptions", {"beta": 1.0}, 2),
    )  # fmt: skip
    signatures = {"serving_default": ({"image": "x"}, {"digit": "y"})}
    return Net(tensors, ops, ("x",), ("y",), signatures=signatures)


def mixed() -> Net:
    """Two inputs and two outputs; between XNNPACK's operators stand some that only LiteRT's own kernels run."""
    a = activation(1, 16)
    names = ("a", "b", "a1", "b1", "a2", "b2", "a3", "sum", "difference")
    ops = (
        Op("LOGISTIC", ("a",), ("a1",)),
        Op("NEG", ("b",), ("b1",)),
        Op("RELU", ("a1",), ("a2",)),
        Op("TANH", ("b",), ("b2",)),
        Op("ELU", ("a2",), ("a3",)),
        Op("ADD", ("a3", "b2"), ("sum",), "AddOptions", version=2),
        Op("SUB", ("b1", "a1"), ("difference",), "SubOptions", version=2),
    )
    tensors = dict.fromkeys(names, a)
    tensors["a1"] = activation(1, 16, scale=1 / 256, zero_point=-128)  # what LOGISTIC gives
    tensors["b2"] = activation(1, 16, scale=1 / 128, zero_point=0)  # what TANH gives
    return Net(tensors, ops, ("a", "b"), ("sum", "difference"))


def conditional() -> Net:
    """A multiplication, and an IF whose two bodies are subgraphs of their own, with more operators than it."""
    f = T((1, 8), "FLOAT32")

    def body(opcode: str, table: str) -> Net:
        inside = (Op(opcode, ("p", "q"), ("r",), table), Op("NEG", ("r",), ("s",)), Op("NEG", ("s",), ("t",)))
        return Net(dict.fromkeys("pqrst", f), inside, ("p", "q"), ("t",), name=opcode)

    ops = (
        Op("MUL", ("x", "x"), ("square",), "MulOptions"),
        Op("IF", ("sign", "x", "square"), ("y",), "IfOptions",
           {"thenSubgraphIndex": 1, "elseSubgraphIndex": 2}),
    )  # fmt: skip
    tensors = {"sign": T((1,), "BOOL"), "x": f, "square": f, "y": f}
    return Net(
        tensors, ops, ("sign", "x"), ("y",), subgraphs=(body("ADD", "AddOptions"), body("SUB", "SubOptions"))
    )


def random_inputs(graph: Graph, seed: int = 0) -> list[NDArray[Any]]:
    """An array for each input of a model."""
    random = np.random.default_rng(seed)
    tensors = [graph.main.tensors[number] for number in graph.main.inputs]
    return [
        random.integers(*_RANGES.get(tensor.type, (0, 4)), tensor.shape).astype(tensor.type.lower())
        for tensor in tensors
    ]


_RANGES = {"INT8": (-128, 128), "BOOL": (0, 2)}
