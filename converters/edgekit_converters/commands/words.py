"""The words of ``edgekit convert`` that may be said once for all inputs, or by name for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click


class PerInput(click.ParamType[tuple[str | None, Any]]):
    """A word for all inputs, or ``NAME=`` and a word for one of them.

    Args:
        parse: Turns the text of one word into its value; a ValueError is wrong usage.
        form: How the word is written, for messages and help.
        named: Whether the name must be given.
    """

    def __init__(self, parse: Callable[[str], Any], form: str, *, named: bool = False) -> None:
        self.name = f"NAME={form}" if named else f"[NAME=]{form}"
        self._parse = parse
        self._named = named

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str | None, Any]:
        """Splits off the name and parses the rest."""
        name, equals, text = str(value).rpartition("=")
        try:
            if bool(equals) != bool(name) or (self._named and not name):
                raise ValueError
            return name or None, self._parse(text)
        except ValueError:
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)


def one_or_by_name(word: str, pairs: tuple[tuple[str | None, Any], ...]) -> Any:
    """What the fields of `Request` take: None, one value for all inputs, or a mapping by input name.

    Raises:
        click.UsageError: The word is said for all inputs and for one of them, or twice for the same.
    """
    if not pairs:
        return None
    if len(pairs) == 1 and pairs[0][0] is None:
        return pairs[0][1]
    by_name: Mapping[str | None, Any] = dict(pairs)
    if None in by_name or len(by_name) < len(pairs):
        raise click.UsageError(f"--{word}: say it once for all inputs, or once by NAME= for each")
    return by_name


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _pair(text: str) -> tuple[float, float]:
    low, high = _numbers(text)
    return low, high


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


RANGE = PerInput(_pair, "LO,HI")
NUMBERS = PerInput(_numbers, "X[,X...]")
RESIZER = PerInput(str.lower, "METHOD")
COLOR = PerInput(str.upper, "ORDER")
LAYOUT = PerInput(str.upper, "NHWC|NCHW")
SHAPE = PerInput(_shape, "1,96,96,3", named=True)
