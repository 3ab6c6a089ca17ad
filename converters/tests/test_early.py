"""What is refused before TensorFlow starts: `settle` knows no worker, so that none of these can have cost a minute."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tflite_models import dense

from edgekit.errors import EdgekitError, NoDataError, OutputError, UnknownModelError
from edgekit_converters.early import settle
from edgekit_converters.labels import check_labels
from edgekit_converters.request import MOST_GOLDEN, MOST_THREADS, Request


@pytest.fixture
def good(tmp_path: Path) -> Request:
    """A request with nothing wrong in it, as far as can be told without its model."""
    (tmp_path / "model.tflite").write_bytes(dense().build())
    np.save(tmp_path / "data.npy", np.zeros((4, 16), np.float32))
    (tmp_path / "names.txt").write_text("one\n\n  two \n")
    (tmp_path / "code.py").write_text(
        "def samples():\n    yield 1\ndef metric(outputs, label):\n    return 1.0\n"
    )
    return Request(
        model=tmp_path / "model.tflite",
        target="raspberry-pi-4",
        calibration=str(tmp_path / "data.npy"),
        output=tmp_path / "out.edgekit",
    )


def test_a_good_request_passes_and_leaves_nothing(good: Request, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    full = replace(
        good, labels=f"{tmp_path}/names.txt", metric=f"{tmp_path}/code.py:metric", evaluation=good.calibration
    )
    settled = settle(full)
    assert settled.labels == ("one", "two")
    assert settled.calibration == good.calibration
    assert settled.metric is not None
    assert [path for path in sorted(tmp_path.iterdir()) if path.name != "__pycache__"] == before
    assert (
        settle(replace(good, labels="from-folder", metric="top1", evaluation=good.calibration)).labels is None
    )


def test_data_may_be_a_function_or_a_part_of_a_file(good: Request, tmp_path: Path) -> None:
    for data in (
        f"{tmp_path}/code.py:samples",
        "package.module:samples",
        f"{tmp_path}/data.npy#x,y",
        list,
    ):
        settle(replace(good, calibration=data))


@pytest.mark.parametrize(
    ("words", "says", "advises"),
    [
        ({"calibration": None}, "no calibration data", "--calibration DATA"),
        ({"calibration": "nowhere/"}, "nowhere/: there is no such file or folder", "file.py:function"),
        ({"calibration": "nowhere.py:samples"}, "nowhere.py:samples: there is no such", "file.py:function"),
        ({"calibration": "nowhere.npz#x"}, "nowhere.npz#x: there is no such", "file.py:function"),
        ({"evaluation": "nowhere.npz"}, "nowhere.npz: there is no such", "file.py:function"),
        ({"model": "nowhere.keras"}, "nowhere.keras: there is no such file", "path of the model"),
        ({"samples": 1}, "--samples 1: one sample sets no range", "at least 20"),
        ({"samples": -5}, "--samples -5", "at least 20"),
        ({"seed": -1}, "--seed -1: must lie within 0", "leave --seed out"),
        ({"golden": 0}, f"--golden 0: must lie within 1..{MOST_GOLDEN}", "leave --golden out"),
        ({"golden": MOST_GOLDEN + 1}, f"--golden {MOST_GOLDEN + 1}", "leave --golden out"),
        ({"threads": 0}, "--threads 0", "leave --threads out"),
        ({"threads": MOST_THREADS + 1}, "--threads", "leave --threads out"),
        ({"effort": "heroic"}, "--effort heroic", "fast or balanced"),
        ({"layout": "HWC"}, "--layout HWC", "NHWC or NCHW"),
        ({"layout": {"photo": "CHW"}}, "--layout CHW", "NHWC or NCHW"),
        ({"outputs": ("boxes", "")}, "--outputs .*empty name", "--outputs boxes,scores"),
        ({"outputs": "scores"}, "--outputs 'scores': .*no list", "--outputs boxes,scores"),
        ({"range": (1.0, -1.0)}, "--range 1,-1", "LO,HI"),
        ({"range": {"photo": (0.0, 0.0)}}, "--range 0,0", "LO,HI"),
        ({"range": (0.0, float("inf"))}, "finite", "--range -1,1"),
        ({"mean": float("nan")}, "finite", "--range -1,1"),
        ({"std": (0.2, 0.0, 0.2)}, "--std: every number must be above 0", "trained with"),
        ({"std": -1.0}, "--std: every number must be above 0", "trained with"),
        ({"resize": "area"}, "--resize area.*nearest, bilinear", "--resize"),
        ({"color": {"photo": "CMYK"}}, "--color CMYK.*RGB, BGR, GRAY", "--color RGB"),
        ({"preprocessed": True, "range": (0.0, 1.0)}, "--preprocessed says", "drop"),
        ({"preprocessed": ("photo",), "mean": {"photo": 0.5}}, "--preprocessed says", "drop"),
        ({"name": " cats"}, "bundle's name must have", "--name"),
        ({"name": ""}, "bundle's name must have", "--name"),
        ({"name": "two\nlines"}, "bundle's name holds an unprintable", "--name"),
        ({"model_version": "1"}, "bundle's version must be a version such as 1.4.0", "--model-version"),
        ({"security_epoch": -1}, "bundle's security_epoch must not be negative", "--security-epoch"),
        ({"max_drop": 1.0}, "--max-drop is a contract", "--evaluation"),
        ({"metric": "top1"}, "--metric needs data", "--evaluation"),
        ({"labels": "nowhere.txt"}, "--labels nowhere.txt: No such file", "one class name a line"),
        ({"labels": "."}, "--labels .: Is a directory", "one class name a line"),
        ({"output": Path("nowhere/out.edgekit")}, "nowhere/out.edgekit", "mkdir -p nowhere"),
        ({"output": Path()}, "cannot write .: is a directory", "name of a file"),
    ],
)  # fmt: skip
def test_refused_early(words: Mapping[str, object], says: str, advises: str, good: Request) -> None:
    with pytest.raises(EdgekitError, match=says) as caught:
        settle(replace(good, **words))  # type: ignore[arg-type]
    assert advises in str(caught.value.hint)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"max_drop": -0.5}, "--max-drop -0.5: must lie within 0..100"),
        ({"max_drop": float("nan")}, "--max-drop nan"),
        ({"max_drop": 1.0, "metric": "sqnr"}, "--metric sqnr .* knows no drop"),
        ({"metric": "accurcy"}, "there is no metric 'accurcy'"),
        ({"metric": "nowhere.py:score"}, "nowhere.py"),
    ],
)
def test_refused_early_beside_evaluation_data(words: Mapping[str, object], says: str, good: Request) -> None:
    with pytest.raises(EdgekitError, match=says) as caught:
        settle(replace(good, evaluation=good.calibration, **words))  # type: ignore[arg-type]
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "there is no name in it"),
        (b"\n  \n", "there is no name in it"),
        (b"one\n\xff\xfe\n", "it is not UTF-8 text"),
        (b"one\ntwo\tparts\n", "line 2 holds an unprintable character"),
    ],
)
def test_broken_labels_are_refused_early(content: bytes, says: str, good: Request, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(EdgekitError, match=re.escape(f"--labels {path}: ") + says):
        settle(replace(good, labels=str(path)))


@pytest.mark.parametrize("read", ["model.tflite", "data.npy", "names.txt"])
def test_what_is_read_is_never_overwritten(read: str, good: Request, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / read)
    before = (tmp_path / read).read_bytes()
    for output in (tmp_path / read, tmp_path / "link"):
        with pytest.raises(OutputError, match="it is read as well"):
            settle(replace(good, labels=f"{tmp_path}/names.txt", output=output))
    assert (tmp_path / read).read_bytes() == before


def test_an_empty_model_file_is_refused_early(good: Request, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"")
    with pytest.raises(UnknownModelError, match="is empty"):
        settle(good)


def test_no_data_is_an_error_of_its_own_kind(good: Request) -> None:
    with pytest.raises(NoDataError):
        settle(replace(good, calibration=None))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ({}, "out"),
        ({"name": "cats"}, "cats"),
        ({"output": None}, "model"),
        ({"output": None, "model": object()}, "model"),
        ({"output": Path("a/cats.v2.edgekit")}, "cats.v2"),
    ],
)
def test_name_of_the_bundle(words: Mapping[str, object], name: str, good: Request) -> None:
    assert replace(good, **words).bundle_name == name  # type: ignore[arg-type]


def test_labels_must_fit_an_output() -> None:
    outputs = {"boxes": (1, 20, 4), "scores": (1, 20, 3)}
    check_labels(["a", "b", "c"], outputs)
    with pytest.raises(
        EdgekitError, match=r"--labels has 2 names.*'boxes' \[1, 20, 4\], 'scores' \[1, 20, 3\]"
    ):
        check_labels(["a", "b"], outputs)
