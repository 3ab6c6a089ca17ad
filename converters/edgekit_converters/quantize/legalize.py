"""Rewrites, in the float .tflite, operators that int8 cannot hold into ones that it can, with the same value.

TFLite has int8 kernels for about 80 builtin operators (LiteRT, "8-bit quantization specification" and the op versions
in its schema); TensorFlow's quantizer leaves the others float between DEQUANTIZE and QUANTIZE. And a softplus that is
written as log(1 + exp(x)) has a kernel at each step, but no 8-bit scale holds exp(x) for small and large x alike. Where
an identity mends that, it is better than a refusal or a model that computes nonsense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgekit_converters.surgery import (
    add_constant,
    insert_operator,
    operator_name,
    pack,
    prune_to_outputs,
    set_operator,
    tensor_name,
    unpack,
)


def legalize(model: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Applies every rewrite that fits.

    Args:
        model: A float flatbuffer with one subgraph.

    Returns:
        The flatbuffer, and one line a rewrite for the report. Bytes are returned unchanged where nothing fits.
    """
    mutable = unpack(model)
    notes = []
    for operator in list(mutable.subgraphs[0].operators):
        name = operator_name(mutable, operator)
        rewrite = REWRITES.get(name)
        became = None if rewrite is None else rewrite(mutable, operator)
        if became is not None:
            output = tensor_name(mutable.subgraphs[0], operator.outputs[0]).rpartition(";")[2]
            notes.append(f"{name} '{output}' became {became}")
    if not notes:
        return model, ()
    prune_to_outputs(mutable, mutable.subgraphs[0].outputs)
    return pack(mutable), tuple(notes)


def _negate(model: Any, operator: Any) -> str:
    """-x = x * -1."""
    minus_one = add_constant(model, "edgekit/minus_one", np.array(-1.0, np.float32))
    set_operator(model, operator, "MUL", [operator.inputs[0], minus_one])
    return "MUL by -1"


def _square(model: Any, operator: Any) -> str:
    """x^2 = x * x."""
    set_operator(model, operator, "MUL", [operator.inputs[0], operator.inputs[0]])
    return "MUL with itself"


def _elu(model: Any, operator: Any) -> str:
    """elu(x) = relu(x) + (exp(min(x, 0)) - 1)."""
    x, output = operator.inputs[0], operator.outputs[0]
    one = add_constant(model, "edgekit/one", np.array(1.0, np.float32))
    raised = insert_operator(model, operator, "EXP", [_negative_part(model, operator, x)], like=output)
    below = insert_operator(model, operator, "SUB", [raised, one], like=output)
    above = insert_operator(model, operator, "RELU", [x], like=output)
    set_operator(model, operator, "ADD", [above, below])
    return "RELU + EXP of the negative part - 1"


def _guarded_exp(model: Any, operator: Any) -> str | None:
    """exp(x) = exp(min(x, 0)) where it only matters for x <= 0, as in selu: else one large x takes the whole scale."""
    x, place = operator.inputs[0], operator.outputs[0]
    while True:
        readers = [each for each in model.subgraphs[0].operators if place in each.inputs]
        if len(readers) != 1 or place in model.subgraphs[0].outputs:
            return None
        (reader,) = readers
        if operator_name(model, reader) in ("SELECT", "SELECT_V2"):
            break
        place = reader.outputs[0]
    test = _maker(model, reader.inputs[0], "GREATER")
    is_guarded = test is not None and test.inputs[0] == x and _is(model, test.inputs[1], 0.0)
    if not is_guarded or reader.inputs[2] != place:
        return None
    operator.inputs = [_negative_part(model, operator, x)]
    return "EXP of the negative part, since nothing else of it is used"


def _take_apart(model: Any, operator: Any) -> str | None:
    """SPLIT and UNPACK with outputs that nobody reads (the forget gate of an LSTM's first step) = a SLICE for each one read.

    What the quantizer of TensorFlow 2.21 makes of the former, int8 or float, differs from run to run.
    """
    subgraph = model.subgraphs[0]
    read = {int(index) for each in subgraph.operators for index in each.inputs} | {
        *map(int, subgraph.outputs)
    }
    x, axis = _split_along(model, operator)
    if axis is None or read.issuperset(map(int, operator.outputs)):
        return None
    size = [int(length) for length in subgraph.tensors[x].shape]
    begin = [0] * len(size)
    outputs = [int(output) for output in operator.outputs]
    for output in outputs:
        shape = [int(length) for length in subgraph.tensors[output].shape]
        unpacked = len(shape) < len(size)
        size[axis] = 1 if unpacked else shape[axis]
        if output in read:
            corner, span = (
                add_constant(model, "edgekit/slice", np.array(each, np.int32)) for each in (begin, size)
            )
            if unpacked:
                part = insert_operator(model, operator, "SLICE", [x, corner, span], like=x)
                subgraph.tensors[part].shape = list(size)
                new_shape = add_constant(model, "edgekit/shape", np.array(shape, np.int32))
                insert_operator(model, operator, "RESHAPE", [part, new_shape], output=output)
            else:
                insert_operator(model, operator, "SLICE", [x, corner, span], output=output)
        begin[axis] += size[axis]
    subgraph.operators.remove(operator)
    return f"{len(read.intersection(outputs))} SLICE, since nothing reads the rest"


