"""Channels of a layer that say nothing, and channels whose int8 weights say little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekit_converters.diagnosis.hybrid import constant_values
from edgekit_targets import cost
from edgekit_targets.ops import view
from edgekit_targets.tflite import Graph, Operator, Tensor

# The axis of the weights along which output channels lie: tensorflow/lite/kernels/{conv,depthwise_conv,fully_connected,
# transpose_conv}.cc, and the TFLite 8-bit quantization specification.
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}

WEIGHTS = 1
"""Which input of these operators the weights are."""

LEAST_WEIGHT = 8
"""A channel whose largest int8 weight lies below it is coarse: fewer than 4 of the 7 bits of magnitude are left."""

STILL = 1e-6
"""Means of a channel that differ over the samples by less than this, relative to the layer's largest, are one value."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The output channels of one layer with weights.

    Attributes:
        count: How many there are.
        dead: Those whose mean is the same in every calibration sample, 0 or not: they say nothing of the input.
        coarse: Those with weights, all of them below `LEAST_WEIGHT` in int8, that are not dead.
        per_tensor: Whether one scale holds for the weights of all channels.
        spread: The largest weight of the layer over the largest weight of its smallest channel, dead ones left out.
        typical: The median magnitude of its int8 weights, of 127.
        macs: Multiplications of the layer, an inference.
    """

    count: int
    dead: tuple[int, ...]
    coarse: tuple[int, ...]
    per_tensor: bool
    spread: float
    typical: float
    macs: int

    @property
    def dead_macs(self) -> int:
        """Multiplications that dead channels take."""
        return self.macs * len(self.dead) // max(self.count, 1)


def layers_with_weights(graph: Graph) -> dict[str, Operator]:
    """The operators with constant weights, by the name of their output."""
    tensors = graph.main.tensors
    return {
        tensors[operator.outputs[0]].name: operator
        for operator in graph.main.operators
        if operator.opcode in CHANNEL_AXIS and graph.constant(tensors[_weights(operator)]) is not None
    }


def look_at_channels(exact: Graph, rough: Graph, means: Mapping[str, np.ndarray]) -> dict[str, Channels]:
    """Looks at all layers with weights that both models have.

    Args:
        exact: The float model.
        rough: The int8 model.
        means: float32 [samples, channels] by output tensor: what each channel's mean was.

    Returns:
        By output tensor.
    """
    found = {}
    macs = {op.name: cost.macs(op) for op in view(exact)}
    floats = layers_with_weights(exact)
    for name, operator in layers_with_weights(rough).items():
        other = floats.get(name)
        if other is None or other.opcode != operator.opcode:
            continue
        weights = constant_values(exact, exact.main.tensors[_weights(other)])
        stored = rough.main.tensors[_weights(operator)]
        data = rough.constant(stored)
        if weights is None or data is None or stored.type != "INT8" or stored.shape != weights.shape:
            continue
        whole = np.frombuffer(data, np.int8).reshape(stored.shape)
        axis = CHANNEL_AXIS[operator.opcode]
        largest = (_largest(weights, axis), _largest(whole, axis))
        made = _channels(*largest, means.get(name), _is_per_tensor(stored), macs.get(name, 0))
        found[name] = replace(made, typical=float(np.median(np.abs(whole.astype(np.int16)))))
    return found


def _channels(
    weights: np.ndarray, stored: np.ndarray, means: np.ndarray | None, per_tensor: bool, macs: int
) -> Channels:
    """From the largest weight of each channel, in float and in int8."""
    dead = np.zeros(len(weights), bool)
    if means is not None and len(means) > 1 and means.shape[1] == len(weights):
        span = means.max(axis=0) - means.min(axis=0)
        dead = span <= STILL * max(float(np.abs(means).max()), 1e-30)
    positive = weights[(weights > 0) & ~dead]
    coarse = (stored < LEAST_WEIGHT) & (weights > 0) & ~dead
    return Channels(
        count=len(weights),
        dead=tuple(np.flatnonzero(dead).tolist()),
        coarse=tuple(np.flatnonzero(coarse).tolist()),
        per_tensor=per_tensor,
        spread=float(positive.max() / positive.min()) if len(positive) else 1.0,
        typical=0.0,
        macs=macs,
    )


def _largest(weights: np.ndarray, axis: int) -> np.ndarray:
    """float64 [channels]: the largest magnitude of each."""
    others = tuple(each for each in range(weights.ndim) if each != axis)
    result: np.ndarray = np.abs(weights.astype(np.float64)).max(axis=others)
    return result


def _is_per_tensor(tensor: Tensor) -> bool:
    return tensor.quantization is not None and len(tensor.quantization.scale) == 1


def _weights(operator: Operator) -> int:
    return operator.inputs[WEIGHTS]


def dead_macs(channels: Sequence[Channels]) -> tuple[int, int]:
    """Multiplications of dead channels, and of all."""
    return sum(each.dead_macs for each in channels), sum(each.macs for each in channels)
