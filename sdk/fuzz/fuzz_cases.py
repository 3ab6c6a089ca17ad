"""Every class of mutation of a bundle, and cases drawn from them by a seed.

A case also says which payloads the trusted keys have really signed, because a mutation may be signed anew: by a
trusted key (whose owner is careless or was tricked), by a stranger's, or by a revoked one.
"""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from fuzz_bases import (
    MAKER,
    NAME,
    P256_ORDER,
    REVOKED,
    SECOND,
    STRANGER,
    TARGET,
    Base,
    Members,
    all_data,
    bases,
    everything_signed,
    pack,
    seal,
    statement_of,
    words,
)
from fuzz_bytes import mutate_bytes, mutate_json, spell_json

from edgekit.trust.envelope import SIGNATURE
from edgekit.trust.private import PrivateKey


@dataclass(frozen=True, slots=True)
class Case:
    """One file to show to the verifier.

    Attributes:
        kind: The class of mutation.
        data: The file.
        signed: SHA-256 of every payload that a trusted key has signed.
    """

    kind: str
    data: bytes
    signed: frozenset[str]


# Offsets and sizes of the fields of PKWARE's records behind their signatures.
_LOCAL = ((4, 2), (6, 2), (8, 2), (10, 2), (12, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))
_CENTRAL = tuple((at, 2) for at in (4, 6, 8, 10, 12, 14, 28, 30, 32, 34, 36)) + tuple(
    (at, 4) for at in (16, 20, 24, 38, 42)
)
_END = ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))
_RECORDS = ((b"PK\3\4", _LOCAL), (b"PK\1\2", _CENTRAL), (b"PK\5\6", _END))


def _zip_fields(dice: Random, base: Base) -> bytes:
    data = bytearray(base.data)
    for _ in range(dice.choice((1, 1, 2, 3))):
        mark, fields = dice.choice(_RECORDS)
        starts = [at for at in range(len(data)) if data.startswith(mark, at)]
        if not starts:
            continue
        start, (offset, size) = dice.choice(starts), dice.choice(fields)
        if start + offset + size > len(data):
            continue
        layout = struct.Struct("<H" if size == 2 else "<I")
        (old,) = layout.unpack_from(data, start + offset)
        most = (1 << 8 * size) - 1
        new = dice.choice((0, 1, old ^ 1, old + 1, old - 1, most, most >> 1, len(data), dice.randrange(most)))
        layout.pack_into(data, start + offset, new & most)
        if dice.random() < 0.3:  # the same lie in every such record
            for other in starts:
                if other + offset + size <= len(data):
                    layout.pack_into(data, other + offset, new & most)
    return bytes(data)


def _whole_bytes(dice: Random, base: Base) -> bytes:
    return mutate_bytes(dice, base.data, all_data())


def _members(dice: Random, base: Base) -> Members:
    members = dict(base.members)
    name = dice.choice(sorted(members))
    other = dice.choice(bases())
    kind = dice.randrange(6)
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[dice.choice(("report.json", "forecast.json", "reference.npz", "golden.npz", "x"))] = (
            dice.randbytes(3)
        )
    elif kind == 2:
        members[name] = other.members.get(name, b"")
    elif kind == 3:
        names = sorted(members)
        members[names[0]], members[names[-1]] = members[names[-1]], members[names[0]]
    elif kind == 4:
        members[dice.choice((name.upper(), name + "x", "report.json", "model_edgetpu.tflite"))] = members.pop(
            name
        )
    else:
        members[name] = mutate_bytes(dice, members[name], (other.members.get(name, b""),))
    return members


def _manifest_bytes(dice: Random, base: Base) -> Members:
    others = [each.members["manifest.json"] for each in bases()]
    return {**base.members, "manifest.json": mutate_bytes(dice, base.members["manifest.json"], others)}


_PLAUSIBLE: dict[str, tuple[Any, ...]] = {
    "name": (NAME, "dogs", "Cats", "c\u0430ts"),
    "version": ("0.9.0", "2.0.0-rc.1", "1.0"),
    "security_epoch": (0, 2, 3, 4, 2**63 - 1, 2**63),
    "targets": ([TARGET], ["coral-usb-accelerator"], [TARGET, "coral-usb-accelerator"], []),
    "labels": (["a", "b"], ["a", "a"], None),
    "recipe": ({"effort": "fast"}, {"x": [[[[1]]]]}),
    "tools": ({"edgekit": "0.1.0"},),
    "exceptions": (["model input 0 is int32"],),
    "runtime": ({"model.tflite": {"litert": "9.9.9"}}, {"model.tflite": {}, "model_edgetpu.tflite": {}}),
}


def _manifest_json(dice: Random, base: Base) -> Members:
    document = json.loads(base.members["manifest.json"])
    if dice.random() < 0.4:  # what a manifest may well say, though not this one
        key = dice.choice(sorted(_PLAUSIBLE))
        document[key] = dice.choice(_PLAUSIBLE[key])
    else:
        document = mutate_json(dice, document, words())
    text = spell_json(dice, document)
    if dice.random() < 0.8:  # in the manifest's one spelling, so that it gets beyond the parser
        text = (
            json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False).encode("utf-8", "replace")
            + b"\n"
        )
    return {**base.members, "manifest.json": text}


