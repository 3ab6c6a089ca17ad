"""The ``Interpreter`` class that LiteRT, tflite-runtime and TensorFlow share, behind edgekit's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.backends import Backend, Kernels, TensorDetails
from edgekit.errors import SessionError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    SetInput = Callable[[int, npt.NDArray[np.generic]], None]
    Output = Callable[[int], npt.NDArray[Any]]

RESOLVERS: dict[Kernels, str] = {
    "xnnpack": "BUILTIN",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
"""Members of the runtimes' ``OpResolverType``."""


def open_interpreter(
    backend: Backend,
    module: Any,
    model: bytes,
    *,
    threads: int | None,
    kernels: Kernels,
    **options: Any,
) -> Any:
    """Open a model in one of the runtimes with TensorFlow Lite's classic interface.

    Args:
        backend: Whose model it is, for messages.
        module: The runtime's module with ``Interpreter`` and ``OpResolverType``.
        model: A .tflite flatbuffer; the weights are read in place, so the interpreter keeps the bytes.
        threads: Threads for one inference; None leaves it to the runtime.
        kernels: Which kernels to run on.
        options: Further keywords of the runtime's ``Interpreter``.

    Returns:
        The runtime's own interpreter, its tensors allocated: for a `TfliteInterpreter` to wrap.

    Raises:
        SessionError: The runtime refuses the model.
    """
    try:
        raw = module.Interpreter(
            model_content=model,
            num_threads=threads,
            experimental_op_resolver_type=module.OpResolverType[RESOLVERS[kernels]],
            **options,
        )
        raw.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise SessionError(
            f"{backend.name} {backend.version} refuses the model: {one_line(error)}",
            hint="convert it again, or install the runtime version that its bundle names",
        ) from error
    return raw


class TfliteInterpreter:
    """One open model, with its tensor details read once: asking LiteRT costs 2.6 us a call.

    Attributes:
        inputs: The inputs, in the model's order.
        outputs: The outputs, in the model's order.
        set_input: Copies an array into the tensor with an index; a ValueError refuses any other shape or dtype.
        output: Copies the tensor with an index out.
    """

    __slots__ = ("_delegates", "_name", "_raw", "inputs", "output", "outputs", "set_input")

    def __init__(self, raw: Any, name: str, delegates: Sequence[Any] = ()) -> None:
        """Wrap an interpreter whose tensors are allocated.

        Args:
            raw: The runtime's own interpreter.
            name: Of the runtime, for messages.
            delegates: What must live as long as the interpreter does.
        """
        self._raw = raw
        self._name = name
        # The runtime's own methods, with no frame of ours around: 40 ns a call of a 2.3 us inference. They hold no
        # memory of the model's, so LiteRT lets invoke() run (its _ensure_safe counts references to that memory).
        self.set_input: SetInput = raw.set_tensor
        self.output: Output = raw.get_tensor
        self._delegates = tuple(delegates)
        self.inputs = tuple(tensor_details(entry) for entry in raw.get_input_details())
        self.outputs = tuple(tensor_details(entry) for entry in raw.get_output_details())

    def invoke(self) -> None:
        """Run the model once.

        Raises:
            SessionError: The runtime reports a failure.
        """
        try:
            self._raw.invoke()
        except RuntimeError as error:
            raise SessionError(f"{self._name} failed to run the model: {one_line(error)}") from error


def tensor_details(entry: dict[str, Any]) -> TensorDetails:
    """What ``get_input_details`` and its like say of one tensor."""
    scale, zero_point = entry["quantization"]
    return TensorDetails(
        index=int(entry["index"]),
        name=str(entry["name"]),
        shape=tuple(int(size) for size in entry["shape"]),
        dtype=entry["dtype"].__name__,
        scale=float(scale),
        zero_point=int(zero_point),
    )


def one_line(error: Exception) -> str:
    """A runtime's message without its line breaks."""
    return " ".join(str(error).split())
