"""PyTorch and ONNX models, end to end, where their environments are (edgekit env create torch, onnx)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_digits

from edgekit.bundle import read_unverified
from edgekit.errors import MissingEnvironmentError
from edgekit_converters.commands.convert import convert as convert_command
from edgekit_converters.conversion import convert
from edgekit_converters.environments.locate import interpreter_for
from edgekit_converters.report import Report

HERE = Path(__file__).resolve().parent
TARGET = "coral-usb-accelerator"


def made(kind: str, folder: Path) -> Path:
    """The models of ``KIND_models.py`` and digits, channels first."""
    try:
        python = interpreter_for(kind)
    except MissingEnvironmentError as error:
        pytest.skip(f"{error}: {error.hint}")
    script = HERE / f"{kind}_models.py"
    done = subprocess.run(
        [python, "-W", "ignore", script, folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    digits = (load_digits().data[:60].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    np.savez(folder / "digits.npz", x=digits)
    return folder


@pytest.fixture(scope="module")
def torch_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("torch", tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="module")
def onnx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("onnx", tmp_path_factory.mktemp("onnx"))


def converted(folder: Path, model: str | None, **words: object) -> Report:
    data, output = folder / "digits.npz", folder / "out.edgekit"
    path = None if model is None else folder / model
    return convert(path, target=TARGET, calibration=data, output=output, effort="fast", **words)


def check(report: Report, framework: str, folder: Path) -> None:
    assert report.audit.strictly_int8
    assert report.parity is not None
    assert report.parity.framework == framework
    assert report.parity.difference < 1e-5
    spec = read_unverified((folder / "out.edgekit").read_bytes()).manifest.inputs[0]
    assert (spec.name, spec.shape, spec.layout) == ("image", (1, 8, 8, 1), "NHWC")
    shapes = {each.name: each.shape for each in report.manifest.outputs}
    assert shapes == {"scores": (1, 10), "map": (1, 8, 8, 8)}


def said(folder: Path, *words: str) -> str:
    """What the command says when it refuses, on one line."""
    line = [
        *words,
        "--target",
        TARGET,
        "--calibration",
        str(folder / "digits.npz"),
        "-o",
        str(folder / "no.edgekit"),
    ]
    answer = CliRunner().invoke(convert_command, line)
    assert answer.exception is not None
    assert not (folder / "no.edgekit").exists()
    return f"{answer.exception} | {getattr(answer.exception, 'hint', '')}"


def test_an_exported_program_with_parameters_that_are_not_contiguous(torch_folder: Path) -> None:
    report = converted(torch_folder, "net.pt2")
    check(report, "PyTorch", torch_folder)
    dense = [op.placement for op in report.forecast.ops if op.opcode == "FULLY_CONNECTED"]
    assert [str(each) for each in dense] == ["TPU"]  # and not of version 5, which litert-torch writes
    assert report.notes[0].endswith("copied: head.weight, second.weight") or report.notes[0].endswith(
        "copied: second.weight, head.weight"
    )
    assert json.loads(json.dumps(report.to_json()))["original"]["tolerance"] == 1e-3


def test_an_open_batch_is_closed(torch_folder: Path) -> None:
    check(converted(torch_folder, "open.pt2"), "PyTorch", torch_folder)


def test_a_factory_with_weights(torch_folder: Path) -> None:
    place, weights = f"{torch_folder / 'net.py'}:make", torch_folder / "w.pth"
    shape = {"image": (1, 1, 8, 8)}
    report = converted(torch_folder, None, torch=place, weights=weights, input_shapes=shape)
    check(report, "PyTorch", torch_folder)


def test_what_pytorch_refuses_is_said_in_a_line(torch_folder: Path) -> None:
    factory = ["--torch", f"{torch_folder / 'net.py'}:make"]
    shape = ["--input-shape", "image=1,1,8,8"]
    assert "--input-shape image=1,3,224,224" in said(torch_folder, *factory)
    whole = said(torch_folder, *factory, *shape, "--weights", str(torch_folder / "whole.pth"))
    assert "holds more than weights" in whole
    other = said(torch_folder, *factory, *shape, "--weights", str(torch_folder / "other.pth"))
    assert "has besides more" in other
    inverse = said(torch_folder, str(torch_folder / "inverse.pt2"))
    assert "aten.linalg_inv_ex.default in layer 'inverse'" in inverse


def test_an_exported_program_that_would_run_code_is_refused(torch_folder: Path) -> None:
    refusal = said(torch_folder, str(torch_folder / "hostile.pt2"))
    assert "may run code" in refusal
    assert "--trust-model-code" in refusal
    assert not (torch_folder / "owned").exists()


@pytest.mark.parametrize("name", ["net.onnx", "apart.onnx"])
def test_an_onnx_model_with_its_weights_inside_or_apart(name: str, onnx_folder: Path) -> None:
    report = converted(onnx_folder, name)
    check(report, "ONNX", onnx_folder)
    assert report.kind == "ONNX model, opset 17"


def test_what_onnx_refuses_is_said_in_a_line(onnx_folder: Path) -> None:
    assert "com.example" in said(onnx_folder, str(onnx_folder / "own.onnx"))
    assert "ONNX_DET" in said(onnx_folder, str(onnx_folder / "det.onnx"))
    assert "keeps its state from one call to the next" in said(onnx_folder, str(onnx_folder / "lstm.onnx"))
    (onnx_folder / "apart.data").rename(onnx_folder / "gone.data")
    assert "external data" in said(onnx_folder, str(onnx_folder / "apart.onnx"))
