"""Starts the child processes that measure, one configuration each, and brings their answers back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from edgekit import errors
from edgekit.endings import last_words, signal_name
from edgekit.errors import EdgekitError, InvalidManifestError, ProfileError, WorkerCrashedError
from edgekit.profiling.child import Measured, Request

CHILD = "edgekit.profiling.child"


def measure_in_child(request: Request) -> Measured:
    """Measures one configuration in a fresh process.

    Raises:
        EdgekitError: What loading or running the bundle raised there, with its message and hint.
        WorkerCrashedError: The process died.
    """
    try:
        # -P: the working folder is not searched for modules, so that a file beside the user's data cannot stand in.
        done = subprocess.run(
            [sys.executable, "-P", "-m", CHILD],
            input=json.dumps(request.to_json()).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        raise WorkerCrashedError(
            f"the process that measures cannot be started: {sys.executable or 'python'}: {error.strerror}",
            hint="is there memory left for one more process?",
        ) from None
    answer = Path(request.answer)
    if done.returncode != 0 or not answer.is_file():
        raise WorkerCrashedError(
            f"the process that measured {_ending(done.returncode)}{_last_words(done.stdout)}",
            hint="edgekit doctor looks for runtimes and libraries that do not match",
        )
    value = json.loads(answer.read_bytes())
    answer.unlink()
    if "error" in value:
        raise rebuilt(**value["error"])
    try:
        return Measured.from_json(value)
    except InvalidManifestError as error:
        raise ProfileError(f"the process that measured gave a broken answer: {error}") from None


def rebuilt(kind: str, message: str, hint: str | None) -> EdgekitError:
    """An error of another process as the same class here, where it is one of edgekit's plain ones."""
    found: object = getattr(errors, kind, None) if kind in errors.__all__ else None
    if isinstance(found, type) and issubclass(found, EdgekitError) and "__init__" not in vars(found):
        return found(message, hint=hint)
    return ProfileError(message, hint=hint)


def _ending(code: int) -> str:
    if code >= 0:
        return f"failed with exit code {code}"
    return f"was killed by {signal_name(-code)}"


def _last_words(output: bytes) -> str:
    said = last_words(output)
    return f": {said[:200]}" if said else ""
