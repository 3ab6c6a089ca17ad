from __future__ import annotations

import json
import shutil
import stat
import subprocess
import zipfile
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from signing_kit import at_a_terminal, key_of

from edgekit.bundle import read_unverified
from edgekit.errors import KeyFileError
from edgekit.trust import Trust
from edgekit.trust.keys import PublicKey
from edgekit.trust.pkcs11 import TokenUri

Run = Callable[..., Result]
SECRET = "correct horse battery staple"


@pytest.fixture
def plain(bundle_file: Callable[..., Path], dense: Any) -> Path:
    return bundle_file(dense)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "open.key.pem"
    path.write_bytes(key_of("maker").to_pem(None))
    return path


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    path = tmp_path / "locked.key.pem"
    path.write_bytes(key_of("maker").to_pem(SECRET.encode()))
    return path


def signer_of(path: Path) -> str | None:
    return Trust(keys=(key_of("maker").public,)).check(read_unverified(path.read_bytes())).signer


def test_it_signs_in_place(command: Run, plain: Path, key: Path) -> None:
    before = read_unverified(plain.read_bytes())
    done = command("sign", plain, "--key", key)
    assert done.exit_code == 0, done.stderr
    assert "cats 1.4.0-rc.1, security epoch 3, is signed" in done.stdout
    assert signer_of(plain) == key_of("maker").public.fingerprint
    after = read_unverified(plain.read_bytes())
    assert set(after.members) - set(before.members) == {"signature.json"}
    assert all(after.members[name] == content for name, content in before.members.items())
    assert not list(plain.parent.glob(".edgekit*"))


def test_it_signs_to_another_file(command: Run, plain: Path, key: Path, tmp_path: Path) -> None:
    before = plain.read_bytes()
    done = command("sign", plain, "--key", key, "-o", tmp_path / "out.edgekit", "--json")
    said = json.loads(done.stdout)
    assert plain.read_bytes() == before
    assert signer_of(tmp_path / "out.edgekit") == said["signer"]
    assert said["bundle"] == str(tmp_path / "out.edgekit")
    assert (said["name"], said["security_epoch"]) == ("cats", 3)


