"""Figures for people."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 operator" or "2,036 operators"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """A share as text; what is not all of it never reads as 100 %, and what is not nothing never as 0 %."""
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.999 < share < 1:
        return ">99.9 %"
    return f"{three_digits(100 * share)} %"


def size(number: float) -> str:
    """Bytes for people, in units of 1,000: "584 kB", "4.34 MB"."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(number) >= 0.9995 * least:
            return f"{three_digits(number / least)} {unit}"
    return f"{number:.0f} B"


def millions(number: int) -> str:
    """A large count for people: "13.6 M"."""
    for unit, least in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= 0.9995 * least:
            return f"{three_digits(number / least)} {unit}"
    return str(number)


def duration(ns: float) -> str:
    """A time for people, always three digits of it, so that they align: "2.31 us", "27.0 us", "381 ms"."""
    for unit, least in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(ns) >= 0.9995 * least:
            value = ns / least
            decimals = sum(abs(value) < limit for limit in (99.95, 9.995))
            return f"{value:,.{decimals}f} {unit}"
    return f"{ns:.0f} ns"


def three_digits(number: float) -> str:
    """Three digits of a number, and no power of ten from 0.0001 up: "0.0123", "2.5", "1,234"."""
    return f"{number:,.0f}" if abs(number) >= 99.95 else f"{number:.3g}"
