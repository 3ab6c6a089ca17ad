"""Public keys from files and folders, and what a `Trust` may be made of."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from signing_kit import forge, key_of

from edgekit.bundle import read_unverified
from edgekit.errors import BadSignatureError, KeyFileError, TrustRequiredError
from edgekit.trust import Trust
from edgekit.trust.keys import CURVES, PublicKey
from edgekit.trust.sources import read_keys

PEM = key_of("maker").public.pem
HEADER, BODY, FOOTER = PEM.partition(b"\n")[0], b"".join(PEM.split(b"\n")[1:-2]), PEM.split(b"\n")[-2]


def spki(key: Any, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    data: bytes = key.public_bytes(Encoding.PEM, form)
    return data


def block(der: bytes, label: bytes = b"PUBLIC KEY") -> bytes:
    return b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (label, b64encode(der), label)


def off_the_curve() -> bytes:
    point = key_of("maker").public.point
    return block(CURVES[0].prefix + point[:-1] + bytes((point[-1] ^ 1,)))


@pytest.mark.parametrize("word", ["p256", "p384", "p521"])
def test_our_pem_is_that_of_cryptography(word: str) -> None:
    key = key_of("maker", word).public
    loaded = load_pem_public_key(key.pem)
    assert spki(loaded) == key.pem
    assert key.fingerprint == hashlib.sha256(key.pem).hexdigest()
    assert PublicKey.from_pem(key.pem, "it") == key
    assert isinstance(loaded, ec.EllipticCurvePublicKey)


@pytest.mark.parametrize(
    "file",
    [
        PEM,
        PEM.rstrip(),
        PEM.replace(b"\n", b"\r\n"),
        b"the key of the release team\n" + PEM + b"\nvalid from 2026\n",
        HEADER + b"\n" + BODY + b"\n" + FOOTER,
    ],
    ids=["as written", "no newline at the end", "Windows", "text around it", "one line"],
)
def test_spellings_of_one_key_are_one_key(file: bytes) -> None:
    """A signer that hashed the file as it stands gives another hint; both are taken."""
    key = PublicKey.from_pem(file, "it")
    assert key == key_of("maker").public
    assert key.fingerprint == key_of("maker").public.fingerprint
    assert key.hints == {key.fingerprint, hashlib.sha256(file).hexdigest()}


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "no PEM public key in it"),
        (b"\x30\x59\x30\x13", "no PEM public key in it"),
        (PEM + PEM, "2 PEM blocks, and a file holds one key"),
        (PEM + key_of("second").public.pem, "2 PEM blocks"),
        (PEM[:-30], "no PEM public key in it"),
        (PEM.replace(b"END PUBLIC", b"END ROBUST"), "a public key, and not a public key|no PEM"),
        (key_of("maker").to_pem(None), "this is a private key"),
        (key_of("maker").to_pem(b"a long passphrase"), "this is a private key"),
        (PEM + key_of("maker").to_pem(None), "this is a private key"),
        (block(b"0", b"CERTIFICATE"), "a certificate, and not a public key"),
        (block(b"0", b"RSA PUBLIC KEY"), "a rsa public key, and not a public key"),
        (PEM.replace(b"MF", b"M*"), "the key is not base64"),
        (block(b""), "no PEM public key in it|not an ECDSA key"),
        (
            spki(rsa.generate_private_key(65537, 2048).public_key()),
            "not an ECDSA key on one of P-256, P-384, P-521",
        ),
        (
            spki(ed25519.Ed25519PrivateKey.generate().public_key()),
            "not an ECDSA key on one of P-256, P-384, P-521",
        ),
        (spki(ec.generate_private_key(ec.SECP256K1()).public_key()), "not an ECDSA key on one of P-256"),
        (spki(ec.generate_private_key(ec.SECP224R1()).public_key()), "not an ECDSA key on one of P-256"),
        (block(CURVES[0].prefix + key_of("maker").public.point + b"\0"), "not an ECDSA key"),
        (block(CURVES[0].prefix + b"\2" + key_of("maker").public.point[1:33]), "not an ECDSA key"),
        (off_the_curve(), "its point is not one of P-256"),
        (block(CURVES[0].prefix + b"\4" + bytes(64)), "its point is not one of P-256"),
        (block(CURVES[1].prefix + b"\4" + b"\xff" * 96), "its point is not one of P-384"),
    ],
)
def test_files_that_hold_no_key(file: bytes, message: str) -> None:
    with pytest.raises(KeyFileError, match=message) as caught:
        PublicKey.from_pem(file, "release.pem")
    assert str(caught.value).startswith("release.pem: ")
    assert caught.value.hint


def test_one_key_does_not_check_what_another_signed() -> None:
    for one in ("p256", "p384", "p521"):
        signature = key_of("maker", one).sign(b"message")
        key_of("maker", one).public.check(signature, b"message")
        for other in ("p256", "p384", "p521"):
            with pytest.raises(BadSignatureError):
                key_of("second", other).public.check(signature, b"message")


def test_a_folder_is_all_its_keys(tmp_path: Path) -> None:
    for name, who in (("b.pem", "maker"), ("a.pem", "second"), (".c.pem", "mallory"), ("d.pem~", "mallory")):
        (tmp_path / name).write_bytes(key_of(who).public.pem)
    keys = read_keys([tmp_path])
    assert [Path(key.origin).name for key in keys] == ["a.pem", "b.pem"]


@pytest.mark.parametrize("spoil", ["broken", "empty", "folder", "fifo", "huge", "dangling", "private"])
def test_a_folder_with_one_bad_key_is_refused_whole(tmp_path: Path, spoil: str) -> None:
    (tmp_path / "good.pem").write_bytes(PEM)
    bad = tmp_path / "zz.pem"
    if spoil == "folder":
        bad.mkdir()
    elif spoil == "fifo":
        os.mkfifo(bad)
    elif spoil == "dangling":
        bad.symlink_to(tmp_path / "nowhere")
    else:
        contents = {"broken": b"no key", "empty": b"", "huge": PEM + b" " * 70_000}
        bad.write_bytes(contents.get(spoil, key_of("maker").to_pem(None)))
    with pytest.raises(KeyFileError, match=r"zz\.pem"):
        Trust.read(tmp_path)


def test_no_key_is_no_trust(tmp_path: Path) -> None:
    for paths, message in (((), "no key was named"), ((tmp_path,), "there is no key in the folder")):
        with pytest.raises(KeyFileError, match=message):
            Trust.read(*paths)
    with pytest.raises(TrustRequiredError, match="at least one public key"):
        Trust(keys=())


def test_a_key_from_two_files_counts_once(tmp_path: Path, bundle: bytes) -> None:
    (tmp_path / "a.pem").write_bytes(PEM)
    (tmp_path / "b.pem").write_bytes(PEM.replace(b"\n", b"\r\n"))
    trust = Trust.read(tmp_path)
    assert len(trust.keys) == 1
    forgery = forge(bundle, key_of("maker"))
    assert trust.check(read_unverified(forgery.build())).signed


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"keys": ("release.pub.pem",)}, "at least one public key"),
        ({"keys": "release.pub.pem"}, "at least one public key"),
        ({"revoked_keys": "0" * 64}, "revoked_keys must be a set of strings"),
        ({"revoked_keys": {"A" * 64}}, "not a SHA-256 in lowercase"),
        ({"revoked_digests": {"sha256:" + "0" * 64}}, "not a SHA-256 in lowercase"),
        ({"revoked_digests": {7}}, "must hold strings only"),
        ({"names": "cats"}, "names must be a set of strings"),
        ({"targets": b"raspberry-pi-4"}, "targets must be a set of strings"),
        ({"targets": 4}, "targets must be a set of strings"),
        ({"least_epoch": "4"}, "least_epoch must be a whole number"),
        ({"least_epoch": True}, "least_epoch must be a whole number"),
    ],
)
def test_entries_that_would_never_match_are_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(TrustRequiredError, match=message):
        Trust(**{"keys": (key_of("maker").public,), **limits})


def test_reading_a_trust_imports_little(tmp_path: Path) -> None:
    """A device pays for it at each start: neither numpy, click nor a parser of certificates."""
    (tmp_path / "key.pem").write_bytes(PEM)
    program = f"import edgekit, sys; edgekit.Trust.read({str(tmp_path / 'key.pem')!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "cryptography.hazmat.primitives.asymmetric.ec" in loaded
    assert not loaded & {
        "numpy",
        "click",
        "cryptography.x509",
        "cryptography.hazmat.primitives.serialization.ssh",
    }
