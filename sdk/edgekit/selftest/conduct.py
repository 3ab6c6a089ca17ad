"""Conducts a self-test: chooses, starts the child, judges its answers, and says what went wrong with it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgekit import errors
from edgekit.endings import signal_name
from edgekit.errors import EdgekitError, SelfTestError
from edgekit.selftest.planning import Planned, planned
from edgekit.selftest.report import SelfTestReport

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.manifest import Manifest
    from edgekit.selftest.process import Ended
    from edgekit.trust import VerifiedBundle

CHILD = "edgekit.selftest.child"
TIMEOUT_S = 60.0

_HEADER = 1 << 16  # bytes of the line of JSON before the outputs
_NOT_THIS_MODEL = "do not use the bundle on this machine; edgekit doctor looks for runtimes that do not match"


def self_test(
    bundle: VerifiedBundle,
    *,
    device: str = "auto",
    threads: int | None = None,
    fallback: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> SelfTestReport:
    """Runs the golden inputs of a bundle in a sandboxed child process, and compares its answers with the record.

    A bundle without golden inputs has nothing to test: the report says so, and it is no error.

    Args:
        bundle: From `edgekit.trust`.
        device: As `edgekit.load` takes it.
        threads: For one inference; None leaves it to the runtime.
        fallback: As `edgekit.load` takes it.
        timeout_s: After so many seconds the child is killed.

    Raises:
        SelfTestError: The child crashed, hung or ran out of memory, or an answer is not the one on record.
        MalformedModelError: The firewall refuses the model.
        EdgekitError: What `edgekit.load` raises where nothing can run it.
    """
    from edgekit.selftest.golden import compare, expected, read_golden

    golden = read_golden(bundle.members, bundle.manifest)
    plan = planned(bundle, device=device, fallback=fallback)
    if golden is None:
        return SelfTestReport(False, 0, plan.runtime, plan.kernels, plan.device, False, 0, 0, (), 0.0)
    ended = _run_child(bundle, plan, threads, timeout_s, golden.count)
    said, outputs = _read_answer(ended, bundle.manifest, golden.count, timeout_s)
    runtime, kernels = str(said.get("runtime")), str(said.get("kernels"))
    if (runtime, kernels) != (plan.runtime, plan.kernels):
        raise SelfTestError(
            f"the self-test ran on {runtime} ({kernels}), and the session would run on {plan.runtime} ({plan.kernels})",
            hint="let the application and its child processes find the same runtime: PYTHONPATH, a virtual environment",
        )
    wanted = expected(golden, bundle.manifest, runtime=runtime, kernels=kernels, device=plan.device)
    largest = compare(wanted, outputs, [spec.name for spec in bundle.manifest.outputs], runtime)
    return SelfTestReport(
        tested=True,
        inputs=golden.count,
        runtime=runtime,
        kernels=kernels,
        device=plan.device,
        exact=wanted.exact,
        tolerance=wanted.tolerance,
        largest=largest,
        sandbox=_layers(said),
        ms=ended.ms,
    )


def _run_child(
    bundle: VerifiedBundle, plan: Planned, threads: int | None, timeout_s: float, count: int
) -> Ended:
    from edgekit.selftest.process import run
    from edgekit.selftest.sandbox import environment, rules_for, search_path

    rules = rules_for(
        plan.device,
        runtime=plan.runtime.partition(" ")[0],
        threads=threads,
        bundle_bytes=len(bundle.data),
        timeout_s=timeout_s,
    )
    request = {"device": plan.device, "threads": threads, "rules": rules.to_json()}
    try:
        return run(
            [sys.executable, "-P", "-m", CHILD, json.dumps(request)],
            bundle.data,
            environment=environment(search_path()),
            timeout_s=timeout_s,
            most=_HEADER + sum(_sizes(bundle.manifest, count)),
        )
    except OSError as error:
        raise SelfTestError(
            f"the self-test cannot start a process: {error}",
            hint="is the machine out of memory or processes?",
        ) from error


def _sizes(manifest: Manifest, count: int) -> list[int]:
    """Bytes of each output of all golden inputs."""
    import numpy as np

    return [count * math.prod(s.shape[1:]) * np.dtype(s.dtype).itemsize for s in manifest.outputs]


def _read_answer(
    ended: Ended, manifest: Manifest, count: int, timeout_s: float
) -> tuple[Mapping[str, object], list[NDArray[Any]]]:
    """What the child said and its outputs, shaped as the manifest has them.

    Raises:
        SelfTestError: It did not come through.
        EdgekitError: What it says of the bundle.
    """
    import numpy as np

    if ended.code != 0 or ended.overflow:
        raise _explain(ended, timeout_s)
    line, newline, rest = ended.said.partition(b"\n")
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        said = None
    if not newline or not isinstance(said, dict):
        raise _explain(ended, timeout_s)
    if isinstance(said.get("error"), dict):
        raise _rebuilt(said["error"])
    sizes = _sizes(manifest, count)
    if len(rest) != sum(sizes):
        raise _explain(ended, timeout_s)
    outputs, start = [], 0
    for spec, size in zip(manifest.outputs, sizes, strict=True):
        array = np.frombuffer(
            rest, dtype=spec.dtype, offset=start, count=size // np.dtype(spec.dtype).itemsize
        )
        outputs.append(array.reshape(count, *spec.shape[1:]))
        start += size
    return said, outputs


def _layers(said: Mapping[str, object]) -> tuple[str, ...]:
    layers = said.get("sandbox")
    return tuple(map(str, layers)) if isinstance(layers, list) else ()


def _rebuilt(error: Mapping[str, object]) -> EdgekitError:
    """An error of the child as the same class here, where it is one of edgekit's plain ones."""
    from edgekit.console import printable

    kind, message, hint = str(error.get("kind")), printable(str(error.get("message"))), error.get("hint")
    if kind == "MemoryError":
        return _out_of_memory()
    found: object = getattr(errors, kind, None) if kind in errors.__all__ else None
    if not (isinstance(found, type) and issubclass(found, EdgekitError) and "__init__" not in vars(found)):
        found = SelfTestError
    return found(message, hint=printable(hint) if isinstance(hint, str) else None)


