"""A run of consecutive operators of a model, cut out as a model of its own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from edgekit_converters.surgery import pack


def tensors_read(operators: Sequence[Any]) -> set[int]:
    """The tensors that `operators` take from outside themselves, constants among them."""
    read: set[int] = set()
    written: set[int] = set()
    for operator in operators:
        read |= {int(t) for t in operator.inputs if t >= 0 and t not in written}
        written |= {int(t) for t in operator.outputs}
    return read


def part(model: Any, first: int, last: int, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
    """Cuts operators `first`..`last` (both included) of the main subgraph into a model of their own.

    Args:
        model: A `ModelT` of the TFLite schema's object API, one subgraph; it is not changed.
        first: Index of the first operator.
        last: Index of the last operator.
        inputs: Tensor indices of `model` that become the inputs, in this order.
        outputs: Tensor indices of `model` that become the outputs, in this order.

    Returns:
        The flatbuffer. Its buffers are those of the operators kept and no others.
    """
    source = model.subgraphs[0]
    operators = source.operators[first : last + 1]
    used = sorted(
        {int(t) for op in operators for t in (*op.inputs, *op.outputs) if t >= 0} | {*inputs, *outputs}
    )
    index_of = {old: new for new, old in enumerate(used)}

    result = copy.copy(model)
    result.signatureDefs = None
    result.metadata = None
    result.buffers = [model.buffers[0]]  # buffer 0 is empty by the schema's convention
    subgraph = copy.copy(source)
    subgraph.tensors = []
    for old in used:
        tensor = copy.copy(source.tensors[old])
        if model.buffers[tensor.buffer].data is not None:
            result.buffers.append(model.buffers[tensor.buffer])
            tensor.buffer = len(result.buffers) - 1
        else:
            tensor.buffer = 0
        subgraph.tensors.append(tensor)
    subgraph.operators = []
    for operator in operators:
        kept = copy.copy(operator)
        kept.inputs = [index_of[int(t)] if t >= 0 else -1 for t in operator.inputs]
        kept.outputs = [index_of[int(t)] for t in operator.outputs]
        kept.intermediates = None
        subgraph.operators.append(kept)
    subgraph.inputs = [index_of[t] for t in inputs]
    subgraph.outputs = [index_of[t] for t in outputs]
    result.subgraphs = [subgraph]
    return pack(result)
