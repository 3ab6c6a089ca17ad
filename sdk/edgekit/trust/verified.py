"""`VerifiedBundle`, which only a decision of this package makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, InitVar, field
from typing import TYPE_CHECKING, final

from edgekit.bundle import sha256_of
from edgekit_targets.frozen import Frozen, lean

if TYPE_CHECKING:
    from edgekit.bundle import UnverifiedBundle
    from edgekit.manifest import Manifest

_TOKEN = object()


@final
@lean
class VerifiedBundle(Frozen):
    """A bundle that a decision of this package lets run.

    Attributes:
        data: The whole file.
        members: Name -> content, as read-only views into `data`.
        manifest: What the bundle says of itself.
        signed: False where the user accepted it unsigned.
        signer: Fingerprint of the key that signed it; None where it is unsigned.
        payload_digest: SHA-256 of what was signed, in hexadecimal: the identity of a signed bundle. A signature is
            none, because whoever has one can make a second that also verifies. None where it is unsigned.
        checks: What was checked, one sentence a check, in that order.

    Raises:
        TypeError: Somebody else than this package tried to make one.
    """

    data: bytes = field(repr=False)
    members: Mapping[str, memoryview] = field(repr=False)
    manifest: Manifest
    _: KW_ONLY
    signed: bool
    signer: str | None = None
    payload_digest: str | None = None
    checks: tuple[str, ...] = field(default=(), repr=False)
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


def accept_signed(
    bundle: UnverifiedBundle, *, signer: str, payload_digest: str, checks: tuple[str, ...]
) -> VerifiedBundle:
    """Lets a bundle run that passed every check; `Trust.check` alone calls it.

    Args:
        bundle: What was checked.
        signer: Fingerprint of the key.
        payload_digest: SHA-256 of what it signed, in hexadecimal.
        checks: What was checked.
    """
    parts = (bundle.data, bundle.members, bundle.manifest)
    return VerifiedBundle(
        *parts, signed=True, signer=signer, payload_digest=payload_digest, checks=checks, token=_TOKEN
    )
