"""From the time of every operator to the account of a model: shares, speeds, and how well the sum fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from edgekit.console import printable
from edgekit.profiling.record import OpsProfile, OpTime
from edgekit_targets.cost import macs
from edgekit_targets.layers import layer_name

if TYPE_CHECKING:
    from edgekit_targets.ops import OpView

Method = Literal["litert", "prefix"]


def account(
    method: Method,
    ops: Sequence[OpView],
    times_ns: Sequence[float],
    delegates: Sequence[str | None],
    *,
    call_ns: float,
    whole_ns: float,
    notes: Sequence[str],
) -> OpsProfile:
    """Sums up what was measured.

    Args:
        method: How.
        ops: The operators, in the order of the model.
        times_ns: What each takes in one inference, at least 0.
        delegates: Who runs each.
        call_ns: What a call of the runtime takes before any operator.
        whole_ns: One inference of the whole model, timed by itself in the same run.
        notes: Sentences.
    """
    sum_ns = call_ns + sum(times_ns)
    return OpsProfile(
        method=method,
        whole_ns=whole_ns,
        sum_ns=sum_ns,
        ratio=sum_ns / whole_ns if whole_ns else 0.0,
        ops=tuple(
            _op(op, time_ns, delegate, sum_ns)
            for op, time_ns, delegate in zip(ops, times_ns, delegates, strict=True)
        ),
        note=" ".join(notes),
        call_ns=call_ns,
    )


def _op(op: OpView, time_ns: float, delegate: str | None, sum_ns: float) -> OpTime:
    count = macs(op)
    return OpTime(
        index=op.index,
        opcode=printable(op.title),
        name=printable(op.name),
        layer=printable(layer_name(op.name) or op.name),
        time_ns=time_ns,
        share=time_ns / sum_ns if sum_ns else 0.0,
        macs=count or None,
        gmac_per_s=count / time_ns if count and time_ns else None,  # 1 per ns is 10^9 per s
        delegate=delegate,
    )


def quietest(values: Sequence[float], share: float) -> float:
    """Mean of the smallest values: what the machine takes when nothing disturbs it, not only once.

    Args:
        values: At least one.
        share: How many of them count, above 0 to 1; at least one does.
    """
    kept = sorted(values)[: max(1, round(len(values) * share))]
    return sum(kept) / len(kept)
