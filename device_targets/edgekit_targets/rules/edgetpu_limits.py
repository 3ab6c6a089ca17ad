"""Limits of single operators of the Edge TPU: the numbers, and the rules that compare with them.

Sources as in `edgekit_targets.rules.edgetpu`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType

from edgekit_targets.ops import OpView
from edgekit_targets.rules.rule import Context, Outcome, Rule

INNERMOST = 3
RANK = 4
MOST_ELEMENTS_CONVOLVED = 12_600_000
MOST_ELEMENTS = 4_260_096  # PAD to [1, 258, 258, 64]

# Newest versions that TensorFlow 2.5 parses, of operators that later converters emit in newer ones.
NEWEST_CONV_2D = 5
NEWEST_TRANSPOSE_CONV = 3
NEWEST_QUANTIZE = 2
NEWEST_EXP = 1
NEWEST_FULLY_CONNECTED = 4  # 5 is parsed, and left on the CPU

NEWEST_SEEN: Mapping[str, int] = MappingProxyType(
    {
        "ADD": 2, "AVERAGE_POOL_2D": 2, "CONCATENATION": 2, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3,
        "EXPAND_DIMS": 1, "L2_NORMALIZATION": 2, "LOGISTIC": 2, "MAXIMUM": 2, "MAX_POOL_2D": 2, "MEAN": 2,
        "MINIMUM": 2, "MUL": 2, "PACK": 2, "PAD": 2, "PRELU": 1, "REDUCE_MAX": 2, "REDUCE_MIN": 2, "RELU": 2,
        "RELU6": 2, "RELU_N1_TO_1": 1, "RESHAPE": 1, "RESIZE_BILINEAR": 3, "RESIZE_NEAREST_NEIGHBOR": 3,
        "SLICE": 2, "SOFTMAX": 2, "SPACE_TO_DEPTH": 2, "SPLIT": 2, "SQUEEZE": 1, "STRIDED_SLICE": 2, "SUB": 2,
        "SUM": 2, "TANH": 2, "TILE": 3, "TRANSPOSE": 2, "UNIDIRECTIONAL_SEQUENCE_LSTM": 3,
    }
)  # fmt: skip
"""Newest version seen mapped; for operators not seen, the version that int8 had in TensorFlow 2.5."""

SOFTMAX_MOST = 16_384  # documented as 16 000; this many were mapped by compiler 16
MEAN_MAPPED = 8_192  # 64 x 128 positions mapped, 256 x 128 not: edgetpu issue 461
MEAN_LEFT = 32_768
CHANNEL_STEP = 4
RESHAPE_MAPPED = 94_400
RESHAPE_LEFT = 230_400  # [1, 144, 40, 40]
TRANSPOSE_MAPPED = 57_600  # [1, 20, 20, 144]
TRANSPOSE_LEFT = 230_400  # [1, 40, 40, 144]
RESIZE_FACTOR_MAPPED = 2
RESIZE_FACTOR_LEFT = 15  # 33 to 513 was left, and 1 to 33
NEAREST_MAPPED = 2_097_152  # [1, 128, 128, 128]
NEAREST_LEFT = 4_194_304  # [1, 256, 256, 64]
BILINEAR_MAPPED = 524_288  # [1, 128, 128, 32]: edgetpu issue 31
BILINEAR_LEFT = 8_388_608  # [1, 512, 512, 32]: edgetpu issue 31

_DOCUMENTED = "Coral, TensorFlow models on the Edge TPU"
_SEEN = "compiled models that are public in both forms"
_REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
_WINDOWS = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION")


def _shape(op: OpView, position: int = 0) -> tuple[int, ...]:
    tensor = op.input(position)
    return () if tensor is None else tensor.shape


def _values(op: OpView, position: int) -> tuple[int, ...]:
    """Returns a constant's values, empty where they are not known."""
    tensor = op.input(position)
    return () if tensor is None or tensor.values is None else tensor.values


def _axes(op: OpView, position: int = 1, of: int = 0) -> frozenset[int]:
    rank = len(_shape(op, of))
    return frozenset(axis % rank for axis in _values(op, position)) if rank else frozenset()


def spreads_one_pixel(op: OpView) -> bool:
    """Tells whether a TILE copies one pixel over a plane; such a one was seen mapped."""
    shape = _shape(op)
    return op.opcode == "TILE" and len(shape) == RANK and shape[:3] == (1, 1, 1) and _size(op)[:1] == (1,)


def _size(op: OpView) -> tuple[int, ...]:
    """Returns the shape of the first output."""
    return op.outputs[0].shape if op.outputs else ()


def _touches_batch(op: OpView, _: Context) -> bool:
    if op.opcode in _REDUCTIONS:
        return len(_shape(op)) > 1 and 0 in _axes(op)
    if op.opcode == "PAD":
        return len(_shape(op)) > 1 and _shape(op)[:1] != _size(op)[:1]
    if op.opcode == "SPLIT":
        return len(_shape(op, 1)) > 1 and 0 in _axes(op, 0, of=1)
    return op.opcode == "PACK" and op.options.get("axis") in (0, -len(_size(op)))


