# ruff: noqa: RUF001 -- the table below reads best one case a line, and one case is a Cyrillic letter
"""A table of hostile files: each ends in its own sentence, and none costs memory or another exception."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.archive import read_archive, write_archive
from edgekit.bundle import read_unverified
from edgekit.errors import BundleError, MalformedBundleError, NewerFormatError

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")


@dataclass
class Entry:
    """One member of a ZIP in every detail; both headers say the same unless `local` differs."""

    name: bytes
    content: bytes
    flags: int = 0
    method: int = 0
    time: int = 0
    date: int = 33
    crc: int | None = None
    stored: int | None = None
    size: int | None = None
    extra: bytes = b""
    comment: bytes = b""
    made_by: int = 3 << 8 | 10
    needs: int = 10
    disk: int = 0
    internal: int = 0
    mode: int = 0o100644
    offset: int | None = None
    gap: bytes = b""
    local: dict[str, object] = field(default_factory=dict)

    def local_header(self) -> bytes:
        said = Entry(**{**vars(self), **self.local}) if self.local else self
        return LOCAL.pack(b"PK\3\4", *said.shared()) + said.name + said.extra

    def shared(self) -> tuple[int, ...]:
        crc = zlib.crc32(self.content) if self.crc is None else self.crc
        stored = len(self.content) if self.stored is None else self.stored
        size = len(self.content) if self.size is None else self.size
        head = (self.needs, self.flags, self.method, self.time, self.date)
        return (*head, crc, stored, size, len(self.name), len(self.extra))

    def central_record(self, offset: int) -> bytes:
        tail = (len(self.comment), self.disk, self.internal, self.mode << 16)
        at = offset if self.offset is None else self.offset
        fixed = CENTRAL.pack(b"PK\1\2", self.made_by, *self.shared(), *tail, at)
        return fixed + self.name + self.extra + self.comment


def zip_of(entries: list[Entry]) -> bytes:
    body, directory = b"", b""
    for entry in entries:
        body += entry.gap
        directory += entry.central_record(len(body))
        body += entry.local_header() + entry.content
    end = END.pack(b"PK\5\6", 0, 0, len(entries), len(entries), len(directory), len(body), 0)
    return body + directory + end


def entries_of(bundle: bytes) -> list[Entry]:
    return [Entry(name.encode(), bytes(content)) for name, content in read_archive(bundle).items()]


def lie(name: str, **changes: object) -> Callable[[bytes], bytes]:
    """The bundle with one member's details changed."""

    def spoil(bundle: bytes) -> bytes:
        entries = entries_of(bundle)
        (entry,) = (entry for entry in entries if entry.name == name.encode())
        for key, value in changes.items():
            setattr(entry, key, value)
        return zip_of(entries)

    return spoil


def add(name: bytes, content: bytes = b"{}\n", **changes: object) -> Callable[[bytes], bytes]:
    """The bundle with one more member, in its sorted place."""

    def spoil(bundle: bytes) -> bytes:
        entry = Entry(name, content)
        for key, value in changes.items():
            setattr(entry, key, value)
        return zip_of(sorted([*entries_of(bundle), entry], key=lambda entry: entry.name))

    return spoil


def repack(**changes: bytes | None) -> Callable[[bytes], bytes]:
    """A sound archive of the members, some swapped or (None) left out; `__` in a name stands for the dot."""

    def spoil(bundle: bytes) -> bytes:
        members = {name: bytes(content) for name, content in read_archive(bundle).items()}
        for key, value in changes.items():
            name = key.replace("__", ".")
            members.pop(name, None)
            if value is not None:
                members[name] = value
        return write_archive(members)

    return spoil


def end(**changes: int) -> Callable[[bytes], bytes]:
    """The bundle with fields of its end record changed."""
    names = ("disk", "first_disk", "here", "count", "size", "start", "comment")

    def spoil(bundle: bytes) -> bytes:
        signature, *values = END.unpack(bundle[-END.size :])
        told = {**dict(zip(names, values, strict=True)), **changes}
        return bundle[: -END.size] + END.pack(signature, *told.values())

    return spoil


def deflated(bundle: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in read_archive(bundle).items():
            packed.writestr(name, bytes(content))
    return file.getvalue()


def stored_by_zipfile(bundle: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in read_archive(bundle).items():
            packed.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), bytes(content))
    return file.getvalue()


