"""Times of operators from LiteRT's own profiler, measured in a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit import strictjson
from edgekit.backends.litert import PACKAGE
from edgekit.console import printable
from edgekit.endings import last_words, signal_name
from edgekit.errors import BundleError, InvalidManifestError, ProfileError
from edgekit.profiling.ops.accounts import account, quietest
from edgekit.profiling.ops.answer import INSTEAD, Answer
from edgekit.profiling.ops.cutting import Cutter
from edgekit.profiling.ops.events import assign, operator_times
from edgekit.profiling.ops.litert_c import KERNEL_MODES, VERSION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.backends import Backend, Kernels
    from edgekit.profiling.record import OpsProfile
    from edgekit_targets.ops import OpView
    from edgekit_targets.tflite import Graph

BUDGET_S = 20.0
TIMEOUT_S = BUDGET_S + 100.0
"""The first rounds may take longer than the budget; a child that still has not answered by then hangs."""

HALF = 0.5
"""The share of the calls that counts: the quietest, as of the profiled runs."""

COUNTS_IN_US = "LiteRT's profiler counts in whole microseconds"


def require(backend: Backend, kernels: Kernels) -> None:
    """Refuses a runtime, or kernels, that this method cannot be used with.

    Raises:
        ProfileError: It cannot.
    """
    if backend.name != PACKAGE or backend.version != VERSION:
        why = f"it is that of {PACKAGE} {VERSION}, and the runtime is {backend.name} {backend.version}"
    elif kernels not in KERNEL_MODES:
        why = f"it cannot run the {kernels} kernels"
    elif not sys.executable:
        why = "it needs a Python of its own, and sys.executable names none"
    else:
        return
    raise ProfileError(f"LiteRT's own profiler cannot be used: {why}", hint=INSTEAD)


def profile_litert(
    graph: Graph,
    ops: Sequence[OpView],
    *,
    threads: int | None,
    kernels: Kernels,
    runs: int,
    inputs: Sequence[NDArray[Any]],
) -> OpsProfile:
    """Measures every operator of a model with LiteRT's profiler.

    Args:
        graph: The model.
        ops: Its operators.
        threads: Threads for one inference; None is LiteRT's default, 1.
        kernels: Which kernels to run on.
        runs: How many runs are profiled, at most.
        inputs: An array an input, of its very shape and dtype.

    Raises:
        ProfileError: The child process dies or hangs, LiteRT refuses the model, or what it says makes no sense.
    """
    parts = [bytes(graph.data), Cutter(graph).prefix(0), *(array.tobytes() for array in inputs)]
    request = {
        "threads": threads or 1,
        "kernels": kernels,
        "runs": runs,
        "budget_s": BUDGET_S,
        "sizes": [len(part) for part in parts],
    }
    message = json.dumps(request).encode() + b"\n" + b"".join(parts)
    return evaluate(ops, ask([sys.executable, "-P", "-m", "edgekit.profiling.ops.child"], message))


def evaluate(ops: Sequence[OpView], answer: Answer) -> OpsProfile:
    """Sums up what the child measured.

    Args:
        ops: The operators of the model.
        answer: Of the child.

    Raises:
        ProfileError: The events do not belong to the model.
    """
    assigned = assign(ops, answer.events)
    times_ns = operator_times(answer.events, assigned.ops, answer.elapsed_us, len(ops))
    notes = [f"{COUNTS_IN_US}, {len(answer.elapsed_us):,} runs: what takes about one or less is rounded."]
    if assigned.fused:
        names = ", ".join(f"{number} ({ops[number].title})" for number in assigned.fused)
        notes.append(f"Without a time of their own, done inside another operator: {names}.")
    if assigned.doubtful:
        notes.append(
            f"{assigned.doubtful} of XNNPACK's operators may stand with a neighbour of the right one."
        )
    return account(
        "litert",
        ops,
        times_ns,
        assigned.delegates,
        call_ns=quietest(answer.call_ns, HALF),
        whole_ns=quietest(answer.whole_ns, HALF),
        notes=notes,
    )


def ask(command: Sequence[str], message: bytes, timeout_s: float = TIMEOUT_S) -> Answer:
    """Runs a child process that answers a message on its stdin with the JSON of an `Answer` on its stdout.

    Args:
        command: The program and its arguments; a Python finds what this one finds.
        message: What it reads.
        timeout_s: When it is ended.

    Raises:
        ProfileError: It cannot be started, dies, hangs, or answers with an error or with something else.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(
            command, input=message, capture_output=True, timeout=timeout_s, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise ProfileError(
            f"LiteRT's profiler does not answer within {timeout_s:g} s", hint=INSTEAD
        ) from None
    except OSError as error:
        raise ProfileError(f"LiteRT's profiler cannot be started: {error}", hint=INSTEAD) from None
    if done.returncode:
        raise ProfileError(
            f"LiteRT's profiler {_death(done.returncode)}{_last_words(done.stderr)}", hint=INSTEAD
        )
    return read(done.stdout)


def read(answer: bytes) -> Answer:
    """Reads what the child wrote.

    Raises:
        ProfileError: An error that it tells of, or no sound answer.
    """
    if not answer:
        raise ProfileError("LiteRT's profiler gives no answer", hint=INSTEAD)
    try:
        value = strictjson.parse(answer, "what it says")
        if isinstance(value, dict) and value.keys() == {"error"}:
            raise ProfileError(f"LiteRT's profiler: {printable(str(value['error']))}", hint=INSTEAD)
        return Answer.from_json(value)
    except (BundleError, InvalidManifestError) as error:
        raise ProfileError(f"LiteRT's profiler gives a broken answer: {error}", hint=INSTEAD) from None


def _death(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    return f"died of {signal_name(-code)}"


def _last_words(stderr: bytes) -> str:
    said = last_words(stderr)
    return f": {printable(said[:200])}" if said else ""
