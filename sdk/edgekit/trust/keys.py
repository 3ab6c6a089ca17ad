"""Public keys: ECDSA on P-256, P-384 or P-521, which are those of OpenSSF Model Signing's `key` method.

The curve and its hash come from the key alone; nothing in a bundle has a say in it.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

from edgekit.errors import BadSignatureError, KeyFileError

MAX_BYTES = 64 << 10
"""Of a key file: a PEM block of P-521 has 270 bytes, and some text may stand around it."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve, the hash that belongs to it, and the bytes before the point in a public key's DER (RFC 5480).

    Attributes:
        name: As people write it.
        word: As the command line has it.
        cryptography: The class of the curve in `cryptography`.
        hash: The class of the hash in `cryptography`.
        prefix: SubjectPublicKeyInfo up to the point.
        size: Bytes of the uncompressed point.
    """

    name: str
    word: str
    cryptography: str
    hash: str
    prefix: bytes = field(repr=False)
    size: int


P256 = Curve(
    "P-256",
    "p256",
    "SECP256R1",
    "SHA256",
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
    65,
)
P384 = Curve(
    "P-384",
    "p384",
    "SECP384R1",
    "SHA384",
    bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200"),
    97,
)
P521 = Curve(
    "P-521",
    "p521",
    "SECP521R1",
    "SHA512",
    bytes.fromhex("30819b301006072a8648ce3d020106052b8104002303818600"),
    133,
)
CURVES = (P256, P384, P521)

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s(.*?)\s-----END ([A-Z0-9 ]+)-----", re.DOTALL)
_HINT = "give the public key that `edgekit keygen` wrote, NAME.pub.pem"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that can check signatures.

    Attributes:
        curve: Where its point lies.
        point: Uncompressed, as X9.62 has it.
        origin: Where it came from, for messages; two equal keys from two files are equal.
        hints: The hints by which a bundle may name it: the fingerprint, and the SHA-256 of the file as it stood
            there, which differs from it by line ends or text around the key.

    Raises:
        KeyFileError: The point does not lie on the curve.
    """

    curve: Curve
    point: bytes
    origin: str = field(default="a key", compare=False)
    hints: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def __post_init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            ec.EllipticCurvePublicKey.from_encoded_point(getattr(ec, self.curve.cryptography)(), self.point)
        except ValueError:
            raise KeyFileError(
                f"{self.origin}: its point is not one of {self.curve.name}", hint=_HINT
            ) from None
        object.__setattr__(self, "hints", self.hints | {self.fingerprint})

    @classmethod
    def from_pem(cls, data: bytes, origin: str) -> PublicKey:
        """Reads the one public key in a PEM file.

        Args:
            data: The file; text around the block is allowed, a second block is not.
            origin: What the messages call the file.

        Raises:
            KeyFileError: It holds no public key, more than one block, or a key of another kind.
        """
        der = _read_block(data, origin)
        for curve in CURVES:
            if der.startswith(curve.prefix) and len(der) == len(curve.prefix) + curve.size:
                hint = hashlib.sha256(data).hexdigest()
                return cls(curve, der[len(curve.prefix) :], origin, frozenset((hint,)))
        names = ", ".join(curve.name for curve in CURVES)
        raise KeyFileError(
            f"{origin}: not an ECDSA key on one of {names}, named and uncompressed", hint=_HINT
        )

    @property
    def pem(self) -> bytes:
        """The key as PEM, in its one spelling."""
        text = b64encode(self.curve.prefix + self.point)
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        return b"\n".join([b"-----BEGIN PUBLIC KEY-----", *lines, b"-----END PUBLIC KEY-----", b""])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the key's PEM in hexadecimal: its identity, and the hint that signers write."""
        return hashlib.sha256(self.pem).hexdigest()

    def check(self, signature: bytes, message: bytes) -> None:
        """Checks a signature.

        Args:
            signature: ECDSA, as DER.
            message: What was signed, whole.

        Raises:
            BadSignatureError: It is not strict DER of two numbers above 0, or does not hold.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        _check_der(signature)
        curve = getattr(ec, self.curve.cryptography)()
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, self.point)
        try:
            key.verify(signature, message, ec.ECDSA(getattr(hashes, self.curve.hash)()))
        except InvalidSignature:
            raise BadSignatureError(
                "the signature does not hold: the list of members was changed, or another key signed it",
                hint="get the bundle anew from its maker, and do not run this one",
            ) from None


def _check_der(signature: bytes) -> None:
    """Refuses what lenient parsers of ECDSA signatures let pass."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    hint = "it was damaged, or made by a broken tool: let its maker sign it again"
    try:
        r, s = decode_dss_signature(signature)
        canonical = r > 0 and s > 0 and encode_dss_signature(r, s) == signature
    except ValueError:
        canonical = False
    if not canonical:
        raise BadSignatureError("the signature is not strict DER of two numbers above 0", hint=hint)


def _read_block(data: bytes, origin: str) -> bytes:
    """The DER in the one PEM block, which must be a public key."""
    blocks = _BLOCK.findall(data)
    if b"PRIVATE KEY-----" in data:
        hint = "give NAME.pub.pem; a private key never leaves the machine that signs"
        raise KeyFileError(f"{origin}: this is a private key, and devices need the public one", hint=hint)
    if len(blocks) != 1 or data.count(b"-----BEGIN") != 1:
        count = data.count(b"-----BEGIN")
        what = f"{count} PEM blocks, and a file holds one key" if count > 1 else "no PEM public key in it"
        raise KeyFileError(f"{origin}: {what}", hint=_HINT)
    ((label, body, end),) = blocks
    if label != b"PUBLIC KEY" or end != label:
        kind = label.decode().lower()
        hint = f"{_HINT}; or take the key out of it: openssl x509 -pubkey -noout -in FILE"
        raise KeyFileError(f"{origin}: a {kind}, and not a public key", hint=hint)
    try:
        return b64decode(b"".join(body.split()), validate=True)
    except ValueError:
        raise KeyFileError(f"{origin}: the key is not base64", hint=_HINT) from None
