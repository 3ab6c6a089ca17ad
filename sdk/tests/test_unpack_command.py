from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from edgekit.bundle import read_unverified
from edgekit.errors import OutputError
from edgekit.folders import write_folder_atomically

Run = Callable[..., Result]


@pytest.fixture
def plain(bundle_file: Callable[..., Path], dense: Any) -> Path:
    return bundle_file(dense)


@pytest.mark.parametrize("there", [False, True])
def test_the_folder_holds_the_members(command: Run, plain: Path, tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "out"
    if there:
        folder.mkdir()
    done = command("unpack", plain, "-o", folder)
    assert done.exit_code == 0, done.stderr
    members = read_unverified(plain.read_bytes()).members
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: bytes(content) for name, content in members.items()
    }
    assert f"{plain} is UNVERIFIED" in done.stderr
    assert done.stdout.splitlines()[0].split() == ["member", "bytes"]
    assert not list(tmp_path.glob(".edgekit*"))


def test_json_says_that_nothing_was_verified(command: Run, plain: Path, tmp_path: Path) -> None:
    said = json.loads(command("unpack", plain, "-o", tmp_path / "out", "--json").stdout)
    assert said["verified"] is False
    assert set(said["members"]) == {"model.tflite", "manifest.json"}


@pytest.mark.parametrize("kind", ["full", "file", "link", "dangling", "no parent", "nul"])
def test_what_is_there_is_never_overwritten(command: Run, plain: Path, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "out"
    if kind == "full":
        folder.mkdir()
        (folder / "precious").write_bytes(b"x")
    elif kind == "file":
        folder.write_bytes(b"precious")
    elif kind == "link":
        (tmp_path / "empty").mkdir()
        folder.symlink_to(tmp_path / "empty")
    elif kind == "dangling":
        folder.symlink_to(tmp_path / "nowhere")
    elif kind == "no parent":
        folder = tmp_path / "absent" / "out"
    else:
        folder = Path(f"{tmp_path}/a\0b")
    before = sorted(tmp_path.rglob("*"))
    done = command("unpack", plain, "-o", folder, "--json")
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "OutputError"
    assert error["hint"]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_broken_bundle_leaves_nothing(command: Run, plain: Path, tmp_path: Path) -> None:
    plain.write_bytes(plain.read_bytes()[:-1])
    done = command("unpack", plain, "-o", tmp_path / "out", "--json")
    assert json.loads(done.stdout)["error"]["kind"] == "MalformedBundleError"
    assert not (tmp_path / "out").exists()


def test_a_write_that_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    """A name that no file system takes stands for a disk that is full."""
    with pytest.raises(OutputError, match="file name too long"):
        write_folder_atomically(tmp_path / "out", {"a": b"1", "b" * 300: b"2"})
    assert list(tmp_path.iterdir()) == []


def test_the_folder_may_be_the_current_one(
    command: Run, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert command("unpack", plain, "-o", ".").exit_code == 0
    assert (tmp_path / "here" / "model.tflite").exists()
