"""A float .tflite that another framework's converter made: named, made static, freed of TRANSPOSE operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgekit.errors import UnsupportedModelError
from edgekit_converters.sources.finish import finish, refuse_input_types, refuse_operators
from edgekit_converters.sources.folding import fold_constants
from edgekit_converters.sources.layouts import fold_inputs, remove_transposes, transposes, turn_outputs_back
from edgekit_converters.sources.model import FloatModel, SourceOptions
from edgekit_converters.sources.naming import dropped_input, plain_path
from edgekit_converters.sources.tflite import chosen_outputs
from edgekit_converters.surgery import operator_name, pack, prune_to_outputs, tensor_name, unpack
from edgekit_targets.tflite import read_graph

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT


def import_float(
    data: bytes,
    kind: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    options: SourceOptions,
    notes: Sequence[str] = (),
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> FloatModel:
    """Brings what a converter wrote to the form of every source; runs in the worker process.

    Args:
        data: The .tflite.
        kind: What it was made from, in words.
        inputs: One name an input, in tensor order.
        outputs: One name an output, in tensor order.
        options: `outputs` cuts it, at these names or at tensors.
        notes: What happened before.
        shapes: Of the original's outputs, by name, where the converter may have turned them.

    Raises:
        UnsupportedModelError: See `finish`.
        SourceError: `options` names an output that is not there.
    """
    graph = read_graph(data)
    refuse_operators(graph)
    refuse_input_types(graph, inputs)
    model = unpack(data)
    _refuse_state(model)
    model.signatureDefs = None
    # litert-torch says so, and then TensorFlow's quantizer leaves the weights float, and every convolution with them.
    model.metadata = [each for each in model.metadata or [] if each.name != b"keep_stablehlo_constant"]
    if options.outputs:
        chosen = chosen_outputs(graph.main, outputs, options.outputs)
        kept = prune_to_outputs(model, list(chosen.values()))
        notes = [*notes, *(dropped_input(name) for n, name in enumerate(inputs) if n not in kept)]
        inputs, outputs = [inputs[position] for position in kept], list(chosen)
    data = pack(model)
    graph = read_graph(data)
    data = fold_constants(data, graph, [graph.main.tensors[index].shape for index in graph.main.inputs])
    model = unpack(data)
    prune_to_outputs(model, model.subgraphs[0].outputs)
    turn_outputs_back(model, [(shapes or {}).get(name) for name in outputs])
    _plain_dense(model)
    before = transposes(model)
    names = list(inputs)
    folded = {names[position] for position in fold_inputs(model)}
    remove_transposes(model)
    folded |= {names[position] for position in fold_inputs(model)}
    remove_transposes(model)
    made = finish(pack(model), kind, inputs=inputs, outputs=outputs, notes=notes)
    after = transposes(unpack(made.flatbuffer))
    turned = [f"input '{name}' was turned: data stay NCHW, the device feeds NHWC" for name in sorted(folded)]
    count = [f"TRANSPOSE operators: {after} left of the {before} that the conversion made"] if before else []
    return replace(
        made,
        inputs=tuple(
            replace(spec, layout="NHWC", data_layout="NCHW") if spec.name in folded else spec
            for spec in made.inputs
        ),
        notes=(*made.notes, *turned, *count),
    )


def _refuse_state(model: ModelT) -> None:
    """Refuses operators that remember: onnx2tf writes a fused LSTM whose state outlives the call.

    Raises:
        UnsupportedModelError: Names the operator.
    """
    graph = model.subgraphs[0]
    variable = {index for index, tensor in enumerate(graph.tensors) if tensor.isVariable}
    for operator in graph.operators:
        if variable.intersection(map(int, operator.inputs)):
            place = plain_path(tensor_name(graph, int(operator.outputs[0])))
            raise UnsupportedModelError(
                f"{operator_name(model, operator)} in '{place}' keeps its state from one call to the next, "
                "which the original does not",
                hint="from PyTorch, give the exported program (.pt2), whose recurrent layers are unrolled; "
                "or replace the layer by 1-D convolutions",
            )


def _plain_dense(model: ModelT) -> None:
    """Takes keep_num_dims off dense layers on two dimensions, where it says nothing.

    litert-torch sets it on all, which makes them FULLY_CONNECTED version 5, and the Edge TPU compiler leaves such on the
    CPU (the rule fully-connected-version).
    """
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if operator_name(model, operator) == "FULLY_CONNECTED" and operator.builtinOptions.keepNumDims:
            ranks = {
                len(graph.tensors[int(index)].shape) for index in (operator.inputs[0], operator.outputs[0])
            }
            operator.builtinOptions.keepNumDims = ranks != {2}
