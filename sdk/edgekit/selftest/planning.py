"""What a self-test would run on, and the name that its success is remembered by.

Every load asks this, and most find the bundle on record, so that nothing here imports what runs a test.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from edgekit.backends.choose import choose
from edgekit.version import __version__

if TYPE_CHECKING:
    from edgekit.backends.choose import Choice
    from edgekit.trust import VerifiedBundle


class Planned(NamedTuple):
    """What a bundle would run on here, found without importing a runtime.

    Attributes:
        runtime: Package and version, as in "ai-edge-litert 2.3.0".
        kernels: Which kernels.
        device: "cpu", or an Edge TPU such as "usb:0".
    """

    runtime: str
    kernels: str
    device: str


def planned(bundle: VerifiedBundle, *, device: str = "auto", fallback: bool = False) -> Planned:
    """Finds out what a bundle would run on, without importing a runtime.

    Args:
        bundle: From `edgekit.trust`.
        device: As `edgekit.load` takes it.
        fallback: Likewise.

    Raises:
        EdgekitError: Whatever `edgekit.load` raises where nothing can run it.
    """
    choice = _choose(bundle, device, fallback)
    return Planned(f"{choice.backend.name} {choice.backend.version}", choice.kernels, choice.device)


def _choose(bundle: VerifiedBundle, device: str, fallback: bool) -> Choice:
    manifest = bundle.manifest
    return choose(
        device,
        variants=bundle.members,
        runtime=manifest.runtime,
        targets=manifest.targets,
        fallback=fallback,
    )


def record_key(digest: str, runtime: str, kernels: str, device: str) -> str:
    """The name under which a device remembers that a bundle passed firewall and self-test.

    It passes once for each version of the runtime, whose kernels may differ, and of edgekit, whose firewall may.

    Args:
        digest: SHA-256 of the bundle, in hexadecimal.
        runtime: Package and version.
        kernels: Which kernels.
        device: What it ran on. The number of an Edge TPU on its bus does not count: they are alike.

    Returns:
        ASCII without blanks and slashes, such as "selftest.HEX.edgekit-0.1.0.ai-edge-litert-2.3.0.xnnpack.cpu".
    """
    parts = (
        "selftest",
        digest,
        f"edgekit-{__version__[:20]}",
        runtime[:60],
        kernels,
        device.partition(":")[0],
    )
    return ".".join(re.sub(r"[^A-Za-z0-9.+-]+", "-", part) for part in parts)
