"""The firewall: what a .tflite must satisfy before a runtime may see it.

TFLite runtimes trust their input: of 3,600 models that were sound flatbuffers with something wrong in them, 50 ended
the process. The firewall refuses what is no int8 model as edgekit's converter makes it: a sound flatbuffer without
hidden bytes, known operators on static shapes that fit together, sound scales, tensors computed in order. It needs no
runtime and no numpy, and says what is wrong in one sentence. It does not make an untrusted model safe to run: that is
what signatures are for.
"""

from __future__ import annotations

from edgekit_targets.errors import MalformedModelError
from edgekit_targets.tflite.firewall.flow import check_flow
from edgekit_targets.tflite.firewall.structure import check_structure
from edgekit_targets.tflite.firewall.tensors import check_buffers, check_signatures, check_tensors
from edgekit_targets.tflite.reader import read_graph

__all__ = ["check_model"]


def check_model(
    model: bytes | memoryview, *, custom_ops: frozenset[str] = frozenset(), executed: bool = True
) -> None:
    """Checks a model as a whole.

    Args:
        model: The .tflite file; it must stay unchanged until the runtime has it.
        custom_ops: Names of the custom operators that may occur, such as "edgetpu-custom-op".
        executed: Whether a runtime will run it; else a stand-in without operators is accepted too.

    Raises:
        MalformedModelError: It is not a model that may be run; the message says where and why.
    """
    try:
        view = memoryview(model).cast("B").toreadonly()
    except TypeError:
        raise MalformedModelError("not a contiguous run of bytes") from None
    try:
        _check(view, custom_ops, executed)
    except MalformedModelError as error:
        hint = error.hint or "it is not as edgekit convert made it: take it from its source again"
        raise MalformedModelError(f"refused before it reaches the runtime: {error}", hint=hint) from None


def _check(view: memoryview, custom_ops: frozenset[str], executed: bool) -> None:
    check_structure(view)
    graph = read_graph(view)
    if len(graph.subgraphs) != 1:
        raise MalformedModelError(f"it has {len(graph.subgraphs)} subgraphs, and int8 models have one")
    check_tensors(graph)
    check_buffers(graph, orphans=bool(custom_ops))
    check_signatures(graph)
    check_flow(graph, custom_ops, executed=executed)
