"""The user's own Keras classes and functions, from a Python file or module that they name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from edgekit.errors import SourceError


def load_custom_objects(said: str) -> dict[str, object]:
    """Import a file or module and collect its public classes and functions.

    Importing it also runs its ``register_keras_serializable`` decorators.

    Args:
        said: ``objects.py``, ``path/to/objects.py`` or ``package.module``.

    Returns:
        Classes and functions by name.

    Raises:
        SourceError: It cannot be found or imported, or holds nothing public.
    """
    try:
        module = _import_file(Path(said)) if said.endswith(".py") else _import_module(said)
    except Exception as error:  # the user's own code may raise anything
        raise SourceError(
            f"--custom-objects {said} cannot be imported: {type(error).__name__}: {error}",
            hint="give a .py file, or a module that can be imported from this folder",
        ) from error
    found: dict[str, object] = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value))
    }
    if not found:
        raise SourceError(
            f"--custom-objects {said} holds no public class or function",
            hint="name the file in which the model's own layers and functions are defined",
        )
    return found


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    # Behind everything else, so that the file finds its neighbours and shadows nothing.
    sys.path.append(str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _import_module(name: str) -> ModuleType:
    sys.path.append(str(Path.cwd()))
    return importlib.import_module(name)
