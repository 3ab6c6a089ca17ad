"""Dead channels put to use: each carries a second reading of a channel that matters, half an int8 step apart.

Small networks have channels that hold one value whatever the input (weight decay behind batch normalization leaves them),
and they lose most in their first layers, whose few channels round away what all later layers need. A dead channel costs
as much time as any other. So it is given the weights of a live channel and a bias half a step higher, and the layer behind
reads the mean of both: two roundings half a step apart are one rounding of half the step. The graph, its size and its
speed stay the same.

Where depthwise layers stand between, the pair goes through them side by side and is shifted against each other again
behind each. Splitting channels that clip is known (Zhao et al., "Improving Neural Network Quantization without Retraining
using Outlier Channel Splitting", ICML 2019); it adds channels, this adds none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit_converters.quantize.equalize import Joint, joints
from edgekit_converters.quantize.linear import (
    BIAS,
    DEPTHWISE,
    WEIGHTS,
    LinearLayer,
    constant,
    replace_constant,
)
from edgekit_converters.quantize.spans import Span
from edgekit_converters.surgery import pack, unpack

LEVELS = 255
"""Steps of an int8 tensor."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Layers that keep channels apart, and the one that mixes them.

    Attributes:
        layers: The first mixes its own inputs; any others are depthwise.
        mixer: The layer behind, which sums over the channels.
    """

    layers: tuple[LinearLayer, ...]
    mixer: LinearLayer


def use_dead_channels(
    float_model: bytes, spans: Mapping[str, Span], tops: Mapping[str, tuple[float, float]]
) -> tuple[bytes, int]:
    """Gives dead channels the weights of live ones.

    Args:
        float_model: A float .tflite.
        spans: Of the channels of linear layers' outputs on real samples, by tensor name: a channel whose low is its high
            is dead.
        tops: The int8 range of each tensor, by name.

    Returns:
        A float .tflite, and how many channels were put to use. It computes the same but for half a step at borders, where
        padding is not shifted, and where an activation function cuts both readings off alike.
    """
    model = unpack(float_model)
    count = 0
    for chain in _chains(model):
        if any(layer.name not in spans or layer.name not in tops for layer in chain.layers):
            continue
        steps = [(top - low) / LEVELS for low, top in (tops[layer.name] for layer in chain.layers)]
        end = spans[chain.layers[-1].name]
        noise = _noise(model, chain, steps) * (end.high > end.low)
        dead = np.flatnonzero(end.high == end.low)
        loudest = [int(channel) for channel in np.argsort(-noise) if noise[channel] > 0]
        for spare, channel in zip(dead.tolist(), loudest, strict=False):
            _double(model, chain, steps, channel, spare, rest=float(end.high[spare]))
            count += 1
    return pack(model), count


def _chains(model: Any) -> list[Chain]:
    after: dict[int, Joint] = {joint.before.index: joint for joint in joints(model)}
    found = []
    for joint in after.values():
        if joint.before.kind == DEPTHWISE:
            continue
        layers, behind = [joint.before], joint.after
        while behind.kind == DEPTHWISE and behind.index in after and _one_to_one(model, layers[-1], behind):
            layers.append(behind)
            behind = after[behind.index].after
        if behind.kind != DEPTHWISE:
            found.append(Chain(tuple(layers), behind))
    return found


def _one_to_one(model: Any, before: LinearLayer, depthwise: LinearLayer) -> bool:
    tensors = model.subgraphs[0].tensors
    return bool(tensors[before.output].shape[-1] == tensors[depthwise.output].shape[-1])


def _noise(model: Any, chain: Chain, steps: list[float]) -> np.ndarray:
    """[channels]: the power of what rounding each channel does to the mixer's output, uniform and independent."""
    mixed = constant(model, chain.mixer, WEIGHTS).astype(np.float64)
    gain = np.square(mixed).reshape(-1, mixed.shape[-1]).sum(axis=0)
    total = np.zeros(len(gain))
    for layer, step in zip(reversed(chain.layers), reversed(steps), strict=True):
        total += gain * step**2 / 12
        if layer.kind == DEPTHWISE:
            weights = constant(model, layer, WEIGHTS).astype(np.float64)
            gain = gain * np.square(weights).reshape(-1, weights.shape[-1]).sum(axis=0)
    return total


def _double(model: Any, chain: Chain, steps: list[float], channel: int, spare: int, rest: float) -> None:
    """Makes `spare` a second reading of `channel`; `rest` is the one value that it held before."""
    shift = 0.0
    for layer, step in zip(chain.layers, steps, strict=True):
        weights, bias = constant(model, layer, WEIGHTS).copy(), constant(model, layer, BIAS).copy()
        mine = np.moveaxis(weights, layer.channel_axis, 0)
        mine[spare] = mine[channel]
        carried = shift * float(mine[channel].sum()) if layer.kind == DEPTHWISE else 0.0
        shift = step / 2
        bias[spare] = bias[channel] - carried + shift
        replace_constant(model, layer, WEIGHTS, weights)
        replace_constant(model, layer, BIAS, bias)
    mixed = constant(model, chain.mixer, WEIGHTS).copy()
    bias = constant(model, chain.mixer, BIAS).astype(np.float64)
    bias += rest * mixed[..., spare].reshape(len(mixed), -1).sum(axis=1)
    mixed[..., spare] = mixed[..., channel] / 2
    mixed[..., channel] = mixed[..., spare]
    bias -= shift * mixed[..., spare].reshape(len(mixed), -1).sum(axis=1)
    replace_constant(model, chain.mixer, WEIGHTS, mixed)
    replace_constant(model, chain.mixer, BIAS, bias)
