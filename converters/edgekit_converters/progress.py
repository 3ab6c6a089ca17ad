"""Where long work says how far it has come; silent unless somebody listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass


def _ignore(_: str) -> None:
    """Says nothing."""


@contextmanager
def _no_bar(_label: str, _total: int) -> Iterator[Callable[[int], None]]:
    yield lambda _: None


@dataclass(frozen=True, slots=True)
class Progress:
    """Two ways to speak.

    Attributes:
        status: Takes one line about what happens now.
        bar: Takes a label and a total; a context manager that yields a function to call with each number of steps done.
    """

    status: Callable[[str], None] = _ignore
    bar: Callable[[str, int], AbstractContextManager[Callable[[int], None]]] = _no_bar


SILENT = Progress()
