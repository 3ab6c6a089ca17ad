"""The wheel and its requirements resolve on the systems of the boards: Bookworm and Trixie, 64 and 32 bits."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
PLATFORMS = {
    "arm64": (
        "manylinux_2_28_aarch64",
        "manylinux_2_27_aarch64",
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
    ),
    "armhf": ("manylinux_2_34_armv7l", "manylinux_2_31_armv7l", "linux_armv7l"),
}
FROM_DEBIAN = {"numpy": "python3-numpy", "cryptography": "python3-cryptography"}
"""What has no wheel for 32-bit Arm; `edgekit targets linux-armhf` installs these."""


def resolve(debian: str, suite: str, *wanted: str) -> dict[str, str]:
    """What pip would install there, all of it as wheels: name -> version."""
    tag = "cp" + PYTHONS[suite].replace(".", "")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--quiet",
        "--report",
        "-",
        "--ignore-installed",
    ]
    command += ["--only-binary=:all:", "--target", "unused", "--python-version", PYTHONS[suite]]
    command += [
        "--implementation",
        "cp",
        "--abi",
        tag,
        "--abi",
        "abi3",
        "--abi",
        "none",
        "--disable-pip-version-check",
    ]
    command += [word for platform in PLATFORMS[debian] for word in ("--platform", platform)]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["install"]
    return {entry["metadata"]["name"].lower(): entry["metadata"]["version"] for entry in found}


@pytest.mark.parametrize("suite", PYTHONS)
def test_64_bit_systems_need_nothing_but_wheels(wheel: Path, suite: str) -> None:
    found = resolve("arm64", suite, f"{wheel}[runtime]")
    assert found["ai-edge-litert"] == "2.3.0"
    assert {"edgekit", "numpy", "click", "cryptography"} <= set(found)
    assert "tensorflow" not in found


@pytest.mark.parametrize("suite", PYTHONS)
def test_32_bit_systems_get_the_rest_from_debian(wheel: Path, suite: str) -> None:
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed, which asks Debian for its versions")
    debian = debian_versions(suite, FROM_DEBIAN.values())
    for requirement in requirements_of(wheel):
        if requirement.name in FROM_DEBIAN:
            assert Version(debian[FROM_DEBIAN[requirement.name]]) in requirement.specifier
        else:
            assert requirement.name in resolve("armhf", suite, str(requirement))


def test_32_bit_bookworm_has_a_runtime() -> None:
    command = ["tflite-runtime==2.14.0", "--no-deps"]  # its numpy is Debian's
    assert resolve("armhf", "bookworm", *command) == {"tflite-runtime": "2.14.0"}


def requirements_of(wheel: Path) -> list[Requirement]:
    """What a wheel requires without any extra."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = BytesParser().parsebytes(archive.read(name))
    found = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    assert found
    return [each for each in found if each.marker is None or each.marker.evaluate({"extra": ""})]


def debian_versions(suite: str, packages: object) -> dict[str, str]:
    """The upstream versions that Debian has of packages: name -> version."""
    names = list(packages)  # type: ignore[call-overload]
    command = [
        "mmdebstrap",
        "--simulate",
        "--verbose",
        "--variant=extract",
        "--arch=armhf",
        f"--include={','.join(names)}",
    ]
    done = subprocess.run(
        [*command, suite, "/dev/null", "http://deb.debian.org/debian"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-2000:]
    found = dict(re.findall(r"^Inst (\S+) \((\S+)", said, re.MULTILINE))
    return {name: re.sub(r"^\d+:|[-+~].*$", "", found[name]) for name in names}
