"""``signature.json``: a Sigstore bundle v0.3 around a DSSE envelope, strictly one of the `key` method.

https://github.com/sigstore/protobuf-specs (Bundle) and https://github.com/secure-systems-lab/dsse (Envelope, and the
pre-authentication encoding that is signed). Nothing of an envelope is authenticated but its payload and its payload
type, so nothing else in it is ever used: the hint only picks among keys that are trusted anyway.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, field

from edgekit import strictjson
from edgekit.errors import BadSignatureError
from edgekit.trust.fields import Reader, parse

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
SIGNATURE = "signature.json"

MAX_BYTES = 64 << 10
"""Of ``signature.json``: fifteen members of the longest names need 9 KB."""

_HINT = "it was damaged, or made by another tool: get the bundle anew, or let its maker sign it again"
_READ = Reader(SIGNATURE, BadSignatureError, _HINT)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What one key signed.

    Attributes:
        hint: Which key; never trusted, only looked up.
        payload: The signed bytes. They must not be parsed before the signature holds.
        signature: As it stands there; nothing about it is checked yet.
    """

    hint: str
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding of a payload: what the signature is over."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def read_envelope(data: bytes | memoryview) -> Envelope:
    """Reads ``signature.json``.

    Args:
        data: The member.

    Raises:
        BadSignatureError: It is too large, not strict JSON, of another kind or method, or has another number of
            signatures than one.
    """
    if len(data) > MAX_BYTES:
        raise _READ.refuse(f"{len(data):,} bytes; at most {MAX_BYTES:,} are accepted")
    document = parse(bytes(data), SIGNATURE, BadSignatureError, _HINT)
    bundle = _READ.mapping(document, "the document", ("mediaType", "verificationMaterial", "dsseEnvelope"))
    _READ.exactly(bundle["mediaType"], "mediaType", MEDIA_TYPE)
    hint = _read_hint(bundle["verificationMaterial"])
    envelope = _READ.mapping(bundle["dsseEnvelope"], "dsseEnvelope", ("payload", "payloadType", "signatures"))
    _READ.exactly(envelope["payloadType"], "payloadType", PAYLOAD_TYPE)
    signature = _READ.mapping(
        _READ.only(envelope["signatures"], "signatures"), "signatures[0]", ("sig",), ("keyid",)
    )
    _READ.exactly(signature.get("keyid", ""), "signatures[0].keyid", "")
    return Envelope(
        hint, _decode(envelope["payload"], "payload"), _decode(signature["sig"], "signatures[0].sig")
    )


def _read_hint(value: object) -> str:
    """The hint of a public key; certificates, and keys that come along, are no trust that anyone pinned."""
    where = "verificationMaterial"
    material = _READ.mapping(value, where, ("publicKey",), ("tlogEntries",))
    if _READ.sequence(material.get("tlogEntries", []), f"{where}.tlogEntries"):
        raise _READ.refuse("it names entries of a transparency log, and this method has none")
    key = _READ.mapping(material["publicKey"], f"{where}.publicKey", ("hint",))
    return _READ.sha256(key["hint"], f"{where}.publicKey.hint")


def _decode(value: object, where: str) -> bytes:
    """Base64 in its one spelling: the standard alphabet, padded, no bits left over."""
    text = _READ.text(value, where)
    try:
        decoded = b64decode(text, validate=True)
    except ValueError:
        raise _READ.refuse(f"{where} is not base64") from None
    if not decoded or b64encode(decoded).decode() != text:
        raise _READ.refuse(f"{where} is not base64 in its one spelling")
    return decoded


def write_envelope(envelope: Envelope) -> bytes:
    """Writes ``signature.json``; `read_envelope` gives the envelope back."""
    return strictjson.dump(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": envelope.hint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": b64encode(envelope.payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": b64encode(envelope.signature).decode(), "keyid": ""}],
            },
        }
    )
