"""Key files and folders of keys on disk, read into public keys."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edgekit.errors import KeyFileError
from edgekit.files import read_capped
from edgekit.trust.keys import MAX_BYTES, PublicKey

SUFFIX = ".pem"
FOLDER = "/etc/edgekit/trust.d"
"""Where a device keeps the keys that it trusts, by convention; nothing reads it unless it is named."""


def read_keys(paths: Sequence[str | os.PathLike[str]]) -> tuple[PublicKey, ...]:
    """Reads keys from PEM files, and from folders every ``*.pem`` in them, sorted by name.

    A folder with one broken key is refused as a whole: whoever put it there meant it to count.

    Args:
        paths: Files and folders; at least one.

    Raises:
        KeyFileError: There is no key, or one cannot be read.
    """
    files = [file for path in paths for file in _files(Path(path))]
    if not files:
        raise KeyFileError("no key was named", hint=f"give a key file, or a folder such as {FOLDER}")
    return tuple(
        PublicKey.from_pem(read_capped(file, MAX_BYTES, error=KeyFileError), str(file)) for file in files
    )


def _files(path: Path) -> list[Path]:
    """The file itself, or the keys of a folder; hidden files are an editor's or a package manager's leftovers."""
    try:
        if not path.is_dir():
            return [path]
        names = sorted(name for name in os.listdir(path) if name.endswith(SUFFIX) and name[0] != ".")  # noqa: PTH208
    except (OSError, ValueError) as problem:
        reason = (getattr(problem, "strerror", None) or str(problem)).lower()
        raise KeyFileError(f"cannot read {path}: {reason}", hint="check the path and its mode") from None
    if not names:
        hint = "copy NAME.pub.pem there; without a key nothing is trusted"
        raise KeyFileError(f"there is no key in the folder {path}", hint=hint)
    return [path / name for name in names]
