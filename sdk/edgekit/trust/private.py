"""Private keys on the workstation: made, written, read, and used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.errors import KeyFileError
from edgekit.trust.keys import CURVES, Curve, PublicKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

LEAST_PASSPHRASE = 12
"""Characters of a passphrase: PKCS#8 as cryptography writes it stretches it by 2,048 rounds of PBKDF2 alone."""

_MADE = "give the private key that `edgekit keygen` wrote, NAME.key.pem"


class PrivateKey:
    """A private key in the memory of this process.

    Attributes:
        public: The key that checks what this one signs.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, curve: Curve, origin: str) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self._key = key
        self.public = PublicKey(curve, point, origin)

    @classmethod
    def generate(cls, curve: Curve) -> PrivateKey:
        """Makes a new key from the operating system's random numbers."""
        from cryptography.hazmat.primitives.asymmetric import ec

        return cls(ec.generate_private_key(getattr(ec, curve.cryptography)()), curve, "a new key")

    @classmethod
    def from_pem(cls, data: bytes, passphrase: bytes | None, origin: str) -> PrivateKey:
        """Reads a private key.

        Args:
            data: A PEM file: PKCS#8, encrypted or not, or what OpenSSL wrote before.
            passphrase: None where the key is not encrypted.
            origin: What the messages call the file.

        Raises:
            KeyFileError: It is no private key of a known curve, or the passphrase is missing or wrong.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        if b"PRIVATE KEY-----" not in data:
            raise KeyFileError(f"{origin}: there is no private key in it", hint=_MADE)
        try:
            key = load_pem_private_key(data, passphrase)
        except TypeError:  # cryptography's word for a passphrase that is missing, or not needed
            if passphrase is None:
                hint = "--passphrase-file or --passphrase-env gives one; without them it is asked for"
                raise KeyFileError(f"{origin}: the key needs a passphrase", hint=hint) from None
            message = f"{origin}: the key is not encrypted, and a passphrase was given"
            hint = "leave --passphrase-file or --passphrase-env out"
            raise KeyFileError(message, hint=hint) from None
        except (ValueError, UnsupportedAlgorithm):
            what = (
                "is damaged"
                if passphrase is None
                else "cannot be unlocked: the passphrase is wrong, or it is damaged"
            )
            raise KeyFileError(f"{origin}: the key {what}", hint=_MADE) from None
        for curve in CURVES:
            if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(
                key.curve, getattr(ec, curve.cryptography)
            ):
                return cls(key, curve, origin)
        names = ", ".join(curve.name for curve in CURVES)
        raise KeyFileError(f"{origin}: not an ECDSA key on one of {names}", hint=_MADE)

    def to_pem(self, passphrase: bytes | None) -> bytes:
        """The key as PKCS#8 in PEM, encrypted where a passphrase is given.

        Raises:
            KeyFileError: The passphrase is too short or too long.
        """
        from cryptography.hazmat.primitives.serialization import (
            BestAvailableEncryption,
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(_fit(passphrase))
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature over the hash that belongs to the curve, as DER."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return self._key.sign(message, ec.ECDSA(getattr(hashes, self.public.curve.hash)()))


def is_encrypted(data: bytes) -> bool:
    """Whether a PEM file says that its key is encrypted, in PKCS#8 or in OpenSSL's older way."""
    return b"BEGIN ENCRYPTED PRIVATE KEY-----" in data or b"Proc-Type: 4,ENCRYPTED" in data


def _fit(passphrase: bytes) -> bytes:
    length = len(passphrase.decode("utf-8", "replace"))
    if not LEAST_PASSPHRASE <= length <= 1000:
        raise KeyFileError(
            f"the passphrase has {length} character{'s' * (length != 1)}, and must have {LEAST_PASSPHRASE} to 1,000",
            hint="take four or five words that nobody else would put together",
        )
    return passphrase
