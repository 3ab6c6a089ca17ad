from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from signing_kit import key_of, write_signed

from edgekit.bundle import read_unverified, write_bundle
from edgekit.selftest.planning import record_key
from edgekit.state import StateStore

Run = Callable[..., Result]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "release.pub.pem"
    path.write_bytes(key_of("maker").public.pem)
    return path


@pytest.fixture
def signed(golden_file: Callable[..., Path], dense: Any) -> Path:
    return write_signed(golden_file(dense), key_of("maker"))


def repacked(path: Path, **members: bytes) -> Path:
    """The bundle with some members swapped; `__` stands for the dot."""
    held = {name: bytes(content) for name, content in read_unverified(path.read_bytes()).members.items()}
    held.update({name.replace("__", "."): content for name, content in members.items()})
    path.write_bytes(write_bundle(held))
    return path


def error_of(done: Result) -> dict[str, Any]:
    assert done.exit_code == 1
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    assert error["hint"]
    return error


def test_it_prints_who_signed_what_and_each_check(command: Run, signed: Path, key: Path) -> None:
    done = command("verify", signed, "--trust", key)
    assert done.exit_code == 0, done.stderr
    maker = key_of("maker").public.fingerprint
    lines = done.stdout.splitlines()
    assert lines[0] == f"{signed}: verified"
    facts = dict(line.strip().split("  ", 1) for line in lines[1 : lines.index("checks passed:")])
    facts = {name: value.strip() for name, value in facts.items()}
    assert facts["name"] == "cats 1.4.0-rc.1"
    assert facts["signed by"] == f"{key} (P-256)"
    assert facts["fingerprint"] == maker
    assert facts["signed at"].startswith("not shown: a signature made with a key carries no time")
    assert facts["security epoch"] == "3"
    assert facts["targets"] == "raspberry-pi-4, coral-usb-accelerator"
    checks = lines[lines.index("checks passed:") + 1 :]
    assert len(checks) == 6
    for word in (
        "trusted key",
        "signature holds",
        "revoked",
        "all 3 members",
        "security epoch",
        "model.tflite",
    ):
        assert any(word in check for check in checks)


def test_json_is_one_object(command: Run, signed: Path, key: Path) -> None:
    said = json.loads(command("verify", signed, "--trust", key, "--json").stdout)
    unverified = read_unverified(signed.read_bytes())
    assert said["verified"] is True
    assert said["signed_at"] is None
    assert said["digest"] == unverified.digest
    assert said["signer"] == {
        "fingerprint": key_of("maker").public.fingerprint,
        "key": str(key),
        "curve": "P-256",
    }
    assert (said["security_epoch"], said["floor"], said["self_test"]) == (3, 0, None)
    assert len(said["checks"]) == 6


def test_it_changes_no_floor(command: Run, signed: Path, key: Path, state_folder: Path) -> None:
    command("verify", signed, "--trust", key)
    assert list(state_folder.iterdir()) == []


def test_it_looks_at_this_machines_floor(command: Run, signed: Path, key: Path, tmp_path: Path) -> None:
    StateStore(tmp_path / "state").raise_floor("cats", 4)
    done = command("verify", signed, "--trust", key, "--state", tmp_path / "state", "--json")
    assert error_of(done)["kind"] == "DowngradeError"
    assert command("verify", signed, "--trust", key).exit_code == 0


def test_the_self_test_is_run_and_remembered(
    command: Run, signed: Path, key: Path, state_folder: Path
) -> None:
    done = command("verify", signed, "--trust", key, "--self-test", "--json")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    report = said["self_test"]
    assert (report["tested"], report["inputs"]) == (True, 4)
    assert said["checks"][-1].startswith("self-test: 4 golden inputs")
    record = record_key(said["payload_digest"], report["runtime"], report["kernels"], report["device"])
    assert StateStore(state_folder).has_passed(record)


