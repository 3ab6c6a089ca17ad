"""What there is to say of a machine: one small record a finding, with the lines that mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edgekit_targets.install import Step


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    FAULT = "fault"  # something that is there, or that every bundle needs, does not work
    WARNING = "warning"  # it works, and far worse than it could, or something is likely to fail later
    NOTE = "note"  # good to know


class Kind(StrEnum):
    """What was found; the words of ``edgekit doctor --json``."""

    NO_RUNTIME = "no-runtime"
    NO_WHEEL = "no-wheel"
    MODEL_FAILS = "model-fails"
    NUMPY_MISSING = "numpy-missing"
    NUMPY_TOO_NEW = "numpy-too-new"
    PYTHON_32_BIT = "python-32-bit"
    RUNTIME_SLOW = "runtime-slow"
    RUNTIME_BULKY = "runtime-bulky"
    ONLY_TENSORFLOW = "only-tensorflow"
    CRYPTOGRAPHY_MISSING = "cryptography-missing"
    CRYPTOGRAPHY_OLD = "cryptography-old"
    PILLOW_MISSING = "pillow-missing"
    PILLOW_OLD = "pillow-old"
    LIBEDGETPU_MISSING = "libedgetpu-missing"
    LIBEDGETPU_FOREIGN = "libedgetpu-foreign"
    LIBEDGETPU_UNKNOWN = "libedgetpu-unknown"
    LIBUSB_MISSING = "libusb-missing"
    PAIR_FAILS = "pair-fails"
    PAIR_CRASHES = "pair-crashes"
    PAIR_TOO_NEW = "pair-too-new"
    PAIR_UNCONFIRMED = "pair-unconfirmed"
    PAIR_UNKNOWN = "pair-unknown"
    NO_DRIVER = "no-driver"
    NO_UDEV_RULE = "no-udev-rule"
    NOT_IN_GROUP = "not-in-group"
    LOGIN_AGAIN = "login-again"
    NOT_OPENABLE = "not-openable"
    NO_DEVICE_FILE = "no-device-file"
    ON_USB_2 = "on-usb-2"
    NEVER_USED = "never-used"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know, and how to mend it.

    Attributes:
        kind: What was found.
        severity: How bad it is.
        sentence: It in words.
        steps: Lines for a shell that mend it, in order; empty where none does.
        advice: What no line does: where to plug it in, or what to do after the lines. Never None without steps.
    """

    kind: Kind
    severity: Severity
    sentence: str
    steps: tuple[Step, ...] = ()
    advice: str | None = None

    def to_json(self) -> dict[str, object]:
        """It as JSON types."""
        return {
            "kind": self.kind.value,
            "severity": self.severity.value,
            "sentence": self.sentence,
            "steps": [{"line": step.line, "why": step.why} for step in self.steps],
            "advice": self.advice,
        }
