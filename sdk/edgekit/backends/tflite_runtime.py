"""tflite-runtime, the runtime for 32-bit Arm: the last release on PyPI is 2.14.0, for Python 3.9 to 3.11.

It was built against numpy 1, which its metadata does not say: with numpy 2 its import prints a page of
warnings at most, and the first model ends in a SystemError. So numpy's version is looked at first.
"""

from __future__ import annotations

from typing import Any

from edgekit.backends import Kernels
from edgekit.backends.installed import find_module, installed_version, numbers
from edgekit.backends.wrapped import TfliteInterpreter, open_interpreter
from edgekit.errors import SessionError

PACKAGE = "tflite-runtime"
MODULE = "tflite_runtime"
EXTRA_HINT = "pip install 'edgekit[runtime-legacy]', or only: pip install 'numpy<2'"


class TfliteRuntimeBackend:
    """tflite-runtime's ``Interpreter``.

    Attributes:
        name: The package for pip.
        kernels: Its XNNPACK takes float operators only (2.14.0 was built without XNNPACK's int8 ones), so
            int8 models run on its own optimized kernels, and that is what it is called.
    """

    name = PACKAGE
    kernels: Kernels = "builtin"

    @staticmethod
    def is_installed() -> bool:
        """Whether the package can be found, without importing it."""
        return find_module(MODULE) is not None

    @property
    def version(self) -> str:
        """The installed version, as in "2.14.0"."""
        return installed_version(MODULE, PACKAGE)

    def module(self) -> Any:
        """Import its ``interpreter`` module.

        Raises:
            SessionError: numpy is too new for it, or it cannot be imported.
        """
        import numpy as np

        if numbers(np.__version__) >= (2,):
            raise SessionError(
                f"{PACKAGE} {self.version} works with numpy below 2 only, and numpy {np.__version__} is installed",
                hint=EXTRA_HINT,
            )
        from importlib import import_module

        try:
            return import_module(f"{MODULE}.interpreter")
        except (ImportError, OSError, SystemError, AttributeError) as error:
            raise SessionError(
                f"{PACKAGE} is installed but cannot be imported: {error}",
                hint="pip install --force-reinstall 'edgekit[runtime-legacy]'",
            ) from error

    def open(
        self, model: bytes, *, threads: int | None = None, kernels: Kernels = "builtin"
    ) -> TfliteInterpreter:
        """Open a model from bytes in memory.

        Args:
            model: A .tflite flatbuffer.
            threads: Threads for one inference; None is tflite-runtime's default, 1.
            kernels: "builtin" or "reference".

        Raises:
            SessionError: It cannot be imported, refuses the model, or has no such kernels.
        """
        if kernels == "xnnpack":
            raise SessionError(
                f"{PACKAGE} runs int8 models without XNNPACK",
                hint='its kernels are "builtin" and "reference"',
            )
        raw = open_interpreter(self, self.module(), model, threads=threads, kernels=kernels)
        return TfliteInterpreter(raw, PACKAGE)
