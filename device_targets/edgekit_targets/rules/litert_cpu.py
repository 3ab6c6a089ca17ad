"""What LiteRT runs on XNNPACK's int8 kernels, and what falls to its own, slower built-in kernels.

[M] The set of operators and the limits were measured on ai-edge-litert 2.3.0 (2026-11-24): models of one operator,
    and whether the interpreter delegates it. `device_targets/tests/test_rules_litert_cpu.py` measures them again.
[D] tensorflow/lite/delegates/xnnpack/README.md, "Quantized operators", and xnnpack_delegate.cc beside it.
"""

from __future__ import annotations

from edgekit_targets.ops import EIGHT_BIT, FLOATS, OpView
from edgekit_targets.rules.operands import activations, has_computed_parameter
from edgekit_targets.rules.rule import Context, Outcome, Rule, RuleSet

MEASURED = "measured on ai-edge-litert 2.3.0, 2026-11-24"
DOCUMENTED = "XNNPACK delegate for TensorFlow Lite, README and xnnpack_delegate.cc"

XNNPACK = frozenset(
    {
        "ADD", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "DEQUANTIZE", "ELU",
        "FULLY_CONNECTED", "LEAKY_RELU", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "PAD", "QUANTIZE",
        "REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "RESIZE_BILINEAR", "SLICE", "SPACE_TO_DEPTH", "SPLIT",
        "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV",
    }
)  # fmt: skip
"""Operators with int8 kernels in XNNPACK."""

BUILT_IN_CUSTOM = frozenset({"AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess"})
"""Custom operators that LiteRT brings itself: tensorflow/lite/kernels/register.cc."""

_REPLACEMENTS = {
    "AVERAGE_POOL_2D": "a mean over all positions is faster: GlobalAveragePooling2D in the place of AveragePooling2D",
    "RELU": "give the activation to the layer before (Conv2D(..., activation='relu')), which then does both",
    "RELU6": "give the activation to the layer before, which then does both",
    "HARD_SWISH": "ReLU6 costs nothing, fused into the layer before",
    "GELU": "ReLU costs nothing, fused into the layer before",
    "PRELU": "ReLU costs nothing, fused into the layer before; LeakyReLU has a fast kernel",
    "RESIZE_NEAREST_NEIGHBOR": "bilinear interpolation has a fast kernel",
    "SQUEEZE": "a Reshape has a fast kernel",
    "EXPAND_DIMS": "a Reshape has a fast kernel",
    "SOFTMAX": None,  # small, at the end
}

MOST_CONCATENATED = 5
MOST_SPLIT = 4
RANK = 6
SUM_RATIO = (2.0**-10, 2.0**8)
PRODUCT_RATIO = (2.0**-16, 2.0**8)


def _is_eight_bit(op: OpView) -> bool:
    return any(t.dtype in EIGHT_BIT for t in op.tensors)


def _is_other(op: OpView, _: Context) -> bool:
    """Tells whether no activation is of a type that XNNPACK knows, or a QUANTIZE leads to 16 bits or from there."""
    found = {t.dtype for t in activations(op)}
    return not found & (EIGHT_BIT | FLOATS) or "INT16" in found


def _lacks_kernel(op: OpView, _: Context) -> bool:
    known = XNNPACK | _REPLACEMENTS.keys() | {"CUSTOM"}
    return op.opcode not in known and _is_eight_bit(op)


def _is_float(op: OpView, _: Context) -> bool:
    """Tells whether an operator computes in float, and does not only come from or lead to int8."""
    return op.opcode not in ("QUANTIZE", "DEQUANTIZE") and any(t.dtype in FLOATS for t in op.outputs)


def _is_missing(op: OpView, _: Context) -> bool:
    return op.opcode == "CUSTOM" and op.custom_code not in BUILT_IN_CUSTOM


def _odd_ratio(op: OpView, _: Context) -> bool:
    """Tells whether scales are too far apart for XNNPACK's fixed-point arithmetic."""
    scales = [t.scale for t in op.given]
    out = op.outputs[0].scale if op.outputs else None
    if op.opcode not in ("ADD", "SUB", "MUL") or out is None or len(scales) != 2:
        return False
    first, second = scales
    if first is None or second is None or out <= 0:
        return False
    if op.opcode == "MUL":
        return not PRODUCT_RATIO[0] <= first * second / out < PRODUCT_RATIO[1]
    return not all(SUM_RATIO[0] <= scale / out < SUM_RATIO[1] for scale in (first, second))


def _mixes_scales(op: OpView, _: Context) -> bool:
    if op.opcode != "CONCATENATION" or not all(t.dtype == "INT8" for t in op.tensors):
        return False
    return len({(t.scale, t.zero_point) for t in (*op.given, *op.outputs)}) > 1


