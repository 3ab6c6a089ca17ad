"""Whether the parts of edgekit that a workstation needs are installed."""

from __future__ import annotations

from importlib.util import find_spec

from edgekit.errors import MissingExtraError

NEEDED_BY_CONVERT = ("numpy", "tensorflow", "ai_edge_litert", "PIL")


def require_convert() -> None:
    """Refuses to begin a conversion that could not end.

    Raises:
        MissingExtraError: A package of the extra "convert" is not installed.
    """
    if not all(find_spec(package) for package in NEEDED_BY_CONVERT):
        raise MissingExtraError("edgekit convert", "convert")
