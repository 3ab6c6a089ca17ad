"""What the Edge TPU takes, as far as it is known of edgetpu_compiler 16.0.

The compiler is closed. What is said here comes from
[D] Coral's page "TensorFlow models on the Edge TPU" (models-intro) and copies of it, such as
    developer.axis.com/computer-vision/on-device/system-on-chip/artpec-7/supported-ops/;
[G] 174 distinct models that are public in both forms, before and after the compiler, and compiler logs;
[I] statements and reports in issues of github.com/google-coral/edgetpu, by number.
Where a limit is known only from both sides (this size was mapped, that one was not), what lies between is
uncertain, and so is what lies beyond the largest that was seen mapped.
"""

from __future__ import annotations

from edgekit_targets.ops import EIGHT_BIT, FLOATS, OpView
from edgekit_targets.rules import edgetpu_limits as limits
from edgekit_targets.rules.operands import WEIGHTED, activations, has_computed_parameter, weights
from edgekit_targets.rules.rule import Context, Outcome, Rule, RuleSet, opcodes

DOCUMENTED = "Coral, TensorFlow models on the Edge TPU"
SEEN = "compiled models that are public in both forms"

COMPILED = "edgetpu-custom-op"
"""What edgetpu_compiler puts in the place of the operators that it mapped."""

MAPPED = frozenset(
    {
        "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "EXPAND_DIMS",
        "FULLY_CONNECTED", "L2_NORMALIZATION", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL",
        "PACK", "PAD", "PRELU", "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_N1_TO_1",
        "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH",
        "SPLIT", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
    }
)  # fmt: skip
"""Operators in Coral's table of supported operations, or seen mapped."""

PERHAPS = frozenset({"RSQRT", "SQUARED_DIFFERENCE", "TILE", "TRANSPOSE_CONV"})
"""Operators that sources disagree about: in a third party's table for compiler 16, or once seen mapped."""

_REPLACEMENTS = {
    "LEAKY_RELU": "use keras.layers.ReLU(6), or keras.layers.PReLU(shared_axes=[1, 2]), which is mapped",
    "HARD_SWISH": "use ReLU6 in the place of hard-swish (MobileNetV3 has a 'minimalistic' variant), or write it as "
    "x * relu6(x + 3) / 6 with a multiplication by 1/6, so that it stays ADD, RELU6 and MUL",
    "GELU": "use ReLU or ReLU6 in the place of GELU",
    "ELU": "use ReLU, or keras.layers.PReLU(shared_axes=[1, 2]), in the place of ELU",
    "EXP": "end the model before the exponential, and compute it on the device in numpy",
    "LOG": "end the model before the logarithm, and compute it on the device in numpy",
    "DIV": "multiply by the reciprocal: x * (1 / c)",
    "ARG_MAX": "end the model before the argmax and take it from the result: edgekit's labels do",
    "TOPK_V2": "end the model before top_k and sort its result: edgekit's labels do",
    "CAST": "feed the type that the model computes in, and leave the cast to the program that feeds it",
    "BATCH_MATMUL": "a product of two activations is not mapped; one with constant weights as a Dense layer is",
    "DEPTH_TO_SPACE": "use tf.image.resize(x, size, method=\"nearest\") and a convolution in its place",
    "MIRROR_PAD": "pad with zeros: keras.layers.ZeroPadding2D",
    "SHAPE": "give the Keras Input a batch_size of 1, so that no shape is computed while the model runs",
    "UNPACK": "use slices (x[:, 0], x[:, 1]) or tf.split in the place of tf.unstack",
}  # fmt: skip


_INDICES = frozenset({"INT32", "INT64"})


def _is_other_type(op: OpView, _: Context) -> bool:
    kernel = weights(op)
    return any(t.dtype not in EIGHT_BIT for t in activations(op)) or (
        kernel is not None and kernel.dtype not in EIGHT_BIT
    )


def _is_beyond_three_dimensions(op: OpView, _: Context) -> bool:
    return any(
        size != 1 for t in activations(op) if t.rank <= limits.RANK for size in t.shape[: -limits.INNERMOST]
    )


def _reshapes_open_batch(op: OpView, context: Context) -> bool:
    """Tells whether a shape comes from SHAPE: as TensorFlow writes Flatten and Reshape for a batch left open."""
    shape = op.input(1)
    if op.opcode != "RESHAPE" or shape is None or shape.constant:
        return False
    seen = set(op.reads)
    waiting = [context.ops[index] for index in seen]
    while waiting:
        before = waiting.pop()
        if before.opcode == "SHAPE":
            return True
        if all(tensor.dtype in _INDICES for tensor in before.outputs):  # not through the data
            waiting += [context.ops[index] for index in before.reads if index not in seen]
            seen.update(before.reads)
    return False


