"""Tries runtime, libedgetpu and Edge TPU together, in a child process that may well die of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.backends.edgetpu import HOST, EdgeTpuBackend, Host
from edgekit.doctor.smoke import tiny_model
from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    from edgekit.doctor.coral import Device


@dataclass(frozen=True, slots=True)
class Pairing:
    """How runtime, libedgetpu and an Edge TPU fared together.

    Attributes:
        device: What libedgetpu calls the Edge TPU, such as "usb:0".
        error: Why they do not work together, or None.
        hint: The remedy that came with the error, or None.
    """

    device: str
    error: str | None
    hint: str | None


def try_pairs(devices: Iterable[Device], host: Host = HOST) -> tuple[Pairing, ...]:
    """Build an interpreter with the delegate on each Edge TPU that this user may open.

    The model is a tiny one that was not compiled for it: a library of another TensorFlow Lite ends the process
    at that point already, and whether a compiled model runs is for its own bundle to say.

    Args:
        devices: The Edge TPUs.
        host: Says which library.
    """
    return tuple(_try_pair(device.name, host) for device in devices if device.is_allowed)


def _try_pair(device: str, host: Host) -> Pairing:
    from edgekit.backends.installed import first_installed

    try:
        EdgeTpuBackend(first_installed(), device, host).probe(tiny_model())
    except EdgekitError as error:
        return Pairing(device, str(error), error.hint)
    return Pairing(device, None, None)
