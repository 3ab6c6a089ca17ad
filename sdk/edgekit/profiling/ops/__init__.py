"""Where the time inside a runtime goes, operator by operator: `profile_ops`.

Two methods measure it. "litert" reads the profiler that LiteRT 2.3.0 has on board. "prefix" works with every runtime:
it times the first 1, 2, ... n operators of the model and takes the differences. Either way the sum is set against the
whole model, timed by itself in the same run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from edgekit.errors import InputError, ProfileError
from edgekit.profiling.record import OpsProfile, OpTime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.backends import Backend, Kernels
    from edgekit_targets.ops import OpView
    from edgekit_targets.tflite import Graph

__all__ = ["Method", "OpTime", "OpsProfile", "profile_ops"]

Method = Literal["auto", "litert", "prefix"]

LEAST_OP_NS = 5_000
"""Models whose operators take less on average are too fast for LiteRT's profiler, which counts in whole microseconds."""

MOST_OFF = 0.03
"""Where the profiler's times and the whole differ by more than this share, they are not of what was asked for: other
kernels ran, or too many of its operators are too fast for it."""


def profile_ops(
    model: bytes,
    *,
    threads: int | None,
    kernels: Kernels,
    backend: Backend,
    method: Method = "auto",
    runs: int = 200,
    inputs: Sequence[NDArray[Any]],
) -> OpsProfile:
    """Measures what every operator of a model takes.

    Args:
        model: A .tflite flatbuffer.
        threads: Threads for one inference; None leaves it to the runtime.
        kernels: Which kernels to run on.
        backend: The runtime.
        method: "litert", "prefix", or "auto": LiteRT's profiler where it is there, the operators take `LEAST_OP_NS`
            or longer on average and their sum is the whole but for `MOST_OFF`; else differences of prefixes, and the
            note says why.
        runs: How often each thing is timed, at most, but never less than about ten times; slow models are timed
            fewer times, and very fast ones run several times each time.
        inputs: An array an input of the model, of its very shape and dtype.

    Raises:
        MalformedModelError: The bytes are not a sound .tflite.
        InputError: The arrays are not those of the model's inputs.
        ProfileError: The model has no operators, or the method that was asked for fails.
        SessionError: The runtime refuses the model.
    """
    from edgekit.profiling.ops import litert, prefixes
    from edgekit_targets.ops import view
    from edgekit_targets.tflite import read_graph

    graph = read_graph(model)
    ops = view(graph)
    _check(graph, inputs)
    if method == "litert":
        litert.require(backend, kernels)
        return litert.profile_litert(graph, ops, threads=threads, kernels=kernels, runs=runs, inputs=inputs)
    notes = []
    if method == "auto":
        try:
            return _by_litert(graph, ops, backend, threads, kernels, runs, inputs)
        except ProfileError as error:
            notes.append(f"{error}.")
    return prefixes.profile_prefixes(
        graph, ops, backend, threads=threads, kernels=kernels, runs=runs, inputs=inputs, notes=notes
    )


def _check(graph: Graph, inputs: Sequence[NDArray[Any]]) -> None:
    """Refuses arrays that are not those of a model's inputs.

    Raises:
        InputError: There are more or fewer of them, or one has another shape or dtype.
    """
    tensors = [graph.main.tensors[number] for number in graph.main.inputs]
    if len(inputs) != len(tensors):
        raise InputError(f"the model has {len(tensors)} inputs, and got {len(inputs)} arrays")
    for number, (tensor, array) in enumerate(zip(tensors, inputs, strict=True)):
        wanted = tensor.type.lower(), tuple(map(abs, tensor.shape))  # an open size is 1
        if (array.dtype.name, array.shape) != wanted:
            raise InputError(
                f"input {number} of the model takes {wanted[0]} of shape {wanted[1]}, "
                f"and got {array.dtype.name} of shape {array.shape}"
            )


def _by_litert(
    graph: Graph,
    ops: Sequence[OpView],
    backend: Backend,
    threads: int | None,
    kernels: Kernels,
    runs: int,
    inputs: Sequence[NDArray[Any]],
) -> OpsProfile:
    """What LiteRT's profiler says, where it can be believed.

    Raises:
        ProfileError: It cannot be used, or not be believed.
    """
    from edgekit.profiling.ops import litert, prefixes
    from edgekit.profiling.ops.answer import INSTEAD

    litert.require(backend, kernels)
    op_ns = prefixes.Bench(graph, backend, threads, kernels, inputs).whole_ns() / len(ops)
    if op_ns < LEAST_OP_NS:
        raise ProfileError(
            f"{litert.COUNTS_IN_US}, too coarse for operators of {op_ns / 1000:,.1f} us on average",
            hint=INSTEAD,
        )
    found = litert.profile_litert(graph, ops, threads=threads, kernels=kernels, runs=runs, inputs=inputs)
    if abs(found.ratio - 1) > MOST_OFF:
        raise ProfileError(
            f"LiteRT's profiler is not believed: its times make {found.ratio:.1%} of the whole",
            hint=INSTEAD,
        )
    return found
