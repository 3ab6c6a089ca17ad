"""The checks of a signature with the oldest `cryptography` that edgekit takes, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_oldest_cryptography_gives_the_same_verdicts(tmp_path: Path) -> None:
    """The one that Raspberry Pi OS Bookworm brings, and pyproject.toml names as the least; needs a package index."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (least,) = (
        re.fullmatch(r"cryptography>=(.+)", need)[1] for need in project["dependencies"] if "crypto" in need
    )  # type: ignore[index]
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
    ]
    words = [*install, "--target", str(tmp_path / "old"), f"cryptography=={least}"]
    installed = subprocess.run(words, capture_output=True, text=True, check=False)
    if installed.returncode != 0:
        pytest.skip(f"cryptography {least} cannot be installed: {installed.stderr.strip().splitlines()[-1:]}")
    path = os.pathsep.join([str(tmp_path / "old"), *(str(ROOT / name) for name in ("sdk", "device_targets"))])
    environment = {**os.environ, "PYTHONPATH": path}
    told = [sys.executable, "-c", "import cryptography; print(cryptography.__version__)"]
    version = subprocess.run(told, capture_output=True, text=True, check=True, env=environment).stdout.strip()
    assert version == least
    files = [str(ROOT / "sdk" / "tests" / name) for name in ("test_trust_attacks.py", "test_trust_keys.py")]
    run = [
        sys.executable,
        "-m",
        "pytest",
        "--quiet",
        "-p",
        "no:cacheprovider",
        "-k",
        "not imports_little",
        *files,
    ]
    done = subprocess.run(run, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
