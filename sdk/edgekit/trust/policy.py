"""`Trust`: whom a device trusts, for what, and every check of a signed bundle in its order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgekit.errors import (
    DowngradeError,
    NotAllowedError,
    NotSignedError,
    RevokedError,
    TrustRequiredError,
    UntrustedKeyError,
)
from edgekit.strictjson import listed
from edgekit.trust.envelope import SIGNATURE, Envelope, read_envelope, signed_bytes
from edgekit.trust.fields import is_sha256
from edgekit.trust.keys import PublicKey
from edgekit.trust.statement import check_members, digests_of, read_statement
from edgekit.trust.verified import VerifiedBundle, accept_signed

if TYPE_CHECKING:
    from edgekit.bundle import UnverifiedBundle
    from edgekit.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom to trust, and for what.

    Attributes:
        keys: The pinned keys; any one of them may have signed.
        revoked_keys: Fingerprints of keys that are trusted no longer, whatever `keys` says.
        revoked_digests: Payload digests of bundles that must not run; `edgekit verify` prints a bundle's.
        least_epoch: Bundles of a lower security epoch are refused.
        targets: The bundle must be made for one of these devices; None allows every device.
        names: The manifest's name must be one of these; None allows every name.

    Raises:
        TrustRequiredError: There is no key, or an entry is not what it has to be and would never match.
    """

    keys: tuple[PublicKey, ...]
    revoked_keys: frozenset[str] = frozenset()
    revoked_digests: frozenset[str] = frozenset()
    least_epoch: int = 0
    targets: frozenset[str] | None = None
    names: frozenset[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", _merged(_keys(self.keys)))
        for field in ("revoked_keys", "revoked_digests", "targets", "names"):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, _texts(value, field))
        for field in ("revoked_keys", "revoked_digests"):
            for digest in getattr(self, field):
                if not is_sha256(digest):
                    message = f"{field}: {digest!r} is not a SHA-256 in lowercase hexadecimal"
                    raise TrustRequiredError(message, hint="edgekit verify prints both digests")
        if isinstance(self.least_epoch, bool) or not isinstance(self.least_epoch, int):
            raise TrustRequiredError(f"least_epoch must be a whole number, and is {self.least_epoch!r}")

    @classmethod
    def read(
        cls,
        *paths: str | os.PathLike[str],
        revoked_keys: Iterable[str] = (),
        revoked_digests: Iterable[str] = (),
        least_epoch: int = 0,
        targets: Iterable[str] | None = None,
        names: Iterable[str] | None = None,
    ) -> Trust:
        """Read the keys from files and folders.

        Args:
            paths: PEM files, or folders whose ``*.pem`` are all trusted.
            revoked_keys: As the attribute of that name; so are the others.
            revoked_digests: See there.
            least_epoch: See there.
            targets: See there.
            names: See there.

        Raises:
            KeyFileError: There is none, or one of them cannot be used.
            TrustRequiredError: As for the constructor.
        """
        from edgekit.trust.sources import read_keys

        return cls(
            keys=read_keys(paths),
            revoked_keys=_texts(revoked_keys, "revoked_keys"),
            revoked_digests=_texts(revoked_digests, "revoked_digests"),
            least_epoch=least_epoch,
            targets=None if targets is None else _texts(targets, "targets"),
            names=None if names is None else _texts(names, "names"),
        )

    def check(self, bundle: UnverifiedBundle) -> VerifiedBundle:
        """Check that a bundle is signed by a trusted key, unchanged, and allowed.

        The key is chosen among the pinned ones, its signature must hold, and only then is what it signed parsed.

        Args:
            bundle: What `read_unverified` gave.

        Returns:
            The same bytes, which may now run.

        Raises:
            NotSignedError: It has no signature.
            BadSignatureError: The signature is not soundly built, or does not hold.
            UntrustedKeyError: None of the pinned keys signed it.
            RevokedError: The key or the bundle is revoked.
            BadManifestError: The list of members that was signed is not soundly built.
            FileMismatchError: The members are not exactly those that were signed.
            NotAllowedError: It is for other targets, or has another name.
            DowngradeError: Its security epoch is below `least_epoch`.
        """
        if SIGNATURE not in bundle.members:
            raise NotSignedError(
                "keys are trusted, and this bundle is not signed",
                hint="let its maker sign it: edgekit sign BUNDLE --key FILE",
            )
        envelope = read_envelope(bundle.members[SIGNATURE])
        key = self._key_of(envelope)
        key.check(envelope.signature, signed_bytes(envelope.payload))
        identity = self._identity_of(envelope)
        digests = digests_of(bundle.members)
        check_members(read_statement(envelope.payload), digests)
        self._check_limits(bundle.manifest)
        checks = (
            f"one signature, by a trusted key: {key.origin}, fingerprint {key.fingerprint}",
            f"the signature holds: ECDSA on {key.curve.name} with {key.curve.hash}",
            "neither the key nor the bundle is revoked",
            f"all {len(digests)} members, and no other, are those that were signed",
            *self._limits_passed(bundle.manifest),
        )
        return accept_signed(bundle, signer=key.fingerprint, payload_digest=identity, checks=checks)

    def _key_of(self, envelope: Envelope) -> PublicKey:
        """The pinned key that the envelope names; a revoked one is refused before anything is computed with it."""
        named = [key for key in self.keys if envelope.hint in key.hints]
        # Of two keys that answer to one hint, the one whose fingerprint it is.
        key = max(named, key=lambda key: key.fingerprint == envelope.hint, default=None)
        if envelope.hint in self.revoked_keys or (key is not None and key.fingerprint in self.revoked_keys):
            raise RevokedError(
                f"the key that signed it is revoked: {envelope.hint}",
                hint="ask its maker for a bundle signed with the new key",
            )
        if key is None:
            trusted = ", ".join(f"{key.fingerprint[:16]}... ({key.origin})" for key in self.keys)
            raise UntrustedKeyError(
                f"it is signed with a key that is not trusted: {envelope.hint}",
                hint=f"trusted here: {trusted}; if the maker has a new key, get it from them by a safe way",
            )
        return key

    def _identity_of(self, envelope: Envelope) -> str:
        identity = hashlib.sha256(envelope.payload).hexdigest()
        if identity in self.revoked_digests:
            raise RevokedError(
                f"this bundle is revoked: payload digest {identity}", hint="ask its maker for a newer one"
            )
        return identity

    def _check_limits(self, manifest: Manifest) -> None:
        if self.names is not None and manifest.name not in self.names:
            raise NotAllowedError(
                f"its name is {manifest.name!r}, which is not allowed here",
                hint=f"allowed: {', '.join(sorted(self.names))}",
            )
        if self.targets is not None and self.targets.isdisjoint(manifest.targets):
            raise NotAllowedError(
                f"it is made for {listed(manifest.targets)}, which is not allowed here",
                hint=f"allowed: {', '.join(sorted(self.targets))}",
            )
        refuse_downgrade(manifest, self.least_epoch)

    def _limits_passed(self, manifest: Manifest) -> tuple[str, ...]:
        said = []
        if self.names is not None:
            said.append(f"its name, {manifest.name}, is allowed")
        if self.targets is not None:
            said.append(f"its targets, {', '.join(manifest.targets)}, are allowed")
        if self.least_epoch > 0:
            said.append(f"its security epoch, {manifest.security_epoch}, is at least {self.least_epoch}")
        return tuple(said)


