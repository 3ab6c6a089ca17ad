"""A table of attacks on a signed bundle: how each is forged, and the error that refuses it.

A row changes an honest signature before it is put together; whatever it does not touch holds, so that each row meets
the one check that it is about. What breaks the archive itself, without a thought of signatures, stands in
test_bundle_hostile.py.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from signing_kit import Forgery, digest, forge, key_of, statement_of

from edgekit.archive import read_archive, write_archive
from edgekit.bundle import read_unverified
from edgekit.errors import (
    BadManifestError,
    BadSignatureError,
    DowngradeError,
    EdgekitError,
    FileMismatchError,
    MalformedBundleError,
    NotAllowedError,
    NotSignedError,
    RevokedError,
    UntrustedKeyError,
)
from edgekit.trust import Trust
from edgekit.trust.envelope import SIGNATURE, signed_bytes
from edgekit.trust.keys import PublicKey

N256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
EVIL = b"\x1c\0\0\0TFL3" + bytes(64)

Spoil = Callable[[Forgery], object]


class Attack(NamedTuple):
    spoil: Spoil
    error: type[EdgekitError]
    message: str


def edit(*path: str | int, to: Any) -> Spoil:
    """Sets one value of ``signature.json``."""

    def spoil(forgery: Forgery) -> None:
        def change(document: Any) -> None:
            for step in path[:-1]:
                document = document[step]
            document[path[-1]] = to

        forgery.edits.append(change)

    return spoil


def drop(*path: str | int) -> Spoil:
    def spoil(forgery: Forgery) -> None:
        def change(document: Any) -> None:
            for step in path[:-1]:
                document = document[step]
            del document[path[-1]]

        forgery.edits.append(change)

    return spoil


def text(change: Callable[[bytes], bytes]) -> Spoil:
    """Changes the bytes of ``signature.json``."""
    return lambda forgery: setattr(forgery, "text", change)


def say(*path: str | int, to: Any, recount: bool = False) -> Spoil:
    """Sets one value of the statement; the signature is over the changed one."""

    def spoil(forgery: Forgery) -> None:
        target: Any = forgery.statement
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = to
        if recount:
            forgery.recount()

    return spoil


def unsay(*path: str | int) -> Spoil:
    def spoil(forgery: Forgery) -> None:
        target: Any = forgery.statement
        for step in path[:-1]:
            target = target[step]
        del target[path[-1]]

    return spoil


def payload(change: Callable[[bytes], bytes]) -> Spoil:
    """Changes the payload's bytes, and signs them."""
    return lambda forgery: setattr(forgery, "payload", change(forgery.signed_payload()))


def resource(name: str, content: bytes = b"") -> Spoil:
    """Lists one more resource."""

    def spoil(forgery: Forgery) -> None:
        forgery.resources().append({"name": name, "algorithm": "sha256", "digest": digest(content)})
        forgery.recount()

    return spoil


def member(name: str, content: bytes | None) -> Spoil:
    """Swaps, adds or (None) takes away a member that the signature was made with."""

    def spoil(forgery: Forgery) -> None:
        forgery.members.pop(name, None)
        if content is not None:
            forgery.members[name] = content

    return spoil


def signature(change: Callable[[bytes], bytes]) -> Spoil:
    """Changes an honest signature's DER."""
    return lambda forgery: setattr(
        forgery, "signature", change(forgery.signer.sign(signed_bytes(forgery.signed_payload())))
    )


def signed_by(who: str, word: str = "p256", hint_of: str | None = None) -> Spoil:
    """Signs with somebody else's key; the hint may be another's."""

    def spoil(forgery: Forgery) -> None:
        forgery.signer = key_of(who, word)
        if hint_of is not None:
            forgery.hint = key_of(hint_of).public.fingerprint

    return spoil


def over(change: Callable[[bytes], bytes]) -> Spoil:
    """Signs something else than the payload's pre-authentication encoding."""
    return lambda forgery: setattr(
        forgery, "signature", forgery.signer.sign(change(forgery.signed_payload()))
    )


def key_material(**more: Any) -> Spoil:
    """A key, or a certificate, that comes along with the signature."""
    return edit("verificationMaterial", to={**more})


def der(r: int, s: int) -> bytes:
    return encode_dss_signature(r, s)


