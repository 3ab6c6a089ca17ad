"""Signatures and the state store on every board: what was signed on the workstation runs there, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from board_kinds import Board, Outcome
from old_bundles import kept

from edgekit.bundle import MANIFEST, read_unverified, write_bundle

if importlib.util.find_spec("edgekit.commands.verify") is None:
    pytest.skip("this edgekit has no signatures", allow_module_level=True)

SIGNATURE = "signature.json"


@dataclass(frozen=True)
class Signed:
    """Bundles of one name, signed on the workstation.

    Attributes:
        key: The public key.
        stranger: Another one.
        new: A bundle of security epoch 2.
        old: The same, properly signed too, of epoch 1.
    """

    key: bytes
    stranger: bytes
    new: bytes
    old: bytes


def edgekit(folder: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    folder = tmp_path_factory.mktemp("keys")
    bundle = read_unverified(kept("v1/digits").data)
    for key in ("release", "stranger"):
        edgekit(folder, "keygen", "-o", key, "--no-passphrase")
    made = []
    for epoch in (2, 1):
        manifest = replace(bundle.manifest, security_epoch=epoch)
        name = f"{epoch}.edgekit"
        (folder / name).write_bytes(write_bundle({**bundle.members, MANIFEST: manifest.to_bytes()}))
        edgekit(folder, "sign", name, "--key", "release.key.pem")
        made.append((folder / name).read_bytes())
    keys = [(folder / f"{key}.pub.pem").read_bytes() for key in ("release", "stranger")]
    return Signed(keys[0], keys[1], made[0], made[1])


def sample() -> bytes:
    stream = BytesIO()
    np.save(stream, np.full((8, 8, 1), 77, np.uint8))
    return stream.getvalue()


def refusal(outcome: Outcome) -> str:
    """The kind of the error that a command ended with."""
    assert outcome.code == 1, outcome.stdout + outcome.stderr
    kind: str = json.loads(outcome.stdout)["error"]["kind"]
    return kind


def test_a_signed_bundle_is_verified_there(board: Board, signed: Signed) -> None:
    words = ["edgekit", "verify", "b.edgekit", "--trust", "k.pem", "--json"]
    outcome = board.run(words, {"b.edgekit": signed.new, "k.pem": signed.key})
    assert outcome.code == 0, outcome.stderr


def test_a_tampered_member_is_refused_there(board: Board, signed: Signed) -> None:
    members = {name: bytes(content) for name, content in read_unverified(signed.new).members.items()}
    model = bytearray(members["model.tflite"])
    model[-1] ^= 1
    tampered = write_bundle({**members, "model.tflite": bytes(model)})
    words = ["edgekit", "run", "b.edgekit", "x.npy", "--trust", "k.pem", "--json"]
    files = {"b.edgekit": tampered, "k.pem": signed.key, "x.npy": sample()}
    assert refusal(board.run(words, files)) == "FileMismatchError"


def test_another_key_and_no_signature_are_refused_there(board: Board, signed: Signed) -> None:
    words = ["edgekit", "verify", "b.edgekit", "--trust", "k.pem", "--json"]
    assert (
        refusal(board.run(words, {"b.edgekit": signed.new, "k.pem": signed.stranger})) == "UntrustedKeyError"
    )
    bare = {
        name: content for name, content in read_unverified(signed.new).members.items() if name != SIGNATURE
    }
    assert (
        refusal(board.run(words, {"b.edgekit": write_bundle(bare), "k.pem": signed.key})) == "NotSignedError"
    )


def test_the_state_store_remembers_the_epoch_there(board: Board, signed: Signed) -> None:
    program = """
import json, subprocess, sys
run = lambda bundle: subprocess.run(
    [sys.executable, "-m", "edgekit", "run", bundle, "x.npy", "--trust", "k.pem", "--state", "state", "--json"],
    capture_output=True, text=True)
new, old, again = run("new.edgekit"), run("old.edgekit"), run("new.edgekit")
print(json.dumps([new.returncode, old.returncode, again.returncode, json.loads(old.stdout)["error"]["kind"]]))
"""
    files = {"new.edgekit": signed.new, "old.edgekit": signed.old, "k.pem": signed.key, "x.npy": sample()}
    outcome = board.run(["python", "p.py"], files | {"p.py": program.encode()})
    assert json.loads(outcome.stdout) == [0, 1, 0, "DowngradeError"], outcome.stderr
