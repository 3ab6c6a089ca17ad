"""A disk whose power can be cut: records what a writer does, then lists every disk that can be found afterwards.

What counts as legal is what POSIX leaves open, not what one file system does: until a file is synced, any part of a
write may be there, the rest missing, zero, or stale; until a folder is synced, any of its new, renamed and removed
names may be there or not, in any combination, also with both names of a rename. Syncing a file does not sync its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from edgekit.durable import Disk

STALE = 0xA5


class Killed(BaseException):
    """The process died before this call; nothing that it would still do happens."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that changes the disk, or a note of the test."""

    kind: str
    path: str = ""
    file: int = 0
    data: bytes = b""
    at: int = 0
    epoch: int = 0


@dataclass(slots=True)
class Log:
    """What was done, shared by several disks where one process follows another.

    Attributes:
        calls: In order.
        files: Inode -> number of the file that has it now; inodes are used again, numbers are not.
    """

    calls: list[Call] = field(default_factory=list)
    files: dict[int, int] = field(default_factory=dict)

    def returned(self, epoch: int) -> None:
        """Notes that a raise to this epoch has returned to its caller."""
        self.calls.append(Call("returned", epoch=epoch))


class RecordingDisk(Disk):
    """Does everything for real below one folder, and records it.

    Args:
        root: Where the log's paths start.
        log: Where to.
        dies_after: Calls after which the process is dead; None: it lives.
    """

    def __init__(self, root: Path, log: Log, dies_after: int | None = None) -> None:
        self._root = str(root)
        self._log = log
        self._left = dies_after
        self._open: dict[int, int] = {}

    def _note(self, call: Call) -> None:
        if self._left == 0:
            raise Killed
        if self._left is not None:
            self._left -= 1
        self._log.calls.append(call)

    def _below(self, path: str) -> str:
        return path.removeprefix(self._root)

    def open(self, path: str, flags: int) -> int:
        files = self._log.files
        if os.path.lexists(path):
            descriptor = super().open(path, flags)
        else:
            file = len(self._log.calls)
            self._note(Call("create", self._below(path), file))
            descriptor = super().open(path, flags)
            files[os.fstat(descriptor).st_ino] = file
        self._open[descriptor] = files[os.fstat(descriptor).st_ino]
        return descriptor

    def close(self, descriptor: int) -> None:
        super().close(descriptor)  # also where the process is dead: the kernel closes its files

    def write(self, descriptor: int, data: memoryview) -> int:
        at = os.lseek(descriptor, 0, os.SEEK_CUR)
        self._note(Call("write", file=self._open[descriptor], data=bytes(data), at=at))
        return super().write(descriptor, data)

    def empty(self, descriptor: int) -> None:
        self._note(Call("empty", file=self._open[descriptor]))
        super().empty(descriptor)

    def sync(self, descriptor: int) -> None:
        self._note(Call("sync", file=self._open[descriptor]))

    def rename(self, old: str, new: str) -> None:
        file = self._log.files[Path(old).stat().st_ino]
        self._note(Call("rename", self._below(old), file, self._below(new).encode()))
        super().rename(old, new)

    def remove(self, path: str) -> None:
        self._note(Call("remove", self._below(path)))
        super().remove(path)

    def make_folder(self, path: str) -> None:
        self._note(Call("folder", self._below(path)))
        super().make_folder(path)

    def sync_folder(self, path: str) -> None:
        if path == self._root or path.startswith(f"{self._root}/"):
            self._note(Call("sync_folder", self._below(path)))


@dataclass(slots=True)
class _Pending:
    """What is on the disk for sure, and what may be."""

    sure: dict[str, int] = field(default_factory=dict)
    names: list[Call] = field(default_factory=list)


Found = frozenset[tuple[str, bytes | None]]
"""One disk after the cut: path -> content, None for a folder."""


def disks_after(calls: list[Call]) -> set[Found]:
    """Every disk that a power cut right after these calls may leave."""
    contents: dict[int, set[bytes]] = {}
    folders: dict[str, _Pending] = {"": _Pending()}
    now: dict[int, bytes] = {}
    for call in calls:
        _apply(call, contents, folders, now)
    return set(_found(contents, folders))


def _apply(
    call: Call, contents: dict[int, set[bytes]], folders: dict[str, _Pending], now: dict[int, bytes]
) -> None:
    if call.kind == "create":
        contents[call.file], now[call.file] = {b""}, b""
    elif call.kind == "write":
        contents[call.file] = {torn for old in contents[call.file] for torn in _torn(old, call.at, call.data)}
        old = now[call.file].ljust(call.at, b"\0")
        now[call.file] = old[: call.at] + call.data + old[call.at + len(call.data) :]
    elif call.kind == "empty":
        contents[call.file] |= {b""}
        now[call.file] = b""
    elif call.kind == "sync":
        contents[call.file] = {now[call.file]}
    elif call.kind == "folder":
        folders.setdefault(call.path, _Pending())
    if call.kind in ("create", "remove", "rename", "folder"):
        folders[call.path.rpartition("/")[0]].names.append(call)
    if call.kind == "sync_folder":
        folder = folders[call.path]
        for each in folder.names:
            folder.sure = _named(folder.sure, each)[-1]
        folder.names = []


def _torn(old: bytes, at: int, data: bytes) -> Iterator[bytes]:
    """What a write can leave: nothing, all, or a part with the rest missing, zero or stale, from either end."""
    base = old.ljust(at, b"\0")
    head, tail = base[:at], base[at + len(data) :]
    yield old
    for cut in range(len(data) + 1):
        rest = len(data) - cut
        yield head + data[:cut] + base[at + cut :]
        for filler in (0, STALE):
            yield head + data[:cut] + bytes([filler]) * rest + tail
            yield head + bytes([filler]) * cut + data[cut:] + tail


def _named(names: dict[str, int], call: Call) -> list[dict[str, int]]:
    """A folder's names after a call that may or may not have reached the disk; the last one: it has."""
    without = {name: file for name, file in names.items() if name != call.path}
    if call.kind == "remove":
        return [names, without]
    if call.kind in ("create", "folder"):
        return [names, {**names, call.path: call.file}]
    new = call.data.decode()
    both = {**names, call.path: call.file, new: call.file}
    return [names, both, {**without, new: call.file}]


def _found(contents: dict[int, set[bytes]], folders: dict[str, _Pending]) -> Iterator[Found]:
    choices = []
    for path, folder in folders.items():
        possible = [folder.sure]
        for call in folder.names:
            possible = [after for before in possible for after in _named(before, call)]
        choices.append([(path, dict(names)) for names in {tuple(sorted(each.items())) for each in possible}])
    for chosen in product(*choices):
        yield from _filled(dict(chosen), contents)


def _filled(folders: dict[str, dict[str, int]], contents: dict[int, set[bytes]]) -> Iterator[Found]:
    names: dict[str, int | None] = {}
    reached = [""]
    while reached:
        for name, file in folders[reached.pop()].items():
            names[name] = None if name in folders else file
            if name in folders:
                reached.append(name)
    files = sorted({file for file in names.values() if file is not None})
    for filling in product(*(sorted(contents[file]) for file in files)):
        holds = dict(zip(files, filling, strict=True))
        yield frozenset((name, None if file is None else holds[file]) for name, file in names.items())


def lay_out(found: Found, root: Path) -> None:
    """Makes a found disk real below an empty folder."""
    for name, content in sorted(found, key=lambda each: each[0]):
        path = f"{root}{name}"
        if content is None:
            os.mkdir(path, 0o700)  # noqa: PTH102 -- thousands of times
        else:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(descriptor, content)
            os.close(descriptor)
