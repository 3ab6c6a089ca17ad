"""`edgekit.load` with keys: what the device remembers, and what it refuses by that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signing_kit import key_of, write_signed

import edgekit
from edgekit.backends.simulated import Simulation
from edgekit.bundle import read_unverified, write_bundle
from edgekit.errors import (
    DowngradeError,
    FileMismatchError,
    KeyFileError,
    MalformedModelError,
    NotAllowedError,
    NotSignedError,
    SelfTestError,
    SessionError,
    StateError,
    UntrustedKeyError,
)
from edgekit.selftest import conduct
from edgekit.selftest.planning import Planned
from edgekit.session import Session
from edgekit.state import StateStore
from edgekit.trust import UnsignedBundleWarning, resolve

PHOTO = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "release.pub.pem"
    path.write_bytes(key_of("maker").public.pem)
    return path


@pytest.fixture
def signed(bundle_file: Callable[..., Path], dense: Any) -> Path:
    return write_signed(bundle_file(dense), key_of("maker"))


@pytest.fixture
def at_epoch(bundle_file: Callable[..., Path], dense: Any, tmp_path: Path) -> Callable[[int], Path]:
    """The signed bundle of another epoch."""

    def make(epoch: int, name: str = "cats") -> Path:
        unverified = read_unverified(bundle_file(dense).read_bytes())
        manifest = replace(unverified.manifest, security_epoch=epoch, name=name)
        path = tmp_path / f"{name}-{epoch}.edgekit"
        path.write_bytes(write_bundle({**unverified.members, "manifest.json": manifest.to_bytes()}))
        return write_signed(path, key_of("maker"))

    return make


def test_a_signed_bundle_runs_and_raises_the_floor(signed: Path, key: Path, state_folder: Path) -> None:
    with edgekit.load(signed, trust=key) as model:
        assert model.run(PHOTO).outputs["scores"].shape == (1, 3)
    assert StateStore(state_folder).floor("cats") == 3


@pytest.mark.parametrize("kind", ["text", "path", "folder", "trust"])
def test_what_trust_may_be(signed: Path, key: Path, kind: str) -> None:
    trust: object = {
        "text": str(key),
        "path": key,
        "folder": key.parent,
        "trust": edgekit.Trust.read(key, names={"cats"}, targets={"raspberry-pi-4"}, least_epoch=3),
    }[kind]
    edgekit.load(signed, trust=trust).close()


def test_a_downgrade_is_refused_and_a_rollback_within_the_epoch_is_not(
    at_epoch: Callable[[int], Path], key: Path, state_folder: Path
) -> None:
    old, new = at_epoch(4), at_epoch(5)
    edgekit.load(old, trust=key).close()
    edgekit.load(new, trust=key).close()
    edgekit.load(new, trust=key).close()
    with pytest.raises(
        DowngradeError, match=r"cats-4\.edgekit: cats .* has security epoch 4, and at least 5"
    ):
        edgekit.load(old, trust=key)
    assert StateStore(state_folder).floor("cats") == 5


def test_each_name_has_a_floor_of_its_own(at_epoch: Callable[..., Path], key: Path) -> None:
    edgekit.load(at_epoch(9, "dogs"), trust=key).close()
    edgekit.load(at_epoch(1, "cats"), trust=key).close()


def test_the_state_may_be_named(at_epoch: Callable[[int], Path], key: Path, tmp_path: Path) -> None:
    edgekit.load(at_epoch(5), trust=key, state=tmp_path / "one").close()
    edgekit.load(at_epoch(4), trust=key, state=StateStore(tmp_path / "two")).close()
    with pytest.raises(DowngradeError):
        edgekit.load(at_epoch(4), trust=key, state=str(tmp_path / "one"))


def test_a_bundle_that_does_not_open_raises_no_floor(
    at_epoch: Callable[[int], Path], key: Path, state_folder: Path
) -> None:
    with pytest.raises(SessionError):
        edgekit.load(at_epoch(8), trust=key, threads=0)
    assert StateStore(state_folder).floor("cats") == 0


def test_an_unsigned_bundle_neither_asks_nor_raises_the_floor(
    bundle_file: Callable[..., Path], dense: Any, state_folder: Path
) -> None:
    store = StateStore(state_folder)
    store.raise_floor("cats", 1000)
    with pytest.warns(UnsignedBundleWarning):
        edgekit.load(bundle_file(dense), trust=edgekit.UNSIGNED).close()
    assert store.floor("cats") == 1000


def test_refusals_name_the_file(
    signed: Path, key: Path, bundle_file: Callable[..., Path], dense: Any
) -> None:
    other = key.with_name("other.pem")
    other.write_bytes(key_of("mallory").public.pem)
    with pytest.raises(
        UntrustedKeyError, match=r"tiny\.edgekit: it is signed with a key that is not trusted"
    ):
        edgekit.load(signed, trust=other)
    with pytest.raises(NotAllowedError, match=r"tiny\.edgekit: its name is 'cats'"):
        edgekit.load(signed, trust=edgekit.Trust.read(key, names=["dogs"]))
    with pytest.raises(NotSignedError, match=r"tiny\.edgekit: "):
        edgekit.load(bundle_file(dense), trust=key)
    with pytest.raises(KeyFileError, match=r"absent\.pem: there is no such file"):
        edgekit.load(signed, trust=key.with_name("absent.pem"))


def test_a_broken_store_refuses_a_signed_bundle_and_not_an_unsigned_one(
    signed: Path, key: Path, state_folder: Path, golden_file: Callable[..., Path], dense: Any
) -> None:
    edgekit.load(signed, trust=key).close()
    for file in state_folder.glob("*.json"):
        file.write_bytes(b"{}")
    with pytest.raises(StateError) as caught:
        edgekit.load(signed, trust=key)
    assert caught.value.hint
    (state_folder / "passed.json").write_bytes(b"{}")
    with pytest.warns(UnsignedBundleWarning):
        edgekit.load(golden_file(dense), trust=edgekit.UNSIGNED).close()


def test_a_store_that_cannot_be_written_refuses_only_where_something_must_be_written(
    at_epoch: Callable[[int], Path], key: Path, tmp_path: Path
) -> None:
    """A file in place of the folder: what even root cannot write."""
    blocked = tmp_path / "blocked"
    blocked.write_bytes(b"")
    edgekit.load(at_epoch(0), trust=key, state=tmp_path / "fresh").close()
    assert not (tmp_path / "fresh").exists()
    with pytest.raises(StateError):
        edgekit.load(at_epoch(1), trust=key, state=blocked)


def test_the_self_test_runs_once(
    golden_file: Callable[..., Path],
    dense: Any,
    key: Path,
    monkeypatch: pytest.MonkeyPatch,
    state_folder: Path,
) -> None:
    path = write_signed(golden_file(dense), key_of("maker"))
    edgekit.load(path, trust=key).close()
    passed = (state_folder / "passed.json").read_bytes()
    assert passed.count(b"selftest.") == 1
    started: list[object] = []
    run_child = conduct._run_child

    def counted(*words: Any, **options: Any) -> Any:
        started.append(words)
        return run_child(*words, **options)

    monkeypatch.setattr(conduct, "_run_child", counted)
    edgekit.load(path, trust=key).close()
    assert started == []
    edgekit.load(path, trust=key, self_test="always").close()
    assert len(started) == 1


def test_what_passed_is_not_screened_again(
    golden_file: Callable[..., Path], dense: Any, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The firewall is asked once for the same bytes, runtime, device and edgekit, and always for any other."""
    path = write_signed(golden_file(dense), key_of("maker"))
    edgekit.load(path, trust=key).close()

    def refuse(*_: object, **__: object) -> None:
        raise MalformedModelError("screened")

    monkeypatch.setattr("edgekit_targets.tflite.firewall.check_model", refuse)
    edgekit.load(path, trust=key).close()
    bundle = resolve(read_unverified(path.read_bytes()), key)
    for again in (
        lambda: edgekit.load(path, trust=key, self_test="never"),
        lambda: Session(bundle),
        lambda: Session(bundle, screened="usb:0"),
    ):
        with pytest.raises(MalformedModelError, match="screened"):
            again()
    monkeypatch.setattr(conduct, "_run_child", refuse)  # which screens before it runs
    monkeypatch.setattr("edgekit.selftest.planning.__version__", "99.0.0")
    with pytest.raises(MalformedModelError, match="screened"):
        edgekit.load(path, trust=key)


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_bundle_whose_answers_do_not_come_out_is_refused(
    golden_file: Callable[..., Path], dense: Any, key: Path, state_folder: Path, is_signed: bool
) -> None:
    path = golden_file(dense, spoilt=True)
    trust: object = key if is_signed else edgekit.UNSIGNED
    if is_signed:
        write_signed(path, key_of("maker"))
    with pytest.warns(UnsignedBundleWarning) if not is_signed else nullcontext():
        for when in ("once", "always"):
            with pytest.raises(SelfTestError, match=r"golden\.edgekit: golden input \d"):
                edgekit.load(path, trust=trust, self_test=when)
    assert not (state_folder / "passed.json").exists()
    assert StateStore(state_folder).floor("cats") == 0
    with pytest.warns(UnsignedBundleWarning) if not is_signed else nullcontext():
        edgekit.load(path, trust=trust, self_test="never").close()


