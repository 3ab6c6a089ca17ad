"""The boards that the suite runs on: emulated ones, and a real one over ssh."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest

from edgekit.errors import SysrootError
from edgekit_converters.certify.boards import Board as EmulatedKind
from edgekit_converters.certify.certifying import plan, prepare_systems, recipe_of
from edgekit_converters.certify.emulator import QEMU, Machine, machine
from edgekit_converters.certify.recipes import Recipe
from edgekit_converters.certify.sysroot import pip_install, require_tool

VARIABLE = "EDGEKIT_BOARD"
NEEDED_VARIABLE = "EDGEKIT_NEEDS_BOARDS"
PYTHON_VARIABLE = "EDGEKIT_BOARD_PYTHON"
SSH_VARIABLE = "EDGEKIT_BOARD_SSH_OPTIONS"

TIMEOUT_S = 240.0

EMULATED = (
    "raspberry-pi-zero-2-w",
    "raspberry-pi-3",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "linux-armhf",
)
"""Targets; what stands for them is what ``edgekit certify`` emulates."""


@dataclass(frozen=True)
class Outcome:
    """How a program on a board ended.

    Attributes:
        code: Its exit code; negative for a signal.
        stdout: What it wrote there.
        stderr: Likewise.
    """

    code: int
    stdout: str
    stderr: str


class Board(Protocol):
    """A board with edgekit installed, from the wheel that this source builds."""

    name: str
    machine: str

    def run(self, argv: Sequence[str], files: Mapping[str, bytes] | None = None) -> Outcome:
        """Runs a program in a new folder.

        Args:
            argv: The first word is "python", or "edgekit" for the command.
            files: Name -> content, for the folder.
        """


def require_emulation() -> None:
    """Skips where QEMU or mmdebstrap is missing; in continuous integration that is a failure."""
    try:
        for tool in (*QEMU.values(), "mmdebstrap"):
            require_tool(tool)
    except SysrootError as error:
        if os.environ.get(NEEDED_VARIABLE):
            raise
        pytest.skip(f"{error}: {error.hint}")


def build_wheel(source: Path, folder: Path) -> Path:
    """The wheel of edgekit, as it would be published."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("edgekit-*.whl")
    return wheel


