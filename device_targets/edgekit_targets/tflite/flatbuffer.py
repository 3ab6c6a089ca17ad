"""Bounds-checked access to a flatbuffer: every offset is proven inside the bytes before it is followed.

The wire format is Google's, described at https://flatbuffers.dev/internals/: a table is a signed offset to
its vtable and inline fields; a vtable is uint16 sizes and field offsets; strings, vectors and sub-tables are
reached by unsigned forward offsets. Little-endian throughout. Nothing here knows of TFLite, and nothing
recurses, so that hostile bytes can only end in `MalformedModelError`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from edgekit_targets.errors import MalformedModelError

_UINT16 = struct.Struct("<H")
_INT8 = struct.Struct("<b")
_UINT8 = struct.Struct("<B")
_INT32 = struct.Struct("<i")
_UINT32 = struct.Struct("<I")
_INT64 = struct.Struct("<q")
_UINT64 = struct.Struct("<Q")
_FLOAT32 = struct.Struct("<f")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a file may make the reader build: far above real edge models, below what hurts a board.

    Attributes:
        size: Bytes of the whole file. A flatbuffer cannot address more than 2 GiB.
        subgraphs: Subgraphs of a model.
        tensors: Tensors of one subgraph.
        operators: Operators of one subgraph.
        buffers: Constant buffers, operator codes, signatures or metadata entries of a model.
        string: Bytes of one name.
        vector: Elements of one decoded vector (a shape, the scales of a tensor). Constants are not decoded.
        rank: Dimensions of one tensor.
        elements: Elements and characters decoded in all. Without it a small file whose tables all point at
            one long vector would decode to gigabytes.
    """

    size: int = 2**31 - 1
    subgraphs: int = 1_000
    tensors: int = 100_000
    operators: int = 100_000
    buffers: int = 100_000
    string: int = 65_536
    vector: int = 1_000_000
    rank: int = 16
    elements: int = 4_000_000


DEFAULT_LIMITS = Limits()


class Flatbuffer:
    """The bytes of one file, and what may still be decoded out of them.

    Args:
        data: The whole file.
        identifier: The four bytes that must stand at offset 4.
        limits: What the reader will build at most.

    Raises:
        MalformedModelError: The file is too small, too large, or carries another identifier.
    """

    __slots__ = ("_left", "limits", "size", "view")

    def __init__(self, data: bytes | bytearray | memoryview, identifier: bytes, limits: Limits) -> None:
        try:
            self.view = memoryview(data).cast("B").toreadonly()
        except TypeError:
            raise MalformedModelError("not a contiguous run of bytes") from None
        self.size = len(self.view)
        self.limits = limits
        self._left = limits.elements
        if self.size < 8 or bytes(self.view[4:8]) != identifier:
            raise MalformedModelError(
                f"not a .tflite file: it does not carry the identifier {identifier.decode('ascii')}",
                hint="name a file that TensorFlow Lite or LiteRT wrote",
            )
        if self.size > limits.size:
            raise MalformedModelError(f"{self.size} bytes are more than the {limits.size} that are read")

    def root(self, where: str) -> Table:
        """Returns the root table, named `where` in errors."""
        (offset,) = _UINT32.unpack_from(self.view, 0)
        return Table(self, offset, where)

    def spend(self, elements: int, where: str) -> None:
        """Takes `elements` off what may still be decoded.

        Raises:
            MalformedModelError: The whole file asks for more than `Limits.elements`.
        """
        self._left -= elements
        if self._left < 0:
            raise MalformedModelError(
                f"{where}: the file decodes to more than {self.limits.elements} elements"
            )


