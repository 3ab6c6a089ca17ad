"""A few inputs and the integers that the model answers to them: ``golden.npz``.

A device compares its own answers with these before it trusts a new bundle. The inputs are drawn from the reference
histograms by a fixed seed, value by value, so that no sample of the user leaves the workstation unless they say so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgekit.backends import Kernels
from edgekit.bundle import DEFAULT_LIMITS
from edgekit.errors import EdgekitError
from edgekit_converters.reference import OFFSET
from edgekit_converters.runner import PortNames, Runner, TensorIO, runtime_name

SEED = 20261124
HEADERS_BYTES = 1 << 16
"""More than the names and headers of the arrays take."""

Shape = tuple[int, ...]

TOLERANCE_STEPS: Mapping[Kernels, int] = {"xnnpack": 1, "builtin": 16}
"""Largest difference, in int8 steps, that is no fault under another runtime version or processor, by kernel set.

Measured between x86-64 and arm64: XNNPACK differs by 1 in SOFTMAX and nowhere else; LiteRT's own kernels by up to 11 on
a small CNN. The reference kernels agree exactly but are some 57 times slower, so no device runs them.
"""


def require_room(count: int, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> None:
    """Refuses more golden inputs than a bundle has room for.

    Args:
        count: How many.
        inputs: Shapes of the model's inputs, one byte a value.
        outputs: Likewise.

    Raises:
        EdgekitError: They would take more than a bundle may hold.
    """
    each = sum(map(math.prod, inputs)) + len(TOLERANCE_STEPS) * sum(map(math.prod, outputs))
    most = (DEFAULT_LIMITS.arrays - HEADERS_BYTES) // max(each, 1)
    if count > most:
        raise EdgekitError(
            f"--golden {count}: each golden input of this model takes {each:,} bytes, and a bundle has room for {most}",
            hint=f"say --golden {most}" if most else "the model is too large for a bundle with golden inputs",
        )


def draw_inputs(
    histograms: Mapping[str, np.ndarray], inputs: Sequence[TensorIO], count: int, seed: int = SEED
) -> dict[str, np.ndarray]:
    """Draws inputs, every value by itself, as often as the calibration set had it.

    Args:
        histograms: From `reference_histograms`.
        inputs: The model's.
        count: How many.
        seed: Of the drawing.

    Returns:
        By input name, [count, *shape without batch], in the input's dtype.
    """
    generator = np.random.default_rng(seed)
    drawn = {}
    for number, spec in enumerate(inputs):
        share = np.cumsum(histograms[f"input.{number}"].astype(np.float64))
        # By the cumulated shares and random(), whose stream numpy keeps; that of Generator.choice has changed before.
        levels = np.searchsorted(share / share[-1], generator.random((count, *spec.shape[1:])), side="right")
        drawn[spec.name] = (levels - OFFSET[spec.dtype]).astype(spec.dtype)
    return drawn


def stored_inputs(
    samples: Iterable[Mapping[str, np.ndarray]], inputs: Sequence[TensorIO]
) -> dict[str, np.ndarray]:
    """Real samples as golden inputs, for a user who lets them leave the workstation.

    Args:
        samples: Float model inputs by name, batch 1.
        inputs: The model's.

    Returns:
        By input name, [count, *shape without batch], in the input's dtype.
    """
    rows = [{spec.name: spec.store(sample[spec.name]) for spec in inputs} for sample in samples]
    return {spec.name: np.concatenate([row[spec.name] for row in rows]) for spec in inputs}


def golden_arrays(
    model: bytes, inputs: Mapping[str, np.ndarray], names: PortNames | None = None
) -> dict[str, np.ndarray]:
    """Runs the model on the golden inputs with each kernel set; call it in the worker, the model may crash the runtime.

    Args:
        model: The int8 model.
        inputs: By input name, [count, *shape without batch].
        names: What `inputs` calls the inputs; None for the names of the tensors.

    Returns:
        ``input.0`` as given and ``output.0.RUNTIME.KERNELS``, such as ``output.0.litert-2.3.0.xnnpack``, each [count, *shape
        without batch]; the numbers are those of the manifest's lists.
    """
    arrays: dict[str, np.ndarray] = {}
    for kernels in TOLERANCE_STEPS:
        runner = Runner(model, names, kernels=kernels)
        arrays |= {f"input.{number}": inputs[spec.name] for number, spec in enumerate(runner.inputs)}
        count = len(arrays["input.0"])
        answers = [runner.run({name: inputs[name][row][None] for name in inputs}) for row in range(count)]
        for number, spec in enumerate(runner.outputs):
            stacked = np.concatenate([answer[spec.name] for answer in answers])
            arrays[f"output.{number}.{runtime_name()}.{kernels}"] = stacked
    return arrays


def probe(model: bytes) -> None:
    """Loads and runs a model once on zeros; call it in the worker, so that a crash of the runtime stays there.

    Raises:
        SessionError: The runtime refuses the model.
    """
    runner = Runner(model)
    runner.run({spec.name: np.zeros(spec.shape, spec.dtype) for spec in runner.inputs})
