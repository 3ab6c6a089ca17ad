"""Shared by several test files: a bundle whose parts can be swapped, real int8 models, installed packages."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgekit.arrays import write_arrays
from edgekit.bundle import write_bundle
from edgekit.manifest import (
    AccuracyRecord,
    CalibrationRecord,
    GoldenRecord,
    Manifest,
    Preprocessing,
    TensorSpec,
)


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state store of each test's own: no test reads or writes that of the machine."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("EDGEKIT_STATE", str(folder))
    return folder


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    photo = Preprocessing("image", "uint8", range=(-1.0, 1.0), resize="bilinear", color="RGB")
    return Manifest(
        name="cats",
        version="1.4.0-rc.1",
        security_epoch=3,
        targets=("raspberry-pi-4", "coral-usb-accelerator"),
        inputs=(TensorSpec("image", (1, 8, 8, 3), "int8", 0.0078125, -1, "NHWC", photo),),
        outputs=(TensorSpec("probabilities", (1, 2), "int8", 0.00390625, -128),),
        labels=("cat", "猫でない"),
        calibration=CalibrationRecord(
            "folder of 500 images in 2 classes",
            "0f" * 32,
            199,
            500,
            0,
            "minmax",
            ("cat/7.jpg: all constant",),
        ),
        recipe={"effort": "balanced", "corrections": ["bias"], "engine": {"name": "mlir", "passes": 2}},
        tools={"edgekit": "0.1.0", "python": "3.11.2", "machine": "x86_64", "cpu_features": "avx2 fma"},
        accuracy=AccuracyRecord("top-1", "%", 400, 55.0, 54.5, -0.5, -1.75, 0.75, 92.25, 400),
        exceptions=(),
        runtime={"model.tflite": {"litert": "2.3.0"}},
        golden=GoldenRecord(4, 0, "drawn", {"xnnpack": 1}),
    )


@pytest.fixture(scope="session")
def members(manifest: Manifest) -> dict[str, bytes]:
    import numpy as np

    return {
        "model.tflite": b"\x1c\0\0\0TFL3" + bytes(range(64)),
        "manifest.json": manifest.to_bytes(),
        "golden.npz": write_arrays({"input_0": np.zeros((4, 8, 8, 3), np.int8)}),
    }


@pytest.fixture(scope="session")
def bundle(members: dict[str, bytes]) -> bytes:
    return write_bundle(members)


@pytest.fixture(scope="session")
def smallest(manifest: Manifest) -> bytes:
    """A bundle of the two members that every bundle has."""
    bare = replace(manifest, golden=None).to_bytes()
    return write_bundle({"model.tflite": b"\x1c\0\0\0TFL3", "manifest.json": bare})


@dataclass(frozen=True)
class Tensor:
    """A tensor of a model under construction; `data` makes it a constant."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int = 0
    dtype: str = "INT8"
    data: np.ndarray[Any, Any] | None = None


