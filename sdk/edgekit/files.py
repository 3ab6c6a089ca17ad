"""Files at the edge: read whole under a cap, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgekit.archive import DEFAULT_LIMITS
from edgekit.errors import BundleError, EdgekitError, OutputError

if TYPE_CHECKING:
    from pathlib import Path  # which costs 4 ms to import, and reading a bundle needs none of it

_HINTS = {
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "the file system is mounted read-only: choose another folder",
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.EISDIR: "give the name of a file, not of a folder",
    errno.ENOSPC: "make room on the disk, or choose another folder",
    errno.EDQUOT: "make room in your quota, or choose another folder",
    errno.EEXIST: "remove the file that is there, or choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def read_capped(
    path: str | os.PathLike[str],
    limit: int = DEFAULT_LIMITS.total,
    *,
    error: type[EdgekitError] = BundleError,
) -> bytes:
    """Reads a regular file whole.

    Args:
        path: The file; a symbolic link is followed.
        limit: Bytes beyond which nothing is read; what a bundle may have, unless said otherwise.
        error: The class to raise, where the file is no bundle.

    Raises:
        BundleError: Or `error`: there is no such file, it is not regular, may not be read, or is too large.
    """
    path = os.fspath(path)
    try:
        # Without O_NONBLOCK, opening a FIFO that has no writer never returns; regular files ignore the flag.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _read_open(path, descriptor, limit, error)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise error(f"cannot read {path}: there is no such file", hint="check the path") from None
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        raise error(f"cannot read {path}: {_reason(problem)}", hint="check the path and its mode") from None


def _read_open(path: str, descriptor: int, limit: int, error: type[EdgekitError]) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise error(f"cannot read {path}: it is {kind}", hint="give the name of a file")
    if status.st_size > limit:
        sizes = f"it has {status.st_size:,} bytes, and at most {limit:,} are read"
        raise error(f"cannot read {path}: {sizes}", hint="is this the right file?")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        data = file.read(status.st_size + 1)
    if len(data) != status.st_size:
        raise error(f"cannot read {path}: it changed meanwhile", hint="try again when its writer is done")
    return data


def ensure_writable(path: Path) -> None:
    """Refuses an output path that cannot work, before any long work is done for it.

    An empty hidden file is made in the folder and removed again: modes alone do not tell what root, access
    lists and read-only or odd file systems allow.

    Args:
        path: Where `write_atomically` will be asked to write.

    Raises:
        OutputError: The folder is missing or takes no files, or `path` is something else than a regular file.
    """
    try:
        _refuse_special(path)
        probe = _temporary(path)
        write_through(probe, b"")
        probe.unlink()
    except (OSError, ValueError) as problem:
        raise cannot_write(path, problem) from None


def refuse_inputs(path: Path, taken: Mapping[Path, str]) -> None:
    """Refuses an output that is one of the files that are read.

    Args:
        path: Where the output shall go.
        taken: Path of a file that is read -> what it is, such as "the bundle".

    Raises:
        OutputError: It is one of them, under this name or another.
    """
    for other, what in taken.items():
        if is_same_file(path, other):
            raise OutputError(f"cannot write {path}: it is {what}", hint="choose another name")


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two names are one file, or would be."""
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return os.path.realpath(one) == os.path.realpath(other)


def _refuse_special(path: Path) -> None:
    """Refuses a path that no rename may replace; a missing file is fine."""
    if path.name in ("", ".."):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        hint = "give the name of a file, new or old"
        raise OutputError(f"cannot write {path}: it is not a regular file", hint=hint)


