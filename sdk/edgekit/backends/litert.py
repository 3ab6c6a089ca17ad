"""LiteRT (the package ai-edge-litert).

On the first model of a process LiteRT writes "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." to
stderr. Its C++ logger obeys no environment variable and has no Python interface (2.3.0). The only cure,
redirecting the file descriptor, would swallow the last words of a crash and what other threads write, so the
line stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.backends.installed import find_module, installed_version
from edgekit.backends.wrapped import TfliteInterpreter, open_interpreter
from edgekit.errors import SessionError

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgekit.backends import Kernels

PACKAGE = "ai-edge-litert"
MODULE = "ai_edge_litert"


class LiteRtBackend:
    """LiteRT's ``Interpreter``, which runs with numpy alone and releases the GIL while it invokes.

    Attributes:
        name: The package for pip.
        kernels: XNNPACK, LiteRT's default.
    """

    name = PACKAGE
    kernels: Kernels = "xnnpack"

    @staticmethod
    def is_installed() -> bool:
        """Whether the package can be found, without importing it."""
        return find_module(MODULE) is not None

    @property
    def version(self) -> str:
        """The installed version, as in "2.3.0"."""
        return installed_version(MODULE, PACKAGE)

    def module(self) -> Any:
        """Import its ``interpreter`` module.

        Raises:
            SessionError: It cannot be imported.
        """
        try:
            from ai_edge_litert import interpreter
        except (ImportError, OSError) as error:
            raise SessionError(
                f"{PACKAGE} is installed but cannot be imported: {error}",
                hint="it needs a 64-bit system: pip install --force-reinstall 'edgekit[runtime]'",
            ) from error
        return interpreter

    def open(
        self,
        model: bytes,
        *,
        threads: int | None = None,
        kernels: Kernels = "xnnpack",
        preserve_all_tensors: bool = False,
    ) -> LiteRtInterpreter:
        """Open a model from bytes in memory.

        Args:
            model: A .tflite flatbuffer. LiteRT reads the weights in place, so the bytes stay referenced.
            threads: Threads for one inference; None is LiteRT's default, 1.
            kernels: Which kernels to run on.
            preserve_all_tensors: Keep what every op computed, for `LiteRtInterpreter.view`. XNNPACK stays in
                use (2.3.0).

        Raises:
            SessionError: LiteRT cannot be imported, or refuses the model.
        """
        module = self.module()
        if not preserve_all_tensors:
            return LiteRtInterpreter(
                open_interpreter(self, module, model, threads=threads, kernels=kernels), PACKAGE
            )
        import warnings

        with warnings.catch_warnings():
            # It says that preserving tensors takes memory, which whoever asks for it knows.
            warnings.filterwarnings("ignore", message=".*preserve_all_tensors", category=UserWarning)
            raw = open_interpreter(
                self,
                module,
                model,
                threads=threads,
                kernels=kernels,
                experimental_preserve_all_tensors=True,
            )
        return LiteRtInterpreter(raw, PACKAGE)


class LiteRtInterpreter(TfliteInterpreter):
    """One model in LiteRT."""

    __slots__ = ()

    def view(self, index: int) -> npt.NDArray[Any]:
        """Show the memory of any tensor of a model that was opened with `preserve_all_tensors`.

        The view must be dropped before the next invoke, which LiteRT refuses while one is alive.
        """
        array: npt.NDArray[Any] = self._raw.tensor(index)()
        return array
