"""16-bit activations behind the firewall: each operator that may have them runs, and what kernels trust is checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from firewall_cases import SOUND, option, scales, tensor
from tflite_models import Net, T, edit

from edgekit_targets.errors import MalformedModelError
from edgekit_targets.tflite.firewall import check_model
from edgekit_targets.tflite.wide import WIDE_OPERATORS

FIXED = {"LOGISTIC": 2.0**-15, "SOFTMAX": 2.0**-15, "TANH": 2.0**-15}
"""Output scales that the kernels have built in."""


def wide(opcode: str) -> Net:
    """The sound int8 model of an operator, in 16 bits."""
    net = SOUND[opcode]

    def widened(name: str, spec: T) -> T:
        if name == "bias":
            return replace(spec, type="INT64")
        if spec.type != "INT8" or name == "weights":
            return spec
        scale = FIXED.get(opcode, spec.scale) if name in net.outputs else spec.scale
        return replace(spec, type="INT16", scale=scale, zero_point=0)

    made = replace(net, tensors={name: widened(name, spec) for name, spec in net.tensors.items()})
    if opcode in ("ADD", "SUB"):
        made = made.op(options={**made.ops[0].options, "potScaleInt16": False})
    return made


@pytest.mark.parametrize("opcode", sorted(WIDE_OPERATORS))
def test_each_passes_and_runs(opcode: str) -> None:
    model = wide(opcode).build()
    check_model(model)
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], np.full(details["shape"], 4, details["dtype"]))
    interpreter.invoke()


def centred(opcode: str) -> Net:
    """The sound int8 model of an operator, its first input with the zero point 0."""
    return SOUND[opcode].tensor("x", zero_point=0)


def quantized(*kinds: str) -> Net:
    net = SOUND["QUANTIZE"]
    for name, kind in zip(("x", "y"), kinds, strict=True):
        net = net.tensor(name, type=kind, zero_point=0)
    return net


@pytest.mark.parametrize("kinds", [("INT8", "INT16"), ("INT16", "INT8"), ("INT16", "INT16")])
def test_quantize_leads_to_and_from_16_bits(kinds: tuple[str, str]) -> None:
    check_model(quantized(*kinds).build())


INT8, UINT8, INT16, INT32 = 9, 3, 7, 2  # numbers of TensorType

REFUSED = {
    "an operator that computes wrongly": (centred("PRELU"), tensor(0, type=INT16), "no kernel that is known"),
    "an operator without a kernel": (centred("HARD_SWISH"), tensor(0, type=INT16), "no kernel that is known"),
    "a zero point": (wide("RELU"), scales(0, zeroPoint=[3]), r"zero point 3 is outside 0\.\.0"),
    "no scale": (wide("RELU"), tensor(0, quantization=None), "must have one scale"),
    "a bias of 32 bits": (wide("CONV_2D"), tensor(2, type=INT32), "its bias is int32, and must be int64|bytes"),
    "a bias of 64 bits in int8": (SOUND["FULLY_CONNECTED"], tensor(2, type=4), "must be int32|bytes"),
    "uint8 weights": (wide("CONV_2D"), tensor(1, type=UINT8), "its weights are uint8|zero point"),
    "16 bits in and 8 out": (wide("RELU"), tensor(1, type=INT8), "input 0 is int16, and the output int8"),
    "8 bits beside 16": (wide("ADD"), tensor(1, type=INT8), "input 1 is int8, and the output int16"),
    "a sum that aborts": (wide("ADD"), scales(2, scale=[1e-6]), "output multiplier"),
    "a sum of powers of two": (wide("ADD"), option(potScaleInt16=True), "powers of two"),
    "a QUANTIZE to integers": (quantized("INT16", "INT8"), tensor(1, type=INT32), "from int16 to int32"),
    "a CAST": (SOUND["CAST"], tensor(0, type=INT16), "no kernel that is known"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_one_rule_is_refused(name: str) -> None:
    base, change, message = REFUSED[name]
    check_model(base.build())
    with pytest.raises(MalformedModelError, match=message):
        check_model(edit(base.build(), change))
