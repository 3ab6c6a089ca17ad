"""The demo runs, and every command that the README shows does what it says, on the demo's own files."""

from __future__ import annotations

import re
import shlex
import shutil
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
    if command.startswith("edgekit certify") and not shutil.which("qemu-aarch64-static"):
        pytest.skip("QEMU is not installed: apt install qemu-user-static mmdebstrap")
    if command.startswith("unzip"):  # an ordinary tool, which need not be installed
        command = f"{shlex.quote(sys.executable)} -m zipfile -l digits.edgekit"
    assert run(command, converted)


def test_readme_shows_what_convert_prints(converted: Path) -> None:
    shown, printed = shown_and_printed("edgekit convert", converted)
    assert "strictly int8" in shown
    for line in filter(None, shown.splitlines()):
        words = re.sub(r"[\d.,%+\[\]]+", "#", line).split()  # figures move a little between machines
        assert any(re.sub(r"[\d.,%+\[\]]+", "#", other).split() == words for other in printed.splitlines()), (
            line
        )


def test_readme_shows_what_profile_prints(converted: Path) -> None:
    shown, printed = shown_and_printed("edgekit profile", converted)
    first_words = {line.split()[0] for line in printed.splitlines() if line.split()}
    for line in filter(str.strip, shown.splitlines()):  # times, processors and their order differ
        assert line.split()[0] in first_words, line


def shown_and_printed(start: str, folder: Path) -> tuple[str, str]:
    """What the README shows below its first command that starts so, and what the command prints."""
    command = next(command for command in CONSOLE if command.startswith(start))
    return README.partition(f"$ {command}\n")[2].partition("```")[0], run(command, folder)


def test_shell_lines_are_the_two_commands_and_the_two_installs() -> None:
    """`make test` runs this file, test_demo_runs is `make demo`, test_bare_install.py installs the wheel."""
    assert SHELL == [
        "make demo",
        "make test",
        "pip install 'edgekit[convert]'",
        "pip install 'edgekit[runtime]'",
    ]


def test_python_of_the_readme(converted: Path) -> None:
    on_device, on_device_too, on_workstation = PYTHON
    if not (converted / "release.pub.pem").exists():
        run("edgekit keygen -o release --no-passphrase", converted)
    given = f"""
import numpy
frame = numpy.load({str(converted / "held_back" / "seven.npy")!r})
frames = numpy.stack([frame, frame])
camera = iter(frames)
stored = (frame.astype("int16") - 128).astype("int8")
"""
    script = converted / "readme.py"
    sign = "import subprocess\nsubprocess.run([EDGEKIT, *'sign digits.edgekit --key release.key.pem'.split()], check=True)\n"
    script.write_text(
        on_workstation + f"EDGEKIT = {str(EDGEKIT)!r}\n" + sign + given + on_device + on_device_too
    )
    printed = run(f"{shlex.quote(sys.executable)} readme.py", converted).splitlines()
    answers = [line for line in printed if "'seven'" in line]
    assert len(answers) == 3
    assert answers[-1].endswith(" cpu")


@pytest.mark.parametrize("words", [[], ["--simulate"]])
def test_the_live_example(converted: Path, words: list[str]) -> None:
    command = [sys.executable, HERE.parent / "live" / "app.py", "digits.edgekit", "held_back", *words]
    done = subprocess.run(command, cwd=converted, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *answers, last = done.stdout.splitlines()
    assert last == f"{len(answers)} frames answered"
    device = "simulated" if words else "cpu"
    assert answers
    assert all(line.endswith(f" on {device}") for line in answers)
    reopened = [line for line in done.stderr.splitlines() if line.startswith("reopening: ")]
    assert len(reopened) == (3 if words else 0)  # unplugged once, and not yet there twice


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
