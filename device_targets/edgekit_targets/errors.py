"""The root of every error that edgekit raises on purpose, and the errors of the ground floor."""

from __future__ import annotations

from typing import ClassVar


class EdgekitError(Exception):
    """An expected refusal: it says what is wrong and, where that is known, what to do about it.

    Attributes:
        hint: One sentence with the remedy, or None. The command line prints it below the message.
        exit_code: What the command line ends with: 1 for a refusal, 3 for a contract that was not met.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UnknownTargetError(EdgekitError):
    """No device in the catalogue has that name."""


class InvalidTargetError(EdgekitError):
    """A device file breaks the schema: an unknown key, a missing source, an impossible number."""


class MalformedModelError(EdgekitError):
    """The bytes are not a structurally sound .tflite flatbuffer."""