def der_integer(content: bytes) -> bytes:
    return b"\2" + bytes((len(content),)) + content


def padded(data: bytes) -> bytes:
    """BER that is not DER: r with a needless zero in front."""
    r, s = (number.to_bytes(33, "big") for number in decode_dss_signature(data))
    body = der_integer(b"\0" + r) + der_integer(s)
    return b"\x30" + bytes((len(body),)) + body


def long_form(data: bytes) -> bytes:
    return b"\x30\x81" + data[1:]


def older_pae(content: bytes) -> bytes:
    """What model_signing 0.2 signed, which the official verifier still takes."""
    return f"DSSEV1 28 application/vnd.in-toto+json {len(content)} {content!r}".encode()


def swap_first_two(forgery: Forgery) -> None:
    first, second, *_ = forgery.resources()
    first["digest"], second["digest"] = second["digest"], first["digest"]
    forgery.recount()


def duplicate_resource(forgery: Forgery) -> None:
    forgery.resources().append(dict(forgery.resources()[0]))
    forgery.recount()


def second_digest_for_a_name(forgery: Forgery) -> None:
    """The real digest for one verifier, the evil one for another."""
    forgery.resources().append({"name": "model.tflite", "algorithm": "sha256", "digest": digest(EVIL)})
    forgery.recount()
    forgery.members["model.tflite"] = EVIL


def ignored_member(forgery: Forgery) -> None:
    """The signer says that a member is to be ignored: it would be free to change."""
    forgery.statement["predicate"]["serialization"]["ignore_paths"] = ["golden.npz"]
    resources = [entry for entry in forgery.resources() if entry["name"] != "golden.npz"]
    forgery.statement["predicate"]["resources"] = resources
    forgery.recount()


def older_predicate(forgery: Forgery) -> None:
    """model_signing 0.2: the digests are subjects, and nothing says that none is missing."""
    forgery.statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": entry["name"], "digest": {"sha256": entry["digest"]}} for entry in forgery.resources()
        ],
        "predicateType": "https://model_signing/Digests/v0.1",
        "predicate": {},
    }


def other_payload(forgery: Forgery) -> None:
    """An honest signature over other bytes than those that stand beside it."""
    honest = forgery.signer.sign(signed_bytes(forgery.signed_payload()))
    forgery.members["model.tflite"] = EVIL
    forgery.statement = statement_of(forgery.members)
    forgery.signature = honest


def shards(forgery: Forgery) -> None:
    said = {"method": "shards", "hash_type": "sha256", "shard_size": 1 << 20, "allow_symlinks": False}
    forgery.statement["predicate"]["serialization"] = said


def twice_in_payload(told: bytes) -> bytes:
    return told.replace(
        b'"predicateType"', b'"predicateType": "https://slsa.dev/provenance/v1", "predicateType"'
    )


def twice_in_envelope(told: bytes) -> bytes:
    return told.replace(b'"payload":', b'"payload": "e30=", "payload":')


MATERIAL = ("verificationMaterial", "publicKey")
SIG = ("dsseEnvelope", "signatures", 0)
SERIAL = ("predicate", "serialization")
FIRST = ("predicate", "resources", 0)
JUNK = {"sig": "MAYCAQECAQE=", "keyid": ""}

