"""Makes ranges agree where operators share one scale, before TensorFlow's quantizer makes them agree in its own way.

Operators that move or choose values work on int8 values of one scale. How TensorFlow 2.21 finds it (quantization_driver.cc,
GetQuantParamsForSameScaleConstraint) has two traps, both met in small Keras models:

- MINIMUM, MAXIMUM and SELECT give the scale of their result to their operands. Where nobody else reads an operand this is
  even better: what the operator would cut off is cut off before. But where somebody does, they read clipped values: of y,
  clip(y, -0.2, 0.2) and 2 * y, the last had an SQNR of 2.9 dB, without a warning and from TFLiteConverter too.
- A REVERSE_V2 between two such operators (a bidirectional GRU) can be left with one scale before and another behind it,
  although it does not rescale.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from edgekit_converters.calibration.observe import Ranges
from edgekit_targets.tflite import Graph, Operator, read_graph

NARROWING = frozenset({"MAXIMUM", "MINIMUM", "SELECT", "SELECT_V2"})

# Operators of one operand that pass its scale on, and with it a narrowing that comes from behind them.
PASSING = frozenset(
    {
        "BATCH_TO_SPACE_ND", "BROADCAST_TO", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER", "MAX_POOL_2D", "MIRROR_PAD",
        "PAD", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "SLICE", "SPACE_TO_BATCH_ND",
        "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK",
    }
)  # fmt: skip
JOINING = frozenset({"CONCATENATION", "PACK"})


def tie_ranges(model: bytes, ranges: Ranges) -> Ranges:
    """Widens ranges as the operators that share scales need it.

    Args:
        model: The float .tflite that the ranges are of.
        ranges: As observed.

    Returns:
        The ranges, some of them wider.
    """
    graph = read_graph(model)
    low, high = dict(ranges.low), dict(ranges.high)
    whole = _read_by_several(graph)
    for operator in graph.main.operators:
        results = _names(graph, operator.outputs)
        kept = [name for name in _names(graph, operator.inputs) if name in low and name in whole]
        if operator.opcode in NARROWING | PASSING and kept:
            for result in (name for name in results if name in low):
                _widen(low, high, [result], [result, *kept])
            whole.update(results)  # what narrows a result narrows the operand through it
    for group in _groups_around(graph, "REVERSE_V2", low):
        _widen(low, high, group, group)
    return replace(ranges, low=low, high=high)


def _widen(
    low: dict[str, float], high: dict[str, float], names: Collection[str], over: Collection[str]
) -> None:
    """Gives `names` the range that covers all of `over`."""
    least, most = min(low[name] for name in over), max(high[name] for name in over)
    low.update(dict.fromkeys(names, least))
    high.update(dict.fromkeys(names, most))


def _groups_around(graph: Graph, opcode: str, known: Collection[str]) -> list[set[str]]:
    """The sets of tensors that share a scale across an operator of that kind."""
    group_of: dict[str, set[str]] = {}
    wanted: list[str] = []
    for operator in graph.main.operators:
        if operator.opcode not in NARROWING | PASSING | JOINING:
            continue
        ends = [name for name in _ends(graph, operator) if name in known]
        merged = set(ends).union(*(group_of.get(name, ()) for name in ends))
        group_of.update(dict.fromkeys(merged, merged))
        wanted += ends if operator.opcode == opcode else []
    return [group_of[name] for name in wanted]


def _read_by_several(graph: Graph) -> set[str]:
    """Names of the tensors with two readers or more; to be an output of the model is to be read."""
    readers = [index for operator in graph.main.operators for index in {*operator.inputs}]
    readers += graph.main.outputs
    seen: set[int] = set()
    several: set[int] = set()
    for index in readers:
        (several if index in seen else seen).add(index)
    return {graph.main.tensors[index].name for index in several if index >= 0}


def _ends(graph: Graph, operator: Operator) -> list[str]:
    return _names(graph, (*operator.inputs, *operator.outputs))


def _names(graph: Graph, indices: Collection[int]) -> list[str]:
    return [graph.main.tensors[index].name for index in indices if index >= 0]
