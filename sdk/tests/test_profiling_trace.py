"""The trace of a profile: slices that nest and sum up, in the format that viewers of traces read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import profile_cases as cases
import pytest

from edgekit.profiling.conduct import profile_bundle
from edgekit.profiling.plan import Plan
from edgekit.profiling.record import BundleFacts, Profile, Stages
from edgekit.profiling.trace import MOST_RUNS, trace_of

pytestmark = pytest.mark.filterwarnings("ignore:this bundle runs unsigned")

Event = dict[str, Any]


def events_of(profile: Profile) -> list[Event]:
    document = json.loads(trace_of(profile))
    assert document["displayTimeUnit"] == "ns"
    events: list[Event] = document["traceEvents"]
    for event in events:
        assert event["ph"] in ("X", "M")
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "X":
            assert isinstance(event["ts"], float)
            assert isinstance(event["dur"], float)
            assert event["dur"] > 0
    return events


def slices(events: list[Event], *categories: str) -> list[Event]:
    return [event for event in events if event["ph"] == "X" and event["cat"] in categories]


def ns(us: float) -> int:
    return round(us * 1000)


def ends(event: Event) -> tuple[int, int]:
    """Where a slice begins and ends, in whole nanoseconds."""
    return ns(event["ts"]), ns(event["ts"]) + ns(event["dur"])


def children(parent: Event, inner: list[Event]) -> list[Event]:
    """The slices within another one, of the same track."""
    start, stop = ends(parent)
    return [
        event
        for event in inner
        if event["tid"] == parent["tid"] and start <= ends(event)[0] and ends(event)[1] <= stop
    ]


def metadata(events: list[Event], name: str) -> list[Any]:
    return [next(iter(e["args"].values())) for e in events if e["ph"] == "M" and e["name"] == name]


def with_stages(starts: tuple[int, ...], whole: tuple[int, ...], *parts: tuple[int, ...]) -> Profile:
    base = cases.profile_of(whole)
    return replace(base, stages=Stages(1, 1, 1, starts, *parts))


@pytest.fixture
def real(bundle_file: Callable[..., Path], pair: Any) -> Profile:
    """Of a bundle with two operators."""
    return profile_bundle(bundle_file(pair), Plan(unsigned=True, runs=25, warmup=2, ops="prefix"))


def test_the_runs_of_a_real_profile_hold_their_stages(real: Profile) -> None:
    events = events_of(real)
    runs, stages = slices(events, "run"), slices(events, "stage")
    assert [ends(run) for run in runs] == [
        (start, start + whole)
        for start, whole in zip(real.stages.started_ns, real.steady.samples_ns, strict=True)
    ]
    assert all(ends(one)[1] <= ends(after)[0] for one, after in pairwise(runs))
    named = {
        "preprocess": real.stages.preprocess_samples_ns,
        "invoke": real.stages.invoke_samples_ns,
        "postprocess": real.stages.postprocess_samples_ns,
    }
    for number, run in enumerate(runs):
        inside = children(run, stages)
        assert {stage["name"]: ns(stage["dur"]) for stage in inside} == {
            name: samples[number] for name, samples in named.items() if samples[number]
        }
        assert all(ends(one)[1] == ends(after)[0] for one, after in pairwise(inside))
    assert sum(len(children(run, stages)) for run in runs) == len(stages)


def test_the_operators_of_a_real_profile_fill_one_inference(real: Profile) -> None:
    assert real.ops is not None
    events = events_of(real)
    (inference,) = slices(events, "inference")
    parts = slices(events, "call", "operator")
    assert children(inference, parts) == parts
    assert ends(parts[0])[0] == ends(inference)[0] == 0
    assert ends(parts[-1])[1] == ends(inference)[1]
    assert all(ends(one)[1] == ends(after)[0] for one, after in pairwise(parts))
    assert sum(ns(part["dur"]) for part in parts) == pytest.approx(real.ops.sum_ns, abs=1)
    timed = {op.index: op for op in real.ops.ops if op.time_ns >= 1}
    drawn = {event["args"]["index"]: event for event in slices(events, "operator")}
    assert timed.keys() <= drawn.keys()
    for index, op in timed.items():
        assert drawn[index]["name"] == op.opcode
        assert drawn[index]["args"]["tensor"] == op.name
        assert ns(drawn[index]["dur"]) == pytest.approx(op.time_ns, abs=1)


def test_the_same_profile_gives_the_same_bytes_and_the_tracks_have_names(real: Profile) -> None:
    assert trace_of(real) == trace_of(real)
    events = events_of(real)
    assert metadata(events, "process_name") == [
        f"{real.bundle.name} {real.bundle.version} on cpu, {real.runtime}",
        "one inference by operators (method: prefix)",
    ]
    assert metadata(events, "thread_name") == ["runs", "operators"]
    assert metadata(events, "process_sort_index") == [1, 2]
    ids = {event["pid"] for event in events if event["ph"] == "X"}
    assert ids == {event["pid"] for event in events if event["name"] == "process_name"}


def test_without_operators_there_is_one_track() -> None:
    assert {event["pid"] for event in events_of(cases.profile_of())} == {1}


def test_stages_never_stick_out_of_their_run() -> None:
    events = events_of(with_stages((0, 100), (50, 10), (30, 4), (30, -5), (10, 3)))
    found = [(event["name"], *ends(event)) for event in slices(events, "run", "stage")]
    assert found == [
        ("run 1", 0, 50), ("preprocess", 0, 30), ("invoke", 30, 50),
        ("run 2", 100, 110), ("preprocess", 100, 104), ("postprocess", 104, 107),
    ]  # fmt: skip


def test_what_takes_no_time_is_left_out() -> None:
    ops = cases.op_times(3)
    idle = replace(ops.ops[1], time_ns=-8.0)
    events = events_of(cases.profile_of(ops=replace(ops, ops=(ops.ops[0], idle, ops.ops[2]))))
    assert [(event["args"]["index"], *ends(event)) for event in slices(events, "operator")] == [
        (0, 0, 1_000), (2, 1_000, 4_000),
    ]  # fmt: skip
    assert slices(events, "call") == []


def test_the_bare_call_comes_first() -> None:
    events = events_of(cases.profile_of(ops=cases.op_times(1, call_ns=250.0)))
    assert [(e["name"], *ends(e)) for e in slices(events, "call", "operator")] == [
        ("the bare call", 0, 250), ("CONV_2D", 250, 1_250),
    ]  # fmt: skip


def test_every_nanosecond_of_a_long_measurement_is_kept() -> None:
    day_ns = 86_400 * cases.SECOND_NS
    events = events_of(with_stages((day_ns + 1,), (3,), (1,), (1,), (1,)))
    assert [ends(event)[0] - day_ns for event in slices(events, "run", "stage")] == [1, 1, 2, 3]


def test_senseless_times_end_in_a_trace_too() -> None:
    far = replace(cases.op_times(2).ops[0], time_ns=1e300)
    profile = cases.profile_of([0, 2**62], ops=cases.op_times(2, ops=(far, far)))
    assert len(slices(events_of(profile), "run")) == 1


def test_a_bad_run_says_so_in_the_label_and_in_the_file() -> None:
    profile = cases.profile_of(verdict=("swapping: 3 pages in", "throttled"))
    assert metadata(events_of(profile), "process_labels") == [
        "do not compare: swapping: 3 pages in; do not compare: throttled"
    ]
    other = json.loads(trace_of(profile))["otherData"]
    assert other["verdict"] == ["swapping: 3 pages in", "throttled"]
    assert other["bundle"]["digest"] == profile.bundle.digest


def test_of_very_many_runs_the_first_are_there_and_the_label_says_so() -> None:
    profile = cases.profile_of([5_000] * (MOST_RUNS + 1))
    events = events_of(profile)
    assert len(slices(events, "run")) == MOST_RUNS
    assert metadata(events, "process_labels") == [f"the first {MOST_RUNS:,} of {MOST_RUNS + 1:,} runs"]


def test_names_are_text_and_one_event_is_one_line() -> None:
    said = '"}],<b>\\ \u732b'
    profile = replace(cases.full_profile(), bundle=BundleFacts(said, "1", None, said), runtime=said)
    lines = trace_of(profile).decode("ascii").splitlines()
    events = events_of(profile)
    assert [json.loads(line.rstrip(",")) for line in lines[3:-1]] == events
    assert metadata(events, "process_name")[0] == f"{said} 1 on cpu, {said}"
