"""Landlock, Linux's sandbox for whoever wants to be in one, by its three system calls.

There is no binding in Python's standard library. Numbers and structures are those of Linux's
include/uapi/linux/landlock.h and Documentation/userspace-api/landlock.rst; the numbers are the same on every
processor that Linux added since 5.1, and so on x86-64 and Arm.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Version of the interface -> all rights on files that it knows; later versions know no more."""

_TCP = 0b11  # bind and connect, from version 4
_SCOPES = 0b11  # abstract unix sockets and signals to processes outside, from version 6


def version() -> int:
    """The version of the interface that this kernel has; 0 where it has none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(_call(_CREATE, None, 0, _VERSION_FLAG), 0)


def restrict(readable: Iterable[str], writable: Iterable[str] = ()) -> int:
    """Take from this thread, and all that it will start, every right on files but those named.

    Nothing may be run as a program. From version 4 on, TCP is denied; from version 6 on, signals to processes
    outside. `PR_SET_NO_NEW_PRIVS` must be set.

    Args:
        readable: Files and folders, with all below, to read.
        writable: Devices, or folders of them, to read, write and control. What does not exist is left out.

    Returns:
        The version that is in force; 0 where the kernel has none, or refuses.
    """
    found = version()
    if not found:
        return 0
    files = _RIGHTS[min(found, 5)]
    net, scopes = (_TCP if found >= 4 else 0), (_SCOPES if found >= 6 else 0)
    attributes = struct.pack("<QQQ", files, net, scopes)[: 8 if found < 4 else 16 if found < 6 else 24]
    ruleset = _call(_CREATE, attributes, len(attributes), 0)
    if ruleset < 0:
        return 0
    try:
        for path in readable:
            _allow(ruleset, path, _READ_FILE | _READ_DIR)
        for path in writable:
            _allow(ruleset, path, (_READ_FILE | _READ_DIR | _WRITE_FILE | _IOCTL_DEV) & files)
        return found if _call(_RESTRICT, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _ON_FILES
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("<Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: int | bytes | None) -> int:
    """A system call; -1 where it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *given)
    return result
