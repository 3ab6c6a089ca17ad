"""The axes of plots: from which value to which, and where round numbers lie. Places are percentages of the axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, log10

UNITS = (("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0))


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis.

    Attributes:
        low: The value at its beginning.
        high: The value at its end, above `low`.
        ticks: Round values on it, smallest first.
        labels: Of each tick, with its unit.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]

    def place(self, value: float) -> float:
        """Where a value lies, 0 to 100; what lies beyond an end is put there."""
        return min(max(100 * (value - self.low) / (self.high - self.low), 0.0), 100.0)


def time_axis(low_ns: float, high_ns: float, most: int) -> Axis:
    """An axis of times, all labels in the unit of the longest.

    Args:
        low_ns: At its beginning, in nanoseconds.
        high_ns: At its end; where it is no longer than `low_ns`, there is a little room around both.
        most: Ticks at most, at least 2.
    """
    low, high = _apart(low_ns, high_ns, least=10.0)
    low = max(low, min(low_ns, 0.0))  # room before 0 would speak of negative times
    unit, size = next((unit for unit in UNITS if high >= unit[1]), UNITS[-1])

    def said(value: float, step: float) -> str:
        return f"{value / size:,.{_decimals(step / size)}f} {unit}"

    return _axis(low, high, most, said)


def count_axis(most_counted: int, most: int) -> Axis:
    """An axis of whole numbers from 0, with a little room above the largest."""
    return _axis(0.0, 1.06 * max(most_counted, 1), most, lambda value, _: f"{value:,.0f}", least_step=1)


def change_axis(low: float, high: float, most: int) -> Axis:
    """An axis of changes such as "+2 %", where 0 is none."""
    low, high = _apart(low, high, least=1e-4)

    def said(value: float, step: float) -> str:
        return f"{100 * value:+,.{_decimals(100 * step)}f} %" if abs(value) > step / 2 else "0 %"

    return _axis(low, high, most, said)


def round_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... (and of 0.5, 0.2, ...) of which a span holds no more than so many.

    Args:
        span: Above 0.
        most: At least 1.
    """
    least = span / most
    power = 10.0 ** floor(log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))


def _axis(
    low: float, high: float, most: int, said: Callable[[float, float], str], least_step: float = 0.0
) -> Axis:
    step = max(round_step(high - low, most - 1), least_step)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    ticks = tuple(step * number for number in range(first, last + 1))
    return Axis(low, high, ticks, tuple(said(tick, step) for tick in ticks))


def _apart(low: float, high: float, least: float) -> tuple[float, float]:
    """Two ends that differ enough to place values between them: by `least`, and by what a float can tell."""
    size = max(abs(low), abs(high))
    if high - low >= max(least, 1e-6 * size):
        return low, high
    room = max(least, 0.05 * size)
    return low - room, high + room


def _decimals(step: float) -> int:
    """Digits behind the point that tell two ticks apart."""
    return max(0, -floor(log10(step) + 1e-9))
