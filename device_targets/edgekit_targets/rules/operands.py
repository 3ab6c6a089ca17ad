"""Which operands of an operator are activations, and which are parameters: weights, shapes, axes, paddings.

Source: the kernels in tensorflow/lite/kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edgekit_targets.ops import OpView, TensorView
from edgekit_targets.rules.rule import Context

WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
"""Operators with constant weights as input 1."""

RECURRENT = frozenset({"SVDF", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM"})
"""Operators whose further inputs are weights, and a state that is kept between two runs."""

PARAMETERS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "ARG_MAX": (1,), "BATCH_TO_SPACE_ND": (1, 2), "CONV_2D": (1, 2), "CUMSUM": (1,),
        "DEPTHWISE_CONV_2D": (1, 2), "EXPAND_DIMS": (1,), "FULLY_CONNECTED": (1, 2), "GATHER": (1,),
        "MEAN": (1,), "MIRROR_PAD": (1,), "PAD": (1,), "PADV2": (1, 2), "PRELU": (1,), "REDUCE_MAX": (1,),
        "REDUCE_MIN": (1,), "RESHAPE": (1,), "RESIZE_BILINEAR": (1,), "RESIZE_NEAREST_NEIGHBOR": (1,),
        "REVERSE_V2": (1,), "SLICE": (1, 2), "SPACE_TO_BATCH_ND": (1, 2), "SPLIT": (0,), "SPLIT_V": (1, 2),
        "STRIDED_SLICE": (1, 2, 3), "SUM": (1,), "TILE": (1,), "TRANSPOSE": (1,), "TRANSPOSE_CONV": (0, 1, 3),
    }
)  # fmt: skip
"""Positions of the parameters among the inputs."""


def activations(op: OpView) -> tuple[TensorView, ...]:
    """Returns the activations of an operator: its inputs without the parameters, and its outputs."""
    if op.opcode in RECURRENT:
        return tuple(t for t in (op.input(0), *op.outputs) if t is not None)
    skipped = PARAMETERS.get(op.opcode, ())
    inputs = (t for position, t in enumerate(op.inputs) if t is not None and position not in skipped)
    return (*inputs, *op.outputs)


def weights(op: OpView) -> TensorView | None:
    """Returns the weights of a weighted operator, None for any other."""
    return op.input(1) if op.opcode in WEIGHTED else None


def has_computed_parameter(op: OpView, _: Context) -> bool:
    """Tells whether a parameter is computed while the model runs."""
    tensors = (op.input(position) for position in PARAMETERS.get(op.opcode, ()))
    return any(t is not None and not t.constant for t in tensors)
