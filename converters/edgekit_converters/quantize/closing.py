"""Leaves out the function that closes a network, so that errors are measured where they add up.

A softmax squeezes an error of one sample to nothing and blows up that of another, so that a few samples decide on the
error of the probabilities. On MobileNetV1 0.25 the first four layers by share are the same from 8 photos as from 100 if
measured in front of it; behind it the shares of 32 photos are off by 3 to 8 points. Decision 0014 has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit_converters.surgery import pack, prune_to_outputs, unpack
from edgekit_targets.tflite import Graph, Operator, read_graph

CLOSERS = frozenset({"LOGISTIC", "LOG_SOFTMAX", "SOFTMAX"})
"""Functions whose int8 scale is given by TFLite's 8-bit quantization specification: nothing about it can be mended."""


def open_ended(float_model: bytes, int8_model: bytes) -> tuple[bytes, bytes, tuple[str, ...]]:
    """Cuts both models in front of the functions that close them.

    Args:
        float_model: The float .tflite.
        int8_model: What it became.

    Returns:
        The two models, which may be the same as before, and the opcodes of what was cut off.
    """
    exact, rough = read_graph(float_model), read_graph(int8_model)
    cut, names = _closed(exact), {tensor.name for tensor in rough.main.tensors}
    if not cut or any(name not in names for name in cut) or cut.keys() != _closed(rough).keys():
        return float_model, int8_model, ()
    opcodes = tuple(dict.fromkeys(operator.opcode for operator in cut.values()))
    return _pruned(float_model, exact, cut), _pruned(int8_model, rough, _closed(rough)), opcodes


def _closed(graph: Graph) -> dict[str, Operator]:
    """By the name of what they read: the closers that compute outputs of the model from something computed."""
    main = graph.main
    made_by = {index: operator for operator in main.operators for index in operator.outputs}
    found = {}
    for index in main.outputs:
        operator = made_by.get(index)
        if operator is not None and operator.opcode in CLOSERS and operator.inputs[0] in made_by:
            found[main.tensors[operator.inputs[0]].name] = operator
    return found


def _pruned(model: bytes, graph: Graph, cut: Mapping[str, Operator]) -> bytes:
    """The model with what closers read in the place of what they write."""
    before = {index: operator.inputs[0] for operator in cut.values() for index in operator.outputs}
    outputs: Sequence[int] = list(dict.fromkeys(before.get(index, index) for index in graph.main.outputs))
    mutable = unpack(model)
    prune_to_outputs(mutable, outputs)
    return pack(mutable)
