"""What Vela puts on an Ethos-U55 or U65, conservatively: where Vela is installed, ask it instead.

[D] SUPPORTED_OPS.md as `vela --supported-ops-report` of ethos-u-vela 5.2.0 writes it.
[M] The lists were compared with what Vela 5.2.0 does with models of one operator (Ethos-U55-128).
Operators with constraints that the shapes and options of one operator do not decide are uncertain.
"""

from __future__ import annotations

from edgekit_targets.ops import OpView
from edgekit_targets.rules.operands import activations, has_computed_parameter, weights
from edgekit_targets.rules.rule import Context, Outcome, Rule, RuleSet, opcodes

DOCUMENTED = "ethos-u-vela 5.2.0, SUPPORTED_OPS.md, Ethos-U55 and Ethos-U65"

COMPILED = "ethos-u"
"""What Vela puts in the place of the operators that it took."""

OPERATORS = frozenset(
    {
        "ABS", "ADD", "ARG_MAX", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "ELU",
        "EXP", "EXPAND_DIMS", "FULLY_CONNECTED", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC",
        "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "NEG", "PACK", "PAD", "PRELU", "QUANTIZE",
        "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE",
        "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SOFTMAX", "SPLIT", "SPLIT_V",
        "SQUARED_DIFFERENCE", "SQUEEZE", "SUB", "SUM", "TANH", "TRANSPOSE_CONV", "UNPACK",
    }
)  # fmt: skip
"""Operators whose constraints are rules below."""

UNDECIDED = frozenset(
    {"BATCH_MATMUL", "MIRROR_PAD", "PADV2", "REVERSE_V2", "RSQRT", "STRIDED_SLICE", "TILE", "TRANSPOSE",
     "UNIDIRECTIONAL_SEQUENCE_LSTM"}
)  # fmt: skip
"""Operators that Vela takes under further constraints."""

FEATURE_MAPS = frozenset({"INT8", "UINT8", "INT16"})
ARG_MAX_DEPTH = 127
STRIDE = 3
SAME_KERNEL = 8
POOL_PRODUCT = 256 * 256
POOL_HEIGHT = 256
SOFTMAX_PLANE = 65_536
REDUCED_AXIS = 4_096
RESIZE_FACTORS = (2, 4, 8)
HALF_PIXEL_FACTOR = 2


def _shape(op: OpView) -> tuple[int, ...]:
    tensor = op.input(0)
    return () if tensor is None else tensor.shape


def _number(op: OpView, name: str, default: int = 1) -> int:
    value = op.options.get(name, default)
    return value if isinstance(value, int) else default


def _axes(op: OpView) -> tuple[int, ...]:
    tensor, rank = op.input(1), len(_shape(op))
    values = () if tensor is None or tensor.values is None else tensor.values
    return tuple(axis % rank for axis in values) if rank else ()


def _is_other_type(op: OpView, _: Context) -> bool:
    tensors = (op.input(0),) if op.opcode == "ARG_MAX" else activations(op)
    kernel = weights(op)
    return any(t is not None and t.dtype not in FEATURE_MAPS for t in tensors) or (
        kernel is not None and kernel.dtype not in ("INT8", "UINT8")
    )


def _is_deep_argmax(op: OpView, _: Context) -> bool:
    shape = _shape(op)
    if op.opcode != "ARG_MAX" or not shape:
        return False
    return shape[-1] > ARG_MAX_DEPTH or any(axis != len(shape) - 1 for axis in _axes(op))


def _strides(op: OpView) -> int:
    return max(_number(op, "stride_w"), _number(op, "stride_h"))


def _has_wide_stride(op: OpView, _: Context) -> bool:
    if op.opcode == "DEPTHWISE_CONV_2D":
        return _strides(op) > STRIDE
    if op.opcode not in ("CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D") or _strides(op) <= STRIDE:
        return False
    dilated = max(_number(op, "dilation_w_factor"), _number(op, "dilation_h_factor")) > 1
    return dilated or op.options.get("padding") != "VALID"


def _has_large_window(op: OpView, _: Context) -> bool:
    if op.opcode not in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        return False
    height, width = _number(op, "filter_height"), _number(op, "filter_width")
    if op.opcode == "AVERAGE_POOL_2D" and op.options.get("padding") != "VALID":
        return max(height, width) > SAME_KERNEL
    return height * width > POOL_PRODUCT or height > POOL_HEIGHT


def _differs_in_scale(op: OpView, _: Context) -> bool:
    if op.opcode not in ("MAXIMUM", "MINIMUM"):
        return False
    return len({(t.scale, t.zero_point) for t in op.tensors}) > 1


def _has_wide_plane(op: OpView, _: Context) -> bool:
    shape = _shape(op)
    plane = shape[-3] * shape[-2] if len(shape) > 2 else shape[0] if len(shape) > 1 else 1
    return op.opcode == "SOFTMAX" and plane >= SOFTMAX_PLANE


def _reduces_too_much(op: OpView, _: Context) -> bool:
    if op.opcode != "MEAN":
        return False
    shape, axes = _shape(op), _axes(op)
    depth = len(shape) - 1 in axes and 1 not in shape[-3:]
    return depth or shape[:1] != (1,) or any(shape[axis] >= REDUCED_AXIS for axis in axes)


