"""Names and texts of any origin as C takes them: identifiers, string literals, comments, floats."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

LONGEST_NAME = 48
"""Characters of an identifier's own part: with what is appended, linkers and file systems take it."""

_PLAIN = frozenset(map(chr, range(0x20, 0x7F))) - frozenset('"\\?')  # ?? begins a trigraph


def identifier(text: str) -> str:
    """Any text as the first part of C identifiers and file names: a-z, 0-9 and _, not beginning with a digit or _."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", letters.lower()).strip("_")
    if not name or name[0].isdigit():
        name = f"model_{name}".rstrip("_")
    return name[:LONGEST_NAME].rstrip("_")


def string_literal(text: str) -> str:
    """Any text as a C string literal in UTF-8; what is not plain ASCII in octal, whose three digits always end."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _PLAIN:
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogatepass"))


def comment(text: str) -> str:
    """Any text as a C line comment may hold it: one line of printable ASCII that does not end in a backslash."""
    return "".join(c if c in _PLAIN or c == '"' else "_" for c in text)


def float_literal(value: float) -> str:
    """A float32 as the shortest C literal that reads back as the same."""
    text = str(np.float32(value))
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
