"""`pip install .` without extras: what a device has before it chooses a runtime. Needs a package index."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with edgekit and its three requirements, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, ROOT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_help_starts_without_tensorflow_or_a_runtime(bare: Path) -> None:
    listed = subprocess.run(
        [bare / "python", "-m", "pip", "list"], capture_output=True, text=True, check=True
    )
    assert "tensorflow" not in listed.stdout.lower()
    assert "litert" not in listed.stdout.lower()
    done = subprocess.run([bare / "edgekit", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "convert" in done.stdout
    assert done.stderr == ""


def test_convert_names_the_missing_extra(bare: Path, tmp_path: Path) -> None:
    command = [bare / "edgekit", "convert", "m.keras", "--target", "raspberry-pi-4", "--calibration", "x.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "extra 'convert'" in done.stderr
    assert "pip install 'edgekit[convert]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_python_dash_m(bare: Path) -> None:
    done = subprocess.run(
        [bare / "python", "-m", "edgekit", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("edgekit")


def test_wheel_holds_the_three_packages_and_no_tests(bare: Path) -> None:
    script = "import importlib.metadata as m; print(*m.files('edgekit'), sep='\\n')"
    done = subprocess.run([bare / "python", "-c", script], capture_output=True, text=True, check=True)
    files = done.stdout.splitlines()
    tops = {name.split("/")[0] for name in files if name.endswith((".py", ".toml"))}
    assert tops == {"edgekit", "edgekit_converters", "edgekit_targets"}
    assert any(name.endswith("devices/raspberry-pi-4.toml") for name in files)
    assert not any(part.startswith(("test_", "tests")) for name in files for part in name.split("/"))