BAD_SIGNATURE: dict[str, tuple[Spoil, str]] = {
    "signature.json is empty": (text(lambda told: b""), "is not JSON"),
    "signature.json is a list": (text(lambda told: b"[]"), "the document must be an object"),
    "signature.json is null": (text(lambda told: b"null"), "the document must be an object, and is null"),
    "signature.json of 70 KB": (text(lambda told: told + b" " * 70_000), "at most 65,536 are accepted"),
    "signature.json nests 50,000 deep": (text(lambda told: b"[" * 50_000), "nests deeper than 16 levels"),
    "signature.json nests 17 deep": (text(lambda told: b"[" * 17 + b"]" * 17), "nests deeper than 16 levels"),
    "signature.json in Latin-1": (text(lambda told: told.replace(b"sig", b"\xe9ig")), "is not UTF-8"),
    "signature.json in UTF-16": (text(lambda told: told.decode().encode("utf-16")), "is not UTF-8"),
    "signature.json with a byte order mark": (text(lambda told: b"\xef\xbb\xbf" + told), "is not JSON"),
    "text after signature.json": (text(lambda told: told + b"{}"), "is not JSON: Extra data"),
    "comment in signature.json": (text(lambda told: b"/* */" + told), "is not JSON"),
    "NaN in signature.json": (text(lambda told: told.replace(b"[]", b"NaN")), "holds NaN"),
    "huge number in signature.json": (text(lambda told: told.replace(b"[]", b"9" * 5000)), "over 64 bits"),
    "payload twice in the envelope": (text(twice_in_envelope), "the key 'payload' twice"),
    "payload twice, once escaped": (
        text(lambda told: told.replace(b'"payload":', b'"p\\u0061yload": "e30=", "payload":')),
        "the key 'payload' twice",
    ),
    "other media type": (edit("mediaType", to="application/vnd.dev.sigstore.bundle.v0.2+json"), "mediaType must be"),
    "media type in capitals": (edit("mediaType", to="Application/vnd.dev.sigstore.bundle.v0.3+json"), "mediaType"),
    "media type with a parameter": (edit("mediaType", to="application/vnd.dev.sigstore.bundle+json;version=0.3"), "mediaT"),
    "media type missing": (drop("mediaType"), "the document lacks 'mediaType'"),
    "unknown key beside the envelope": (edit("messageSignature", to={}), "has 'messageSignature'"),
    "other payload type": (edit("dsseEnvelope", "payloadType", to="application/json"), "payloadType must be"),
    "payload type missing": (drop("dsseEnvelope", "payloadType"), "dsseEnvelope lacks 'payloadType'"),
    "payload type is a list": (edit("dsseEnvelope", "payloadType", to=["application/vnd.in-toto+json"]), "payloadType"),
    "no envelope": (drop("dsseEnvelope"), "the document lacks 'dsseEnvelope'"),
    "envelope is a string": (edit("dsseEnvelope", to="e30="), "dsseEnvelope must be an object"),
    "no signature": (edit("dsseEnvelope", "signatures", to=[]), "exactly one entry, and has 0"),
    "signatures missing": (drop("dsseEnvelope", "signatures"), "dsseEnvelope lacks 'signatures'"),
    "signatures an object": (edit("dsseEnvelope", "signatures", to={"0": JUNK}), "signatures must be a list"),
    "junk signature first": (
        lambda f: f.edits.append(lambda d: d["dsseEnvelope"]["signatures"].insert(0, JUNK)),
        "exactly one entry, and has 2",
    ),
    "junk signature second": (
        lambda f: f.edits.append(lambda d: d["dsseEnvelope"]["signatures"].append(JUNK)),
        "exactly one entry, and has 2",
    ),
    "key id that names another key": (edit(*SIG, "keyid", to="release"), "keyid must be ''"),
    "key id null": (edit(*SIG, "keyid", to=None), "keyid must be ''"),
    "certificate beside the signature": (edit(*SIG, "cert", to="MIIB"), "has 'cert', which is not expected"),
    "signature missing": (drop(*SIG, "sig"), "lacks 'sig'"),
    "signature a number": (edit(*SIG, "sig", to=0), "must be a string"),
    "signature empty": (edit(*SIG, "sig", to=""), "not base64 in its one spelling"),
    "garbage within base64": (
        text(lambda told: told.replace(b'"sig": "', b'"sig": "*-*-')), "signatures.0..sig is not base64"
    ),
    "line break within base64": (text(lambda told: told.replace(b'"payload": "', b'"payload": "\\n')), "not base64"),
    "base64 without padding": (
        lambda f: f.edits.append(
            lambda d: d["dsseEnvelope"].update(payload=b64encode(b"{}").decode().rstrip("="))
        ),
        "payload is not base64",
    ),
    "base64 for addresses": (
        lambda f: f.edits.append(lambda d: d["dsseEnvelope"].update(payload=urlsafe_b64encode(b"\xff\xef\xbe").decode())),
        "payload is not base64",
    ),
    "base64 with bits left over": (
        edit("dsseEnvelope", "payload", to="e31="), "payload is not base64 in its one spelling"
    ),
    "base64 with letters of another script": (edit("dsseEnvelope", "payload", to="\uff4530="), "payload is not base64"),
    "payload empty": (edit("dsseEnvelope", "payload", to=""), "payload is not base64 in its one spelling"),
    "hint missing": (drop(*MATERIAL, "hint"), "publicKey lacks 'hint'"),
    "hint empty": (edit(*MATERIAL, "hint", to=""), "hint must be 64 digits"),
    "hint null": (edit(*MATERIAL, "hint", to=None), "hint must be a string"),
    "hint in capitals": (
        lambda f: setattr(f, "hint", f.signer.public.fingerprint.upper()), "hint must be 64 digits of lowercase"
    ),
    "public key brought along": (
        edit(*MATERIAL, "rawBytes", to=b64encode(key_of("mallory").public.pem).decode()), "has 'rawBytes'"
    ),
    "certificate instead of a key": (key_material(certificate={"rawBytes": "MIIB"}), "lacks 'publicKey'"),
    "certificate beside the key": (edit("verificationMaterial", "x509CertificateChain", to={}), "has 'x509Cert"),
    "entry of a transparency log": (
        edit("verificationMaterial", "tlogEntries", to=[{"logIndex": "1"}]), "entries of a transparency log"
    ),
    "signature over other bytes": (other_payload, "the signature does not hold"),
    "signature over the bare payload": (over(bytes), "the signature does not hold"),
    "signature over another payload type": (
        over(lambda told: b"DSSEv1 16 application/json %d %s" % (len(told), told)), "does not hold"
    ),
    "signature over the encoding of 0.2": (over(older_pae), "does not hold"),
    "signature over DSSEv0's lengths": (over(lambda told: b"DSSEv1 28 application/vnd.in-toto+json 0 " + told), "does not"),
    "one bit of the signature": (
        signature(lambda told: told[:-1] + bytes((told[-1] ^ 1,))), "the signature does not hold"
    ),
    "r is 0": (signature(lambda told: der(0, decode_dss_signature(told)[1])), "strict DER of two numbers above 0"),
    "s is 0": (signature(lambda told: der(decode_dss_signature(told)[0], 0)), "strict DER of two numbers above 0"),
    "r and s are 0": (signature(lambda told: der(0, 0)), "strict DER of two numbers above 0"),
    "r is negative": (signature(lambda told: b"\x30\6\2\1\xff\2\1\1"), "strict DER of two numbers above 0"),
    "s plus the group's order": (
        signature(lambda told: der(decode_dss_signature(told)[0], decode_dss_signature(told)[1] + N256)),
        "the signature does not hold",
    ),
    "r and s are the group's order": (signature(lambda told: der(N256, N256)), "the signature does not hold"),
    "DER with a needless zero": (signature(padded), "strict DER of two numbers above 0"),
    "DER with a long length": (signature(long_form), "strict DER of two numbers above 0"),
    "bytes after DER": (signature(lambda told: told + b"\0"), "strict DER of two numbers above 0"),
    "DER cut off": (signature(lambda told: told[:-1]), "strict DER of two numbers above 0"),
    "r and s as plain numbers": (
        signature(lambda told: b"".join(n.to_bytes(32, "big") for n in decode_dss_signature(told))),
        "strict DER of two numbers above 0",
    ),
    "signature of 40 KB": (signature(lambda told: told * 600), "at most 65,536|strict DER"),
    "another key under the hint of the trusted one": (signed_by("mallory", hint_of="maker"), "does not hold"),
    "key of another curve under that hint": (signed_by("mallory", "p384", hint_of="maker"), "does not hold"),
    "P-521 under that hint": (signed_by("mallory", "p521", hint_of="maker"), "does not hold"),
    "the other trusted key under that hint": (signed_by("second", "p384", hint_of="maker"), "does not hold"),
}  # fmt: skip

