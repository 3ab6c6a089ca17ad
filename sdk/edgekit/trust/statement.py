"""What is signed: an in-toto statement v1 with the predicate of OpenSSF Model Signing v1.0.

It lists every member but ``signature.json`` with its SHA-256. The subject's digest, by which other documents may speak
of the model, is the SHA-256 of those digests one after the other.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgekit import strictjson
from edgekit.errors import BadManifestError, FileMismatchError
from edgekit.strictjson import UNPRINTABLE, shown
from edgekit.trust.envelope import SIGNATURE
from edgekit.trust.fields import Reader, parse

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"

_HINT = "the signer did not sign a bundle: let its maker sign it again, with edgekit sign"
_READ = Reader("the signed statement", BadManifestError, _HINT)
_DAMAGED = "it was changed after it was signed: get the bundle anew from its maker, and do not run this one"


@dataclass(frozen=True, slots=True)
class Statement:
    """The members that were signed.

    Attributes:
        subject: What the signer called the model; nothing depends on it.
        digests: Name of each member -> its SHA-256 in lowercase hexadecimal, in the order of the statement.
    """

    subject: str
    digests: Mapping[str, str]


def digests_of(members: Mapping[str, bytes | memoryview]) -> dict[str, str]:
    """The SHA-256 of every member but the signature, sorted by name; nothing is copied."""
    return {
        name: hashlib.sha256(content).hexdigest()
        for name, content in sorted(members.items())
        if name != SIGNATURE
    }


def read_statement(payload: bytes) -> Statement:
    """Reads a payload whose signature holds.

    Unknown keys of the statement and of the predicate are ignored, as both specifications ask. Those of
    ``serialization`` are refused: they would change what a digest means. ``ignore_paths`` has no effect: whatever a
    signer wants left out, every member must be listed.

    Args:
        payload: What was signed.

    Raises:
        BadManifestError: It is not strict JSON, or of another kind; it has another number of subjects than one, a
            name that is not safe or stands there twice, or a digest that does not fit.
    """
    document = parse(payload, "the signed statement", BadManifestError, _HINT)
    keys = ("_type", "subject", "predicateType", "predicate")
    statement = _READ.mapping(document, "the document", keys, None)
    _READ.exactly(statement["_type"], "_type", STATEMENT_TYPE)
    _READ.exactly(statement["predicateType"], "predicateType", PREDICATE_TYPE)
    predicate = _READ.mapping(statement["predicate"], "predicate", ("serialization", "resources"), None)
    _check_serialization(predicate["serialization"])
    digests = _read_resources(predicate["resources"])
    return Statement(_read_subject(statement["subject"], digests), MappingProxyType(digests))


def _check_serialization(value: object) -> None:
    where = "serialization"
    said = _READ.mapping(value, where, ("method", "hash_type"), ("allow_symlinks", "ignore_paths"))
    _READ.exactly(said["method"], f"{where}.method", "files")
    _READ.exactly(said["hash_type"], f"{where}.hash_type", "sha256")
    if not isinstance(said.get("allow_symlinks", False), bool):
        raise _READ.refuse(
            f"{where}.allow_symlinks must be true or false, and is {shown(said['allow_symlinks'])}"
        )
    for index, path in enumerate(_READ.sequence(said.get("ignore_paths", []), f"{where}.ignore_paths")):
        _READ.text(path, f"{where}.ignore_paths[{index}]")


def _read_resources(value: object) -> dict[str, str]:
    digests: dict[str, str] = {}
    folded: dict[str, str] = {}
    for index, entry in enumerate(_READ.sequence(value, "resources")):
        where = f"resources[{index}]"
        resource = _READ.mapping(entry, where, ("name", "algorithm", "digest"))
        name = _READ.text(resource["name"], f"{where}.name")
        _check_name(name, f"{where}.name")
        twin = folded.setdefault(name.casefold(), name)
        if name in digests:
            raise _READ.refuse(f"{shown(name)} is listed twice")
        if twin != name:
            raise _READ.refuse(f"{shown(twin)} and {shown(name)} differ in case only")
        _READ.exactly(resource["algorithm"], f"{where}.algorithm", "sha256")
        digests[name] = _READ.sha256(resource["digest"], f"{where}.digest")
    if not digests:
        raise _READ.refuse("it lists no member at all")
    return digests


def _check_name(name: str, where: str) -> None:
    """Refuses names that some file system or terminal would read as something else."""
    if not unicodedata.is_normalized("NFC", name):
        raise _READ.refuse(f"{where} is not in Unicode's form NFC: {name[:50]!a}")
    if UNPRINTABLE.search(name):
        raise _READ.refuse(f"{where} holds an unprintable character: {name[:50]!a}")
    if name == SIGNATURE:
        raise _READ.refuse(f"{where} is {SIGNATURE}, which cannot hold its own digest")
    if "\\" in name or ":" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise _READ.refuse(f"{where} is not a plain relative path: {shown(name)}")


def _read_subject(value: object, digests: Mapping[str, str]) -> str:
    subject = _READ.mapping(_READ.only(value, "subject"), "subject[0]", ("name", "digest"))
    said = _READ.mapping(subject["digest"], "subject[0].digest", ("sha256",))
    digest = _READ.sha256(said["sha256"], "subject[0].digest.sha256")
    if digest != _digest_of(digests):
        raise _READ.refuse("the subject's digest is not that of the resources listed")
    return _READ.text(subject["name"], "subject[0].name")


def _digest_of(digests: Mapping[str, str]) -> str:
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests.values()))).hexdigest()


def check_members(statement: Statement, digests: Mapping[str, str]) -> None:
    """Refuses members that are not exactly those that were signed.

    Args:
        statement: What was signed.
        digests: What there is, from `digests_of`.

    Raises:
        FileMismatchError: A member is not listed, is missing, or has another digest.
    """
    for name in digests:
        if name not in statement.digests:
            raise FileMismatchError(f"member {name!r} is not among those that were signed", hint=_DAMAGED)
    for name, digest in statement.digests.items():
        if name not in digests:
            raise FileMismatchError(f"member {shown(name)} was signed, and is missing", hint=_DAMAGED)
        if digests[name] != digest:
            raise FileMismatchError(f"member {name!r} is not the one that was signed", hint=_DAMAGED)


def write_statement(statement: Statement) -> bytes:
    """Writes the payload to sign; equal statements give equal bytes, so the same members keep their identity."""
    resources = [
        {"name": name, "algorithm": "sha256", "digest": digest} for name, digest in statement.digests.items()
    ]
    return strictjson.dump(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": statement.subject, "digest": {"sha256": _digest_of(statement.digests)}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                # The official verifier leaves out of its count what it is told to: here its own file alone.
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": [SIGNATURE],
                },
                "resources": resources,
            },
        }
    )