def test_a_self_test_that_fails_is_refused(
    command: Run, golden_file: Callable[..., Path], dense: Any, key: Path
) -> None:
    path = write_signed(golden_file(dense, spoilt=True), key_of("maker"))
    assert command("verify", path, "--trust", key).exit_code == 0
    error = error_of(command("verify", path, "--trust", key, "--self-test", "--json"))
    assert error["kind"] == "SelfTestError"
    assert str(path) in error["message"]


def test_a_signed_model_that_is_malformed_is_refused(
    command: Run, bundle_file: Callable[..., Path], dense: Any, key: Path
) -> None:
    path = write_signed(bundle_file(replace(dense, model=dense.model[:300])), key_of("maker"))
    error = error_of(command("verify", path, "--trust", key, "--json"))
    assert error["kind"] == "MalformedModelError"


def test_each_refusal_has_its_kind(
    command: Run, signed: Path, key: Path, golden_file: Callable[..., Path], dense: Any
) -> None:
    other = key.with_name("other.pem")
    other.write_bytes(key_of("mallory", "p384").public.pem)
    plain = golden_file(dense, "plain.edgekit")
    cases = {
        "TrustRequiredError": (signed,),
        "KeyFileError": (signed, "--trust", "absent.pem"),
        "UntrustedKeyError": (signed, "--trust", other),
        "NotSignedError": (plain, "--trust", key),
        "BundleError": ("absent.edgekit", "--trust", key),
        "MalformedBundleError": (key, "--trust", key),
    }
    for kind, words in cases.items():
        error = error_of(command("verify", *words, "--json"))
        assert error["kind"] == kind
        if kind != "KeyFileError":
            assert str(words[0]) in error["message"]


def test_the_bundle_is_named_once(command: Run, key: Path) -> None:
    error = error_of(command("verify", "absent.edgekit", "--trust", key, "--json"))
    assert error["message"] == "cannot read absent.edgekit: there is no such file"


def test_a_device_without_a_self_test_is_wrong_usage(command: Run, signed: Path, key: Path) -> None:
    done = command("verify", signed, "--trust", key, "--device", "foo")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "--device needs --self-test" in done.stderr


def test_a_changed_member_is_named(command: Run, signed: Path, key: Path, dense: Any) -> None:
    changed = dense.model.replace(b"edgekit test", b"edgekit evil")
    done = command("verify", repacked(signed, model__tflite=changed), "--trust", key)
    assert done.exit_code == 1
    assert "edgekit: error: " in done.stderr
    assert "member 'model.tflite' is not the one that was signed" in done.stderr
    assert "hint: it was changed after it was signed" in done.stderr
    assert done.stdout == ""


def test_a_broken_signature_file_is_no_traceback(command: Run, signed: Path, key: Path) -> None:
    error = error_of(command("verify", repacked(signed, signature__json=b"{}\n"), "--trust", key, "--json"))
    assert error["kind"] == "BadSignatureError"


def test_a_folder_of_keys_names_the_one_that_signed(
    command: Run, signed: Path, key: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "trust.d"
    folder.mkdir()
    for name, who in (("2025.pem", "second"), ("2026.pem", "maker")):
        (folder / name).write_bytes(key_of(who).public.pem)
    (folder / "README").write_text("keys of the release team")
    said = json.loads(command("verify", signed, "--trust", folder, "--json").stdout)
    assert said["signer"]["key"] == str(folder / "2026.pem")
    (folder / "2026.pem").unlink()
    assert error_of(command("verify", signed, "--trust", folder, "--json"))["kind"] == "UntrustedKeyError"
    (folder / "2025.pem").unlink()
    assert error_of(command("verify", signed, "--trust", folder, "--json"))["kind"] == "KeyFileError"


def test_run_takes_the_key(command: Run, signed: Path, key: Path, tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "x.npy", np.zeros((4, 4, 3), np.uint8))
    done = command("run", signed, tmp_path / "x.npy", "--trust", key, "--state", tmp_path / "state")
    assert done.exit_code == 0, done.stderr
    assert "unsigned" not in done.stderr
    assert StateStore(tmp_path / "state").floor("cats") == 3
