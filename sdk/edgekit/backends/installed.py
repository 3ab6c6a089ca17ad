"""Which runtimes are installed, found without importing any of them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from edgekit.errors import RuntimeNotFoundError

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from edgekit.backends import Runtime


def find_module(module: str) -> ModuleSpec | None:
    """Where a module is, without importing it; None where it is not installed.

    Straight from the finder of ``sys.path``: `importlib.util`, which asks it too, takes 0.4 ms to import.
    """
    from importlib.machinery import PathFinder

    if sys.modules.get(module, True) is None:  # how an application says that there is no such module
        return None
    return PathFinder.find_spec(module)


def installed_version(module: str, package: str) -> str:
    """The version of a package, as in "2.3.0"; "unknown" where nothing says it.

    Read off the name of the folder ``NAME-VERSION.dist-info`` that pip leaves beside the package (PEP 376 and
    PEP 427): `importlib.metadata` would cost 10 ms more at each start.

    Args:
        module: The name it is imported by, such as "ai_edge_litert".
        package: Its name for pip, such as "ai-edge-litert".
    """
    spec = find_module(module)
    if spec is None or not spec.submodule_search_locations:
        return "unknown"
    folder = os.path.dirname(next(iter(spec.submodule_search_locations)))  # noqa: PTH120 (pathlib costs 3 ms)
    prefix, suffix = package.replace("-", "_").lower() + "-", ".dist-info"
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return "unknown"
    for name in names:
        if name.lower().startswith(prefix) and name.endswith(suffix):
            return name[len(prefix) : -len(suffix)]
    return "unknown"


def numbers(version: str) -> tuple[int, ...]:
    """A release as numbers that compare: "2.14.0" and "2.14" are (2, 14), "2.16.2rc1" is (2, 16, 2).

    What does not start with a digit ends it, so "unknown" is ().
    """
    found: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
        if digits != part:
            break
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)


def installed_backends() -> tuple[Runtime, ...]:
    """The runtimes that are installed, best first.

    LiteRT first: int8 on XNNPACK is tens of times faster than in tflite-runtime. TensorFlow's own last: it
    takes 4 s and 600 MB to import.
    """
    from edgekit.backends.litert import LiteRtBackend
    from edgekit.backends.tensorflow import TensorFlowBackend
    from edgekit.backends.tflite_runtime import TfliteRuntimeBackend

    known: tuple[type[LiteRtBackend | TfliteRuntimeBackend | TensorFlowBackend], ...] = (
        LiteRtBackend,
        TfliteRuntimeBackend,
        TensorFlowBackend,
    )
    return tuple(backend() for backend in known if backend.is_installed())


def first_installed() -> Runtime:
    """The best runtime that is installed; the others are not even looked for once it is found.

    Raises:
        RuntimeNotFoundError: None is.
    """
    from edgekit.backends.litert import LiteRtBackend

    if LiteRtBackend.is_installed():  # the usual case, which need not import the others' modules
        return LiteRtBackend()
    others = installed_backends()
    if not others:
        raise RuntimeNotFoundError("no TFLite runtime is installed", hint="pip install 'edgekit[runtime]'")
    return others[0]
