"""A real OpenSSH server on the loopback interface, run by the user who runs the tests: the device of the tests."""

from __future__ import annotations

import getpass
import os
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"

SSHD = shutil.which(
    "sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
)
MISSING = [name for name in ("ssh", "ssh-keygen") if shutil.which(name) is None] + ["sshd"] * (SSHD is None)

_CONFIG = """
ListenAddress {host}
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv HOME={home} TMPDIR={scratch} PATH=/usr/bin:/bin
"""


@dataclass(frozen=True)
class Device:
    """A running server, and what it has of a device of its own.

    Attributes:
        port: That it listens to.
        folder: Its keys: "user" logs in, "noisy" logs in and is greeted on stdout first, "stranger" does not.
        home: The home folder of its sessions.
        scratch: Where its sessions make temporary files.
        process: The server.
    """

    port: int
    folder: Path
    home: Path
    scratch: Path
    process: subprocess.Popen[bytes]

    def options(self, key: str = "user", known_hosts: str = "known_hosts", port: int = 0) -> list[str]:
        """Options of ssh that reach it without a question."""
        return [
            f"Port={port or self.port}",
            f"IdentityFile={self.folder / key}",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={self.folder / known_hosts}",
            "GlobalKnownHostsFile=none",
        ]

    def edgekit(self, name: str, body: str | None = None) -> str:
        """Puts a command there, the real edgekit unless the body of a shell script says otherwise."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        paths = shlex.quote(os.pathsep.join(path for path in sys.path if path))
        real = f'PYTHONPATH={paths} exec {shlex.quote(sys.executable)} -m edgekit "$@"'
        path.write_text(f"#!/bin/sh\n{body or real}\n")
        path.chmod(0o755)
        return str(path)

    def drop_connections(self) -> None:
        """Kills the processes that serve connections, as a power cut would."""
        for pid in _children(self.process.pid):
            for session in (*_children(pid), pid):
                _kill(session)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _kill(pid: int) -> None:
    if "sshd" in Path(f"/proc/{pid}/comm").read_text():  # not what a session runs
        os.kill(pid, signal.SIGKILL)


@contextmanager
def running(folder: Path, largest_file: int | None = None) -> Iterator[Device]:
    """Starts the server and ends it.

    Args:
        folder: For its files.
        largest_file: Bytes that a file may have that a session writes, as on a disk with little room.
    """
    assert SSHD is not None
    home, scratch = folder / "home", folder / "scratch"
    home.mkdir()
    scratch.mkdir()
    public = {name: _make_key(folder / name) for name in ("host", "other-host", "user", "noisy", "stranger")}
    greeted = f'command="printf welcome; exec sh -c \\"$SSH_ORIGINAL_COMMAND\\"" {public["noisy"]}'
    (folder / "authorized_keys").write_text(f"{public['user']}\n{greeted}\n")
    port = _free_port()
    (folder / "known_hosts").write_text(f"[{HOST}]:{port} {public['host']}\n")
    (folder / "changed_hosts").write_text(f"[{HOST}]:{port} {public['other-host']}\n")
    (folder / "no_hosts").touch()
    config = folder / "sshd_config"
    config.write_text(_CONFIG.format(host=HOST, port=port, folder=folder, home=home, scratch=scratch))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd locks up its unprivileged half

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    process = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("wb"),
        preexec_fn=limit,
        restore_signals=False,  # SIGXFSZ stays ignored: writing then fails, as on a full disk
    )
    try:
        _await(port, process, folder / "log")
        yield Device(port, folder, home, scratch, process)
    finally:
        process.terminate()
        process.wait()


def _make_key(path: Path) -> str:
    """A new pair of keys; returns the public one."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text().strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def closed_port() -> int:
    """A port that nothing listens to."""
    return _free_port()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"sshd does not listen, as {getpass.getuser()}: {log.read_text()}")


def wait_for(condition: object, what: str) -> None:
    """Waits until a function returns something true."""
    assert callable(condition)
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"in vain: {what}")


def words(options: Sequence[str]) -> list[str]:
    """Options of ssh as words of ``edgekit profile``."""
    return [word for option in options for word in ("--ssh-option", option)]
