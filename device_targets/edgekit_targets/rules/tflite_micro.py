"""What TensorFlow Lite Micro runs on a microcontroller.

[D] github.com/tensorflow/tflite-micro: python/tflite_micro/python_ops_resolver.cc (the resolver of all operators),
    and tensorflow/lite/micro/kernels/cmsis_nn (those with kernels for Cortex-M).
[M] Measured on tflite_micro 0.dev20261023: models of one operator, loaded and run.
"""

from __future__ import annotations

from edgekit_targets.ops import FLOATS, OpView
from edgekit_targets.rules.rule import Context, Outcome, Rule, RuleSet

RESOLVER = "tflite-micro, python/tflite_micro/python_ops_resolver.cc"
MEASURED = "measured on tflite_micro 0.dev20261023"
CMSIS_NN_KERNELS = "tflite-micro, tensorflow/lite/micro/kernels/cmsis_nn"

OPERATORS = frozenset(
    {
        "ABS", "ADD", "ADD_N", "ARG_MAX", "ARG_MIN", "ASSIGN_VARIABLE", "AVERAGE_POOL_2D", "BATCH_MATMUL",
        "BATCH_TO_SPACE_ND", "BROADCAST_ARGS", "BROADCAST_TO", "CALL_ONCE", "CAST", "CEIL", "CONCATENATION",
        "CONV_2D", "COS", "CUMSUM", "DEPTH_TO_SPACE", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "DIV", "ELU", "EQUAL",
        "EXP", "EXPAND_DIMS", "FILL", "FLOOR", "FLOOR_DIV", "FLOOR_MOD", "FULLY_CONNECTED", "GATHER",
        "GATHER_ND", "GREATER", "GREATER_EQUAL", "HARD_SWISH", "IF", "L2_NORMALIZATION", "L2_POOL_2D",
        "LEAKY_RELU", "LESS", "LESS_EQUAL", "LOG", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "LOGISTIC",
        "LOG_SOFTMAX", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MIRROR_PAD", "MUL", "NEG", "NOT_EQUAL",
        "PACK", "PAD", "PADV2", "PRELU", "QUANTIZE", "READ_VARIABLE", "REDUCE_MAX", "REDUCE_MIN", "RELU",
        "RELU6", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "ROUND", "RSQRT", "SELECT_V2",
        "SHAPE", "SIN", "SLICE", "SOFTMAX", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQRT",
        "SQUARE", "SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM", "SVDF", "TANH", "TRANSPOSE",
        "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNPACK", "VAR_HANDLE", "WHILE", "ZEROS_LIKE",
    }
)  # fmt: skip
"""Built-in operators that are registered."""

CUSTOM = frozenset({"TFLite_Detection_PostProcess", "ethos-u", "CIRCULAR_BUFFER"})
"""Custom operators that are registered, beside those of its signal library."""

FLOAT_ONLY = frozenset({"CEIL", "COS", "EXP", "FLOOR", "LOG", "NEG", "ROUND", "SIN", "SQRT", "SQUARE"})
"""Operators that are registered, but whose kernels take float only."""

UINT8 = frozenset({"QUANTIZE", "DEQUANTIZE", "RESHAPE"})
"""Operators that were seen to take uint8."""

NO_UINT8 = frozenset(
    {"ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D",
     "SOFTMAX"}
)  # fmt: skip
"""Operators that were seen to refuse uint8."""

CMSIS_NN = frozenset(
    {
        "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAXIMUM",
        "MAX_POOL_2D", "MINIMUM", "MUL", "PAD", "SOFTMAX", "SVDF", "TRANSPOSE", "TRANSPOSE_CONV",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
    }
)  # fmt: skip
"""Operators with kernels written for Cortex-M."""

COPIES = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
"""Operators that only copy, or not even that."""


def _has(op: OpView, *dtypes: str) -> bool:
    return any(t.dtype in dtypes for t in op.tensors)


def _is_unregistered(op: OpView, _: Context) -> bool:
    return op.opcode not in OPERATORS and op.opcode != "CUSTOM"


def _is_slow(op: OpView, _: Context) -> bool:
    return op.opcode in OPERATORS - CMSIS_NN - COPIES and _has(op, "INT8", "INT16")


_CONVERT = "convert the model to int8, inputs and outputs too: `edgekit convert` does"

_RULES = (
    Rule(
        "operator-list",
        f"TensorFlow Lite Micro registers {len(OPERATORS)} built-in operators, and runs no other",
        _is_unregistered,
        Outcome.MISSING,
        RESOLVER,
        "replace the layer; ReLU6 stands for RELU_N1_TO_1 and GELU, and a concatenation for TILE",
    ),
    Rule(
        "custom-operator",
        f"Of custom operators, it runs {', '.join(sorted(CUSTOM))}",
        lambda op, _: op.opcode == "CUSTOM" and op.custom_code not in CUSTOM,
        Outcome.MISSING,
        RESOLVER,
        "replace the layer by built-in operators, or move it into the program around",
    ),
    Rule(
        "float-only",
        f"{', '.join(sorted(FLOAT_ONLY))} have kernels for float only",
        lambda op, _: op.opcode in FLOAT_ONLY and _has(op, "INT8", "INT16"),
        Outcome.MISSING,
        MEASURED,
        "end the model before it, and compute it in the program around",
    ),
    Rule(
        "uint8",
        f"{', '.join(sorted(NO_UINT8))} have no kernels for uint8",
        lambda op, _: op.opcode in NO_UINT8 and _has(op, "UINT8"),
        Outcome.MISSING,
        MEASURED,
        _CONVERT,
    ),
    Rule(
        "uint8-unsure",
        "Few kernels of TensorFlow Lite Micro take uint8; for this one it was not tried",
        lambda op, _: op.opcode in OPERATORS - UINT8 - NO_UINT8 and _has(op, "UINT8"),
        Outcome.UNCERTAIN,
        MEASURED,
        _CONVERT,
    ),
    Rule(
        "dynamic",
        "Every size but the batch is fixed in the file: memory is planned once",
        lambda op, _: any(t.dynamic for t in op.tensors),
        Outcome.MISSING,
        "tflite-micro, docs/memory_management.md",
        "give the model's Input a full shape, height and width too",
    ),
    Rule(
        "float-operator",
        "An operator in float takes four times the memory of int8, and is slow where there is no float vector unit",
        lambda op, _: (
            op.opcode not in ("QUANTIZE", "DEQUANTIZE") and any(t.dtype in FLOATS for t in op.tensors)
        ),
        Outcome.SLOW,
        CMSIS_NN_KERNELS,
        _CONVERT,
    ),
    Rule(
        "reference-kernel",
        f"CMSIS-NN has kernels for {len(CMSIS_NN)} operators on a Cortex-M; others run on portable reference kernels",
        _is_slow,
        Outcome.SLOW,
        CMSIS_NN_KERNELS,
        None,
    ),
)

TFLITE_MICRO = RuleSet(
    name="tflite-micro",
    title="TensorFlow Lite Micro on a Cortex-M, with CMSIS-NN",
    accelerator="CPU",
    rules=_RULES,
    one_partition=None,
    joining=None,
    accepted="runs on a CMSIS-NN kernel, or only copies",
)
