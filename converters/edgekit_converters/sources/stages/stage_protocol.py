"""How a stage talks: a JSON object a line on stdin, and one a line as answer; arrays and models go through files.

Whatever a framework prints goes to
stderr, so that nothing of it gets between the answers.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Command = Callable[[dict[str, Any]], dict[str, Any]]

WIDTH = 300
"""Characters of another library's message that are passed on."""


class RefusalError(Exception):
    """The model cannot be brought over, and the reason is known.

    Args:
        kind: "unsupported", "code", "source" or "extra".
        message: One line, naming the operator or layer.
        hint: What to do.
    """

    def __init__(self, kind: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.hint = hint


def serve(commands: Mapping[str, Command]) -> None:
    """Answers one request after another until stdin ends.

    Args:
        commands: By the word under "do"; each takes the request and returns what is put under "done".
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # frameworks print to stdout, from C++ too
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer: dict[str, Any] = {"done": commands[request["do"]](request)}
        except RefusalError as refusal:
            answer = {"refused": {"kind": refusal.kind, "message": str(refusal), "hint": refusal.hint}}
        except (Exception, SystemExit) as error:
            answer = {"failed": one_line(error), "traceback": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def write_arrays(path: Path, rows: Mapping[str, list[Any]]) -> None:
    """Writes the answers to all samples, a row a sample."""
    import numpy as np  # every environment has it, this module does without

    stacked: dict[str, Any] = {name: np.stack(values) for name, values in rows.items()}
    np.savez(path, **stacked)


def one_line(error: BaseException) -> str:
    """The type of an exception and the first line that it says."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {said}"[:WIDTH] if said else type(error).__name__
