"""Machines as folders, for the tests of the doctor: what a Raspberry Pi with a Coral has in sysfs, /etc and dpkg's lists."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from edgekit.doctor.coral import User
from edgekit.doctor.facts import Facts, Python, gather
from edgekit.doctor.smoke import INPUT, Smoke, read_smoke

ELF_MACHINES = {"aarch64": 183, "armv7l": 40, "x86_64": 62, "ppc64le": 21}
TRIPLETS = {"aarch64": "aarch64-linux-gnu", "armv7l": "arm-linux-gnueabihf", "x86_64": "x86_64-linux-gnu"}
GOOGLES_RULES = (
    'SUBSYSTEM=="usb",ATTRS{{idVendor}}=="1a6e",{0}\nSUBSYSTEM=="usb",ATTRS{{idVendor}}=="18d1",{0}\n'
)
RUNS = read_smoke(0, '{"runtime": "ai-edge-litert 2.2.0"}\n{"answer": [10, 98], "kernels": "xnnpack"}', "")
assert sum(INPUT) == 10

HEALTHY = {"numpy": "2.2.6", "pillow": "11.1.0", "cryptography": "43.0.0"}
"""Packages beside a runtime."""


def python(
    version: str = "3.11.2",
    machine: str = "aarch64",
    *,
    bits: int | None = None,
    executable: str = "/home/pi/venv/bin/python",
    libc: str | None = "glibc 2.36",
    is_managed: bool = False,
) -> Python:
    bits = (64 if machine in ("aarch64", "x86_64") else 32) if bits is None else bits
    return Python(version, executable, bits, machine, libc, not is_managed, is_managed)


class Machine:
    """A file system that is built up call by call; `user` is pi, and in no group that matters."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.user = User(1000, frozenset({1000}))
        self.write("etc/passwd", "root:x:0:0::/root:/bin/sh\npi:x:1000:1000::/home/pi:/bin/bash\n")
        self.write("etc/group", "root:x:0:\n# a comment\nbroken\npi:x:1000:\n")

    def write(self, path: str, text: str | bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def release(self, codename: str = "bookworm") -> None:
        number = {"bookworm": 12, "trixie": 13}[codename]
        lines = (
            f'PRETTY_NAME="Debian GNU/Linux {number} ({codename})"\nVERSION_CODENAME={codename}\nID=debian\n'
        )
        self.write("etc/os-release", lines)

    def board(self, name: str) -> None:
        self.write("proc/device-tree/model", name.encode() + b"\0")

    def processor(self, features: str, key: str = "Features") -> None:
        self.write(
            "proc/cpuinfo", f"processor\t: 0\n{key}\t: {features}\nCPU part\t: 0xd08\n\nHardware\t: BCM2835\n"
        )

    def stick(
        self, port: str = "2-1", *, used: bool = True, mbps: str | None = "5000", mode: int = 0o666
    ) -> Path:
        number = 3 + len(list((self.root / "sys/bus/usb/devices").glob("*")))
        vendor, product = ("18d1", "9302") if used else ("1a6e", "089a")
        entries = {
            "idVendor": vendor,
            "idProduct": product,
            "busnum": "2",
            "devnum": str(number),
            "speed": mbps,
        }
        for name, text in entries.items():
            if text is not None:
                self.write(f"sys/bus/usb/devices/{port}/{name}", f"{text}\n")
        node = self.write(f"dev/bus/usb/002/{number:03}", "")
        node.chmod(mode)
        return node

    def card(self, address: str = "0000:01:00.0") -> None:
        self.write(f"sys/bus/pci/devices/{address}/vendor", "0x1ac1\n")
        self.write(f"sys/bus/pci/devices/{address}/device", "0x089a\n")

    def apex(self, number: int = 0, mode: int = 0o660) -> None:
        self.write(f"dev/apex_{number}", "").chmod(mode)

    def library(self, name: str, machine: str = "aarch64", folder: str | None = None) -> str:
        """As a package lays it down: the file, and a link of the name that programs ask for."""
        folder = f"usr/lib/{TRIPLETS[machine]}" if folder is None else folder
        order, mark = ("big", 2) if machine == "ppc64" else ("little", 1)
        head = b"\x7fELF\x02" + bytes([mark]) + bytes(10) + (3).to_bytes(2, order)
        self.write(f"{folder}/{name}.0", head + ELF_MACHINES[machine].to_bytes(2, order) + bytes(44))
        (self.root / folder / name).symlink_to(f"{name}.0")
        return f"/{folder}/{name}.0"

    def package(self, name: str, version: str, *files: str, status: str = "install ok installed") -> None:
        listed = self.root / "var/lib/dpkg/status"
        before = (
            listed.read_text()
            if listed.exists()
            else "Package: bash\nStatus: install ok installed\nVersion: 5.2\n"
        )
        text = f"{before}\nPackage: {name}\nStatus: {status}\nDescription: a library\n in two: lines\nVersion: {version}\n"
        self.write("var/lib/dpkg/status", text)
        self.write(f"var/lib/dpkg/info/{name}:arm64.list", "".join(f"{path}\n" for path in ("/.", *files)))

    def rules(
        self, giving: str = 'GROUP="plugdev"', path: str = "usr/lib/udev/rules.d/60-libedgetpu1-std.rules"
    ) -> None:
        self.write(path, GOOGLES_RULES.format(giving))

    def group(self, name: str, number: int, *members: str, entered: bool = False) -> None:
        """A group, its members, and whether this login has it."""
        before = (self.root / "etc/group").read_text()
        self.write("etc/group", f"{before}{name}:x:{number}:{','.join(members)}\n")
        if entered:
            self.user = User(self.user.uid, self.user.gids | {number})

    def libedgetpu(
        self, version: str = "16.0TF2.19.1-1", package: str = "libedgetpu1-std", machine: str = "aarch64"
    ) -> None:
        """The library with its package, its rules, and libusb; and pi is in plugdev."""
        self.library("libusb-1.0.so.0", machine)
        self.package(package, version, self.library("libedgetpu.so.1", machine))
        self.rules()
        self.group("plugdev", 46, "pi", entered=True)

    def facts(self, machine: str = "aarch64", smoke: Smoke = RUNS, of: Python | None = None) -> Facts:
        """Go and look."""
        of = python(machine=machine) if of is None else of
        return gather(self.root, machine=machine, python=of, user=self.user, smoke=smoke)


def raspberry_pi_4(root: Path) -> Machine:
    """A Raspberry Pi 4 with the 64-bit Bookworm, and nothing that edgekit needs."""
    machine = Machine(root)
    machine.release("bookworm")
    machine.board("Raspberry Pi 4 Model B Rev 1.4")
    machine.processor("fp asimd evtstrm crc32 cpuid")
    return machine


def install(packages: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these be the only Python packages: their folders and what pip leaves beside them, and no site-packages.

    Args:
        packages: Name for pip -> version.
        folder: Where they go.
        monkeypatch: Takes all others off the path.
    """
    for name, version in packages.items():
        module = name.replace("-", "_")
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / module).mkdir()
        (folder / module / "__init__.py").write_text("raise ImportError('a package without code')\n")
    folder.mkdir(exist_ok=True)
    others = [path for path in sys.path if "site-packages" not in path and "dist-packages" not in path]
    monkeypatch.setattr(sys, "path", [str(folder), *others])
    for module in ("ai_edge_litert", "tflite_runtime", "tensorflow"):
        monkeypatch.delitem(sys.modules, module, raising=False)


def access_of_others(path: str | os.PathLike[str], mode: int) -> bool:
    """os.access as a user has it who neither owns the file nor is in its group: tests may run as root, who may all."""
    return (os.stat(path).st_mode & mode) == mode  # noqa: PTH116 (the bits of others are the lowest)
