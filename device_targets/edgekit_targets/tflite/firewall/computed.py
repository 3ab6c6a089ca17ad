"""What operators compute value by value, and along an axis; and scales with which a kernel ends the process."""

from __future__ import annotations

from math import isfinite, prod

from edgekit_targets.tflite.firewall.call import Call, broadcast
from edgekit_targets.tflite.graph import Tensor
from edgekit_targets.tflite.wide import SUM_SHIFT

_QUANTIZED = ("INT8", "UINT8", "INT16")


def unary(call: Call) -> None:
    """Operators that keep shape and type."""
    call.same_types(0)
    call.gives(call.shape(0))
    if call.operator.opcode == "HARD_SWISH":
        ratio = _scale(call, call.input(0)) / _scale(call, call.outputs[0])
        call.require(ratio < 128, f"input scale / output scale is {ratio:.4g}, and must be below 128")


def rescale(call: Call) -> None:
    """QUANTIZE and CAST: they change the type."""
    call.gives(call.shape(0))
    kinds = call.input(0).type, call.outputs[0].type
    if "INT16" in kinds:
        call.require(
            call.operator.opcode == "QUANTIZE" and set(kinds) <= {"INT8", "INT16"},
            f"from {kinds[0].lower()} to {kinds[1].lower()}",
        )


def leaky(call: Call) -> None:
    """LEAKY_RELU."""
    unary(call)
    call.require(isfinite(call.real("alpha")), "alpha is not a finite number")


def prelu(call: Call) -> None:
    """PRELU: one slope for each value or channel."""
    call.same_types(0, 1)
    shape = call.shape(0)
    call.require(broadcast(call, shape, call.shape(1)) == shape, f"slopes of {list(call.shape(1))}")
    call.gives(shape)


def softmax(call: Call) -> None:
    """SOFTMAX."""
    call.require(len(call.shape(0)) >= 1, "its input is a scalar")
    unary(call)
    beta = call.real("beta")
    call.require(isfinite(beta) and beta > 0, f"beta is {beta:g}, and must be positive")


def along_last(call: Call) -> None:
    """LOG_SOFTMAX and L2_NORMALIZATION."""
    call.require(len(call.shape(0)) >= 1, "its input is a scalar")
    unary(call)


def binary(call: Call) -> None:
    """Arithmetic on two operands of one type."""
    call.same_types(0, 1)
    call.gives(broadcast(call, call.shape(0), call.shape(1)))
    _refuse_abort(call)
    if call.operator.opcode == "MUL" and call.operator.options["fused_activation_function"] == "NONE":
        first, second = call.few(0), call.few(1)
        if first is not None and second is not None and len(first) == len(second):
            call.learn([a * b for a, b in zip(first, second, strict=True)])


def _refuse_abort(call: Call) -> None:
    """Refuses output multipliers of 1 and more, on which kernels end the process.

    Source: QuantizeMultiplierSmallerThanOneExp, called in tensorflow/lite/kernels/add.cc, sub.cc and
    squared_difference.cc.
    """
    opcode = call.operator.opcode
    if opcode not in ("ADD", "SUB", "SQUARED_DIFFERENCE") or call.outputs[0].type not in _QUANTIZED:
        return
    if call.outputs[0].type == "INT16" and opcode != "SQUARED_DIFFERENCE":
        pot = call.operator.options["pot_scale_int16"]
        call.require(not pot, "16-bit sums whose scales are powers of two are not for edgekit's models")
    larger = max(_scale(call, call.input(0)), _scale(call, call.input(1)))
    output = _scale(call, call.outputs[0])
    if opcode == "SQUARED_DIFFERENCE":
        multiplier = (2 * larger) ** 2 / (2**14 * output)
    else:
        shift = SUM_SHIFT if call.outputs[0].type == "INT16" else 20
        multiplier = 2 * larger / (2**shift * output)
    call.require(
        multiplier < 1, f"its output multiplier is {multiplier:.4g}, and kernels end the process at 1"
    )


