"""How the model's inputs and outputs were distributed over the calibration set: ``reference.npz``.

An int8 tensor has 256 values, so a histogram of 256 bins is exact. The device later holds what it sees against these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from edgekit_converters.runner import PortNames, Runner, TensorIO

BINS = 256
OFFSET: Mapping[str, int] = {"int8": 128, "uint8": 0}
"""What is added to a stored integer to get its bin, by dtype; other dtypes have no histogram."""


def reference_histograms(
    model: bytes,
    samples: Iterable[Mapping[str, np.ndarray]],
    names: PortNames | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Counts the int8 values of every input and output.

    Args:
        model: The int8 model.
        samples: Float model inputs by name, batch 1; a stream.
        names: What the samples call the inputs; None for the names of the tensors.
        progress: Called with 1 after each sample.

    Returns:
        int64 [256] by ``input.0``, ``output.1`` and so on, the numbers being those of the manifest's lists: bin i counts the
        stored value i - 128 (int8) or i (uint8). Tensors that hold plain integers have none.
    """
    runner = Runner(model, names)
    inputs = {f"input.{number}": spec for number, spec in enumerate(runner.inputs) if spec.dtype in OFFSET}
    outputs = {f"output.{number}": spec for number, spec in enumerate(runner.outputs) if spec.dtype in OFFSET}
    counts = {key: np.zeros(BINS, np.int64) for key in (*inputs, *outputs)}
    for sample in samples:
        fed = {spec.name: spec.store(sample[spec.name]) for spec in runner.inputs}
        answers = runner.run(fed)
        for key, spec in inputs.items():
            counts[key] += _histogram(fed[spec.name], spec)
        for key, spec in outputs.items():
            counts[key] += _histogram(answers[spec.name], spec)
        if progress is not None:
            progress(1)
    return counts


def _histogram(values: np.ndarray, spec: TensorIO) -> np.ndarray:
    return np.bincount(values.ravel().astype(np.int16) + OFFSET[spec.dtype], minlength=BINS)
