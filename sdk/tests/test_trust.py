from __future__ import annotations

import copy
import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.bundle import UnverifiedBundle, read_unverified
from edgekit.errors import KeyFileError, TrustRequiredError
from edgekit.trust import UNSIGNED, UnsignedBundleWarning, VerifiedBundle, accept_unsigned, resolve


@pytest.fixture
def unverified(bundle: bytes) -> UnverifiedBundle:
    return read_unverified(bundle)


def test_unsigned_written_out_is_accepted_and_warned_of(unverified: UnverifiedBundle) -> None:
    with pytest.warns(UnsignedBundleWarning, match="nothing shows who made it") as caught:
        verified = resolve(unverified, UNSIGNED)
    assert caught[0].filename == __file__
    assert verified.data is unverified.data
    assert verified.manifest is unverified.manifest
    assert verified.members is unverified.members
    assert verified.digest == unverified.digest
    assert not verified.signed


def test_the_warning_is_shown_once_a_place(unverified: UnverifiedBundle) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            resolve(unverified, UNSIGNED)
    assert len(caught) == 1


def test_accept_unsigned_itself_is_silent(unverified: UnverifiedBundle) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert accept_unsigned(unverified).manifest is unverified.manifest


def test_nothing_given_is_an_error_that_names_both_ways_out(unverified: UnverifiedBundle) -> None:
    with pytest.raises(TrustRequiredError) as caught:
        resolve(unverified, None)
    assert caught.value.hint is not None
    for way in ("--trust KEY", "--unsigned", "trust=edgekit.UNSIGNED"):
        assert way in caught.value.hint


@pytest.mark.parametrize(
    "trust", [b"-----BEGIN", False, 0, object(), ["release.pub.pem"], ("a.pem", "b.pem")]
)
def test_what_says_nothing_of_whom_to_trust_is_refused(unverified: UnverifiedBundle, trust: object) -> None:
    with pytest.raises(TrustRequiredError, match=f"and got {type(trust).__name__}") as caught:
        resolve(unverified, trust)
    assert caught.value.hint is not None
    assert "trust=edgekit.UNSIGNED" in caught.value.hint


@pytest.mark.parametrize("trust", ["absent.pub.pem", Path("absent"), "unsigned", "UNSIGNED", "", "a\0b"])
def test_a_key_that_is_not_there_refuses(
    unverified: UnverifiedBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trust: object
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyFileError):
        resolve(unverified, trust)


def test_unsigned_stays_itself() -> None:
    assert repr(UNSIGNED) == "edgekit.UNSIGNED"
    assert copy.copy(UNSIGNED) is copy.deepcopy(UNSIGNED) is pickle.loads(pickle.dumps(UNSIGNED)) is UNSIGNED


def test_nobody_else_makes_a_verified_bundle(unverified: UnverifiedBundle) -> None:
    parts = (unverified.data, unverified.members, unverified.manifest)
    for token in (None, True, UNSIGNED, object()):
        with pytest.raises(TypeError, match=r"comes from edgekit\.trust only"):
            VerifiedBundle(*parts, signed=True, token=token)
    with pytest.raises(TypeError):
        VerifiedBundle(*parts, signed=True)  # type: ignore[call-arg]


def test_a_verified_bundle_cannot_be_turned_into_another(unverified: UnverifiedBundle) -> None:
    verified = accept_unsigned(unverified)
    with pytest.raises((TypeError, ValueError)):
        replace(verified, signed=True)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        verified.signed = True  # type: ignore[misc]
    with pytest.raises(TypeError):
        verified.members["model.tflite"] = memoryview(b"evil")  # type: ignore[index]
    with pytest.raises(TypeError):
        pickle.dumps(verified)
    with pytest.raises(TypeError, match="has no subclasses"):
        type("Forged", (VerifiedBundle,), {"__post_init__": lambda self, token: None})


def test_neither_kind_passes_for_the_other(unverified: UnverifiedBundle) -> None:
    assert not isinstance(unverified, VerifiedBundle)
    assert not isinstance(accept_unsigned(unverified), UnverifiedBundle)
