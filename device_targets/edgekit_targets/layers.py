"""From tensor names back to the layers that people know."""

from __future__ import annotations

import re

from edgekit_targets.tflite import Operator, Subgraph

# What TensorFlow wraps around a model when it traces it; such a name says nothing of a layer.
_WRAPPER = re.compile(r"(Stateful)?PartitionedCall(_\d+)?(:\d+)?|tfl\..*|Identity(_\d+)?(:\d+)?")
# Parts of a scope that belong to the inside of a layer, not to its name.
_INSIDE = re.compile(
    r"(batchnorm|convolution|conv_transpose|depthwise|separable_conv2d|moments|einsum|transpose|strided_slice"
    r"|kernel|bias|add|mul|sub|truediv|mean|sum|while|cond|body)\d*(_\d+)?",
    re.ASCII,
)
_OPERATION = re.compile(r"[A-Z][A-Za-z0-9]*(_\d+)?(:\d+)?", re.ASCII)


def layer_name(tensor: str) -> str | None:
    """Returns the layer in a tensor name.

    TensorFlow writes names such as "functional_1/dense_1/BiasAdd;functional_1/dense_1/MatMul": scopes of
    model, layer and operation, and several of them joined by ";" where it fused operations.

    Args:
        tensor: Name of a tensor.

    Returns:
        "dense_1" for the name above; None where the name tells nothing.
    """
    for part in tensor.split(";"):
        scopes = [s for s in part.split("/") if s and not _WRAPPER.fullmatch(s)]
        while len(scopes) > 1 and (_OPERATION.fullmatch(scopes[-1]) or _INSIDE.fullmatch(scopes[-1])):
            scopes.pop()
        if scopes:
            return scopes[-1]
    return None


def layer_of(subgraph: Subgraph, operator: Operator) -> str:
    """Returns the layer of an operator: by its outputs' names, else its inputs', else the bare name."""
    last_inputs_first = [t for t in reversed(operator.inputs) if t >= 0]
    for number in (*operator.outputs, *last_inputs_first):
        name = layer_name(subgraph.tensors[number].name)
        if name is not None:
            return name
    return subgraph.tensors[operator.outputs[0]].name if operator.outputs else operator.title
