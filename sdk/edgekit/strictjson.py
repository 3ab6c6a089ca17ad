"""JSON with one spelling: written here, it reads back to the same bytes; what is ambiguous is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from edgekit.errors import MalformedBundleError

MAX_DEPTH = 16
"""Levels of nesting that a document may have; the deepest manifest of format 1 needs 5."""

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, text-direction overrides (a terminal then shows what is not there:
CVE-2021-42574) and the lone surrogates that UTF-8 cannot encode."""


def parse(data: bytes | memoryview, document: str) -> object:
    """Parses a JSON document strictly.

    Args:
        data: UTF-8 text without a byte order mark.
        document: What the error messages call it, such as ``manifest.json``.

    Returns:
        Objects as dict, arrays as list, numbers as int or finite float.

    Raises:
        MalformedBundleError: Not UTF-8, not JSON, a duplicate key, NaN or an infinity, a number out of range,
            or more than MAX_DEPTH levels.
    """

    def refuse_constant(name: str) -> object:
        raise MalformedBundleError(f"{document} holds {name}, which is not a JSON number")

    def finite(text: str) -> float:
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise MalformedBundleError(f"{document} holds the number {shown(text)}, which is out of range")
        return number

    def integer(text: str) -> int:
        # 64 bits need 20 characters; longer ones are refused before int() spends quadratic time on them.
        if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
            raise MalformedBundleError(f"{document} holds the number {shown(text)}, which needs over 64 bits")
        return int(text)

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members: dict[str, object] = {}
        for key, value in pairs:
            if key in members:
                raise MalformedBundleError(f"{document} holds the key {shown(key)} twice in one object")
            members[key] = value
        return members

    try:
        value = json.loads(
            bytes(data).decode("utf-8"),
            object_pairs_hook=unique,
            parse_constant=refuse_constant,
            parse_float=finite,
            parse_int=integer,
        )
    except UnicodeDecodeError as error:
        raise MalformedBundleError(f"{document} is not UTF-8: byte {error.start} does not decode") from None
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise MalformedBundleError(f"{document} is not JSON: {reason}") from None
    except RecursionError:
        raise MalformedBundleError(f"{document} nests deeper than {MAX_DEPTH} levels") from None
    if depth_exceeds(value, MAX_DEPTH):
        raise MalformedBundleError(f"{document} nests deeper than {MAX_DEPTH} levels")
    return value


def dump(value: object) -> bytes:
    """Writes JSON in its one spelling: sorted keys, two spaces of indent, UTF-8, one newline at the end.

    Args:
        value: dict, list, tuple, str, int, finite float, bool or None.

    Returns:
        The document; `parse` gives the value back, tuples as lists.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8") + b"\n"


def depth_exceeds(value: object, limit: int) -> bool:
    """Whether a JSON value nests deeper than `limit` containers; found without recursion."""
    level = [value]
    for _ in range(limit):
        level = [
            child
            for node in level
            if isinstance(node, (dict, list, tuple))
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return False
    return any(isinstance(node, (dict, list, tuple)) for node in level)


def shown(value: object) -> str:
    """A value as an error message quotes it: escaped, on one line, at most 60 characters."""
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:57]}...")
    if value is None:
        return "null"
    return repr(value).lower() if isinstance(value, bool) else repr(value)[:60]


def listed(names: Iterable[str]) -> str:
    """Names of a document as an error message lists them: after commas, at most 200 characters."""
    text = ", ".join(names)
    return text if len(text) <= 200 else f"{text[:197]}..."