BAD_MANIFEST: dict[str, tuple[Spoil, str]] = {
    "payload is no JSON": (payload(lambda told: b"\x80\x04\x95"), "is not UTF-8"),
    "payload is a list": (payload(lambda told: b"[]"), "the document must be an object"),
    "payload nests 20,000 deep": (payload(lambda told: b"[" * 20_000), "nests deeper than 16 levels"),
    "predicate type twice in the payload": (payload(twice_in_payload), "the key 'predicateType' twice"),
    "resources twice": (
        payload(lambda told: told.replace(b'"resources":', b'"resources": [], "resources":')), "'resources' twice"
    ),
    "digest twice": (payload(lambda told: told.replace(b'"digest":', b'"digest": "", "digest":')), "'digest' twice"),
    "text after the payload": (payload(lambda told: told + b"x"), "is not JSON: Extra data"),
    "other statement type": (say("_type", to="https://in-toto.io/Statement/v0.1"), "_type must be"),
    "statement type missing": (unsay("_type"), "lacks '_type'"),
    "other predicate type": (say("predicateType", to="https://slsa.dev/provenance/v1"), "predicateType must be"),
    "predicate type of another version": (
        say("predicateType", to="https://model_signing/signature/v1.1"), "predicateType must be"
    ),
    "predicate type of 0.2": (older_predicate, "predicateType must be"),
    "predicate missing": (unsay("predicate"), "lacks 'predicate'"),
    "predicate is a list": (say("predicate", to=[]), "predicate must be an object"),
    "no subject": (say("subject", to=[]), "subject must have exactly one entry, and has 0"),
    "two subjects": (lambda f: f.statement["subject"].append(dict(f.statement["subject"][0])), "and has 2"),
    "subject an object": (lambda f: f.statement.update(subject=f.statement["subject"][0]), "subject must be a list"),
    "subject without a digest": (unsay("subject", 0, "digest"), "lacks 'digest'"),
    "subject's digest of other resources": (
        say("subject", 0, "digest", "sha256", to="0" * 64), "the subject's digest is not that of the resources"
    ),
    "subject's digest with SHA-1 beside": (say("subject", 0, "digest", "sha1", to="0" * 40), "has 'sha1'"),
    "subject's digest by SHA-512": (
        lambda f: f.statement["subject"][0].update(digest={"sha512": "0" * 128}), "lacks 'sha256'"
    ),
    "resources in another order": (lambda f: f.resources().reverse(), "the subject's digest is not that"),
    "subject's name a number": (say("subject", 0, "name", to=7), "subject.0..name must be a string"),
    "serialization missing": (unsay(*SERIAL), "lacks 'serialization'"),
    "serialized by shards": (shards, "has 'shard_size'|method must be 'files'"),
    "serialized by another method": (say(*SERIAL, "method", to="dfs"), "method must be 'files'"),
    "hashed by BLAKE2": (say(*SERIAL, "hash_type", to="blake2b"), "hash_type must be 'sha256'"),
    "hash type missing": (unsay(*SERIAL, "hash_type"), "lacks 'hash_type'"),
    "symbolic links maybe": (say(*SERIAL, "allow_symlinks", to="false"), "allow_symlinks must be true or false"),
    "ignored paths a string": (say(*SERIAL, "ignore_paths", to="golden.npz"), "ignore_paths must be a list"),
    "ignored path a number": (say(*SERIAL, "ignore_paths", to=[0]), "ignore_paths.0. must be a string"),
    "unknown word of serialization": (say(*SERIAL, "prefix_bytes", to=8), "has 'prefix_bytes'"),
    "no resources": (say("predicate", "resources", to=[], recount=True), "lists no member at all"),
    "resources an object": (say("predicate", "resources", to={}), "resources must be a list"),
    "resource listed twice": (duplicate_resource, "is listed twice"),
    "two digests for one name": (second_digest_for_a_name, "'model.tflite' is listed twice"),
    "names that differ in case only": (resource("MODEL.tflite"), "differ in case only"),
    "names that differ in folded case only": (
        lambda f: (resource("straße")(f), resource("STRASSE")(f)), "differ in case only"
    ),
    "digest in capitals": (lambda f: f.resources()[0].update(digest=f.resources()[0]["digest"].upper()), "lowercase"),
    "digest with a space": (lambda f: f.resources()[0].update(digest=" " + f.resources()[0]["digest"]), "64 digits"),
    "digest cut short": (lambda f: f.resources()[0].update(digest=f.resources()[0]["digest"][:8]), "64 digits of"),
    "digest empty": (say(*FIRST, "digest", to=""), "64 digits of lowercase"),
    "digest in Arabic digits": (say(*FIRST, "digest", to="\u0660" * 64), "64 digits of lowercase"),
    "digest an object": (say(*FIRST, "digest", to={}), "digest must be a string"),
    "hashed by MD5": (say(*FIRST, "algorithm", to="md5"), "algorithm must be 'sha256'"),
    "algorithm missing": (unsay(*FIRST, "algorithm"), "lacks 'algorithm'"),
    "name missing": (unsay(*FIRST, "name"), "lacks 'name'"),
    "name empty": (resource(""), "not a plain relative path"),
    "name that climbs": (resource("../model.tflite"), "not a plain relative path"),
    "name that climbs within": (resource("a/../../model.tflite"), "not a plain relative path"),
    "name with a dot in front": (resource("./model.tflite"), "not a plain relative path"),
    "absolute name": (resource("/etc/passwd"), "not a plain relative path"),
    "name of Windows": (resource("a\\model.tflite"), "not a plain relative path"),
    "name with a drive": (resource("C:model.tflite"), "not a plain relative path"),
    "name with NUL": (resource("model.tflite\0.txt"), "an unprintable character"),
    "name with a terminal escape": (resource("\x1b[2Jx"), "an unprintable character"),
    "name that turns its direction": (resource("x\u202egpj.elif"), "an unprintable character"),
    "name not in NFC": (resource("cafe\u0301"), "not in Unicode's form NFC"),
    "name with a lone surrogate": (payload(lambda told: told.replace(b"golden.npz", b"\\ud800.npz")), "unprintable"),
    "signature.json lists itself": (resource("signature.json"), "cannot hold its own digest"),
}  # fmt: skip

