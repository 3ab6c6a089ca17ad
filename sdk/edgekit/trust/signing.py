"""From a bundle and a key to a signed bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from edgekit.bundle import read_unverified, write_bundle
from edgekit.errors import AlreadySignedError
from edgekit.trust.envelope import SIGNATURE, Envelope, signed_bytes, write_envelope
from edgekit.trust.keys import PublicKey
from edgekit.trust.policy import Trust
from edgekit.trust.statement import Statement, digests_of, write_statement
from edgekit.trust.verified import VerifiedBundle


class Signer(Protocol):
    """A private key, wherever it is kept."""

    @property
    def public(self) -> PublicKey:
        """The key that checks what this one signs."""

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature over the hash that belongs to the curve, as DER."""


def sign_members(members: Mapping[str, bytes | memoryview], subject: str, signer: Signer) -> bytes:
    """Signs members.

    Args:
        members: Name -> content; a ``signature.json`` among them is left out of account.
        subject: What to call the model.
        signer: The key.

    Returns:
        ``signature.json``.
    """
    payload = write_statement(Statement(subject, digests_of(members)))
    signature = signer.sign(signed_bytes(payload))
    return write_envelope(Envelope(signer.public.fingerprint, payload, signature))


def sign_bundle(data: bytes, signer: Signer, *, replace: bool = False) -> VerifiedBundle:
    """Signs a bundle, and checks the result as a device will.

    Args:
        data: The .edgekit file.
        signer: The key.
        replace: Whether a signature that is there already may go.

    Returns:
        The signed bundle; its `data` is the new file.

    Raises:
        BundleError: It is not a bundle.
        AlreadySignedError: It has a signature, and `replace` is False.
        BadSignatureError: The key gives signatures that do not hold.
    """
    bundle = read_unverified(data)
    if SIGNATURE in bundle.members and not replace:
        raise AlreadySignedError(
            "this bundle is signed already",
            hint="to sign it with your key in place of the other, write --replace",
        )
    members = {name: content for name, content in bundle.members.items() if name != SIGNATURE}
    members[SIGNATURE] = memoryview(sign_members(members, bundle.manifest.name, signer))
    return Trust(keys=(signer.public,)).check(read_unverified(write_bundle(members)))
