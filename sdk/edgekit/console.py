"""What edgekit writes to a terminal: results on stdout; status, progress and errors on stderr."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Protocol

import click

QUIET = "edgekit.quiet"  # the key under which `edgekit --quiet` leaves its word in click's Context.meta

_NUMBER = re.compile(r"[-+±]?\d[\d.,]*(e[-+]?\d+)?( ?(%|\D{1,3}))?", re.ASCII | re.IGNORECASE)


class Step(Protocol):
    """Advances a running progress display."""

    def __call__(self, n: int = 1, /) -> None:
        """Report that ``n`` further units of work are done."""


def print_json(value: object) -> None:
    """Print one JSON document to stdout.

    Args:
        value: JSON types, and also mappings, paths, numpy scalars and arrays.

    Raises:
        ValueError: A number is NaN or infinite, which JSON cannot express: the caller must say None.
        TypeError: Something in ``value`` has no JSON form.
    """
    click.echo(json.dumps(value, indent=2, allow_nan=False, default=_as_json))


def _as_json(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, PurePath):
        return str(value)
    to_list = getattr(value, "tolist", None)  # numpy, without importing it
    if callable(to_list):
        plain: object = to_list()
        return plain
    raise TypeError(f"{type(value).__name__} has no JSON form")


def printable(text: str) -> str:
    """Escape what a terminal would obey rather than show.

    Labels, tensor and file names come out of files that may be hostile, and undecodable file names hold
    surrogates that stdout cannot encode.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """Lay out rows as plain aligned text.

    Args:
        rows: Cells: text, numbers (floats are shown with 4 significant digits) or None for an empty cell.
        headers: One word or two a column.

    Returns:
        The lines joined by newlines, with no newline at the end. A column of numbers (with or without a
        unit, as in "55.0 %") is aligned to the right.
    """
    body = [[_cell(value) for value in row] for row in rows]
    lines = [list(headers), *body]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(headers))]
    right = [
        any(row[i] for row in body) and all(_is_number(row[i]) for row in body) for i in range(len(headers))
    ]
    return "\n".join(
        "  ".join(_pad(line[i], widths[i], right[i]) for i in range(len(headers))).rstrip() for line in lines
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(str(value))


def _is_number(cell: str) -> bool:
    return cell in {"", "-"} or _NUMBER.fullmatch(cell) is not None


def _width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters take two, combining ones none."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _pad(text: str, width: int, right: bool) -> str:
    blank = " " * (width - _width(text))
    return blank + text if right else text + blank


def is_quiet() -> bool:
    """Whether the running command was started with ``edgekit --quiet``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET, False))


def status(message: str) -> None:
    """Tell on stderr what is going on, unless ``--quiet`` was given."""
    if not is_quiet():
        click.echo(printable(message), err=True)


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Step]:
    """Show on stderr how far a long step has come, if stderr is a terminal and ``--quiet`` was not given.

    Args:
        label: What is being done, as in "calibrating".
        total: How many units there are; None if unknown, which shows the label alone.

    Yields:
        A function to call with the number of units just done (1 if left out).
    """
    if is_quiet() or not sys.stderr.isatty():
        yield lambda n=1, /: None
    elif total is None:
        click.echo(f"{label} ...", err=True)
        yield lambda n=1, /: None
    else:
        with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
            yield lambda n=1, /: bar.update(n)
