from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state store of each test's own: no test reads or writes that of the machine."""
    monkeypatch.setenv("EDGEKIT_STATE", str(tmp_path_factory.mktemp("state")))
