"""A .tflite as nested plain data, once through Google's generated code and once through edgekit's reader, to compare."""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as generated

from edgekit_targets.tflite import Graph
from edgekit_targets.tflite.schema import (
    OPERATORS,
    OPTIONS,
    QUANTIZATION_DETAILS,
    TENSOR_TYPES,
    options_of_operators,
)


def of_google(data: bytes) -> dict[str, Any]:
    model = generated.ModelT.InitFromPackedBuf(bytearray(data), 0)
    return {
        "version": model.version,
        "description": text(model.description),
        "subgraphs": [_subgraph(model, subgraph) for subgraph in model.subgraphs],
        "signatures": [
            {
                "key": text(s.signatureKey),
                "subgraph": s.subgraphIndex,
                "inputs": {text(e.name): e.tensorIndex for e in s.inputs or ()},
                "outputs": {text(e.name): e.tensorIndex for e in s.outputs or ()},
            }
            for s in model.signatureDefs or ()
        ],
        "metadata": {text(m.name): _bytes(model.buffers[m.buffer]) or b"" for m in model.metadata or ()},
    }


def text(value: Any) -> str:
    return "" if value is None else value.decode()


def numbers(value: Any) -> list[Any]:
    return [] if value is None else list(value)


def _bytes(buffer: Any) -> bytes | None:
    return bytes(buffer.data) if buffer.data is not None and len(buffer.data) else None


def _subgraph(model: Any, subgraph: Any) -> dict[str, Any]:
    return {
        "name": text(subgraph.name),
        "inputs": numbers(subgraph.inputs),
        "outputs": numbers(subgraph.outputs),
        "tensors": [_tensor(model, tensor) for tensor in subgraph.tensors or ()],
        "operators": [_operator(model, operator) for operator in subgraph.operators or ()],
    }


def _tensor(model: Any, tensor: Any) -> dict[str, Any]:
    q = tensor.quantization
    quantization = None
    vectors = () if q is None else (q.scale, q.zeroPoint, q.min, q.max)
    if q is not None and (q.detailsType or any(len(numbers(v)) for v in vectors)):
        quantization = {
            "scale": numbers(q.scale),
            "zero_point": numbers(q.zeroPoint),
            "dimension": q.quantizedDimension,
            "min": numbers(q.min),
            "max": numbers(q.max),
            "details": QUANTIZATION_DETAILS[q.detailsType] if q.detailsType else None,
        }
    return {
        "name": text(tensor.name),
        "shape": numbers(tensor.shape),
        "signature": numbers(tensor.shapeSignature) or numbers(tensor.shape),
        "type": TENSOR_TYPES[tensor.type],
        "variable": tensor.isVariable,
        "sparse": tensor.sparsity is not None,
        "quantization": quantization,
        "data": _bytes(model.buffers[tensor.buffer]),
    }


def _operator(model: Any, operator: Any) -> dict[str, Any]:
    code = model.operatorCodes[operator.opcodeIndex]
    opcode = OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
    table = OPTIONS[operator.builtinOptionsType]
    options = operator.builtinOptions if options_of_operators().get(opcode) == table else None
    return {
        "opcode": opcode,
        "version": code.version,
        "custom": text(code.customCode) or None,
        "inputs": numbers(operator.inputs),
        "outputs": numbers(operator.outputs),
        "intermediates": numbers(operator.intermediates),
        "custom_options": bytes(numbers(operator.customOptions)),
        "option_names": sorted(name.lower() for name in vars(options)) if options is not None else [],
    }


def of_edgekit(graph: Graph) -> dict[str, Any]:
    return {
        "version": graph.version,
        "description": graph.description,
        "subgraphs": [
            {
                "name": s.name,
                "inputs": list(s.inputs),
                "outputs": list(s.outputs),
                "tensors": [_our_tensor(graph, t) for t in s.tensors],
                "operators": [
                    {
                        "opcode": o.opcode,
                        "version": o.version,
                        "custom": o.custom_code,
                        "inputs": list(o.inputs),
                        "outputs": list(o.outputs),
                        "intermediates": list(o.intermediates),
                        "custom_options": bytes(o.custom_options),
                        "option_names": sorted(name.replace("_", "") for name in o.options),
                    }
                    for o in s.operators
                ],
            }
            for s in graph.subgraphs
        ],
        "signatures": [
            {"key": s.key, "subgraph": s.subgraph, "inputs": dict(s.inputs), "outputs": dict(s.outputs)}
            for s in graph.signatures
        ],
        "metadata": {name: bytes(value) for name, value in graph.metadata.items()},
    }


def _our_tensor(graph: Graph, tensor: Any) -> dict[str, Any]:
    q, data = tensor.quantization, graph.constant(tensor)
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "signature": list(tensor.shape_signature),
        "type": tensor.type,
        "variable": tensor.is_variable,
        "sparse": tensor.sparse,
        "quantization": None
        if q is None
        else {
            "scale": list(q.scale),
            "zero_point": list(q.zero_point),
            "dimension": q.quantized_dimension,
            "min": list(q.min),
            "max": list(q.max),
            "details": q.details,
        },
        "data": None if data is None else bytes(data),
    }
