"""A TensorFlow graph without variables: the form in which every TensorFlow source meets the converter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.errors import UnsupportedModelError
from edgekit_converters.sources.naming import first_line
from edgekit_converters.surgery import unique_name


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: What a person calls it; unique among the ports of its side.
        tensor: The TensorFlow tensor ("dense/BiasAdd:0").
    """

    name: str
    tensor: str

    @property
    def node(self) -> str:
        """The node that the tensor comes from."""
        return self.tensor.partition(":")[0]


@dataclass(frozen=True, slots=True)
class FrozenGraph:
    """A flat graph, its variables turned into constants.

    Attributes:
        graph_def: A serialized `tf.GraphDef`.
        kind: What it was made from, in words.
        inputs: Its placeholders, in the order of the model's inputs.
        outputs: In the order of the model's outputs.
        layers: Names of the Keras layers, for messages and for --outputs; empty where there are none.
        notes: What a person should know of the way here.
    """

    graph_def: bytes
    kind: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def freeze(
    function: Any,
    kind: str,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    layers: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> FrozenGraph:
    """Turn a concrete function into a frozen graph.

    Args:
        function: A `tf.ConcreteFunction`.
        kind: As in `FrozenGraph`.
        inputs: One name a flat input.
        outputs: One name a flat output.
        layers: As in `FrozenGraph`.
        notes: As in `FrozenGraph`.

    Raises:
        UnsupportedModelError: The function holds state that cannot become a constant (a lookup table).
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # Loops stay WHILE operators, which can be named; lowered, they would be a dozen operators of TensorFlow
    # 1.
    try:
        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    except Exception as error:  # TensorFlow raises one of a dozen classes
        raise UnsupportedModelError(
            f"TensorFlow cannot turn the model's variables into constants: {first_line(error)}",
            hint="cut the model before the part that fails with --outputs, or report the model",
        ) from error
    if len(frozen.inputs) != len(inputs):
        extra = ", ".join(tensor.op.name for tensor in frozen.inputs[len(inputs) :])
        raise UnsupportedModelError(
            f"the graph holds state that cannot become a constant: {extra}",
            hint="look up tables and strings before the model, in the app, and save the numeric part",
        )
    return FrozenGraph(
        frozen.graph.as_graph_def().SerializeToString(deterministic=True),
        kind,
        tuple(Port(name, tensor.name) for name, tensor in zip(inputs, frozen.inputs, strict=True)),
        tuple(Port(name, tensor.name) for name, tensor in zip(unique(outputs), frozen.outputs, strict=True)),
        tuple(layers),
        tuple(notes),
    )


def unique(names: Sequence[str]) -> list[str]:
    """The names, with _1, _2, ... behind those that came before."""
    chosen: list[str] = []
    for name in names:
        chosen.append(unique_name(name, chosen))
    return chosen
