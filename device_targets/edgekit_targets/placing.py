"""Where operators run: the judgement of single operators, carried along the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgekit_targets.ops import FLOATS, OpView
from edgekit_targets.rules import Context, Outcome, Rule, RuleSet


class Placement(StrEnum):
    """Where an operator runs."""

    TPU = "TPU"  # the Edge TPU
    NPU = "NPU"  # an Ethos-U
    CPU = "CPU"
    UNCERTAIN = "uncertain"  # what is known does not decide
    UNSUPPORTED = "unsupported"  # nowhere: the target's runtime has no kernel for it


_OFF = {Outcome.MISSING: Placement.UNSUPPORTED, Outcome.CPU: Placement.CPU}


@dataclass(frozen=True, slots=True)
class Placed:
    """Where one operator runs.

    Attributes:
        placement: Where.
        rule: The rule that decided, None where none objects.
        cause: Index of the operator by which the rule applies, where it is another one; else None.
        stage: How many times the data have left the accelerator before they reach the operator; -1 before
            anything has run on it. On the accelerator, operators of one stage make one partition.
    """

    placement: Placement
    rule: Rule | None
    cause: int | None
    stage: int

    @property
    def accelerated(self) -> bool:
        """Whether the accelerator runs it."""
        return self.placement in (Placement.TPU, Placement.NPU)


def place(ops: Sequence[OpView], rules: RuleSet, *, several_partitions: bool = False) -> tuple[Placed, ...]:
    """Returns where each operator runs.

    Args:
        ops: All operators of the model's main subgraph, in order, so that `ops[i].index == i`.
        rules: Those of the device.
        several_partitions: The accelerator takes any number of pieces, though its rules say one: the
            experimental option -a of edgetpu_compiler.
    """
    context = Context(ops)
    judged = [rules.judge(op, context) for op in ops]
    refused = next((i for i, r in enumerate(judged) if r is not None and r.outcome is Outcome.REFUSED), None)
    if refused is not None:
        return tuple(_refused(i, judged, refused) for i in range(len(ops)))
    placed: list[Placed] = []
    for op, rule in zip(ops, judged, strict=True):
        placed.append(_placed(op, rule, rules, several_partitions, placed, ops))
    return tuple(placed)


def _refused(index: int, judged: Sequence[Rule | None], refused: int) -> Placed:
    rule = judged[index]
    if rule is not None and rule.outcome in (Outcome.REFUSED, Outcome.CPU):
        return Placed(Placement.CPU, rule, None, -1)
    return Placed(Placement.CPU, judged[refused], refused, -1)


def _placed(
    op: OpView,
    rule: Rule | None,
    rules: RuleSet,
    several: bool,
    placed: Sequence[Placed],
    ops: Sequence[OpView],
) -> Placed:
    behind = max((placed[index].stage for index in op.reads), default=-1)
    if rule is not None and rule.outcome in _OFF:
        return Placed(_OFF[rule.outcome], rule, None, behind)
    if rules.one_partition is not None and not several:
        for placement in (Placement.CPU, Placement.UNCERTAIN):
            cause = _ended_by(op, placement, placed, ops)
            if cause is not None:
                return Placed(placement, rules.one_partition, cause, behind)
            if rule is not None and rule.outcome is Outcome.UNCERTAIN:
                return Placed(Placement.UNCERTAIN, rule, None, behind)
    if rule is not None and rule.outcome is Outcome.UNCERTAIN:
        return Placed(Placement.UNCERTAIN, rule, None, behind)
    joined = {placed[index].stage for index in op.reads if placed[index].accelerated}
    if rules.joining is not None and len(joined) > 1:
        return Placed(Placement.UNCERTAIN, rules.joining, None, behind)
    return Placed(Placement(rules.accelerator), rule, None, _stage(op, placed))


def _ended_by(
    op: OpView, placement: Placement, placed: Sequence[Placed], ops: Sequence[OpView]
) -> int | None:
    """Returns the operator of that placement that ends the partition before this one, or None."""
    for index in op.reads:
        before = placed[index]
        if before.placement is placement and not _is_entrance(ops[index], before):
            return index if before.cause is None else before.cause
    return None


def _is_entrance(op: OpView, placed: Placed) -> bool:
    """Tells whether an operator on the CPU only prepares the model's input in float: it ends no partition."""
    return placed.stage < 0 and any(tensor.dtype in FLOATS for tensor in op.tensors)


def _stage(op: OpView, placed: Sequence[Placed]) -> int:
    reads = (placed[index] for index in op.reads)
    return max((b.stage + (not b.accelerated and b.stage >= 0) for b in reads), default=0)
