"""``edgekit check`` as a process sees it: JSON, exit codes, one document on stdout, the table, the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from check_models import bundled, chain, float_model, saved
from click.testing import CliRunner, Result
from tflite_models import Net

from edgekit import cli
from edgekit.commands import GROUP, InstalledCommand

CORAL = "coral-usb-accelerator"
KEYS = {"index", "opcode", "name", "placement", "rule", "reason", "fix"}
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The real command line, with `check` found whatever is installed."""
    point = EntryPoint("check", "edgekit_converters.commands.check:check", GROUP)
    monkeypatch.setattr(cli, "installed_commands", lambda: (InstalledCommand("check", "edgekit", point),))
    return lambda *words: CliRunner().invoke(cli.main, ["check", *map(str, words)])


def parsed(result: Result) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_json(run: Run, tmp_path: Path) -> None:
    result = run(saved(tmp_path, chain("RELU", "HARD_SWISH", "RELU")), "--target", CORAL, "--json")
    assert result.exit_code == 0
    answer = parsed(result)
    assert [op["index"] for op in answer["ops"]] == [0, 1, 2]
    assert [op["opcode"] for op in answer["ops"]] == ["RELU", "HARD_SWISH", "RELU"]
    assert [op["placement"] for op in answer["ops"]] == ["TPU", "CPU", "CPU"]
    assert all(op.keys() >= KEYS for op in answer["ops"])
    assert answer["ops"][0]["rule"] is None
    assert answer["ops"][1]["rule"]
    assert answer["ops"][1]["fix"]
    assert answer["target"] == CORAL
    assert answer["assumed_ranges"] is False
    assert answer["summary"]


def test_json_of_a_bundle_says_unverified(run: Run, tmp_path: Path) -> None:
    answer = parsed(run(bundled(tmp_path, chain("RELU")), "--target", CORAL, "--json"))
    assert answer["unverified"] is True


def test_strict(run: Run, tmp_path: Path) -> None:
    good = saved(tmp_path, chain("RELU", "LOGISTIC"), "good.tflite")
    bad = saved(tmp_path, chain("RELU", "HARD_SWISH"), "bad.tflite")
    assert run(good, "--target", CORAL, "--strict").exit_code == 0
    result = run(bad, "--target", CORAL, "--strict")
    assert result.exit_code == 3
    assert "HARD_SWISH" in result.stdout
    assert "edgekit: error: --strict" in result.stderr
    assert run(bad, "--target", CORAL).exit_code == 0


def test_strict_json_is_one_document_with_operators_and_error(run: Run, tmp_path: Path) -> None:
    path = saved(tmp_path, chain("RELU", "HARD_SWISH"))
    result = run(path, "--target", CORAL, "--strict", "--json")
    assert result.exit_code == 3
    answer = parsed(result)
    assert len(answer["ops"]) == 2
    assert answer["error"]["kind"] == "ForecastContractError"
    assert "edgekit: error:" in result.stderr


def test_as_is(run: Run, tmp_path: Path) -> None:
    path = saved(tmp_path, float_model())
    answer = parsed(run(path, "--target", CORAL, "--as-is", "--json"))
    assert {op["placement"] for op in answer["ops"]} == {"CPU"}
    assert answer["assumed_ranges"] is False
    assert run(path, "--target", CORAL, "--as-is", "--strict").exit_code == 3


def test_the_text_names_reason_and_change_once_for_equal_operators(run: Run, tmp_path: Path) -> None:
    path = saved(tmp_path, chain("RELU", "HARD_SWISH", "RELU", "RELU"))
    result = run(path, "--target", CORAL)
    assert result.exit_code == 0
    assert "verdict" in result.stdout
    assert "confidence" in result.stdout
    assert "op 1: HARD_SWISH in 'hard_swish_1'" in result.stdout
    assert "ops 2-3: 2 RELU in 'relu_2', 'relu_3'" in result.stdout
    assert "change" in result.stdout
    assert "op 0" not in result.stdout


def test_all_lists_every_operator(run: Run, tmp_path: Path) -> None:
    result = run(saved(tmp_path, chain("RELU", "LOGISTIC")), "--target", CORAL, "--all")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["0", "RELU", "relu_0", "1x8", "TPU"] in lines
    assert ["1", "LOGISTIC", "logistic_1", "1x8", "TPU"] in lines


def test_an_alias_says_what_it_became(run: Run, tmp_path: Path) -> None:
    result = run(saved(tmp_path, chain("RELU")), "--target", "coral")
    assert result.exit_code == 0
    assert f"coral is {CORAL}" in result.stderr


def test_hostile_names_cannot_drive_the_terminal(run: Run, tmp_path: Path) -> None:
    model = chain("HARD_SWISH").rename(**{"block/hard_swish_0": "\x1b[2Jevil\u202e"})
    result = run(saved(tmp_path, model), "--target", CORAL, "--all")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert "evil" in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("none.tflite", "--target", CORAL), 1, "no such file"),
        (("good.tflite", "--target", "toaster"), 1, "no device 'toaster'"),
        (("garbage.tflite", "--target", CORAL), 1, "not a model of a known kind"),
        (("good.tflite", "--target", CORAL, "--html", "nowhere/out.html"), 1, "cannot write"),
        (("good.tflite", "--target", CORAL, "--device-dir", "nowhere"), 1, "nowhere"),
        (("good.tflite", "--target", CORAL, "--outputs", "y"), 1, "--outputs"),
        (("good.tflite",), 2, "--target"),
    ],
)
def test_refusals(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, chain("RELU"), "good.tflite")
    Path("garbage.tflite").write_bytes(b"garbage of no kind")
    result = run(*words, "--json")
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert message in parsed(result)["error"]["message"]


@pytest.mark.parametrize("name", ["model.tflite", "link", "cats.edgekit"])
def test_the_model_is_not_replaced_by_the_page(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, chain("RELU"), "model.tflite")
    bundled(tmp_path, chain("RELU")).rename("cats.edgekit")
    Path("link").symlink_to("model.tflite")
    model = "model.tflite" if name == "link" else name
    before = Path(model).read_bytes()
    result = run(model, "--target", CORAL, "--html", name, "--json")
    assert result.exit_code == 1
    assert parsed(result)["error"]["message"] == f"cannot write {name}: it is the model"
    assert Path(model).read_bytes() == before
    assert Path("link").is_symlink()


def test_the_page_is_written_whole(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    model: Net = chain("RELU", "HARD_SWISH")
    result = run(saved(tmp_path, model), "--target", CORAL, "--html", page, "--json")
    assert result.exit_code == 0
    assert parsed(result)["html"] == str(page)
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_a_broken_contract_still_leaves_the_page(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    path = saved(tmp_path, chain("HARD_SWISH"))
    assert run(path, "--target", CORAL, "--html", page, "--strict").exit_code == 3
    assert page.exists()
