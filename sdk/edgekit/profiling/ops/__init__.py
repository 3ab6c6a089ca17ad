"""Where the time inside a runtime goes, operator by operator: `profile_ops`.

Two methods measure it. "litert" reads the profiler that LiteRT 2.3.0 has on board. "prefix" works with every runtime:
it times the first 1, 2, ... n operators of the model and takes the differences. Either way the sum is set against the
whole model, timed by itself in the same run.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Literal

from edgekit.errors import ProfileError
from edgekit.profiling.record import OpsProfile, OpTime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.backends import Backend, Kernels

__all__ = ["Method", "OpTime", "OpsProfile", "profile_ops"]

Method = Literal["auto", "litert", "prefix"]

LEAST_NS = 500_000
"""Models that are faster are too fast for LiteRT's profiler, which counts in whole microseconds."""

MOST_OFF = 0.1
"""Where its times and the whole differ by more than this share, other kernels ran than those that were asked for."""


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
        method: "litert", "prefix", or "auto": LiteRT's profiler where it is there and works and the model takes
            `LEAST_NS` or longer, else differences of prefixes; the note says why.
        runs: How often each thing is timed, at most; slow models are timed fewer times.
        inputs: An array an input of the model, of its very shape and dtype.

    Raises:
        MalformedModelError: The bytes are not a sound .tflite.
        ProfileError: The model has no operators, or the method that was asked for fails.
        SessionError: The runtime refuses the model.
    """
    from edgekit.profiling.ops import litert, prefixes
    from edgekit_targets.ops import view
    from edgekit_targets.tflite import read_graph

    graph = read_graph(model)
    ops = view(graph)
    notes = []
    if method != "prefix":
        try:
            litert.require(backend, kernels)
            if method == "litert" or _is_slow(model, backend, threads, kernels, inputs):
                found = litert.profile_litert(
                    graph, ops, threads=threads, kernels=kernels, runs=runs, inputs=inputs
                )
                if method == "litert" or abs(found.ratio - 1) <= MOST_OFF:
                    return found
                notes.append(f"Not by LiteRT's own profiler: its times make {found.ratio:.0%} of the whole.")
        except ProfileError as error:
            if method == "litert":
                raise
            notes.append(f"{error}.")
    return prefixes.profile_prefixes(
        graph, ops, backend, threads=threads, kernels=kernels, runs=runs, inputs=inputs, notes=notes
    )


def _is_slow(
    model: bytes, backend: Backend, threads: int | None, kernels: Kernels, inputs: Sequence[NDArray[Any]]
) -> bool:
    """Whether a model takes `LEAST_NS` or longer."""
    interpreter = backend.open(model, threads=threads, kernels=kernels)
    for tensor, array in zip(interpreter.inputs, inputs, strict=True):
        interpreter.set_input(tensor.index, array)
    interpreter.invoke()
    taken = []
    for _ in range(5):
        started = perf_counter_ns()
        interpreter.invoke()
        taken.append(perf_counter_ns() - started)
    return median(taken) >= LEAST_NS
