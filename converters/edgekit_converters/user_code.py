"""Imports the user's own Python, where an option names a file or a module of theirs."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def import_user_module(place: str) -> ModuleType:
    """Runs and returns `path/to/file.py`, or a module that can be imported, also from the current folder.

    The folder goes to the end of the import path: the file finds its neighbours, and they shadow nothing.

    Raises:
        Exception: Whatever the user's code raises, FileNotFoundError and ImportError among it; the caller
            says what the module was needed for. A call of sys.exit() becomes an ImportError.
    """
    try:
        return _import_file(Path(place)) if place.endswith(".py") else _import_name(place)
    except SystemExit as error:
        raise ImportError(f"it ends Python with sys.exit({error.code!r})") from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    _append_to_path(path.parent)
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None, "a .py file always has a loader"
    assert specification.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(specification)
    sys.modules.setdefault(path.stem, module)  # dataclasses and pickles in the file look their module up
    specification.loader.exec_module(module)
    return module


def _import_name(name: str) -> ModuleType:
    _append_to_path(Path.cwd())
    return importlib.import_module(name)


def _append_to_path(folder: Path) -> None:
    entry = str(folder.resolve())
    if entry not in sys.path:
        sys.path.append(entry)