def _skips(op: OpView, _: Context) -> bool:
    tensor = op.input(3) if op.opcode == "STRIDED_SLICE" else None
    return tensor is not None and any(stride != 1 for stride in tensor.values or ())


def _built_in(opcode: str, fix: str | None) -> Rule:
    return Rule(
        id=f"built-in-{opcode.lower().replace('_', '-')}",
        sentence=f"{opcode} in int8 runs on LiteRT's built-in kernel: XNNPACK has none",
        applies=lambda op, _: op.opcode == opcode and _is_eight_bit(op),
        outcome=Outcome.SLOW,
        source=MEASURED,
        fix=fix,
    )


_RULES = (
    Rule(
        "custom-operator",
        f"LiteRT brings {len(BUILT_IN_CUSTOM)} custom operators: {', '.join(sorted(BUILT_IN_CUSTOM))}",
        _is_missing,
        Outcome.MISSING,
        "tensorflow/lite/kernels/register.cc",
        "replace the layer by built-in operators; of a file compiled for an accelerator, check the one before compiling",
    ),
    Rule(
        "concatenation-scales",
        "CONCATENATION of int8 tensors has one scale and zero point for all of them, or LiteRT refuses the model",
        _mixes_scales,
        Outcome.MISSING,
        MEASURED,
        "convert the model anew with `edgekit convert`",
    ),
    Rule(
        "float-operator",
        "An operator in float is several times slower than in int8",
        _is_float,
        Outcome.SLOW,
        "LiteRT, post-training quantization",
        "quantize the model to int8: `edgekit convert` does, or names the layer that stays in float",
    ),
    Rule(
        "other-type",
        "On types other than int8, uint8 and float, operators run on LiteRT's built-in kernels",
        _is_other,
        Outcome.SLOW,
        DOCUMENTED,
        None,
    ),
    *(_built_in(opcode, fix) for opcode, fix in _REPLACEMENTS.items()),
    Rule(
        "xnnpack-operators",
        f"XNNPACK has int8 kernels for {len(XNNPACK)} operators; others run on LiteRT's built-in kernels",
        _lacks_kernel,
        Outcome.SLOW,
        MEASURED,
        None,
    ),
    Rule(
        "rank",
        f"Tensors of more than {RANK} dimensions are for the built-in kernels",
        lambda op, _: any(t.rank > RANK for t in op.tensors),
        Outcome.SLOW,
        MEASURED,
        f"reshape to {RANK} dimensions or fewer",
    ),
    Rule(
        "computed-parameters",
        "With shapes, axes or weights that are computed while the model runs, the built-in kernels are used",
        has_computed_parameter,
        Outcome.SLOW,
        DOCUMENTED,
        "give the model's Input a batch_size of 1, so that Flatten and Reshape need not compute a shape",
    ),
    Rule(
        "fused-activation",
        "A fused TANH or SIGN_BIT takes an operator off XNNPACK",
        lambda op, _: op.options.get("fused_activation_function") in ("TANH", "SIGN_BIT"),
        Outcome.SLOW,
        DOCUMENTED,
        "use the activation as a layer of its own",
    ),
    Rule(
        "concatenation-inputs",
        f"CONCATENATION of more than {MOST_CONCATENATED} tensors runs on LiteRT's built-in kernel",
        lambda op, _: op.opcode == "CONCATENATION" and len(op.given) > MOST_CONCATENATED,
        Outcome.SLOW,
        MEASURED,
        f"concatenate {MOST_CONCATENATED} at a time",
    ),
    Rule(
        "split-outputs",
        f"SPLIT into more than {MOST_SPLIT} tensors runs on LiteRT's built-in kernel",
        lambda op, _: op.opcode == "SPLIT" and len(op.outputs) > MOST_SPLIT,
        Outcome.SLOW,
        MEASURED,
        f"split into {MOST_SPLIT} at a time",
    ),
    Rule(
        "strided-slice",
        "STRIDED_SLICE with a stride other than 1 runs on LiteRT's built-in kernel",
        _skips,
        Outcome.SLOW,
        MEASURED,
        "use pooling or a strided convolution in the place of x[:, ::2]",
    ),
    Rule(
        "scale-ratio",
        f"ADD and SUB need scales of the inputs within {SUM_RATIO[0]:g} to {SUM_RATIO[1]:g} times the output's, and "
        f"MUL their product within {PRODUCT_RATIO[0]:.2g} to {PRODUCT_RATIO[1]:g} times, or the built-in kernels run",
        _odd_ratio,
        Outcome.SLOW,
        f"{DOCUMENTED}; {MEASURED}",
        "bring the two inputs to similar ranges: normalize the one that is far off",
    ),
)

LITERT_CPU = RuleSet(
    name="litert-cpu",
    title="LiteRT on a processor, with XNNPACK",
    accelerator="CPU",
    rules=_RULES,
    one_partition=None,
    joining=None,
    accepted="runs on XNNPACK's int8 kernels",
)
