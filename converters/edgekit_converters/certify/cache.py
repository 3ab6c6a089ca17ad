"""The user's cache folder, and the lock that keeps two builders of one thing apart."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import SysrootError

VARIABLE = "EDGEKIT_CACHE"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where edgekit keeps what it can build again: $EDGEKIT_CACHE, or edgekit below $XDG_CACHE_HOME or ~/.cache."""
    own = environment.get(VARIABLE)
    if own:
        return Path(own).absolute()
    shared = environment.get("XDG_CACHE_HOME")
    # The XDG base directory specification: a relative path is to be ignored.
    base = Path(shared) if shared and Path(shared).is_absolute() else Path.home() / ".cache"
    return base / "edgekit"


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds a file lock, which the system gives back however this process ends.

    Args:
        path: The lock file, which stays; its folder is made.
        waiting: Is called once if another process holds it, before waiting for that.

    Raises:
        SysrootError: The file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise SysrootError(
            f"cannot use the cache folder {path.parent}: {(error.strerror or str(error)).lower()}",
            hint=f"set ${VARIABLE} to a folder that you may write to",
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
