"""The last step of every source: refuse what int8 TFLite cannot hold, drop what is dead, give clean names."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.errors import UnsupportedModelError
from edgekit_converters.calibration import InputSpec
from edgekit_converters.sources.frozen import unique
from edgekit_converters.sources.model import FloatModel, image_layout
from edgekit_converters.sources.naming import (
    dropped_input,
    located,
    plain_path,
    refuse_input_type,
    refuse_output_type,
)
from edgekit_converters.surgery import pack, prune_to_outputs, rename_io, unpack
from edgekit_targets.tflite import Graph, Operator, read_graph

_STATEFUL = {
    "WHILE": "a loop; unroll it, or replace the recurrent layer by 1-D convolutions",
    "IF": "a branch; save the model with the branch decided (training=False)",
    "CALL_ONCE": "a variable; save the model without state",
    "VAR_HANDLE": "a variable; save the model without state",
    "HASHTABLE": "a lookup table; look up in the app, before the model",
}


def finish(
    flatbuffer: bytes,
    kind: str,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    layers: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> FloatModel:
    """Check a float .tflite with static shapes and give it its names.

    Args:
        flatbuffer: One subgraph.
        kind: What it was made from, in words.
        inputs: One name an input, in tensor order.
        outputs: One name an output, in tensor order.
        layers: Names of Keras layers, for messages.
        notes: What happened before.

    Raises:
        UnsupportedModelError: It holds a flex or custom op, control flow, a shape that depends on the data,
            or an input or output that is not a real-valued tensor of its own.
    """
    graph = read_graph(flatbuffer)
    refuse_operators(graph, layers)
    refuse_input_types(graph, inputs)
    _refuse_ports(graph, inputs, outputs, layers)
    _refuse_open_shapes(graph, layers)
    model = unpack(flatbuffer)
    kept = prune_to_outputs(model, model.subgraphs[0].outputs)
    dropped = [dropped_input(name) for position, name in enumerate(inputs) if position not in kept]
    for tensor in model.subgraphs[0].tensors:
        tensor.name = plain_path((tensor.name or b"").decode("utf-8", "replace")).encode()
    names = unique([*(inputs[position] for position in kept), *outputs])
    rename_io(model, names[: len(kept)], names[len(kept) :])
    shapes = [graph.main.tensors[graph.main.inputs[position]].shape for position in kept]
    return FloatModel(
        pack(model),
        kind,
        tuple(
            InputSpec(name, shape, image_layout(shape)) for name, shape in zip(names, shapes, strict=False)
        ),
        tuple(names[len(kept) :]),
        notes=(*notes, *dropped),
    )


def refuse_operators(graph: Graph, layers: Sequence[str] = ()) -> None:
    """Refuse flex and custom operators and control flow, each by name.

    Raises:
        UnsupportedModelError: Names every such operator and where it is.
    """
    found: dict[str, list[str]] = {}
    for operator in graph.main.operators:
        if operator.custom_code is not None or operator.opcode in _STATEFUL:
            places = found.setdefault(operator.title, [])
            if (place := located(_place(graph, operator), layers)) not in places:
                places.append(place)
    if not found:
        return
    ops = "; ".join(f"{op} in {', '.join(places[:5])}" for op, places in found.items())
    reasons = [f"{op} is {_STATEFUL[op]}" for op in found if op in _STATEFUL]
    raise UnsupportedModelError(
        f"operators that have no int8 form: {ops}",
        hint="; ".join(reasons) or "replace these operators, or cut the model before them with --outputs",
    )


def refuse_input_types(graph: Graph, inputs: Sequence[str]) -> None:
    """Refuse an input, among those that anything reads, that is not float32.

    Raises:
        UnsupportedModelError: Names the input.
    """
    for index, name in zip(graph.main.inputs, inputs, strict=True):
        tensor = graph.main.tensors[index]
        if tensor.type != "FLOAT32" and any(index in operator.inputs for operator in graph.main.operators):
            raise refuse_input_type(name, tensor.type.lower())


def _place(graph: Graph, operator: Operator) -> str:
    return graph.main.tensors[operator.outputs[0]].name if operator.outputs else operator.title


def _refuse_ports(graph: Graph, inputs: Sequence[str], outputs: Sequence[str], layers: Sequence[str]) -> None:
    main = graph.main
    maker = {output: operator for operator in main.operators for output in operator.outputs}
    seen: dict[int, str] = dict(zip(main.inputs, inputs, strict=True))
    for index, name in zip(main.outputs, outputs, strict=True):
        if index in seen:
            raise UnsupportedModelError(
                f"output '{name}' is the very tensor that is '{seen[index]}'",
                hint=f"name each wanted tensor once with --outputs: {_others(outputs, name)}",
            )
        seen[index] = name
        if index not in maker:
            raise UnsupportedModelError(
                f"output '{name}' does not depend on any input: it is a constant",
                hint=f"leave it out with --outputs {_others(outputs, name)}",
            )
        if main.tensors[index].type != "FLOAT32":
            made = maker[index]
            feed = next(
                (main.tensors[i].name for i in made.inputs if main.tensors[i].type == "FLOAT32"), None
            )
            raise refuse_output_type(name, main.tensors[index].type.lower(), made.title, feed, layers)
    if not main.inputs:
        raise UnsupportedModelError(
            "the model takes no input", hint="save it with a signature that names them"
        )


def _others(outputs: Sequence[str], name: str) -> str:
    return ",".join(other for other in outputs if other != name) or "NAME"


def _refuse_open_shapes(graph: Graph, layers: Sequence[str]) -> None:
    for operator in graph.main.operators:
        for index in operator.outputs:
            tensor = graph.main.tensors[index]
            if not tensor.is_static:
                raise UnsupportedModelError(
                    f"the shape of {operator.title} in {located(tensor.name, layers)} depends on the data",
                    hint="cut the model before it with --outputs, and do that step in the app",
                )