MISMATCH: dict[str, tuple[Spoil, str]] = {
    "model swapped": (member("model.tflite", EVIL), "'model.tflite' is not the one that was signed"),
    "one bit of the model": (
        lambda f: f.members.update({"model.tflite": f.members["model.tflite"][:-1] + b"\0"}), "model.tflite' is not"
    ),
    "byte after the model": (
        lambda f: f.members.update({"model.tflite": f.members["model.tflite"] + b"\0"}), "'model.tflite' is not"
    ),
    "manifest swapped": (
        lambda f: f.members.update({"manifest.json": f.members["manifest.json"].replace(b'"cat"', b'"dog"')}),
        "'manifest.json' is not",
    ),
    "security epoch raised by hand": (
        lambda f: f.members.update(
            {"manifest.json": f.members["manifest.json"].replace(b'"security_epoch": 3', b'"security_epoch": 9')}
        ),
        "'manifest.json' is not",
    ),
    "golden outputs swapped": (
        lambda f: f.members.update({"golden.npz": f.members["golden.npz"].replace(b"\0\0\0\0", b"\0\0\0\1")}), "'golden.npz'"
    ),
    "member added": (member("report.json", b"{}\n"), "'report.json' is not among those that were signed"),
    "member that was signed is gone": (resource("report.json"), "'report.json' was signed, and is missing"),
    "member ignored by the signer": (ignored_member, "'golden.npz' is not among those that were signed"),
    "member left out of the list": (
        lambda f: (f.resources().pop(0), f.recount()), "is not among those that were signed"
    ),
    "digests swapped between two members": (swap_first_two, "is not the one that was signed"),
    "signature of another bundle": (
        lambda f: setattr(f, "statement", statement_of({**f.members, "model.tflite": EVIL})), "'model.tflite' is not"
    ),
    "digest of the empty file": (
        lambda f: (f.resources()[0].update(digest=digest(b"")), f.recount()), "is not the one that was signed"
    ),
    "member in a folder that nobody has": (resource(".git/config"), "'.git/config' was signed, and is missing"),
}  # fmt: skip

