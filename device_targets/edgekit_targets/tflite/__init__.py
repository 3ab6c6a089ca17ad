"""Reads .tflite files as plain data, with the standard library alone."""

from __future__ import annotations

from edgekit_targets.tflite.flatbuffer import DEFAULT_LIMITS, Limits
from edgekit_targets.tflite.graph import (
    Graph,
    Operator,
    Quantization,
    Signature,
    Span,
    Subgraph,
    Tensor,
)
from edgekit_targets.tflite.reader import read_graph

__all__ = [
    "DEFAULT_LIMITS",
    "Graph",
    "Limits",
    "Operator",
    "Quantization",
    "Signature",
    "Span",
    "Subgraph",
    "Tensor",
    "read_graph",
]
