"""The strict ZIP under bundles and .npz members: one spelling, so that equal contents are equal bytes.

Every field but names, sizes, checksums and offsets is fixed, so a reader can compare it with what the writer
would have put there. What the fields mean: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12
(central directory) and 4.3.16 (end record).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from zlib import crc32

from edgekit.errors import MalformedBundleError
from edgekit.strictjson import shown


class Limits(NamedTuple):
    """What a reader accepts at most, checked before anything is read or allocated.

    Attributes:
        total: Bytes of the whole archive. The largest int8 model of the peers' zoos is below 100 MB.
        members: Entries of the archive.
    """

    total: int = 512 << 20
    members: int = 16


DEFAULT_LIMITS = Limits()

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_SIGNATURE, _CENTRAL_SIGNATURE, _END_SIGNATURE = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"

_MADE_BY = 3 << 8 | 10  # Unix, so that the attributes below mean a file mode
_NEEDS = 10  # APPNOTE 4.4.3.2: stored members and nothing else
_TIME, _DATE = 0, 1 << 5 | 1  # midnight of 1980-01-01, the first that ZIP can say
_ATTRIBUTES = 0o100644 << 16
_ENCRYPTED, _DATA_DESCRIPTOR = 1 << 0, 1 << 3
_METHODS = {8: "deflate", 9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz"}

# No separators, no leading dot, nothing that a shell or another file system would read differently.
_NAME = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class _Entry(NamedTuple):
    """One record of the central directory, its fields in file order, then its name."""

    signature: bytes
    made_by: int
    needs: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    stored_size: int
    size: int
    name_length: int
    extra_length: int
    comment_length: int
    disk: int
    internal: int
    attributes: int
    offset: int
    name: bytes


class _Rule(NamedTuple):
    """One thing that a canonical entry never does, and the sentence that says so."""

    sentence: str
    broken: Callable[[_Entry], bool]


# The first that is broken is the one the user hears: names first, then the special before the general.
_RULES = (
    _Rule("has a NUL byte in its name", lambda e: b"\0" in e.name),
    _Rule("has an absolute path for a name", lambda e: e.name[:1] in (b"/", b"\\") or e.name[1:2] == b":"),
    _Rule("has a name that climbs out of its folder", lambda e: b".." in re.split(rb"[/\\]", e.name)),
    _Rule("lies in a folder, and members have no folders", lambda e: b"/" in e.name or b"\\" in e.name),
    _Rule("has a name with other characters than A-Z a-z 0-9 _ . -", lambda e: not _NAME.fullmatch(e.name)),
    _Rule("is encrypted", lambda e: bool(e.flags & _ENCRYPTED)),
    _Rule("leaves its size to a data descriptor", lambda e: bool(e.flags & _DATA_DESCRIPTOR)),
    _Rule("sets flags that no bundle uses", lambda e: e.flags != 0),
    _Rule("is compressed ({method}), and members are stored", lambda e: e.method != 0),
    _Rule("needs ZIP64", lambda e: max(e.size, e.stored_size, e.offset) >= 0xFFFFFFFF),
    _Rule("states two different sizes", lambda e: e.stored_size != e.size),
    _Rule("is a symbolic link", lambda e: e.attributes >> 28 == 0o12),
    _Rule("has other file attributes than 0644", lambda e: (e.attributes, e.internal) != (_ATTRIBUTES, 0)),
    _Rule("has an extra field", lambda e: e.extra_length != 0),
    _Rule("has a comment", lambda e: e.comment_length != 0),
    _Rule("has another time than 1980-01-01 00:00", lambda e: (e.time, e.date) != (_TIME, _DATE)),
    _Rule("asks for another ZIP version than 1.0", lambda e: (e.made_by, e.needs) != (_MADE_BY, _NEEDS)),
    _Rule("lies on another disk", lambda e: e.disk != 0),
)


def write_archive(members: Mapping[str, bytes | memoryview], limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Packs members, sorted by name, in the one way that `read_archive` accepts.

    Args:
        members: Name -> content; a name is ASCII letters, digits, ``_``, ``.`` and ``-``.
        limits: What the reader will accept.

    Raises:
        MalformedBundleError: A name or a size that the reader would refuse.
    """
    pieces: list[bytes | memoryview] = []
    directory: list[bytes] = []
    offset = 0
    names = sorted(members)
    for index, name in enumerate(names):
        _refuse_disorder(names[:index], name)
        content = memoryview(members[name])
        entry = _canonical(name.encode("utf-8", "backslashreplace"), crc32(content), content.nbytes, offset)
        _refuse_broken_rule(entry)
        pieces += [_local_header(entry), content]
        directory.append(_central_record(entry))
        offset += _LOCAL.size + len(entry.name) + content.nbytes
    size = sum(map(len, directory))
    _refuse_oversize(len(members), offset + size + _END.size, limits)
    end = _END.pack(_END_SIGNATURE, 0, 0, len(directory), len(directory), size, offset, 0)
    return b"".join([*pieces, *directory, end])


def read_archive(data: bytes | memoryview, limits: Limits = DEFAULT_LIMITS) -> dict[str, memoryview]:
    """Unpacks an archive that is, byte for byte, what `write_archive` makes of its members.

    Args:
        data: The whole file; the members are views into it, so nothing is copied.
        limits: Sizes beyond which nothing is read.

    Returns:
        Name -> content, sorted by name.

    Raises:
        MalformedBundleError: Anything else than that; the message says what.
    """
    view = memoryview(data).toreadonly()
    count, start = _read_end(view, limits)
    members: dict[str, memoryview] = {}
    offset = 0
    for entry in _entries(view, start, count):
        _refuse_broken_rule(entry)
        _refuse_disorder(list(members), entry.name.decode("ascii"))
        content = _content(view, entry, offset, start)
        if crc32(content) != entry.crc:
            raise MalformedBundleError(f"{_label(entry)} is damaged: its checksum does not match")
        members[entry.name.decode("ascii")] = content
        offset += _LOCAL.size + len(entry.name) + entry.size
    if offset != start:
        raise MalformedBundleError(f"the archive hides {start - offset} bytes that belong to no member")
    return members


