"""Rewrites, in the float .tflite, operators that have no int8 kernel into ones that do, with the same value.

TFLite has int8 kernels for about 80 builtin operators (LiteRT, "8-bit quantization specification" and the op versions
in its schema); TensorFlow's quantizer leaves the others float between DEQUANTIZE and QUANTIZE. Where an identity turns
such an operator into one with a kernel, that is better than a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgekit_converters.surgery import add_constant, operator_name, pack, set_operator, unpack


def legalize(model: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Applies every rewrite that fits.

    Args:
        model: A float flatbuffer with one subgraph.

    Returns:
        The flatbuffer, and one line a rewrite for the report. Bytes are returned unchanged where nothing fits.
    """
    mutable = unpack(model)
    notes = []
    for operator in mutable.subgraphs[0].operators:
        name = operator_name(mutable, operator)
        rewrite = REWRITES.get(name)
        if rewrite is not None:
            output = mutable.subgraphs[0].tensors[operator.outputs[0]].name.decode()
            notes.append(f"{name} '{output}' {rewrite(mutable, operator)}")
    return (pack(mutable) if notes else model), tuple(notes)


def _negate(model: Any, operator: Any) -> str:
    """-x = x * -1."""
    minus_one = add_constant(model, "edgekit/minus_one", np.array(-1.0, np.float32))
    set_operator(model, operator, "MUL", [operator.inputs[0], minus_one])
    return "became MUL by -1"


def _square(model: Any, operator: Any) -> str:
    """x^2 = x * x."""
    set_operator(model, operator, "MUL", [operator.inputs[0], operator.inputs[0]])
    return "became MUL with itself"


REWRITES: Mapping[str, Callable[[Any, Any], str]] = {"NEG": _negate, "SQUARE": _square}
