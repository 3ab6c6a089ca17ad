"""What a person should look at: operators to which one rule applies, brought together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit_converters.check import Check, layer_of
from edgekit_converters.page.facts import Kind, kind_of, word_of
from edgekit_targets.forecast import OpForecast
from edgekit_targets.rules import rule_set

FEW = 3
"""Opcodes and layers that are named one by one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Operators of which the same is said.

    Attributes:
        ops: In the order of the model, at least one.
        kind: How they are drawn.
        word: Where they run.
        follows: They are only there because of another operator, which is a finding of its own.
    """

    ops: tuple[OpForecast, ...]
    kind: Kind
    word: str
    follows: bool

    @property
    def title(self) -> str:
        """Numbers, opcodes and layers: "ops 3-4: 2 RELU in 'relu_1', 'relu_2'"."""
        return f"{numbers([op.index for op in self.ops])}: {self._opcodes()} in {self._layers()}"

    @property
    def rule(self) -> str | None:
        """Id of the rule."""
        return self.ops[0].rule

    @property
    def reason(self) -> str:
        """Why, in a sentence."""
        return self.ops[0].reason

    @property
    def fix(self) -> str | None:
        """What to change."""
        return self.ops[0].fix

    def _opcodes(self) -> str:
        counts = Counter(op.opcode for op in self.ops)
        said = [opcode if count == 1 else f"{count} {opcode}" for opcode, count in counts.most_common(FEW)]
        rest = len(self.ops) - sum(count for _, count in counts.most_common(FEW))
        return ", ".join(said) + (f" and {rest} more" if rest else "")

    def _layers(self) -> str:
        layers = list(dict.fromkeys(f"'{layer_of(op)}'" for op in self.ops))
        return ", ".join(layers) if len(layers) <= FEW else f"{layers[0]} to {layers[-1]}"


def findings(found: Check) -> tuple[Finding, ...]:
    """Groups the remarkable operators by rule: causes in the order of the model, then what follows from them."""
    groups: dict[tuple[object, ...], list[OpForecast]] = {}
    for op in found.remarkable():
        groups.setdefault((op.placement, op.rule, op.fix), []).append(op)
    made = [
        Finding(
            ops=tuple(ops),
            kind=kind_of(ops[0], found.accelerator),
            word=word_of(ops[0], found.accelerator),
            follows=follows(found, ops[0]),
        )
        for ops in groups.values()
    ]
    return tuple(sorted(made, key=lambda finding: finding.follows))


def follows(found: Check, op: OpForecast) -> bool:
    """Whether an operator is where it is only because of another one: there is one partition."""
    rule = rule_set(found.forecast.rules).one_partition
    return rule is not None and op.rule == rule.id


def numbers(indices: Sequence[int]) -> str:
    """Writes numbers of operators, runs of them short: "op 3" or "ops 3-5, 9"."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    said = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
    return f"op {said}" if len(indices) == 1 else f"ops {said}"
