from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgekit.cli import main
from edgekit.manifest import Preprocessing


def f32(values: object) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


LABELS = ("red", "green", "blue")


@pytest.fixture
def run(site: Any) -> Callable[..., Result]:
    def invoke(*words: object) -> Result:
        return CliRunner().invoke(main, ["run", *map(str, words)])

    return invoke


@pytest.fixture
def labelled(bundle_file: Callable[..., Path], dense: Any) -> Path:
    return bundle_file(dense, LABELS)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    pillow = pytest.importorskip("PIL.Image")
    paths = []
    for name, color in (("red", (250, 0, 9)), ("green", (9, 200, 0))):
        paths.append(tmp_path / f"{name}.png")
        pillow.fromarray(np.full((6, 5, 3), color, np.uint8)).save(paths[-1])
    return paths


def test_photos_get_labels(run: Callable[..., Result], labelled: Path, photos: list[Path]) -> None:
    done = run(labelled, *photos, "--unsigned", "--top", 1)
    assert done.exit_code == 0, done.stderr
    header, first, second = done.stdout.splitlines()
    assert header.split() == ["input", "int8", "answer", "ms"]
    assert first.split()[:2] == [str(photos[0]), "red"]
    assert second.split()[:2] == [str(photos[1]), "green"]
    assert float(second.split()[-1]) >= 0
    assert done.stderr.splitlines()[0] == f"{labelled} runs unsigned: nothing shows who made it"


def test_json_is_one_object(run: Callable[..., Result], labelled: Path, photos: list[Path]) -> None:
    done = run(labelled, photos[0], "--unsigned", "--json", "--top", 2)
    (entry,) = (answer := json.loads(done.stdout))["results"]
    assert answer["bundle"] == str(labelled)
    assert entry["input"] == str(photos[0])
    np.testing.assert_allclose(entry["outputs"]["scores"], np.array([[125, 0, 4]]) / 127, rtol=1e-6)
    assert [label["label"] for label in entry["labels"]] == ["red", "blue"]
    assert entry["labels"][0]["score"] == pytest.approx(125 / 127)
    assert entry["invoke_ms"] > 0


def test_a_batch_is_one_result_a_row(run: Callable[..., Result], labelled: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "batch.npy", np.zeros((3, 4, 4, 3), np.uint8))
    done = run(labelled, tmp_path / "batch.npy", "--unsigned", "--json")
    origins = [entry["input"] for entry in json.loads(done.stdout)["results"]]
    assert origins == [f"{tmp_path}/batch.npy[{row}]" for row in range(3)]


def test_without_labels_the_outputs_are_shown(
    run: Callable[..., Result], bundle_file: Callable[..., Path], pair: Any, tmp_path: Path
) -> None:
    np.save(tmp_path / "l.npy", f32([1, 2]))
    np.save(tmp_path / "r.npy", f32([3, 4.5]))
    done = run(bundle_file(pair), f"left={tmp_path}/l.npy", f"right={tmp_path}/r.npy", "--unsigned")
    assert done.exit_code == 0, done.stderr
    assert "sum (1, 2): 4 7; both (1, 4): 1 2 3 4.5" in done.stdout


def test_of_many_values_the_greatest_are_shown_with_their_places(
    run: Callable[..., Result],
    bundle_file: Callable[..., Path],
    make_dense: Callable[..., Any],
    tmp_path: Path,
) -> None:
    built = make_dense((1, 90), 9, Preprocessing("array", "float32"), None)
    np.save(tmp_path / "x.npy", np.zeros(90, np.float32))
    done = run(bundle_file(built), tmp_path / "x.npy", "--unsigned", "--top", "2")
    assert re.search(r"scores \(1, 9\): \[\d\] -?[\d.]+, \[\d\] -?[\d.]+  ", done.stdout)


@pytest.mark.parametrize(
    ("options", "code", "kind"),
    [
        ([], 1, "TrustRequiredError"),
        (["--trust", "release.pub.pem"], 1, "KeyFileError"),
        (["--trust", "release.pub.pem", "--unsigned"], 2, "UsageError"),
        (["--unsigned", "--top", "0"], 2, "UsageError"),
        (["--unsigned", "--threads", "0"], 2, "UsageError"),
        (["--unsigned", "--threads", "1025"], 2, "UsageError"),
        (["--unsigned", "absent.npy"], 1, "BadSampleError"),
        (["--unsigned", "."], 1, "InputError"),
        (["--unsigned", "sound.wav"], 1, "InputError"),
    ],
)
def test_refusals(
    run: Callable[..., Result], labelled: Path, tmp_path: Path, options: list[str], code: int, kind: str
) -> None:
    np.save(tmp_path / "good.npy", np.zeros((4, 4, 3), np.uint8))
    done = run(labelled, tmp_path / "good.npy", *options, "--json")
    assert done.exit_code == code
    assert json.loads(done.stdout)["error"]["kind"] == kind


def test_no_input_is_wrong_usage(run: Callable[..., Result], labelled: Path) -> None:
    assert run(labelled, "--unsigned").exit_code == 2


def test_the_first_bad_input_ends_it_and_is_named(
    run: Callable[..., Result], labelled: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "good.npy", np.zeros((4, 4, 3), np.uint8))
    np.save(tmp_path / "bad.npy", np.zeros((2, 4, 4, 3), np.float32))
    np.save(tmp_path / "worse.npy", np.zeros(1))
    done = run(labelled, *(tmp_path / f"{name}.npy" for name in ("good", "bad", "worse")), "--unsigned")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"edgekit: error: {tmp_path}/bad.npy[0]: input 'pixels': " in done.stderr
    assert "worse" not in done.stderr


@pytest.mark.parametrize(("content", "kind"), [(None, "BundleError"), (b"", "MalformedBundleError")])
def test_files_that_are_no_bundle(
    run: Callable[..., Result], tmp_path: Path, content: bytes | None, kind: str
) -> None:
    path = tmp_path / "x.edgekit"
    if content is not None:
        path.write_bytes(content)
    done = run(path, "x.npy", "--unsigned", "--json")
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == kind
    assert str(path) in error["message"]


def test_the_real_process(site: Any, labelled: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((4, 4, 3), (0, 0, 255), np.uint8))
    words = ["-q", "run", str(labelled), str(tmp_path / "x.npy"), "--unsigned"]
    done = subprocess.run([sys.executable, "-m", "edgekit", *words], capture_output=True, text=True)
    assert done.returncode == 0
    assert "blue 1, red 0, green 0" in done.stdout
    assert "unsigned" not in done.stderr
    assert "Warning" not in done.stderr
