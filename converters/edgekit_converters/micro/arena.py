"""How large an arena a model needs in TensorFlow Lite Micro: measured where its package is installed, else estimated.

Both hold for the workstation's 64-bit pointers and the reference kernels. On a Cortex-M the runtime's own tables take
about half; CMSIS-NN's kernels take scratch memory in addition, which `edgekit_converters.micro.scratch` bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit_converters.micro.scratch import scratch_bytes
from edgekit_converters.micro.tflm import is_installed, measure_arena, tflm_version
from edgekit_targets.memory import Planner, plan_arena
from edgekit_targets.ops import OpView, view
from edgekit_targets.tflite import Graph

ALIGNMENT = 16  # MicroArenaBufferAlignment()

# What is in an arena beside tensors, with 64-bit pointers. Set so that no model of those that were measured on
# 2026-11-27 with tflite-micro 0.dev20261023182759 (test_micro.py) needs more than is estimated.
_BASE_BYTES = 1056  # the interpreter's allocators, and what is kept of inputs and outputs
_TENSOR_BYTES = 32  # TfLiteEvalTensor is 24
_OPERATOR_BYTES = 288  # NodeAndRegistration is 64; the rest is what kernels keep
_CHANNEL_BYTES = 8  # multiplier and shift of a convolution's output channel

_PER_CHANNEL = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
_ACCUMULATING = (
    "TRANSPOSE_CONV",
    "MEAN",
    "SUM",
)  # reference kernels with an int32 for each value of the result


@dataclass(frozen=True, slots=True)
class ArenaSize:
    """The arena that a program should reserve.

    Attributes:
        bytes: To reserve: `needed` and `scratch`, at a multiple of 16.
        needed: By the runtime with reference kernels: measured, or estimated.
        scratch: What CMSIS-NN's kernels take in addition, at most.
        tensors: The part of `needed` that holds tensors, as edgekit plans it.
        runtime: The package that measured, such as "tflite-micro 0.dev20261023182759"; None for an estimate.
    """

    bytes: int
    needed: int
    scratch: int
    tensors: int
    runtime: str | None

    @property
    def source(self) -> str:
        """Where `needed` is from, in words that follow "N bytes"."""
        if self.runtime is None:
            return "estimated by edgekit (pip install 'edgekit[micro]' measures)"
        return f"measured with {self.runtime} on x86-64"

    def to_json(self) -> dict[str, object]:
        """The size as plain JSON types."""
        return {
            "bytes": self.bytes,
            "needed_bytes": self.needed,
            "scratch_bytes": self.scratch,
            "tensor_bytes": self.tensors,
            "measured_by": self.runtime,
        }


def size_arena(graph: Graph) -> ArenaSize:
    """Measures or estimates the arena of a model.

    Raises:
        MalformedModelError: The model is no sound .tflite.
    """
    measured = measure_arena(bytes(graph.data)) if is_installed() else None
    needed = estimate_arena(graph) if measured is None else measured
    scratch = scratch_bytes(view(graph))
    return ArenaSize(
        bytes=_round_up(needed + scratch, ALIGNMENT),
        needed=needed,
        scratch=scratch,
        tensors=plan_arena(graph, Planner.MICRO).bytes,
        runtime=None if measured is None else f"tflite-micro {tflm_version()}",
    )


def estimate_arena(graph: Graph) -> int:
    """Bytes of the arena with reference kernels, from above: tensors, the runtime's tables, and what kernels keep."""
    ops = view(graph)
    tensors = sum(len(subgraph.tensors) for subgraph in graph.subgraphs)
    operators = sum(len(subgraph.operators) for subgraph in graph.subgraphs)
    channels = sum(_channels(op) for op in ops)
    tables = _BASE_BYTES + _TENSOR_BYTES * tensors + _OPERATOR_BYTES * operators + _CHANNEL_BYTES * channels
    return plan_arena(graph, Planner.MICRO).bytes + max(map(_accumulators, ops), default=0) + tables


def _channels(op: OpView) -> int:
    shape = op.outputs[0].shape if op.opcode in _PER_CHANNEL and op.outputs else ()
    return abs(shape[-1]) if shape else 0


def _accumulators(op: OpView) -> int:
    return 4 * op.outputs[0].elements if op.opcode in _ACCUMULATING and op.outputs else 0


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
