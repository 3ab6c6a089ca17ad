"""Numbers that a program gives to edgekit: of the right kind and in range, or an error that says which and why."""

from __future__ import annotations

from math import isfinite
from numbers import Integral, Real
from typing import Final

from edgekit.errors import EdgekitError

MOST_THREADS: Final = 1024
"""Threads for one inference: a runtime that is asked for more than the system can start crashes."""


def whole(
    what: str, value: object, least: int | None, *, most: int | None = None, error: type[EdgekitError]
) -> int:
    """A whole number of any integer type, numpy's too, as an int. A bool is none.

    Args:
        what: The name of the argument, for the message.
        value: What was given.
        least: The smallest that makes sense; None where every one does.
        most: The greatest that does; None where there is no bound.
        error: The class to raise.

    Raises:
        EdgekitError: `error`: it is no whole number, or out of range.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise error(
            f"{what} must be a whole number, and is {value!r:.60}",
            hint=f"give an int, such as {what}={1 if least is None else max(least, 1)}",
        )
    number = int(value)
    if (least is not None and number < least) or (most is not None and number > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        raise error(f"{what} must be {bounds}, and is {number}", hint=_hint(least, most))
    return number


def real(what: str, value: object, least: float | None, *, error: type[EdgekitError]) -> float:
    """A finite number of any real type, numpy's too, as a float. A bool is none.

    Args:
        what: The name of the argument, for the message.
        value: What was given.
        least: The smallest that makes sense; None where every one does.
        error: The class to raise.

    Raises:
        EdgekitError: `error`: it is no finite number, or too small.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not _finite(value):
        raise error(f"{what} must be a finite number, and is {value!r:.60}", hint=_hint(least, None))
    number = float(value)
    if least is not None and number < least:
        raise error(f"{what} must be at least {least:g}, and is {number:g}", hint=_hint(least, None))
    return number


def _finite(value: Real) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # an int that no float holds
        return False


def _hint(least: float | None, most: float | None) -> str:
    if least is None:
        return "give a number, such as 0.5"
    return f"give {least:g} or more" if most is None else f"give a number from {least:g} to {most:g}"
