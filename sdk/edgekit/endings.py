"""How a child process ended, in words: the signal's name, and the last thing that it said."""

from __future__ import annotations

import signal


def signal_name(number: int) -> str:
    """Such as "SIGILL"; "signal 40" for those without a name.

    Args:
        number: What ended a process: its exit code, negated.
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_words(output: bytes) -> str:
    """The last line that is not blank; empty where there is none.

    Args:
        output: What a process wrote, in whatever encoding.
    """
    lines = output.decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