def write_atomically(path: Path, data: bytes, *, overwrite: bool = True, mode: int = 0o666) -> None:
    """Writes a file so that, whatever happens, `path` holds all of it or what it held before.

    The bytes go to a hidden file in the same folder, reach the disk, and then take the name; the new name
    reaches the disk before this returns. Where `path` is a symbolic link, the link is replaced. A file that is
    replaced hands its permissions on.

    Args:
        path: The file to write; its folder must exist.
        data: All of it.
        overwrite: False refuses to replace a file, even one that appears meanwhile.
        mode: Of a new file, less the umask, as open() has it: a result is as readable as any other of this user.

    Raises:
        OutputError: It cannot be written there, or exists and must not be overwritten.
    """
    try:
        _refuse_special(path)
        temporary = _temporary(path)
        try:
            _write_staged(temporary, path, data, mode)
            _publish(temporary, path, overwrite)
            sync_folder(path.parent)
        finally:
            # Also after KeyboardInterrupt. After a rename there is nothing left to remove.
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as problem:
        raise cannot_write(path, problem) from None


def write_all_atomically(contents: Mapping[Path, bytes]) -> None:
    """Writes several files as `write_atomically` does: all of them, or none.

    No name is taken before all bytes are on the disk. Where a name then cannot be taken, those that were get back
    what they held (but for a file system without hard links, which keeps the new files).

    Args:
        contents: Path -> all bytes of that file; the folders must exist.

    Raises:
        OutputError: One of them cannot be written.
    """
    staged: dict[Path, Path] = {}
    path = None
    try:
        for path, data in contents.items():
            _refuse_special(path)
            staged[path] = _temporary(path)
            _write_staged(staged[path], path, data)
        with contextlib.ExitStack() as tidy, contextlib.ExitStack() as undo:
            for path, temporary in staged.items():
                restore = _keep_old(path, tidy)
                temporary.replace(path)
                undo.callback(restore)
            undo.pop_all()
        for folder in {path.parent for path in contents}:
            sync_folder(folder)
    except (OSError, ValueError) as problem:
        assert path is not None
        raise cannot_write(path, problem) from None
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def _keep_old(path: Path, tidy: contextlib.ExitStack) -> Callable[[], object]:
    """Keeps what a path holds under a second name until `tidy` closes; the function gives it back."""
    old = _temporary(path)
    try:
        old.hardlink_to(path)
    except FileNotFoundError:
        return path.unlink
    except OSError:  # FAT has no hard links, and the kernel may forbid them to files of others
        return lambda: None
    tidy.callback(old.unlink, missing_ok=True)
    return lambda: old.replace(path)


def _temporary(path: Path) -> Path:
    return path.with_name(f".edgekit-{os.urandom(8).hex()}.tmp")


def _write_staged(temporary: Path, path: Path, data: bytes, mode: int = 0o666) -> None:
    """Writes what shall take a path's name, with the permissions of the regular file that has it."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        write_through(temporary, data, mode)
        return
    kept = stat.S_IMODE(status.st_mode) & 0o777
    write_through(temporary, data, kept)  # less the umask: at no time may more users read it
    with contextlib.suppress(OSError):  # FAT knows no permissions
        temporary.chmod(kept)


def write_through(path: Path, data: bytes | memoryview, mode: int = 0o666) -> None:
    """Writes a new file down to the disk; an OSError may leave a part of it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:  # one write() stops at 2 GiB, and where the disk becomes full
            rest = rest[file.write(rest) or 0 :]
        os.fsync(descriptor)


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        temporary.replace(path)
        return
    try:
        path.hardlink_to(temporary)  # unlike a rename, this fails where the name is taken
    except PermissionError:  # FAT has no hard links; then one check and a rename must do
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        temporary.replace(path)


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk, where its file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Some network and FUSE file systems cannot sync a folder; the file itself is on disk by now.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(problem: OSError | ValueError) -> str:
    text = problem.strerror if isinstance(problem, OSError) else None
    return (text or str(problem)).lower()


def cannot_write(path: Path, problem: OSError | ValueError) -> OutputError:
    """The error for a path that the operating system refuses to write, with what to do about it."""
    number = problem.errno if isinstance(problem, OSError) else None
    hint = _HINTS.get(number or 0, "choose another path")
    if number == errno.ENOENT:
        hint += f": mkdir -p {path.parent}"
    return OutputError(f"cannot write {path}: {_reason(problem)}", hint=hint)