UNTRUSTED: dict[str, tuple[Spoil, str]] = {
    "signed by another key": (signed_by("mallory"), "a key that is not trusted"),
    "signed by another key of the other curve": (signed_by("mallory", "p384"), "a key that is not trusted"),
    "hint of nobody": (lambda f: setattr(f, "hint", "0" * 64), "a key that is not trusted: 0000"),
    "hint over the DER instead of the PEM": (
        lambda f: setattr(
            f, "hint", digest(b64decode(b"".join(f.signer.public.pem.split(b"\n")[1:-2])))
        ),
        "a key that is not trusted",
    ),
}  # fmt: skip

TABLES: dict[type[EdgekitError], dict[str, tuple[Spoil, str]]] = {
    BadSignatureError: BAD_SIGNATURE,
    BadManifestError: BAD_MANIFEST,
    FileMismatchError: MISMATCH,
    UntrustedKeyError: UNTRUSTED,
}
ATTACKS = {
    name: Attack(spoil, error, message)
    for error, rows in TABLES.items()
    for name, (spoil, message) in rows.items()
}


@pytest.fixture(scope="module")
def trust() -> Trust:
    return Trust(keys=(key_of("maker").public, key_of("second", "p384").public))


@pytest.fixture
def honest(bundle: bytes) -> Forgery:
    return forge(bundle, key_of("maker"))


