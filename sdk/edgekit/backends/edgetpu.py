"""The Coral Edge TPU: which are plugged in, and a runtime with libedgetpu's delegate for one of them.

Nothing here was run on an Edge TPU: the devices come from a sysfs of a test's making, and the libraries that stand
in for libedgetpu in the tests go through the runtimes' own ``load_delegate``.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from edgekit.backends import Kernels, Runtime
from edgekit.backends.wrapped import TfliteInterpreter, one_line, open_interpreter
from edgekit.errors import DeviceError

LIBRARY = "libedgetpu.so.1"

USB_IDS = {("1a6e", "089a"): False, ("18d1", "9302"): True}
"""(vendor, product) of a Coral stick -> whether it was used since it was plugged in: libedgetpu loads the firmware
on first use, and the stick comes back with its second id (Coral USB Accelerator, getting started)."""

PCI_ID = ("0x1ac1", "0x089a")
"""(vendor, device) of the Edge TPU on PCI Express, as ``lspci -nn`` shows it (Coral M.2, getting started)."""


@dataclass(frozen=True, slots=True)
class EdgeTpu:
    """One Edge TPU that the kernel knows.

    Attributes:
        bus: "usb" or "pci".
        number: Its place among those on the bus.
        place: Where it is: the kernel's name of the USB port, such as "1-1.2", or /dev/apex_0.
        node: The file that libedgetpu opens, None where sysfs does not say it.
        used_before: Whether a stick has its firmware; None on PCI.
    """

    bus: str
    number: int
    place: str
    node: Path | None
    used_before: bool | None

    @property
    def device(self) -> str:
        """What libedgetpu calls it, such as "usb:0"."""
        return f"{self.bus}:{self.number}"

    @property
    def is_allowed(self) -> bool:
        """Whether this user may open it, as far as the file's mode says it."""
        return self.node is None or os.access(self.node, os.R_OK | os.W_OK)


@dataclass(frozen=True, slots=True)
class Host:
    """Where to look for Edge TPUs and their library; a test gives folders and a library of its own.

    Attributes:
        sys: The sysfs.
        dev: The devices' files.
        library: The delegate, as the dynamic linker finds it.
        timeout_s: How long the probe may take, in seconds. Loading the firmware of a stick takes a few.
    """

    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    library: str = LIBRARY
    timeout_s: float = 30.0


HOST = Host()


def list_devices(host: Host) -> tuple[EdgeTpu, ...]:
    """Find the Edge TPUs that the kernel knows, those on USB first."""
    return (*_usb_devices(host), *_pci_devices(host))


def _usb_devices(host: Host) -> list[EdgeTpu]:
    found: list[EdgeTpu] = []
    for folder in _entries(host.sys / "bus/usb/devices"):
        ids = (_text(folder / "idVendor"), _text(folder / "idProduct"))
        if ids in USB_IDS:
            bus, number = _text(folder / "busnum"), _text(folder / "devnum")
            numbered = bus.isdecimal() and number.isdecimal()
            node = host.dev / f"bus/usb/{int(bus):03}/{int(number):03}" if numbered else None
            found.append(EdgeTpu("usb", len(found), folder.name, node, USB_IDS[ids]))
    return found


def _pci_devices(host: Host) -> list[EdgeTpu]:
    """Those that the driver (gasket, apex) has given a file."""
    nodes = sorted(host.dev.glob("apex_[0-9]*"), key=lambda node: (len(node.name), node.name))
    return [EdgeTpu("pci", number, str(node), node, None) for number, node in enumerate(nodes)]


def pci_cards(host: Host) -> tuple[str, ...]:
    """The PCI addresses of Edge TPUs, whether or not a driver serves them."""
    return tuple(
        folder.name
        for folder in _entries(host.sys / "bus/pci/devices")
        if (_text(folder / "vendor"), _text(folder / "device")) == PCI_ID
    )