def _converts_float(op: OpView, _: Context) -> bool:
    return op.opcode == "QUANTIZE" and any(t.dtype in FLOATS for t in op.given)


def _is_unknown_version(op: OpView, _: Context) -> bool:
    return op.opcode in limits.NEWEST_SEEN and op.version > limits.NEWEST_SEEN[op.opcode]


def _too_large(op: OpView, _: Context) -> bool:
    most = limits.MOST_ELEMENTS_CONVOLVED if op.opcode in WEIGHTED else limits.MOST_ELEMENTS
    return any(t.elements > most for t in activations(op))


def _unlisted(opcode: str, fix: str) -> Rule:
    return Rule(
        id=f"no-{opcode.lower().replace('_', '-')}",
        sentence=f"{opcode} is not among the operators of the Edge TPU",
        applies=opcodes(opcode),
        outcome=Outcome.CPU,
        source=DOCUMENTED,
        fix=fix,
    )


def _newer(opcode: str, newest: int, what: str, outcome: Outcome, source: str, fix: str) -> Rule:
    end = "cannot parse the model" if outcome is Outcome.REFUSED else "leaves it on the CPU"
    return Rule(
        id=f"{opcode.lower().replace('_', '-')}-version",
        sentence=f"{opcode} of version {newest + 1} and later ({what}) is unknown to compiler 16, which {end}",
        applies=lambda op, _: op.opcode == opcode and op.version > newest,
        outcome=outcome,
        source=source,
        fix=fix,
    )


_NEWER = (
    _newer(
        "CONV_2D",
        limits.NEWEST_CONV_2D,
        "grouped convolution",
        Outcome.REFUSED,
        "edgetpu issue 631",
        "replace Conv2D(groups=n) by n convolutions of slices that are concatenated, or by a depthwise and a 1x1 "
        "convolution",
    ),
    _newer(
        "FULLY_CONNECTED",
        limits.NEWEST_FULLY_CONNECTED,
        "Dense on a 3-D tensor",
        Outcome.CPU,
        SEEN,
        "Dense on [batch, n, c] keeps its dimensions: use Conv1D(units, 1) or Conv2D(units, 1) on [batch, 1, n, c]",
    ),
    _newer(
        "TRANSPOSE_CONV",
        limits.NEWEST_TRANSPOSE_CONV,
        "fused activation",
        Outcome.REFUSED,
        "edgetpu issue 845",
        'use tf.image.resize(x, size, method="nearest") and Conv2D in the place of Conv2DTranspose, or move its '
        "activation into a layer of its own",
    ),
    _newer(
        "QUANTIZE",
        limits.NEWEST_QUANTIZE,
        "int16 or int4 tensors",
        Outcome.REFUSED,
        "edgetpu issue 879",
        "quantize activations and weights to int8",
    ),
    _newer(
        "EXP",
        limits.NEWEST_EXP,
        "quantized",
        Outcome.REFUSED,
        "libedgetpu issue 71",
        _REPLACEMENTS["EXP"],
    ),
)

_WHOLE_OPERATOR = (
    Rule(
        "custom-operator",
        f"A custom operator runs on the CPU, but for {COMPILED}, which holds what was mapped",
        lambda op, _: op.opcode == "CUSTOM" and op.custom_code != COMPILED,
        Outcome.CPU,
        SEEN,
        "keep it at the model's end, such as TFLite_Detection_PostProcess, or move it into the program around",
    ),
    Rule(
        "float-quantize",
        "QUANTIZE of a float tensor runs on the CPU; at the model's inputs it ends no partition",
        _converts_float,
        Outcome.CPU,
        SEEN,
        "convert with int8 or uint8 inputs, as edgekit does",
    ),
    Rule(
        "dequantize",
        "DEQUANTIZE runs on the CPU; at the model's outputs it ends no partition",
        opcodes("DEQUANTIZE"),
        Outcome.CPU,
        SEEN,
        "convert with int8 or uint8 outputs, as edgekit does",
    ),
    *_NEWER,
    *(_unlisted(opcode, fix) for opcode, fix in _REPLACEMENTS.items()),
    Rule(
        "operator-list",
        f"The Edge TPU has {len(MAPPED)} operators that are known to be mapped, and any other stays on the CPU",
        lambda op, _: op.opcode not in MAPPED | PERHAPS | _REPLACEMENTS.keys() | {"CUSTOM", "DEQUANTIZE"},
        Outcome.CPU,
        DOCUMENTED,
        "replace it by listed operators, or move it behind the last heavy layer",
    ),
    Rule(
        "unsure-operator",
        f"Sources disagree whether {', '.join(sorted(PERHAPS))} are mapped",
        lambda op, _: op.opcode in PERHAPS and not limits.spreads_one_pixel(op),
        Outcome.UNCERTAIN,
        "edgetpu issues 684 and 686; a third party's table for compiler 16",
        'for up-sampling, tf.image.resize(x, size, method="nearest") and Conv2D are safer than Conv2DTranspose',
    ),
    Rule(
        "newer-version",
        "Nobody has seen an operator of this version mapped; compiler 16 is of the time of TensorFlow 2.5",
        _is_unknown_version,
        Outcome.UNCERTAIN,
        SEEN,
        None,
    ),
)

