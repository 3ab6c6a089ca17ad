"""Rules on scales and zero points: that each is sound, and that biases fit their weights."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import isfinite

from edgekit_converters.audit.findings import BIAS_TOLERANCE, MAX_BIAS, MIN_ACTIVATION_SCALE, Finding
from edgekit_converters.audit.view import QUANTIZED, View, Weighted
from edgekit_targets.tflite import Operator, Quantization, Tensor

RECALIBRATE = "calibrate with data that exercise this layer; if it is always constant, remove it"
REQUANTIZE = "quantize the model again from its float form"

_ZERO_POINTS = {"INT8": (-128, 127), "UINT8": (0, 255)}


def sound(tensor: Tensor | None) -> tuple[float, ...] | None:
    """Returns the scales of a tensor if it has any and all are positive and finite."""
    if tensor is None or tensor.quantization is None or not tensor.quantization.scale:
        return None
    scale = tensor.quantization.scale
    return scale if all(isfinite(s) and s > 0 for s in scale) else None


def parameters(view: View) -> Iterator[Finding]:
    """Yields 8-bit tensors whose own scale, zero point or scheme is unsound."""
    for tensor in view.subgraph.tensors:
        is_used = view.user(tensor) is not None or tensor.index in view.ends
        if tensor.type in QUANTIZED and is_used and 0 not in tensor.shape:
            yield from _scheme(view, tensor)


def _scheme(view: View, tensor: Tensor) -> Iterator[Finding]:
    q = tensor.quantization
    if q is not None and q.details is not None:
        message = f"'{tensor.name}' is quantized by {q.details}"
        yield view.at_tensor("scale-scheme", tensor, message, REQUANTIZE)
    elif q is None or not q.scale:
        message = f"'{tensor.name}' is {tensor.type.lower()} without a scale"
        yield view.at_tensor("scale-missing", tensor, message, REQUANTIZE)
    else:
        yield from _values(view, tensor, q)


def _values(view: View, tensor: Tensor, q: Quantization) -> Iterator[Finding]:
    if not sound(tensor):
        bad = next(s for s in q.scale if not (isfinite(s) and s > 0))
        yield view.at_tensor("scale-invalid", tensor, f"'{tensor.name}' has the scale {bad:g}", REQUANTIZE)
    elif not view.is_constant(tensor) and min(q.scale) < MIN_ACTIVATION_SCALE:
        message = f"'{tensor.name}' has the scale {min(q.scale):.3g}: the layer's output hardly varies"
        yield view.at_tensor("scale-degenerate", tensor, message, RECALIBRATE)
    low, high = _ZERO_POINTS[tensor.type]
    outside = [z for z in q.zero_point if not low <= z <= high]
    if outside:
        message = f"'{tensor.name}' has the zero point {outside[0]}, outside {low} to {high}"
        yield view.at_tensor("zero-point", tensor, message, REQUANTIZE)
    if len(q.zero_point) != len(q.scale):
        message = f"'{tensor.name}' has {len(q.zero_point)} zero points for {len(q.scale)} scales"
        yield view.at_tensor("zero-point", tensor, message, REQUANTIZE)
    if len(q.scale) > 1 and not _fits_channels(view, tensor, q):
        shape, dimension = list(tensor.shape), q.quantized_dimension
        message = f"'{tensor.name}' of shape {shape} has {len(q.scale)} scales along dimension {dimension}"
        yield view.at_tensor("channel-scales", tensor, message, REQUANTIZE)


def _fits_channels(view: View, tensor: Tensor, q: Quantization) -> bool:
    dimension = q.quantized_dimension
    is_inside = 0 <= dimension < len(tensor.shape)
    return view.is_constant(tensor) and is_inside and len(q.scale) == tensor.shape[dimension]


def weights(view: View) -> Iterator[Finding]:
    """Yields int8 weights with an offset, or with scales along another dimension than the output channel."""
    for operator, roles, tensor in view.weights():
        q = tensor.quantization
        if tensor.type != "INT8" or q is None:
            continue
        if any(q.zero_point):
            message = f"weights '{tensor.name}' have the zero point {next(filter(None, q.zero_point))}"
            yield view.at_operator("weights-zero-point", operator, message, REQUANTIZE, tensor=tensor)
        if len(q.scale) > 1 and q.quantized_dimension != roles.channel:
            axes = f"dimension {q.quantized_dimension} in place of {roles.channel}"
            message = f"weights '{tensor.name}' have scales along {axes}"
            yield view.at_operator("channel-scales", operator, message, REQUANTIZE, tensor=tensor)


def biases(view: View) -> Iterator[Finding]:
    """Yields biases that are clipped, wider than 32 bits, or in other units than the products they add to."""
    for operator, roles, tensor in view.weights():
        bias = view.tensor(operator, roles.bias)
        if bias is None or tensor.type not in QUANTIZED:
            continue
        if bias.type == "INT64":
            message = f"bias '{bias.name}' is int64, as models with 16-bit activations have it"
            yield view.at_operator("wide-tensor", operator, message, REQUANTIZE, tensor=bias)
        elif bias.type == "INT32":
            yield from _saturation(view, operator, bias)
            yield from _bias_scale(view, operator, roles, bias)


def _saturation(view: View, operator: Operator, bias: Tensor) -> Iterator[Finding]:
    data = view.graph.constant(bias)
    if data is None:
        return
    values = struct.unpack(f"<{len(data) // 4}i", data)
    channels = [channel for channel, value in enumerate(values) if abs(value) > MAX_BIAS]
    if channels:
        example = f"{values[channels[0]]:,} in channel {channels[0]}"
        message = f"bias of {len(channels)} of {len(values)} channels is beyond 2^30 ({example})"
        fix = "widen the weight scale of these channels, or prune channels whose weights are all but zero"
        yield view.at_operator("bias-saturated", operator, message, fix, tensor=bias)


def _bias_scale(view: View, operator: Operator, roles: Weighted, bias: Tensor) -> Iterator[Finding]:
    data, per_weight = sound(view.tensor(operator, roles.data)), sound(view.tensor(operator, roles.weights))
    given = sound(bias)
    if given is None:
        has_any = bias.quantization is not None and bias.quantization.scale
        rule = "scale-invalid" if has_any else "scale-missing"
        message = f"bias '{bias.name}' has {'an invalid' if has_any else 'no'} scale"
        yield view.at_operator(rule, operator, message, REQUANTIZE, tensor=bias)
    elif data is None or per_weight is None:
        return  # said of that tensor already
    elif len(given) != len(per_weight):
        message = f"bias '{bias.name}' has {len(given)} scales, and its weights have {len(per_weight)}"
        yield view.at_operator("channel-scales", operator, message, REQUANTIZE, tensor=bias)
    else:
        expected = [data[0] * scale for scale in per_weight]
        off = [abs(b - e) / e if e else 1.0 for b, e in zip(given, expected, strict=True)]
        if max(off) > BIAS_TOLERANCE:
            channel = off.index(max(off))
            numbers = f"{given[channel]:.6g} of channel {channel}, and not {expected[channel]:.6g}"
            message = f"bias scale is {numbers} = input scale x weight scale"
            yield view.at_operator("bias-scale", operator, message, REQUANTIZE, tensor=bias)
