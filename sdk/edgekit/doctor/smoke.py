"""Runs a tiny int8 model on the best runtime that is installed, in a child process that may well die of it.

A runtime that was built for a better processor does not raise an error, it ends the process with SIGILL.
``python -m edgekit.doctor.smoke`` is that child.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from dataclasses import dataclass

from edgekit.backends.tinymodel import TinyTensor, write_model
from edgekit.endings import signal_name

TIMEOUT_S = 60.0
"""TensorFlow takes 4 s to import on a workstation, and ten times that from the memory card of a small board."""

INPUT = (1, 2, 3, 4)
EXPECTED = [10, 98]
"""What the tiny model answers to INPUT: the sum, and the alternating sum plus 100."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """How the tiny model fared.

    Attributes:
        runtime: Name and version of the runtime that ran it; empty where there is none.
        kernels: Those that it ran on; empty where it did not.
        error: Why it did not run, or None.
        hint: The remedy that came with the error, or None.
        signal: The signal that ended the child, such as "SIGILL", or None.
    """

    runtime: str
    kernels: str
    error: str | None
    hint: str | None
    signal: str | None = None

    @property
    def passed(self) -> bool:
        """Whether this machine can run a model."""
        return self.error is None


def tiny_model() -> bytes:
    """One FULLY_CONNECTED in int8, all scales 1: real values are the integers themselves."""
    weights = struct.pack("8b", 1, 1, 1, 1, 1, -1, 1, -1)
    tensors = [
        TinyTensor("x", (1, 4), "int8", 1.0),
        TinyTensor("weights", (2, 4), "int8", 1.0, 0, weights),
        TinyTensor("bias", (2,), "int32", 1.0, 0, struct.pack("<2i", 0, 100)),
        TinyTensor("y", (1, 2), "int8", 1.0),
    ]
    return write_model(tensors, [0], [3], description="edgekit doctor", dense=True)


def run_smoke(timeout_s: float = TIMEOUT_S) -> Smoke:
    """Run the child to its end, whatever that is.

    Args:
        timeout_s: After so many seconds it is ended.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "edgekit.doctor.smoke"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            env=environment,
            timeout=timeout_s,
            check=False,
            encoding="utf-8",
            errors="replace",  # the last words of a runtime that dies may be anything
        )
    except subprocess.TimeoutExpired:
        return Smoke("", "", f"a tiny model did not run within {timeout_s:g} s", None)
    except OSError as error:
        return Smoke("", "", f"no child process can be started: {error}", None)
    return read_smoke(done.returncode, done.stdout, done.stderr)


def read_smoke(code: int, said: str, words: str) -> Smoke:
    """Read what the child left behind.

    Args:
        code: Its exit code, negative for a signal.
        said: Its stdout: one JSON object a line, as far as it came.
        words: Its stderr.
    """
    entries: dict[str, object] = {}
    for line in said.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries |= entry
    runtime, kernels = str(entries.get("runtime", "")), str(entries.get("kernels", ""))
    error, hint = entries.get("error"), entries.get("hint")
    if error is not None:
        return Smoke(runtime, kernels, str(error), None if hint is None else str(hint))
    if code < 0:
        name = signal_name(-code)
        return Smoke(
            runtime, kernels, f"{runtime or 'the runtime'} ended the process with {name}", None, name
        )
    if code or entries.get("answer") != EXPECTED:
        last = (words.strip().splitlines() or ["no word"])[-1]
        got = f"it answered {entries['answer']}" if "answer" in entries else last
        return Smoke(
            runtime, kernels, f"{runtime or 'the runtime'} failed on a model of one operator: {got}", None
        )
    return Smoke(runtime, kernels, None, None)


def main() -> int:
    """What the child does: say which runtime, then try it."""
    from edgekit.errors import EdgekitError

    try:
        _try_runtime()
    except EdgekitError as error:
        print(json.dumps({"error": str(error), "hint": error.hint}), flush=True)
        return 1
    return 0


def _try_runtime() -> None:
    from edgekit.backends import find_backend

    backend = find_backend()
    print(json.dumps({"runtime": f"{backend.name} {backend.version}"}), flush=True)
    interpreter = backend.open(tiny_model(), threads=1)
    import numpy as np

    interpreter.set_input(interpreter.inputs[0].index, np.array([INPUT], np.int8))
    interpreter.invoke()
    answer = interpreter.output(interpreter.outputs[0].index)[0].tolist()
    print(json.dumps({"answer": answer, "kernels": backend.kernels}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
