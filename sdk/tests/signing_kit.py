"""What the tests of trust share: keys, a signed bundle, and a forger that controls every byte of a signature."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from edgekit.archive import write_archive
from edgekit.bundle import read_unverified
from edgekit.trust.envelope import MEDIA_TYPE, PAYLOAD_TYPE, SIGNATURE, signed_bytes
from edgekit.trust.keys import CURVES
from edgekit.trust.private import PrivateKey
from edgekit.trust.signing import sign_bundle
from edgekit.trust.statement import PREDICATE_TYPE, STATEMENT_TYPE


@cache
def key_of(who: str, word: str = "p256") -> PrivateKey:
    """A key pair of somebody's; the same one each time."""
    (curve,) = (curve for curve in CURVES if curve.word == word)
    return PrivateKey.generate(curve)


def digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def subject_digest(resources: list[dict[str, Any]]) -> str:
    """As the specification has it; whatever is no hexadecimal counts as nothing."""
    told = hashlib.sha256()
    for resource in resources:
        try:
            told.update(bytes.fromhex(resource["digest"]))
        except (KeyError, TypeError, ValueError):
            continue
    return told.hexdigest()


@dataclass
class Forgery:
    """A signature on some members, every part of which a test may change before it is put together.

    What is left at None is computed from the rest, so that a changed part lies under a signature that holds.

    Attributes:
        members: Of the bundle, without a signature.
        signer: Whose key signs.
        statement: What is signed, as JSON values; `payload` wins over it.
        payload: The signed bytes.
        signature: DER.
        hint: Of the key.
        document: ``signature.json`` as JSON values; `text` wins over it.
        text: The bytes of ``signature.json``.
    """

    members: dict[str, bytes]
    signer: PrivateKey
    statement: dict[str, Any] = field(default_factory=dict)
    payload: bytes | None = None
    signature: bytes | None = None
    hint: str | None = None
    edits: list[Callable[[dict[str, Any]], object]] = field(default_factory=list)
    text: Callable[[bytes], bytes] = bytes

    def build(self) -> bytes:
        """The bytes of the .edgekit file."""
        document = self.document()
        for edit in self.edits:
            edit(document)
        text = self.text(json.dumps(document).encode())
        return write_archive({**self.members, SIGNATURE: text})

    def signed_payload(self) -> bytes:
        return json.dumps(self.statement).encode() if self.payload is None else self.payload

    def document(self) -> dict[str, Any]:
        payload = self.signed_payload()
        signature = self.signer.sign(signed_bytes(payload)) if self.signature is None else self.signature
        hint = self.signer.public.fingerprint if self.hint is None else self.hint
        return {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": b64encode(signature).decode(), "keyid": ""}],
            },
        }

    def resources(self) -> list[dict[str, Any]]:
        resources: list[dict[str, Any]] = self.statement["predicate"]["resources"]
        return resources

    def recount(self) -> None:
        """Makes the subject's digest fit the resources again."""
        self.statement["subject"][0]["digest"]["sha256"] = subject_digest(self.resources())


def forge(bundle: bytes, signer: PrivateKey) -> Forgery:
    """An honest signature, to be spoilt."""
    members = {name: bytes(content) for name, content in read_unverified(bundle).members.items()}
    members.pop(SIGNATURE, None)
    return Forgery(members, signer, statement_of(members))


def statement_of(members: Mapping[str, bytes]) -> dict[str, Any]:
    resources = [
        {"name": name, "algorithm": "sha256", "digest": digest(content)} for name, content in members.items()
    ]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "cats", "digest": {"sha256": subject_digest(resources)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
            "resources": resources,
        },
    }


def write_signed(path: Path, signer: PrivateKey) -> Path:
    """Signs a bundle in place."""
    path.write_bytes(sign_bundle(path.read_bytes(), signer, replace=True).data)
    return path


def at_a_terminal(words: list[str], answers: list[str]) -> tuple[int, str]:
    """Runs edgekit at a real terminal, and types one answer at each prompt.

    Returns:
        The exit code, and all that the terminal showed.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-m", "edgekit", *words])
    shown = b""
    waiting = list(answers)
    while True:
        try:
            some = os.read(terminal, 4096)
        except OSError:  # what Linux says of a terminal whose other end is gone
            break
        if not some:
            break
        shown += some
        if waiting and shown.rstrip().endswith(b":") and not shown.endswith(b"\n"):
            os.write(terminal, waiting.pop(0).encode() + b"\n")
            shown += b"\n"
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode()
