"""What a machine is and has, as far as its files say it. What they do not say is None, never a guess."""

from __future__ import annotations

import os
import platform
import struct
import sys
import sysconfig
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

from edgekit.doctor.coral import Coral, User, gather_coral
from edgekit.doctor.libraries import Package, elf_machine
from edgekit.doctor.pairing import Pairing, try_pairs
from edgekit.doctor.reading import read_text
from edgekit.doctor.smoke import Smoke, run_smoke

INT8_FEATURES = {
    "aarch64": ("asimddp", "i8mm"),
    "armv7l": ("neon", "asimd", "asimddp", "i8mm"),  # asimd is neon, as a 64-bit kernel calls it
    "x86_64": ("avx2", "avx_vnni", "avx512_vnni"),
}
"""Machine -> the extensions that XNNPACK's int8 kernels ask for, as /proc/cpuinfo names them."""


@dataclass(frozen=True, slots=True)
class Python:
    """The Python that runs edgekit.

    Attributes:
        version: Such as "3.11.7".
        executable: Its path.
        bits: 32 or 64: a 64-bit kernel may well run a 32-bit system.
        machine: What it was built for, as `uname -m` says it; None where its file does not say it.
        libc: Such as "glibc 2.36"; None where it is another C library, or unknown.
        in_venv: Whether it is a virtual environment's.
        is_managed: Whether it is the system's own, in which pip installs nothing (PEP 668).
    """

    version: str
    executable: str
    bits: int
    machine: str | None
    libc: str | None
    in_venv: bool
    is_managed: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that `edgekit.doctor.findings` decides by.

    Attributes:
        system: Name of the operating system, or None.
        codename: Its release, such as "bookworm", or None.
        machine: The kernel's, as `uname -m` has it, such as "aarch64".
        board: What the board calls itself, such as "Raspberry Pi 4 Model B Rev 1.4", or None.
        cpu_features: Of INT8_FEATURES, those that the processor has; None where nothing says it.
        python: The Python.
        numpy: Its version, or None.
        runtimes: TFLite runtimes that edgekit can drive, best first: the first one is what runs bundles.
        pillow: Its version, or None.
        cryptography: Its version, or None.
        coral: Edge TPUs and what they need.
        smoke: How a tiny model fared.
        pairings: How runtime, libedgetpu and each Edge TPU fared together; empty where that was not tried.
    """

    system: str | None
    codename: str | None
    machine: str
    board: str | None
    cpu_features: tuple[str, ...] | None
    python: Python
    numpy: str | None
    runtimes: tuple[Package, ...]
    pillow: str | None
    cryptography: str | None
    coral: Coral
    smoke: Smoke
    pairings: tuple[Pairing, ...]

    @property
    def userland(self) -> str:
        """The machine that programs are built for, and that pip chooses wheels by."""
        return userland(self.machine, self.python)

    def to_json(self) -> dict[str, object]:
        """All of it as JSON types."""
        plain = _plain(self)
        assert isinstance(plain, dict)
        return plain


def gather(
    root: Path = Path("/"),
    *,
    machine: str | None = None,
    python: Python | None = None,
    user: User | None = None,
    smoke: Smoke | None = None,
    probe: bool = False,
) -> Facts:
    """Look at this machine.

    Args:
        root: Where its file system starts; a test gives a folder with a machine of its own.
        machine: As `uname -m` has it; None asks this machine.
        python: None is the one that runs this.
        user: Who wants to open Edge TPUs; None is who runs this.
        smoke: How a tiny model fared; None tries it.
        probe: Whether to try runtime, libedgetpu and Edge TPU together: it takes seconds, and opens the device.
    """
    machine = platform.machine() if machine is None else machine
    python = this_python() if python is None else python
    smoke = run_smoke() if smoke is None else smoke
    release = _os_release(root)
    programs = userland(machine, python)
    coral = gather_coral(root, programs, user)
    return Facts(
        system=release.get("PRETTY_NAME"),
        codename=release.get("VERSION_CODENAME"),
        machine=machine,
        board=board_model(root),
        cpu_features=cpu_features(root, programs),
        python=python,
        numpy=_version("numpy"),
        runtimes=_runtimes(),
        pillow=_version("pillow"),
        cryptography=_version("cryptography"),
        coral=coral,
        smoke=smoke,
        pairings=try_pairs(coral.devices) if probe and smoke.passed else (),
    )


def this_python() -> Python:
    """The Python that runs this."""
    in_venv = sys.prefix != sys.base_prefix
    marker = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return Python(
        version=platform.python_version(),
        executable=sys.executable,
        bits=struct.calcsize("P") * 8,
        machine=elf_machine(Path(sys.executable)),
        libc=_libc(),
        in_venv=in_venv,
        is_managed=not in_venv and marker.is_file(),
    )


def userland(machine: str, python: Python) -> str:
    """The machine that programs are built for: a 64-bit kernel may run a 32-bit system, and says only its own.

    Args:
        machine: The kernel's. That of a 32-bit Arm says more than a program's file: "armv6l" or "armv7l".
        python: A program of the system.
    """
    if machine == "armv8l":  # a 64-bit kernel that was told to call itself a 32-bit one
        return "armv7l"
    return machine if machine.startswith("armv") else python.machine or machine


def board_model(root: Path) -> str | None:
    """What the board calls itself in its device tree."""
    return (read_text(root / "proc/device-tree/model") or "").rstrip("\0\n ") or None


def cpu_features(root: Path, machine: str) -> tuple[str, ...] | None:
    """Which of the extensions that make int8 fast the processor has; None where nothing says it."""
    asked = INT8_FEATURES.get(machine)
    for line in (read_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, words = line.partition(":")
        if asked is not None and key.strip() in ("flags", "Features"):
            listed = set(words.split())
            return tuple(feature for feature in asked if feature in listed)
    return None


def _libc() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError, OSError):  # not glibc, or no POSIX
        return None


def _os_release(root: Path) -> dict[str, str]:
    """KEY="value" lines of os-release(5)."""
    text = read_text(root / "etc/os-release") or read_text(root / "usr/lib/os-release") or ""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def _runtimes() -> tuple[Package, ...]:
    from edgekit.backends.installed import installed_backends

    return tuple(Package(backend.name, backend.version) for backend in installed_backends())


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
