"""Environments of other frameworks: real venvs and a real pip, with a package of ten lines in place of a framework."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit.errors import EnvironmentCreationError, MissingEnvironmentError
from edgekit_converters.commands.env import KINDS, env
from edgekit_converters.environments import create as creating
from edgekit_converters.environments import locate, pins
from edgekit_converters.environments.create import create
from edgekit_converters.environments.locate import (
    environments_folder,
    installed_here,
    interpreter_for,
    read_environment,
)
from edgekit_converters.environments.pins import SPECS, EnvironmentSpec

HERE = (sys.version_info[0], sys.version_info[1])


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnvironmentSpec:
    """The spec "onnx" with a package that is made here, and a cache folder of the test's own."""
    wheel = tmp_path / "framework_of_ten_lines-1.0-py3-none-any.whl"
    info = "framework_of_ten_lines-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("framework_of_ten_lines.py", "answer = 42\n")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: framework-of-ten-lines\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    spec = EnvironmentSpec("onnx", "Tiny", ("framework_of_ten_lines",), (str(wheel),), (HERE,), 1)
    for module in (creating, locate, pins):
        monkeypatch.setattr(module, "SPECS", {"onnx": spec})
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return spec


def test_nothing_is_made_until_somebody_asks(tiny: EnvironmentSpec) -> None:
    with pytest.raises(MissingEnvironmentError, match="Tiny models") as caught:
        interpreter_for("onnx")
    assert caught.value.hint == "edgekit env create onnx"
    assert not environments_folder().exists()


def test_an_environment_is_made_once_and_is_what_conversions_use(tiny: EnvironmentSpec) -> None:
    said: list[str] = []
    made = create("onnx", status=said.append)
    assert made.current
    assert any("framework_of_ten_lines" in line for line in said)
    python = interpreter_for("onnx")
    assert python == made.python
    code = "import framework_of_ten_lines as f, sys; print(f.answer, sys.prefix)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["42", str(environments_folder() / "onnx")]
    said.clear()
    assert create("onnx", status=said.append) == made
    assert said == []


def test_an_environment_of_other_pins_is_outdated(
    tiny: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    create("onnx")
    newer = EnvironmentSpec("onnx", "Tiny", tiny.needs, ("framework-of-ten-lines==2.0",), (HERE,), 1)
    monkeypatch.setattr(locate, "SPECS", {"onnx": newer})
    with pytest.raises(MissingEnvironmentError, match="for other versions") as caught:
        interpreter_for("onnx")
    assert caught.value.hint == "edgekit env create onnx --renew"


def test_what_pip_refuses_is_said_and_nothing_is_left(
    tiny: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = EnvironmentSpec("onnx", "Tiny", tiny.needs, ("./there-is-no-such-wheel.whl",), (HERE,), 1)
    monkeypatch.setattr(creating, "SPECS", {"onnx": broken})
    with pytest.raises(EnvironmentCreationError, match="there-is-no-such-wheel"):
        create("onnx")
    assert not (environments_folder() / "onnx").exists()
    assert read_environment("onnx") is None


@pytest.mark.parametrize("folder", ["file", "file/below/it"])
def test_a_folder_that_cannot_be_made_is_refused(folder: str, tiny: EnvironmentSpec, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(EnvironmentCreationError) as caught:
        create("onnx", folder=tmp_path / folder)
    assert caught.value.hint
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_folder_with_something_else_in_it_is_left_alone(tiny: EnvironmentSpec, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(EnvironmentCreationError, match="not empty"):
        create("onnx", folder=tmp_path / "mine", renew=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_python_that_the_pins_are_not_for_is_refused(
    tiny: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = EnvironmentSpec("onnx", "Tiny", tiny.needs, tiny.requirements, ((3, 6),), 1)
    monkeypatch.setattr(creating, "SPECS", {"onnx": older})
    with pytest.raises(EnvironmentCreationError, match=r"the Tiny pins are for 3\.6"):
        create("onnx", python=sys.executable)
    with pytest.raises(EnvironmentCreationError, match="is no Python"):
        create("onnx", python="/bin/false")


def test_every_pin_is_exact_and_the_command_knows_every_kind() -> None:
    assert set(SPECS) == set(KINDS)
    for spec in SPECS.values():
        assert spec.kind in KINDS
        assert (3, 13) in spec.pythons
        for requirement in (*spec.first, *spec.requirements):
            assert "==" in requirement.partition(";")[0], requirement


def test_list_tells_what_is_there(tiny: EnvironmentSpec) -> None:
    answer = CliRunner().invoke(env, ["list", "--json"])
    assert answer.exit_code == 0, answer.output
    (row,) = json.loads(answer.stdout)["environments"]
    assert row["state"] == "missing: edgekit env create onnx"
    assert not installed_here(tiny)
