"""Rules on what kind of operators and tensors a model may hold."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit_converters.audit.findings import Finding, Severity
from edgekit_converters.audit.view import FLOATS, QUANTIZED, View
from edgekit_targets.tflite import Operator, Tensor
from edgekit_targets.tflite.schema import SUBGRAPH_FIELDS

_INTEGERS = frozenset({"INT32", "INT64", "UINT32", "UINT64"})
_STATES = frozenset({"RESOURCE", "VARIANT"})
_SHAPE_SOURCES = frozenset({"SHAPE", "RANK"})

_CUT = "cut the model before it with --outputs and compute the rest in the application, or replace the layer"
_INT8_ENDS = "convert from the float model, or set inference_input_type and inference_output_type to tf.int8"
_FLOAT_MODEL = "this is a float model: quantize it with edgekit convert"
_HEAD = "cut this head off with --outputs and compute it in the application"
_FIXES = {
    "NEG": "multiply by -1 instead: TensorFlow's quantizer leaves NEG in float",
    "EXP": _HEAD,
    "LOG": _HEAD,
    "SIN": _HEAD,
    "COS": _HEAD,
    "ARG_MAX": "cut the model before it with --outputs and take the largest in the application",
    "ARG_MIN": "cut the model before it with --outputs and take the smallest in the application",
    "TOPK_V2": "cut the model before it with --outputs and sort in the application",
    "NON_MAX_SUPPRESSION_V4": "cut the model before it with --outputs and select boxes in the application",
    "NON_MAX_SUPPRESSION_V5": "cut the model before it with --outputs and select boxes in the application",
    "ELU": "use an activation that has an int8 kernel: relu, leaky_relu, hard_swish, gelu",
}


def operators(view: View) -> Iterator[Finding]:
    """Yields operators that are not plain TFLite ones, and those that compute in float."""
    for operator in view.subgraph.operators:
        finding = _foreign(view, operator) or _floating(view, operator)
        if finding is not None:
            yield finding
        if SUBGRAPH_FIELDS & operator.options.keys() and operator.opcode != "STABLEHLO_COMPOSITE":
            fix = "unroll the loop or take the branch out before exporting (RNN layers: unroll=True)"
            yield view.at_operator("control-flow", operator, "runs another subgraph", fix)
        if any(t.type == "UINT8" for t in (*view.inputs(operator), *view.outputs(operator))):
            yield view.at_operator("legacy-uint8", operator, "works on uint8 tensors", _INT8_ENDS)


def _foreign(view: View, operator: Operator) -> Finding | None:
    name = operator.custom_code
    if name is not None and name.startswith("Flex"):
        message = f"is TensorFlow's own operator {name.removeprefix('Flex')}, which no device runtime has"
        fix = "build the layer from operators that TFLite has (SELECT_TF_OPS put this one in), or " + _CUT
        return view.at_operator("flex-operator", operator, message, fix)
    if name is not None:
        message = "is a custom operator: the runtime needs code of its own for it"
        return view.at_operator("custom-operator", operator, message, _CUT)
    if operator.opcode.startswith("STABLEHLO_"):
        message = "is a StableHLO operator, for which TFLite has no int8 kernel"
        return view.at_operator("stablehlo-operator", operator, message, "export to TFLite operators instead")
    return None


def _floating(view: View, operator: Operator) -> Finding | None:
    inputs, outputs = view.inputs(operator), view.outputs(operator)
    floats = [t for t in (*outputs, *inputs) if t.type in FLOATS]
    if not floats or _is_beside_the_cause(view, operator):
        return None
    is_float_model = not any(t.type in QUANTIZED and t.index in view.producer for t in view.subgraph.tensors)
    fix = _FLOAT_MODEL if is_float_model else _FIXES.get(operator.opcode, _CUT)
    quantized = [t for t in inputs if t.type in QUANTIZED and view.is_constant(t)]
    if quantized and operator.opcode != "DEQUANTIZE":
        message = f"has {quantized[0].type.lower()} weights and computes in float"
        fix = "calibrate: without data only the weights can be quantized"
        return view.at_operator("hybrid-operator", operator, message, fix, tensor=quantized[0])
    message = f"works on {floats[0].type.lower()} ('{floats[0].name.partition(';')[0]}')"
    return view.at_operator("float-operator", operator, message, fix, tensor=floats[0])


def _is_beside_the_cause(view: View, operator: Operator) -> bool:
    """Whether a QUANTIZE or DEQUANTIZE is there because of something that is named itself.

    That is a float input or output of the model, or the float operator next to it.
    """
    if operator.opcode == "QUANTIZE":
        sources = [view.producer.get(n) for n in operator.inputs]
        return all(source is None or source.opcode != "DEQUANTIZE" for source in sources)
    if operator.opcode == "DEQUANTIZE":
        readers = [reader for n in operator.outputs for reader in view.consumers.get(n, [])]
        return all(reader.opcode != "QUANTIZE" for reader in readers)
    return False


def tensors(view: View) -> Iterator[Finding]:
    """Yields tensors whose type, storage or state is none that int8 models have."""
    for tensor in view.subgraph.tensors:
        size = f"'{tensor.name}' is {tensor.type.lower()}"
        if tensor.type in FLOATS and tensor.index in view.model_ends:
            yield view.at_tensor("float-io", tensor, f"{_end(view, tensor)} {size}", _INT8_ENDS)
        elif tensor.type in FLOATS and view.user(tensor) is None and tensor.index not in view.ends:
            yield view.at_tensor(
                "float-tensor", tensor, f"{size} and nothing uses it", "export the model again"
            )
        elif tensor.type in ("INT16", "UINT16"):
            fix = "quantize to 8 bits; a recurrent layer keeps 16-bit state: unroll it (unroll=True)"
            yield view.at_tensor("wide-tensor", tensor, size, fix)
        elif tensor.type in ("INT4", "INT2", "UINT4"):
            yield view.at_tensor("narrow-tensor", tensor, size, "quantize weights to 8 bits")
        elif tensor.type == "STRING":
            yield view.at_tensor("string-tensor", tensor, size, "turn text into numbers before the model")
        if tensor.is_variable or tensor.type in _STATES:
            fix = "make the model stateless (unroll recurrent layers, freeze variables)"
            yield view.at_tensor("state", tensor, f"'{tensor.name}' keeps its value between two runs", fix)
        if tensor.sparse:
            fix = "export the model without sparse weights (no EXPERIMENTAL_SPARSITY)"
            yield view.at_tensor("sparse", tensor, f"'{tensor.name}' is stored sparsely", fix)


def _end(view: View, tensor: Tensor) -> str:
    return "input" if tensor.index in view.subgraph.inputs else "output"


def shapes(view: View) -> Iterator[Finding]:
    """Yields open dimensions: of the model's inputs, or where these are fixed, of computed tensors."""
    inputs = [view.subgraph.tensors[n] for n in view.subgraph.inputs]
    if all(t.is_static for t in inputs):
        computed = [t for t in view.subgraph.tensors if t.index in view.producer]
        open_tensors = [t for t in computed if not t.is_static]
    else:
        open_tensors = [t for t in inputs if not t.is_static]
    for tensor in open_tensors:
        shape = f"'{tensor.name}' has the shape {list(tensor.shape_signature)}"
        if min(tensor.shape, default=0) >= 0 and min(tensor.shape_signature[1:], default=0) >= 0:
            fix = "export with batch size 1: the Edge TPU compiler refuses an open batch"
            yield view.at_tensor("open-batch", tensor, shape, fix, Severity.WARNING)
        else:
            fix = (
                f"fix its size with --input-shape {tensor.name}=..."
                if tensor in inputs
                else "fix the input sizes"
            )
            yield view.at_tensor("dynamic-shape", tensor, shape, fix)