def bomb(bundle: bytes) -> bytes:
    """A deflated member of 10 KB that would become 10 MB."""
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = squeezed.compress(bytes(10 << 20)) + squeezed.flush()
    return add(b"report.json", packed, method=8, size=10 << 20)(bundle)


def overlapping(bundle: bytes) -> bytes:
    """Two directory entries over one local header, as in Fifield's bomb of 2019."""
    return lie("model.tflite", offset=0)(bundle)


def edit_manifest(**changes: object) -> Callable[[bytes], bytes]:
    def spoil(bundle: bytes) -> bytes:
        document = {**json.loads(bytes(read_archive(bundle)["manifest.json"])), **changes}
        text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
        return repack(manifest__json=text.encode())(bundle)

    return spoil


MODEL = b"\x1c\0\0\0TFL3"
Spoil = Callable[[bytes], bytes]

HOSTILE: dict[str, tuple[Spoil, str]] = {
    "empty file": (lambda b: b"", "the file is empty"),
    "text": (lambda b: b"hello, world\n" * 10, "not a bundle, which is a ZIP archive"),
    "a .tflite": (lambda b: MODEL + bytes(100), "not a bundle but a .tflite model"),
    "only the end": (lambda b: b[-22:], "is truncated: its directory reaches beyond the end"),
    "two letters": (lambda b: b"PK", "is truncated: its end record is missing"),
    "truncated by one byte": (lambda b: b[:-1], "is truncated: its end record is missing"),
    "truncated in the directory": (lambda b: b[:-60], "is truncated: its end record is missing"),
    "truncated in the middle": (lambda b: b[: len(b) // 2], "is truncated: its end record is missing"),
    "head cut off": (lambda b: b[10:], "not a bundle, which is a ZIP archive"),
    "bytes in front": (lambda b: b"PK\0\0" + b, "4 bytes before or within it that belong to no member"),
    "program in front": (lambda b: b"#!/bin/sh\n" + b, "not a bundle, which is a ZIP archive"),
    "bytes behind": (lambda b: b + b"more", "after its end another 4 bytes"),
    "bundle behind": (lambda b: b + b, "belong to no member"),
    "comment": (lambda b: b[:-2] + b"\4\0note", "a comment of 4 bytes"),
    "empty comment claimed": (end(comment=4), "has a comment, or is truncated within one"),
    "wrong checksum": (lie("model.tflite", crc=1), "member 'model.tflite' is damaged"),
    "one bit of the model": (lambda b: b.replace(b"TFL3\0", b"TFL3\1"), "member 'model.tflite' is damaged"),
    "same name twice": (add(b"model.tflite", MODEL), "two members named 'model.tflite'"),
    "same name but for case": (add(b"Model.tflite", MODEL), "'Model.tflite' and 'model.tflite' differ in case"),
    "unsorted": (lambda b: zip_of(entries_of(b)[::-1]), "are not sorted"),
    "unknown member": (add(b"readme.txt"), "member 'readme.txt' is not one that a bundle may have"),
    "traversal": (add(b"../../etc/cron.d/x"), "has a name that climbs out of its folder"),
    "traversal, Windows": (add(b"..\\..\\x"), "has a name that climbs out of its folder"),
    "absolute": (add(b"/etc/passwd"), "member '/etc/passwd' has an absolute path"),
    "absolute, Windows": (add(b"C:\\x"), "has an absolute path"),
    "folder": (add(b"folder/", b""), "lies in a folder"),
    "member in a folder": (add(b"a/model.tflite"), "lies in a folder"),
    "NUL in the name": (add(b"report.json\0.exe"), "has a NUL byte in its name"),
    "nameless": (add(b"", b""), "has a name with other characters"),
    "terminal escape in the name": (add(b"\x1b[2J"), r"member '\\x1b\[2J' has a name with other"),
    "name in other letters": (add("mоdel.tflite".encode()), "has a name with other characters"),
    "name of 60,000 bytes": (add(b"a" * 60_000), r"member 'a{57}\.\.\.' has a name with other"),
    "deflated": (deflated, r"is compressed \(deflate\)"),
    "bomb": (bomb, r"member 'report\.json' is compressed \(deflate\)"),
    "LZMA": (lie("model.tflite", method=14), r"is compressed \(LZMA\)"),
    "method of the future": (lie("model.tflite", method=77), r"is compressed \(method 77\)"),
    "encrypted": (lie("model.tflite", flags=1), "is encrypted"),
    "strongly encrypted": (lie("model.tflite", flags=1 << 6), "sets flags that no bundle uses"),
    "data descriptor": (lie("model.tflite", flags=8), "leaves its size to a data descriptor"),
    "UTF-8 flag": (lie("model.tflite", flags=1 << 11), "sets flags that no bundle uses"),
    "flag of the future": (lie("model.tflite", flags=1 << 15), "sets flags that no bundle uses"),
    "size above the file": (lie("model.tflite", stored=1 << 30, size=1 << 30), "states 1,073,741,824 bytes, more"),
    "two sizes": (lie("model.tflite", size=1 << 30), "states two different sizes"),
    "size short by one": (lie("model.tflite", stored=71, size=71), "is damaged"),
    "last one short by one": (lie("model.tflite", stored=71, size=71, crc=zlib.crc32(MODEL + bytes(range(63)))),
                              "hides 1 bytes that belong to no member"),
    "ZIP64 size": (lie("model.tflite", stored=0xFFFFFFFF, size=0xFFFFFFFF), "needs ZIP64"),
    "ZIP64 count": (end(count=0xFFFF, here=0xFFFF), "needs ZIP64"),
    "ZIP64 directory": (end(start=0xFFFFFFFF), "needs ZIP64"),
    "several disks": (end(disk=1), "is split over several disks"),
    "member on another disk": (lie("model.tflite", disk=1), "lies on another disk"),
    "more members counted": (end(count=4, here=4), "directory ends before member 4 of 4"),
    "fewer members counted": (end(count=2, here=2), "has 58 bytes after its last member"),
    "millions of members": (end(count=60_000, here=60_000), "has 60000 members; at most 16"),
    "directory beyond the end": (end(size=1 << 31), "its directory reaches beyond the end"),
    "directory somewhere else": (end(start=0), "bytes before or within it that belong to no member"),
    "directory over the members": (end(start=0, size=2_000_000), "is truncated: its directory reaches beyond"),
    "broken directory": (lambda b: b.replace(b"PK\1\2", b"PK\1\3"), "directory is broken at member 1 of 3"),
    "endless name": (lambda b: b[: b.rindex(b"PK\1\2") + 28] + b"\xff\xff" + b[b.rindex(b"PK\1\2") + 30 :],
                     "directory ends within member 3 of 3"),
    "overlapping members": (overlapping, "member 'model.tflite' overlaps the member before it"),
    "bytes between members": (lie("model.tflite", gap=b"hidden"), "6 bytes before member 'model.tflite'"),
    "offset beyond": (lie("model.tflite", offset=1 << 30), "bytes before member 'model.tflite' belong to no"),
    "other name in the local header": (lie("model.tflite", local={"name": b"MODEL.tflite"}), "contradicts"),
    "longer name in the local header": (lie("model.tflite", local={"name": b"modelx.tflite"}), "contradicts"),
    "other size in the local header": (lie("model.tflite", local={"size": 1}), "contradicts the archive's"),
    "other method in the local header": (lie("model.tflite", local={"method": 8}), "contradicts the archive's"),
    "other checksum in the local header": (lie("model.tflite", local={"crc": 0}), "contradicts the archive's"),
    "extra field in the local header": (lie("model.tflite", local={"extra": b"UT\0\0"}), "contradicts the archive"),
    "extra field": (lie("model.tflite", extra=b"UT\5\0\1\0\0\0\0"), "has an extra field"),
    "member comment": (lie("model.tflite", comment=b"hi"), "has a comment"),
    "symbolic link": (lie("model.tflite", mode=0o120777), "is a symbolic link"),
    "setuid": (lie("model.tflite", mode=0o104755), "has other file attributes"),
    "marked as text": (lie("model.tflite", internal=1), "has other file attributes"),
    "time of today": (lie("model.tflite", date=0x5B78), "has another time than 1980-01-01"),
    "made on Windows": (lie("model.tflite", made_by=20), "asks for another ZIP version"),
    "needs a later unzip": (lie("model.tflite", needs=63), "asks for another ZIP version"),
    "packed by zipfile": (stored_by_zipfile, "has other file attributes"),
    "seventeen members": (lambda b: zip_of([Entry(b"%c" % (97 + i), b"") for i in range(17)]), "has 17 members"),
    "no members": (lambda b: write_archive({}), "member 'model.tflite' is missing"),
    "no model": (repack(model__tflite=None), "member 'model.tflite' is missing"),
    "no manifest": (repack(manifest__json=None), "member 'manifest.json' is missing"),
    "model is a .h5": (repack(model__tflite=b"\x89HDF\r\n\x1a\n" + bytes(80)), "is not a .tflite model"),
    "model is empty": (repack(model__tflite=b""), "member 'model.tflite' is not a .tflite model"),
    "manifest is binary": (repack(manifest__json=b"\x80\x04\x95"), "manifest.json is not UTF-8"),
    "manifest is a list": (repack(manifest__json=b"[]\n"), "the document must be an object"),
    "manifest is endless nesting": (repack(manifest__json=b"[" * 500_000), "nests deeper than 16 levels"),
    "manifest above its limit": (repack(manifest__json=b" " * (1 << 20) + b"{}"), "at most 1,048,576 are accepted"),
    "manifest with an unknown key": (edit_manifest(licence="MIT"), "licence is not a key that this format knows"),
    "manifest with a wrong type": (edit_manifest(security_epoch="1"), "security_epoch must be a whole number"),
    "manifest with NaN": (edit_manifest(recipe={"x": float("nan")}), "holds NaN"),
    "format of the past": (edit_manifest(format=0), "format must be 1, and is 0"),
    "format that is no number": (edit_manifest(format="2"), "format must be a whole number"),
    "format that is true": (edit_manifest(format=True), "format must be a whole number"),
    "variant without a runtime": (add(b"model_edgetpu.tflite", MODEL), "runtime speaks of model.tflite, and the"),
    "runtime without a variant": (edit_manifest(runtime={"model.tflite": {}, "model_vela.tflite": {}}),
                                  "runtime speaks of model.tflite, model_vela.tflite, and the bundle holds"),
    "golden without a record": (edit_manifest(golden=None), "golden is null, and the bundle holds golden.npz"),
    "record without golden": (repack(golden__npz=None), "golden is given, and the bundle lacks golden.npz"),
}  # fmt: skip


def test_the_forger_can_also_write_the_bundle_itself(bundle: bytes) -> None:
    assert zip_of(entries_of(bundle)) == bundle


@pytest.mark.parametrize(("spoil", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_file_is_refused_in_its_own_words(bundle: bytes, spoil: Spoil, message: str) -> None:
    data = spoil(bundle)
    assert data != bundle
    tracemalloc.start()
    try:
        with pytest.raises(MalformedBundleError, match=message) as caught:
            read_unverified(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(data) + (1 << 20)
    finally:
        tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_what_people_mistake_for_a_bundle_has_a_remedy() -> None:
    with pytest.raises(MalformedBundleError) as caught:
        read_unverified(MODEL + bytes(100))
    assert caught.value.hint is not None
    assert "edgekit convert" in caught.value.hint


def test_newer_format_is_no_malformed_file(bundle: bytes) -> None:
    with pytest.raises(NewerFormatError, match="has format 7"):
        read_unverified(edit_manifest(format=7, min_edgekit="3.0.0", surprise=[])(bundle))


@given(data=st.data())
@settings(max_examples=400)
def test_a_bundle_with_other_bytes_is_never_accepted(smallest: bytes, data: st.DataObject) -> None:
    changed = bytearray(smallest)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed)))
        kind = data.draw(st.sampled_from(["set", "insert", "delete", "cut", "double"]))
        some = data.draw(st.binary(min_size=1, max_size=8))
        if kind == "set":
            changed[at : at + len(some)] = some
        elif kind == "insert":
            changed[at:at] = some
        elif kind == "delete":
            del changed[at : at + len(some)]
        elif kind == "cut":
            del changed[at:]
        else:
            changed[at:at] = changed[max(0, at - 40) : at]
    try:
        read_unverified(bytes(changed))
    except BundleError:
        return
    assert bytes(changed) == smallest


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=300)
def test_no_single_flipped_bit_is_accepted(bundle: bytes, at: float, bit: int) -> None:
    changed = bytearray(bundle)
    changed[int(at * len(changed))] ^= 1 << bit
    with pytest.raises(BundleError):
        read_unverified(bytes(changed))


@given(noise=st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    for data in (noise, b"PK\3\4" + noise, noise + END.pack(b"PK\5\6", 0, 0, 1, 1, len(noise), 0, 0)):
        with pytest.raises(BundleError):
            read_unverified(data)
