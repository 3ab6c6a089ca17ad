"""A bundle for a model that does not exist yet: inputs, outputs and no operator between them."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.backends.tinymodel import TinyTensor, write_model
from edgekit.bundle import MANIFEST, MODEL, UnverifiedBundle, read_unverified, write_bundle
from edgekit.manifest import CalibrationRecord, Manifest, TensorSpec
from edgekit.version import __version__


def standin_bundle(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], labels: Sequence[str] | None
) -> UnverifiedBundle:
    """Make a bundle, in memory, that says of itself that it holds nothing but inputs and outputs.

    A runtime would open it and leave the outputs unset; it is meant for a `Simulation` only.

    Args:
        inputs: Of the model.
        outputs: Of the model.
        labels: Class names, or None.

    Raises:
        InvalidManifestError: No manifest may hold these.
    """
    manifest = Manifest(
        name="simulated",
        version="0.0.0",
        security_epoch=0,
        targets=("simulated",),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        labels=None if labels is None else tuple(labels),
        calibration=CalibrationRecord("none: nothing was calibrated", "0" * 64, 1, 1, 0, "none"),
        recipe={"simulated": True},
        tools={"edgekit": __version__},
        accuracy=None,
        exceptions=("no operators: a stand-in for a simulation",),
        runtime={MODEL: {}},
        golden=None,
    )
    model = standin_model(manifest.inputs, manifest.outputs)
    return read_unverified(write_bundle({MODEL: model, MANIFEST: manifest.to_bytes()}))


def standin_model(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bytes:
    """A .tflite with these tensors and no operator."""
    tensors = [
        TinyTensor(
            spec.name,
            spec.shape,
            spec.dtype,
            spec.scale if spec.dtype in ("int8", "uint8") else 0.0,  # integers that mean themselves
            spec.zero_point,
        )
        for spec in (*inputs, *outputs)
    ]
    first_output = len(inputs)
    return write_model(
        tensors,
        range(first_output),
        range(first_output, len(tensors)),
        description="edgekit stand-in without operators",
    )
