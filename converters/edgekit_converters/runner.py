"""A model in LiteRT as the workstation needs it: inputs and outputs by name, and a look at the tensors in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from edgekit.backends import Kernels, TensorDetails
from edgekit.backends.banner import without_banner
from edgekit.backends.litert import LiteRtBackend
from edgekit.preprocess import dequantize, quantize


@dataclass(frozen=True, slots=True)
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


class Runner:
    """One interpreter. Not safe for use by several threads.

    Args:
        model: A .tflite with static shapes.
        threads: Of the interpreter.
        kernels: Which set of kernels.
        preserve_all_tensors: Keep what every operator computed, for `view`.

    Raises:
        SessionError: LiteRT refuses the model.
    """

    def __init__(
        self,
        model: bytes,
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
        self.inputs = tuple(TensorIO(**asdict(details)) for details in self._interpreter.inputs)
        self.outputs = tuple(TensorIO(**asdict(details)) for details in self._interpreter.outputs)

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


def runtime_name() -> str:
    """Name and version of the runtime, such as "litert-2.3.0"."""
    return f"litert-{LiteRtBackend().version}"
