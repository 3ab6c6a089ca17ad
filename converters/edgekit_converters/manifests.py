"""Puts together what a bundle says of itself."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgekit.manifest import AccuracyRecord, CalibrationRecord, GoldenRecord, Manifest, TensorSpec, is_release
from edgekit.version import __version__
from edgekit_converters.calibration import CalibrationSet
from edgekit_converters.evaluate import Evaluation
from edgekit_converters.golden import SEED, TOLERANCE_STEPS
from edgekit_converters.quantize.pipeline import Int8Model
from edgekit_converters.request import Request
from edgekit_converters.runner import PortNames, Runner, TensorIO
from edgekit_targets.tflite import read_graph

PACKAGES = ("ai-edge-litert", "keras", "numpy", "tensorflow", "tf-keras")

# The x86-64 and Arm extensions that XNNPACK and TensorFlow choose kernels by; the others change no result.
CPU_FEATURES = frozenset(
    {
        "sse4_1", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni",
        "asimd", "asimddp", "asimdhp", "i8mm", "sve",
    }
)  # fmt: skip


def make_manifest(
    request: Request,
    made: Int8Model,
    calibration: CalibrationSet,
    evaluation: Evaluation | None,
    labels: Sequence[str] | None,
    names: PortNames,
    *,
    golden: int,
    variants: Mapping[str, bytes],
) -> Manifest:
    """The manifest of a conversion.

    Args:
        request: What was asked for; its target is the device's full name.
        made: The int8 model.
        calibration: What calibrated it, without the samples that were left out.
        evaluation: What it costs, if that was measured.
        labels: Class names, or None.
        names: Of the inputs and outputs.
        golden: How many golden inputs the bundle has.
        variants: The model and what compilers made of it, by name in the bundle.
    """
    runner = Runner(made.model, names)
    return Manifest(
        name=request.bundle_name,
        version=request.model_version,
        security_epoch=request.security_epoch,
        targets=(request.target,),
        inputs=tuple(_input_spec(tensor, calibration) for tensor in runner.inputs),
        outputs=tuple(_spec(tensor) for tensor in runner.outputs),
        labels=None if labels is None else tuple(labels),
        calibration=CalibrationRecord(
            source=calibration.source.description,
            sha256=calibration.fingerprint(),
            samples=len(calibration),
            available=calibration.source.count(),
            seed=request.seed,
            ranges="model" if made.choice is None else made.choice.recipe.ranges,
            left_out=tuple(map(str, made.left_out)),
        ),
        recipe={"effort": "none"} if made.choice is None else made.choice.recipe.to_json(),
        tools=tools(),
        accuracy=None if evaluation is None else _accuracy(evaluation),
        exceptions=made.exceptions,
        runtime={name: least_runtime(model) for name, model in variants.items()},
        golden=_golden(golden, "data" if request.golden_data else "drawn") if golden else None,
    )


def tools() -> dict[str, str]:
    """Name -> version of whatever can change the result."""
    found = {"edgekit": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["cpu_features"] = " ".join(sorted(cpu_features() & CPU_FEATURES)) or "unknown"
    return found


def cpu_features() -> frozenset[str]:
    """What Linux says of this processor; empty where it says nothing."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(
        next((words.split() for key, _, words in lines if key.strip() in ("flags", "Features")), [])
    )


def least_runtime(model: bytes) -> dict[str, str]:
    """The oldest TensorFlow Lite that has all operator versions, as TensorFlow noted it in the model."""
    noted = (
        bytes(read_graph(model).metadata.get("min_runtime_version", b""))
        .rstrip(b"\0")
        .decode("ascii", "replace")
    )
    return {"tensorflow-lite": noted} if is_release(noted) else {}


def _spec(tensor: TensorIO) -> TensorSpec:
    return TensorSpec(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        scale=tensor.scale or 1.0,  # integers that mean themselves, a named exception of the audit
        zero_point=tensor.zero_point,
    )


def _input_spec(tensor: TensorIO, calibration: CalibrationSet) -> TensorSpec:
    spec = _spec(tensor)
    layout = next(known.layout for known in calibration.inputs if known.name == tensor.name)
    return TensorSpec(
        spec.name,
        spec.shape,
        spec.dtype,
        spec.scale,
        spec.zero_point,
        layout,
        calibration.preprocessing[tensor.name],
    )


def _golden(count: int, source: str) -> GoldenRecord:
    return GoldenRecord(
        count, SEED, source, {str(kernels): steps for kernels, steps in TOLERANCE_STEPS.items()}
    )


def _accuracy(evaluation: Evaluation) -> AccuracyRecord:
    agreement = evaluation.agreement
    return AccuracyRecord(
        metric=evaluation.metric,
        unit=evaluation.unit,
        n=evaluation.n,
        float_value=evaluation.float_value,
        int8_value=evaluation.int8_value,
        difference=evaluation.difference,
        low=evaluation.difference_interval.low,
        high=evaluation.difference_interval.high,
        agreement=None if agreement is None else agreement.value,
        agreement_n=None if agreement is None else agreement.n,
    )
