"""One conversation with a device over the user's own OpenSSH, and what its refusals mean."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, BinaryIO

from edgekit.errors import RemoteError

REFUSED = 255
"""The exit code of ssh itself; any other is that of the command on the device."""

_CHUNK = 1 << 16
_LINE = 1000  # bytes of a line that are told
_PATIENCE_S = 5.0
"""So long a device may clean up after an interruption before the connection is cut."""

# ssh takes the first value that it sees for a key, so that the user's options, which stand before, win.
_SETTINGS = (
    "ConnectTimeout=15",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "LogLevel=INFO",  # quieter, and nobody would know why ssh refused
    "RemoteCommand=none",
    "ClearAllForwardings=yes",
    "ControlMaster=no",  # a master would stay behind; one that runs already is used
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said.

    Attributes:
        code: Exit code of ssh.
        said: What the device wrote to stdout, cut off at the most that was asked for.
        log: What ssh itself had to say, apart from what the device wrote to stderr.
    """

    code: int
    said: bytes
    log: str


def command_line(ssh: str, host: str, options: Sequence[str], command: str, *, prompts: bool) -> list[str]:
    """The words that start ssh.

    Args:
        ssh: Path of OpenSSH's client.
        host: As ssh takes it.
        options: ``KEY=VALUE`` of the user.
        command: For the login shell of the device.
        prompts: Whether somebody is there to answer ssh's questions.
    """
    settings = [*options, f"BatchMode={'no' if prompts else 'yes'}", *_SETTINGS]
    return [ssh, "-T", "-a", "-x", *(word for key in settings for word in ("-o", key)), "--", host, command]


def converse(
    words: Sequence[str],
    parts: Sequence[BinaryIO],
    *,
    most: int,
    sent: Callable[[], object],
    heard: Callable[[str], object],
) -> Conversation:
    """Starts ssh, gives it the parts on stdin, and keeps stdin open until it ends.

    Args:
        words: From `command_line`.
        parts: Files that are read from where they stand.
        most: Bytes of the device's stdout; a device that says more is hung up on.
        sent: Called when all of the parts have gone.
        heard: Called with each line of the device's stderr, from another thread.

    Raises:
        RemoteError: ssh cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-ssh-") as folder:
        log = Path(folder) / "log"
        try:
            process = subprocess.Popen(
                [words[0], "-E", str(log), *words[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
        except OSError as problem:
            raise RemoteError(
                f"cannot start {words[0]}: {(problem.strerror or str(problem)).lower()}",
                hint="is OpenSSH's client sound? ssh -V tells its version",
            ) from None
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        said = bytearray()
        readers = (
            Thread(target=_collect, args=(process.stdout, said, most), daemon=True),
            Thread(target=_listen, args=(process.stderr, heard), daemon=True),
        )
        for reader in readers:
            reader.start()
        try:
            if _send(process.stdin, parts):
                sent()
            process.wait()
        finally:
            _hang_up(process)
            for reader in readers:
                reader.join(_PATIENCE_S)  # something else that ssh started may hold them open
        return Conversation(process.returncode, bytes(said), _log(log))


def _send(stdin: IO[bytes], parts: Sequence[BinaryIO]) -> bool:
    """Gives ssh all parts; False where it took less, because the device or ssh itself has given up."""
    try:
        for part in parts:
            while chunk := part.read(_CHUNK):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[stdin.write(rest) :]
    except BrokenPipeError:
        return False
    return True


def _collect(stdout: IO[bytes], said: bytearray, most: int) -> None:
    with stdout:
        while len(said) < most and (chunk := stdout.read(min(_CHUNK, most - len(said)))):
            said += chunk


def _listen(stderr: IO[bytes], heard: Callable[[str], object]) -> None:
    """Hears all lines, so that the device never waits; of a long one only the beginning is told."""
    with stderr:
        for line in _lines(stderr):
            heard(line.decode("utf-8", "replace"))


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    start = b""
    while chunk := file.read(_CHUNK):
        *whole, start = (start + chunk).split(b"\n")
        yield from (line[:_LINE] for line in whole)
        start = start[:_LINE]
    if start:
        yield start


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Ends ssh where it still runs: the device is told by the end of its stdin, and cleans up."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()


def _log(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_CHUNK).decode("utf-8", "replace")
    except OSError:
        return ""


# The first that matches holds: a changed key also fails the verification, and a bad option says it in many ways.
_REFUSALS = (
    (
        r"(?m)^command-line",
        "ssh does not take an option",
        "--ssh-option takes what ssh takes after -o: man ssh_config",
    ),
    (
        r"Could not resolve hostname",
        "no such host is known here",
        "check the name, or give the address; names in .local need mDNS: apt install libnss-mdns",
    ),
    (
        r"Connection refused",
        "it is there, and no ssh server answers",
        "turn ssh on there (raspi-config, Interface Options), or name its port: --ssh-option Port=2222",
    ),
    (
        r"(?i)timed out|No route to host|Network is unreachable|Host is down",
        "it cannot be reached",
        "is it on, and in this network? ping {name}",
    ),
    (
        r"HOST IDENTIFICATION HAS CHANGED|host key for .* has changed",
        "its host key is not the one that it had",
        "if it was installed anew: ssh-keygen -R {name}; if not, another machine may be posing as it",
    ),
    (
        r"Host key verification failed|No .* host key is known",
        "its host key is not known here",
        "connect once and compare the fingerprint that it shows: ssh {host}",
    ),
    (
        r"UNPROTECTED PRIVATE KEY FILE|Bad permissions",
        "the private key may be read by others, so ssh does not use it",
        "chmod 600 that key file",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "it does not let you in",
        "put your key there: ssh-copy-id {host}; or name one: --ssh-option IdentityFile=FILE",
    ),
)


def refusal(host: str, log: str) -> RemoteError:
    """Why ssh could not connect, in words that help.

    Args:
        host: As the user wrote it.
        log: What ssh had to say.
    """
    said = last_line(log)
    name = host.rpartition("@")[2]
    for pattern, message, hint in _REFUSALS:
        if re.search(pattern, log):
            return RemoteError(f"{host}: {message} (ssh: {said})", hint=hint.format(host=host, name=name))
    return RemoteError(
        f"{host}: ssh failed{f': {said}' if said else ''}", hint=f"does this work? ssh {host} true"
    )


def last_line(text: str) -> str:
    """The last line that says something, without ssh's name and the frame that it draws around warnings."""
    lines = (line.strip("@ \r\t").removeprefix("ssh: ") for line in text.split("\n"))
    return next((line[:300] for line in reversed([*lines]) if line), "")


def connection_lost(host: str, log: str) -> RemoteError:
    """The connection broke after the measurement had begun."""
    said = last_line(log)
    return RemoteError(
        f"{host}: the connection was lost midway{f' (ssh: {said})' if said else ''}",
        hint="try again; is its power supply strong enough? vcgencmd get_throttled tells",
    )


def find_ssh() -> str:
    """The path of OpenSSH's client.

    Raises:
        RemoteError: It is not installed.
    """
    found = shutil.which("ssh")
    if found is None:
        raise RemoteError("ssh is not installed here", hint="sudo apt install openssh-client")
    return found
