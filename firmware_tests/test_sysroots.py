"""The systems in the cache: a build that was cut off goes on, and two builders do not meet."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgekit_converters.certify.boards import Board
from edgekit_converters.certify.certifying import plan, prepare_systems, recipe_of
from edgekit_converters.certify.emulator import machine
from edgekit_converters.certify.recipes import TFLITE
from edgekit_converters.certify.sysroot import Sysroot, is_prepared, prepare
from edgekit_converters.progress import Progress

pytestmark = pytest.mark.usefixtures("emulating")


@pytest.fixture(scope="module")
def board() -> Board:
    return plan(["linux-armhf"]).boards[-1]


@pytest.fixture(scope="module")
def system(board: Board) -> Sysroot:
    return prepare_systems([board])[recipe_of(board).name]


def test_two_builders_finish_what_was_cut_off_once(system: Sysroot, board: Board, tmp_path: Path) -> None:
    recipe = recipe_of(board)
    partial = tmp_path / "sysroots" / f"{recipe.name}.partial"
    shutil.copytree(system.root, partial / "root", symlinks=True, copy_function=os.link)
    (partial / f"site-{TFLITE}.new").mkdir()  # the part that was being made
    (partial / f"site-{TFLITE}.new" / "half.py").touch()
    said: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        builders = [pool.submit(prepare, recipe, Progress(said.append), tmp_path) for _ in range(2)]
        first, second = (builder.result() for builder in builders)
    assert first == second
    assert [line.partition(",")[0] for line in said if line.startswith("building")] == [
        "building the armhf system"
    ]
    assert not any("Debian's packages" in line for line in said)
    assert is_prepared(recipe, tmp_path)
    assert not partial.exists()
    assert not (first.site(TFLITE) / "half.py").exists()
    with machine(board, first) as built:
        line = "import numpy, tflite_runtime.interpreter, platform; print(platform.machine())"
        ended = built.python(["-c", line], path=[first.site(TFLITE)], timeout_s=120)
    assert ended.stdout == b"armv7l\n", ended.tail


def test_what_is_prepared_says_its_versions(system: Sysroot) -> None:
    assert system.versions(TFLITE)["tflite-runtime"] == "2.14.0"
    assert system.versions(TFLITE)["python3-numpy"].startswith("1:1.24")
    lock = (system.folder / "lock.json").read_text("ascii")
    assert lock.count("sha256") > 20
