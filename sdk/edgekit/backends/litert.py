"""LiteRT (the package ai-edge-litert).

On the first model of a process LiteRT writes "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." to
stderr. Its C++ logger obeys no environment variable and has no Python interface (2.3.0). The only cure,
redirecting the file descriptor, would swallow the last words of a crash and what other threads write, so the
line stays.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from edgekit.backends import Kernels, TensorDetails
from edgekit.errors import SessionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PACKAGE = "ai-edge-litert"

_RESOLVERS: dict[Kernels, str] = {
    "xnnpack": "BUILTIN",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}


class LiteRtBackend:
    """LiteRT's ``Interpreter``, which runs with numpy alone and releases the GIL while it invokes."""

    name = PACKAGE

    @staticmethod
    def is_installed() -> bool:
        """Whether the package can be found, without importing it."""
        from importlib.util import find_spec

        return find_spec("ai_edge_litert") is not None

    @property
    def version(self) -> str:
        """The installed version, as in "2.3.0"."""
        from importlib.metadata import version

        return version(PACKAGE)

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
        try:
            from ai_edge_litert import interpreter as litert
        except (ImportError, OSError) as error:
            raise SessionError(
                f"{PACKAGE} is installed but cannot be imported: {error}",
                hint="it needs a 64-bit system: pip install --force-reinstall 'edgekit[runtime]'",
            ) from error
        try:
            with warnings.catch_warnings():
                # It says that preserving tensors takes memory, which whoever asks for it knows.
                warnings.filterwarnings("ignore", message=".*preserve_all_tensors", category=UserWarning)
                raw = litert.Interpreter(
                    model_content=model,
                    num_threads=threads,
                    experimental_op_resolver_type=litert.OpResolverType[_RESOLVERS[kernels]],
                    experimental_preserve_all_tensors=preserve_all_tensors,
                )
            raw.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise SessionError(
                f"{PACKAGE} {self.version} refuses the model: {_one_line(error)}",
                hint="convert it again, or install the runtime version that its bundle names",
            ) from error
        return LiteRtInterpreter(raw)


class LiteRtInterpreter:
    """One model in LiteRT, with its tensor details read once: asking LiteRT costs 2.6 us a call.

    Attributes:
        inputs: The inputs, in the model's order.
        outputs: The outputs, in the model's order.
    """

    __slots__ = ("_raw", "inputs", "outputs")

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.inputs = tuple(_details(entry) for entry in raw.get_input_details())
        self.outputs = tuple(_details(entry) for entry in raw.get_output_details())

    def set_input(self, index: int, array: npt.NDArray[np.generic]) -> None:
        """Copy an array of the input's very shape and dtype into the tensor with this index."""
        self._raw.set_tensor(index, array)

    def invoke(self) -> None:
        """Run the model once.

        Raises:
            SessionError: LiteRT reports a failure.
        """
        try:
            self._raw.invoke()
        except RuntimeError as error:
            raise SessionError(f"{PACKAGE} failed to run the model: {_one_line(error)}") from error

    def output(self, index: int) -> npt.NDArray[Any]:
        """Copy the tensor with this index out."""
        array: npt.NDArray[Any] = self._raw.get_tensor(index)
        return array

    def view(self, index: int) -> npt.NDArray[Any]:
        """Show the memory of any tensor of a model that was opened with `preserve_all_tensors`.

        The view must be dropped before the next invoke, which LiteRT refuses while one is alive.
        """
        array: npt.NDArray[Any] = self._raw.tensor(index)()
        return array


def _details(entry: dict[str, Any]) -> TensorDetails:
    scale, zero_point = entry["quantization"]
    return TensorDetails(
        index=int(entry["index"]),
        name=str(entry["name"]),
        shape=tuple(int(size) for size in entry["shape"]),
        dtype=entry["dtype"].__name__,
        scale=float(scale),
        zero_point=int(zero_point),
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
