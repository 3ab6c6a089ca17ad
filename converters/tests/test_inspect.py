"""``edgekit inspect``: complete, harmless, and exit code 0 whatever the audit finds."""

import json
import subprocess
import sys
from math import nan
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tflite_models import Net, T, activation, conv, edit, net, unary

from edgekit.bundle import write_bundle
from edgekit.errors import EdgekitError, MalformedBundleError, MalformedModelError, UnknownModelError
from edgekit.manifest import AccuracyRecord, CalibrationRecord, Manifest, Preprocessing, TensorSpec
from edgekit_converters.commands.inspect import inspect
from edgekit_converters.inspection import EDGETPU_OPERATOR, inspect_file

COMPILED = net(
    "CUSTOM",
    {"x": activation(1, 8)},
    {"y": activation(1, 8)},
    custom_code=EDGETPU_OPERATOR,
    custom_options=b"\1\2",
)


def manifest(*variants: str) -> Manifest:
    return Manifest(
        name="cats",
        version="1.2.0",
        security_epoch=3,
        targets=("raspberry-pi-4",),
        inputs=(TensorSpec("x", (1, 8), "int8", 0.05, 3, None, Preprocessing("array", "float32")),),
        outputs=(TensorSpec("y", (1, 8), "int8", 0.05, 3),),
        labels=None,
        calibration=CalibrationRecord("a folder of 500 photos", "ab" * 32, 200, 500, 0, "minmax"),
        recipe={"effort": "fast"},
        tools={"edgekit": "0.1.0"},
        accuracy=AccuracyRecord("top-1", "%", 400, 55.0, 54.5, -0.5, -1.5, 0.5),
        exceptions=("op 0 LESS in 'ids': input 'ids' is int32",),
        runtime={variant: {"litert": "2.3.0"} for variant in variants},
        golden=None,
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    members = {
        "model.tflite": unary("ABS").build(),
        "model_edgetpu.tflite": COMPILED.build(),
        "manifest.json": manifest("model.tflite", "model_edgetpu.tflite").to_bytes(),
    }
    path = tmp_path / "cats.edgekit"
    path.write_bytes(write_bundle(members))
    return path


def written(folder: Path, model: Net) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(model.build())
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(inspect, [str(word) for word in words])


def as_json(*words: object) -> dict:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_sound_model(tmp_path):
    model = conv()
    path = written(tmp_path, model)
    text = run(path).output
    assert "strictly int8, inputs and outputs too" in text
    assert f"{path.stat().st_size:,} bytes, of them 124 parameters" in text
    assert "built for a test" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["CONV_2D", "3", "1"] in rows
    assert ["input", "0", "x", "int8", "1x8x8x3", "0.05", "3"] in rows
    assert ["output", "3", "y", "int8", "1x8x8x4", "0.1", "3"] in rows
    assert "weights" not in text


def test_tensors_are_listed_on_demand(tmp_path):
    path = written(tmp_path, conv())
    lines = run(path, "--tensors").output.splitlines()
    (weights,) = (line for line in lines if " weights " in line)
    assert weights.split() == ["1", "weights", "int8", "4x3x3x3", "0.01..0.04", "along", "0", "0"]
    assert "tensors" not in as_json(path)["models"][0]
    tensors = as_json(path, "--tensors")["models"][0]["tensors"]
    assert [t["name"] for t in tensors] == ["x", "weights", "bias", "y"]
    assert tensors[1]["quantized_dimension"] == 0
    assert len(tensors[1]["scale"]) == 4


def test_findings_are_shown_and_the_exit_code_is_0(tmp_path):
    model = net("CUSTOM", {"x": activation(1, 8)}, {"y": T((1, 8), "FLOAT32")}, custom_code="FlexErf")
    result = run(written(tmp_path, model))
    assert result.exit_code == 0
    assert "NOT strictly int8: 2 findings" in result.output
    assert "error flex-operator: op 0 FlexErf in 'y': is TensorFlow's own operator Erf" in result.output
    assert "error float-io" in result.output


def test_json_holds_the_same(tmp_path):
    model = net("CUSTOM", {"x": activation(1, 8)}, {"y": T((1, 8), "FLOAT32")}, custom_code="FlexErf")
    found = as_json(written(tmp_path, model))
    assert found["kind"] == "tflite"
    assert "verified" not in found
    (only,) = found["models"]
    assert (only["strictly_int8"], only["fully_integer"]) == (False, False)
    assert {f["rule"] for f in only["findings"]} == {"flex-operator", "float-io"}
    assert only["operators"] == [{"opcode": "FlexErf", "version": 1, "count": 1}]
    assert only["outputs"][0]["dtype"] == "float32"


def test_names_of_signatures_and_metadata_are_shown(tmp_path):
    model = conv()
    named = Net(
        model.tensors,
        model.ops,
        model.inputs,
        model.outputs,
        signatures={"serving_default": ({"image": "x"}, {"scores": "y"})},
        metadata={"min_runtime_version": b"1.14.0"},
    )
    path = written(tmp_path, named)
    text = run(path).output
    assert "image" in text
    assert "min_runtime_version (6 bytes)" in text
    assert as_json(path)["models"][0]["signatures"][1] == {
        "key": "serving_default", "tensor": 3, "name": "scores", "kind": "output",
    }  # fmt: skip


def test_numbers_that_json_lacks_become_text(tmp_path):
    found = as_json(written(tmp_path, unary("ABS", scale=nan)))
    assert found["models"][0]["outputs"][0]["scale"] == ["nan"]


def test_terminal_controls_in_names_are_escaped(tmp_path):
    model = unary("ABS", scale=0.0).rename(y="evil\x1b[2J\n  ok")
    path = tmp_path / "m.tflite"
    path.write_bytes(edit(model.build(), lambda m: setattr(m, "description", b"\x1b]0;hi\x07")))
    text = run(path, "--tensors").output
    assert "\x1b" not in text
    assert "\\x1b[2J\\n  ok" in text


def test_a_bundle_is_unverified_and_all_its_models_are_audited(bundle):
    text = run(bundle).output
    assert "UNVERIFIED" in text
    for fact in ("cats 1.2.0, security epoch 3", "raspberry-pi-4", "200 samples, a folder of 500 photos",
                 "top-1: float 55, int8 54.5 % on 400 samples", "op 0 LESS in 'ids'", "model_edgetpu.tflite"):  # fmt: skip
        assert fact in text
    assert "strictly int8" in text
    assert "int8 but for 1 exception" in text


def test_a_bundle_as_json(bundle):
    found = as_json(bundle)
    assert (found["kind"], found["verified"]) == ("bundle", False)
    assert len(found["sha256"]) == 64
    assert set(found["members"]) == {"manifest.json", "model.tflite", "model_edgetpu.tflite"}
    assert found["manifest"]["name"] == "cats"
    assert [m["name"] for m in found["models"]] == ["model.tflite", "model_edgetpu.tflite"]
    assert found["models"][1]["exceptions"]


def refused(path: object, kind: type[EdgekitError]) -> EdgekitError:
    result = run(path)
    assert isinstance(result.exception, kind)
    assert result.stdout == ""
    return result.exception


def test_other_files_are_refused_with_a_hint(tmp_path):
    path = tmp_path / "model.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    error = refused(path, UnknownModelError)
    assert "neither a .tflite nor an .edgekit bundle" in str(error)
    assert "edgekit convert" in error.hint


@pytest.mark.parametrize("name", ["missing.tflite", "."])
def test_what_cannot_be_read_is_refused(tmp_path, name):
    error = refused(tmp_path / name, UnknownModelError)
    assert "cannot read" in str(error)
    assert error.hint


def test_broken_models_and_bundles_are_refused(tmp_path, bundle):
    path = tmp_path / "broken.tflite"
    path.write_bytes(conv().build()[:200])
    refused(path, MalformedModelError)
    bundle.write_bytes(bundle.read_bytes()[:-10])
    refused(bundle, MalformedBundleError)


def test_a_bundle_with_a_broken_model_is_refused():
    members = {"model.tflite": conv().build()[:100], "manifest.json": manifest("model.tflite").to_bytes()}
    with pytest.raises(MalformedModelError):
        inspect_file("x.edgekit", write_bundle(members))


def test_nothing_heavy_is_imported(tmp_path):
    path = written(tmp_path, conv())
    code = (
        "import sys; from edgekit_converters.commands.inspect import inspect;"
        f"inspect([{str(path)!r}], standalone_mode=False);"
        "print('HEAVY', *{'tensorflow', 'keras', 'ai_edge_litert', 'numpy'} & sys.modules.keys())"
    )
    environment = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert out.stdout.splitlines()[-1] == "HEAVY"
