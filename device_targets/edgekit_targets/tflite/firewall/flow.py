"""The order of the operators: each tensor is fed, constant or computed once, before it is read."""

from __future__ import annotations

from edgekit_targets.errors import MalformedModelError
from edgekit_targets.tflite.firewall.call import Call, Known
from edgekit_targets.tflite.firewall.operators import MOST_OPERANDS, check_operator
from edgekit_targets.tflite.graph import Graph
from edgekit_targets.tflite.wide import WIDE_OPERATORS

MOST_OUTPUTS = 1024
"""Inputs or outputs of a model."""


def check_flow(graph: Graph, custom_ops: frozenset[str], *, executed: bool = True) -> None:
    """Checks all operators in their order.

    Args:
        graph: The file; its tensors are checked.
        custom_ops: Names of the custom operators that may occur.
        executed: Whether a runtime will compute the outputs, so that something in the model must.

    Raises:
        MalformedModelError: An operator may not occur or breaks its rule, or the order is wrong.
    """
    main = graph.main
    _check_ends(graph)
    constants = {
        tensor.index
        for tensor in main.tensors
        if graph.buffers[tensor.buffer] is not None or 0 in tensor.shape
    }
    ready = constants | set(main.inputs)
    known = Known()
    for operator in main.operators:
        call = Call(graph, operator, known)
        if operator.custom_code is not None:
            _check_custom(call, custom_ops)
        else:
            _check_read(call, ready)
            _check_scales(call)
            _check_wide(call)
            check_operator(call)
        for tensor in call.outputs:
            if tensor.index in ready:
                kind = "a constant" if tensor.index in constants else "an input, or computed before"
                call.fail(f"it writes '{tensor.name[:80]}', which is {kind}")
            ready.add(tensor.index)
    missing = [number for number in main.outputs if number not in ready]
    if missing and (executed or main.operators):
        name = main.tensors[missing[0]].name[:80]
        raise MalformedModelError(f"nothing computes the output '{name}'")


def _check_ends(graph: Graph) -> None:
    main = graph.main
    if not main.inputs or not main.outputs or max(len(main.inputs), len(main.outputs)) > MOST_OUTPUTS:
        raise MalformedModelError(f"it has {len(main.inputs)} inputs and {len(main.outputs)} outputs")
    if len(set(main.inputs)) != len(main.inputs):
        raise MalformedModelError("a tensor is an input twice")
    for number in main.inputs:
        if graph.buffers[main.tensors[number].buffer] is not None:
            raise MalformedModelError(f"the input '{main.tensors[number].name[:80]}' is a constant")


def _check_read(call: Call, ready: set[int]) -> None:
    for tensor in call.inputs:
        if tensor is not None and tensor.index not in ready:
            call.fail(f"it reads '{tensor.name[:80]}' before anything computes it")


def _check_scales(call: Call) -> None:
    """Requires a scale of all 8-bit tensors, without which kernels read what is not there."""
    for tensor in (*call.inputs, *call.outputs):
        if tensor is not None and tensor.type in ("INT8", "UINT8"):
            quantization = tensor.quantization
            if quantization is None or not quantization.scale:
                call.fail(f"'{tensor.name[:80]}' is {tensor.type.lower()} without a scale")


def _check_wide(call: Call) -> None:
    """Requires what kernels for 16-bit activations take as they find it; int16 occurs in no other operator.

    That the other activations are int16 too is for the operators' own rules.
    """
    if call.operator.opcode == "TOPK_V2":
        return  # its places may be int16, and are no quantities
    for tensor in (*call.inputs, *call.outputs):
        if tensor is None or tensor.type != "INT16":
            continue
        if call.operator.opcode not in WIDE_OPERATORS:
            call.fail(f"'{tensor.name[:80]}' is int16, for which it has no kernel that is known to be sound")
        if tensor.quantization is None or len(tensor.quantization.scale) != 1:
            call.fail(f"'{tensor.name[:80]}' is int16, and must have one scale")


def _check_custom(call: Call, custom_ops: frozenset[str]) -> None:
    """Checks what can be checked of an operator whose content only its vendor's runtime knows.

    It may read tensors that nothing computes: Vela's scratch memory is one.
    """
    name = call.operator.custom_code
    if name not in custom_ops:
        allowed = f"only {', '.join(sorted(custom_ops))}" if custom_ops else "none"
        call.fail(f"a custom operator, and {allowed} may occur here")
    call.require(call.operator.version == 1, f"version {call.operator.version} is not known")
    call.require(
        0 < len(call.outputs) <= MOST_OPERANDS and len(call.inputs) <= MOST_OPERANDS,
        f"it has {len(call.inputs)} inputs and {len(call.outputs)} outputs",
    )
    call.require(None not in call.inputs, "an input is left out")
