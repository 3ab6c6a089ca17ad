"""Runs an installed tool and waits for it, whatever it does."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import CompilerError

_MOST_OUTPUT = 16 << 20  # bytes that are read of what a tool prints; logs have some kilobytes
_TAIL_LINES = 3
_TAIL_WIDTH = 300


@dataclass(frozen=True, slots=True)
class Finished:
    """A tool that has ended.

    Attributes:
        code: Its exit status; negative for the signal that ended it.
        output: What it printed, both streams together.
    """

    code: int
    output: str

    @property
    def last_words(self) -> str:
        """The last lines that say something, on one line, printable."""
        lines = [line.strip() for line in self.output.splitlines() if re.search(r"\w", line)]
        text = " / ".join(lines[-_TAIL_LINES:])
        return "".join(c if c.isprintable() else "?" for c in text)[-_TAIL_WIDTH:] or "it printed nothing"


def run_tool(command: Sequence[str | Path], *, timeout_s: float, folder: Path) -> Finished:
    """Runs a tool to its end.

    Args:
        command: The executable and its arguments.
        timeout_s: After so many seconds it is ended, with all that it started.
        folder: Where it runs.

    Raises:
        CompilerError: It cannot be started, or takes longer.
    """
    name = Path(command[0]).name
    # Output goes to a file: a pipe would stay open as long as anything that the tool started holds it.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise CompilerError(
                f"{name} cannot be started: {error.strerror or error}",
                hint=f"try it yourself: {command[0]} --version",
            ) from None
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise CompilerError(
                f"{name} did not end within {timeout_s:g} s and was stopped",
                hint="give it more time, or a model with smaller activations: a lower input resolution helps most",
            ) from None
        finally:
            _end(process)
        output.seek(0)
        return Finished(code, output.read(_MOST_OUTPUT).decode("utf-8", "replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends whatever is left of a tool and of what it started; it has a process group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
