"""The commands of ``edgekit``: which are installed, and from which package each comes.

A command is an entry point in the group ``edgekit.commands`` that names a ``click.Command``. Its module
imports nothing but click at its top: shell completion imports every one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from edgekit.errors import BrokenCommandError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "edgekit.commands"

# The order of `edgekit --help` and its lines, so that showing them imports no command.
SUMMARIES: Mapping[str, str] = {
    "convert": "Turn a trained model into a strictly int8 bundle for a device.",
    "diagnose": "Tell which layers of a model lose what in int8, why, and what would help.",
    "check": "Tell where each operator of a model would run on a device, why, and what to change.",
    "targets": "List the devices, or show one with its sources and install lines.",
    "inspect": "Show what a .tflite model or a bundle holds, and audit it.",
    "env": "Make and list environments for models of PyTorch, ONNX and JAX.",
    "export-c": "Write a model as C sources for TensorFlow Lite Micro.",
    "certify": "Run a bundle on the emulated processors of its boards, and put what came out into it.",
    "keygen": "Make a pair of keys to sign bundles with.",
    "sign": "Sign a bundle, so that devices that trust your key run it.",
    "verify": "Check a bundle's signature, and tell who signed what, and when.",
    "unpack": "Write a bundle's members to a folder, as any OpenSSF Model Signing verifier takes them.",
    "run": "Run a bundle on images, sounds or arrays.",
    "profile": "Measure where a bundle's time goes on this machine, or on a device over ssh.",
    "doctor": "Tell what this machine has to run bundles with, and how to mend what is missing.",
}


@dataclass(frozen=True, slots=True)
class InstalledCommand:
    """A command that some installed package offers, not yet imported.

    Attributes:
        name: The word after ``edgekit`` on the command line.
        package: The distribution that offers it.
        entry_point: Where its code is.
    """

    name: str
    package: str
    entry_point: EntryPoint

    @property
    def is_own(self) -> bool:
        """Whether edgekit itself brings it."""
        return self.package == "edgekit"

    @property
    def is_refused(self) -> bool:
        """Whether a foreign package tries to take the name of one of edgekit's own commands."""
        return self.name in SUMMARIES and not self.is_own

    def load(self) -> click.Command:
        """Import the command.

        Raises:
            BrokenCommandError: Its module fails to import, or what it names is not a click command.
        """
        try:
            command: object = self.entry_point.load()
        except (Exception, SystemExit) as error:  # foreign code may do anything while it is imported
            raise self._broken(f"{type(error).__name__}: {error}") from error
        if not isinstance(command, click.Command):
            raise self._broken(f"{self.entry_point.value} is not a click command")
        return command

    def _broken(self, why: str) -> BrokenCommandError:
        return BrokenCommandError(
            f"the command '{self.name}' of the package '{self.package}' cannot be loaded: {why}",
            hint="reinstall edgekit"
            if self.is_own
            else f"upgrade that package, or pip uninstall {self.package}",
            why=why,
        )


def installed_commands() -> tuple[InstalledCommand, ...]:
    """Find every command on ``sys.path``: edgekit's own in the order of ``SUMMARIES``, then others by name.

    Of several foreign packages that offer the same name the first on ``sys.path`` wins.
    """
    order = list(SUMMARIES)
    unique: dict[tuple[bool, str], InstalledCommand] = {}
    for command in _on_path():
        unique.setdefault((command.is_own, command.name), command)

    def rank(command: InstalledCommand) -> tuple[bool, int, str]:
        known = command.is_own and command.name in SUMMARIES
        return not command.is_own, order.index(command.name) if known else len(order), command.name

    return tuple(sorted(unique.values(), key=rank))


def _on_path() -> Iterator[InstalledCommand]:
    from importlib.metadata import distributions

    seen: set[str] = set()
    for distribution in distributions():
        try:  # each by itself: one unreadable file must not hide the commands of all others
            text = distribution.read_text("entry_points.txt") or ""
            if GROUP not in text:
                continue
            points = distribution.entry_points
            package = (distribution.metadata["Name"] or "unnamed").lower()
        except Exception:
            continue
        if package in seen:  # an older copy, further down the path
            continue
        seen.add(package)
        for point in points:
            if point.group == GROUP:
                yield InstalledCommand(point.name, package, point)
