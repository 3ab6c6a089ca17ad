"""What a rule is: one sentence, and a test of an operator that the sentence describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgekit_targets.ops import OpView


class Outcome(StrEnum):
    """What a rule says of the operators that it applies to."""

    CPU = "stays on the CPU"
    REFUSED = "the compiler refuses the whole model"
    UNCERTAIN = "what is known does not decide"
    SLOW = "runs, on slower kernels"
    MISSING = "does not run at all"


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule may ask about beside its operator.

    Attributes:
        ops: All operators of the model, so that `ops[i].index == i`.
    """

    ops: Sequence[OpView]

    def producers(self, op: OpView) -> tuple[OpView, ...]:
        """Returns the operators whose outputs an operator reads."""
        return tuple(self.ops[index] for index in op.reads)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a device.

    Attributes:
        id: Short name, unique in its set.
        sentence: What is said to the user: the message, the manual, and the name of the test. Its numbers are
            formatted from the constants that `applies` compares.
        applies: Whether an operator breaks the rule. Pure.
        outcome: What becomes of such an operator.
        source: Where it is known from.
        fix: What to change in the source model, or None where nothing is known to help.
    """

    id: str
    sentence: str
    applies: Callable[[OpView, Context], bool]
    outcome: Outcome
    source: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of a kind of device.

    Attributes:
        name: As device files have it in `rules`.
        title: What it judges, in a few words.
        accelerator: Name of the placement of operators to which no rule objects ("TPU", "NPU", "CPU").
        rules: All of them. Of several that apply, the worst outcome decides, then the first in this order.
        one_partition: Whether what depends on an operator left on the CPU stays there too, and the rule that
            says so; None where the accelerator takes any number of pieces.
        joining: The rule on operators that read from two such pieces, or None.
        accepted: Reason given where no rule objects.
    """

    name: str
    title: str
    accelerator: str
    rules: tuple[Rule, ...]
    one_partition: Rule | None
    joining: Rule | None
    accepted: str

    def judge(self, op: OpView, context: Context) -> Rule | None:
        """Returns the rule that decides on an operator by itself, or None where none applies."""
        found = [rule for rule in self.rules if rule.applies(op, context)]
        return min(found, key=lambda rule: _SEVERITY.index(rule.outcome), default=None)


_SEVERITY = (Outcome.REFUSED, Outcome.MISSING, Outcome.CPU, Outcome.UNCERTAIN, Outcome.SLOW)


def opcodes(*names: str) -> Callable[[OpView, Context], bool]:
    """Returns a test for operators of these names."""
    wanted = frozenset(names)
    return lambda op, _: op.opcode in wanted
