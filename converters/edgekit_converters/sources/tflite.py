"""A .tflite as a source: float files are brought to static shapes, already quantized ones pass unchanged."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.errors import SourceError, UnknownModelError, UnsupportedModelError
from edgekit_converters.calibration import InputSpec
from edgekit_converters.sources.finish import finish, refuse_input_types, refuse_operators
from edgekit_converters.sources.folding import fold_constants
from edgekit_converters.sources.model import FloatModel, SourceOptions, image_layout
from edgekit_converters.sources.naming import dropped_input, unknown_output
from edgekit_converters.sources.shapes import Declared, resolve_shapes
from edgekit_converters.surgery import pack, prune_to_outputs, unpack
from edgekit_targets.tflite import Graph, Signature, Subgraph, Tensor, read_graph

KIND = "float .tflite"
KIND_QUANTIZED = "quantized .tflite"
_WHOLE = frozenset({"INT4", "INT8", "UINT8", "INT16"})


def load_tflite(data: bytes, options: SourceOptions) -> FloatModel:
    """Bring a .tflite to static shapes and batch 1, or pass it on unchanged if it is quantized.

    Args:
        data: The file.
        options: `signature` chooses among several; `outputs` are tensor names or output names of the
            signature.

    Raises:
        MalformedModelError: The bytes are not a sound .tflite.
        UnknownModelError: It is compiled for the Edge TPU.
        SourceError: One of its classes, naming the input, output or op.
    """
    graph = read_graph(data)
    _refuse_compiled(graph)
    subgraph, inputs, outputs = _entry(graph, options.signature)
    if _is_quantized(graph, subgraph):
        return _unchanged(data, subgraph, inputs, outputs, options)
    refuse_operators(graph)
    _refuse_hybrid(graph, subgraph)

    notes: list[str] = []
    model = unpack(data)
    model.subgraphs = [model.subgraphs[subgraph.index]]
    if options.outputs:
        chosen = chosen_outputs(subgraph, outputs, options.outputs)
        kept = prune_to_outputs(model, list(chosen.values()))
        notes = [dropped_input(name) for position, name in enumerate(inputs) if position not in kept]
        inputs, outputs = tuple(inputs[position] for position in kept), tuple(chosen)
    model.signatureDefs = None
    data = pack(model)
    data = _made_static(data, inputs, options)
    return finish(data, KIND, inputs=inputs, outputs=outputs, notes=notes)


def _refuse_compiled(graph: Graph) -> None:
    for subgraph in graph.subgraphs:
        if any(operator.custom_code == "edgetpu-custom-op" for operator in subgraph.operators):
            raise UnknownModelError(
                "this .tflite is already compiled for the Edge TPU and cannot be converted again",
                hint="give the float model, or the int8 .tflite that it was compiled from",
            )


def _entry(graph: Graph, wanted: str | None) -> tuple[Subgraph, tuple[str, ...], tuple[str, ...]]:
    """The subgraph to convert, and friendly names for its inputs and outputs."""
    signatures = {signature.key: signature for signature in graph.signatures}
    if wanted is not None and wanted not in signatures:
        raise SourceError(
            f"the .tflite has no signature '{wanted}'",
            hint=f"it has: {', '.join(sorted(signatures)) or 'none, so leave --saved-model-signature out'}",
        )
    if wanted is None and len(signatures) > 1:
        raise SourceError(
            f"the .tflite has several signatures: {', '.join(sorted(signatures))}",
            hint="choose one with --saved-model-signature",
        )
    signature = signatures[wanted] if wanted is not None else next(iter(signatures.values()), None)
    subgraph = graph.subgraphs[signature.subgraph if signature else 0]
    return subgraph, *_names(subgraph, signature)


def _names(subgraph: Subgraph, signature: Signature | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    called_in = {index: name for name, index in signature.inputs.items()} if signature else {}
    called_out = {index: name for name, index in signature.outputs.items()} if signature else {}
    names = [
        *(called_in.get(index, subgraph.tensors[index].name) for index in subgraph.inputs),
        *(called_out.get(index, subgraph.tensors[index].name) for index in subgraph.outputs),
    ]
    filled = [name or f"tensor_{number}" for number, name in enumerate(names)]
    return tuple(filled[: len(subgraph.inputs)]), tuple(filled[len(subgraph.inputs) :])


def _is_quantized(graph: Graph, subgraph: Subgraph) -> bool:
    """Whether any computed tensor, input or output holds quantized integers."""
    return any(_is_whole(tensor) and graph.constant(tensor) is None for tensor in _used(subgraph))


def _is_whole(tensor: Tensor) -> bool:
    return tensor.type in _WHOLE and tensor.quantization is not None and bool(tensor.quantization.scale)


def _used(subgraph: Subgraph) -> list[Tensor]:
    indices = {*subgraph.inputs, *subgraph.outputs}
    for operator in subgraph.operators:
        indices.update(index for index in (*operator.inputs, *operator.outputs) if index >= 0)
    return [subgraph.tensors[index] for index in sorted(indices)]


def _refuse_hybrid(graph: Graph, subgraph: Subgraph) -> None:
    weights = [tensor.name for tensor in _used(subgraph) if _is_whole(tensor)]
    if weights:
        shown = ", ".join(f"'{name}'" for name in weights[:3])
        raise UnsupportedModelError(
            f"{len(weights)} weight tensors are already integers while the activations are float ({shown}): "
            "a dynamic-range model, whose rounding cannot be taken back",
            hint="start from the float model that it was made from",
        )


def _unchanged(
    data: bytes, subgraph: Subgraph, inputs: Sequence[str], outputs: Sequence[str], options: SourceOptions
) -> FloatModel:
    if options.outputs:
        raise UnsupportedModelError(
            "this .tflite is already quantized and is packed as it is: --outputs cannot cut it",
            hint="cut the float model that it was made from",
        )
    tensors = [subgraph.tensors[index] for index in subgraph.inputs]
    shapes = resolve_shapes(
        [(name, tensor.shape) for name, tensor in zip(inputs, tensors, strict=True)], options.input_shapes
    )
    return FloatModel(
        data,
        KIND_QUANTIZED,
        tuple(InputSpec(name, shape, image_layout(shape)) for name, shape in shapes.items()),
        tuple(outputs),
        quantized=True,
        notes=("already quantized: audited and packed unchanged",),
    )


def chosen_outputs(subgraph: Subgraph, outputs: Sequence[str], wanted: Sequence[str]) -> dict[str, int]:
    """The tensors that --outputs names: by name of an output, or of any computed tensor.

    Raises:
        SourceError: There is none of that name.
    """
    own = dict(zip(outputs, subgraph.outputs, strict=True))
    tensors = {
        subgraph.tensors[index].name: index for operator in subgraph.operators for index in operator.outputs
    }
    for name in wanted:
        if name not in own and name not in tensors:
            raise unknown_output(name, tuple(own), tuple(tensors))
    return {name: own.get(name, tensors.get(name, -1)) for name in wanted}


def _made_static(data: bytes, names: Sequence[str], options: SourceOptions) -> bytes:
    graph = read_graph(data)
    refuse_input_types(graph, names)
    tensors = [graph.main.tensors[index] for index in graph.main.inputs]
    declared = [(name, _declared(tensor)) for name, tensor in zip(names, tensors, strict=True)]
    shapes = resolve_shapes(declared, options.input_shapes)
    return fold_constants(data, graph, [shapes[name] for name in names])


def _declared(tensor: Tensor) -> Declared:
    return tuple(None if size < 0 else size for size in tensor.shape_signature)
