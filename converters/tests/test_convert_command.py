"""``edgekit convert`` as a person meets it: what its help teaches, what it prints where, and what it takes from words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from edgekit.bundle import read_unverified
from edgekit_converters.commands.convert import convert, default_output
from edgekit_converters.commands.words import NUMBERS, RANGE, SHAPE, PerInput, one_or_by_name
from edgekit_converters.request import Request

KEYS = {
    "bundle", "sha256", "bytes", "name", "kind", "targets", "notes", "sizes", "strictly_int8", "operators", "recipe",
    "trials", "calibration", "left_out", "accuracy", "layers", "forecast", "compiled", "original",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(made_by: Callable[[str], Path]) -> Path:
    return made_by("conversion_models")


def edgekit(*words: object, cwd: Path, first: str = "") -> subprocess.CompletedProcess[str]:
    """Runs edgekit in a process of its own, after the Python in `first`."""
    script = f"import sys\n{first}\nfrom edgekit.cli import main\nmain(sys.argv[1:])"
    command = [sys.executable, "-c", script, *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def words_for(folder: Path, *more: object) -> list[object]:
    data = folder / "shapes.npz"
    model = folder / "shapes.tflite"
    return ["convert", model, "--target", "rpi4", "--calibration", f"{data}#photo", "--effort", "fast", *more]


def help_page() -> str:
    return CliRunner().invoke(convert, ["--help"], prog_name="edgekit convert").output


def test_help_shows_examples_first_and_options_under_headings() -> None:
    page = help_page()
    example = page.index(
        "edgekit convert cats.keras --target raspberry-pi-4 --calibration photos/ --range -1,1"
    )
    headings = re.findall(r"^(\S.*):$", page, re.MULTILINE)
    assert headings == [
        "Device and result", "Calibration", "Accuracy", "Preprocessing, which the device will repeat", "Model",
        "PyTorch code",
        "What the bundle says of itself", "Others",
    ]  # fmt: skip
    assert example < page.index("Device and result:")
    assert "file.py:function" in page
    assert max(map(len, page.splitlines())) <= 100


def test_every_field_of_a_request_has_its_word_and_every_word_its_help() -> None:
    words = {param.name for param in convert.params}
    said_again = {
        "input_shape": "input_shapes",
        "device_dir": "device_dirs",
    }  # one at a time, and all in one field
    python_only = {"example_inputs", "params"}  # objects, which no command line can hold
    assert {said_again.get(word or "", word) for word in words - {"json"}} == {
        field.name for field in fields(Request)
    } - python_only
    for param in convert.params:
        if isinstance(param, click.Option):
            assert param.help, param.name
            assert len(param.help) < 170


def test_help_imports_neither_numpy_nor_tensorflow(tmp_path: Path) -> None:
    hidden = "for name in ('numpy', 'tensorflow', 'ai_edge_litert', 'PIL'): sys.modules[name] = None"
    done = edgekit("convert", "--help", cwd=tmp_path, first=hidden)
    assert done.returncode == 0, done.stderr
    assert "Calibration:" in done.stdout


@pytest.mark.parametrize("missing", ["tensorflow", "ai_edge_litert", "PIL"])
def test_a_bare_install_names_the_extra(missing: str, folder: Path, tmp_path: Path) -> None:
    done = edgekit(*words_for(folder, "--json"), cwd=tmp_path, first=f"sys.modules[{missing!r}] = None")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "edgekit: error: edgekit convert needs the extra 'convert', which is not installed",
        "hint: pip install 'edgekit[convert]'",
    ]
    assert json.loads(done.stdout)["error"]["kind"] == "MissingExtraError"
    assert list(tmp_path.iterdir()) == []


def test_report_goes_to_stdout_and_progress_to_stderr(folder: Path, tmp_path: Path) -> None:
    """The bundle gets the name of the model, in the folder where the command runs."""
    evaluation = f"{folder / 'shapes.npz'}#photo,labels"
    done = edgekit(*words_for(folder, "--evaluation", evaluation), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["shapes.edgekit"]
    for said in (
        "strictly int8",
        "calibrated on",
        "top1 on 240 samples",
        "int8 - float",
        "agreement",
        "wrote shapes.edgekit",
    ):
        assert said in done.stdout
    stages = done.stderr.splitlines()
    assert stages.index("export the float model") < stages.index("quantize the model")
    assert not any("%" in stage or "\r" in stage for stage in stages)  # bars are for terminals


def test_json_is_one_object_on_stdout(folder: Path, tmp_path: Path) -> None:
    done = edgekit("-q", *words_for(folder, "--json", "-o", "out.edgekit", "--name", "bars"), cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said.keys() == KEYS
    bundle = (tmp_path / "out.edgekit").read_bytes()
    assert (said["bundle"], said["bytes"]) == ("out.edgekit", len(bundle))
    assert said["sha256"] == sha256(bundle).hexdigest()
    assert said["name"] == "bars"
    assert said["strictly_int8"] is True
    assert said["accuracy"] is None
    assert said["targets"] == ["raspberry-pi-4"]
    report = json.loads(bytes(read_unverified(bundle).members["report.json"]))
    assert report == {key: said[key] for key in KEYS - {"bundle", "sha256", "bytes"}}


def test_broken_contract_is_exit_3_with_the_report(folder: Path, tmp_path: Path) -> None:
    """Two of the calibration photos are a hundred times too bright, and are kept: minimum and maximum are useless then."""
    with np.load(folder / "shapes.npz") as file:
        photos = file["photo"][:40].copy()
    photos[[3, 17]] *= 100
    np.save(tmp_path / "poisoned.npy", photos)
    words = words_for(
        folder,
        "--json",
        "--evaluation",
        f"{folder / 'shapes.npz'}#photo,labels",
        "--max-drop",
        2,
        "--keep-outliers",
    )
    words[words.index("--calibration") + 1] = "poisoned.npy"
    done = edgekit(*words, cwd=tmp_path)
    assert done.returncode == 3
    said = json.loads(done.stdout)
    assert said["error"]["kind"] == "AccuracyContractError"
    assert said["report"].keys() == KEYS - {"bundle", "sha256", "bytes"}
    assert said["report"]["accuracy"]["drop_pp"] > 2
    assert re.search(
        r"--max-drop allows 2; no bundle is written(.|\n)*layers that lose most:\nop +opcode", done.stderr
    )
    assert [path.name for path in tmp_path.iterdir()] == ["poisoned.npy"]


def test_photos_in_class_folders(folder: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("bar", "blob", "pole"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            pixels = generator.integers(0, 256, (30, 20), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    words = words_for(
        folder, "--range", "-1,1", "--resize", "bilinear", "--labels", "from-folder", "--samples", 9
    )
    words[words.index("--calibration") + 1] = "photos"
    done = edgekit(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = read_unverified((tmp_path / "shapes.edgekit").read_bytes()).manifest
    assert manifest.labels == ("bar", "blob", "pole")
    assert (manifest.calibration.samples, manifest.calibration.available) == (9, 18)
    how = manifest.inputs[0].preprocessing
    assert how is not None
    assert (how.source, how.range, how.resize, how.color) == ("image", (-1, 1), "bilinear", "GRAY")
    ran = edgekit("run", "shapes.edgekit", "photos/blob/3.png", "--unsigned", "--top", 1, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"photos/blob/3.png +(bar|blob|pole) \d", ran.stdout)


@pytest.mark.parametrize(
    ("model", "bundle"),
    [
        ("cats.keras", "cats.edgekit"),
        ("path/to/cats.v2.tflite", "cats.v2.edgekit"),
        ("saved_0.25_224/", "saved_0.25_224.edgekit"),
        (".", "{here}.edgekit"),
        ("/", "model.edgekit"),
    ],
)
def test_default_output_is_the_name_of_the_model(
    model: str, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved_0.25_224").mkdir()
    assert default_output(model) == bundle.format(here=tmp_path.name)


@pytest.mark.parametrize(
    ("kind", "text", "parsed"),
    [
        (RANGE, "-1,1", (None, (-1.0, 1.0))),
        (RANGE, "photo=0,1", ("photo", (0.0, 1.0))),
        (RANGE, "a=b=0,1", ("a=b", (0.0, 1.0))),
        (NUMBERS, "0.5", (None, (0.5,))),
        (NUMBERS, "x=0.1,0.2,0.3", ("x", (0.1, 0.2, 0.3))),
        (SHAPE, "serving_default_x:0=1,96,96,3", ("serving_default_x:0", (1, 96, 96, 3))),
    ],
)
def test_words_for_inputs(kind: PerInput, text: str, parsed: tuple[str | None, tuple[float, ...]]) -> None:
    assert kind.convert(text, None, None) == parsed


@pytest.mark.parametrize(
    ("kind", "text"),
    [(RANGE, "1"), (RANGE, "=0,1"), (RANGE, "a,b"), (NUMBERS, ""), (SHAPE, "1,2"), (SHAPE, "x=1.5")],
)
def test_words_of_another_form_are_wrong_usage(kind: PerInput, text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not of the form"):
        kind.convert(text, None, None)


def test_one_value_for_all_or_one_for_each_name() -> None:
    assert one_or_by_name("range", ()) is None
    assert one_or_by_name("range", ((None, 1),)) == 1
    assert one_or_by_name("range", (("a", 1), ("b", 2))) == {"a": 1, "b": 2}
    for twice in (((None, 1), ("a", 2)), (("a", 1), ("a", 2)), ((None, 1), (None, 2))):
        with pytest.raises(click.UsageError, match="--range: say it once"):
            one_or_by_name("range", twice)
