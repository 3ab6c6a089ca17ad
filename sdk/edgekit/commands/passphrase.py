"""Passphrases, which never stand among the arguments: every user of the machine can read those."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_MAX_BYTES = 4096


def passphrase_options(command: F) -> F:
    """Add ``--passphrase-file`` and ``--passphrase-env`` to a click command."""
    command = click.option(
        "--passphrase-env", metavar="VARIABLE", help="Take the passphrase from this environment variable."
    )(command)
    return click.option(
        "--passphrase-file", metavar="FILE", help="Take the passphrase from the first line of this file."
    )(command)


def given_passphrase(file: str | None, variable: str | None) -> str | None:
    """The passphrase that the options name; None where they name none.

    Args:
        file: What ``--passphrase-file`` was given.
        variable: What ``--passphrase-env`` was given.

    Raises:
        click.UsageError: Both were given.
        KeyFileError: The file or the variable is not there, or empty.
    """
    from pathlib import Path

    from edgekit.errors import KeyFileError
    from edgekit.files import read_capped

    if file is not None and variable is not None:
        raise click.UsageError("--passphrase-file and --passphrase-env exclude each other")
    if file is not None:
        lines = read_capped(Path(file), _MAX_BYTES, error=KeyFileError).splitlines()
        return _text(lines[0] if lines else b"", file)
    if variable is not None:
        return _text(os.environb.get(os.fsencode(variable), b""), f"${variable}")
    return None


def ask_passphrase(what: str, *, confirm: bool) -> str:
    """Ask for a passphrase at the terminal, unseen.

    Args:
        what: What it unlocks, as in "passphrase of keys/release.key.pem".
        confirm: Whether it must be typed twice.

    Raises:
        KeyFileError: There is no terminal.
    """
    from edgekit.errors import KeyFileError

    if not sys.stdin.isatty():
        raise KeyFileError(
            f"the {what} is needed, and there is no terminal to ask at",
            hint="give it by --passphrase-file or --passphrase-env",
        )
    answer: str = click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def _text(data: bytes, origin: str) -> str:
    from edgekit.errors import KeyFileError

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise KeyFileError(f"the passphrase in {origin} is not UTF-8", hint="write it as UTF-8") from None
    if not text:
        raise KeyFileError(
            f"there is no passphrase in {origin}", hint="check its name, and that it is not empty"
        )
    return text