def pack_model(
    tensors: Sequence[Tensor],
    inputs: Sequence[int],
    outputs: Sequence[int],
    operators: Sequence[tuple[str, Sequence[int], Sequence[int], Any]],
) -> bytes:
    """A real .tflite of these tensors; an operator is (name, inputs, outputs, its options object)."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version, model.description = 3, "edgekit test"
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = []
    for tensor in tensors:
        made = schema.TensorT()
        made.name, made.shape, made.hasRank = tensor.name, list(tensor.shape), True
        made.type = getattr(schema.TensorType, tensor.dtype)
        if tensor.scale:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [tensor.scale], [tensor.zero_point]
        if tensor.data is not None:
            made.buffer = len(model.buffers)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(tensor.data.tobytes(), np.uint8)
            model.buffers.append(buffer)
        graph.tensors.append(made)
    graph.inputs, graph.outputs = list(inputs), list(outputs)
    graph.operators, model.operatorCodes = [], []
    for name, taken, given, options in operators:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 4 if name == "FULLY_CONNECTED" else 2
        model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(taken), list(given)
        operator.builtinOptions = options
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        graph.operators.append(operator)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@dataclass(frozen=True)
class Built:
    """A real int8 model with what its manifest must say."""

    model: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


IMAGE = Preprocessing("image", "uint8", range=(0.0, 1.0), resize="bilinear", color="RGB")
FLOATS = Preprocessing("array", "float32")


def build_dense(
    shape: tuple[int, ...] = (1, 4, 4, 3),
    classes: int = 3,
    preprocessing: Preprocessing = IMAGE,
    layout: str | None = "NHWC",
) -> Built:
    """One FULLY_CONNECTED: class k answers with the mean of the values whose index is k modulo `classes`."""
    from ai_edge_litert import schema_py_generated as schema

    size = int(np.prod(shape))
    weights = np.zeros((classes, size), np.int8)
    for index in range(size):
        weights[index % classes, index] = 127
    in_scale, weight_scale, out_scale = 1 / 255, classes / size / 127, 1 / 127
    tensors = [
        Tensor("pixels", shape, in_scale, -128),
        Tensor("weights", weights.shape, weight_scale, data=weights),
        Tensor("bias", (classes,), in_scale * weight_scale, 0, "INT32", np.zeros(classes, np.int32)),
        Tensor("scores", (1, classes), out_scale),
    ]
    options = schema.FullyConnectedOptionsT()
    model = pack_model(tensors, [0], [3], [("FULLY_CONNECTED", [0, 1, 2], [3], options)])
    given = TensorSpec("pixels", shape, "int8", in_scale, -128, layout, preprocessing)
    return Built(model, (given,), (TensorSpec("scores", (1, classes), "int8", out_scale, 0),))


def build_pair() -> Built:
    """Two inputs, two outputs: `left + right`, and both joined."""
    from ai_edge_litert import schema_py_generated as schema

    tensors = [
        Tensor("left", (1, 2), 0.5),
        Tensor("right", (1, 2), 0.5),
        Tensor("sum", (1, 2), 1.0),
        Tensor("both", (1, 4), 0.5),
    ]
    joined = schema.ConcatenationOptionsT()
    joined.axis = 1
    operators = [("ADD", [0, 1], [2], schema.AddOptionsT()), ("CONCATENATION", [0, 1], [3], joined)]
    given = tuple(TensorSpec(name, (1, 2), "int8", 0.5, 0, None, FLOATS) for name in ("left", "right"))
    out = TensorSpec("sum", (1, 2), "int8", 1.0, 0), TensorSpec("both", (1, 4), "int8", 0.5, 0)
    return Built(pack_model(tensors, [0, 1], [2, 3], operators), given, out)


def build_tokens() -> Built:
    """One GATHER: looks up the embedding (2 numbers) of each of 3 tokens in a table of 4."""
    from ai_edge_litert import schema_py_generated as schema

    table = np.arange(8, dtype=np.int8).reshape(4, 2)
    tensors = [
        Tensor("tokens", (1, 3), 0, dtype="INT32"),
        Tensor("table", (4, 2), 0.5, data=table),
        Tensor("embedded", (1, 3, 2), 0.5),
    ]
    model = pack_model(tensors, [0], [2], [("GATHER", [1, 0], [2], schema.GatherOptionsT())])
    given = TensorSpec("tokens", (1, 3), "int32", 1.0, 0)
    return Built(model, (given,), (TensorSpec("embedded", (1, 3, 2), "int8", 0.5, 0),))


@pytest.fixture
def tokens() -> Built:
    return build_tokens()


@pytest.fixture
def dense() -> Built:
    return build_dense()


@pytest.fixture
def pair() -> Built:
    return build_pair()


@pytest.fixture
def make_dense() -> Callable[..., Built]:
    return build_dense


@pytest.fixture
def bundle_file(tmp_path: Path, manifest: Manifest) -> Callable[..., Path]:
    """Writes a bundle around a real model and returns its path."""

    def make(built: Built, labels: tuple[str, ...] | None = None) -> Path:
        fitting = replace(manifest, inputs=built.inputs, outputs=built.outputs, labels=labels, golden=None)
        path = tmp_path / "tiny.edgekit"
        path.write_bytes(write_bundle({"model.tflite": built.model, "manifest.json": fitting.to_bytes()}))
        return path

    return make


def write_distribution(folder: Path, name: str, commands: Mapping[str, str]) -> None:
    """What `pip install` leaves of a package that offers these commands, beside its code."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{command} = {target}" for command, target in commands.items()]
    (info / "entry_points.txt").write_text("\n".join(["[edgekit.commands]", *lines, ""]))


@pytest.fixture(scope="session")
def own_commands() -> Mapping[str, str]:
    """Command -> where its code is, as pyproject.toml declares them."""
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())["project"]
    commands: Mapping[str, str] = project["entry-points"]["edgekit.commands"]
    return commands


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_commands: Mapping[str, str]
) -> Callable[..., Path]:
    """Installs packages that offer commands, here and for subprocesses; edgekit itself is always one."""
    folder = tmp_path / "site"
    write_distribution(folder, "edgekit", own_commands)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))

    def install(name: str, commands: Mapping[str, str], code: Mapping[str, str] | None = None) -> Path:
        write_distribution(folder, name, commands)
        for module, text in (code or {}).items():
            (folder / f"{module}.py").write_text(text)
        return folder

    return install


@pytest.fixture
def command(site: Callable[..., Path]) -> Callable[..., Result]:
    """Runs one edgekit command line in this process."""
    from edgekit.cli import main

    def invoke(*words: object, **options: Any) -> Result:
        return CliRunner().invoke(main, list(map(str, words)), **options)

    return invoke


@pytest.fixture
def true_answers() -> Callable[[Built, np.ndarray[Any, Any]], dict[str, np.ndarray[Any, Any]]]:
    """What a model with one input and one output really gives, as golden.npz records it."""

    def run(built: Built, inputs: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=built.model)
        interpreter.allocate_tensors()
        given, answered = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        outputs = []
        for row in inputs:
            interpreter.set_tensor(given["index"], row[None])
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(answered["index"])[0])
        version = importlib.metadata.version("ai-edge-litert")
        return {f"output.0.litert-{version}.xnnpack": np.stack(outputs)}

    return run


@pytest.fixture
def golden_file(tmp_path: Path, manifest: Manifest, true_answers: Callable[..., Any]) -> Callable[..., Path]:
    """Writes a bundle around a real model with golden inputs and its answers; `spoilt` makes these wrong."""

    def make(built: Built, name: str = "golden.edgekit", spoilt: bool = False) -> Path:
        inputs = np.random.default_rng(0).integers(-128, 128, (4, *built.inputs[0].shape[1:]), np.int8)
        answers = true_answers(built, inputs)
        if spoilt:
            answers = {
                key: np.where(told > 0, told - 9, told + 9).astype(np.int8) for key, told in answers.items()
            }
        record = GoldenRecord(4, 0, "drawn", {"xnnpack": 0})
        fitting = replace(manifest, inputs=built.inputs, outputs=built.outputs, labels=None, golden=record)
        members = {"model.tflite": built.model, "manifest.json": fitting.to_bytes()}
        path = tmp_path / name
        path.write_bytes(
            write_bundle({**members, "golden.npz": write_arrays({"input.0": inputs, **answers})})
        )
        return path

    return make
