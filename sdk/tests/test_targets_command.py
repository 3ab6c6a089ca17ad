"""``edgekit targets``: the table, one device with its sources, its rules, and boards of the user's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rules_page import PAGE, page

from edgekit.cli import main
from edgekit.devices import device_folders, find_device
from edgekit.errors import InvalidTargetError
from edgekit_targets.catalog import load_target, target_names
from edgekit_targets.install import install_plans
from edgekit_targets.rules import rule_set

BOARD = """
title = "My board"
aliases = ["mb"]
kind = "microcontroller"
rules = "tflite-micro"
recipe = "int8"
[sources.sheet]
title = "Its data sheet"
date = 2026-11-24
[cpu]
architecture = { value = "armv7e-m", source = "sheet" }
[[runtimes]]
package = "tflite-micro"
status = "unverified"
source = "sheet"
install = "firmware"
"""


@pytest.fixture
def targets(site: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.delenv("EDGEKIT_DEVICES", raising=False)

    def invoke(*words: object) -> Result:
        return CliRunner().invoke(main, ["targets", *map(str, words)])

    return invoke


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    folder = tmp_path / "boards"
    folder.mkdir()
    (folder / "my-board.toml").write_text(BOARD)
    return folder


def test_the_table_lists_every_device(targets: Callable[..., Result]) -> None:
    done = targets()
    assert done.exit_code == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["name", "what", "accelerator", "runtime", "aliases"]
    assert [row.split()[0] for row in rows] == list(target_names())
    row = next(row for row in rows if row.startswith("coral-usb-accelerator"))
    assert all(word in row for word in ("Coral USB Accelerator", "Edge TPU", "ai-edge-litert", "coral-usb"))
    assert done.stderr == ""


def test_the_table_as_json(targets: Callable[..., Result]) -> None:
    answer = json.loads(targets("--json").stdout)
    assert [target["name"] for target in answer["targets"]] == list(target_names())
    assert answer["targets"][0] == load_target(answer["targets"][0]["name"]).to_json()


def test_one_device_is_shown_with_its_sources(targets: Callable[..., Result]) -> None:
    done = targets("raspberry-pi-4")
    assert done.exit_code == 0
    assert done.stderr == ""
    target = load_target("raspberry-pi-4")
    assert "Cortex-A72" in done.stdout
    assert "cpu l2, KiB" in done.stdout
    for source in {latency.source for latency in target.latencies}:
        assert f"{source.title} ({source.date.isoformat()})" in done.stdout
        assert source.url is not None
        assert source.url in done.stdout


@pytest.mark.parametrize("name", target_names())
def test_install_lines_stand_unfolded(targets: Callable[..., Result], name: str) -> None:
    shown = targets(name).stdout.splitlines()
    for plan in install_plans(load_target(name)):
        assert all(f"  {step.line}" in shown for step in plan.steps)
        assert all(f"  ! {caution}" in shown for caution in plan.cautions)


@pytest.mark.parametrize("name", target_names())
def test_every_mark_has_its_source(targets: Callable[..., Result], name: str) -> None:
    facts, _, listing = targets(name).stdout.partition("\nsources\n")
    marks = {int(word[1:-1]) for word in facts.split() if word.startswith("[") and word[1:-1].isdigit()}
    numbers = [
        int(line.split("]")[0].lstrip(" [")) for line in listing.splitlines() if line.startswith("  [")
    ]
    assert numbers == list(range(1, len(marks) + 1))


def test_one_device_as_json(targets: Callable[..., Result]) -> None:
    answer = json.loads(targets("coral-usb-accelerator", "--json").stdout)
    assert answer["accelerator"]["sram_kib"]["value"] == 8192
    assert answer["accelerator"]["sram_kib"]["source"]["date"] == "2026-11-23"
    assert answer["install"][0]["system"] == "Raspberry Pi OS Bookworm, 64-bit"
    assert answer["install"][0]["status"] == "reported"
    assert answer["install"][0]["steps"][0]["line"].startswith("sudo apt install")


@pytest.mark.parametrize(
    ("word", "name"),
    [("rpi4", "raspberry-pi-4"), ("coral", "coral-usb-accelerator"), ("linux-x86-64", "linux-x86_64")],
)
def test_an_alias_says_what_it_became(targets: Callable[..., Result], word: str, name: str) -> None:
    done = targets(word, "--json")
    assert done.stderr == f"{word} is {name}\n"
    assert json.loads(done.stdout)["name"] == name


def test_quiet_says_nothing_of_aliases(site: Any) -> None:
    done = CliRunner().invoke(main, ["--quiet", "targets", "rpi4", "--json"])
    assert done.stderr == ""


@pytest.mark.parametrize("name", target_names())
def test_every_device_has_rules(targets: Callable[..., Result], name: str) -> None:
    done = targets(name, "--rules")
    assert done.exit_code == 0, done.output
    for rule in rule_set(load_target(name).rules).rules:
        assert f"{rule.id}: {rule.sentence}" in done.stdout
        assert rule.fix is None or rule.fix in done.stdout


def test_rules_as_json(targets: Callable[..., Result]) -> None:
    answer = json.loads(targets("coral", "--rules", "--json").stdout)
    rules = rule_set("edgetpu")
    assert (answer["target"], answer["rules"]["name"]) == ("coral-usb-accelerator", "edgetpu")
    assert [entry["id"] for entry in answer["rules"]["rules"]][: len(rules.rules)] == [
        r.id for r in rules.rules
    ]
    assert set(answer["rules"]["rules"][0]) == {"id", "sentence", "outcome", "fix", "source"}


def test_rules_need_a_name(targets: Callable[..., Result]) -> None:
    done = targets("--rules")
    assert done.exit_code == 2
    assert "--rules needs the NAME of a device" in done.stderr


def test_an_unknown_device(targets: Callable[..., Result]) -> None:
    done = targets("rasberry-pi-4", "--json")
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "UnknownTargetError"
    assert "raspberry-pi-4" in error["hint"]


def test_a_folder_adds_a_board(targets: Callable[..., Result], boards: Path) -> None:
    assert "my-board" in targets("--device-dir", boards).stdout
    done = targets("mb", "--device-dir", boards)
    assert done.exit_code == 0
    assert done.stderr == "mb is my-board\n"
    assert "Its data sheet (2026-11-24)" in done.stdout


def test_the_environment_adds_boards_to_those_of_the_option(
    targets: Callable[..., Result], boards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = tmp_path / "second"
    second.mkdir()
    (second / "other.toml").write_text(BOARD.replace('"mb"', '"ob"'))
    monkeypatch.setenv("EDGEKIT_DEVICES", f"{boards}{os.pathsep}{boards}{os.pathsep}")
    assert device_folders([]) == (boards,)
    assert targets("mb").exit_code == 0
    done = targets("--device-dir", second, "--device-dir", boards)
    assert "my-board" in done.stdout
    assert "other" in done.stdout
    assert device_folders([str(second)]) == (second, boards)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("rpi4.toml", BOARD, "name: 'rpi4' belongs to raspberry-pi-4"),
        ("x.toml", BOARD.replace("aliases = [", "alias = ["), r"aliases: missing"),
        ("x.toml", BOARD.replace("My board", "\\u001b[2J"), None),
    ],
)
def test_a_bad_board_is_refused_by_file_and_key(
    targets: Callable[..., Result], boards: Path, file: str, text: str, message: str | None
) -> None:
    path = boards / file
    path.write_text(text.replace('"mb"', '"xb"'))
    done = targets("--device-dir", boards)
    if message is None:  # it is shown, and does not command the terminal
        assert "\x1b" not in done.output
        return
    assert done.exit_code == 1
    assert done.stderr.startswith(f"edgekit: error: {path}: {message}\n")


def test_a_missing_folder_is_refused(targets: Callable[..., Result], tmp_path: Path) -> None:
    done = targets("rpi4", "--device-dir", tmp_path / "none")
    assert done.exit_code == 1
    assert f"{tmp_path / 'none'}: No such file or directory" in done.stderr
    with pytest.raises(InvalidTargetError):
        find_device("rpi4", [tmp_path / "none"])


def test_as_a_process_without_numpy_or_a_runtime(site: Any) -> None:
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['numpy', 'ai_edge_litert', 'tensorflow'])); "
        "sys.argv = ['edgekit', 'targets', 'coral', '--json']; from edgekit.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "coral-usb-accelerator"
    assert done.stderr == "coral is coral-usb-accelerator\n"


def test_the_manual_of_rules_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make rules"
