"""The TFLite runtimes that a session can drive, behind one small interface.

A runtime is imported only when a model is opened. Each has a module of its own beside ``litert.py``, with one
class that satisfies ``Backend``; ``choose.py`` decides which of them runs a bundle, and on what device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from edgekit_targets.frozen import Frozen, lean

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Kernels = Literal["xnnpack", "builtin", "reference"]
"""Which implementations of the ops a runtime uses: XNNPACK's where it has them (LiteRT's default), its own
optimized ones, or its plain reference ones (bit-exact across machines, about 57 times slower)."""


@lean
class TensorDetails(Frozen):
    """What a runtime says of one input or output tensor.

    Attributes:
        index: The runtime's number for the tensor.
        name: Its name in the model.
        shape: Its static shape, batch first.
        dtype: The numpy name of its element type, as in "int8".
        scale: Its quantization scale; 0.0 for a tensor that is not quantized per tensor.
        zero_point: Its quantization zero point.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


class Interpreter(Protocol):
    """One model, opened by a runtime. Not safe for use by two threads at once."""

    @property
    def inputs(self) -> tuple[TensorDetails, ...]:
        """The inputs, in the model's order."""

    @property
    def outputs(self) -> tuple[TensorDetails, ...]:
        """The outputs, in the model's order."""

    def set_input(self, index: int, array: npt.NDArray[np.generic], /) -> None:
        """Copy an array into the tensor with this index.

        Raises:
            ValueError: It has another shape or dtype than the tensor, or is no array; nothing is converted.
        """

    def invoke(self) -> None:
        """Run the model once.

        Raises:
            SessionError: The runtime reports a failure.
        """

    def output(self, index: int, /) -> npt.NDArray[Any]:
        """Copy the tensor with this index out."""


class Backend(Protocol):
    """A runtime that is installed."""

    @property
    def name(self) -> str:
        """The name of the package, as on PyPI."""

    @property
    def version(self) -> str:
        """The version that is installed."""

    @property
    def kernels(self) -> Kernels:
        """The fastest kernels that it has for int8 models, on which it runs unless told otherwise."""

    def open(self, model: bytes, *, threads: int | None = None, kernels: Kernels = "xnnpack") -> Interpreter:
        """Open a model from bytes in memory, so that what was verified is what runs.

        Args:
            model: A .tflite flatbuffer.
            threads: Threads for one inference; None leaves it to the runtime.
            kernels: Which kernels to run on.

        Raises:
            SessionError: The runtime refuses the model.
        """


class Runtime(Backend, Protocol):
    """A backend that is an installed package with TensorFlow Lite's classic Python interface."""

    def module(self) -> Any:
        """Import the module that has its ``Interpreter``, ``OpResolverType`` and ``load_delegate``.

        Raises:
            SessionError: It cannot be imported.
        """


def find_backend() -> Backend:
    """Choose a runtime for the CPU among those installed: the lightest and fastest of them.

    Raises:
        RuntimeNotFoundError: None is.
    """
    from edgekit.backends.installed import first_installed

    return first_installed()
