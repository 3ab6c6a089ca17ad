"""From a file to an open session: `load` reads once, establishes trust, and opens those very bytes.

Not ``load.py``: a module of that name would hide the function `edgekit.load`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgekit.bundle import DEFAULT_LIMITS, read_unverified
from edgekit.errors import BundleError
from edgekit.files import read_capped
from edgekit.session import Session
from edgekit.trust import resolve

if TYPE_CHECKING:
    from edgekit.backends.simulated import Simulation


def load(
    path: str | os.PathLike[str],
    *,
    trust: object,
    device: str | Simulation = "auto",
    threads: int | None = None,
    fallback: bool = False,
) -> Session:
    """Read a bundle, establish that it may be trusted, and open its model.

    The file is read once: the bytes that are checked are the bytes that run.

    Args:
        path: The .edgekit file.
        trust: `edgekit.UNSIGNED`, written out, to run a bundle of unproven origin. There is no default.
        device: "auto" (the Edge TPU where the bundle was compiled for one, else the CPU), "cpu", "usb", "usb:N",
            "pci", "pci:N", or an `edgekit.Simulation`.
        threads: Threads for one inference; None leaves it to the runtime.
        fallback: Whether the CPU may run the int8 model of the bundle where the Edge TPU cannot be used. The
            session and its results then say why, in `fallback`.

    Raises:
        BundleError: The file is not a canonical bundle, or has a newer format.
        TrustError: Trust was not given, or cannot be established.
        RuntimeNotFoundError: No TFLite runtime is installed.
        DeviceError: The Edge TPU that is wanted cannot be used, and `fallback` is False.
        SessionError: The runtime refuses the model or is too old for it, or the model is not the one that the
            manifest describes.
    """
    data = read_capped(path, DEFAULT_LIMITS.archive.total)
    try:
        unverified = read_unverified(data)
    except BundleError as error:
        raise type(error)(f"{os.fspath(path)}: {error}", hint=error.hint) from error
    del data  # the bundle has it; nobody keeps it once the model is open
    return Session(
        resolve(unverified, trust, stacklevel=3), device=device, threads=threads, fallback=fallback
    )
