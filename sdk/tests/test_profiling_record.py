"""Profiles as files: what is written reads back, and what is not a sound profile is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_cases import QUIET, UNKNOWN, full_profile, op_times, profile_of

from edgekit.errors import InvalidManifestError, ProfileError
from edgekit.profiling import conditions, record
from edgekit.profiling.child import Measured, Request
from edgekit.profiling.latency import Latency
from edgekit.profiling.plan import Plan
from edgekit.profiling.record import SCHEMA, BatchPoint, Memory, Profile, ThreadsPoint
from edgekit.record import Record

PROFILES = {
    "full": full_profile(),
    "bare": profile_of([7]),
    "unknown": profile_of(
        conditions_before=UNKNOWN, conditions_after=UNKNOWN, load_ns=None, first_ns=None, threads=None
    ),
}

Edit = Callable[[dict[str, Any]], object]


def edited(edit: Edit) -> bytes:
    """The full profile's JSON after an edit."""
    value = json.loads(PROFILES["full"].to_bytes())
    edit(value)
    return json.dumps(value).encode()


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_written_reads_back(name: str) -> None:
    profile = PROFILES[name]
    data = profile.to_bytes()
    again = Profile.from_bytes(data)
    assert again == profile
    assert again.to_bytes() == data
    assert Profile.from_json(profile.to_json()) == profile
    assert json.loads(data)["schema"] == SCHEMA


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every object of a JSON document is; of a list only the first."""
    if isinstance(value, list):
        return paths(value[0], (*path, 0)) if value else []
    if not isinstance(value, dict):
        return []
    return [path, *(found for key, item in value.items() for found in paths(item, (*path, key)))]


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


OBJECTS = paths(json.loads(PROFILES["full"].to_bytes()))


def test_the_full_profile_holds_every_kind_of_record() -> None:
    document = json.loads(PROFILES["full"].to_bytes())
    kinds = [kind for module in (conditions, record) for kind in vars(module).values() if is_record(kind)]
    assert {frozenset(at(document, path)) for path in OBJECTS} == {
        frozenset(field.name for field in fields(kind)) for kind in kinds
    }


def is_record(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record) and kind is not Record


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: ".".join(map(str, path)) or "document")
def test_every_key_is_required_and_no_other_may_stand_there(path: tuple[Any, ...]) -> None:
    keys = list(at(json.loads(PROFILES["full"].to_bytes()), path))
    for key in keys:
        with pytest.raises(ProfileError, match=key) as caught:
            Profile.from_bytes(edited(lambda value, key=key: at(value, path).pop(key)))
        assert caught.value.hint is not None
    with pytest.raises(ProfileError, match="colour is not a key that this format knows"):
        Profile.from_bytes(edited(lambda value: at(value, path).update(colour="red")))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda p: p.update(schema="edgekit-profile/2"),
            "it has the schema 'edgekit-profile/2', and edgekit-prof",
        ),
        (lambda p: p.update(schema=7), "it has the schema 7"),
        (lambda p: p.pop("schema"), "it has no schema"),
        (
            lambda p: p["steady"].update(p50_ns=1),
            "steady.p50_ns must be 24000000, as the samples have it, and is 1",
        ),
        (lambda p: p["steady"]["samples_ns"].pop(), "steady.runs must be 39"),
        (
            lambda p: p["stages"]["started_ns"].pop(),
            "stages.started_ns must have 40 entries, one a run, and has 39",
        ),
        (
            lambda p: p["stages"]["invoke_samples_ns"].append(1),
            "stages.invoke_samples_ns must have 40 entries",
        ),
        (lambda p: p["batch_sweep"][0].update(batch=0), "must be at least 1, and is 0"),
        (lambda p: p["threads_sweep"][0].update(threads=-1), "must be at least 1, and is -1"),
        (
            lambda p: p["memory"].update(scope="some process"),
            "memory.scope must be one of own process, shared",
        ),
        (lambda p: p["ops"].update(method="guess"), "ops.method must be litert or prefix"),
        (
            lambda p: p["conditions_after"]["cgroup"].update(version=3),
            "cgroup.version must be 1 or 2, and is 3",
        ),
        (lambda p: p["conditions_after"].update(load_average=[1, 2]), "load_average must have 3 entries"),
        (lambda p: p.update(throughput_per_s="fast"), "throughput_per_s must be a number, and is 'fast'"),
        (lambda p: p.update(warmup=True), "warmup must be a whole number, and is true"),
        (lambda p: p.update(warmup=1.5), "warmup must be a whole number, and is 1.5"),
        (lambda p: p.update(host=None), "host must be an object, and is null"),
        (lambda p: p.update(verdict="none"), "verdict must be a list, and is 'none'"),
        (lambda p: p["bundle"].update(name="\x1b[2Jcats"), "bundle.name holds an unprintable character"),
        (lambda p: p["verdict"].append("\u202eeslaf"), "holds an unprintable character"),
    ],
)
def test_what_makes_no_sense_is_refused(edit: Edit, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        Profile.from_bytes(edited(edit), "old.json")
    assert str(caught.value).startswith("old.json: ")
    assert message in str(caught.value)
    assert caught.value.hint is not None
    assert "\x1b" not in str(caught.value)


WHOLE = PROFILES["bare"].to_bytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not JSON"),
        (WHOLE[: len(WHOLE) // 2], "is not JSON"),
        (WHOLE + b"}", "is not JSON"),
        (b"[]", "it has no schema"),
        (b"null", "it has no schema"),
        (b'{"schema": {"schema": "edgekit-profile/1"}}', "it has the schema an object of 1"),
        (WHOLE.replace(b'"throughput_per_s": ', b'"throughput_per_s": NaN, "x": '), "holds NaN"),
        (WHOLE.replace(b'"throughput_per_s": ', b'"throughput_per_s": Infinity, "x": '), "holds Infinity"),
        (WHOLE.replace(b'"throughput_per_s": ', b'"throughput_per_s": 1e999, "x": '), "out of range"),
        (WHOLE.replace(b'"warmup": 20', b'"warmup": 99999999999999999999'), "needs over 64 bits"),
        (WHOLE.replace(b'"warmup": 20', b'"warmup": 20, "warmup": 21'), "holds the key 'warmup' twice"),
        (WHOLE.replace(b"cats", b"c\xffts"), "is not UTF-8"),
        (b"[" * 100_000, "nests deeper"),
        (b"\xef\xbb\xbf" + WHOLE, "is not JSON"),
    ],
)
def test_what_is_no_profile_is_refused(data: bytes, message: str) -> None:
    assert data != WHOLE
    with pytest.raises(ProfileError, match=message) as caught:
        Profile.from_bytes(data, "old.json")
    assert "old.json" in str(caught.value)
    assert caught.value.hint is not None


@settings(max_examples=200)
@given(place=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_damage_ends_in_a_profile_or_in_its_error(place: int, byte: int, cut: bool) -> None:
    damaged = WHOLE[:place] if cut else WHOLE[:place] + bytes([byte]) + WHOLE[place + 1 :]
    try:
        profile = Profile.from_bytes(damaged)
    except ProfileError:
        return
    assert Profile.from_bytes(profile.to_bytes()) == profile


def test_a_profile_that_is_made_wrongly_does_not_come_to_be() -> None:
    latency = Latency.of([1, 2, 3])
    with pytest.raises(InvalidManifestError, match=r"stages\.started_ns"):
        replace(PROFILES["full"], steady=latency)
    with pytest.raises(InvalidManifestError, match="threads"):
        ThreadsPoint(0, 1, 1, latency, 1.0, None, ())
    with pytest.raises(InvalidManifestError, match="batch"):
        BatchPoint(0, latency, 1.0, None, ())
    with pytest.raises(InvalidManifestError, match="finite"):
        replace(PROFILES["full"], throughput_per_s=float("nan"))
    with pytest.raises(InvalidManifestError, match="scope"):
        Memory(None, None, "", None, None)
    with pytest.raises(InvalidManifestError, match="method"):
        op_times(2, method="")


def test_what_goes_to_a_child_and_comes_back_survives_json() -> None:
    request = Request("b.edgekit", None, 1, "s.npz", "a.json", "auto", 0, None, 5, 2)
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request
    profile = PROFILES["full"]
    measured = Measured(
        "cpu",
        "litert 2",
        "xnnpack",
        None,
        1,
        2,
        profile.steady,
        profile.stages,
        3,
        None,
        None,
        UNKNOWN,
        QUIET,
    )
    assert Measured.from_json(json.loads(json.dumps(measured.to_json()))) == measured


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runs": 0}, "runs must be at least 1, and is 0"),
        ({"warmup": -1}, "warmup must be at least 0, and is -1"),
        ({"threads": (1, 0)}, "threads must be at least 1, and is 0"),
        ({"batches": (8, 1, 8)}, "batch names a number twice: 8, 1, 8"),
        ({"ops": "guess"}, "there is no method 'guess'"),
        ({"unsigned": True, "trust": "release.pub.pem"}, "trust and unsigned exclude each other"),
    ],
)
def test_plans_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        Plan(**settings)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("threads", "batches", "steps"),
    [
        ((), (), ((None, 1),)),
        ((4,), (), ((4, 1),)),
        ((2, 1, 4), (), ((2, 1), (1, 1), (4, 1))),
        ((), (1, 8), ((None, 1), (None, 8))),
        ((2, 1), (8, 1), ((2, 1), (1, 1), (2, 8))),
    ],
)
def test_the_steps_of_a_plan(threads: tuple[int, ...], batches: tuple[int, ...], steps: Any) -> None:
    assert Plan(threads=threads, batches=batches).steps == steps
