"""One test a rule of TensorFlow Lite Micro, on a model of one operator on each side."""

from __future__ import annotations

import pytest
from rule_cases import Sides, by_sentence, check, judged
from tflite_models import Net, T, activation, conv, dense, net, unary

from edgekit_targets.rules import Rule, rule_set
from edgekit_targets.rules.tflite_micro import CMSIS_NN, COPIES, FLOAT_ONLY, NO_UINT8, OPERATORS, UINT8

MICRO = rule_set("tflite-micro")


def typed(opcode: str, dtype: str) -> Net:
    scale = None if dtype == "FLOAT32" else 0.05
    return net(opcode, {"x": T((1, 8), dtype, scale)}, {"y": T((1, 8), dtype, scale)})


def custom(name: str) -> Net:
    return net("CUSTOM", {"x": activation(1, 8)}, {"y": activation(1, 8)}, custom_code=name)


CASES = {
    "operator-list": Sides(unary("GELU"), unary("RELU6")),
    "custom-operator": Sides(custom("edgetpu-custom-op"), custom("ethos-u")),
    "float-only": Sides(typed("EXP", "INT8"), typed("EXP", "FLOAT32")),
    "uint8": Sides(typed("SOFTMAX", "UINT8"), typed("SOFTMAX", "INT8")),
    "uint8-unsure": Sides(typed("RELU", "UINT8"), typed("RESHAPE", "UINT8")),
    "dynamic": Sides(
        conv().tensor("x", signature=(1, -1, -1, 3)), conv().tensor("x", signature=(-1, 8, 8, 3))
    ),
    "float-operator": Sides(typed("RELU", "FLOAT32"), dense()),
    "reference-kernel": Sides(unary("RELU"), dense()),
}


@pytest.mark.parametrize("rule", by_sentence(MICRO.rules))
def test_rule(rule: Rule) -> None:
    check(rule, MICRO, CASES[rule.id])


def test_every_rule_is_tested() -> None:
    assert {rule.id for rule in MICRO.rules} == set(CASES)


@pytest.mark.parametrize("model", [conv(), dense(), unary("RESHAPE")], ids=lambda model: model.ops[0].opcode)
def test_ordinary_int8_is_accepted(model: Net) -> None:
    assert judged(MICRO, model) is None


def test_lists_hold_registered_operators() -> None:
    assert CMSIS_NN | COPIES | FLOAT_ONLY | UINT8 | NO_UINT8 <= OPERATORS
    assert not UINT8 & NO_UINT8
