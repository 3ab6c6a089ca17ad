"""Whether a bundle may run: pure decisions, and the only place where a `VerifiedBundle` comes from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from enum import Enum
from typing import final

from edgekit.bundle import UnverifiedBundle, sha256_of
from edgekit.errors import TrustNotAvailableError, TrustRequiredError
from edgekit.manifest import Manifest


class Unsigned(Enum):
    """The type of `UNSIGNED`; an enum, so that the one member stays itself when copied or pickled."""

    UNSIGNED = "unsigned"

    def __repr__(self) -> str:
        return "edgekit.UNSIGNED"


UNSIGNED = Unsigned.UNSIGNED
"""What ``trust=`` is given by whoever runs a bundle although nothing shows where it comes from."""


class UnsignedBundleWarning(UserWarning):
    """A bundle runs although nothing shows who made it."""


_TOKEN = object()
_UNCHECKED = (
    "write out that it runs unchecked: --unsigned on the command line, trust=edgekit.UNSIGNED in Python"
)


@final
@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """A bundle that a decision of this module lets run.

    Attributes:
        data: The whole file.
        members: Name -> content, as read-only views into `data`.
        manifest: What the bundle says of itself.
        signed: False where the user accepted it unsigned.

    Raises:
        TypeError: Somebody else than this module tried to make one.
    """

    data: bytes = field(repr=False)
    members: Mapping[str, memoryview] = field(repr=False)
    manifest: Manifest
    signed: bool
    token: InitVar[object]

    def __post_init__(self, token: object) -> None:
        if token is not _TOKEN:
            raise TypeError("a VerifiedBundle comes from edgekit.trust only: read_unverified, then resolve")

    def __init_subclass__(cls) -> None:
        raise TypeError("a VerifiedBundle has no subclasses: one could skip the check of where it comes from")

    @property
    def digest(self) -> str:
        """SHA-256 of the file in hexadecimal; computed anew at each call."""
        return sha256_of(self.data)


def accept_unsigned(bundle: UnverifiedBundle) -> VerifiedBundle:
    """Lets a bundle run without any check of its origin; call it only where the user wrote UNSIGNED."""
    return VerifiedBundle(bundle.data, bundle.members, bundle.manifest, signed=False, token=_TOKEN)


def resolve(bundle: UnverifiedBundle, trust: object, *, stacklevel: int = 2) -> VerifiedBundle:
    """Decides by what the user gave as ``trust=``.

    Args:
        bundle: What `read_unverified` gave.
        trust: `UNSIGNED`, or None where nothing was given; keys come with a later release.
        stacklevel: Which caller the warning points at, counted from 1 for this function.

    Raises:
        TrustRequiredError: `trust` is None.
        TrustNotAvailableError: `trust` is something else than UNSIGNED.

    Warns:
        UnsignedBundleWarning: The bundle is accepted unsigned.
    """
    if trust is UNSIGNED:
        message = "this bundle runs unsigned: nothing shows who made it, or that it is still what was made"
        warnings.warn(message, UnsignedBundleWarning, stacklevel=stacklevel)
        return accept_unsigned(bundle)
    if trust is None:
        raise TrustRequiredError(
            "nothing says whether this bundle can be trusted",
            hint=f"give the maker's key (--trust KEY), or {_UNCHECKED}",
        )
    raise TrustNotAvailableError("checking signatures is not part of this release", hint=_UNCHECKED)
