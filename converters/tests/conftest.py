"""Shared by the tests of the converters: models made once in a child process, and one worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekit_converters.worker import Worker

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A state store of these tests' own: none reads or writes that of the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def made_by(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Runs ``NAME.py FOLDER`` beside this file once a session, and gives the folder."""
    folders: dict[str, Path] = {}

    def make(script: str) -> Path:
        if script not in folders:
            folder = tmp_path_factory.mktemp(script)
            done = subprocess.run(
                [sys.executable, HERE / f"{script}.py", folder], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr[-3000:]
            folders[script] = folder
        return folders[script]

    return make


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    """One worker for all tests, so that TensorFlow is imported once."""
    with Worker() as shared:
        yield shared