def test_the_forger_can_also_sign_honestly(honest: Forgery, trust: Trust) -> None:
    verified = trust.check(read_unverified(honest.build()))
    assert verified.signed
    assert verified.signer == key_of("maker").public.fingerprint
    assert verified.payload_digest == hashlib.sha256(honest.signed_payload()).hexdigest()


def test_there_are_at_least_sixty() -> None:
    assert len(ATTACKS) == sum(map(len, TABLES.values())) >= 60


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_attack_is_refused_by_its_own_error(honest: Forgery, trust: Trust, attack: Attack) -> None:
    attack.spoil(honest)
    unverified = read_unverified(honest.build())
    with pytest.raises(attack.error, match=attack.message) as caught:
        trust.check(unverified)
    assert type(caught.value) is attack.error
    assert caught.value.hint
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def with_limits(**limits: Any) -> Trust:
    return Trust(keys=(key_of("maker").public,), **limits)


LIMITS: dict[str, tuple[Callable[[bytes], Trust], type[EdgekitError], str]] = {
    "epoch below the least": (lambda b: with_limits(least_epoch=4), DowngradeError, "epoch 3, and at least 4"),
    "key revoked": (
        lambda b: with_limits(revoked_keys={key_of("maker").public.fingerprint}), RevokedError, "key that signed it is"
    ),
    "bundle revoked": (
        lambda b: with_limits(revoked_digests={with_limits().check(read_unverified(b)).payload_digest}),
        RevokedError,
        "this bundle is revoked",
    ),
    "name not allowed": (lambda b: with_limits(names={"dogs"}), NotAllowedError, "its name is 'cats'"),
    "name allowed in other case only": (lambda b: with_limits(names={"Cats"}), NotAllowedError, "its name is 'cats'"),
    "target not allowed": (lambda b: with_limits(targets={"jetson"}), NotAllowedError, "made for raspberry-pi-4"),
    "no name is allowed": (lambda b: with_limits(names=()), NotAllowedError, "its name is 'cats'"),
    "no target is allowed": (lambda b: with_limits(targets=()), NotAllowedError, "made for raspberry-pi-4"),
}  # fmt: skip


@pytest.mark.parametrize(("limited", "error", "message"), LIMITS.values(), ids=LIMITS)
def test_an_honest_bundle_beyond_the_limits_is_refused(
    honest: Forgery, limited: Callable[[bytes], Trust], error: type[EdgekitError], message: str
) -> None:
    data = honest.build()
    with pytest.raises(error, match=message) as caught:
        limited(data).check(read_unverified(data))
    assert type(caught.value) is error


def test_a_revoked_key_is_named_even_where_nobody_trusts_it(honest: Forgery) -> None:
    maker, other = key_of("maker").public, key_of("second", "p384").public
    with pytest.raises(RevokedError, match=maker.fingerprint):
        Trust(keys=(other,), revoked_keys=frozenset({maker.fingerprint})).check(
            read_unverified(honest.build())
        )


def test_a_revoked_key_does_not_come_back_by_the_hint_of_its_file(honest: Forgery) -> None:
    """Its file has other line ends, so that its hint is not the fingerprint that was revoked."""
    file = key_of("maker").public.pem.replace(b"\n", b"\r\n")
    honest.hint = digest(file)
    key = PublicKey.from_pem(file, "crlf.pem")
    data = read_unverified(honest.build())
    assert Trust(keys=(key,)).check(data).signer == key.fingerprint
    with pytest.raises(RevokedError):
        Trust(keys=(key,), revoked_keys=frozenset({key.fingerprint})).check(data)


