"""Whether a bundle may run: the only place where a `VerifiedBundle` comes from.

Everything here but `sources` and the commands is pure: bytes in, a decision or an error out. This module imports
neither cryptography nor what needs it: a bundle that runs unsigned does not pay for it.

::

    envelope    the Sigstore bundle and the DSSE envelope in ``signature.json``
    statement   the in-toto statement within: every member with its digest
    keys        public keys, their fingerprints, and what a signature must be
    policy      `Trust`: pinned keys, what is revoked and allowed, and every check in its order
    signing     from a bundle and a key to a signed bundle
    sources     files and folders of keys, read into a `Trust`
    private     private keys on the workstation; ``pkcs11`` for those on a token
"""

from __future__ import annotations

import os
import warnings
from enum import Enum
from typing import TYPE_CHECKING

from edgekit.errors import TrustRequiredError
from edgekit.trust.verified import VerifiedBundle, accept_unsigned

if TYPE_CHECKING:
    from edgekit.bundle import UnverifiedBundle
    from edgekit.trust.policy import Trust

__all__ = ["UNSIGNED", "Trust", "UnsignedBundleWarning", "VerifiedBundle", "accept_unsigned", "resolve"]


class Unsigned(Enum):
    """The type of `UNSIGNED`; an enum, so that the one member stays itself when copied or pickled."""

    UNSIGNED = "unsigned"

    def __repr__(self) -> str:
        return "edgekit.UNSIGNED"


UNSIGNED = Unsigned.UNSIGNED
"""What ``trust=`` is given by whoever runs a bundle although nothing shows where it comes from."""


class UnsignedBundleWarning(UserWarning):
    """A bundle runs although nothing shows who made it."""


_UNCHECKED = (
    "write out that it runs unchecked: --unsigned on the command line, trust=edgekit.UNSIGNED in Python"
)


def resolve(bundle: UnverifiedBundle, trust: object, *, stacklevel: int = 2) -> VerifiedBundle:
    """Decides by what the user gave as ``trust=``.

    Args:
        bundle: What `read_unverified` gave.
        trust: Path of a key file or of a folder of keys, a `Trust`, `UNSIGNED`, or None where nothing was given.
        stacklevel: Which caller the warning points at, counted from 1 for this function.

    Raises:
        TrustRequiredError: `trust` is None, or nothing that says whom to trust.
        KeyFileError: There is no such key file, or it cannot be used.
        TrustError: The bundle fails a check; see `Trust.check`.

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
    return _trust_of(trust).check(bundle)


def _trust_of(trust: object) -> Trust:
    from edgekit.trust.policy import Trust

    if isinstance(trust, Trust):
        return trust
    if isinstance(trust, (str, os.PathLike)):
        return Trust.read(trust)
    raise TrustRequiredError(
        f"trust= takes a key file, a folder of keys or an edgekit.Trust, and got {type(trust).__name__}",
        hint=f"give the path of the maker's public key, or {_UNCHECKED}",
    )


def __getattr__(name: str) -> object:
    """Import `Trust` on first use: it needs cryptography (PEP 562)."""
    if name != "Trust":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from edgekit.trust.policy import Trust

    return Trust
