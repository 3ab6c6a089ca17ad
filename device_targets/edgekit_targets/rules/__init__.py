"""What each kind of device can run: sets of small rules, one sentence each."""

from __future__ import annotations

from edgekit_targets.rules.edgetpu import EDGETPU
from edgekit_targets.rules.ethos_u import ETHOS_U
from edgekit_targets.rules.litert_cpu import LITERT_CPU
from edgekit_targets.rules.rule import Context, Outcome, Rule, RuleSet
from edgekit_targets.rules.tflite_micro import TFLITE_MICRO
from edgekit_targets.target import RuleSetName

_SETS = {RuleSetName(rules.name): rules for rules in (EDGETPU, ETHOS_U, LITERT_CPU, TFLITE_MICRO)}


def rule_set(name: RuleSetName | str) -> RuleSet:
    """Returns the rules that a device file names.

    Raises:
        ValueError: There is no such set.
    """
    return _SETS[RuleSetName(name)]


__all__ = ["Context", "Outcome", "Rule", "RuleSet", "rule_set"]
