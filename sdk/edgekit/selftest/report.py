"""What a self-test will run on, what came out, and the name that its success is remembered by."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Planned:
    """What a bundle would run on here, found without importing a runtime.

    Attributes:
        runtime: Package and version, as in "ai-edge-litert 2.3.0".
        kernels: Which kernels.
        device: "cpu", or an Edge TPU such as "usb:0".
    """

    runtime: str
    kernels: str
    device: str


@dataclass(frozen=True, slots=True)
class SelfTestReport:
    """A self-test that was passed, or a bundle with nothing to test.

    Attributes:
        tested: False where the bundle has no golden inputs.
        inputs: How many golden inputs were run.
        runtime: Package and version of what ran them.
        kernels: Which kernels.
        device: "cpu", or an Edge TPU such as "usb:0".
        exact: Whether every output had to be exactly the recorded one.
        tolerance: Largest difference that is no fault, in steps of the stored integers; 0 where exact.
        largest: Largest difference that was seen.
        sandbox: The layers that held the child, such as "landlock abi 4", "no_new_privs", "rlimits".
        ms: From starting the child to its end.
    """

    tested: bool
    inputs: int
    runtime: str
    kernels: str
    device: str
    exact: bool
    tolerance: int
    largest: int
    sandbox: tuple[str, ...]
    ms: float

    @property
    def sentence(self) -> str:
        """One line for people."""
        if not self.tested:
            return "nothing to test: the bundle has no golden inputs"
        count = "1 golden input" if self.inputs == 1 else f"{self.inputs} golden inputs"
        where = f"{self.runtime} ({self.kernels}) on {self.device}, {self.ms:.0f} ms, in a child with "
        how = (
            "answered exactly as recorded"
            if self.exact
            else f"answered within {self.largest} of {self.tolerance} steps allowed"
        )
        return f"{count} {how}: {where}{', '.join(self.sandbox) or 'no sandbox'}"

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return asdict(self) | {"sandbox": list(self.sandbox)}


def record_key(digest: str, runtime: str, kernels: str, device: str) -> str:
    """The name under which a device remembers that a bundle passed: once a bundle and version of the runtime.

    Args:
        digest: SHA-256 of the bundle, in hexadecimal.
        runtime: Package and version.
        kernels: Which kernels.
        device: What it ran on. The number of an Edge TPU on its bus does not count: they are alike.

    Returns:
        ASCII without blanks and slashes, such as "selftest.HEX.ai-edge-litert-2.3.0.xnnpack.cpu".
    """
    parts = ("selftest", digest, runtime, kernels, device.partition(":")[0])
    return ".".join(re.sub(r"[^A-Za-z0-9.+-]+", "-", part)[:100] for part in parts)
