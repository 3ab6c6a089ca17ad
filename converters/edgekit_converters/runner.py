"""A model in LiteRT as the workstation needs it: inputs and outputs by name, and a look at the tensors in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from edgekit.backends import Kernels, TensorDetails
from edgekit.backends.banner import without_banner
from edgekit.backends.litert import LiteRtBackend
from edgekit.preprocess import dequantize, quantize
from edgekit_targets.frozen import lean


@lean
class TensorIO(TensorDetails):
    """One input or output, and the way between real values and what it stores."""

    def store(self, values: np.ndarray) -> np.ndarray:
        """Real values as the tensor stores them; unchanged where it is not quantized."""
        if self.scale == 0.0:
            return values.astype(self.dtype, copy=False)
        return quantize(values, self.scale, self.zero_point, self.dtype)

    def real(self, stored: np.ndarray) -> np.ndarray:
        """What stored values stand for, float32; unchanged where the tensor is not quantized."""
        return stored if self.scale == 0.0 else dequantize(stored, self.scale, self.zero_point)


@dataclass(frozen=True, slots=True)
class PortNames:
    """What the inputs and outputs of a model are called, in the model's order.

    A model that came quantized is not changed, and its tensors may bear other names than its signature gives them.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Runner:
    """One interpreter. Not safe for use by several threads.

    Args:
        model: A .tflite with static shapes.
        names: What to call its inputs and outputs; None takes the names of the tensors.
        threads: Of the interpreter.
        kernels: Which set of kernels.
        preserve_all_tensors: Keep what every operator computed, for `view`.

    Raises:
        SessionError: LiteRT refuses the model.
    """

    def __init__(
        self,
        model: bytes,
        names: PortNames | None = None,
        *,
        threads: int = 1,
        kernels: Kernels = "xnnpack",
        preserve_all_tensors: bool = False,
    ) -> None:
        backend = LiteRtBackend()
        with without_banner():
            self._interpreter = backend.open(
                model, threads=threads, kernels=kernels, preserve_all_tensors=preserve_all_tensors
            )
        self.inputs = _named(self._interpreter.inputs, names.inputs if names else None)
        self.outputs = _named(self._interpreter.outputs, names.outputs if names else None)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the model on stored (not real) values, and returns copies of what it stored in its outputs."""
        for spec in self.inputs:
            self._interpreter.set_input(spec.index, inputs[spec.name])
        self._interpreter.invoke()
        return {spec.name: self._interpreter.output(spec.index) for spec in self.outputs}

    def run_real(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the model on real values: quantizes what goes in and dequantizes what comes out."""
        stored = self.run({spec.name: spec.store(inputs[spec.name]) for spec in self.inputs})
        return {spec.name: spec.real(stored[spec.name]) for spec in self.outputs}

    def view(self, index: int) -> np.ndarray:
        """The memory of any tensor, not a copy: valid, and to be dropped, before the next run."""
        return self._interpreter.view(index)


def _named(ports: Sequence[TensorDetails], names: Sequence[str] | None) -> tuple[TensorIO, ...]:
    called = [port.name for port in ports] if names is None else names
    return tuple(TensorIO(**asdict(port) | {"name": name}) for port, name in zip(ports, called, strict=True))


def run_once(model: bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Runs a model on real values and returns real ones; for the worker, where a crash of the runtime stays."""
    return Runner(model).run_real(inputs)


def runtime_name() -> str:
    """Name and version of the runtime, such as "litert-2.3.0"."""
    return f"litert-{LiteRtBackend().version}"
