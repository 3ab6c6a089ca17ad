"""What there is of Coral Edge TPUs on a machine, and of what they need: library, rules, groups, driver."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgekit.backends.edgetpu import LIBRARY, USB_IDS, EdgeTpu, Host, list_devices, pci_cards
from edgekit.doctor.libraries import Library, Package, find_library, library_folders
from edgekit.doctor.reading import read_text

LIBUSB = "libusb-1.0.so.0"  # what libedgetpu.so.1 needs (readelf -d: NEEDED)
USB3_MBPS = 5000  # what sysfs says as "speed" of a stick on USB 3, in Mbit/s; 480 on USB 2
GROUPS = {"usb": "plugdev", "pci": "apex"}
"""Bus -> the group that Coral's own udev rules give its Edge TPUs to."""

_PACKAGES = ("libedgetpu1-std", "libedgetpu1-max")
_RULE_FOLDERS = ("etc/udev/rules.d", "run/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d")


@dataclass(frozen=True, slots=True)
class User:
    """Who wants to open devices.

    Attributes:
        uid: The user's number.
        gids: The numbers of the groups that the process has.
    """

    uid: int
    gids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Device:
    """One Edge TPU, and whether this user can open it.

    Attributes:
        name: What libedgetpu calls it, such as "usb:0".
        bus: "usb" or "pci".
        place: The kernel's name of the USB port, such as "1-1.2", or /dev/apex_0.
        usb_id: Such as "1a6e:089a"; None on PCI.
        used_before: Whether a stick was used since it was plugged in; None on PCI.
        node: The file that libedgetpu opens; None where the kernel does not say it.
        is_there: Whether that file is: not in a container that was not given it. None without a node.
        is_allowed: Whether this user may open it, as far as its mode says it. None without a node.
        mbps: The speed of its USB port, in Mbit/s; None where the kernel does not say it, and on PCI.
    """

    name: str
    bus: str
    place: str
    usb_id: str | None
    used_before: bool | None
    node: str | None
    is_there: bool | None
    is_allowed: bool | None
    mbps: int | None


@dataclass(frozen=True, slots=True)
class UdevRule:
    """The rules file that gives Coral sticks to somebody.

    Attributes:
        path: The file.
        group: The group that it names; None where it names none, and lets all users or the seat's in.
    """

    path: str
    group: str | None


@dataclass(frozen=True, slots=True)
class Coral:
    """What there is of Edge TPUs.

    Attributes:
        devices: Those that the kernel knows, those on USB first.
        cards: PCI addresses of cards, with or without a driver.
        library: libedgetpu, or None.
        library_package: The Debian package that brought it, such as libedgetpu1-std 16.0TF2.19.1-1, or None.
        libusb: libusb-1.0, or None.
        udev_rule: For sticks, or None.
        groups: Of the groups that Edge TPUs are given to, those that this process has.
        joined: Those that /etc/group gives the user: a login from before does not have them yet.
    """

    devices: tuple[Device, ...]
    cards: tuple[str, ...]
    library: Library | None
    library_package: Package | None
    libusb: Library | None
    udev_rule: UdevRule | None
    groups: tuple[str, ...]
    joined: tuple[str, ...]

    @property
    def is_present(self) -> bool:
        """Whether there is any Edge TPU, served by a driver or not."""
        return bool(self.devices or self.cards)


def gather_coral(root: Path, machine: str, user: User | None = None) -> Coral:
    """Look for Edge TPUs and for what they need.

    Args:
        root: Where the file system starts.
        machine: Of the programs, as `uname -m` has it.
        user: Who wants to open them; None is who runs this process.
    """
    user = User(os.geteuid(), frozenset({*os.getgroups(), os.getegid()})) if user is None else user
    host = Host(root / "sys", root / "dev")
    folders = tuple(library_folders(root, machine))
    library = find_library(LIBRARY, folders, machine)
    rule = _udev_rule(root)
    matter = {*GROUPS.values(), *([rule.group] if rule is not None and rule.group else [])}
    return Coral(
        devices=tuple(_device(root, tpu) for tpu in list_devices(host)),
        cards=pci_cards(host),
        library=library,
        library_package=None if library is None else _package_of(root, library),
        libusb=find_library(LIBUSB, folders, machine),
        udev_rule=rule,
        groups=tuple(sorted(name for name, gid, _ in _groups(root) if name in matter and gid in user.gids)),
        joined=_joined(root, user.uid, matter),
    )


