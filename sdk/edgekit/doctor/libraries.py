"""What is installed: packages, and shared libraries, where the dynamic linker looks for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgekit.doctor.reading import read_text

_ELF_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}  # e_machine, elf.h
_TRIPLETS = {"i686": "i386-linux-gnu"}  # where Debian's folder is not the machine's name


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package, of Python's or of Debian's.

    Attributes:
        name: Its name.
        version: Its version, "unknown" where nothing says it.
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

    def fits(self, machine: str) -> bool | None:
        """Whether a program of that machine can load it; None where the file does not say it."""
        return None if self.machine is None else _family(self.machine) == _family(machine)


def library_folders(root: Path, machine: str) -> Iterator[Path]:
    """The folders where the dynamic linker looks: LD_LIBRARY_PATH, /etc/ld.so.conf and its own (ld.so(8)).

    Args:
        root: Where the file system starts; the environment speaks of the real one only.
        machine: Of the programs, as `uname -m` has it: it says where Debian puts libraries.
    """
    if root == Path("/"):
        yield from (Path(word) for word in os.environ.get("LD_LIBRARY_PATH", "").split(":") if word)
    for listing in (root / "etc/ld.so.conf", *sorted(root.glob("etc/ld.so.conf.d/*.conf"))):
        for line in (read_text(listing) or "").splitlines():
            word = line.partition("#")[0].strip()
            if word.startswith("/"):
                yield root / word[1:]
    triplet = "arm-linux-gnueabihf" if _family(machine) == "arm" else _TRIPLETS.get(machine)
    for folder in ("lib", "usr/lib"):
        yield root / folder / (triplet or f"{machine}-linux-gnu")
        yield root / f"{folder}64"
        yield root / folder


def find_library(name: str, folders: Iterable[Path], machine: str) -> Library | None:
    """The library of that name which the dynamic linker takes: it passes over those of another machine.

    Where there are only such, it is the first of them.

    Args:
        name: Such as "libusb-1.0.so.0".
        folders: Where to look, in this order.
        machine: Of the program that loads it.
    """
    foreign = None
    for folder in folders:
        path = folder / name
        if os.path.isfile(path):  # noqa: PTH113 (pathlib's raises where the folder may not be entered)
            found = Library(os.path.realpath(path), elf_machine(path))
            if found.fits(machine) is not False:
                return found
            foreign = foreign or found
    return foreign


def elf_machine(path: Path) -> str | None:
    """What a program or a library was built for, as `uname -m` says it; None where its header does not say it."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError:
        return None
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    return _ELF_MACHINES.get(int.from_bytes(head[18:20], "little" if head[5] == 1 else "big"))


def _family(machine: str) -> str:
    """All of 32-bit Arm, armv6l to armv8l, under one name: libraries do not tell them apart."""
    return "arm" if machine.startswith("armv") else machine
