"""Where each operator of a model would run on a target, why, and what to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from edgekit_targets.cost import macs as macs_of
from edgekit_targets.ops import OpView
from edgekit_targets.placing import Placed, Placement, place
from edgekit_targets.rules import RuleSet, rule_set
from edgekit_targets.rules.edgetpu_memory import ParameterForecast, forecast_parameters
from edgekit_targets.target import Target
from edgekit_targets.verdict import Confidence, Verdict, verdict

__all__ = [
    "Confidence",
    "Forecast",
    "OpForecast",
    "ParameterForecast",
    "Placement",
    "Verdict",
    "forecast",
]


@dataclass(frozen=True, slots=True)
class OpForecast:
    """Where one operator would run.

    Attributes:
        index: Its place in the flatbuffer's main subgraph.
        opcode: Such as "CONV_2D"; for a custom operator its own name.
        name: Of its first output tensor.
        placement: Where it would run.
        rule: Id of the rule that decided, None where no rule objects.
        reason: One sentence.
        fix: What to change in the source model, or None.
        macs: Multiply-accumulates of one inference.
    """

    index: int
    opcode: str
    name: str
    placement: Placement
    rule: str | None
    reason: str
    fix: str | None
    macs: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where the operators of a model would run on a target.

    Attributes:
        target: Name of the target.
        rules: Name of the set of rules.
        ops: One record an operator, in the order of the flatbuffer's main subgraph.
        parameters: Where the parameters lie; None where the target caches none.
        partitions: How many pieces the accelerator runs, CPU work between them.
        verdict: Whether the target suits the model.
        assumed_ranges: The model was quantized with placeholder ranges.
    """

    target: str
    rules: str
    ops: tuple[OpForecast, ...]
    parameters: ParameterForecast | None
    partitions: int
    verdict: Verdict
    assumed_ranges: bool = False

    def count(self, placement: Placement) -> int:
        """Returns how many operators have that placement."""
        return sum(op.placement is placement for op in self.ops)

    def to_json(self) -> dict[str, object]:
        """For `--json` and the bundle: operators in the file's order, and a summary."""
        multiplied: Counter[str] = Counter()
        for op in self.ops:
            multiplied[op.placement] += op.macs
        return {
            "ops": [asdict(op) for op in self.ops],
            "summary": {
                "target": self.target,
                "rules": self.rules,
                "operators": dict(sorted(Counter(op.placement.value for op in self.ops).items())),
                "macs": dict(sorted(multiplied.items())),
                "parameters": None if self.parameters is None else asdict(self.parameters),
                "partitions": self.partitions,
                "verdict": self.verdict.text,
                "confidence": self.verdict.confidence.value,
                "assumed_ranges": self.assumed_ranges,
            },
        }


def forecast(
    ops: Sequence[OpView],
    target: Target,
    *,
    assumed_ranges: bool = False,
    several_partitions: bool = False,
) -> Forecast:
    """Forecasts where the operators of a model would run.

    Args:
        ops: From `ops.view`, of the model's main subgraph.
        target: The device.
        assumed_ranges: The model was quantized with placeholder ranges: said in the result, judged alike.
        several_partitions: Judge as edgetpu_compiler does with its experimental option -a.
    """
    rules = rule_set(target.rules)
    placed = place(ops, rules, several_partitions=several_partitions)
    macs = [macs_of(op) for op in ops]
    chip = None if target.accelerator is None else target.accelerator.sram_kib
    parameters = None
    if chip is not None and Placement(rules.accelerator) is Placement.TPU:
        mapped = (op for op, at in zip(ops, placed, strict=True) if at.accelerated)
        parameters = forecast_parameters(mapped, chip.value * 1024)
    return Forecast(
        target=target.name,
        rules=rules.name,
        ops=tuple(
            _op_forecast(op, at, count, ops, rules) for op, at, count in zip(ops, placed, macs, strict=True)
        ),
        parameters=parameters,
        partitions=len({at.stage for at in placed if at.accelerated}),
        verdict=verdict(ops, placed, macs, rules, parameters),
        assumed_ranges=assumed_ranges,
    )


def _op_forecast(op: OpView, at: Placed, macs: int, ops: Sequence[OpView], rules: RuleSet) -> OpForecast:
    rule = at.rule
    reason = rules.accepted if rule is None else rule.sentence
    if at.cause is not None:
        reason += f" (here: operator {at.cause}, {ops[at.cause].title})"
    return OpForecast(
        index=op.index,
        opcode=op.title,
        name=op.name,
        placement=at.placement,
        rule=None if rule is None else rule.id,
        reason=reason,
        fix=None if rule is None else rule.fix,
        macs=macs,
    )
