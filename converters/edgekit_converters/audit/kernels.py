"""Rules on what the scales of an operator's tensors mean together: what runtimes refuse, or compute wrongly.

"Measured" means: run on 2026-11-24 with ai-edge-litert 2.3.0 on x86-64, a model on each side of the limit,
with XNNPACK and with both sets of built-in kernels. "The specification" is LiteRT's 8-bit quantization
specification, https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from edgekit_converters.audit.findings import MAX_MULTIPLIER, Finding
from edgekit_converters.audit.scales import RECALIBRATE, REQUANTIZE, sound
from edgekit_converters.audit.view import QUANTIZED, WEIGHTED, View
from edgekit_targets.tflite import Operator, Quantization, Tensor

# Output scale, and zero point for int8 (for uint8 128 more), that kernels have built in. Source: the
# specification; measured: all but TANH refuse another scale, TANH computes on wrongly.
_FIXED = {
    "LOGISTIC": (1 / 256, -128),
    "SOFTMAX": (1 / 256, -128),
    "TANH": (1 / 128, 0),
    "L2_NORMALIZATION": (1 / 128, 0),
    "LOG_SOFTMAX": (16 / 256, 127),
}

# Operators that move or choose values and do not rescale them. Source: the specification, "Inputs and outputs
# must all have same scale/zero_point", and for EXPAND_DIMS, MIRROR_PAD, PACK, REDUCE_MAX, SLICE, SPLIT,
# STRIDED_SLICE and TILE measured: some runtime refuses, or returns values that are not rescaled.
_MOVES = frozenset(
    {
        "AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND", "BROADCAST_TO", "CONCATENATION", "DEPTH_TO_SPACE",
        "EXPAND_DIMS", "GATHER", "GATHER_ND", "MAXIMUM", "MAX_POOL_2D", "MINIMUM", "MIRROR_PAD", "PACK",
        "PAD", "PADV2",
        "REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2",
        "SLICE", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE",
        "TILE", "TRANSPOSE", "UNPACK",
    }
)  # fmt: skip


def multipliers(view: View) -> Iterator[Finding]:
    """Yields operators whose scales give a multiplier that a runtime refuses or aborts on."""
    for operator in view.subgraph.operators:
        message = _refusal(view, operator)
        if message is not None:
            yield view.at_operator("multiplier", operator, message, RECALIBRATE)


def _refusal(view: View, operator: Operator) -> str | None:
    output = sound(view.outputs(operator)[0]) if operator.outputs else None
    roles = WEIGHTED.get(operator.opcode)
    positions = (0, 1) if roles is None else (roles.data, roles.weights)
    first, second = (sound(view.tensor(operator, position)) for position in positions)
    if output is None or first is None:
        return None
    if roles is not None:
        return None if second is None else _weighted_refusal(first[0], second, output[0])
    if operator.opcode in ("ADD", "SUB", "SQUARED_DIFFERENCE") and second is not None:
        return _sum_refusal(operator.opcode, max(first[0], second[0]), output[0])
    if operator.opcode == "HARD_SWISH":
        return _hard_swish_refusal(first[0], output[0])
    if operator.opcode in ("SOFTMAX", "LOG_SOFTMAX"):
        beta = operator.options.get("beta", 1.0)
        return _softmax_refusal(first[0] * (beta if isinstance(beta, float) else 1.0))
    return None


def _weighted_refusal(data: float, per_weight: tuple[float, ...], output: float) -> str | None:
    multiplier = data * max(per_weight) / output
    if multiplier < MAX_MULTIPLIER:
        return None
    scales = "input scale x weight scale / output scale"
    return f"{scales} is {multiplier:.4g}; XNNPACK refuses {MAX_MULTIPLIER:g} and more"


def _sum_refusal(opcode: str, larger: float, output: float) -> str | None:
    """Source: tensorflow/lite/kernels/add.cc, sub.cc, squared_difference.cc; measured at 0.999 and 1.

    QuantizeMultiplierSmallerThanOneExp ends the process unless the output multiplier is below 1.
    """
    if opcode == "SQUARED_DIFFERENCE":
        multiplier = (2 * larger) ** 2 / (2**14 * output)
    else:
        multiplier = 2 * larger / (2**20 * output)
    if multiplier < 1:
        return None
    return f"its output multiplier is {multiplier:.4g}; TFLite aborts the process at 1 and more"


def _hard_swish_refusal(data: float, output: float) -> str | None:
    """Source: HardSwishPrepare in tensorflow/lite/kernels/activations.cc; measured at 0.999 and 1.001."""
    ratio = data / output
    return None if ratio < 128 else f"input scale / output scale is {ratio:.4g}; TFLite refuses 128 and more"


def _softmax_refusal(data: float) -> str | None:
    """Source: PreprocessSoftmaxScaling in tensorflow/lite/kernels/internal/quantization_util.cc.

    Measured at 1 and 1.001 times the limit: the reference kernels end the process, the others run.
    """
    if data > 2.0**-26:
        return None
    return f"beta x input scale is {data:.3g}; TFLite's reference kernels abort at 2^-26 and less"


def fixed_scales(view: View) -> Iterator[Finding]:
    """Yields operators whose output has another scale than the one that their kernel has built in."""
    for operator in view.subgraph.operators:
        if operator.opcode not in _FIXED or not operator.outputs:
            continue
        output = view.outputs(operator)[0]
        q = output.quantization
        if output.type not in QUANTIZED or q is None or not q.scale or not q.zero_point:
            continue
        scale, zero_point = _FIXED[operator.opcode]
        zero_point += 128 if output.type == "UINT8" else 0
        if (q.scale[0], q.zero_point[0]) != (scale, zero_point):
            message = f"{_described(output, q)}; its kernel computes with {scale:.6g} and {zero_point}"
            yield view.at_operator("fixed-scale", operator, message, REQUANTIZE, tensor=output)


def unequal_scales(view: View) -> Iterator[Finding]:
    """Yields operators that move values between tensors of different scales."""
    for operator in view.subgraph.operators:
        if operator.opcode not in _MOVES:
            continue
        known = [
            (t, t.quantization)
            for t in chain(view.inputs(operator), view.outputs(operator))
            if t.type in QUANTIZED and sound(t) and t.quantization is not None and t.quantization.zero_point
        ]
        for tensor, q in known[1:]:
            first, reference = known[0]
            if abs(q.scale[0] / reference.scale[0] - 1) > 1e-6 or q.zero_point[0] != reference.zero_point[0]:
                message = f"{_described(first, reference)}, but {_described(tensor, q)}"
                yield view.at_operator("unequal-scales", operator, message, REQUANTIZE, tensor=tensor)
                break


def _described(tensor: Tensor, q: Quantization) -> str:
    return f"'{tensor.name}' has scale {q.scale[0]:.6g} and zero point {q.zero_point[0]}"
