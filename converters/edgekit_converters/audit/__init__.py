"""Reads a finished .tflite back and says everything in it that is not sound int8.

The audit knows nothing of how the model was made: it looks at the bytes that will be shipped. What it finds
is data (`Finding`); `require_int8` makes the refusal of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import chain
from types import MappingProxyType

from edgekit.errors import NotInt8Error
from edgekit_converters.audit import kernels, kinds, scales, wide
from edgekit_converters.audit.findings import RULES, Audit, Finding, Severity
from edgekit_converters.audit.view import View
from edgekit_targets.layers import layer_name
from edgekit_targets.tflite import Graph, read_graph

__all__ = ["LEGACY_UINT8", "RULES", "Audit", "Finding", "Severity", "audit", "layer_name", "require_int8"]

LEGACY_UINT8 = "legacy-uint8"
"""Word for `allow` that accepts models quantized to uint8."""

_SHOWN = 10


def audit(data: bytes | memoryview, allow: Collection[str] = (), int16: Collection[str] = ()) -> Audit:
    """Audits a .tflite: every operator, tensor, input and output of every subgraph.

    Args:
        data: The whole file.
        allow: What may be other than int8, and is then listed under `Audit.exceptions`: names of inputs and
            outputs that hold integers (tensor or signature names), names of custom operators, and
            LEGACY_UINT8.
        int16: Names of the tensors that may be int16, and of biases that may be int64, as the recipe lists them. They
            must still be sound, and no other may be.

    Returns:
        The verdict.

    Raises:
        MalformedModelError: The bytes are no sound .tflite.
    """
    graph = read_graph(data)
    main, words = graph.main, frozenset(allow)
    allowed = frozenset(number for number, names in _friendly_names(graph).items() if names & words)
    found: list[Finding] = []
    for subgraph in graph.subgraphs:
        view = View(graph, subgraph)
        found += sorted(chain(_findings(view), wide.scheme(view, int16)), key=_order)
    integers = {main.tensors[n].name for n in allowed}
    excepted = [f for f in found if _is_allowed(f, words, integers) or _is_wide(f, int16)]
    return Audit(
        findings=tuple(f for f in found if f not in excepted),
        exceptions=_exceptions(excepted),
        operators=MappingProxyType(
            dict(Counter(op.title for sub in graph.subgraphs for op in sub.operators))
        ),
        tensors=main.tensors,
        inputs=tuple(main.tensors[n] for n in main.inputs),
        outputs=tuple(main.tensors[n] for n in main.outputs),
        parameter_bytes=_parameter_bytes(graph),
        size=len(graph.data),
    )


def require_int8(verdict: Audit) -> None:
    """Refuses a model in which the audit found an error.

    Args:
        verdict: Of `audit`. What was allowed by name is no error.

    Raises:
        NotInt8Error: Naming each operator, its layer and the remedy, the first ten at least.
    """
    errors = verdict.errors
    if not errors:
        return
    lines = [f"  {error}\n    {error.fix}" for error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        lines.append(f"  and {len(errors) - _SHOWN} more")
    count = "1 finding" if len(errors) == 1 else f"{len(errors)} findings"
    raise NotInt8Error(
        "\n".join([f"the model is not strictly int8: {count}", *lines]),
        hint="what to change stands below each finding; --outputs NAME,... cuts the model where int8 still holds",
    )


def _findings(view: View) -> Iterator[Finding]:
    return chain(
        kinds.operators(view),
        kinds.tensors(view),
        kinds.shapes(view),
        kinds.integers(view),
        scales.parameters(view),
        scales.weights(view),
        scales.biases(view),
        kernels.multipliers(view),
        kernels.fixed_scales(view),
        kernels.unequal_scales(view),
    )


def _order(finding: Finding) -> tuple[int, str]:
    return (-1 if finding.op_index is None else finding.op_index, finding.rule)


def _is_allowed(finding: Finding, words: Collection[str], integers: Collection[str]) -> bool:
    if finding.rule == "integer-tensor":
        return finding.subgraph == 0 and finding.tensor in integers
    if finding.rule == "custom-operator":
        return finding.opcode in words
    return finding.rule == LEGACY_UINT8 and LEGACY_UINT8 in words


def _is_wide(finding: Finding, int16: Collection[str]) -> bool:
    return finding.rule == "wide-tensor" and finding.tensor in int16


def _exceptions(excepted: Collection[Finding]) -> tuple[str, ...]:
    """Returns one sentence an exception; all of uint8 in one, and all of 16 bits."""
    sentences = [str(f) for f in excepted if f.rule not in (LEGACY_UINT8, "wide-tensor")]
    widened = [f for f in excepted if f.rule == "wide-tensor"]
    sentences += [wide.described(widened)] if widened else []
    legacy = sum(f.rule == LEGACY_UINT8 for f in excepted)
    if legacy:
        sentences.append(f"{legacy} {'operator works' if legacy == 1 else 'operators work'} on uint8 tensors")
    return tuple(sentences)


def _friendly_names(graph: Graph) -> dict[int, set[str]]:
    """Returns what each input and output of the model may be called: tensor name and names in signatures."""
    main = graph.main
    names = {number: {main.tensors[number].name} for number in (*main.inputs, *main.outputs)}
    for signature in graph.signatures:
        if signature.subgraph == 0:
            for name, number in chain(signature.inputs.items(), signature.outputs.items()):
                names.setdefault(number, set()).add(name)
    return names


def _parameter_bytes(graph: Graph) -> int:
    used = {t.buffer for subgraph in graph.subgraphs for t in subgraph.tensors}
    return sum(span[1] for span in (graph.buffers[number] for number in used) if span is not None)
