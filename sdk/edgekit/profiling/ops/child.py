"""The child process of the method "litert": reads a request on stdin, measures, and answers with JSON on stdout.

    python -m edgekit.profiling.ops.child

The request is a line of JSON and then the bytes of the model, of the model cut down to no operator, and of each
input. Everything that LiteRT says goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import IO, NamedTuple

import numpy as np

from edgekit.backends import Interpreter, Kernels
from edgekit.backends.litert import LiteRtBackend
from edgekit.errors import EdgekitError
from edgekit.profiling.ops.answer import Answer
from edgekit.profiling.ops.litert_c import LiteRtCError, ProfiledModel

BLOCK = 5
"""Calls of one kind in a row; a block of each kind makes a round."""

LEAST_ROUNDS = 3


class Request(NamedTuple):
    """What to measure.

    Attributes:
        threads: Threads for one inference.
        kernels: Which kernels to run on.
        runs: Calls of each kind, at most.
        budget_s: After so many seconds no new round begins, once there are `LEAST_ROUNDS`.
        sizes: Bytes of the model, of its empty cut, and of each input.
    """

    threads: int
    kernels: Kernels
    runs: int
    budget_s: float
    sizes: list[int]


@dataclass(slots=True)
class _Runs:
    """What profiled runs said so far."""

    events: list[tuple[int, str, int]] = field(default_factory=list)
    elapsed_us: list[tuple[int, ...]] = field(default_factory=list)


def measure(request: Request, model: bytes, empty: bytes, inputs: Sequence[bytes]) -> Answer:
    """Times the whole model, a call without operators, and every operator, in turn.

    Raises:
        LiteRtCError: LiteRT refuses something, or its runs differ from one another.
        EdgekitError: The model cannot be opened.
    """
    backend = LiteRtBackend()
    whole = backend.open(model, threads=request.threads, kernels=request.kernels)
    call = backend.open(empty, threads=request.threads, kernels=request.kernels)
    for tensor, content in zip(whole.inputs, inputs, strict=True):
        whole.set_input(tensor.index, np.frombuffer(content, tensor.dtype).reshape(tensor.shape))
    profiled = ProfiledModel(model, request.threads, request.kernels, inputs)
    whole_ns: list[int] = []
    call_ns: list[int] = []
    found = _Runs()
    ends = perf_counter_ns() + int(request.budget_s * 1e9)
    for number in range(max(LEAST_ROUNDS, request.runs // BLOCK)):
        if number >= LEAST_ROUNDS and perf_counter_ns() > ends:
            break
        whole_ns += _calls(whole)
        call_ns += _calls(call)
        _add_profiled(found, profiled)
    return Answer(tuple(whole_ns), tuple(call_ns), tuple(found.events), tuple(found.elapsed_us))


def _calls(interpreter: Interpreter) -> list[int]:
    """Times a block of calls, after one that fills the caches."""
    interpreter.invoke()
    taken = []
    for _ in range(BLOCK):
        started = perf_counter_ns()
        interpreter.invoke()
        taken.append(perf_counter_ns() - started)
    return taken


def _add_profiled(found: _Runs, profiled: ProfiledModel) -> None:
    """Profiles a block of runs.

    Raises:
        LiteRtCError: They differ from one another, or from those before.
    """
    events = profiled.profile(BLOCK)
    length, rest = divmod(len(events), BLOCK)
    if rest or not length:
        raise LiteRtCError(f"{BLOCK} runs gave {len(events)} events")
    for start in range(0, len(events), length):
        run = events[start : start + length]
        keys = [(event.kind, event.name, event.node) for event in run]
        found.events = found.events or keys
        if keys != found.events:
            raise LiteRtCError("two runs of the model gave different events")
        found.elapsed_us.append(tuple(event.elapsed_us for event in run))


def main() -> None:
    """Serves one request."""
    # Only the answer may reach the parent's pipe, whatever libraries print.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    source: IO[bytes] = sys.stdin.buffer
    request = Request(**json.loads(source.readline()))
    model, empty, *inputs = (source.read(size) for size in request.sizes)
    try:
        answer = measure(request, model, empty, inputs).to_json()
    except (LiteRtCError, EdgekitError) as error:
        answer = {"error": str(error)}
    with answers:
        json.dump(answer, answers)


if __name__ == "__main__":
    main()