def _has_odd_factor(op: OpView, _: Context) -> bool:
    if op.opcode not in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        return False
    before, after = _shape(op), op.outputs[0].shape if op.outputs else ()
    if len(before) != 4 or len(after) != 4:
        return True
    if before == after or before[1:3] == (1, 1):
        return False
    less = 1 if op.options.get("align_corners") else 0
    factors = {
        (after[axis] - less) / (before[axis] - less) if before[axis] > less else 0.0 for axis in (1, 2)
    }
    half = op.opcode == "RESIZE_BILINEAR" and bool(op.options.get("half_pixel_centers"))
    allowed = (HALF_PIXEL_FACTOR,) if half else RESIZE_FACTORS
    return len(factors) != 1 or factors.pop() not in allowed


def _has_odd_spread(op: OpView, _: Context) -> bool:
    return op.opcode == "TRANSPOSE_CONV" and (
        (_number(op, "stride_h"), _number(op, "stride_w")) not in ((1, 1), (2, 2))
    )


_RULES = (
    Rule(
        "operator-list",
        f"Vela takes {len(OPERATORS | UNDECIDED)} operators; any other stays on the microcontroller",
        lambda op, _: op.opcode not in OPERATORS | UNDECIDED and op.custom_code != COMPILED,
        Outcome.CPU,
        DOCUMENTED,
        "replace it by listed operators",
    ),
    Rule(
        "undecided-operator",
        f"Whether {', '.join(sorted(UNDECIDED))} run on the NPU depends on more than is looked at here",
        opcodes(*UNDECIDED),
        Outcome.UNCERTAIN,
        DOCUMENTED,
        "install ethos-u-vela, which decides: pip install 'edgekit[ethos-u]'",
    ),
    Rule(
        "feature-map-type",
        "Activations are int8, uint8 or int16, and weights 8-bit",
        _is_other_type,
        Outcome.CPU,
        DOCUMENTED,
        "quantize the model to int8: `edgekit convert` does",
    ),
    Rule(
        "dynamic",
        "Every size but the batch is fixed in the file",
        lambda op, _: any(t.dynamic for t in op.tensors),
        Outcome.CPU,
        DOCUMENTED,
        "give the model's Input a full shape, height and width too",
    ),
    Rule(
        "constant-parameters",
        "Weights, biases, shapes, axes and paddings stand in the file as constants",
        has_computed_parameter,
        Outcome.CPU,
        DOCUMENTED,
        "give the model's Input a batch_size of 1",
    ),
    Rule(
        "argmax-depth",
        f"ARG_MAX is along the last axis, of at most {ARG_MAX_DEPTH} elements",
        _is_deep_argmax,
        Outcome.CPU,
        DOCUMENTED,
        "take the argmax of the result in the program around",
    ),
    Rule(
        "stride",
        f"Strides are at most {STRIDE}; more only for an undilated CONV_2D or pooling with padding VALID",
        _has_wide_stride,
        Outcome.CPU,
        DOCUMENTED,
        f"use strides of at most {STRIDE}",
    ),
    Rule(
        "pool-window",
        f"Pooling windows are at most {POOL_HEIGHT} high and {POOL_PRODUCT:,} in area; of AVERAGE_POOL_2D with padding "
        f"SAME, {SAME_KERNEL} wide and high",
        _has_large_window,
        Outcome.CPU,
        DOCUMENTED,
        "pool in two steps",
    ),
    Rule(
        "extremum-scales",
        "MAXIMUM and MINIMUM have one scale and zero point for inputs and output",
        _differs_in_scale,
        Outcome.CPU,
        DOCUMENTED,
        "use ReLU or ReLU6 for a bound that is constant",
    ),
    Rule(
        "softmax-plane",
        f"SOFTMAX is over fewer than {SOFTMAX_PLANE:,} positions",
        _has_wide_plane,
        Outcome.CPU,
        DOCUMENTED,
        "end the model before the softmax",
    ),
    Rule(
        "mean-axes",
        f"MEAN has a batch of 1, reduces axes of fewer than {REDUCED_AXIS:,}, and channels only where height, width or "
        "depth is 1",
        _reduces_too_much,
        Outcome.CPU,
        DOCUMENTED,
        "reduce in two steps: average pooling first, then the mean of what is left",
    ),
    Rule(
        "resize-factor",
        f"A resize is by {', '.join(map(str, RESIZE_FACTORS))} in height and width alike; RESIZE_BILINEAR with half-pixel "
        f"centers only by {HALF_PIXEL_FACTOR}",
        _has_odd_factor,
        Outcome.CPU,
        DOCUMENTED,
        "resize in steps of 2",
    ),
    Rule(
        "transpose-conv-stride",
        "TRANSPOSE_CONV has strides of 1 or of 2 in both directions",
        _has_odd_spread,
        Outcome.CPU,
        DOCUMENTED,
        "use strides=2 several times",
    ),
)

ETHOS_U = RuleSet(
    name="ethos-u",
    title="Arm Ethos-U55 and Ethos-U65, ethos-u-vela 5.2.0",
    accelerator="NPU",
    rules=_RULES,
    one_partition=None,
    joining=None,
    accepted="runs on the Ethos-U",
)
