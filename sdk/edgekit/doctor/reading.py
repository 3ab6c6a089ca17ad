"""Reads the files that a machine describes itself in; what cannot be read is None."""

from __future__ import annotations

from pathlib import Path

_LARGEST = 64 << 20  # bytes; dpkg's list of packages has 5 MB on a desktop


def read_text(path: Path) -> str | None:
    """A file as text, None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return None
