"""The demo runs, and every command that the README shows does what it says, on the demo's own files."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
README = (HERE.parents[1] / "README.md").read_text()
EDGEKIT = Path(sys.executable).parent / "edgekit"

CONSOLE = re.findall(r"^\$ (.+)$", README, re.MULTILINE)
SHELL = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a person brings: model and data, as train.py writes them."""
    path = tmp_path_factory.mktemp("digits")
    subprocess.run([sys.executable, HERE / "train.py", path], check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def converted(folder: Path) -> Path:
    run(CONSOLE[0], folder)
    return folder


def run(command: str, folder: Path) -> str:
    words = shlex.split(command)
    if words[0] == "edgekit":
        words[0] = str(EDGEKIT)
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", CONSOLE)
def test_command_of_the_readme(command: str, converted: Path) -> None:
    if command.startswith("unzip"):  # an ordinary tool, which need not be installed
        command = f"{shlex.quote(sys.executable)} -m zipfile -l digits.edgekit"
    assert run(command, converted)


def test_readme_shows_what_convert_prints(converted: Path) -> None:
    printed = run(CONSOLE[0], converted)
    shown = README.partition(f"$ {CONSOLE[0]}\n")[2].partition("```")[0]
    assert "strictly int8" in shown
    for line in filter(None, shown.splitlines()):
        words = re.sub(r"[\d.,%+\[\]]+", "#", line).split()  # figures move a little between machines
        assert any(re.sub(r"[\d.,%+\[\]]+", "#", other).split() == words for other in printed.splitlines()), (
            line
        )


def test_shell_lines_are_the_two_commands_and_the_two_installs() -> None:
    """`make test` runs this file, test_demo_runs is `make demo`, test_bare_install.py installs the wheel."""
    assert SHELL == [
        "make demo",
        "make test",
        "pip install 'edgekit[convert]'",
        "pip install 'edgekit[runtime]'",
    ]


def test_python_of_the_readme(converted: Path) -> None:
    on_device, on_workstation = PYTHON
    frame = f"import numpy\nframe = numpy.load({str(converted / 'held_back' / 'seven.npy')!r})\n"
    script = converted / "readme.py"
    script.write_text(on_workstation + frame + on_device)
    printed = run(f"{shlex.quote(sys.executable)} readme.py", converted)
    assert "'seven'" in printed


def test_demo_runs() -> None:
    done = subprocess.run(
        [sys.executable, HERE / "demo.py"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "strictly int8" in done.stdout
    answers = re.findall(r"^held_back/(\w+)\.npy\s+(\w+)", done.stdout, re.MULTILINE)
    assert len(answers) == 20  # unsigned, and then by the key
    assert np.mean([name == answer for name, answer in answers]) >= 0.9
    assert "digits.edgekit: verified" in done.stdout
    assert re.search(r"self-test: \d+ golden inputs answered exactly as recorded", done.stdout)
    refusal = "edgekit: error: flipped.edgekit: member 'model.tflite' is not the one that was signed"
    assert refusal in done.stderr