def integers(view: View) -> Iterator[Finding]:
    """Yields inputs, outputs and computed tensors of plain integers.

    Free are shapes, what follows from them and from constants alone, and truth values inside the graph, which
    are masks. What only comes from an integer input, or only leads to an integer output, goes with that.
    """
    free = _implied_integers(view)
    for tensor in view.subgraph.tensors:
        is_end = tensor.index in view.model_ends
        is_integer = tensor.type in _INTEGERS or (tensor.type == "BOOL" and is_end)
        if not is_integer or view.is_constant(tensor) or (tensor.index in free and not is_end):
            continue
        operator = view.producer.get(tensor.index)
        if operator is not None:
            message = f"{'output ' if is_end else ''}'{tensor.name}' is {tensor.type.lower()}"
            fix = _FIXES.get(operator.opcode, _CUT)
            fix = f"{fix}; or allow this output by name" if is_end else fix
        elif is_end:
            message = f"input '{tensor.name}' is {tensor.type.lower()}"
            fix = "feed real values; token ids, which are integers by nature, can be allowed by this name"
        else:
            continue  # left over: nothing feeds or computes it
        yield view.at_tensor("integer-tensor", tensor, message, fix)


def _implied_integers(view: View) -> set[int]:
    tensors = view.subgraph.tensors
    free = {t.index for t in tensors if view.is_constant(t)}
    free.update(n for n in view.subgraph.inputs if tensors[n].type in _INTEGERS)
    for operator in view.subgraph.operators:
        if operator.opcode in _SHAPE_SOURCES or all(n in free for n in operator.inputs if n >= 0):
            # Not its real values: an embedding follows from token ids, but its largest entry is computed.
            free.update(n for n in operator.outputs if tensors[n].type in (*_INTEGERS, "BOOL"))
    free.update(n for n in view.subgraph.outputs if tensors[n].type in _INTEGERS)
    for operator in reversed(view.subgraph.operators):
        for number in operator.outputs:
            readers = view.consumers.get(number, [])
            if readers and all(n in free for reader in readers for n in reader.outputs):
                free.add(number)
    return free