def test_a_link_stays_a_link(command: Run, plain: Path, key: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest.edgekit"
    link.symlink_to(plain)
    assert command("sign", link, "--key", key).exit_code == 0
    assert link.is_symlink()
    assert signer_of(plain)


def test_the_same_members_keep_their_identity(command: Run, plain: Path, key: Path) -> None:
    identities = [
        json.loads(command("sign", plain, "--key", key, "--replace", "--json").stdout) for _ in range(2)
    ]
    assert identities[0]["payload_digest"] == identities[1]["payload_digest"]
    assert identities[0]["digest"] != identities[1]["digest"]  # ECDSA draws a new nonce each time


def test_a_signature_is_replaced_only_where_that_is_written(command: Run, plain: Path, key: Path) -> None:
    command("sign", plain, "--key", key)
    before = plain.read_bytes()
    done = command("sign", plain, "--key", key, "--json")
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "AlreadySignedError"
    assert "--replace" in error["hint"]
    assert plain.read_bytes() == before
    assert command("sign", plain, "--key", key, "--replace").exit_code == 0
    assert plain.read_bytes() != before


def test_an_encrypted_key_takes_its_passphrase_from_a_file_or_the_environment(
    command: Run, plain: Path, locked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\r\nsecond line\n")
    monkeypatch.setenv("RELEASE_SECRET", SECRET)
    for option in (["--passphrase-file", tmp_path / "secret"], ["--passphrase-env", "RELEASE_SECRET"]):
        done = command("sign", plain, "--key", locked, "--replace", *option)
        assert done.exit_code == 0, done.stderr
        assert signer_of(plain)


def test_at_a_terminal_it_asks_for_the_passphrase(site: object, plain: Path, locked: Path) -> None:
    code, shown = at_a_terminal(["sign", str(plain), "--key", str(locked)], [SECRET])
    assert code == 0, shown
    assert SECRET not in shown
    assert signer_of(plain)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (["--key", "absent.pem"], "KeyFileError", "no such file"),
        (["--key", "public.pem"], "KeyFileError", "there is no private key in it"),
        (["--key", "rsa.pem"], "KeyFileError", "not an ECDSA key on one of P-256"),
        (["--key", "koblitz.pem"], "KeyFileError", "not an ECDSA key on one of P-256"),
        (["--key", "ed25519.pem"], "KeyFileError", "not an ECDSA key on one of P-256"),
        (["--key", "broken.pem"], "KeyFileError", "the key is damaged"),
        (["--key", "locked.key.pem"], "KeyFileError", "there is no terminal to ask at"),
        (["--key", "locked.key.pem", "--passphrase-env", "WRONG"], "KeyFileError", "the passphrase is wrong"),
        (
            ["--key", "open.key.pem", "--passphrase-env", "WRONG"],
            "KeyFileError",
            "not encrypted, and a passphrase",
        ),
        (["--key", "open.key.pem", "-o", "absent/x.edgekit"], "OutputError", "no such file or directory"),
        (["--key", "pkcs11:token=x"], "KeyFileError", "neither object nor id"),
    ],
)
def test_refusals_change_nothing(
    command: Run,
    plain: Path,
    key: Path,
    locked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    kind: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WRONG", "an entirely other passphrase")
    write_other_keys(tmp_path)
    before = plain.read_bytes()
    done = command("sign", plain, *options, "--json")
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == kind
    assert message in error["message"]
    assert error["hint"]
    assert plain.read_bytes() == before
    assert not list(tmp_path.glob(".edgekit*"))


def write_other_keys(folder: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    others = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "koblitz": ec.generate_private_key(ec.SECP256K1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    for name, other in others.items():
        pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.pem").write_bytes(pem)
    (folder / "public.pem").write_bytes(key_of("maker").public.pem)
    pem = key_of("maker").to_pem(None)
    (folder / "broken.pem").write_bytes(pem[:40] + b"AAAA" + pem[44:])


def test_what_is_no_bundle_is_not_signed(command: Run, tmp_path: Path, key: Path) -> None:
    (tmp_path / "x.edgekit").write_bytes(b"PK no")
    done = command("sign", tmp_path / "x.edgekit", "--key", key, "--json")
    assert json.loads(done.stdout)["error"]["kind"] == "MalformedBundleError"
    assert (tmp_path / "x.edgekit").read_bytes() == b"PK no"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("locked.key.pem", "it is the key"),
        ("link", "it is the key"),
        ("secret", "it is the file with the passphrase"),
        ("release.pub.pem", "it is there already, and is no bundle"),
        ("digits.keras", "it is there already, and is no bundle"),
    ],
)
def test_no_other_file_is_replaced(
    command: Run,
    plain: Path,
    locked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret").write_text(SECRET)
    Path("release.pub.pem").write_bytes(key_of("maker").public.pem)
    with zipfile.ZipFile("digits.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    Path("link").symlink_to(locked)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    words = ("sign", plain, "--key", locked, "--passphrase-file", "secret", "--json")
    done = command(*words, "--replace", "-o", output)
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "OutputError"
    assert error["message"] == f"cannot write {output}: {message}"
    assert "choose another name" in error["hint"]
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_an_older_bundle_is_replaced(command: Run, plain: Path, key: Path, tmp_path: Path) -> None:
    (tmp_path / "out.edgekit").write_bytes(plain.read_bytes())
    assert command("sign", plain, "--key", key, "-o", tmp_path / "out.edgekit").exit_code == 0
    assert signer_of(tmp_path / "out.edgekit")


def test_a_bundle_for_its_owner_alone_stays_so(command: Run, plain: Path, key: Path) -> None:
    plain.chmod(0o600)
    assert command("sign", plain, "--key", key).exit_code == 0
    assert signer_of(plain)
    assert stat.S_IMODE(plain.stat().st_mode) == 0o600


def test_a_passphrase_that_is_not_needed_is_to_be_left_out(
    command: Run, plain: Path, key: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    done = command("sign", plain, "--key", key, "--passphrase-file", tmp_path / "secret", "--json")
    assert json.loads(done.stdout)["error"]["hint"] == "leave --passphrase-file or --passphrase-env out"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl program is not installed")
def test_openssl_checks_what_was_signed(command: Run, plain: Path, key: Path, tmp_path: Path) -> None:
    """A verifier that shares no code with edgekit or the package cryptography."""
    command("sign", plain, "--key", key)
    document = json.loads(bytes(read_unverified(plain.read_bytes()).members["signature.json"]))
    envelope = document["dsseEnvelope"]
    payload = b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    (tmp_path / "message").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    (tmp_path / "der").write_bytes(b64decode(envelope["signatures"][0]["sig"]))
    (tmp_path / "pub").write_bytes(key_of("maker").public.pem)
    words = ["openssl", "dgst", "-sha256", "-verify", "pub", "-signature", "der", "message"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verified OK" in done.stdout, done.stderr


SOFTHSM = next(
    (
        path
        for path in map(Path, ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm.so"))
        if path.exists()
    ),
    None,
)
PIN = "4711"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[str, PublicKey]]:
    """Makes a key on a SoftHSM token: its URI, and the public key as the token tells it."""
    pytest.importorskip("pkcs11", reason="the extra 'pkcs11' is not installed")
    if SOFTHSM is None or shutil.which("softhsm2-util") is None or shutil.which("openssl") is None:
        pytest.skip("SoftHSM or openssl is not installed (Debian: softhsm2, openssl)")
    (tmp_path / "tokens").mkdir()
    config = tmp_path / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(config))
    util = ["softhsm2-util", "--pin", PIN]
    start = [*util, "--init-token", "--free", "--label", "release", "--so-pin", "0815"]
    subprocess.run(start, check=True, capture_output=True)

    def make(word: str) -> tuple[str, PublicKey]:
        pem = tmp_path / "import.pem"
        pem.write_bytes(key_of("token", word).to_pem(None))
        add = [*util, "--import", str(pem), "--token", "release", "--label", f"key {word}", "--id", "a1"]
        subprocess.run(add, check=True, capture_output=True)
        uri = f"pkcs11:token=release;object=key%20{word}?module-path={SOFTHSM}"
        return uri, key_of("token", word).public

    return make


@pytest.mark.parametrize("word", ["p256", "p384", "p521"])
def test_a_key_on_a_token_signs(
    site: Any, plain: Path, token: Callable[[str], tuple[str, PublicKey]], tmp_path: Path, word: str
) -> None:
    """In a process of its own: a PKCS#11 library reads its configuration once a process."""
    uri, public = token(word)
    (tmp_path / "pin").write_text(PIN)
    done = edgekit_process("sign", plain, "--key", uri, "--passphrase-file", tmp_path / "pin")
    assert done.returncode == 0, done.stderr
    assert Trust(keys=(public,)).check(read_unverified(plain.read_bytes())).signer == public.fingerprint


def test_a_token_refuses_in_words(
    site: Any, plain: Path, token: Callable[[str], tuple[str, PublicKey]], tmp_path: Path
) -> None:
    uri, _ = token("p256")
    (tmp_path / "pin").write_text(PIN)
    (tmp_path / "wrong").write_text("0000")
    before = plain.read_bytes()
    for changed, pin, word in (
        (uri, "wrong", "PinIncorrect"),
        (uri.replace("key%20", "no"), "pin", "NoSuchKey"),
        (uri.replace("token=release", "token=other"), "pin", "NoSuchToken"),
        (uri.replace(str(SOFTHSM), "/absent.so"), "pin", "/absent.so"),
    ):
        done = edgekit_process("sign", plain, "--key", changed, "--passphrase-file", tmp_path / pin)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert word in done.stderr
        assert "hint: " in done.stderr
    assert plain.read_bytes() == before


def edgekit_process(*words: object) -> subprocess.CompletedProcess[str]:
    import sys

    command = [sys.executable, "-m", "edgekit", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("pkcs11:", "names no key"),
        ("pkcs11:object=x", "names no PKCS#11 library"),
        ("pkcs11:object=x?pin-value=1234&module-path=/m.so", "pin-value is not taken from the URI"),
        ("pkcs11:object=x?pin-source=file:/pin&module-path=/m.so", "pin-source is not taken"),
        ("pkcs11:object=x;object=y?module-path=/m.so", "'object', which is unknown or there twice"),
        ("pkcs11:object=x;colour=red?module-path=/m.so", "'colour', which is unknown"),
    ],
)
def test_uris_that_are_refused(uri: str, message: str) -> None:
    with pytest.raises(KeyFileError, match=message) as caught:
        TokenUri.parse(uri, {})
    assert "1234" not in str(caught.value)


def test_an_uri_is_read() -> None:
    uri = TokenUri.parse("pkcs11:token=My%20token;id=%01%ff", {"PKCS11_MODULE": "/m.so"})
    assert (uri.token, uri.object, uri.id, uri.module) == ("My token", None, b"\x01\xff", "/m.so")
