"""The first few operators of a model as a model of their own, by patching a handful of its bytes.

A .tflite is a flatbuffer (tensorflow/compiler/mlir/lite/schema/schema.fbs), so no writer is needed: the vector of
operators is cut short in place, and the subgraph's vector of outputs is replaced by one appended to the file.
Everything else, weights above all, stays where it is.
"""

from __future__ import annotations

import struct
from dataclasses import replace

from edgekit.errors import MalformedModelError, ProfileError
from edgekit_targets.tflite import DEFAULT_LIMITS, Graph, read_graph
from edgekit_targets.tflite.flatbuffer import Flatbuffer, Table
from edgekit_targets.tflite.schema import IDENTIFIER

# Slots of the tables Model and SubGraph in schema.fbs.
_SUBGRAPHS, _SIGNATURES = 2, 7
_OUTPUTS, _OPERATORS = 2, 3

WHOLE = "this model can only be profiled as a whole: leave --ops out"
"""The hint where a model cannot be taken apart."""


def outputs_of(graph: Graph, count: int) -> tuple[int, ...]:
    """Tensors that the first operators of a model must hand out.

    These are all that later operators or the caller still read, so that a runtime has no reason to leave
    anything out, and nobody's memory is given away before its time.

    Args:
        graph: The model.
        count: How many operators run.

    Returns:
        Tensor numbers in the order of computing; the model's inputs where nothing is computed.
    """
    main = graph.main
    wanted = set(main.outputs).union(*(operator.inputs for operator in main.operators[count:]))
    computed = dict.fromkeys(number for op in main.operators[:count] for number in op.outputs)
    return tuple(number for number in computed if number in wanted) or main.inputs


class Cutter:
    """Cuts one model short, at any place.

    Args:
        graph: The model. Its bytes are copied for every cut.

    Raises:
        ProfileError: The model has no operators or names no outputs, or the file uses the bytes to be patched
            twice, which no converter does.
    """

    __slots__ = ("_count_at", "_graph", "_outputs_at", "_signatures_at")

    def __init__(self, graph: Graph) -> None:
        root = Flatbuffer(graph.data, IDENTIFIER, DEFAULT_LIMITS).root("model")
        main = next(root.tables(_SUBGRAPHS, "subgraph", DEFAULT_LIMITS.subgraphs))
        count_at, outputs_at = _length_at(main, _OPERATORS), main.field(_OUTPUTS)
        if count_at is None or not graph.main.operators:
            raise ProfileError("the model has no operators to be timed one by one", hint=WHOLE)
        if outputs_at is None:
            raise ProfileError("the model names no outputs", hint=WHOLE)
        self._graph = graph
        self._count_at = count_at
        self._outputs_at = outputs_at
        self._signatures_at = _length_at(root, _SIGNATURES)
        if not self._cuts_nothing_else():
            raise ProfileError("the model cannot be cut: parts of its file overlap", hint=WHOLE)

    def prefix(self, count: int) -> bytes:
        """The first operators of the model, as a model.

        Args:
            count: How many, from 0 (which only hands its inputs through) to all.

        Returns:
            A .tflite with the tensors of `outputs_of` as outputs and without signatures, which would name
            outputs that are no longer computed.
        """
        data = bytearray(self._graph.data)
        struct.pack_into("<I", data, self._count_at, count)
        if self._signatures_at is not None:
            struct.pack_into("<I", data, self._signatures_at, 0)
        data += bytes(-len(data) % 4)  # a vector of int32 stands at a multiple of 4
        struct.pack_into("<I", data, self._outputs_at, len(data) - self._outputs_at)
        numbers = outputs_of(self._graph, count)
        data += struct.pack(f"<I{len(numbers)}i", len(numbers), *numbers)
        return bytes(data)

    def _cuts_nothing_else(self) -> bool:
        """Whether the bytes that are patched serve nothing else; all of them change where no operator is left."""
        try:
            cut = read_graph(self.prefix(0))
        except MalformedModelError:
            return False
        whole = self._graph
        main = replace(whole.main, operators=(), outputs=outputs_of(whole, 0))
        return cut.subgraphs == (main, *whole.subgraphs[1:]) and cut.buffers == whole.buffers


def _length_at(table: Table, slot: int) -> int | None:
    """Where the length of a vector of tables stands: right before its first element."""
    span = table.span(slot, 4)
    return None if span is None else span[0] - 4