def _with_signature(base: Base, text: bytes) -> bytes:
    return pack({**base.members, SIGNATURE: text})


def _signature_bytes(dice: Random, base: Base) -> bytes:
    others = [each.members[SIGNATURE] for each in bases()]
    return _with_signature(base, mutate_bytes(dice, base.members[SIGNATURE], others))


def _envelope_json(dice: Random, base: Base) -> bytes:
    document = mutate_json(dice, json.loads(base.members[SIGNATURE]), words())
    return _with_signature(base, spell_json(dice, document))


def _payload_under_old_signature(dice: Random, base: Base) -> bytes:
    document = json.loads(base.members[SIGNATURE])
    if dice.random() < 0.5:
        payload = mutate_bytes(dice, base.payload, [each.payload for each in bases()])
    else:
        payload = spell_json(dice, mutate_json(dice, json.loads(base.payload), words()))
    document["dsseEnvelope"]["payload"] = b64encode(payload).decode()
    return _with_signature(base, json.dumps(document).encode())


def _signature_der(dice: Random, base: Base) -> bytes:
    document = json.loads(base.members[SIGNATURE])
    (said,) = document["dsseEnvelope"]["signatures"]
    der = b64decode(said["sig"])
    r, s = decode_dss_signature(der)
    twin = encode_dss_signature(r, P256_ORDER - s) if s < P256_ORDER else der
    numbers = (0, 1, r, s, P256_ORDER, P256_ORDER - 1, P256_ORDER + 1, dice.getrandbits(255))
    made = encode_dss_signature(dice.choice(numbers), dice.choice(numbers))
    others = [
        b64decode(json.loads(each.members[SIGNATURE])["dsseEnvelope"]["signatures"][0]["sig"])
        for each in bases()
    ]
    der = dice.choice((twin, made, mutate_bytes(dice, der, others), mutate_bytes(dice, der, others, most=1)))
    said["sig"] = b64encode(der).decode()
    return _with_signature(base, json.dumps(document).encode())


def _plain(kind: str, make: Callable[[Random, Base], bytes]) -> Callable[[Random, Base], Case]:
    """A class of mutations that nobody signs."""
    return lambda dice, base: Case(kind, make(dice, base), everything_signed())


def _unsigned_members(kind: str, make: Callable[[Random, Base], Members]) -> Callable[[Random, Base], Case]:
    return lambda dice, base: Case(kind, pack(make(dice, base)), everything_signed())


def _resigned(
    kind: str, make: Callable[[Random, Base], Members], key: PrivateKey
) -> Callable[[Random, Base], Case]:
    """Members changed, and an honest statement about them signed anew."""

    def case(dice: Random, base: Base) -> Case:
        members = make(dice, base)
        payload = json.dumps(statement_of(members)).encode()
        signed = everything_signed() | ({sha256(payload).hexdigest()} if key in (MAKER, SECOND) else set())
        return Case(kind, pack({**members, SIGNATURE: seal(payload, key)}), frozenset(signed))

    return case


def _statement(kind: str, key: PrivateKey) -> Callable[[Random, Base], Case]:
    """A statement that lies, signed anew."""

    def case(dice: Random, base: Base) -> Case:
        if dice.random() < 0.15:
            payload = mutate_bytes(dice, base.payload, [each.payload for each in bases()])
        else:
            payload = spell_json(dice, mutate_json(dice, json.loads(base.payload), words()))
        signed = everything_signed() | ({sha256(payload).hexdigest()} if key in (MAKER, SECOND) else set())
        return Case(kind, _with_signature(base, seal(payload, key)), frozenset(signed))

    return case


CLASSES: tuple[tuple[int, Callable[[Random, Base], Case]], ...] = (
    (16, _plain("bundle: bytes", _whole_bytes)),
    (14, _plain("bundle: ZIP fields", _zip_fields)),
    (8, _unsigned_members("bundle: members", _members)),
    (6, _unsigned_members("manifest: bytes", _manifest_bytes)),
    (8, _unsigned_members("manifest: JSON", _manifest_json)),
    (6, _resigned("manifest: JSON, signed anew", _manifest_json, MAKER)),
    (4, _resigned("bundle: members, signed anew", _members, MAKER)),
    (3, _resigned("bundle: members, signed by a stranger", _members, STRANGER)),
    (8, _plain("signature: bytes", _signature_bytes)),
    (10, _plain("signature: envelope", _envelope_json)),
    (5, _plain("signature: payload under the old signature", _payload_under_old_signature)),
    (4, _plain("signature: DER", _signature_der)),
    (10, _statement("statement: signed anew", MAKER)),
    (2, _statement("statement: signed by a stranger", STRANGER)),
    (2, _statement("statement: signed by a revoked key", REVOKED)),
)
"""How often, and what; a name says what is mutated, and by whom it is signed afterwards."""

_WEIGHTS = tuple(weight for weight, _ in CLASSES)
_MAKERS = tuple(make for _, make in CLASSES)


def draw(seed: int, index: int) -> Case:
    """Case number `index` of a run; the same for the same seed."""
    dice = Random(f"{seed}:{index}")
    (make,) = dice.choices(_MAKERS, _WEIGHTS)
    base = dice.choices(bases(), (12, 3, 2, 1, 1, 1, 1, 1))[0]
    return make(dice, base)