def _split_along(model: Any, operator: Any) -> tuple[int, int | None]:
    """What a SPLIT, SPLIT_V or UNPACK takes apart, and along which axis, from the front; None where that is no constant."""
    name = operator_name(model, operator)
    x = int(operator.inputs[1 if name == "SPLIT" else 0])
    if name == "UNPACK":
        axis = operator.builtinOptions.axis
    else:
        axis = _constant(model, operator.inputs[0 if name == "SPLIT" else 2], np.int32)
    return x, None if axis is None else int(axis) % len(model.subgraphs[0].tensors[x].shape)


def _negative_part(model: Any, before: Any, x: int) -> int:
    """min(x, 0) = -relu(-x); a MINIMUM would tie the range of x to that of its negative part (see ties.py)."""
    minus_one = add_constant(model, "edgekit/minus_one", np.array(-1.0, np.float32))
    flipped = insert_operator(model, before, "MUL", [x, minus_one], like=x)
    size = insert_operator(model, before, "RELU", [flipped], like=x)
    return insert_operator(model, before, "MUL", [size, minus_one], like=x)


def _softplus(model: Any, operator: Any) -> str | None:
    """log(exp(x) + 1) = relu(x) + log(exp(-|x|) + 1), whose every step stays within 0..1 or is as large as the result."""
    x = _softplus_of(model, operator)
    if x is None:
        return None
    output = operator.outputs[0]
    one = add_constant(model, "edgekit/one", np.array(1.0, np.float32))
    minus_one = add_constant(model, "edgekit/minus_one", np.array(-1.0, np.float32))
    size = insert_operator(model, operator, "ABS", [x], like=output)
    negative = insert_operator(model, operator, "MUL", [size, minus_one], like=output)
    raised = insert_operator(model, operator, "EXP", [negative], like=output)
    shifted = insert_operator(model, operator, "ADD", [raised, one], like=output)
    bent = insert_operator(model, operator, "LOG", [shifted], like=output)
    above = insert_operator(model, operator, "RELU", [x], like=output)
    set_operator(model, operator, "ADD", [above, bent])
    return "RELU + LOG of 1 + EXP of -ABS, which int8 can hold"


def _softplus_of(model: Any, log: Any) -> int | None:
    """The x of log(exp(x) + 1), or None where a LOG is something else."""
    add = _maker(model, log.inputs[0], "ADD")
    if add is None or add.builtinOptions is None or add.builtinOptions.fusedActivationFunction != 0:
        return None
    for raised, constant in (add.inputs, reversed(add.inputs)):
        exp = _maker(model, raised, "EXP")
        if exp is not None and _is(model, constant, 1.0) and not _is_minus_abs(model, exp.inputs[0]):
            return int(exp.inputs[0])
    return None


def _is_minus_abs(model: Any, tensor: int) -> bool:
    """Whether a tensor is -|x|, so that its exp stays within 0..1."""
    product = _maker(model, tensor, "MUL")
    factors = [] if product is None else [*product.inputs]
    negated = any(_is(model, factor, -1.0) for factor in factors)
    return negated and any(_maker(model, factor, "ABS") is not None for factor in factors)


def _maker(model: Any, tensor: int, name: str) -> Any | None:
    """The operator of that name which makes a tensor, if it is one of that name."""
    for operator in model.subgraphs[0].operators:
        if tensor in operator.outputs:
            return operator if operator_name(model, operator) == name else None
    return None


def _is(model: Any, tensor: int, value: float) -> bool:
    """Whether a tensor is a constant of that one value."""
    return _constant(model, tensor, np.float32) == value


def _constant(model: Any, tensor: int, dtype: type[np.generic]) -> Any | None:
    """The value of a constant that holds one number of 4 bytes; None for any other tensor."""
    data = model.buffers[model.subgraphs[0].tensors[tensor].buffer].data
    return np.asarray(data, np.uint8).view(dtype)[0] if data is not None and len(data) == 4 else None


REWRITES: Mapping[str, Callable[[Any, Any], str | None]] = {
    "NEG": _negate,
    "SQUARE": _square,
    "ELU": _elu,
    "EXP": _guarded_exp,
    "SPLIT": _take_apart,
    "SPLIT_V": _take_apart,
    "UNPACK": _take_apart,
    "LOG": _softplus,
}
