"""Runs a child process that may do anything: its time and its words are bounded, and its whole group ends with it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

_CHUNK = 1 << 16
_WORDS = 1 << 16  # of stderr: the last ones are kept


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Attributes:
        code: Its exit code; negative for a signal; None where it took too long, or said too much, and was killed.
        said: Its stdout, up to what was allowed.
        words: The end of its stderr.
        overflow: Whether it wrote more to stdout than was allowed.
        ms: From its start to its end.
    """

    code: int | None
    said: bytes
    words: bytes
    overflow: bool
    ms: float


def run(
    command: Sequence[str], data: bytes, *, environment: Mapping[str, str], timeout_s: float, most: int
) -> Ended:
    """Runs a child to its end, whatever that is.

    Args:
        command: What to run.
        data: Its stdin: a file without a name that nobody else can change.
        environment: All of it.
        timeout_s: After so many seconds it is killed, with its process group.
        most: Bytes of stdout; with more it is killed.

    Raises:
        OSError: It cannot be started.
    """
    started = time.monotonic()
    with _nameless(data) as given:
        child = subprocess.Popen(
            command,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        )
    assert child.stdout is not None
    assert child.stderr is not None
    deadline = started + timeout_s
    try:
        said, words = _listen(child.stdout, child.stderr, deadline, most)
        done = len(said) <= most and _has_ended(child, deadline)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # before it is waited for: until then the number is its own
        child.stdout.close()
        child.stderr.close()
        code = child.wait()
    ms = (time.monotonic() - started) * 1e3
    return Ended(code if done else None, bytes(said[:most]), bytes(words), len(said) > most, ms)


def _nameless(data: bytes) -> IO[bytes]:
    """A file with these bytes that has no name, at its start; in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = os.fdopen(os.memfd_create("bundle"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.write(data)
    file.seek(0)
    return file


def _listen(stdout: IO[bytes], stderr: IO[bytes], deadline: float, most: int) -> tuple[bytearray, bytearray]:
    """Reads both until they are closed, the time is over, or stdout says too much."""
    said, words = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ, said)
        selector.register(stderr, selectors.EVENT_READ, words)
        while selector.get_map() and len(said) <= most:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                key.data.extend(chunk)
            del words[: -_WORDS or None]
    return said, words


def _has_ended(child: subprocess.Popen[bytes], deadline: float) -> bool:
    """Waits for the child without taking its exit code, so that its number stays its own."""
    while True:
        try:
            if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
                return True
        except ChildProcessError:  # the application has the system reap its children
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.002)
