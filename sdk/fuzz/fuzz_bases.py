"""Sound bundles of several kinds, under keys that are the same in every run: what the fuzzer starts from."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from edgekit.archive import write_archive
from edgekit.errors import BundleError
from edgekit.manifest import CalibrationRecord, Manifest, Preprocessing, TensorSpec
from edgekit.trust.envelope import MEDIA_TYPE, PAYLOAD_TYPE, SIGNATURE, signed_bytes
from edgekit.trust.keys import P256, P384, Curve
from edgekit.trust.policy import Trust
from edgekit.trust.private import PrivateKey
from edgekit.trust.statement import PREDICATE_TYPE, STATEMENT_TYPE

Members = dict[str, bytes]
NAME, EPOCH, TARGET = "cats", 3, "raspberry-pi-4"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class FixedKey(PrivateKey):
    """A key that is the same in every run, and signs the same way where cryptography can."""

    def __init__(self, number: int, curve: Curve = P256) -> None:
        super().__init__(
            ec.derive_private_key(number, getattr(ec, curve.cryptography)()), curve, f"key {number}"
        )

    def sign(self, message: bytes) -> bytes:
        chosen = getattr(hashes, self.public.curve.hash)()
        return self._key.sign(message, _ecdsa(chosen))


@cache
def _is_repeatable() -> bool:
    try:
        ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    except Exception:  # an older cryptography, or an OpenSSL without RFC 6979
        return False
    return True


def _ecdsa(chosen: hashes.HashAlgorithm) -> ec.ECDSA:
    return ec.ECDSA(chosen, deterministic_signing=True) if _is_repeatable() else ec.ECDSA(chosen)


MAKER, SECOND = FixedKey(1001), FixedKey(1002, P384)
STRANGER, REVOKED = FixedKey(1003), FixedKey(1004)
TRUST = Trust(
    keys=(MAKER.public, SECOND.public, REVOKED.public),
    revoked_keys=frozenset({REVOKED.public.fingerprint}),
    least_epoch=EPOCH,
    names=frozenset({NAME}),
    targets=frozenset({TARGET}),
)


def manifest_of(name: str = NAME, epoch: int = EPOCH, target: str = TARGET) -> Manifest:
    """A small manifest."""
    return Manifest(
        name=name,
        version="1.0.0",
        security_epoch=epoch,
        targets=(target,),
        inputs=(TensorSpec("x", (1, 2), "int8", 0.5, 0, None, Preprocessing("array", "float32")),),
        outputs=(TensorSpec("y", (1, 2), "int8", 0.5, 0),),
        labels=None,
        calibration=CalibrationRecord("two numbers", "0f" * 32, 1, 1, 0, "minmax"),
        recipe={},
        tools={},
        accuracy=None,
        exceptions=(),
        runtime={"model.tflite": {}},
        golden=None,
    )


def statement_of(members: Mapping[str, bytes]) -> dict[str, Any]:
    """What is signed, as the official signer has it."""
    listed = [name for name in sorted(members) if name != SIGNATURE]
    resources = [
        {"name": name, "algorithm": "sha256", "digest": sha256(members[name]).hexdigest()} for name in listed
    ]
    joined = b"".join(bytes.fromhex(resource["digest"]) for resource in resources)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "model", "digest": {"sha256": sha256(joined).hexdigest()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE],
            },
            "resources": resources,
        },
    }


def envelope_of(payload: bytes, signature: bytes, hint: str) -> dict[str, Any]:
    """``signature.json`` as JSON values."""
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": b64encode(signature).decode(), "keyid": ""}],
        },
    }


def seal(payload: bytes, key: PrivateKey) -> bytes:
    """``signature.json`` over a payload."""
    return json.dumps(envelope_of(payload, key.sign(signed_bytes(payload)), key.public.fingerprint)).encode()


def pack(members: Mapping[str, bytes]) -> bytes:
    """The archive of the members, sound where the writer takes them; else the bytes of a sound one with a lie."""
    try:
        return write_archive(members)
    except BundleError:
        fit = {name: content for name, content in members.items() if name.isascii() and "/" not in name}
        return write_archive({name: fit[name] for name in list(fit)[:1]}) + b"\0"


@dataclass(frozen=True, slots=True)
class Base:
    """A sound bundle."""

    members: Members
    payload: bytes
    key: PrivateKey
    trusted: bool

    @property
    def data(self) -> bytes:
        return write_archive(self.members)

    @property
    def signed(self) -> frozenset[str]:
        return frozenset({sha256(self.payload).hexdigest()}) if self.trusted else frozenset()


def _base(manifest: Manifest, key: PrivateKey, *, trusted: bool, more: Mapping[str, bytes] = {}) -> Base:
    members = {"model.tflite": b"\x1c\0\0\0TFL3" + bytes(24), "manifest.json": manifest.to_bytes(), **more}
    payload = json.dumps(statement_of(members)).encode()
    return Base({**members, SIGNATURE: seal(payload, key)}, payload, key, trusted)


@cache
def bases() -> tuple[Base, ...]:
    """What is mutated: mostly what would be accepted, and beside it what must not be."""
    return (
        _base(manifest_of(), MAKER, trusted=True),
        _base(manifest_of(epoch=4), MAKER, trusted=True, more={"report.json": b"{}\n"}),
        _base(manifest_of(), SECOND, trusted=True),
        _base(manifest_of(epoch=2), MAKER, trusted=True),
        _base(manifest_of(name="dogs"), MAKER, trusted=True),
        _base(manifest_of(target="coral-usb-accelerator"), MAKER, trusted=True),
        _base(manifest_of(), STRANGER, trusted=False),
        _base(manifest_of(), REVOKED, trusted=False),
    )


@cache
def everything_signed() -> frozenset[str]:
    """Payloads of all bases under a trusted key: a splice may bring another base's signature along."""
    return frozenset().union(*(base.signed for base in bases()))


@cache
def all_data() -> tuple[bytes, ...]:
    """The files of all bases."""
    return tuple(base.data for base in bases())


@cache
def words() -> tuple[str, ...]:
    """Strings that mean something somewhere."""
    digests = [sha256(content).hexdigest() for base in bases() for content in base.members.values()]
    return (
        "model.tflite", "MODEL.tflite", "manifest.json", "signature.json", "report.json", "../model.tflite", "/x",
        "a\\b", ".", "..", ".git/config", "sha256", "SHA256", "sha512", "blake2b", "files", "shards", "a" * 64,
        MEDIA_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3", PAYLOAD_TYPE, f"{PAYLOAD_TYPE};q=1",
        STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1", PREDICATE_TYPE, "https://slsa.dev/provenance/v1",
        NAME, "dogs", TARGET, "1.0.0", "digest", "name", "hint", "publicKey", "x509CertificateChain",
        *(key.public.fingerprint for key in (MAKER, SECOND, STRANGER, REVOKED)), *digests[:6],
    )  # fmt: skip
