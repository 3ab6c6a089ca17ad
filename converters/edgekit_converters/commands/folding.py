"""Long lines on a terminal."""

from __future__ import annotations

import shutil
import textwrap

from edgekit import console

MOST_WIDTH = 100
"""Wider lines are hard to read."""


def folded(label: str, text: str) -> str:
    """A label and text beside it, folded to the terminal's width."""
    width = min(shutil.get_terminal_size((MOST_WIDTH, 24)).columns, MOST_WIDTH)
    return textwrap.fill(
        console.printable(text),
        max(width, len(label) + 30),
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
