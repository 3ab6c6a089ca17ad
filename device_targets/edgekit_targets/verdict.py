"""Whether a target suits a model, in one sentence: pure decisions on a placement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgekit_targets.ops import OpView
from edgekit_targets.placing import Placed, Placement
from edgekit_targets.rules import Outcome, RuleSet
from edgekit_targets.rules.edgetpu_memory import ParameterForecast

PAYS = 0.9  # share of the multiplications on the accelerator from which it pays
PERHAPS = 0.5  # share below which it does not
DOUBTFUL = 0.05  # share of uncertain multiplications above which the verdict is a guess


class Confidence(StrEnum):
    """How far a verdict can be relied upon."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a target suits a model.

    Attributes:
        text: One or two sentences.
        confidence: How far it can be relied upon.
    """

    text: str
    confidence: Confidence


def verdict(
    ops: Sequence[OpView],
    placed: Sequence[Placed],
    macs: Sequence[int],
    rules: RuleSet,
    parameters: ParameterForecast | None,
) -> Verdict:
    """Returns the verdict on a placement.

    Args:
        ops: The operators.
        placed: Where each runs.
        macs: Multiply-accumulates of each.
        rules: The rules that placed them.
        parameters: Where the parameters lie, None where that does not matter.
    """
    missing = [op.title for op, at in zip(ops, placed, strict=True) if at.placement is Placement.UNSUPPORTED]
    if missing:
        names = ", ".join(sorted(set(missing)))
        return Verdict(f"does not run there: the runtime has no kernel for {names}", Confidence.HIGH)
    refused = next((at.rule for at in placed if at.rule and at.rule.outcome is Outcome.REFUSED), None)
    if refused is not None:
        return Verdict(f"nothing runs on the {rules.accelerator}: {refused.sentence}", Confidence.HIGH)
    if Placement(rules.accelerator) is Placement.CPU:
        return _on_cpu(placed, macs)
    return _accelerated(ops, placed, macs, rules, parameters)


def _on_cpu(placed: Sequence[Placed], macs: Sequence[int]) -> Verdict:
    slow = [i for i, at in enumerate(placed) if at.rule is not None and at.rule.outcome is Outcome.SLOW]
    unsure = sum(at.placement is Placement.UNCERTAIN for at in placed)
    confidence = Confidence.MEDIUM if unsure else Confidence.HIGH
    if not slow:
        return Verdict(f"all {len(placed)} operators run on fast kernels", confidence)
    share = sum(macs[i] for i in slow) / max(1, sum(macs))
    text = f"{len(slow)} of {len(placed)} operators ({_percent(share)} of the multiplications) run on slower kernels"
    return Verdict(text, confidence)


def _accelerated(
    ops: Sequence[OpView],
    placed: Sequence[Placed],
    macs: Sequence[int],
    rules: RuleSet,
    parameters: ParameterForecast | None,
) -> Verdict:
    where: Counter[Placement] = Counter()
    for at, count in zip(placed, macs, strict=True):
        where[at.placement] += count
    total = max(1, sum(macs))
    share, unsure = where[Placement(rules.accelerator)] / total, where[Placement.UNCERTAIN] / total
    if not any(at.accelerated for at in placed):
        kept = any(at.placement is Placement.UNCERTAIN for at in placed)
        return Verdict(
            f"accelerating does not pay: nothing {'is sure to' if kept else 'would'} run on the {rules.accelerator}",
            Confidence.LOW if kept else Confidence.HIGH,
        )
    judgement = "accelerating pays" if share >= PAYS else "accelerating may pay" if share >= PERHAPS else _NO
    text = f"{judgement}: {_percent(share)} of the multiplications run on the {rules.accelerator}"
    text += f", and {_percent(unsure)} perhaps" if unsure else ""
    crossing = transferred_bytes(ops, placed)
    text += f"; {_size(crossing)} cross between it and the CPU inside the model" if crossing else ""
    if parameters is not None and parameters.streamed_bytes:
        text += f"; {_size(parameters.streamed_bytes)} of parameters are sent to it on each inference"
    return Verdict(text, _confidence(placed, share, unsure))


_NO = "accelerating does not pay"


def _confidence(placed: Sequence[Placed], share: float, unsure: float) -> Confidence:
    if unsure > DOUBTFUL or PERHAPS <= share < PAYS:
        return Confidence.LOW
    return Confidence.MEDIUM if any(at.placement is Placement.UNCERTAIN for at in placed) else Confidence.HIGH


def transferred_bytes(ops: Sequence[OpView], placed: Sequence[Placed]) -> int:
    """Returns the bytes that go between accelerator and CPU from one operator to another, each tensor once."""
    crossing = {
        index for op, at in zip(ops, placed, strict=True) for index in op.reads
        if placed[index].accelerated != at.accelerated
    }  # fmt: skip
    return sum(tensor.bytes for index in crossing for tensor in ops[index].outputs)


def _size(count: int) -> str:
    if count < 1 << 10:
        return f"{count} bytes"
    return f"{count / 1024:.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def _percent(share: float) -> str:
    """Says a share without rounding something to all or to nothing."""
    if 0.995 <= share < 1:
        return "over 99%"
    return "under 1%" if 0 < share < 0.005 else f"{share:.0%}"
