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
    return f"{100 * share:.3g} %"


def size(number: int) -> str:
    """Bytes for people, in units of 1,000."""
    for unit, least in (("MB", 10**6), ("kB", 10**3)):
        if number >= least:
            return f"{number / least:.3g} {unit}"
    return f"{number} B"


def millions(number: int) -> str:
    """A large count for people: "13.6 M"."""
    for unit, least in ((" G", 10**9), (" M", 10**6), (" k", 10**3)):
        if number >= least:
            return f"{number / least:.3g}{unit}"
    return str(number)


def duration(ns: float) -> str:
    """A time for people, three digits of it: "2.31 us", "14.2 ms"."""
    for unit, least in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= 0.9995 * least:
            return f"{_three(ns / least)} {unit}"
    return f"{ns:.0f} ns"


def _three(number: float) -> str:
    """Three digits, and never a power of ten."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.3g}"
