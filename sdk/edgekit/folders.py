"""A folder of files, written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from edgekit.errors import OutputError
from edgekit.files import cannot_write, sync_folder, write_through


def write_folder_atomically(path: Path, files: Mapping[str, bytes | memoryview]) -> None:
    """Writes files into a folder so that, whatever happens, it holds all of them or is not there.

    Args:
        path: The folder; it may exist if it is empty, and its parent must exist.
        files: Plain name -> content.

    Raises:
        OutputError: It cannot be written there, or is not an empty folder.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 -- a last part such as "." has no name of its own
    temporary = path.with_name(f".edgekit-{os.urandom(8).hex()}.tmp")
    try:
        _refuse_full(path)
        temporary.mkdir()
        try:
            for name, content in files.items():
                write_through(temporary / name, content)
            sync_folder(temporary)
            temporary.rename(path)  # over an empty folder, but over nothing else
            sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # after the rename there is none
    except (OSError, ValueError) as problem:
        raise cannot_write(path, problem) from None


def _refuse_full(path: Path) -> None:
    """Says plainly what the rename would refuse in the end."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputError(f"cannot write {path}: it is not a folder", hint="give the name of a new folder")
    if path.is_dir() and any(path.iterdir()):
        raise OutputError(
            f"cannot write {path}: the folder is not empty", hint="give the name of a new folder"
        )