def _device(root: Path, tpu: EdgeTpu) -> Device:
    usb_id = next((":".join(ids) for ids, used in USB_IDS.items() if used is tpu.used_before), None)
    speed = (read_text(root / "sys/bus/usb/devices" / tpu.place / "speed") or "").strip()
    there = None if tpu.node is None else os.path.exists(tpu.node)  # noqa: PTH110 (never raises)
    return Device(
        name=tpu.device,
        bus=tpu.bus,
        place=tpu.place,
        usb_id=usb_id,
        used_before=tpu.used_before,
        node=None if tpu.node is None else str(tpu.node),
        is_there=there,
        is_allowed=tpu.is_allowed if there else None,
        mbps=int(speed) if tpu.bus == "usb" and speed.isdecimal() else None,
    )


def _package_of(root: Path, library: Library) -> Package | None:
    """The Debian package that is installed and has the file in its list (dpkg-query(1), FILES)."""
    status = read_text(root / "var/lib/dpkg/status") or ""
    for stanza in status.split("\n\n"):
        if not any(f"Package: {name}\n" in stanza for name in _PACKAGES):
            continue
        lines = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
        name, version = lines.get("Package", ""), lines.get("Version")
        if lines.get("Status", "").endswith(" installed") and version and _lists(root, name, library):
            return Package(name, version)
    return None


def _lists(root: Path, package: str, library: Library) -> bool:
    """Whether a package's list names the file; /lib and /usr/lib may be one folder, and the lists name either."""
    wanted = "/" + os.path.relpath(library.path, os.path.realpath(root))
    listings = [read_text(path) or "" for path in root.glob(f"var/lib/dpkg/info/{package}*.list")]
    listed = {line.removeprefix("/usr") for listing in listings for line in listing.splitlines()}
    return wanted.removeprefix("/usr") in listed


def _udev_rule(root: Path) -> UdevRule | None:
    """The first file that gives the stick, under both of its vendors, to somebody (udev(7))."""
    seen: set[str] = set()
    for folder in _RULE_FOLDERS:
        for path in sorted((root / folder).glob("*.rules")):
            if path.name in seen:  # a file of the same name in an earlier folder stands for it
                continue
            seen.add(path.name)
            found = _stick_rule(read_text(path) or "")
            if found is not None:
                return UdevRule("/" + str(path.relative_to(root)), found or None)
    return None


def _stick_rule(text: str) -> str | None:
    """The group that a rules file gives the stick to; "" where it lets others in, None where it says nothing of it."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
    giving = [line for line in lines if re.search(r'GROUP\s*:?=|MODE\s*:?=|"uaccess"', line)]
    if any(not any(f'"{vendor}"' in line for line in giving) for vendor, _ in USB_IDS):
        return None
    named = [re.search(r'GROUP\s*:?=\s*"([^"]+)"', line) for line in giving if '"1a6e"' in line]
    return next((match[1] for match in named if match), "")


def _groups(root: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Name, number and members of each group: /etc/group has lines NAME:x:NUMBER:MEMBER,MEMBER (group(5))."""
    for line in (read_text(root / "etc/group") or "").splitlines():
        words = line.split(":")
        if len(words) == 4 and words[2].isdecimal():
            yield words[0], int(words[2]), [member for member in words[3].split(",") if member]


def _joined(root: Path, uid: int, groups: Collection[str]) -> tuple[str, ...]:
    """Which of the groups have the user among their members, by /etc/passwd: NAME:x:NUMBER:... (passwd(5))."""
    for line in (read_text(root / "etc/passwd") or "").splitlines():
        words = line.split(":")
        if len(words) > 2 and words[2] == str(uid):
            found = [name for name, _, members in _groups(root) if name in groups and words[0] in members]
            return tuple(sorted(found))
    return ()
