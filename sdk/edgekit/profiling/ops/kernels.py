"""Who runs which operator, as far as it can be said without asking the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.backends.litert import PACKAGE as LITERT
from edgekit_targets.rules.litert_cpu import LITERT_CPU
from edgekit_targets.rules.rule import Context

if TYPE_CHECKING:
    from edgekit.backends import Kernels
    from edgekit_targets.ops import OpView

XNNPACK = "XNNPACK"
UNKNOWN = "unknown"

_EDGE_TPU = "edgetpu-custom-op"  # what edgetpu_compiler puts in the place of all that the chip runs
_PADDED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})


def delegates(ops: Sequence[OpView], runtime: str, kernels: Kernels) -> tuple[str | None, ...]:
    """Who runs each operator: "XNNPACK", "Edge TPU", None for the runtime's own kernels, or "unknown".

    For LiteRT this is the forecast of `edgekit_targets.rules.litert_cpu`, measured on its version 2.3.0.

    Args:
        ops: The operators, in the order of the model.
        runtime: The package that runs them.
        kernels: What it was asked to run them on.
    """
    return tuple(_delegate(op, Context(ops), runtime, kernels) for op in ops)


def _delegate(op: OpView, context: Context, runtime: str, kernels: Kernels) -> str | None:
    if op.custom_code == _EDGE_TPU:
        return "Edge TPU"
    if kernels != "xnnpack":
        return None
    if runtime != LITERT:
        return UNKNOWN
    rule = LITERT_CPU.judge(op, context)
    if rule is None:
        return XNNPACK
    return UNKNOWN if rule.id == "float-operator" else None  # that rule is about speed alone


def fused_pads(ops: Sequence[OpView]) -> tuple[int, ...]:
    """Numbers of paddings that XNNPACK may do inside the convolution behind them.

    Source: xnn_subgraph_fusion in XNNPACK's src/subgraph.c: a constant padding whose only reader is a
    convolution becomes its padding.

    Args:
        ops: The operators, in the order of the model.
    """
    readers: dict[int, list[OpView]] = {}
    for op in ops:
        for source in op.reads:
            readers.setdefault(source, []).append(op)
    return tuple(
        op.index
        for op in ops
        if op.opcode in ("PAD", "PADV2")
        and len(readers.get(op.index, ())) == 1
        and readers[op.index][0].opcode in _PADDED
    )
