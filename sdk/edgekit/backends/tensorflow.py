"""TensorFlow's own interpreter, the last resort: only where nothing lighter is installed.

edgekit never imports TensorFlow by name, and import-linter holds it to that: this module asks importlib for it
when a model is opened, on a machine whose owner installed it. sdk/decisions/0006 has the reasons.
"""

from __future__ import annotations

import warnings
from typing import Any

from edgekit.backends import Kernels
from edgekit.backends.installed import find_module, installed_version
from edgekit.backends.wrapped import TfliteInterpreter, open_interpreter
from edgekit.errors import SessionError

PACKAGE = "tensorflow"


class TensorFlowBackend:
    """``tf.lite.Interpreter``, which takes seconds and half a gigabyte to import.

    Attributes:
        name: The package for pip.
        kernels: It puts int8 operators on XNNPACK, as LiteRT does.
    """

    name = PACKAGE
    kernels: Kernels = "xnnpack"

    @staticmethod
    def is_installed() -> bool:
        """Whether the package can be found, without importing it."""
        return find_module(PACKAGE) is not None

    @property
    def version(self) -> str:
        """The installed version, as in "2.21.0"."""
        return installed_version(PACKAGE, PACKAGE)

    def module(self) -> Any:
        """Import the module of its interpreter.

        Raises:
            SessionError: It cannot be imported.
        """
        from importlib import import_module

        try:
            return import_module("tensorflow.lite.python.interpreter")
        except Exception as error:  # TensorFlow's import runs much code, and may raise anything
            raise SessionError(
                f"{PACKAGE} is installed but cannot be imported: {type(error).__name__}: {error}",
                hint="install a runtime of 20 MB instead: pip install 'edgekit[runtime]'",
            ) from error

    def open(
        self, model: bytes, *, threads: int | None = None, kernels: Kernels = "xnnpack"
    ) -> TfliteInterpreter:
        """Open a model from bytes in memory.

        Args:
            model: A .tflite flatbuffer.
            threads: Threads for one inference; None is TensorFlow's default, 1.
            kernels: Which kernels to run on.

        Raises:
            SessionError: TensorFlow cannot be imported, or refuses the model.
        """
        module = self.module()
        with warnings.catch_warnings():
            # TensorFlow 2.21 calls its interpreter deprecated, which only the machine's owner can change.
            warnings.filterwarnings("ignore", message=r"(?s).*tf\.lite\.Interpreter is deprecated")
            raw = open_interpreter(self, module, model, threads=threads, kernels=kernels)
        return TfliteInterpreter(raw, PACKAGE)
