"""A profile taken on another machine, over ssh: `profile_remotely`.

One connection does it all: the bundle, the trusted keys and the user's files go over, the edgekit that is installed
there measures, and its answer comes back. The folder that they lay in is removed whatever happens.
"""

from __future__ import annotations

import re
import secrets
import sys
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import click

from edgekit import console
from edgekit.errors import OutputError, RemoteError
from edgekit.page.figures import size
from edgekit.profiling import errand, ssh
from edgekit.profiling.conduct import read_bundle
from edgekit.profiling.parcel import Parcel, pack
from edgekit.profiling.plan import Plan
from edgekit.profiling.record import MAX_BYTES, Profile
from edgekit.profiling.reply import SAME_VERSION, Reply, profile_in
from edgekit.trust import resolve

MOST_BYTES = MAX_BYTES + (1 << 20)
"""Of the device's stdout: a profile, and what start-up files of a shell may write before it."""
MOST_LINES = 200
"""Of the device's stderr; no more of them are shown."""

_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9]*=.+")


@dataclass(frozen=True, slots=True)
class Remote:
    """Where to measure.

    Attributes:
        host: As ssh takes it: a name of ~/.ssh/config, ``USER@HOST`` or ``ssh://USER@HOST:PORT``.
        ssh_options: ``KEY=VALUE`` as ssh takes it after ``-o``; they override what edgekit would say.
        edgekit: The command or path there, from the user's home folder there.

    Raises:
        RemoteError: One of them cannot be handed to ssh.
    """

    host: str
    ssh_options: tuple[str, ...] = ()
    edgekit: str = "edgekit"

    def __post_init__(self) -> None:
        if not self.host.isprintable() or " " in self.host or self.host[:1] in ("", "-"):
            raise RemoteError(f"{self.host!r} is not a host", hint="such as --host pi@raspberrypi.local")
        for option in self.ssh_options:
            if not (_OPTION.fullmatch(option) and option.isprintable()):
                raise RemoteError(
                    f"{option!r} is not an option of ssh", hint="such as --ssh-option Port=2222"
                )
        if not (self.edgekit and self.edgekit.isprintable()):
            raise RemoteError(
                f"{self.edgekit!r} is not a command", hint="such as --remote-edgekit venv/bin/edgekit"
            )


def profile_remotely(path: str, plan: Plan, remote: Remote) -> Profile:
    """Measures a bundle on another machine.

    Args:
        path: The .edgekit file here.
        plan: What to measure; its files are those here.
        remote: Where.

    Raises:
        BundleError: It is not a bundle.
        TrustRequiredError: The plan neither trusts a key nor accepts the bundle unsigned.
        KeyFileError: The trusted keys cannot be read.
        InputError: A file of the user does not fit the model.
        BadSampleError: A file of the user cannot be read.
        RemoteError: The device cannot be reached, or refuses, or its answer is not sound.
        OutputError: There is no room for temporary files.
    """
    bundle = read_bundle(Path(path))
    if plan.trust is None and not plan.unsigned:
        resolve(bundle, None)  # which refuses: the device would as well, and only after all the way
    client = ssh.find_ssh()
    ear = _Ear(remote.host)
    try:
        with tempfile.TemporaryFile() as archive:
            parcel = pack(path, bundle.data, bundle.manifest.inputs, plan, archive)
            archive.seek(0)
            reply = _send(client, remote, parcel, archive, ear)
    except OSError as problem:
        raise OutputError(
            f"cannot write temporary files: {problem.strerror or problem}",
            hint="name a folder with room for the bundle: TMPDIR=/var/tmp edgekit profile ...",
        ) from None
    if reply.report.complaint is None:
        ear.show_held()
    profile = profile_in(reply, remote, parcel.names)
    if profile.bundle.digest != bundle.digest or profile.steady.runs != plan.runs:
        raise RemoteError(f"{remote.host}: the profile is not the one that was asked for", hint=SAME_VERSION)
    return profile


def _send(client: str, remote: Remote, parcel: Parcel, archive: BinaryIO, ear: _Ear) -> Reply:
    """Sends the parcel on its errand, and waits for what comes back."""
    nonce = secrets.token_hex(16)
    script = errand.script(parcel, remote.edgekit, nonce)
    somebody = sys.stdin.isatty() and sys.stderr.isatty()  # who answers questions for passwords and host keys
    words = ssh.command_line(
        client, remote.host, remote.ssh_options, errand.command(script), prompts=somebody
    )
    console.status(f"sending {size(parcel.size)} to {remote.host}")
    conversation = ssh.converse(
        words,
        [BytesIO(script), archive],
        most=MOST_BYTES,
        sent=lambda: console.status(f"measuring on {remote.host}"),
        heard=ear.hear,
    )
    return Reply(
        code=conversation.code,
        log=conversation.log,
        heard=ear.text,
        too_long=len(conversation.said) >= MOST_BYTES,
        report=errand.read(conversation.said, nonce),
    )


class _Ear:
    """Hears what the device writes to stderr, and shows it on this stderr.

    Where its edgekit reports an error it does so in its answer, too, so that this part is held back.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._lines: list[str] = []
        self._held: list[str] = []

    def hear(self, line: str) -> None:
        """Takes one line."""
        if line.strip() and len(self._lines) + len(self._held) < MOST_LINES:
            if self._held or line.startswith("edgekit: error:"):
                self._held.append(line)
            else:
                self._lines.append(line)
                self._show(line)

    def show_held(self) -> None:
        """Shows what was held back."""
        while self._held:
            self._lines.append(line := self._held.pop(0))
            self._show(line)

    def _show(self, line: str) -> None:
        click.echo(f"{self._host}: {console.printable(line.rstrip())}", err=True)

    @property
    def text(self) -> str:
        """All that was heard."""
        return "\n".join([*self._lines, *self._held])
