from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from signing_kit import at_a_terminal

from edgekit.trust.keys import PublicKey
from edgekit.trust.private import PrivateKey

Run = Callable[..., Result]
SECRET = "correct horse battery staple"


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RELEASE_SECRET", SECRET)
    return "RELEASE_SECRET"


@pytest.mark.parametrize(("curve", "name"), [("p256", "P-256"), ("p384", "P-384"), ("p521", "P-521")])
def test_both_files_fit_and_cryptography_reads_them(
    command: Run, tmp_path: Path, secret: str, curve: str, name: str
) -> None:
    done = command(
        "keygen", "-o", tmp_path / "release", "--curve", curve, "--passphrase-env", secret, "--json"
    )
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    private, public = Path(said["private"]), Path(said["public"])
    assert (private.name, public.name) == ("release.key.pem", "release.pub.pem")
    assert (said["curve"], said["encrypted"]) == (name, True)
    key = load_pem_private_key(private.read_bytes(), SECRET.encode())
    loaded = load_pem_public_key(public.read_bytes())
    assert key.public_key().public_numbers() == loaded.public_numbers()  # type: ignore[union-attr]
    read = PublicKey.from_pem(public.read_bytes(), "it")
    assert read.fingerprint == said["fingerprint"]
    assert read == PrivateKey.from_pem(private.read_bytes(), SECRET.encode(), "it").public


def test_the_private_key_is_for_its_owner_alone(command: Run, tmp_path: Path, secret: str) -> None:
    command("keygen", "-o", tmp_path / "release", "--passphrase-env", secret)
    private = tmp_path / "release.key.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert private.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert sorted(path.name for path in tmp_path.glob("*.pem")) == ["release.key.pem", "release.pub.pem"]


def test_without_a_passphrase_it_says_so(command: Run, tmp_path: Path) -> None:
    done = command("keygen", "-o", tmp_path / "ci", "--no-passphrase")
    assert done.exit_code == 0
    assert "is not encrypted: whoever reads it can sign as you" in done.stderr
    assert "for every device that shall trust it" in done.stdout
    assert (tmp_path / "ci.key.pem").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert stat.S_IMODE((tmp_path / "ci.key.pem").stat().st_mode) == 0o600


def test_two_keys_are_two(command: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        command("keygen", "-o", tmp_path / name, "--no-passphrase")
    assert (tmp_path / "a.pub.pem").read_bytes() != (tmp_path / "b.pub.pem").read_bytes()


@pytest.mark.parametrize("there", ["release.key.pem", "release.pub.pem"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_nothing_is_overwritten(command: Run, tmp_path: Path, there: str, kind: str) -> None:
    old = tmp_path / there
    if kind == "file":
        old.write_bytes(b"precious")
    else:
        old.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    done = command("keygen", "-o", tmp_path / "release", "--no-passphrase", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["kind"] == "OutputError"
    assert sorted(tmp_path.iterdir()) == before
    if kind == "file":
        assert old.read_bytes() == b"precious"


def test_a_public_file_that_cannot_be_written_leaves_no_private_one(
    command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is taken between the check and the write."""
    import edgekit.files

    write = edgekit.files.write_atomically

    def race(path: Path, data: bytes, **options: object) -> None:
        if path.name.endswith(".pub.pem"):
            path.write_bytes(b"somebody else's")
        write(path, data, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(edgekit.files, "write_atomically", race)
    done = command("keygen", "-o", tmp_path / "release", "--no-passphrase")
    assert done.exit_code == 1
    assert [path.name for path in tmp_path.glob("*.pem")] == ["release.pub.pem"]
    assert (tmp_path / "release.pub.pem").read_bytes() == b"somebody else's"


@pytest.mark.parametrize(
    ("options", "code", "kind", "message"),
    [
        ([], 1, "KeyFileError", "there is no terminal to ask at"),
        (["--passphrase-env", "ABSENT_SECRET"], 1, "KeyFileError", "no passphrase in $ABSENT_SECRET"),
        (["--passphrase-file", "absent"], 1, "KeyFileError", "no such file"),
        (["--passphrase-file", "empty"], 1, "KeyFileError", "there is no passphrase in empty"),
        (["--passphrase-file", "short"], 1, "KeyFileError", "has 11 characters, and must have 12"),
        (["--passphrase-file", "latin"], 1, "KeyFileError", "is not UTF-8"),
        (["--passphrase-file", "short", "--passphrase-env", "X"], 2, "UsageError", "exclude each other"),
        (["--passphrase-file", "short", "--no-passphrase"], 2, "UsageError", "excludes"),
        (["--passphrase", "on the command line"], 2, "NoSuchOption", "--passphrase"),
        (["--curve", "secp256k1", "--no-passphrase"], 2, "BadParameter", "secp256k1"),
    ],
)
def test_refusals_leave_nothing(
    command: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    kind: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "empty": b"\n",
        "short": b"eleven char\n",
        "latin": b"h\xe4tte h\xe4tte h\xe4tte",
    }.items():
        (tmp_path / name).write_bytes(content)
    done = command("keygen", "-o", "release", *options, "--json")
    assert done.exit_code == code
    error = json.loads(done.stdout)["error"]
    assert error["kind"] in (kind, "UsageError") if code == 2 else error["kind"] == kind
    assert message in error["message"]
    assert list(tmp_path.glob("*.pem")) == []


def test_a_missing_folder_is_refused_with_what_to_type(command: Run, tmp_path: Path) -> None:
    done = command("keygen", "-o", tmp_path / "keys" / "release", "--no-passphrase")
    assert done.exit_code == 1
    assert f"mkdir -p {tmp_path / 'keys'}" in done.stderr


def test_at_a_terminal_it_asks_twice_and_shows_nothing(site: object, tmp_path: Path) -> None:
    words = ["keygen", "-o", str(tmp_path / "release")]
    code, shown = at_a_terminal(words, [SECRET, SECRET])
    assert code == 0, shown
    assert SECRET not in shown
    PrivateKey.from_pem((tmp_path / "release.key.pem").read_bytes(), SECRET.encode(), "it")


@pytest.mark.parametrize("name", ["release", "release.key.pem", "release.pub.pem"])
def test_an_ending_is_not_written_twice(command: Run, tmp_path: Path, name: str) -> None:
    assert command("keygen", "-o", tmp_path / name, "--no-passphrase").exit_code == 0
    assert sorted(path.name for path in tmp_path.glob("*.pem")) == ["release.key.pem", "release.pub.pem"]


@pytest.mark.parametrize("name", ["", ".", "..", "keys", "keys/", "keys/.", ".key.pem", "keys/.pub.pem"])
def test_a_folder_is_no_name(
    command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keys").mkdir()
    done = command("keygen", "-o", name, "--no-passphrase", "--json")
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "OutputError"
    assert "it names no file" in error["message"]
    assert "-o keys/release" in error["hint"]
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".pem")]
