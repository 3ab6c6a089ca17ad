"""edgekit beside the official signer and verifier of OpenSSF Model Signing, each on what the other signed.

The official package runs in an environment of its own, for it brings 36 packages, some with pins that disturb others.
It is made in .venv-official at the first run; without a package index these tests are skipped, and the recorded
signatures below are checked alone. official/ holds them: ``model_signing sign key model --private_key KEY --signature
CURVE.signature.json``, by model-signing 1.1.1.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from signing_kit import key_of

from edgekit.bundle import read_unverified, write_bundle
from edgekit.errors import BadSignatureError, FileMismatchError
from edgekit.trust import Trust
from edgekit.trust.envelope import read_envelope, signed_bytes
from edgekit.trust.keys import PublicKey
from edgekit.trust.signing import sign_bundle
from edgekit.trust.statement import check_members, digests_of, read_statement

RECORDED = Path(__file__).parent / "official"
ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-official"
CURVES = ("p256", "p384", "p521")

Official = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def official() -> Official:
    """Runs ``model_signing``, once it is installed."""
    python, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / ".installed"
    wanted = (RECORDED / "requirements.txt").read_text() + sys.version
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        install = [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
        ]
        words = [*install, "--requirement", RECORDED / "requirements.txt"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
            pytest.skip(f"the official model_signing cannot be installed: {last}")
        stamp.write_text(wanted)

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [python, "-P", "-m", "model_signing", *map(str, words)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
        )

    return run


@pytest.fixture(params=CURVES)
def word(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def keys(tmp_path: Path, word: str) -> tuple[Path, Path]:
    """The private and the public key as files."""
    private, public = tmp_path / "key.pem", tmp_path / "pub.pem"
    private.write_bytes(key_of("maker", word).to_pem(None))
    public.write_bytes(key_of("maker", word).public.pem)
    return private, public


def unpacked(data: bytes, folder: Path) -> Path:
    folder.mkdir()
    for name, content in read_unverified(data).members.items():
        (folder / name).write_bytes(content)
    return folder


def test_the_official_verifier_takes_what_we_sign_and_unpack(
    official: Official, command: Callable[..., Any], bundle: bytes, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = keys
    path, folder = tmp_path / "cats.edgekit", tmp_path / "cats"
    path.write_bytes(bundle)
    assert command("sign", path, "--key", private).exit_code == 0
    assert command("unpack", path, "-o", folder).exit_code == 0
    words = ("verify", "key", folder, "--public_key", public, "--signature", folder / "signature.json")
    done = official(*words)
    assert done.returncode == 0, done.stderr
    assert "Verification succeeded" in done.stdout
    (folder / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    assert official(*words).returncode != 0  # so that the success above means something


def test_the_official_verifier_refuses_another_key(official: Official, bundle: bytes, tmp_path: Path) -> None:
    folder = unpacked(sign_bundle(bundle, key_of("maker")).data, tmp_path / "cats")
    other = tmp_path / "other.pem"
    other.write_bytes(key_of("mallory").public.pem)
    done = official("verify", "key", folder, "--public_key", other, "--signature", folder / "signature.json")
    assert done.returncode != 0
    assert "Key mismatch" in done.stdout + done.stderr


def test_we_take_what_the_official_signer_signs(
    official: Official, bundle: bytes, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = keys
    folder = unpacked(bundle, tmp_path / "cats")
    done = official("sign", "key", folder, "--private_key", private, "--signature", folder / "signature.json")
    assert done.returncode == 0, done.stderr
    members = {path.name: path.read_bytes() for path in folder.iterdir()}
    verified = Trust.read(public).check(read_unverified(write_bundle(members)))
    assert verified.signed
    spoilt = {**members, "model.tflite": members["model.tflite"] + b"\0"}
    with pytest.raises(FileMismatchError):
        Trust.read(public).check(read_unverified(write_bundle(spoilt)))


def test_the_official_signer_may_leave_out_nothing(official: Official, bundle: bytes, tmp_path: Path) -> None:
    """Its verifier takes this: ``ignore_paths`` is the signer's word."""
    folder = unpacked(bundle, tmp_path / "cats")
    private, public = tmp_path / "key.pem", tmp_path / "pub.pem"
    private.write_bytes(key_of("maker").to_pem(None))
    public.write_bytes(key_of("maker").public.pem)
    signature = ("--signature", folder / "signature.json")
    ignoring = ("--ignore-paths", folder / "golden.npz")
    assert official("sign", "key", folder, "--private_key", private, *signature, *ignoring).returncode == 0
    (folder / "golden.npz").write_bytes(
        (folder / "golden.npz").read_bytes().replace(b"\0\0\0\0", b"\0\0\0\1")
    )
    assert official("verify", "key", folder, "--public_key", public, *signature, *ignoring).returncode == 0
    data = write_bundle({path.name: path.read_bytes() for path in folder.iterdir()})
    with pytest.raises(FileMismatchError, match=r"golden\.npz' is not among those that were signed"):
        Trust.read(public).check(read_unverified(data))


def test_a_recorded_official_signature_holds(word: str) -> None:
    """Without the official package: the functions that `Trust.check` is made of, on what 1.1.1 wrote."""
    key = PublicKey.from_pem((RECORDED / f"{word}.pub.pem").read_bytes(), word)
    envelope = read_envelope((RECORDED / f"{word}.signature.json").read_bytes())
    assert envelope.hint == key.fingerprint
    key.check(envelope.signature, signed_bytes(envelope.payload))
    members = {path.name: path.read_bytes() for path in (RECORDED / "model").iterdir()}
    statement = read_statement(envelope.payload)
    assert statement.subject == "model"
    check_members(statement, digests_of(members))
    with pytest.raises(FileMismatchError):
        check_members(statement, digests_of({**members, "model.tflite": b""}))
    with pytest.raises(BadSignatureError):
        key.check(envelope.signature, signed_bytes(envelope.payload + b" "))
