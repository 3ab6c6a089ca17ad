"""Mutations of bytes and of JSON, each drawn from a seeded generator so that every case can be made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

WORDS: tuple[bytes, ...] = (
    b"", b"\0", b"\xff", b"\n", b"\r\n", b" ", b"{", b"}", b"[", b"]", b'"', b",", b"\\u0000", b"\\ud800",
    b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xe2\x80\xae", b"NaN", b"-Infinity", b"1e999", b"null", b"true", b"-0",
    b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08", b"TFL3", b"=", b"==", b"A", b"_", b"-",
    b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff", b"\x7f\xff\xff\xff", b"..", b"/", b"..\\",
    b"model.tflite", b"manifest.json", b"signature.json", b"DSSEv1 ", b"\x30\x06\x02\x01\x01\x02\x01\x01",
)  # fmt: skip


def mutate_bytes(dice: Random, data: bytes, others: Sequence[bytes] = (), *, most: int = 3) -> bytes:
    """One to `most` changes: bits, bytes, cuts, insertions, deletions, doublings, words, and pieces of others."""
    for _ in range(dice.choice((1, 1, most))):
        data = dice.choice(_CHANGES)(dice, data, others)
    return data


def _at(dice: Random, data: bytes) -> int:
    return dice.randrange(len(data) + 1)


def _bit(dice: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]


def _byte(dice: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _at(dice, data)
    return data[:at] + dice.randbytes(dice.choice((1, 1, 2, 4))) + data[at + 1 :]


def _cut(dice: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = dice.choice((_at(dice, data), max(0, len(data) - 1 - dice.randrange(64))))
    return data[at:] if dice.random() < 0.2 else data[:at]


def _insert(dice: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _at(dice, data)
    return data[:at] + dice.randbytes(1 + dice.randrange(8)) + data[at:]


def _delete(dice: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _at(dice, data)
    return data[:at] + data[at + 1 + dice.randrange(16) :]


def _double(dice: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    begin = _at(dice, data)
    piece = data[begin : begin + 1 + dice.randrange(128)]
    at = dice.choice((begin, _at(dice, data)))
    return data[:at] + piece + data[at:]


def _word(dice: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at, word = _at(dice, data), dice.choice(WORDS)
    return data[:at] + word + data[at + dice.choice((0, len(word))) :]


def _splice(dice: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    if not others:
        return data
    other = dice.choice(others)
    here, there = _at(dice, data), _at(dice, other)
    size = dice.choice((16, 256, 1 << 30))
    return data[:here] + other[there : there + size] + data[dice.choice((here, here + size)) :]


_CHANGES: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    _bit, _bit, _byte, _byte, _cut, _insert, _delete, _double, _word, _word, _splice, _splice,
)  # fmt: skip

Path = tuple[Any, ...]


def _places(value: Any) -> list[Path]:
    """The paths of everything in a JSON value, itself first."""
    places: list[Path] = [()]
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in pairs:
        places += [(key, *path) for path in _places(child)]
    return places


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


_ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 2, 2**63, 10**400, 1.5, 1e308, float("nan"), float("inf"), "", [], {}, [[]],
    {"": ""}, "\0", "\u202e", "e\u0301", "\ud800", _nested(20), "x" * 70_000,
)  # fmt: skip


def mutate_json(dice: Random, value: Any, words: Sequence[str], *, most: int = 2) -> Any:
    """A copy of a JSON value with one to `most` changes in its structure or in its leaves."""
    for _ in range(dice.choice((1, 1, most))):
        # A copy each time: what was put in may be a constant from above, or stand in two places.
        value = _change_json(dice, json.loads(json.dumps(value)), words)
    return value


def _change_json(dice: Random, value: Any, words: Sequence[str]) -> Any:
    path = dice.choice(_places(value))
    if not path:
        return value if dice.random() < 0.9 else dice.choice((*_ODD, [value]))
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    key, old = path[-1], parent[path[-1]]
    kind = dice.randrange(9)
    if kind == 0:
        del parent[key]
    elif kind == 1:
        parent[key] = dice.choice(_ODD)
    elif kind == 2:
        parent[key] = dice.choice(words)
    elif kind == 3 and isinstance(old, str):
        parent[key] = mutate_bytes(dice, old.encode("utf-8", "replace"), most=1).decode("utf-8", "replace")
    elif kind == 4 and isinstance(old, str):
        parent[key] = dice.choice(
            (old.upper(), old.swapcase(), old + " ", " " + old, old + "\0", old * 2, old[:-1])
        )
    elif kind == 5 and isinstance(parent, list):
        parent.insert(dice.randrange(len(parent) + 1), old)
    elif kind == 6 and isinstance(parent, list):
        dice.shuffle(parent)
    elif kind == 7 and isinstance(parent, dict):
        parent[dice.choice((*words, "extra", "keyid", str(key).upper(), f"{key} "))] = parent.pop(key)
    elif isinstance(parent, dict):
        parent[dice.choice((*words, "extra", "ignore_paths", "certificate", "k" * 70_000))] = dice.choice(
            (*_ODD, *words)
        )
    else:
        parent[key] = [old]
    return value


def spell_json(dice: Random, value: Any) -> bytes:
    """JSON in one of its spellings, at times with a key that stands there twice."""
    indent = dice.choice((None, None, 2))
    text = json.dumps(value, indent=indent, sort_keys=dice.random() < 0.5, ensure_ascii=dice.random() < 0.5)
    if dice.random() < 0.1 and (keys := text.count('": ')):
        pieces = text.split('": ')
        at = dice.randrange(keys)
        key = pieces[at].rpartition('"')[2]
        pieces[at] += f'": null, "{key}'
        text = '": '.join(pieces)
    return text.encode("utf-8", dice.choice(("surrogatepass", "replace")))
