"""Recipes: written and read back, refused with a reason, and done again to the same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.bundle import read_unverified
from edgekit.cli import main
from edgekit.errors import EdgekitError
from edgekit_converters.conversion import Conversion, run
from edgekit_converters.quantize.pipeline import RANGES
from edgekit_converters.quantize.recipe import CORRECTIONS, Recipe, recipe_from_json
from edgekit_converters.quantize.recipe_file import MOST_BYTES, read_recipe
from edgekit_converters.request import Request

Convert = Callable[..., Conversion]


@pytest.fixture(scope="module")
def folder(made_by: Callable[[str], Path]) -> Path:
    return made_by("peer_models")


@pytest.fixture(scope="module")
def convert(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """Converts the small CNN, which is exported once."""
    here = tmp_path_factory.mktemp("recipes")
    np.save(here / "samples.npy", np.load(folder / "samples.npy"))

    def do(**words: object) -> Conversion:
        return run(
            Request(
                model=words.pop("model", folder / "cnn.keras"),
                target="raspberry-pi-4",
                calibration=str(here / "samples.npy"),
                **words,  # type: ignore[arg-type]
            )
        )

    return do


def model_of(conversion: Conversion) -> bytes:
    return bytes(read_unverified(conversion.bundle).members["model.tflite"])


RECIPES = [
    Recipe(),
    Recipe(effort="fast"),
    Recipe(effort="best", ranges="percentile:99.99", per_channel=False).corrected("bias", "equalize-weights"),
    Recipe(ranges="mse").corrected("bias", "refit:0.1", "dead-channels", "equalize"),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_a_recipe_reads_back_from_its_json(recipe: Recipe) -> None:
    said = json.loads(json.dumps(recipe.to_json()))
    assert recipe_from_json(said) == recipe
    assert read_recipe(said) == recipe


def test_corrections_come_in_the_order_in_which_they_are_done() -> None:
    backwards = ["bias", "round", "dead-channels", "equalize", "equalize-weights"]
    recipe = recipe_from_json({"corrections": backwards})
    assert recipe.corrections == tuple(reversed(backwards))
    assert recipe.corrections == tuple(each for each in CORRECTIONS if each != "refit")
    assert recipe.corrected("bias") == recipe
    assert str(recipe_from_json({"corrections": ["bias", "refit:0.1"]})) == "minmax + refit:0.1 + bias"


def test_what_a_recipe_does_not_say_is_the_plainest() -> None:
    assert recipe_from_json({}) == Recipe()
    assert recipe_from_json({"corrections": ["refit:2"]}).refit_ridge == 2
    assert recipe_from_json({"corrections": ["round"]}).refit_ridge is None


REFUSED = [
    ([], "no JSON object"),
    ("minmax", "no JSON object"),
    ({"range": "minmax"}, "knows no 'range'"),
    ({1: 2, "x": 3}, "knows no '1'"),
    ({"ranges": 3}, "needs a text as ranges"),
    ({"per_channel": "yes"}, "true or false as per_channel"),
    ({"per_channel": 1}, "true or false as per_channel"),
    ({"effort": "heroic"}, "a known effort"),
    ({"effort": []}, "a known effort"),
    ({"ranges": "maxmin"}, "no such way to choose ranges"),
    ({"ranges": "percentile:x"}, "percentile:x"),
    ({"corrections": "bias"}, "a list of texts"),
    ({"corrections": ["bias", 2]}, "a list of texts"),
    ({"corrections": ["baz"]}, "knows no correction 'baz'"),
    ({"corrections": ["refit"]}, "correction 'refit'"),
    ({"corrections": ["refit:"]}, "correction 'refit:'"),
    ({"corrections": ["refit:much"]}, "correction 'refit:much'"),
    ({"corrections": ["refit:0"]}, "correction 'refit:0'"),
    ({"corrections": ["refit:-1"]}, "correction 'refit:-1'"),
    ({"corrections": ["refit:nan"]}, "correction 'refit:nan'"),
    ({"corrections": ["refit:1e-30"]}, "correction 'refit:1e-30'"),
    ({"corrections": ["refit:inf"]}, "correction 'refit:inf'"),
    ({"corrections": ["bias:1"]}, "correction 'bias:1'"),
    ({"corrections": ["round", "refit:1"]}, "rounds weights twice"),
    ({"corrections": ["refit:1", "refit:2"]}, "rounds weights twice"),
]


@pytest.mark.parametrize(("said", "problem"), REFUSED, ids=lambda each: str(each)[:40])
def test_what_is_no_recipe_is_refused(said: object, problem: str) -> None:
    with pytest.raises(EdgekitError, match=problem) as refused:
        recipe_from_json(said)
    assert re.search("minmax|percentile:99.99", refused.value.hint or "")


FILES = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"[" * 100_000, "nests deeper"),
    (b'{"ranges": NaN}', "NaN"),
    (b"\xff\xfe{", "not UTF-8"),
    (b'{"ranges": "mse", "ranges": "minmax"}', "twice"),
    (b" " * (MOST_BYTES + 1), "bytes"),
]


@pytest.mark.parametrize(("data", "problem"), FILES, ids=lambda each: str(each)[:20])
def test_a_file_that_is_no_json_is_refused(data: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_bytes(data)
    with pytest.raises(EdgekitError, match=problem) as refused:
        read_recipe(path)
    assert "bundle" in (refused.value.hint or "")


def test_a_recipe_is_found_in_a_bundle_in_json_and_in_a_report(found: Conversion, tmp_path: Path) -> None:
    recipe = found.report.manifest.recipe
    (tmp_path / "made.edgekit").write_bytes(found.bundle)
    (tmp_path / "recipe.json").write_text(json.dumps(dict(recipe)))
    (tmp_path / "report.json").write_text(json.dumps(found.report.to_json()))
    read = {read_recipe(path) for path in tmp_path.iterdir()}
    assert len(read) == 1
    assert list(read.pop().corrections) == list(recipe["corrections"])  # type: ignore[call-overload]


@pytest.fixture(scope="module", params=["balanced", "best"])
def found(request: pytest.FixtureRequest, convert: Convert) -> Conversion:
    """A search: with a scale a tensor for "best", where there is most to find."""
    return convert(effort=request.param, per_tensor_weights=request.param == "best")


def test_the_recipe_of_a_search_gives_the_model_of_the_search(
    found: Conversion, convert: Convert, tmp_path: Path
) -> None:
    (tmp_path / "found.edgekit").write_bytes(found.bundle)
    assert found.report.choice is not None
    assert len(found.report.choice.trials) >= 4
    again = convert(recipe=tmp_path / "found.edgekit")
    assert model_of(again) == model_of(found)
    assert dict(again.report.manifest.recipe) == dict(found.report.manifest.recipe)
    assert again.report.choice is not None
    assert again.report.choice.trials == ()
    assert "corrections need" not in again.report.render()


@pytest.mark.parametrize(
    ("effort", "corrections"),
    [
        ("fast", ["equalize-weights", "equalize", "dead-channels", "round", "bias"]),
        ("balanced", ["refit:0.001", "bias"]),
        ("best", ["equalize"]),
    ],
)
def test_recipes_of_ones_own_are_done(effort: str, corrections: list[str], convert: Convert) -> None:
    """Those too that name an effort which corrects nothing by itself."""
    made = convert(recipe={"effort": effort, "corrections": corrections, "ranges": "mse"})
    assert made.report.audit.strictly_int8
    assert list(made.report.manifest.recipe["corrections"]) == corrections  # type: ignore[call-overload]
    assert made.report.manifest.recipe["ranges"] == "mse"
    assert made.report.layers[-1].sqnr_db > 15


@pytest.mark.parametrize("word", [{"per_tensor_weights": True}, {"budget": 5.0}], ids=str)
def test_a_recipe_excludes_what_says_something_else(word: dict[str, object]) -> None:
    with pytest.raises(EdgekitError, match="--recipe is done as it is"):
        Request(model="m", target="t", calibration="c", recipe={}, **word).check()  # type: ignore[arg-type]


def test_a_tiny_budget_keeps_the_first_candidate_and_says_so(convert: Convert) -> None:
    made = convert(budget=1e-6)
    assert made.report.choice is not None
    assert made.report.choice.stopped
    assert [str(trial.recipe) for trial in made.report.choice.trials] == ["minmax"]
    assert not made.report.manifest.recipe["corrections"]
    assert "ended the search" in made.report.render()


def test_best_prints_its_trials_in_json(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["convert", folder / "cnn.keras", "--target", "rpi4", "--calibration", folder / "samples.npy"]
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words), "--effort", "best", "--json"])
    assert not ended.value.code
    said = json.loads(capfd.readouterr().out)
    tried = [trial["recipe"] for trial in said["trials"]]
    assert tried[0] == "minmax"
    assert len(set(tried)) == len(tried) >= 12
    for ranges in RANGES["best"]:
        assert f"{ranges} + bias" in tried
    kept = " + ".join((said["recipe"]["ranges"], *said["recipe"]["corrections"]))
    assert kept in tried
    best = max(trial["sqnr_db"] for trial in said["trials"])
    assert {trial["recipe"]: trial["sqnr_db"] for trial in said["trials"]}[kept] > best - 3
