"""The float and the int8 model as one chain of blocks: where both can be cut, and the other one goes on.

A cut is a place between two operators of each model where the same tensors, by name, are alive in both. Between two
cuts lies a block, most often one operator; what the quantizer put in (a requantization in front of a concatenation)
falls into the block that it serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from edgekit_converters.quantize.ties import JOINING, PASSING
from edgekit_targets.tflite import Graph, Operator, read_graph

# Operators that move or choose int8 values and compute none: they cause no error. RESIZE_BILINEAR computes means.
MOVERS = (PASSING | JOINING) - {"RESIZE_BILINEAR"}

Span = tuple[int, int]
"""First operator, and the one after the last."""


@dataclass(frozen=True, slots=True)
class Block:
    """A run of operators in both models that turns the same tensors into the same tensors.

    Attributes:
        float_ops: In the float model.
        int8_ops: In the int8 model.
        reads: Names of the computed or fed tensors that it takes.
        writes: Names of those that later blocks, or the caller, need; never empty.
    """

    float_ops: Span
    int8_ops: Span
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """The blocks of a model and its int8 version, first the inputs as a block without operators of its own.

    Attributes:
        blocks: In the order of execution; operators that only move values belong to the block before them.
        alive: For each block the names of the tensors that are alive behind it.
        scales: Scale and zero point of every quantized computed or fed tensor of the int8 model.
        outputs: Names of the outputs of the models.
    """

    blocks: tuple[Block, ...]
    alive: tuple[frozenset[str], ...]
    scales: dict[str, tuple[float, int]]
    outputs: tuple[str, ...]

    def readers(self, number: int) -> list[int]:
        """The blocks that read what that block writes."""
        written = {*self.blocks[number].writes}
        later = range(number + 1, len(self.blocks))
        return [other for other in later if written & {*self.blocks[other].reads}]


def chain_of(float_model: bytes, int8_model: bytes) -> Chain:
    """Finds the cuts.

    Args:
        float_model: The float .tflite.
        int8_model: What it became; inputs and outputs bear the same names.

    Returns:
        The chain. Models that nowhere agree in between give one block for the inputs and one for all the rest.
    """
    exact, rough = read_graph(float_model), read_graph(int8_model)
    float_alive, int8_alive = _alive(exact), _alive(rough)
    place_of = {names: place for place, names in enumerate(float_alive)}
    cuts = [(0, 0)]
    for place, names in enumerate(int8_alive):
        other = place_of.get(names, -1)
        if place > cuts[-1][1] and other > cuts[-1][0]:
            cuts.append((other, place))
    end = (len(float_alive) - 1, len(int8_alive) - 1)
    if cuts[-1] != end:
        cuts.append(end)
    scales = {
        tensor.name: (found.scale[0], found.zero_point[0])
        for tensor in rough.main.tensors
        if rough.constant(tensor) is None and (found := tensor.quantization) and len(found.scale) == 1
    }
    fed = tuple(sorted(float_alive[0]))
    inputs = Block((0, 0), (0, 0), fed, fed)
    blocks, alive = [inputs], [float_alive[0]]
    for (first, first8), (last, last8) in pairwise(cuts):
        names = float_alive[last]
        block = _block(exact, (first, last), (first8, last8), names)
        if _moves(rough.main.operators[first8:last8], block, scales):
            blocks[-1], alive[-1] = _joined(blocks[-1], block, names), names
        elif block.writes:
            blocks.append(block)
            alive.append(names)
    outputs = tuple(exact.main.tensors[index].name for index in exact.main.outputs)
    return Chain(tuple(blocks), tuple(alive), scales, outputs)


def _alive(graph: Graph) -> list[frozenset[str]]:
    """Before each operator, and at the end: the fed or computed tensors that somebody still reads."""
    names = [tensor.name for tensor in graph.main.tensors]
    given = {tensor.index for tensor in graph.main.tensors if graph.constant(tensor) is not None}
    alive = {index for index in graph.main.outputs if index not in given}
    found = [frozenset(names[index] for index in alive)]
    for operator in reversed(graph.main.operators):
        alive -= {*operator.outputs}
        alive |= {index for index in operator.inputs if index >= 0 and index not in given}
        found.append(frozenset(names[index] for index in alive))
    return found[::-1]


def _block(graph: Graph, ops: Span, int8_ops: Span, alive: frozenset[str]) -> Block:
    """Reads and writes are taken from the float model; in the int8 one they are the same."""
    reads, written = _reads(graph, graph.main.operators[slice(*ops)])
    return Block(ops, int8_ops, tuple(reads), tuple(name for name in written if name in alive))


def _reads(graph: Graph, operators: Sequence[Operator]) -> tuple[list[str], list[str]]:
    """Names of the tensors that operators take from outside, constants left out, and of those that they write."""
    tensors = graph.main.tensors
    read: dict[str, None] = {}
    written: dict[str, None] = {}
    for operator in operators:
        for index in operator.inputs:
            if index >= 0 and graph.constant(tensors[index]) is None and tensors[index].name not in written:
                read[tensors[index].name] = None
        written |= {tensors[index].name: None for index in operator.outputs}
    return list(read), list(written)


def _moves(operators: Sequence[Operator], block: Block, scales: dict[str, tuple[float, int]]) -> bool:
    """Whether a block moves int8 values and does not rescale any."""
    ends = {scales.get(name) for name in (*block.reads, *block.writes)}
    return all(operator.opcode in MOVERS for operator in operators) and len(ends) == 1


def _joined(before: Block, after: Block, alive: frozenset[str]) -> Block:
    reads = dict.fromkeys((*before.reads, *(name for name in after.reads if name not in before.writes)))
    writes = tuple(name for name in (*before.writes, *after.writes) if name in alive)
    return replace(
        before,
        float_ops=(before.float_ops[0], after.float_ops[1]),
        int8_ops=(before.int8_ops[0], after.int8_ops[1]),
        reads=tuple(reads),
        writes=writes,
    )


def main_operator(operators: Sequence[Operator]) -> Operator | None:
    """The operator that a block is named after: the last that computes, else the last; None where there is none."""
    computing = [operator for operator in operators if operator.opcode not in MOVERS | {"QUANTIZE"}]
    return next(iter([*computing[-1:], *operators[-1:]]), None)