def _canonical(name: bytes, crc: int, size: int, offset: int) -> _Entry:
    fixed = (_CENTRAL_SIGNATURE, _MADE_BY, _NEEDS, 0, 0, _TIME, _DATE)
    return _Entry(*fixed, crc, size, size, len(name), 0, 0, 0, 0, _ATTRIBUTES, offset, name)


def _central_record(entry: _Entry) -> bytes:
    return _CENTRAL.pack(*entry[:-1]) + entry.name


def _local_header(entry: _Entry) -> bytes:
    """The header before the content: the central record's fields from the third to the extra length."""
    return _LOCAL.pack(_LOCAL_SIGNATURE, *entry[2:12]) + entry.name


def _refuse_oversize(count: int, total: int, limits: Limits) -> None:
    if count > limits.members:
        raise MalformedBundleError(f"the archive has {count} members; at most {limits.members} are accepted")
    if total > limits.total:
        raise MalformedBundleError(f"the archive has {total:,} bytes; at most {limits.total:,} are accepted")


def _refuse_broken_rule(entry: _Entry) -> None:
    for rule in _RULES:
        if rule.broken(entry):
            method = _METHODS.get(entry.method, f"method {entry.method}")
            raise MalformedBundleError(f"{_label(entry)} {rule.sentence.format(method=method)}")


def _refuse_disorder(before: list[str], name: str) -> None:
    if name in before:
        raise MalformedBundleError(f"the archive has two members named {name!r}")
    for other in before:
        if other.lower() == name.lower():
            raise MalformedBundleError(f"members {other!r} and {name!r} differ in case only")
    if before and name < before[-1]:
        raise MalformedBundleError(f"the archive's members are not sorted: {name!r} after {before[-1]!r}")


def _read_end(view: memoryview, limits: Limits) -> tuple[int, int]:
    """Reads the end record: number of members, and where the central directory starts."""
    _refuse_oversize(0, len(view), limits)
    end = len(view) - _END.size
    if end < 0 or view[end : end + 4] != _END_SIGNATURE:
        raise MalformedBundleError(_why_no_end(view))
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(view, end)
    if 0xFFFF in (count, here) or 0xFFFFFFFF in (size, start):
        raise MalformedBundleError("the archive needs ZIP64")
    if (disk, first_disk, here) != (0, 0, count):
        raise MalformedBundleError("the archive is split over several disks")
    if comment:
        raise MalformedBundleError("the archive has a comment, or is truncated within one")
    _refuse_oversize(count, len(view), limits)
    if start + size > end:
        raise MalformedBundleError("the archive is truncated: its directory reaches beyond the end")
    if start + size < end:
        surplus = f"{end - start - size} bytes before or within it"
        raise MalformedBundleError(f"the archive has {surplus} that belong to no member")
    return count, start


def _why_no_end(view: memoryview) -> str:
    """Says why a file does not end as an archive does."""
    first = max(0, len(view) - _END.size - 0xFFFF)  # a comment has at most 65,535 bytes
    at = bytes(view[first:]).rfind(_END_SIGNATURE)
    if at >= 0 and first + at + _END.size <= len(view):
        at += first
        *_, size, start, comment = _END.unpack_from(view, at)
        surplus = len(view) - at - _END.size
        # Else it is the end of an .npz within: its offsets count from its own start.
        if start + size == at:
            what = "a comment of" if comment == surplus else "after its end another"
            return f"the archive has {what} {surplus} bytes"
    if bytes(view[:2]) == b"PK":
        return "the archive is truncated: its end record is missing"
    return "not a ZIP archive"


def _entries(view: memoryview, start: int, count: int) -> Iterator[_Entry]:
    at, end = start, len(view) - _END.size
    for index in range(count):
        if end - at < _CENTRAL.size:
            raise MalformedBundleError(f"the archive's directory ends before member {index + 1} of {count}")
        fields = _CENTRAL.unpack_from(view, at)
        if fields[0] != _CENTRAL_SIGNATURE:
            raise MalformedBundleError(f"the archive's directory is broken at member {index + 1} of {count}")
        length, extra, comment = fields[10:13]
        at += _CENTRAL.size
        if at + length + extra + comment > end:
            raise MalformedBundleError(f"the archive's directory ends within member {index + 1} of {count}")
        yield _Entry._make((*fields, bytes(view[at : at + length])))
        at += length + extra + comment
    if at != end:
        raise MalformedBundleError(f"the archive's directory has {end - at} bytes after its last member")


def _content(view: memoryview, entry: _Entry, offset: int, start: int) -> memoryview:
    """The bytes of a member, which must begin at `offset` and end before the directory at `start`."""
    if entry.offset < offset:
        raise MalformedBundleError(f"{_label(entry)} overlaps the member before it")
    if entry.offset > offset:
        hidden = entry.offset - offset
        raise MalformedBundleError(f"{hidden} bytes before {_label(entry)} belong to no member")
    header = _local_header(entry)
    first = offset + len(header)
    if first + entry.size > start:
        raise MalformedBundleError(f"{_label(entry)} states {entry.size:,} bytes, more than there are")
    if view[offset:first] != header:
        raise MalformedBundleError(f"{_label(entry)} has a header that contradicts the archive's directory")
    return view[first : first + entry.size]


def _label(entry: _Entry) -> str:
    return f"member {shown(entry.name.decode('latin-1'))}"
