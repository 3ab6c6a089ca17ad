"""Rescaling channels between layers, which changes no float output and costs int8 less: pure functions of a float model.

A convolution's output channel may be multiplied by any positive number if the next layer's weights for it are divided by
it, as long as what lies between passes factors on. `equalize_activations` uses that freedom for activations: int8 has
one scale for all channels of a tensor, so a channel that spans a tenth of the tensor's range has a tenth of the steps,
until it is stretched to the whole range (activation equalization: Meller et al., "Same, Same But Different", ICML 2019).
`equalize_weights` uses it for weights with one scale a tensor: both layers' channels are brought to like ranges (Nagel et
al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1).

A RELU6 cuts at 6 whatever the factor. So a channel that reaches 6 is left alone, and another is stretched up to 6 at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit_converters.quantize.linear import (
    BIAS,
    DEPTHWISE,
    WEIGHTS,
    LinearLayer,
    as_rows,
    constant,
    linear_layers,
    replace_constant,
)
from edgekit_converters.quantize.spans import Span
from edgekit_converters.surgery import operator_name, pack, unpack

PASSING = frozenset({"AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "PAD"})
"""Operators that pass a factor of a channel on, and keep channels apart."""

MOST_STRETCH = 64.0
"""A channel that spans less of its tensor than 1/64 is as good as dead."""

EASED = 0.5
"""Exponent of the stretch in front of dense weights, whose columns share a scale and lose what the activations win
(SmoothQuant: Xiao et al., ICML 2023, section 4, alpha); in front of depthwise weights, with a scale each, it is 1."""

ROUNDS = 20
"""Passes of weight equalization over the network; it converges within a few."""


@dataclass(frozen=True, slots=True)
class Joint:
    """Two linear layers with nothing between them but what passes factors on.

    Attributes:
        before: The layer whose output channels are stretched.
        after: The layer whose weights take it back.
        bounded: Whether a RELU6 stands between.
    """

    before: LinearLayer
    after: LinearLayer
    bounded: bool


def joints(model: Any) -> list[Joint]:
    """Every place of an unpacked float model where channels can be rescaled."""
    subgraph = model.subgraphs[0]
    layers = linear_layers(model)
    by_source = {layer.source: layer for layer in layers}
    readers: dict[int, list[Any]] = {}
    for operator in subgraph.operators:
        for tensor in {int(t) for t in operator.inputs}:
            readers.setdefault(tensor, []).append(operator)
    outputs = {int(t) for t in subgraph.outputs}
    found = []
    for before in layers:
        low, high = before.bounds
        tensor = before.output
        while tensor not in outputs and len(readers.get(tensor, ())) == 1:
            (reader,) = readers[tensor]
            if not _passes(model, reader):
                after = by_source.get(tensor)
                if after is not None and low in (0.0, -np.inf) and _same_channels(model, before, after):
                    found.append(Joint(before, after, bounded=np.isfinite(high)))
                break
            tensor = int(reader.outputs[0])
    return found


def _passes(model: Any, operator: Any) -> bool:
    """Whether an operator passes a factor of a channel on, and keeps channels apart."""
    if operator_name(model, operator) not in PASSING:
        return False
    subgraph = model.subgraphs[0]
    rank = len(subgraph.tensors[operator.inputs[0]].shape)
    if operator_name(model, operator) != "MEAN":
        # A pool may have a RELU6 of its own fused into it, which cuts at 6 whatever the factor.
        return rank == 4 and not getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    axes = model.buffers[subgraph.tensors[operator.inputs[1]].buffer].data
    return axes is not None and all(axis % rank != rank - 1 for axis in np.frombuffer(bytes(axes), "<i4"))


def _same_channels(model: Any, before: LinearLayer, after: LinearLayer) -> bool:
    channels = model.subgraphs[0].tensors[before.output].shape[-1]
    return bool(constant(model, after, WEIGHTS).shape[-1] == channels)


def equalize_activations(
    float_model: bytes,
    spans: Mapping[str, Span],
    tops: Mapping[str, tuple[float, float]],
    eased: float = EASED,
) -> tuple[bytes, dict[str, Span]]:
    """Stretches every channel towards the int8 range of its tensor.

    Args:
        float_model: A float .tflite.
        spans: Of the channels of linear layers' outputs, by tensor name.
        tops: The low and high end of each tensor's int8 range, by tensor name; they hold afterwards too.
        eased: Exponent of the stretch where the weights behind are not depthwise.

    Returns:
        A float .tflite that computes the same on the samples that the spans are of, and the spans of its channels.
    """
    model, stretched = unpack(float_model), dict(spans)
    for joint in joints(model):
        name = joint.before.name
        if name not in spans or name not in tops:
            continue
        stretch = _room(spans[name], tops[name])
        if joint.after.kind != DEPTHWISE:
            stretch = stretch**eased
        _rescale(model, joint, stretch)
        stretched[name] = Span(spans[name].low * stretch, spans[name].high * stretch)
    return pack(model), stretched


def _room(span: Span, top: tuple[float, float]) -> np.ndarray:
    """By how much each channel can be stretched before it leaves the range."""
    # What was silent on all samples stays as it is: a rare input that wakes it would be cut off.
    silent = (span.low == 0) & (span.high == 0)
    room = np.where(silent, 1.0, MOST_STRETCH)
    for end, reached in ((top[0], span.low), (top[1], span.high)):
        reaches = reached * np.sign(end) > 0
        room = np.where(reaches, np.minimum(room, end / np.where(reaches, reached, 1.0)), room)
    return np.asarray(np.maximum(room, 1.0))


def equalize_weights(float_model: bytes, spans: Mapping[str, Span]) -> bytes:
    """Brings the ranges of weights together, channel by channel, for weights with one scale a tensor.

    Args:
        float_model: A float .tflite.
        spans: Of the channels of linear layers' outputs, by tensor name; where a RELU6 stands they limit the factors.

    Returns:
        A float .tflite that computes the same on the samples that the spans are of.
    """
    model = unpack(float_model)
    found = [joint for joint in joints(model) if joint.before.name in spans]
    total = [np.ones(len(spans[joint.before.name].high)) for joint in found]
    for _ in range(ROUNDS):
        for number, joint in enumerate(found):
            # A depthwise layer's weight channel counts its outputs, which are its inputs times a multiplier of 1 here.
            mine = np.abs(as_rows(joint.before, constant(model, joint.before, WEIGHTS))).max(axis=1)
            theirs = constant(model, joint.after, WEIGHTS)
            reach = np.abs(theirs).reshape(-1, theirs.shape[-1]).max(axis=0)
            useful = (mine > 0) & (reach > 0)
            factor = np.where(useful, np.sqrt(np.where(useful, reach / np.where(useful, mine, 1), 1)), 1.0)
            if joint.bounded:
                high = np.maximum(spans[joint.before.name].high, 1e-3)
                most = 6.0 / high / total[number]
                least = np.where(high >= 6.0, 1.0 / total[number], 0.0)
                factor = np.clip(factor, least, np.maximum(most, least))
            total[number] *= factor
            _rescale(model, joint, factor)
    return pack(model)


def _rescale(model: Any, joint: Joint, factor: np.ndarray) -> None:
    """Multiplies the output channels of one layer and divides the next layer's weights for them."""
    before, after = joint.before, joint.after
    weights = constant(model, before, WEIGHTS)
    shape = [1] * weights.ndim
    shape[before.channel_axis] = -1
    replace_constant(model, before, WEIGHTS, weights * factor.reshape(shape))
    replace_constant(model, before, BIAS, constant(model, before, BIAS) * factor)
    replace_constant(model, after, WEIGHTS, constant(model, after, WEIGHTS) / factor)