def _positions(op: OpView) -> int:
    """Returns how many elements a reduction folds into one."""
    return prod(_shape(op)) // max(1, _elements(op))


def _folds_channels(op: OpView, _: Context) -> bool:
    shape = _shape(op)
    return op.opcode == "MEAN" and len(shape) - 1 in _axes(op) and shape[-1] % CHANNEL_STEP != 0


def _is_matrix(shape: tuple[int, ...]) -> bool:
    return sum(size != 1 for size in shape) > 1


def _relays_squeeze(op: OpView, _: Context) -> bool:
    return op.opcode == "SQUEEZE" and _without_leading(_shape(op)) != _without_leading(_size(op))


def _without_leading(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _is_odd_slice(op: OpView, _: Context) -> bool:
    return op.opcode == "STRIDED_SLICE" and (
        any(stride != 1 for stride in _values(op, 3))
        or bool(op.options.get("ellipsis_mask"))
        or bool(op.options.get("new_axis_mask"))
    )


def _differing_dilation(op: OpView, _: Context) -> bool:
    return op.options.get("dilation_w_factor", 1) != op.options.get("dilation_h_factor", 1)


def _factors(op: OpView) -> tuple[float, ...]:
    """Returns by how much a resize enlarges height and width."""
    before, after = _shape(op), _size(op)
    if len(before) != RANK or len(after) != RANK or min(before) < 1:
        return (float("inf"),)
    return after[1] / before[1], after[2] / before[2]


def _resizes(op: OpView) -> bool:
    return op.opcode in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")


def _pads_plane(op: OpView) -> bool:
    return op.opcode == "PAD" and _shape(op)[:-1] != _size(op)[:-1]


def _elements(op: OpView) -> int:
    return op.outputs[0].elements if op.outputs else 0


def _constants(op: OpView) -> int:
    return sum(tensor.constant for tensor in op.given)


def _gap(id_: str, opcode: str, mapped: int, left: int, source: str, fix: str) -> tuple[Rule, Rule]:
    """Two rules on the elements of an output: the one left on the CPU, and what lies between."""
    return (
        Rule(
            id_,
            f"{opcode} of {left:,} elements and more stays on the CPU",
            lambda op, _: op.opcode == opcode and _elements(op) >= left,
            Outcome.CPU,
            source,
            fix,
        ),
        Rule(
            f"{id_}-unsure",
            f"{opcode} is mapped up to {mapped:,} elements and left at {left:,}; between, it is not known",
            lambda op, _: op.opcode == opcode and mapped < _elements(op) < left,
            Outcome.UNCERTAIN,
            source,
            fix,
        ),
    )


_SMALLER = "reduce the size of the model's input, or end the model before this operator"

RULES: tuple[Rule, ...] = (
    Rule(
        "batch-axis",
        "Reductions, PAD, PACK and SPLIT are not mapped along the batch axis",
        _touches_batch,
        Outcome.CPU,
        _DOCUMENTED,
        "keep the first axis, of size 1, out of it",
    ),
    Rule(
        "fused-activation",
        "AVERAGE_POOL_2D, MAX_POOL_2D and CONCATENATION with a fused activation stay on the CPU",
        lambda op, _: op.opcode in _WINDOWS and op.options.get("fused_activation_function", "NONE") != "NONE",
        Outcome.CPU,
        _DOCUMENTED,
        "apply the activation before pooling or concatenating",
    ),
    Rule(
        "dilation",
        "CONV_2D and DEPTHWISE_CONV_2D have the same dilation in height and width",
        _differing_dilation,
        Outcome.CPU,
        _DOCUMENTED,
        "use one number for dilation_rate",
    ),
    Rule(
        "weights-format",
        "FULLY_CONNECTED has its weights in the default format",
        lambda op, _: op.options.get("weights_format", "DEFAULT") != "DEFAULT",
        Outcome.CPU,
        _DOCUMENTED,
        "convert the model anew with `edgekit convert`",
    ),
    Rule(
        "fully-connected-row",
        "FULLY_CONNECTED has one row: its output has one dimension beside the batch of 1",
        lambda op, _: op.opcode == "FULLY_CONNECTED" and _is_matrix(_size(op)),
        Outcome.CPU,
        _DOCUMENTED,
        "Dense on [batch, n, c]: use Conv1D(units, 1) or Conv2D(units, 1) on [batch, 1, n, c]",
    ),
    Rule(
        "constant-concatenation",
        "CONCATENATION with a constant has 2 inputs, and the constant is all zeros",
        lambda op, _: op.opcode == "CONCATENATION" and _constants(op) > 0 and len(op.given) != 2,
        Outcome.CPU,
        _DOCUMENTED,
        "pad with keras.layers.ZeroPadding2D, or add the constant in a layer before",
    ),
    Rule(
        "constant-concatenation-unsure",
        "Whether CONCATENATION with one constant is mapped depends on the constant being all zeros",
        lambda op, _: op.opcode == "CONCATENATION" and _constants(op) > 0 and len(op.given) == 2,
        Outcome.UNCERTAIN,
        _DOCUMENTED,
        "pad with keras.layers.ZeroPadding2D",
    ),
    Rule(
        "softmax-row",
        "SOFTMAX is over one row: its input has one dimension larger than 1",
        lambda op, _: op.opcode == "SOFTMAX" and _is_matrix(_shape(op)),
        Outcome.CPU,
        _DOCUMENTED,
        "end the model before the softmax, and compute it on the device in numpy",
    ),
    Rule(
        "softmax-elements",
        f"SOFTMAX of more than {SOFTMAX_MOST:,} elements stays on the CPU",
        lambda op, _: op.opcode == "SOFTMAX" and _elements(op) > SOFTMAX_MOST,
        Outcome.CPU,
        f"{_DOCUMENTED}, where it is 16,000; {_SEEN}",
        "end the model before the softmax, and compute it on the device in numpy",
    ),
    Rule(
        "mean-channels",
        f"MEAN over the channels needs a multiple of {CHANNEL_STEP} channels",
        _folds_channels,
        Outcome.CPU,
        _DOCUMENTED,
        f"make the number of channels a multiple of {CHANNEL_STEP}",
    ),
    Rule(
        "mean-positions",
        f"MEAN over {MEAN_LEFT:,} positions and more stays on the CPU",
        lambda op, _: op.opcode == "MEAN" and _positions(op) >= MEAN_LEFT,
        Outcome.CPU,
        "edgetpu issues 183 and 461",
        "reduce in two steps: average pooling first, then the mean of what is left",
    ),
    Rule(
        "mean-positions-unsure",
        f"MEAN is mapped over {MEAN_MAPPED:,} positions and left at {MEAN_LEFT:,}; between, it is not known",
        lambda op, _: op.opcode == "MEAN" and MEAN_MAPPED < _positions(op) < MEAN_LEFT,
        Outcome.UNCERTAIN,
        "edgetpu issues 183 and 461",
        "reduce in two steps: average pooling first, then the mean of what is left",
    ),
    Rule(
        "prelu-alpha",
        "PRELU has one alpha a channel",
        lambda op, _: op.opcode == "PRELU" and _is_matrix(_shape(op, 1)),
        Outcome.CPU,
        _DOCUMENTED,
        "use keras.layers.PReLU(shared_axes=[1, 2])",
    ),
    Rule(
        "squeeze",
        "SQUEEZE removes leading dimensions only",
        _relays_squeeze,
        Outcome.CPU,
        _DOCUMENTED,
        "reshape to the wanted shape instead",
    ),
    Rule(
        "strided-slice",
        "STRIDED_SLICE has strides of 1, no ellipsis and no new axis",
        _is_odd_slice,
        Outcome.CPU,
        _DOCUMENTED,
        "in the place of x[:, ::2], use pooling or a strided convolution; in the place of x[..., None], reshape",
    ),
    *_gap("reshape-elements", "RESHAPE", RESHAPE_MAPPED, RESHAPE_LEFT, _SEEN, _SMALLER),
    *_gap("transpose-elements", "TRANSPOSE", TRANSPOSE_MAPPED, TRANSPOSE_LEFT, _SEEN, _SMALLER),
    *_gap("nearest-elements", "RESIZE_NEAREST_NEIGHBOR", NEAREST_MAPPED, NEAREST_LEFT, _SEEN, _SMALLER),
    *_gap(
        "bilinear-elements", "RESIZE_BILINEAR", BILINEAR_MAPPED, BILINEAR_LEFT, "edgetpu issue 31", _SMALLER
    ),
    Rule(
        "bilinear-factor",
        f"RESIZE_BILINEAR by a factor of {RESIZE_FACTOR_LEFT} and more stays on the CPU, for its precision",
        lambda op, _: op.opcode == "RESIZE_BILINEAR" and max(_factors(op)) >= RESIZE_FACTOR_LEFT,
        Outcome.CPU,
        f"{_DOCUMENTED}; {_SEEN}",
        "end the model before the last resize and do it on the device, or resize in steps of 2",
    ),
    Rule(
        "resize-factor-unsure",
        f"A resize is known to be mapped by factors of 1 to {RESIZE_FACTOR_MAPPED}; for others it is not known",
        lambda op, _: (
            _resizes(op) and not (min(_factors(op)) >= 1 and max(_factors(op)) <= RESIZE_FACTOR_MAPPED)
        ),
        Outcome.UNCERTAIN,
        f"{_DOCUMENTED}; {_SEEN}",
        "resize in steps of 2",
    ),
    Rule(
        "padded-sum-unsure",
        "ADD of a tensor that PAD has just made higher or wider was left on the CPU in the one model seen",
        lambda op, context: op.opcode == "ADD" and any(map(_pads_plane, context.producers(op))),
        Outcome.UNCERTAIN,
        _SEEN,
        "choose an input size that halves evenly, so that no feature map needs padding before it is added",
    ),
)