def _scale(call: Call, tensor: Tensor) -> float:
    quantization = tensor.quantization
    if tensor.type not in _QUANTIZED:
        return 1.0
    if quantization is None or len(quantization.scale) != 1:
        call.fail(f"'{tensor.name[:80]}' must have one scale")
    return quantization.scale[0]


def compare(call: Call) -> None:
    """Comparisons: two operands of one type, and a truth value."""
    kinds = [call.input(position).type for position in (0, 1)]
    call.require(kinds[0] == kinds[1], f"it compares {kinds[0].lower()} with {kinds[1].lower()}")
    call.require(call.outputs[0].type == "BOOL", "its output must be bool")
    call.gives(broadcast(call, call.shape(0), call.shape(1)))


def logical(call: Call) -> None:
    """LOGICAL_AND, LOGICAL_OR and LOGICAL_NOT."""
    positions = range(len(call.inputs))
    call.require(
        call.outputs[0].type == "BOOL" and all(call.input(p).type == "BOOL" for p in positions),
        "it works on bool only",
    )
    call.gives(broadcast(call, *(call.shape(position) for position in positions)))


def select(call: Call) -> None:
    """SELECT, whose condition may be one a row, and SELECT_V2, which broadcasts."""
    call.require(call.input(0).type == "BOOL", "its condition must be bool")
    call.same_types(1, 2)
    condition, chosen, other = (call.shape(position) for position in range(3))
    if call.operator.opcode == "SELECT_V2":
        call.gives(broadcast(call, condition, chosen, other))
        return
    by_row = len(condition) == 1 and condition == chosen[:1]
    call.require(
        chosen == other and (condition in (chosen, ()) or by_row),
        f"shapes {list(condition)}, {list(chosen)} and {list(other)} do not go together",
    )
    call.gives(chosen)


def reduce(call: Call) -> None:
    """MEAN, SUM and the like: along axes that are constants."""
    call.same_types(0)
    shape = call.shape(0)
    axes = {call.axis(value, len(shape)) for value in call.values(1, 0, 1)}
    values = call.few(0)
    if call.operator.opcode == "REDUCE_PROD" and axes == {0} and values is not None:
        call.learn([prod(values)])
    if call.number("keep_dims"):
        call.gives([1 if axis in axes else size for axis, size in enumerate(shape)])
    else:
        call.gives([size for axis, size in enumerate(shape) if axis not in axes])


def place_of(call: Call) -> None:
    """ARG_MAX and ARG_MIN."""
    kind = call.outputs[0].type
    call.require(kind in ("INT32", "INT64"), f"its output is {kind.lower()}, and must be int32 or int64")
    shape = call.shape(0)
    axis = call.axis(call.scalar(1, wide=True), len(shape))
    call.gives((*shape[:axis], *shape[axis + 1 :]))


def largest(call: Call) -> None:
    """TOPK_V2: two outputs, the values and their places."""
    call.same_types(0)
    shape, count = call.shape(0), call.scalar(1)
    call.require(bool(shape) and 0 < count <= shape[-1], f"the {count} largest of {list(shape)}")
    kind = call.outputs[1].type
    call.require(kind in ("INT16", "INT32"), f"its places are {kind.lower()}")
    call.gives((*shape[:-1], count))
    call.gives((*shape[:-1], count), 1)


def cumulate(call: Call) -> None:
    """CUMSUM."""
    unary(call)
    call.axis(call.scalar(1), len(call.shape(0)))


def one_hot(call: Call) -> None:
    """ONE_HOT: inputs are the places, the depth, and the two values."""
    call.same_types(2, 3)
    call.indices(0)
    shape, depth = call.shape(0), call.scalar(1)
    axis = call.number("axis")
    axis = len(shape) if axis == -1 else call.axis(axis, len(shape) + 1)
    call.require(depth > 0 and call.shape(2) == call.shape(3) == (), f"depth {depth}")
    call.gives((*shape[:axis], depth, *shape[axis:]))