def test_an_unknown_word_for_when_is_refused(signed: Path, key: Path) -> None:
    with pytest.raises(SessionError, match="one of once, always, never"):
        edgekit.load(signed, trust=key, self_test="sometimes")  # type: ignore[arg-type]


def test_a_simulation_is_not_tested(
    golden_file: Callable[..., Path], dense: Any, key: Path, state_folder: Path
) -> None:
    path = write_signed(golden_file(dense, spoilt=True), key_of("maker"))
    edgekit.load(path, trust=key, device=Simulation(), self_test="always").close()
    assert StateStore(state_folder).floor("cats") == 3


def test_a_signature_is_no_pass_through_the_firewall(
    bundle_file: Callable[..., Path], dense: Any, key: Path
) -> None:
    broken = replace(dense, model=dense.model[:200])
    path = write_signed(bundle_file(broken), key_of("maker"))
    with pytest.raises(MalformedModelError):
        edgekit.load(path, trust=key)


def test_the_bytes_that_were_checked_are_the_bytes_that_run(
    signed: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is swapped after it was read and before anything was checked; then the swapped one is refused."""
    from edgekit import opening

    honest, evil = signed.read_bytes(), signed.read_bytes().replace(b"edgekit test", b"edgekit evil")
    assert evil != honest

    def read_then_swap(path: Any, limit: int) -> bytes:
        data = Path(path).read_bytes()
        signed.write_bytes(b"")
        return data

    monkeypatch.setattr(opening, "read_capped", read_then_swap)
    with edgekit.load(signed, trust=key) as model:
        signed.write_bytes(evil)
        assert model.run(PHOTO).outputs["scores"].shape == (1, 3)
    signed.write_bytes(write_bundle(spoilt_members(honest)))
    with pytest.raises(FileMismatchError, match=r"model\.tflite"):
        edgekit.load(signed, trust=key)


def spoilt_members(data: bytes) -> dict[str, bytes]:
    members = {name: bytes(content) for name, content in read_unverified(data).members.items()}
    return {**members, "model.tflite": members["model.tflite"].replace(b"edgekit test", b"edgekit evil")}


@pytest.mark.parametrize("state", ["a\0b", 4, object()])
def test_a_state_that_is_no_folder_is_a_state_error(signed: Path, key: Path, state: Any) -> None:
    with pytest.raises(StateError) as caught:
        edgekit.load(signed, trust=key, state=state)
    assert caught.value.hint


def test_a_store_that_holds_half_a_character_is_a_state_error(
    signed: Path, key: Path, state_folder: Path
) -> None:
    state_folder.mkdir(mode=0o700, exist_ok=True)
    floors = state_folder / "floors.json"
    floors.write_bytes(
        b'{\n  "checksum": "00000000",\n  "floors": {\n    "\\ud800": 1\n  },\n  "schema": 1\n}\n'
    )
    floors.chmod(0o600)
    with pytest.raises(StateError):
        edgekit.load(signed, trust=key)


def test_a_session_on_another_device_than_was_tested_is_closed(
    golden_file: Callable[..., Path], dense: Any, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_signed(golden_file(dense), key_of("maker"))
    edgekit.load(path, trust=key).close()
    monkeypatch.setattr("edgekit.admission._passed_on", lambda *_: "usb:0")
    with pytest.raises(SelfTestError, match="ran on usb:0, and the session would run on cpu"):
        edgekit.load(path, trust=key)


def test_a_self_test_on_another_runtime_does_not_count(
    golden_file: Callable[..., Path], dense: Any, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "edgekit.selftest.conduct.planned",
        lambda *_, **__: Planned("tflite-runtime 2.14.0", "builtin", "cpu"),
    )
    with pytest.raises(SelfTestError, match="the session would run on tflite-runtime"):
        edgekit.load(write_signed(golden_file(dense), key_of("maker")), trust=key)


def test_a_key_that_lies_in_two_files_has_the_hints_of_both(tmp_path: Path) -> None:
    pem = key_of("maker").public.pem
    (tmp_path / "a.pem").write_bytes(pem)
    (tmp_path / "b.pem").write_bytes(pem.replace(b"\n", b"\r\n"))
    (merged,) = edgekit.Trust.read(tmp_path).keys
    assert len(merged.hints) == 2