def find_device(bus: str, number: int | None, host: Host) -> EdgeTpu:
    """The Edge TPU that a device string means.

    Args:
        bus: "usb", "pci", or "auto" for either.
        number: Its place on the bus; None for the first.
        host: Where to look.

    Raises:
        DeviceError: There is none, or this user may not open it.
    """
    found = [tpu for tpu in list_devices(host) if bus in ("auto", tpu.bus)]
    if not found:
        raise _none_found(bus, host)
    chosen = next((tpu for tpu in found if number in (None, tpu.number)), None)
    if chosen is None:
        there = ", ".join(tpu.device for tpu in found)
        raise DeviceError(f"there is no Edge TPU {bus}:{number}", hint=f"found: {there}")
    if not chosen.is_allowed:
        group = "plugdev" if chosen.bus == "usb" else "apex"
        raise DeviceError(
            f"this user may not open the Edge TPU {chosen.device} ({chosen.node})",
            hint=f'sudo usermod -aG {group} "$USER", then log out and in, and replug or reboot; '
            "edgekit doctor says more",
        )
    return chosen


def _none_found(bus: str, host: Host) -> DeviceError:
    cards = pci_cards(host) if bus != "usb" else ()
    if cards:
        return DeviceError(
            f"an Edge TPU is at PCI {cards[0]}, and no driver serves it: there is no {host.dev}/apex_0",
            hint="edgekit targets coral-pcie-m2 shows how to install the driver",
        )
    on = {"usb": " on USB", "pci": " on PCI Express"}.get(bus, "")
    return DeviceError(
        f"no Edge TPU is found{on}",
        hint='plug it in (edgekit doctor shows what is seen), or run on the processor: device="cpu", or fallback=True',
    )


_probed: set[tuple[str, str, str, str]] = set()
_probing = threading.Lock()
_may_die = False


def expect_death() -> None:
    """Say that this process may die of a runtime, so that no child is sent ahead of it to find out."""
    global _may_die
    _may_die = True


class EdgeTpuBackend:
    """A runtime with libedgetpu's delegate.

    Attributes:
        name: Of the runtime.
        kernels: Of the runtime, for the operators that the Edge TPU leaves.
    """

    def __init__(self, runtime: Runtime, device: str, host: Host) -> None:
        """Pair a runtime with a device; nothing is loaded yet.

        Args:
            runtime: With ``load_delegate``.
            device: Such as "usb:0".
            host: Says which library.
        """
        self._runtime = runtime
        self._device = device
        self._host = host
        self.name = runtime.name
        self.kernels: Kernels = runtime.kernels

    @property
    def version(self) -> str:
        """The version of the runtime."""
        return self._runtime.version

    def probe(self, model: bytes) -> None:
        """Try runtime, library and device together in a child process, once in this process's life.

        Args:
            model: A compiled model.

        Raises:
            DeviceError: They do not work together; what died says how far it came.
            SessionError: The runtime cannot be imported.
        """
        from edgekit.backends.probe import probe_pair

        module = self._runtime.module().__name__
        pair = (self.name, self.version, self._host.library, self._device)
        with _probing:
            if _may_die or pair in _probed:
                return
            probe_pair(
                module,
                f"{self.name} {self.version}",
                self._host.library,
                self._device,
                model,
                timeout_s=self._host.timeout_s,
            )
            _probed.add(pair)

    def open(
        self, model: bytes, *, threads: int | None = None, kernels: Kernels | None = None
    ) -> TfliteInterpreter:
        """Open a compiled model from bytes in memory, probing first.

        Args:
            model: What the Edge TPU's compiler made.
            threads: For the operators that stay on the CPU.
            kernels: For those too; None is the runtime's own.

        Raises:
            DeviceError: The Edge TPU cannot be used.
            SessionError: The runtime refuses the model.
        """
        self.probe(model)
        module = self._runtime.module()
        try:
            delegate = module.load_delegate(self._host.library, {"device": self._device})
        except (ValueError, OSError, AttributeError) as error:  # the probe passed: unplugged since, or taken
            raise DeviceError(
                f"the Edge TPU {self._device} can no longer be opened: {one_line(error)}",
                hint="is it still plugged in, and does no other process use it?",
            ) from error
        raw = open_interpreter(
            self,
            module,
            model,
            threads=threads,
            kernels=self.kernels if kernels is None else kernels,
            experimental_delegates=[delegate],
        )
        return TfliteInterpreter(raw, self.name, [delegate])


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
