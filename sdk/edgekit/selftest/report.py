"""What came out of a self-test."""

from __future__ import annotations

from dataclasses import asdict, dataclass


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