def _out_of_memory() -> SelfTestError:
    return SelfTestError(
        "the self-test ran out of memory", hint="the model needs more memory than it may have on this machine"
    )


def _explain(ended: Ended, timeout_s: float) -> SelfTestError:
    """An error for a child that did not come through."""
    from edgekit.console import printable

    words = [
        printable(line.strip())
        for line in ended.words.decode("utf-8", "replace").splitlines()
        if line.strip()
    ]
    last = f": {words[-1][:200]}" if words else ""
    if ended.overflow:
        return SelfTestError("the self-test's process said more than it was asked for", hint=_NOT_THIS_MODEL)
    if ended.code is None:
        return SelfTestError(
            f"the self-test did not end within {timeout_s:g} s and was killed",
            hint=f"the model hangs here, or the machine is slow: allow it more time; {_NOT_THIS_MODEL}",
        )
    if any("bad_alloc" in word or "MemoryError" in word for word in words[-3:]):
        return _out_of_memory()
    if ended.code < 0:
        return SelfTestError(
            f"the runtime crashed on the golden inputs ({_signal(-ended.code)}){last}", hint=_NOT_THIS_MODEL
        )
    return SelfTestError(f"the self-test failed with exit code {ended.code}{last}", hint=_NOT_THIS_MODEL)


def _signal(number: int) -> str:
    name = signal_name(number)
    reasons = {
        "SIGXCPU": "too much processor time",
        "SIGKILL": "killed, perhaps because the machine ran out of memory",
        "SIGXFSZ": "it tried to write a file",
    }
    return f"{name}: {reasons[name]}" if name in reasons else name