_TENSORS = (
    Rule(
        "eight-bit",
        "Activations and weights are int8 or uint8; an operator on any other type stays on the CPU",
        _is_other_type,
        Outcome.CPU,
        DOCUMENTED,
        "quantize the model to int8: `edgekit convert` does, or names the layer that stays in float",
    ),
    Rule(
        "dynamic",
        "Every size but the batch is fixed in the file, or the compiler refuses the model",
        lambda op, _: any(t.dynamic for t in op.tensors),
        Outcome.REFUSED,
        "edgetpu issues 586, 829 and 831",
        "give the model's Input a full shape, height and width too",
    ),
    Rule(
        "rank",
        f"No operator with a tensor of more than {limits.RANK} dimensions is mapped",
        lambda op, _: any(t.rank > limits.RANK for t in activations(op)),
        Outcome.CPU,
        SEEN,
        "Keras 3's UpSampling2D becomes RESHAPE and TILE of rank-5 tensors: call tf.image.resize(x, size, "
        'method="nearest") instead',
    ),
    Rule(
        "innermost-three",
        f"Only the innermost {limits.INNERMOST} dimensions may be larger than 1, so that the batch is 1",
        _is_beyond_three_dimensions,
        Outcome.CPU,
        f"{DOCUMENTED}; edgetpu issue 30",
        "give the model's Input a batch_size of 1",
    ),
    Rule(
        "computed-shape",
        "A RESHAPE to a shape that the model computes for an open batch (SHAPE) makes sizes dynamic, which the compiler "
        "refuses",
        _reshapes_open_batch,
        Outcome.REFUSED,
        "edgetpu issues 586, 829 and 831; google-coral/tutorials, fix_conversion_issues_ptq_tf2",
        "give the Keras Input a batch_size of 1, so that Flatten and Reshape need not compute a shape",
    ),
    Rule(
        "constant-parameters",
        "Weights, biases, shapes, axes and paddings stand in the file as constants",
        has_computed_parameter,
        Outcome.CPU,
        f"{DOCUMENTED}; edgetpu issue 25",
        "give the Keras Input a batch_size of 1, so that Flatten and Reshape need not compute a shape",
    ),
    Rule(
        "large-activation",
        f"The largest tensors seen mapped have {limits.MOST_ELEMENTS_CONVOLVED:,} elements around convolutions and "
        f"{limits.MOST_ELEMENTS:,} around other operators; beyond, the compiler may fail",
        _too_large,
        Outcome.UNCERTAIN,
        f"{SEEN}; edgetpu issues 439, 444 and 686",
        "reduce the size of the model's input",
    ),
)

_PARTITION = Rule(
    "one-partition",
    "The compiler makes one partition: what depends on an operator left on the CPU stays there too",
    lambda op, context: False,  # placing decides: it depends on the operators before
    Outcome.CPU,
    f"{DOCUMENTED}; edgetpu issue 461",
    "replace the operator that ends the partition, or move it behind the last heavy layer",
)

_JOINING = Rule(
    "joined-partitions",
    "With several partitions, operators that read from two of them were left on the CPU in the one model seen",
    lambda op, context: False,  # placing decides, too
    Outcome.UNCERTAIN,
    SEEN,
    "let the branches that are joined come from one partition",
)

EDGETPU = RuleSet(
    name="edgetpu",
    title="Coral Edge TPU, edgetpu_compiler 16.0",
    accelerator="TPU",
    rules=(*_WHOLE_OPERATOR, *_TENSORS, *limits.RULES),
    one_partition=_PARTITION,
    joining=_JOINING,
    accepted="mapped to the Edge TPU",
)
