"""A slice of `make fuzz`, and that its judge sees the faults that a verifier can have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles import ACCEPTED, Tally, run_cases, table
from fuzz_bases import TRUST, bases
from fuzz_cases import CLASSES, draw

from edgekit.bundle import read_unverified
from edgekit.errors import DowngradeError, NotAllowedError, RevokedError, UntrustedKeyError
from edgekit.trust import envelope, keys, policy, statement

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"


def nothing(*_: object, **__: object) -> None:
    """A check that checks nothing."""


@pytest.fixture(scope="module")
def tally() -> Tally:
    return run_cases(7, range(3000))


def test_three_thousand_mutations_end_in_edgekits_own_errors_and_none_is_wrongly_accepted(
    tally: Tally,
) -> None:
    assert tally.faults == []
    assert tally.ends.total() == 3000


def test_they_reach_every_class_and_every_kind_of_refusal(tally: Tally) -> None:
    assert len({kind for kind, _ in tally.ends}) == len(CLASSES)
    assert {end for _, end in tally.ends} >= {
        ACCEPTED,
        "MalformedBundleError",
        "NotSignedError",
        "BadSignatureError",
        "UntrustedKeyError",
        "RevokedError",
        "BadManifestError",
        "FileMismatchError",
        "NotAllowedError",
        "DowngradeError",
    }
    assert "BadManifestError" in table(tally)


def test_the_unchanged_bundles_end_as_they_should() -> None:
    ends: list[type[Exception] | None] = []
    for base in bases():
        try:
            TRUST.check(read_unverified(base.data))
        except Exception as error:
            ends.append(type(error))
        else:
            ends.append(None)
    refused = [DowngradeError, NotAllowedError, NotAllowedError, UntrustedKeyError, RevokedError]
    assert ends == [None, None, None, *refused]


def test_the_same_seed_draws_the_same_cases() -> None:
    code = (
        "from hashlib import sha256; from fuzz_cases import draw\n"
        "print(*(sha256(draw(5, index).data).hexdigest() for index in range(60)))"
    )
    once, again = (
        subprocess.run([sys.executable, "-c", code], cwd=FUZZ, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert once.stdout == again.stdout
    assert draw(5, 0).data != draw(6, 0).data


def lenient_resources(value: Any) -> dict[str, str]:
    """As a careless reader has it: the last of two entries wins, and what has no digest is passed over."""
    return {entry["name"]: entry["digest"] for entry in value}


FAULTY: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "members are not compared": (policy, "check_members", nothing),
    "the signature is not checked": (keys.PublicKey, "check", nothing),
    "limits are not checked": (policy.Trust, "_check_limits", nothing),
    "the subject is not recounted": (statement, "_read_subject", lambda *_: "model"),
    "the type of the statement is not checked": (statement._READ, "exactly", nothing),
    "resources are read carelessly": (statement, "_read_resources", lenient_resources),
    "the envelope is decoded carelessly": (envelope, "_decode", lambda value, where: value.encode()),
}


@pytest.mark.parametrize(("where", "name", "careless"), FAULTY.values(), ids=FAULTY)
def test_a_careless_verifier_is_found_out(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, careless: Callable[..., Any]
) -> None:
    monkeypatch.setattr(where, name, careless)
    found = []
    for begin in range(0, 6000, 500):
        found = run_cases(7, range(begin, begin + 500)).faults
        if found:
            break
    assert found


def test_the_command_prints_its_table_and_ends_well(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, FUZZ / "bundles.py", "--mutations", "1500", "--seed", "3", "--workers", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1,500 mutations, seed 3" in done.stdout
    assert done.stdout.endswith("other exceptions, wrong accepts, bad messages: 0\n")
