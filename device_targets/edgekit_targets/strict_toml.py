"""Strict reading of one TOML table: every key is asked for with its kind, and none may be left over."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from edgekit_targets.errors import InvalidTargetError
from edgekit_targets.target import Fact, Source

T = TypeVar("T")
N = TypeVar("N", int, float)
E = TypeVar("E", bound=StrEnum)

_PYTHON = r"3\.[0-9]{1,2}"


class Section:
    """One table of a device file. What it hands out has been checked; `finish` refuses what nobody asked for.

    Args:
        file: Name of the file, for messages.
        path: Where the table stands in it, such as "cpu.cores"; empty for the whole.
        table: The table.
        ranges: What a number of that name can be at all, both ends included.
        sources: By name; a parser fills it before it reads facts. One for all sections of a file.
        used: Names of sources that something has referred to; one for all sections of a file.
    """

    def __init__(
        self,
        file: str,
        path: str,
        table: Mapping[str, Any],
        ranges: Mapping[str, tuple[float, float]],
        sources: dict[str, Source],
        used: set[str],
    ) -> None:
        self.file = file
        self.path = path
        self.ranges = ranges
        self.sources = sources
        self.used = used
        self._left = dict(table)
        self._asked: set[str] = set()

    def fail(self, key: str, what: str) -> NoReturn:
        """Raises InvalidTargetError naming file and key."""
        where = ".".join(part for part in (self.path, key) if part)
        raise InvalidTargetError(f"{self.file}: {where}: {what}")

    def finish(self) -> None:
        """Refuses keys that were not asked for."""
        if self._left:
            key = min(self._left)
            near = get_close_matches(key, self._asked, n=1)
            self.fail(key, f"unknown key (is {near[0]} meant?)" if near else "unknown key")

    def has(self, key: str) -> bool:
        """Tells whether a key stands there and has not been taken yet."""
        self._asked.add(key)
        return key in self._left

    def _take(self, key: str, kind: type[T], what: str) -> T:
        if not self.has(key):
            self.fail(key, "missing")
        value = self._left.pop(key)
        # To isinstance a bool is an int, and a datetime is a date.
        if not isinstance(value, kind) or isinstance(value, (bool, datetime)):
            self.fail(key, f"must be {what}")
        return value

    def text(self, key: str) -> str:
        """Takes a text that is not empty and has no blanks around it."""
        value = self._take(key, str, "text")
        if not value or value != value.strip():
            self.fail(key, "must be a text without blanks around it")
        return value

    def optional_text(self, key: str) -> str | None:
        """Takes a text, or None where the key is absent."""
        return self.text(key) if self.has(key) else None

    def choice(self, key: str, choices: type[E]) -> E:
        """Takes one of the words of a StrEnum."""
        value = self.text(key)
        try:
            return choices(value)
        except ValueError:
            self.fail(key, f"'{value}' must be one of {', '.join(choices)}")

    def words(self, key: str, pattern: str = r"[a-z0-9_]+") -> tuple[str, ...]:
        """Takes a list of different words of that pattern."""
        values = self._take(key, list, "a list of words")
        bad = [v for v in values if not (isinstance(v, str) and re.fullmatch(pattern, v))]
        if bad:
            self.fail(key, f"{bad[0]!r} is not a valid entry")
        if len(set(values)) != len(values):
            self.fail(key, "an entry stands twice")
        return tuple(values)

    def version(self, key: str) -> str:
        """Takes a version of Python, such as "3.11"."""
        value = self.text(key)
        if not re.fullmatch(_PYTHON, value):
            self.fail(key, f"'{value}' is not a version of Python such as 3.11")
        return value

    def versions(self, key: str) -> tuple[str, ...]:
        """Takes a list of different versions of Python, at least one."""
        values = self.words(key, _PYTHON)
        if not values:
            self.fail(key, "must name at least one")
        return values

    def options(self, key: str) -> tuple[str, ...]:
        """Takes a list of different command line options, such as "--name=value"."""
        return self.words(key, r"--[a-z][a-z0-9-]*(=[A-Za-z0-9_./-]+)?")

    def day(self, key: str) -> date:
        """Takes a date without a time."""
        return self._take(key, date, "a date, such as 2026-11-24")

    def integer(self, key: str) -> int:
        """Takes a whole number that is possible."""
        return self._possible(key, self._take(key, int, "a whole number"))

    def number(self, key: str) -> float:
        """Takes a number that is possible."""
        value: float = self._take(key, (int, float), "a number")  # type: ignore[arg-type]
        return float(self._possible(key, value))

    def integers(self, key: str) -> tuple[int, ...]:
        """Takes an ascending list of whole numbers that are possible, at least one."""
        values = self._take(key, list, "a list of whole numbers")
        if not values or not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
            self.fail(key, "must be a list of whole numbers")
        if sorted(set(values)) != values:
            self.fail(key, "must be ascending")
        return tuple(self._possible(key, v) for v in values)

    def _possible(self, key: str, value: N) -> N:
        """Refuses what the range of the key (in a fact, of the fact's own name) leaves out."""
        low, high = self.ranges[self.path.rpartition(".")[2] if key == "value" else key]
        if not low <= value <= high:  # nor is NaN within
            self.fail(key, f"{value} is impossible: it must be {low:g} to {high:g}")
        return value

    def source(self) -> Source:
        """Takes the name of a source under the key "source" and returns the source."""
        name = self.text("source")
        if name not in self.sources:
            self.fail("source", f"no source '{name}' in [sources]")
        self.used.add(name)
        return self.sources[name]

    def fact(self, key: str, read: Callable[[Section, str], T]) -> Fact[T]:
        """Takes `key = { value = ..., source = "...", note = "..." }`, its value by a method of Section."""
        section = self.section(key)
        fact = Fact(read(section, "value"), section.source(), section.optional_text("note"))
        section.finish()
        return fact

    def optional_fact(self, key: str, read: Callable[[Section, str], T]) -> Fact[T] | None:
        """Takes a fact, or None where the key is absent."""
        return self.fact(key, read) if self.has(key) else None

    def section(self, key: str) -> Section:
        """Takes a table."""
        return self._sub(key, self._take(key, dict, "a table"))

    def sections(self, key: str) -> list[Section]:
        """Takes a list of tables; empty where the key is absent."""
        tables = self._take(key, list, "a list of tables") if self.has(key) else []
        if not all(isinstance(table, dict) for table in tables):
            self.fail(key, "must be a list of tables")
        return [self._sub(f"{key}[{index}]", table) for index, table in enumerate(tables)]

    def named_sections(self, key: str) -> dict[str, Section]:
        """Takes a table of tables; empty where the key is absent."""
        tables: dict[str, Any] = self._take(key, dict, "a table of tables") if self.has(key) else {}
        if not all(isinstance(table, dict) for table in tables.values()):
            self.fail(key, "must be a table of tables")
        return {name: self._sub(f"{key}.{name}", table) for name, table in tables.items()}

    def _sub(self, key: str, table: Mapping[str, Any]) -> Section:
        path = f"{self.path}.{key}" if self.path else key
        return Section(self.file, path, table, self.ranges, self.sources, self.used)
