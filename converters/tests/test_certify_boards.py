"""Which boards a target stands for, and what their fake /proc and /sys say."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from edgekit.errors import CertifyError, UnknownTargetError
from edgekit_converters.certify.boards import HOST, Board, boards_of
from edgekit_converters.certify.certifying import STANDARD, plan, recipe_of
from edgekit_converters.certify.fakes import fake_files, lay_over
from edgekit_converters.certify.recipes import RECIPES
from edgekit_targets.catalog import load_target, parse_target, target_names
from edgekit_targets.target import Target


def one(word: str, system: str | None = None) -> Board:
    (board,) = boards_of(load_target(word), system)
    return board


def variant(swaps: dict[str, str]) -> Target:
    """A Raspberry Pi 4 with some values swapped."""
    text = (files("edgekit_targets") / "devices" / "raspberry-pi-4.toml").read_text("utf-8")
    for old, new in swaps.items():
        assert old in text
        text = text.replace(old, new)
    return parse_target("mine", re.sub(r"(?m)^aliases = .*$", "aliases = []", text))


@pytest.mark.parametrize(
    ("target", "cpu", "part"),
    [
        ("raspberry-pi-zero-2-w", "cortex-a53", "0xd03"),
        ("raspberry-pi-3", "cortex-a53", "0xd03"),
        ("raspberry-pi-4", "cortex-a72", "0xd08"),
        ("raspberry-pi-5", "cortex-a76", "0xd0b"),
        ("linux-arm64", "cortex-a53", "0xd03"),
        ("linux-armhf", "cortex-a7", "0xc07"),
    ],
)
def test_each_target_has_its_processor(target: str, cpu: str, part: str) -> None:
    board = one(target)
    assert board.name == target
    assert board.cpu == cpu
    assert f"CPU part\t: {part}\n" in fake_files(board)["proc/cpuinfo"]


def test_a_system_is_chosen_by_its_key() -> None:
    board = one("raspberry-pi-5", "trixie")
    assert (board.name, board.debian, board.suite) == ("raspberry-pi-5/trixie", "arm64", "trixie")
    narrow = one("raspberry-pi-5", "bookworm-32")
    assert (narrow.debian, narrow.cpu, narrow.runtimes) == ("armhf", "cortex-a7", ("tflite-runtime",))
    assert one("raspberry-pi-5", "bookworm").name == "raspberry-pi-5"


def test_only_the_chip_of_the_pi_5_shows_the_dot_product() -> None:
    shown = {name: "asimddp" in fake_files(one(name))["proc/cpuinfo"] for name in STANDARD}
    assert [name for name, has in shown.items() if has] == ["raspberry-pi-5"]


def test_x86_64_comes_first_and_each_board_once() -> None:
    planned = plan(["rpi4", "linux-x86_64", "raspberry-pi-4", "cortex-m55"])
    assert [board.name for board in planned.boards] == ["x86-64", "raspberry-pi-4"]
    assert [target.name for target in planned.microcontrollers] == ["cortex-m55"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("coral-usb-accelerator", "goes into any computer"),
        ("raspberry-pi-4/jessie", "has no system 'jessie'"),
        ("raspberry-pi-4/trixie-32", "no TFLite runtime has a wheel"),
        ("cortex-m4f/bookworm", "runs no Linux"),
    ],
)
def test_what_cannot_be_emulated_is_refused_with_a_hint(word: str, said: str) -> None:
    with pytest.raises(CertifyError, match=said) as caught:
        plan([word])
    assert caught.value.hint


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(UnknownTargetError):
        plan(["raspberry-pi-9"])


@pytest.mark.parametrize(
    ("swap", "said"),
    [
        ({"Cortex-A72": "Cortex-X4"}, "a processor that edgekit cannot emulate: Cortex-X4"),
        ({"Cortex-A72": "Cortex-A7"}, "has no 64-bit mode"),
        (
            {'"3.11"]': '"3.11", "3.12"]', 'python = "3.11"': 'python = "3.12"'},
            "no Debian release",
        ),
    ],
)
def test_a_device_file_that_cannot_be_emulated_is_refused(swap: dict[str, str], said: str) -> None:
    with pytest.raises(CertifyError, match=said):
        boards_of(variant(swap))


def test_every_target_with_linux_and_a_processor_is_emulated() -> None:
    for name in target_names():
        target = load_target(name)
        if target.kind == "cpu":
            for board in boards_of(target):
                assert recipe_of(board).debian == board.debian


def test_a_changed_recipe_has_another_name() -> None:
    recipe = RECIPES["arm64", "bookworm"]
    assert replace(recipe, packages=(*recipe.packages, "libgomp1")).name != recipe.name
    assert len({each.name for each in RECIPES.values()}) == len(RECIPES)


def test_pins_are_those_of_the_lock_file() -> None:
    """What certifies is what converts: LiteRT and numpy of the requirements that edgekit was tested with."""
    lock = (Path(__file__).parents[2] / "requirements.lock").read_text("utf-8")
    for recipe in RECIPES.values():
        for wheel in recipe.sites.get("ai-edge-litert", ()):
            assert f"{wheel.name}=={wheel.version}" in lock
            assert wheel.sha256 in lock


def test_the_overlay_shows_fakes_before_the_system(tmp_path: Path) -> None:
    root, overlay = tmp_path / "root", tmp_path / "overlay"
    (root / "usr" / "lib").mkdir(parents=True)
    (root / "proc").mkdir()
    (root / "lib").symlink_to("usr/lib")
    (root / "usr" / "lib" / "a.so").write_text("a")
    overlay.mkdir()
    lay_over(root, overlay, one("raspberry-pi-4"))
    assert (overlay / "lib" / "a.so").read_text() == "a"
    assert (overlay / "proc/cpuinfo").read_text().count("processor\t") == 4
    assert (overlay / "sys/devices/system/cpu/possible").read_text() == "0-3\n"


def test_the_processor_at_hand_is_not_faked() -> None:
    assert fake_files(HOST) == {}
    assert HOST.cpu == "native"
