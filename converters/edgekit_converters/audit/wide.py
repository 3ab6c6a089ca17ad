"""Rules on 16-bit activations that a recipe allows by name: that they are of the one scheme which kernels compute right."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from edgekit_converters.audit.findings import BIAS_TOLERANCE, Finding
from edgekit_converters.audit.scales import REQUANTIZE, sound
from edgekit_converters.audit.view import WEIGHTED, View
from edgekit_targets.tflite import Operator, Tensor
from edgekit_targets.tflite.wide import SUM_SHIFT, WIDE_OPERATORS

WIDE = ("INT16", "UINT16")


def scheme(view: View, allowed: Collection[str]) -> Iterator[Finding]:
    """Yields what is wrong with operators whose 16-bit tensors are allowed.

    Args:
        view: A subgraph.
        allowed: Names of tensors that may be int16, or int64 where they are biases. What is not among them is refused
            already.
    """
    for operator in view.subgraph.operators:
        tensors = [t for t in (*view.inputs(operator), *view.outputs(operator)) if t.type in WIDE]
        if not tensors or any(t.name not in allowed for t in tensors):
            continue
        for tensor, message in _refusals(view, operator, tensors):
            yield view.at_operator("wide-scheme", operator, message, REQUANTIZE, tensor=tensor)


def described(findings: Collection[Finding]) -> str:
    """The one sentence that names the operators with allowed 16-bit tensors."""
    places = {
        (f.subgraph, f.op_index): f"{f.opcode} in '{f.layer}'" for f in findings if f.opcode != "QUANTIZE"
    }
    count = f"{len(places)} operator{'' if len(places) == 1 else 's'}"
    return f"16-bit activations in {count}: {', '.join(places.values())}"


def _refusals(
    view: View, operator: Operator, tensors: Collection[Tensor]
) -> Iterator[tuple[Tensor | None, str]]:
    if operator.opcode not in WIDE_OPERATORS:
        yield None, "has no kernel for 16-bit activations that is known to compute right"
    for tensor in tensors:
        q = tensor.quantization
        if tensor.type != "INT16" or not sound(tensor) or q is None or len(q.scale) != 1 or any(q.zero_point):
            yield tensor, f"'{tensor.name}' must be int16 with one scale and the zero point 0"
    roles = WEIGHTED.get(operator.opcode)
    data = view.inputs(operator) if roles is None else [t for t in (view.tensor(operator, roles.data),) if t]
    narrow = [t for t in (*data, *view.outputs(operator)) if t.type in ("INT8", "UINT8")]
    if narrow and operator.opcode != "QUANTIZE":
        yield narrow[0], f"'{narrow[0].name}' is {narrow[0].type.lower()} beside 16-bit activations"
    if operator.opcode in ("ADD", "SUB"):
        yield from _sum(view, operator)
    if roles is not None:
        yield from _bias(view.tensor(operator, roles.bias), data, view.tensor(operator, roles.weights))


def _sum(view: View, operator: Operator) -> Iterator[tuple[Tensor | None, str]]:
    scales = [sound(tensor) for tensor in (*view.inputs(operator), view.outputs(operator)[0])]
    if operator.options.get("pot_scale_int16"):
        yield None, "says pot_scale_int16, and its scales need not be powers of two"
    if all(scales) and len(scales) == 3:
        first, second, output = (scale[0] for scale in scales if scale)
        if 2 * max(first, second) >= 2**SUM_SHIFT * output:
            yield None, "its output scale is so much smaller than its inputs' that TFLite aborts the process"


def _bias(
    bias: Tensor | None, data: Collection[Tensor], weights: Tensor | None
) -> Iterator[tuple[Tensor | None, str]]:
    if bias is None:
        return
    units, per_weight, given = (sound(tensor) for tensor in (*data, weights, bias))
    if bias.type != "INT64" or not (units and per_weight and given) or len(given) != len(per_weight):
        yield bias, f"bias '{bias.name}' must be int64, with the scales of its weights"
        return
    expected = [units[0] * scale for scale in per_weight]
    if any(abs(b - e) > BIAS_TOLERANCE * e for b, e in zip(given, expected, strict=True)):
        yield bias, "bias scale is not input scale x weight scale"
