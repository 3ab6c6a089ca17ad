"""Runs a program on an emulated board: under QEMU, or through the system's own loader where the processor is at hand."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import select
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.endings import signal_name
from edgekit.errors import EmulatorError
from edgekit_converters.certify.boards import Board
from edgekit_converters.certify.fakes import lay_over
from edgekit_converters.certify.sysroot import Sysroot, require_tool

QEMU = {"arm64": "qemu-aarch64-static", "armhf": "qemu-arm-static", "amd64": "qemu-x86_64-static"}
ANY_X86 = "max"

FAULTS = frozenset(
    {
        signal.SIGILL,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGABRT,
        signal.SIGTRAP,
        signal.SIGSYS,
    }
)
"""Signals by which a program ends itself; any other came from outside and says nothing about the board."""

TAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program on a board ended by itself.

    Attributes:
        code: Its exit code; negative for a signal.
        stdout: What it wrote there.
        stderr: Likewise.
    """

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def fault(self) -> str | None:
        """The name of the signal that ended it, such as "SIGILL"."""
        return signal_name(-self.code) if self.code < 0 else None

    @property
    def tail(self) -> str:
        """The last of what it wrote."""
        return tail(self.stdout, self.stderr)


@dataclass(frozen=True, slots=True)
class Machine:
    """A board that programs can be run on.

    Attributes:
        board: Which.
        system: Its system.
        executable: A script that runs the board's Python. Python takes it for its own path, so that it can start children:
            without binfmt, no kernel starts a program of another processor by itself.
        emulator: QEMU and its version, or "none".
    """

    board: Board
    system: Sysroot
    executable: Path
    emulator: str

    def python(
        self,
        words: Sequence[str | Path],
        *,
        path: Sequence[Path],
        timeout_s: float,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """Runs the board's Python.

        Args:
            words: Its arguments.
            path: Folders for its sys.path.
            timeout_s: After so many seconds it is ended, with all that it started.
            folder: Where it runs; None for a folder of its own that is removed.
            environment: Beside the few variables that it always has.

        Raises:
            EmulatorError: It took too long, was ended from outside, or could not be started; with what it wrote.
        """
        command = [str(self.executable), *map(str, words)]
        with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
            variables = {
                "PATH": "/usr/bin:/bin",
                "HOME": scratch,
                "TMPDIR": scratch,
                "LANG": "C.UTF-8",
                "PYTHONNOUSERSITE": "1",
                "PYTHONHOME": str(self.system.root / "usr"),
                "PYTHONPATH": os.pathsep.join(map(str, path)),
                "OPENBLAS_NUM_THREADS": "1",
                **(environment or {}),
            }
            return run(command, variables, folder or Path(scratch), timeout_s, self.board.name)


@contextlib.contextmanager
def machine(board: Board, system: Sysroot, qemu_cpu: str | None = None) -> Iterator[Machine]:
    """Makes a board ready.

    Args:
        board: Which.
        system: The system of its architecture and release.
        qemu_cpu: Another model of QEMU's than the board's own; also emulates where the processor is at hand.

    Raises:
        SysrootError: QEMU is not installed.
    """
    native = board.processor is None and qemu_cpu is None and platform.machine() in ("x86_64", "AMD64")
    with tempfile.TemporaryDirectory(prefix="edgekit-board-") as name:
        overlay = Path(name)
        executable = overlay / "edgekit-python"
        if native:
            words, emulator = [*_loader(system), "--argv0"], "none"
        else:
            qemu = require_tool(QEMU[board.debian])
            lay_over(system.root, overlay, board)
            cpu = qemu_cpu or (board.processor.qemu if board.processor is not None else ANY_X86)
            words, emulator = [qemu, "-cpu", cpu, "-L", str(overlay), "-0"], _version(qemu)
        executable.write_text(
            f'#!/bin/sh\nexec {shlex.join(words)} "$0" {shlex.quote(str(system.python))} "$@"\n'
        )
        executable.chmod(0o755)
        yield Machine(board, system, executable, emulator)


def _loader(system: Sysroot) -> list[str]:
    """The system's own dynamic loader, which runs its programs without a chroot."""
    places = [system.root / "lib" / system.recipe.multiarch, *system.libraries]
    return [str(places[0] / "ld-linux-x86-64.so.2"), "--library-path", os.pathsep.join(map(str, places))]


def _version(qemu: str) -> str:
    done = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.stdout else Path(qemu).name


def run(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, timeout_s: float, where: str
) -> Ended:
    """Runs a program in a process group of its own, of which nothing is left afterwards.

    Args:
        command: The program and its arguments.
        environment: All of its variables.
        folder: Where it runs.
        timeout_s: After so many seconds it is ended.
        where: The name of the board, for messages.

    Raises:
        EmulatorError: It took too long, was ended from outside, or could not be started; with what it wrote.
    """
    # Files rather than pipes: whatever happens, what was written so far can be read, and nothing can block on them.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
                preexec_fn=_without_core_dumps,
            )
        except OSError as error:
            raise EmulatorError(
                f"{where}: {command[0]} cannot be started: {error.strerror or error}"
            ) from error
        try:
            in_time = _has_ended(process.pid, timeout_s)
        finally:  # before it is reaped, so that the number cannot be another process's by now
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            _, status = os.waitpid(process.pid, 0)
            code = process.returncode = os.waitstatus_to_exitcode(status)
        written = [_all_of(file.fileno()) for file in (out, err)]
    said = tail(*written)
    told = f"; its last words:\n{said}" if said else ", and wrote nothing"
    if not in_time:
        raise EmulatorError(
            f"{where}: the program was still running after {timeout_s:g} s and was ended{told}",
            hint="a larger model needs more time: --timeout SECONDS",
        )
    if code < 0 and -code not in FAULTS:
        raise EmulatorError(
            f"{where}: the emulator was ended from outside, by {signal_name(-code)}{told}",
            hint="the system may have run out of memory: close other programs and try again",
        )
    return Ended(code, written[0], written[1])


def _without_core_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _has_ended(pid: int, timeout_s: float) -> bool:
    """Waits for a child to end, without reaping it."""
    descriptor = os.pidfd_open(pid)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def _all_of(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0)


def tail(stdout: bytes, stderr: bytes) -> str:
    """The end of what a program wrote, stderr last."""
    both = stdout.decode("utf-8", "replace") + stderr.decode("utf-8", "replace")
    return both.strip()[-TAIL_CHARACTERS:]
