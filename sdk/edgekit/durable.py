"""A small file that a power cut can neither lose nor break: `DurableFile`.

Its write sequence is: a new file, fsync, rename over the old one, fsync of the folder. A lock file beside it lets one
process write at a time; readers take no lock, for a rename shows them the old file or the new one.

What is renamed and not yet synced can be read, and a power cut can take it back. So the lock file holds one byte from
before the rename until after the sync: where a writer was killed in between, the next one finds the byte and syncs.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from errno import EINVAL, ENOTSUP

from edgekit.errors import StateError

TYPE_CHECKING = False  # type checkers take it for typing's
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

BROKEN = "find out what wrote it; restore it from a copy, or have the device provisioned anew"
"""What to do about a file that edgekit did not leave like this."""

_POLL_S = 0.01
_MARK = b"1"


class Disk:
    """The system calls of the write sequence, apart so that a test can record them and cut the power at each."""

    def open(self, path: str, flags: int) -> int:
        """Opens a file that only this user may read; a symbolic link in its place is refused."""
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def close(self, descriptor: int) -> None:
        """Closes what `open` gave, and drops the lock on it."""
        os.close(descriptor)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Writes some of the data at the descriptor's position; returns how many bytes."""
        return os.write(descriptor, data)

    def empty(self, descriptor: int) -> None:
        """Cuts a file to nothing and goes back to its begin."""
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)

    def sync(self, descriptor: int) -> None:
        """Brings the file's bytes to the disk; not its name."""
        os.fsync(descriptor)

    def rename(self, old: str, new: str) -> None:
        """Gives the file `old` the name `new`, and takes it from whatever had it."""
        os.rename(old, new)

    def remove(self, path: str) -> None:
        """Removes a file's name."""
        os.unlink(path)

    def make_folder(self, path: str) -> None:
        """Makes a folder that is this user's alone."""
        os.mkdir(path, 0o700)

    def sync_folder(self, path: str) -> None:
        """Brings a folder's names to the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as problem:
            if problem.errno not in (EINVAL, ENOTSUP):  # some FUSE file systems cannot sync a folder
                raise
        finally:
            os.close(descriptor)


DISK = Disk()


class DurableFile:
    """One file of at most `limit` bytes in a folder of this user's own.

    Every method raises OSError where the system refuses, and StateError where it is not to be relied on.
    """

    def __init__(self, folder: str, name: str, *, limit: int, wait_s: float, disk: Disk = DISK) -> None:
        """Names the file; nothing is touched.

        Args:
            folder: Absolute; it and its parents are made at the first write.
            name: Of the file.
            limit: Bytes that it may have.
            wait_s: Seconds to wait for another process that is writing.
            disk: The system calls.
        """
        self.folder = folder
        self.path = f"{folder}/{name}"
        self._new = f"{self.path}.new"
        self._lock = f"{self.path}.lock"
        self._limit = limit
        self._wait_s = wait_s
        self._disk = disk

    def read(self) -> bytes | None:
        """The content, or None where the file was never written."""
        try:
            _refuse_shared(os.stat(self.folder), self.folder)
            # O_NONBLOCK: opening a FIFO that has no writer would never return.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            _refuse_special(descriptor, self.path)
            return self._read_whole(descriptor)
        finally:
            os.close(descriptor)

    def _read_whole(self, descriptor: int) -> bytes:
        pieces = []
        room = self._limit + 1
        while room and (piece := os.read(descriptor, room)):
            pieces.append(piece)
            room -= len(piece)
        if not room:
            raise StateError(f"{self.path} has more than {self._limit:,} bytes", hint=BROKEN)
        return b"".join(pieces)

    def is_settled(self) -> bool:
        """Whether what `read` gave before this call will also be there after a power cut."""
        try:
            return os.stat(self._lock).st_size == 0
        except FileNotFoundError:
            return True

    def update(self, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replaces the content; when this returns, it is on the disk.

        Args:
            change: Given the content (or None), returns the new one, or None to leave it. It runs under the lock.

        Raises:
            StateError: Another process holds the lock for too long, or the new content is too large.
        """
        self._make_folders()
        _refuse_shared(os.stat(self.folder), self.folder)
        with _Lock(self._lock, self._disk, self._wait_s) as lock:
            before = self.read()
            if os.fstat(lock.descriptor).st_size:
                self._settle(lock)
            after = change(before)
            if after is not None:
                if len(after) > self._limit:
                    hint = "remove the names that no bundle of this device has any more"
                    raise StateError(f"{self.path} would have more than {self._limit:,} bytes", hint=hint)
                self._replace(after, lock)
                self._settle(lock, first=before is None)

    def _make_folders(self) -> None:
        missing = []
        folder = self.folder
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for folder in reversed(missing):
            try:
                self._disk.make_folder(folder)
            except FileExistsError:  # another process was faster, or a file is in the way
                if not os.path.isdir(folder):
                    raise

    def _replace(self, data: bytes, lock: _Lock) -> None:
        # A name left by a killed writer goes first: after a power cut it can be a second name of the live file.
        self._remove_new()
        try:
            descriptor = self._disk.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[self._disk.write(descriptor, rest) :]
                self._disk.sync(descriptor)
            finally:
                self._disk.close(descriptor)
            lock.mark()
            self._disk.rename(self._new, self.path)
        finally:
            self._remove_new()

    def _remove_new(self) -> None:
        if os.path.lexists(self._new):
            self._disk.remove(self._new)

    def _settle(self, lock: _Lock, *, first: bool = True) -> None:
        """Brings the renamed file's name to the disk; `first`: also the names of the folders above it."""
        folder = self.folder
        self._disk.sync_folder(folder)
        while first and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
            try:
                self._disk.sync_folder(folder)
            except PermissionError:  # a folder that this user may not even list: none of ours was made in it
                break
        lock.unmark()


class _Lock:
    """The lock file, locked: one process, and one thread of it, at a time."""

    def __init__(self, path: str, disk: Disk, wait_s: float) -> None:
        self._path = path
        self._disk = disk
        self._wait_s = wait_s
        self.descriptor = -1

    def __enter__(self) -> _Lock:
        self.descriptor = self._disk.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK)
        try:
            _refuse_special(self.descriptor, self._path)
            self._wait()
        except BaseException:
            self._disk.close(self.descriptor)
            raise
        return self

    def _wait(self) -> None:
        until = time.monotonic() + self._wait_s
        while True:
            try:
                # The lock belongs to the open file, so threads exclude each other too; a dead process has none.
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    waited = f"another process has held {self._path} for {self._wait_s:g} s"
                    raise StateError(
                        waited, hint="see which one, and whether it hangs: fuser -v FILE"
                    ) from None
                time.sleep(_POLL_S)
            else:
                return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disk.close(self.descriptor)

    def mark(self) -> None:
        """Notes that a rename comes that is not yet synced."""
        self._disk.write(self.descriptor, memoryview(_MARK))

    def unmark(self) -> None:
        """Notes that all is synced."""
        self._disk.empty(self.descriptor)


def _refuse_special(descriptor: int, path: str) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise StateError(f"{path} is not a regular file", hint=BROKEN)
    _refuse_shared(status, path)


def _refuse_shared(status: os.stat_result, path: str) -> None:
    """Refuses what another user than this one (and root) could have written, or will want to read."""
    if status.st_uid != os.geteuid():
        whose = f"{path} belongs to user {status.st_uid}, and this is user {os.geteuid()}"
        raise StateError(whose, hint="run as that user, or name a folder of your own in EDGEKIT_STATE")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StateError(f"{path} can be written by other users", hint=f"chmod go-w {path}")