def test_two_keys_that_answer_to_one_hint_are_told_apart(honest: Forgery) -> None:
    """A trusted key that borrows another's fingerprint neither signs as it nor keeps it from being found."""
    maker, second = key_of("maker").public, key_of("second").public
    borrower = PublicKey(second.curve, second.point, "borrower.pem", frozenset({maker.fingerprint}))
    for keys in ((borrower, maker), (maker, borrower)):
        trust = Trust(keys=keys)
        assert trust.check(read_unverified(honest.build())).signer == maker.fingerprint
        honest.signer, honest.hint = key_of("second"), maker.fingerprint
        with pytest.raises(BadSignatureError, match="does not hold"):
            trust.check(read_unverified(honest.build()))
        honest.signer, honest.hint = key_of("maker"), None


def test_a_signature_that_does_not_hold_is_never_parsed(honest: Forgery, trust: Trust) -> None:
    """What is under a broken signature would be refused as a bad manifest, had anybody parsed it."""
    honest.payload = b"[" * 1000
    honest.signature = honest.signer.sign(b"something else")
    with pytest.raises(BadSignatureError, match="does not hold"):
        trust.check(read_unverified(honest.build()))


def test_the_high_s_twin_is_another_file_of_the_same_identity(honest: Forgery, trust: Trust) -> None:
    """Whoever has a signature can make a second: so neither it nor the file's hash names a signed bundle."""
    first = trust.check(read_unverified(honest.build()))
    document = json.loads(bytes(first.members[SIGNATURE]))
    r, s = decode_dss_signature(b64decode(document["dsseEnvelope"]["signatures"][0]["sig"]))
    honest.signature = der(r, N256 - s)
    twin = trust.check(read_unverified(honest.build()))
    assert twin.digest != first.digest
    assert twin.payload_digest == first.payload_digest is not None
    with pytest.raises(RevokedError):
        with_limits(revoked_digests={first.payload_digest}).check(read_unverified(twin.data))


def test_without_a_signature_a_trusted_key_refuses(bundle: bytes, trust: Trust) -> None:
    with pytest.raises(NotSignedError, match="this bundle is not signed"):
        trust.check(read_unverified(bundle))


def test_taking_the_signature_off_refuses(honest: Forgery, trust: Trust) -> None:
    members = dict(read_archive(honest.build()))
    del members[SIGNATURE]
    with pytest.raises(NotSignedError):
        trust.check(read_unverified(write_archive(members)))


def crc_fitted(data: bytes) -> bytes:
    """The model changed within the archive, its checksum made to fit in both headers."""
    content = bytes(read_archive(data)["model.tflite"])
    changed = content[:-1] + b"\0"
    old, new = (zlib.crc32(part).to_bytes(4, "little") for part in (content, changed))
    return data.replace(content, changed).replace(old, new)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda b: b + b"{}", MalformedBundleError),
        (lambda b: b[:-2] + b"\2\0{}", MalformedBundleError),
        (lambda b: b.replace(b"signature.json", b"Signature.json"), MalformedBundleError),
        (lambda b: b.replace(b"signature.json", b"META/inf.jsonx"), MalformedBundleError),
        (lambda b: b.replace(b"signature.json", b"reference.json"), MalformedBundleError),
        (lambda b: b.replace(b"signature.json", b"manifest.json\0"), MalformedBundleError),
        (lambda b: b.replace(b"TFL3\0", b"TFL3\1"), MalformedBundleError),
        (crc_fitted, FileMismatchError),
    ],
    ids=[
        "bytes after the end",
        "comment",
        "signature in other case",
        "signature in a folder",
        "signature under an unknown name",
        "name with NUL",
        "model changed",
        "model changed, checksum made to fit",
    ],
)
def test_signed_archive_spoilt(
    honest: Forgery, trust: Trust, spoil: Callable[[bytes], bytes], error: type[EdgekitError]
) -> None:
    data = honest.build()
    spoilt = spoil(data)
    assert spoilt != data
    with pytest.raises(error):
        trust.check(read_unverified(spoilt))


def test_a_signature_hidden_under_another_documents_name_is_none(honest: Forgery, trust: Trust) -> None:
    members = {name: bytes(content) for name, content in read_archive(honest.build()).items()}
    members["report.json"] = members.pop(SIGNATURE)
    with pytest.raises(NotSignedError):
        trust.check(read_unverified(write_archive(members)))