def install_for(recipe: Recipe, wheel: Path, site: Path) -> None:
    """Installs a wheel and what it needs for a system's Python, all of it as wheels but for what Debian brings."""
    if recipe.debian == "armhf":  # numpy and cryptography come from Debian there
        words = ["--no-deps", str(wheel), "click>=8.1"]
    else:
        pins = [f"{each.name}=={each.version}" for wheels in recipe.sites.values() for each in wheels]
        words = [str(wheel), *(pin for pin in pins if pin.startswith("numpy"))]
    done = subprocess.run(pip_install(recipe, site, *words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class EmulatedBoard:
    """A board under QEMU.

    Attributes:
        name: Of the target.
        machine: What ``uname -m`` says there.
        emulator: The machine.
        site: Where edgekit is installed for it.
    """

    name: str
    machine: str
    emulator: Machine
    site: Path

    def run(self, argv: Sequence[str], files: Mapping[str, bytes] | None = None) -> Outcome:
        words = list(argv[1:]) if argv[0] == "python" else ["-m", "edgekit", *argv[1:]]
        runtime = self.emulator.board.runtimes[0]
        with tempfile.TemporaryDirectory(prefix="edgekit-board-files-") as name:
            folder = Path(name)
            for file, content in (files or {}).items():
                (folder / file).write_bytes(content)
            path = [self.site, self.emulator.system.site(runtime)]
            ended = self.emulator.python(words, path=path, timeout_s=TIMEOUT_S, folder=folder)
        return Outcome(
            ended.code, ended.stdout.decode("utf-8", "replace"), ended.stderr.decode("utf-8", "replace")
        )


class Emulation:
    """Makes emulated boards; each system is built, and edgekit installed for it, once."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self._wheel = wheel
        self._folder = folder
        self._stack = ExitStack()
        self._boards: dict[str, EmulatedBoard] = {}
        self._sites: dict[str, Path] = {}

    def board(self, target: str) -> EmulatedBoard:
        if target not in self._boards:
            _, kind = plan([target]).boards
            self._boards[target] = self._make(kind)
        return self._boards[target]

    def close(self) -> None:
        self._stack.close()

    def _make(self, kind: EmulatedKind) -> EmulatedBoard:
        recipe = recipe_of(kind)
        system = prepare_systems([kind])[recipe.name]
        if recipe.name not in self._sites:
            site = self._folder / recipe.name
            install_for(recipe, self._wheel, site)
            self._sites[recipe.name] = site
        emulator = self._stack.enter_context(machine(kind, system))
        uname = {"arm64": "aarch64", "armhf": "armv7l"}[recipe.debian]
        return EmulatedBoard(kind.name, uname, emulator, self._sites[recipe.name])


@dataclass(frozen=True)
class SshBoard:
    """A real board.

    Attributes:
        name: Its address, as it was given.
        machine: What ``uname -m`` says there.
        ssh: The words that log in.
        folder: A folder of the suite's own there.
    """

    name: str
    machine: str
    ssh: tuple[str, ...]
    folder: str

    def run(self, argv: Sequence[str], files: Mapping[str, bytes] | None = None) -> Outcome:
        where = f"{self.folder}/run"
        quoted = shlex.quote(where)
        self.shell(f"rm -rf {quoted} && mkdir {quoted} && tar -x -C {quoted}", _tar(files or {}))
        words = [f"{self.folder}/venv/bin/{argv[0]}", *argv[1:]]
        # Not the shell's last word, or it would be replaced, and ssh says 255 of whatever ends by a signal.
        done = self.try_shell(f"cd {quoted} || exit 127; {shlex.join(words)}; exit $?")
        code = done.returncode if done.returncode <= 128 else 128 - done.returncode
        return Outcome(code, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    def try_shell(self, line: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.ssh, line], input=given, capture_output=True, timeout=TIMEOUT_S * 5, check=False
        )

    def shell(self, line: str, given: bytes = b"") -> str:
        done = self.try_shell(line, given)
        assert done.returncode == 0, f"{self.name}: {line}: {done.stderr.decode('utf-8', 'replace')}"
        return done.stdout.decode("utf-8", "replace")


def _tar(files: Mapping[str, bytes]) -> bytes:
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, BytesIO(content))
    return stream.getvalue()


@contextmanager
def ssh_board(address: str, wheel: Path) -> Iterator[SshBoard]:
    """Logs in, installs the wheel with the runtime of that processor, and removes all of it at the end.

    Args:
        address: ssh://[user@]host[:port]. $EDGEKIT_BOARD_SSH_OPTIONS adds options of ssh, and $EDGEKIT_BOARD_PYTHON names
            another Python there than python3.
        wheel: Of edgekit.
    """
    parts = urlsplit(address)
    assert parts.scheme == "ssh", f"${VARIABLE} is {address!r}, and should be like ssh://pi@host"
    assert parts.hostname, f"${VARIABLE} is {address!r}, and names no host"
    user = f"{parts.username}@" if parts.username else ""
    port = ("-p", str(parts.port)) if parts.port else ()
    options = tuple(shlex.split(os.environ.get(SSH_VARIABLE, "")))
    ssh = ("ssh", "-o", "BatchMode=yes", *options, *port, f"{user}{parts.hostname}")
    board = SshBoard(address, "", ssh, "")
    folder = board.shell('mktemp -d "${TMPDIR:-/tmp}/edgekit-board-XXXXXX"').strip()
    board = SshBoard(address, board.shell("uname -m").strip(), ssh, folder)
    try:
        quoted, python = shlex.quote(folder), os.environ.get(PYTHON_VARIABLE, "python3")
        board.shell(f"tar -x -C {quoted}", _tar({wheel.name: wheel.read_bytes()}))
        narrow = board.machine.startswith("armv")
        venv = f"{shlex.quote(python)} -m venv {'--system-site-packages ' * narrow}{quoted}/venv"
        extra = "runtime-legacy" if narrow else "runtime"
        wanted = shlex.quote(f"{folder}/{wheel.name}[{extra}]")
        board.shell(f"{venv} && {quoted}/venv/bin/python -m pip install --quiet {wanted}")
        yield board
    finally:
        board.try_shell(f"rm -rf {shlex.quote(folder)}")
