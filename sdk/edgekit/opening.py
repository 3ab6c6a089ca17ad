"""From a file to an open session: `load` reads once, establishes trust, and opens those very bytes.

Not ``load.py``: a module of that name would hide the function `edgekit.load`.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgekit.bundle import DEFAULT_LIMITS, read_unverified
from edgekit.errors import BundleError
from edgekit.files import read_capped
from edgekit.session import Session
from edgekit.trust import resolve


def load(
    path: str | os.PathLike[str], *, trust: object, device: str = "auto", threads: int | None = None
) -> Session:
    """Read a bundle, establish that it may be trusted, and open its model.

    The file is read once: the bytes that are checked are the bytes that run.

    Args:
        path: The .edgekit file.
        trust: `edgekit.UNSIGNED`, written out, to run a bundle of unproven origin. There is no default.
        device: "auto" or "cpu".
        threads: Threads for one inference; None leaves it to the runtime.

    Raises:
        BundleError: The file is not a canonical bundle, or has a newer format.
        TrustError: Trust was not given, or cannot be established.
        RuntimeNotFoundError: No TFLite runtime is installed.
        SessionError: The runtime refuses the model, or it is not the one that the manifest describes.
    """
    data = read_capped(Path(path), DEFAULT_LIMITS.archive.total)
    try:
        unverified = read_unverified(data)
    except BundleError as error:
        raise type(error)(f"{os.fspath(path)}: {error}", hint=error.hint) from error
    return Session(resolve(unverified, trust, stacklevel=3), device=device, threads=threads)
