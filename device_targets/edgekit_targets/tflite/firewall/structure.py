"""The form of the flatbuffer: every table is walked, and every byte of the file belongs to exactly one thing.

`read_graph` checks what edgekit reads; a runtime reads more, and by other means. So the walk here goes by the schema:
each offset, vector, string, vtable and union is proven to be inside the file, aligned, of a kind that the schema has
there, and apart from all others. What no table, vector or buffer covers may only be zeros between two of them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import NoReturn

from edgekit_targets.errors import MalformedModelError
from edgekit_targets.tflite.schema import IDENTIFIER, OPTIONS, option_tables

_U16 = struct.Struct("<H")
_I32 = struct.Struct("<i")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")

MOST_PADDING = 64
"""Bytes between two parts of the file: constants are aligned to 16 bytes by the schema, to 64 by some writers."""

_MOST_SLACK = 32  # of the unused bytes inside one table: alignment of its fields


@dataclass(frozen=True, slots=True)
class WalkLimits:
    """What a file may make the walk visit.

    Attributes:
        size: Bytes of the file.
        tables: Entries of one vector of tables: tensors, operators, buffers, ...
        string: Bytes of one string.
        vector: Elements of one vector of numbers other than a buffer's bytes.
        parts: Tables, vtables, vectors and strings in all.
    """

    size: int = 1 << 30
    tables: int = 20_000
    string: int = 65_536
    vector: int = 1_000_000
    parts: int = 500_000


DEFAULT_WALK_LIMITS = WalkLimits()

# A field: width of a scalar in bytes; "text"; "data" (a buffer's bytes); a digit in brackets for a vector of scalars of
# that width; the name of a table, in brackets for a vector of them; "union" for the table whose kind the slot before
# names; "empty" for a vector that must have no entries; "never" for what no model of edgekit has: _NEVER says why.
_LAYOUT = """
Model 4 [OperatorCode] [SubGraph] text [Buffer] [4] [Metadata] [SignatureDef] never never
OperatorCode 1 text 4 4
SubGraph [Tensor] [4] [4] [Operator] text 4
Tensor [4] 1 4 text QuantizationParameters 1 never [4] 1 empty 4
QuantizationParameters [4] [4] [4] [8] 1 never 4
Operator 4 [4] [4] 1 union [1] 1 [1] [4] 8 8 1 never 4
Buffer data 8 8
Metadata text 4
SignatureDef [TensorMap] [TensorMap] text never 4
TensorMap text 4
"""

_NEVER = {
    ("Model", 8): "constants in other files",
    ("Model", 9): "constants in other files",
    ("Tensor", 6): "a sparsely stored constant",
    ("Tensor", 9): "the type of a variant tensor",
    ("QuantizationParameters", 5): "a scheme of quantization beside scale and zero point",
    ("Operator", 12): "options of StableHLO",
}

_WIDTHS = {"bool": 1, "int": 4, "uint": 4, "long": 8, "float": 4}
_VECTORS = {"ints": "[4]", "floats": "[4]", "bytes": "[1]", "string": "text"}


@cache
def _layout() -> Mapping[str, tuple[str | int, ...]]:
    """The fields of each table by slot."""
    tables: dict[str, tuple[str | int, ...]] = {}
    for line in _LAYOUT.split("\n"):
        name, *fields = line.split() or [""]
        tables[name] = tuple(int(field) if field.isdigit() else field for field in fields)
    for name, options in option_tables().items():
        slots: list[str | int] = ["never"] * (options[-1].slot + 1)
        for option in options:
            # What is none of these is an enumeration, of one byte.
            slots[option.slot] = _WIDTHS.get(option.kind) or _VECTORS.get(option.kind) or 1
        tables[name] = tuple(slots)
    return MappingProxyType(tables)


def check_structure(data: memoryview, limits: WalkLimits = DEFAULT_WALK_LIMITS) -> None:
    """Walks a whole .tflite file.

    Args:
        data: The file, as a view of bytes.
        limits: What it may make the walk visit.

    Raises:
        MalformedModelError: It is not a sound flatbuffer of the schema, or holds bytes that belong to nothing.
    """
    if len(data) > limits.size:
        raise MalformedModelError(f"the file has {len(data):,} bytes, over the limit of {limits.size:,}")
    if len(data) < 12 or bytes(data[4:8]) != IDENTIFIER:
        raise MalformedModelError("the file does not carry the identifier TFL3")
    _Walk(data, limits).run()


class _Walk:
    """The walk over one file: a list of tables to visit in the place of recursion, and who owns which bytes."""

    __slots__ = ("_data", "_layout", "_limits", "_owned", "_size", "_todo")

    def __init__(self, data: memoryview, limits: WalkLimits) -> None:
        self._data = data
        self._size = len(data)
        self._limits = limits
        self._layout = _layout()
        self._todo: list[tuple[int, str]] = []
        self._owned: dict[int, tuple[int, str]] = {0: (8, "header")}  # start -> (end, what it is)

    def run(self) -> None:
        self._visit_later(_U32.unpack_from(self._data, 0)[0], "Model")
        while self._todo:
            self._table(*self._todo.pop())
        self._check_cover()

    def _fail(self, what: str, at: int, message: str) -> NoReturn:
        raise MalformedModelError(f"{what} at offset {at}: {message}")

    def _own(self, start: int, end: int, what: str) -> bool:
        """Notes the owner of bytes; False where the very same part is known already."""
        if end > self._size:
            self._fail(what, start, f"it runs to {end}, out of the file of {self._size} bytes")
        known = self._owned.get(start)
        if known is not None:
            if known != (end, what):
                self._fail(what, start, f"the same bytes are a {known[1]}")
            return False
        if len(self._owned) >= self._limits.parts:
            self._fail(what, start, f"the file has more than {self._limits.parts} parts")
        self._owned[start] = (end, what)
        return True

    def _visit_later(self, position: int, name: str) -> None:
        if position % 4 or position < 8 or position + 4 > self._size:
            self._fail(name, position, "the table lies outside the file or is not aligned")
        self._todo.append((position, name))

    def _table(self, position: int, name: str) -> None:
        known = self._owned.get(position)
        if known is not None and known[1] == name:
            return  # tables may be shared
        fields, size = self._vtable(position, name)
        self._own(position, position + size, name)
        layout = self._layout.get(name, ())
        used, kinds = 4, {}
        for slot, offset in enumerate(fields):
            if not offset:
                continue
            kind = layout[slot] if slot < len(layout) else "never"
            if kind == "never":
                reason = _NEVER.get((name, slot), "a field that the schema does not have")
                self._fail(name, position, f"it has {reason} (field {slot})")
            width = kind if isinstance(kind, int) else 4
            at = position + offset
            if offset < 4 or offset + width > size or at % width:
                self._fail(name, position, f"field {slot} lies outside the table or is not aligned")
            used += width
            kinds[slot] = (at, kind)
        if size - used > _MOST_SLACK:
            self._fail(name, position, f"{size - used} of its {size} bytes belong to no field")
        if used > size:
            self._fail(name, position, "its fields overlap")
        for at, kind in kinds.values():
            if not isinstance(kind, int):
                self._follow(at, kind, name, kinds)
        if name == "Buffer":
            self._large_data(kinds)

    def _vtable(self, position: int, name: str) -> tuple[tuple[int, ...], int]:
        data = self._data
        vtable = position - _I32.unpack_from(data, position)[0]
        if vtable < 8 or vtable % 2 or vtable + 4 > self._size:
            self._fail(
                name, position, f"its vtable at offset {vtable} lies outside the file or is not aligned"
            )
        length, size = struct.unpack_from("<HH", data, vtable)
        if length < 4 or length % 2 or size < 4:
            self._fail(name, position, f"its vtable has the impossible sizes {length} and {size}")
        self._own(vtable, vtable + length, "vtable")
        return struct.unpack_from(f"<{length // 2 - 2}H", data, vtable + 4), size

    def _follow(self, at: int, kind: str, name: str, fields: Mapping[int, tuple[int, str | int]]) -> None:
        """Visits what the offset at `at` points to."""
        target = at + _U32.unpack_from(self._data, at)[0]
        if kind == "text":
            self._vector(target, 1, name, "string")
        elif kind == "data":
            self._vector(target, 1, name, "buffer")
        elif kind == "empty":  # Vela writes one for the types of variant tensors
            if self._count(target, name, "vector"):
                self._fail(name, target, f"it has {_NEVER[name, 9]}")
            self._vector(target, 4, name, "vector")
        elif kind == "union":
            self._union(target, name, fields)
        elif kind[0] != "[":
            self._visit_later(target, kind)
        elif kind[1].isdigit():
            self._vector(target, int(kind[1]), name, "vector")
        else:
            self._tables(target, kind[1:-1], name)

    def _union(self, target: int, name: str, fields: Mapping[int, tuple[int, str | int]]) -> None:
        number = self._data[fields[3][0]] if 3 in fields else 0
        if not 0 < number < len(OPTIONS):
            self._fail(name, target, f"options of the kind {number}, which is not known")
        self._visit_later(target, OPTIONS[number])

    def _vector(self, start: int, width: int, name: str, what: str) -> None:
        count = self._count(start, name, what)
        limit = {"string": self._limits.string, "vector": self._limits.vector}.get(what, self._size)
        if count > limit:
            self._fail(what, start, f"{count} elements of a {name} are over the limit of {limit}")
        if count and (start + 4) % width:
            self._fail(what, start, f"its elements of {width} bytes are not aligned")
        end = start + 4 + count * width
        if what == "string":
            if end >= self._size or self._data[end]:
                self._fail(what, start, f"the text of a {name} does not end in a zero")
            self._check_text(start + 4, end)
            end += 1
        self._own(start, end, what)

    def _check_text(self, start: int, end: int) -> None:
        text = bytes(self._data[start:end])
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            self._fail("string", start, "it is not UTF-8")
        if 0 in text:  # to a runtime the text ends here
            self._fail("string", start, "it holds a zero")

    def _tables(self, start: int, item: str, name: str) -> None:
        what = f"vector of {item}"
        count = self._count(start, name, what)
        if count > self._limits.tables:
            self._fail(what, start, f"{count} entries are over the limit of {self._limits.tables}")
        if self._own(start, start + 4 + 4 * count, what):
            for index, offset in enumerate(struct.unpack_from(f"<{count}I", self._data, start + 4)):
                self._visit_later(start + 4 + 4 * index + offset, item)

    def _count(self, start: int, name: str, what: str) -> int:
        if start % 4 or start < 8 or start + 4 > self._size:
            self._fail(what, start, f"it lies outside the file or is not aligned (in a {name})")
        return int(_U32.unpack_from(self._data, start)[0])

    def _large_data(self, fields: Mapping[int, tuple[int, str | int]]) -> None:
        """Data behind the flatbuffer, which files over 2 GiB have; offsets 0 and 1 mean none."""
        offset, length = (
            _U64.unpack_from(self._data, fields[slot][0])[0] if slot in fields else 0 for slot in (1, 2)
        )
        if offset > 1:
            if offset < 8 or offset + length > self._size:
                self._fail("buffer", offset, f"its {length} bytes run out of the file")
            if 0 in fields:
                self._fail("buffer", offset, "it has its data twice")
            if length:
                self._own(offset, offset + length, "buffer behind the flatbuffer")

    def _check_cover(self) -> None:
        """Refuses parts that overlap, and bytes between them that are more than padding."""
        last, owner = 0, "header"
        for start, (end, what) in sorted(self._owned.items()):
            if start < last:
                self._fail(what, start, f"it overlaps a {owner} that ends at {last}")
            if start > last:
                self._check_gap(last, start)
            last, owner = end, what
        if last < self._size:
            self._check_gap(last, self._size)

    def _check_gap(self, start: int, end: int) -> None:
        if end - start > MOST_PADDING:
            raise MalformedModelError(
                f"{end - start} bytes at offset {start} belong to nothing in the model: hidden or trailing data",
                hint="write the model again with its converter; a ZIP of metadata at its end must go",
            )
        if any(self._data[start:end]):
            raise MalformedModelError(
                f"the padding of {end - start} bytes at offset {start} is not zero: hidden data"
            )