class Table:
    """One table: fields by slot number, each checked when read, absent ones giving the schema's default."""

    __slots__ = ("_fields", "_size", "buffer", "position", "where")

    def __init__(self, buffer: Flatbuffer, position: int, where: str) -> None:
        self.buffer = buffer
        self.position = position
        self.where = where
        if position < 4 or position + 4 > buffer.size:
            self.fail(f"the table at offset {position} lies outside the file")
        vtable = position - _INT32.unpack_from(buffer.view, position)[0]
        if vtable < 0 or vtable + 4 > buffer.size:
            self.fail(f"the vtable at offset {vtable} lies outside the file")
        vtable_size, size = (
            _UINT16.unpack_from(buffer.view, vtable)[0],
            _UINT16.unpack_from(buffer.view, vtable + 2)[0],
        )
        if vtable_size < 4 or vtable_size % 2 or vtable + vtable_size > buffer.size:
            self.fail(f"the vtable at offset {vtable} has the impossible size {vtable_size}")
        if size < 4 or position + size > buffer.size:
            self.fail(f"the table at offset {position} has the impossible size {size}")
        self._fields: tuple[int, ...] = struct.unpack_from(
            f"<{vtable_size // 2 - 2}H", buffer.view, vtable + 4
        )
        self._size = size

    def fail(self, what: str) -> NoReturn:
        """Raises MalformedModelError naming this table."""
        raise MalformedModelError(f"{self.where}: {what}")

    def _at(self, slot: int, width: int) -> int | None:
        """Returns the absolute offset of an inline field of `width` bytes, or None where it is absent."""
        if slot >= len(self._fields):
            return None
        offset = self._fields[slot]
        if offset == 0:
            return None
        if offset < 4 or offset + width > self._size:
            self.fail(f"field {slot} lies outside its table")
        return self.position + offset

    def _scalar(self, slot: int, kind: struct.Struct, default: int) -> int:
        at = self._at(slot, kind.size)
        return default if at is None else int(kind.unpack_from(self.buffer.view, at)[0])

    def int8(self, slot: int, default: int = 0) -> int:
        """Returns an int8 field."""
        return self._scalar(slot, _INT8, default)

    def uint8(self, slot: int, default: int = 0) -> int:
        """Returns a uint8 field."""
        return self._scalar(slot, _UINT8, default)

    def int32(self, slot: int, default: int = 0) -> int:
        """Returns an int32 field."""
        return self._scalar(slot, _INT32, default)

    def uint32(self, slot: int, default: int = 0) -> int:
        """Returns a uint32 field."""
        return self._scalar(slot, _UINT32, default)

    def int64(self, slot: int, default: int = 0) -> int:
        """Returns an int64 field."""
        return self._scalar(slot, _INT64, default)

    def uint64(self, slot: int, default: int = 0) -> int:
        """Returns a uint64 field."""
        return self._scalar(slot, _UINT64, default)

    def boolean(self, slot: int, default: bool = False) -> bool:
        """Returns a bool field; any byte but zero is true."""
        return self._scalar(slot, _UINT8, int(default)) != 0

    def float32(self, slot: int, default: float = 0.0) -> float:
        """Returns a float32 field."""
        at = self._at(slot, 4)
        return default if at is None else float(_FLOAT32.unpack_from(self.buffer.view, at)[0])

    def _target(self, slot: int) -> int | None:
        """Returns where the offset in a field points, proven only to be inside the file."""
        at = self._at(slot, 4)
        if at is None:
            return None
        target = at + int(_UINT32.unpack_from(self.buffer.view, at)[0])
        if target + 4 > self.buffer.size:
            self.fail(f"field {slot} points to offset {target}, outside the file")
        return target

    def field(self, slot: int) -> int | None:
        """Returns where in the file the offset in a field stands, so that it can be patched; None where absent."""
        return self._at(slot, 4)

    def span(self, slot: int, width: int = 1) -> tuple[int, int] | None:
        """Returns absolute offset and element count of a vector of `width`-byte elements, undecoded."""
        target = self._target(slot)
        if target is None:
            return None
        count = int(_UINT32.unpack_from(self.buffer.view, target)[0])
        if target + 4 + count * width > self.buffer.size:
            self.fail(f"the vector in field {slot} claims {count} elements and runs out of the file")
        return target + 4, count

    def _vector(self, slot: int, code: str, width: int) -> tuple[int, ...] | tuple[float, ...]:
        span = self.span(slot, width)
        if span is None:
            return ()
        start, count = span
        if count > self.buffer.limits.vector:
            self.fail(f"the vector in field {slot} has {count} elements, over {self.buffer.limits.vector}")
        self.buffer.spend(count, self.where)
        return struct.unpack_from(f"<{count}{code}", self.buffer.view, start)

    def int32s(self, slot: int) -> tuple[int, ...]:
        """Returns a vector of int32; empty where absent."""
        return self._vector(slot, "i", 4)  # type: ignore[return-value]

    def int64s(self, slot: int) -> tuple[int, ...]:
        """Returns a vector of int64; empty where absent."""
        return self._vector(slot, "q", 8)  # type: ignore[return-value]

    def float32s(self, slot: int) -> tuple[float, ...]:
        """Returns a vector of float32; empty where absent."""
        return self._vector(slot, "f", 4)

    def string(self, slot: int) -> str | None:
        """Returns a string, bytes that are not UTF-8 escaped as backslash sequences; None where absent."""
        span = self.span(slot)
        if span is None:
            return None
        start, count = span
        if count > self.buffer.limits.string:
            self.fail(f"the string in field {slot} has {count} bytes, over {self.buffer.limits.string}")
        self.buffer.spend(count, self.where)
        return str(self.buffer.view[start : start + count], "utf-8", "backslashreplace")

    def table(self, slot: int, what: str) -> Table | None:
        """Returns a sub-table, named `what` inside this one; None where absent."""
        target = self._target(slot)
        return None if target is None else Table(self.buffer, target, f"{self.where}, {what}")

    def tables(self, slot: int, what: str, limit: int) -> Iterator[Table]:
        """Yields the tables of a vector of tables, named `what 0`, `what 1`, ...

        Raises:
            MalformedModelError: There are more than `limit`, or one lies outside the file.
        """
        span = self.span(slot, 4)
        if span is None:
            return
        start, count = span
        if count > limit:
            self.fail(f"it has {count} entries of the kind '{what}', over the limit of {limit}")
        self.buffer.spend(count, self.where)
        for index, offset in enumerate(struct.unpack_from(f"<{count}I", self.buffer.view, start)):
            yield Table(self.buffer, start + 4 * index + offset, f"{self.where}, {what} {index}")
