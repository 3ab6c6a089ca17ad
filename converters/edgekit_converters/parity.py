"""The float .tflite beside the model that it was made from, on real samples, before anything is quantized.

Converters between frameworks fail in silence: a layout taken for another, weights read in the wrong order. Only numbers
show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from edgekit.errors import ParityError
from edgekit_converters.calibration import CalibrationSet, InputSpec
from edgekit_converters.runner import Runner
from edgekit_converters.sources import FloatModel

SAMPLES = 8
"""Compared with the original: each runs twice, and a wrong layout or weight shows in one."""
TOLERANCE = 1e-3
"""The largest difference that is allowed, relative to the largest magnitude of an output over all samples. float32 in
another order of sums gives 1e-7 to 1e-6 (benchmarks/frameworks.py); one step of int8 is 4e-3."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How close the float .tflite comes to its original.

    Attributes:
        framework: Of the original.
        samples: How many were compared.
        output: The one that differs most.
        difference: Of that output: the largest difference over its largest magnitude.
        tolerance: What was allowed.
    """

    framework: str
    samples: int
    output: str
    difference: float
    tolerance: float = TOLERANCE

    def to_json(self) -> dict[str, object]:
        """For the report; two digits of the difference, as the rest is noise."""
        return {
            "framework": self.framework,
            "samples": self.samples,
            "worst_output": self.output,
            "difference": float(f"{self.difference:.1e}"),
            "tolerance": self.tolerance,
        }

    def render(self) -> str:
        """One line for people."""
        return (
            f"the float model equals {self.framework} on {self.samples} samples: output '{self.output}' differs most, by "
            f"{self.difference:.0e} of its largest value (allowed: {self.tolerance:g})"
        )


def compare_with_original(source: FloatModel, calibration: CalibrationSet) -> Parity | None:
    """Runs both on the first samples, and refuses a float model that is another one.

    Args:
        source: The float model and its original.
        calibration: What the device will see.

    Returns:
        None where there is no original.

    Raises:
        ParityError: They differ by more than `TOLERANCE`; names the worst output.
    """
    if source.original is None:
        return None
    samples = [inputs for _, inputs in islice(calibration, SAMPLES)]
    runner = Runner(source.flatbuffer)
    answers = [runner.run_real(inputs) for inputs in samples]
    truth = source.original.run(_original_inputs(source, samples))
    made = {name: np.stack([answer[name] for answer in answers]) for name in source.outputs if name in truth}
    if not made:  # cut by --outputs at tensors that the original does not show
        return None
    differences = {name: _difference(values, truth[name]) for name, values in made.items()}
    worst = max(differences, key=differences.__getitem__)
    parity = Parity(source.original.framework, len(samples), worst, differences[worst])
    if parity.difference > TOLERANCE:
        how = f"differs by {parity.difference:.2g} of its largest value, and {TOLERANCE:g} is allowed"
        if made[worst].shape != truth[worst].shape:
            how = f"has the shape {made[worst].shape[1:]} and not {truth[worst].shape[1:]}"
        elif not np.isfinite(parity.difference):
            how = "is not finite"
        raise ParityError(
            f"the float .tflite is not the {parity.framework} model: on {parity.samples} of your samples "
            f"output '{worst}' {how}",
            hint="the converter changed the model in silence: please report it with the model; --outputs before the "
            "part that differs may go around it",
        )
    return parity


def _original_inputs(
    source: FloatModel, samples: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The samples in the layout of the original; zeros for an input that no wanted output needs."""
    specs = {spec.name: spec for spec in source.inputs}
    return {
        name: np.stack([_turned_back(specs[name], sample[name]) for sample in samples])
        if name in specs
        else np.zeros((len(samples), *shape), np.float32)
        for name, shape in source.original_shapes.items()
    }


def _turned_back(spec: InputSpec, values: np.ndarray) -> np.ndarray:
    return values.transpose(0, 3, 1, 2) if spec.data_layout == "NCHW" else values


def _difference(values: np.ndarray, truth: np.ndarray) -> float:
    """The largest difference over the largest magnitude; infinite where shapes differ or one is not finite."""
    if values.shape != truth.shape or not (np.isfinite(values).all() and np.isfinite(truth).all()):
        return float("inf")
    largest = float(np.abs(truth).max(initial=0.0))
    return float(np.abs(values - truth).max(initial=0.0)) / max(largest, 1e-12)
