"""What a machine is and has, as far as its files say it. What they do not say is None, never a guess."""

from __future__ import annotations

import os
import platform
import struct
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

from edgekit.backends.edgetpu import LIBRARY, EdgeTpu, Host, list_devices, pci_cards
from edgekit.doctor.smoke import Smoke, run_smoke

LIBUSB = "libusb-1.0.so.0"  # what libedgetpu.so.1 needs (readelf -d: NEEDED)
USB3_MBPS = 5000  # what sysfs says as "speed" of a stick on USB 3; 480 on USB 2

_ELF_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64"}  # e_machine, elf.h
_INT8_FEATURES = ("asimddp", "i8mm", "avx2", "avx_vnni", "avx512_vnni")  # what XNNPACK's int8 kernels ask for
_LARGEST_TEXT = 64 << 20  # bytes; dpkg's list of packages has 5 MB on a desktop


@dataclass(frozen=True, slots=True)
class Python:
    """The Python that runs edgekit.

    Attributes:
        version: Such as "3.11.7".
        executable: Its path.
        bits: 32 or 64: a 64-bit kernel may well run a 32-bit system.
        in_venv: Whether it is a virtual environment's.
    """

    version: str
    executable: str
    bits: int
    in_venv: bool


@dataclass(frozen=True, slots=True)
class Package:
    """An installed Python package.

    Attributes:
        name: For pip.
        version: Its version.
    """

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library that the dynamic linker may find.

    Attributes:
        path: The file, links followed.
        machine: What it was built for, as `uname -m` says it; None where the file does not say it.
    """

    path: str
    machine: str | None


@dataclass(frozen=True, slots=True)
class Coral:
    """What there is of Edge TPUs.

    Attributes:
        devices: Those that can be opened by a device string.
        forbidden: Device strings of those that this user may not open.
        cards: PCI addresses of cards, with or without a driver.
        slow: Device strings of sticks on USB 2.
        library: libedgetpu, or None.
        library_package: Version of the Debian package that brought it, such as "16.0TF2.19.1-1", or None.
        libusb: libusb-1.0, or None.
        udev_rule: The first udev rules file that names the stick, or None.
        groups: The groups plugdev and apex, where this user is in them.
    """

    devices: tuple[EdgeTpu, ...]
    forbidden: tuple[str, ...]
    cards: tuple[str, ...]
    slow: tuple[str, ...]
    library: Library | None
    library_package: str | None
    libusb: Library | None
    udev_rule: str | None
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that `edgekit.doctor.findings` decides by.

    Attributes:
        system: Name of the operating system, or None.
        codename: Its release, such as "bookworm", or None.
        machine: As `uname -m` has it, such as "aarch64".
        board: What the board calls itself, such as "Raspberry Pi 4 Model B Rev 1.4", or None.
        cpu_features: Those that decide how fast int8 is; None where /proc/cpuinfo says nothing.
        python: The Python.
        numpy: Its version, or None.
        runtimes: TFLite runtimes that edgekit can drive, best first.
        pillow: Its version, or None.
        cryptography: Its version, or None.
        coral: Edge TPUs and what they need.
        smoke: How a tiny model fared.
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

    def to_json(self) -> dict[str, object]:
        """All of it as JSON types."""
        plain = _plain(self)
        assert isinstance(plain, dict)
        return plain


def gather(root: Path = Path("/"), *, machine: str | None = None, smoke: Smoke | None = None) -> Facts:
    """Look at this machine.

    Args:
        root: Where its file system starts; a test gives a folder with a machine of its own.
        machine: As `uname -m` has it; None asks this machine.
        smoke: How a tiny model fared; None tries it.
    """
    machine = platform.machine() if machine is None else machine
    release = _os_release(root)
    return Facts(
        system=release.get("PRETTY_NAME"),
        codename=release.get("VERSION_CODENAME"),
        machine=machine,
        board=board_model(root),
        cpu_features=cpu_features(root),
        python=Python(
            platform.python_version(), sys.executable, struct.calcsize("P") * 8, sys.prefix != sys.base_prefix
        ),
        numpy=_version("numpy"),
        runtimes=_runtimes(),
        pillow=_version("pillow"),
        cryptography=_version("cryptography"),
        coral=gather_coral(root, machine),
        smoke=run_smoke() if smoke is None else smoke,
    )


def gather_coral(root: Path, machine: str, gids: Collection[int] | None = None) -> Coral:
    """Look for Edge TPUs and for what they need.

    Args:
        root: Where the file system starts.
        machine: As `uname -m` has it: it says where Debian puts libraries.
        gids: The numbers of this user's groups; None asks this process.
    """
    host = Host(root / "sys", root / "dev")
    devices = list_devices(host)
    folders = tuple(library_folders(root, machine))
    return Coral(
        devices=devices,
        forbidden=tuple(tpu.device for tpu in devices if not tpu.is_allowed),
        cards=pci_cards(host),
        slow=tuple(tpu.device for tpu in devices if _is_slow(root, tpu)),
        library=find_library(LIBRARY, folders),
        library_package=_debian_version(root, ("libedgetpu1-std", "libedgetpu1-max")),
        libusb=find_library(LIBUSB, folders),
        udev_rule=_udev_rule(root),
        groups=_groups(root, {*os.getgroups(), os.getegid()} if gids is None else gids),
    )


def board_model(root: Path) -> str | None:
    """What the board calls itself in its device tree."""
    return (_read(root / "proc/device-tree/model") or "").rstrip("\0\n ") or None


def cpu_features(root: Path) -> tuple[str, ...] | None:
    """Which of the extensions that make int8 fast the processor has; None where /proc/cpuinfo says nothing."""
    for line in (_read(root / "proc/cpuinfo") or "").splitlines():
        key, _, words = line.partition(":")
        if key.strip() in ("flags", "Features"):
            listed = set(words.split())
            return tuple(feature for feature in _INT8_FEATURES if feature in listed)
    return None


def library_folders(root: Path, machine: str) -> Iterator[Path]:
    """The folders where the dynamic linker looks: LD_LIBRARY_PATH, /etc/ld.so.conf and its own (ld.so(8))."""
    if root == Path("/"):
        yield from (Path(word) for word in os.environ.get("LD_LIBRARY_PATH", "").split(":") if word)
    for listing in (root / "etc/ld.so.conf", *sorted(root.glob("etc/ld.so.conf.d/*.conf"))):
        for line in (_read(listing) or "").splitlines():
            word = line.partition("#")[0].strip()
            if word.startswith("/"):
                yield root / word[1:]
    triplet = "arm-linux-gnueabihf" if machine.startswith("armv") else f"{machine}-linux-gnu"
    for folder in ("lib", "usr/lib"):
        yield root / folder / triplet
        yield root / folder


def find_library(name: str, folders: Collection[Path]) -> Library | None:
    """The first library of that name in the folders."""
    for folder in folders:
        path = folder / name
        if path.is_file():
            return Library(os.path.realpath(path), _elf_machine(path))
    return None


def _elf_machine(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError:
        return None
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    return _ELF_MACHINES.get(int.from_bytes(head[18:20], "little" if head[5] == 1 else "big"))


def _os_release(root: Path) -> dict[str, str]:
    """KEY="value" lines of os-release(5)."""
    text = _read(root / "etc/os-release") or _read(root / "usr/lib/os-release") or ""
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


def _debian_version(root: Path, packages: Collection[str]) -> str | None:
    """The version of the first of these that dpkg has installed, from its list of packages."""
    status = _read(root / "var/lib/dpkg/status") or ""
    for stanza in status.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
        if lines.get("Package") in packages and lines.get("Status", "").endswith(" installed"):
            return lines.get("Version")
    return None


def _udev_rule(root: Path) -> str | None:
    """The first rules file that gives the stick, under both of its ids, to somebody."""
    for folder in ("etc/udev/rules.d", "run/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d"):
        for path in sorted((root / folder).glob("*.rules")):
            text = _read(path) or ""
            if "1a6e" in text and "18d1" in text and ("GROUP" in text or "MODE" in text or "uaccess" in text):
                return "/" + str(path.relative_to(root))
    return None


def _groups(root: Path, gids: Collection[int]) -> tuple[str, ...]:
    """Which of the groups plugdev and apex have one of these numbers, by /etc/group: NAME:x:NUMBER:..."""
    found = []
    for line in (_read(root / "etc/group") or "").splitlines():
        words = line.split(":")
        if len(words) >= 3 and words[0] in ("plugdev", "apex") and words[2] in {str(gid) for gid in gids}:
            found.append(words[0])
    return tuple(sorted(found))


def _is_slow(root: Path, tpu: EdgeTpu) -> bool:
    speed = (_read(root / "sys/bus/usb/devices" / tpu.place / "speed") or "").strip()
    return tpu.bus == "usb" and speed.isdecimal() and int(speed) < USB3_MBPS


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_TEXT).decode("utf-8", "replace")
    except OSError:
        return None


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
