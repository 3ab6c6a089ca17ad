"""The devices that a command line means: edgekit's own, and those in the user's folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgekit import console

if TYPE_CHECKING:
    from edgekit_targets.target import Target

FOLDERS_VARIABLE = "EDGEKIT_DEVICES"
"""The environment variable with folders of device files, separated as in PATH."""

F = TypeVar("F", bound=Callable[..., Any])


def device_dir_option(command: F) -> F:
    """Add ``--device-dir`` to a click command, which gets it as ``device_dirs``, a tuple of texts."""
    return click.option(
        "--device-dir",
        "device_dirs",
        multiple=True,
        metavar="FOLDER",
        help=f"A folder with device files of your own; ${FOLDERS_VARIABLE} names more of them.",
    )(command)


def device_folders(device_dirs: Sequence[str]) -> tuple[Path, ...]:
    """List the folders of ``--device-dir`` and those of the environment, each once.

    Args:
        device_dirs: What the option was given.
    """
    words = [*device_dirs, *os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)]
    unique = {os.path.realpath(word): Path(word) for word in reversed(words) if word}
    return tuple(reversed(unique.values()))


def find_device(word: str, folders: Sequence[Path]) -> Target:
    """Load the device of a name or an alias, and say on stderr what an alias became.

    Args:
        word: What the user wrote.
        folders: Folders with device files of the user's.

    Raises:
        UnknownTargetError: There is no such device.
        InvalidTargetError: A device file is broken.
    """
    from edgekit_targets.catalog import load_target

    target = load_target(word, folders)
    if word != target.name:
        console.status(f"{word} is {target.name}")
    return target
