"""The boards of the suite, each with edgekit installed from a wheel that is built once a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from board_kinds import EMULATED, VARIABLE, Board, Emulation, build_wheel, require_emulation, ssh_board

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state store of each test's own: no test reads or writes that of the machine."""
    monkeypatch.setenv("EDGEKIT_STATE", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of edgekit."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def emulation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulation]:
    """Makes emulated boards."""
    require_emulation()
    made = Emulation(wheel, tmp_path_factory.mktemp("boards"))
    yield made
    made.close()


@pytest.fixture(scope="session", params=[*EMULATED, *["ssh"] * (VARIABLE in os.environ)])
def board(request: pytest.FixtureRequest) -> Iterator[Board]:
    """Each board in turn."""
    if request.param != "ssh":
        yield request.getfixturevalue("emulation").board(request.param)
        return
    with ssh_board(os.environ[VARIABLE], request.getfixturevalue("wheel")) as real:
        yield real


@pytest.fixture(scope="session")
def emulating() -> None:
    """For tests that use the emulators without a board of the suite's."""
    require_emulation()