def refuse_downgrade(manifest: Manifest, floor: int) -> None:
    """Refuses a bundle whose security epoch is below a floor.

    Args:
        manifest: Of a bundle whose signature holds.
        floor: The least epoch that may run.

    Raises:
        DowngradeError: It is below.
    """
    if manifest.security_epoch < floor:
        raise DowngradeError(
            f"{manifest.name} {manifest.version} has security epoch {manifest.security_epoch}, and at least {floor} "
            "is required here",
            hint="install a newer bundle; an older version of the same epoch would be accepted",
        )


def _keys(value: object) -> tuple[PublicKey, ...]:
    keys = tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else ()
    if not keys or not all(isinstance(key, PublicKey) for key in keys):
        raise TrustRequiredError(
            "a Trust needs at least one public key, as a sequence of PublicKey",
            hint='read them from files: edgekit.Trust.read("release.pub.pem")',
        )
    return keys


def _merged(keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """Each key once, with the hints of all files that it was in: they may differ by their line ends."""
    hints: dict[PublicKey, frozenset[str]] = {}
    for key in keys:
        hints[key] = hints.get(key, frozenset()) | key.hints
    return tuple(replace(key, hints=merged) for key, merged in hints.items())


def _texts(value: object, field: str) -> frozenset[str]:
    """A set of strings; one string alone would pass for a set of its letters, and then match nothing."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TrustRequiredError(f"{field} must be a set of strings, and is {value!r}")
    texts = frozenset(value)
    if not all(isinstance(text, str) for text in texts):
        raise TrustRequiredError(f"{field} must hold strings only")
    return texts
