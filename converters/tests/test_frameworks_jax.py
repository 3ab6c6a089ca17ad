"""Functions of JAX, end to end; what jax_models.py did in its own process is looked at here."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edgekit.bundle import MODEL, read_unverified

pytestmark = pytest.mark.skipif(
    find_spec("jax") is None, reason="needs JAX: pip install 'edgekit[convert,convert-jax]'"
)


@pytest.fixture(scope="module")
def made(made_by: Callable[[str], Path]) -> Path:
    return made_by("jax_models")


def bundle(path: Path) -> Any:
    return read_unverified(path.read_bytes())


def test_a_trained_function_loses_less_than_a_point(made: Path) -> None:
    report = json.loads((made / "digits.json").read_text())
    assert report["kind"].startswith("JAX ")
    assert report["strictly_int8"]
    assert report["accuracy"]["float_value"] > 90
    assert report["accuracy"]["drop_pp"] < 1
    original = report["original"]
    assert original["framework"] == "JAX"
    assert original["samples"] == 8
    assert original["difference"] < 1e-5 < original["tolerance"]
    assert original["worst_output"] in ("scores", "features")


def test_the_manifest_says_what_the_device_must_feed(made: Path) -> None:
    spec = bundle(made / "digits.edgekit").manifest.inputs[0]
    assert (spec.name, spec.shape, spec.layout) == ("image", (1, 8, 8, 1), "NHWC")
    outputs = [each.name for each in bundle(made / "digits.edgekit").manifest.outputs]
    assert sorted(outputs) == ["features", "scores"]


def test_channels_first_arrays_and_photos_calibrate_alike(made: Path) -> None:
    arrays, folder = bundle(made / "arrays.edgekit"), bundle(made / "folder.edgekit")
    assert arrays.manifest.inputs == folder.manifest.inputs
    assert arrays.manifest.inputs[0].layout == "NHWC"
    assert bytes(arrays.members[MODEL]) == bytes(folder.members[MODEL])


def test_refusals_name_what_is_wrong(made: Path) -> None:
    facts = json.loads((made / "facts.json").read_text())
    kind, said, hint = facts["operator"]
    assert kind == "UnsupportedModelError"
    assert said == "TensorFlow has no TFLite form for sort"
    assert "end it before" in hint
    assert "syevd" in facts["library"][1]  # LAPACK's symmetric eigenvalues
    assert facts["integers"][1].startswith("input 'ids' is int32")
    assert "cannot trace" in facts["branch"][1]
    assert "first dimension must be the batch, 1" in facts["batch"][1]


def test_a_float_model_that_answers_otherwise_is_refused_by_its_output(made: Path) -> None:
    kind, said, hint = json.loads((made / "facts.json").read_text())["changed"]
    assert kind == "ParityError"
    assert "'scores' differs by 0.0" in said  # 2 % other weights in the head alone
    assert "report it" in hint
