"""Models for the tests of `check`: small .tflite files and bundles, built without TensorFlow."""

from __future__ import annotations

from pathlib import Path

from tflite_models import Net, Op, T, activation

from edgekit.bundle import write_bundle
from edgekit.manifest import CalibrationRecord, Manifest, Preprocessing, TensorSpec

SHAPE = (1, 8)


def chain(*opcodes: str) -> Net:
    """A sound int8 model of operators with one input and one output of one shape, behind one another."""
    names = ["x", *(f"block/{opcode.lower()}_{i}" for i, opcode in enumerate(opcodes))]
    scale = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
    tensors = {"x": activation(*SHAPE)}
    for name, opcode in zip(names[1:], opcodes, strict=True):
        step, zero = scale.get(opcode, (0.05, 3))
        tensors[name] = activation(*SHAPE, scale=step, zero_point=zero)
    ops = tuple(
        Op(opcode, (source,), (result,), version=2 if opcode == "LOGISTIC" else 1)
        for opcode, source, result in zip(opcodes, names, names[1:], strict=False)
    )
    return Net(tensors, ops, ("x",), (names[-1],))


def float_model() -> Net:
    """The same, float, two operators."""
    tensors = {name: T(SHAPE, "FLOAT32") for name in ("x", "y", "z")}
    return Net(tensors, (Op("RELU", ("x",), ("y",)), Op("TANH", ("y",), ("z",))), ("x",), ("z",))


def float_edges() -> Net:
    """uint8 inside, float outside: QUANTIZE, RELU, DEQUANTIZE."""
    inside = T(SHAPE, "UINT8", 0.05, 128)
    tensors = {"x": T(SHAPE, "FLOAT32"), "a": inside, "b": inside, "y": T(SHAPE, "FLOAT32")}
    ops = (
        Op("QUANTIZE", ("x",), ("a",)),
        Op("RELU", ("a",), ("b",), version=2),
        Op("DEQUANTIZE", ("b",), ("y",)),
    )
    return Net(tensors, ops, ("x",), ("y",))


def saved(folder: Path, model: Net, name: str = "model.tflite") -> Path:
    """The model as a file."""
    path = folder / name
    path.write_bytes(model.build())
    return path


def bundled(folder: Path, model: Net) -> Path:
    """The model in a bundle."""
    manifest = Manifest(
        name="cats",
        version="1.2.0",
        security_epoch=0,
        targets=("raspberry-pi-4",),
        inputs=(TensorSpec("x", SHAPE, "int8", 0.05, 3, None, Preprocessing("array", "float32")),),
        outputs=(TensorSpec("y", SHAPE, "int8", 0.05, 3),),
        labels=None,
        calibration=CalibrationRecord("a folder of 500 photos", "ab" * 32, 200, 500, 0, "minmax"),
        recipe={"effort": "fast"},
        tools={"edgekit": "0.1.0"},
        accuracy=None,
        exceptions=(),
        runtime={"model.tflite": {"litert": "2.3.0"}},
        golden=None,
    )
    path = folder / "cats.edgekit"
    path.write_bytes(write_bundle({"model.tflite": model.build(), "manifest.json": manifest.to_bytes()}))
    return path
