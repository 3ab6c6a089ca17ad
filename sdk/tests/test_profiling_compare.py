"""Faster, slower or cannot tell: on seeded latencies whose truth is known, and never across different conditions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from profile_cases import PI, QUIET, UNKNOWN, full_profile, profile_of

from edgekit.errors import InvalidManifestError, ProfileError
from edgekit.profiling.compare import (
    LEAST_RUNS,
    VERDICTS,
    Comparison,
    block_length,
    compare,
    ratio_interval,
    refuse_hopeless,
)
from edgekit.profiling.conditions import Cgroup, CpuClock
from edgekit.profiling.record import BundleFacts, Memory, Profile

MEDIAN_NS = 2_000_000
REPETITIONS = 200
NOMINAL = 0.05
"""A 95 % interval leaves the truth out so often."""


def latencies(
    rows: int, runs: int, *, alike: float = 0.0, noise: float = 0.03, slower: float = 1.0, seed: int = 0
) -> NDArray[np.int64]:
    """Rows of latencies whose median is known: log-normal, each run `alike` times the last and something new."""
    random = np.random.default_rng(seed)
    drawn = random.standard_normal((rows, runs))
    values = drawn.copy()
    for run in range(1, runs):
        values[:, run] = alike * values[:, run - 1] + np.sqrt(1 - alike**2) * drawn[:, run]
    return (MEDIAN_NS * slower * np.exp(noise * values)).astype(np.int64)


def compared(new: NDArray[np.int64], old: NDArray[np.int64]) -> Comparison:
    return compare(profile_of(new.tolist()), profile_of(old.tolist()))


@pytest.mark.parametrize(("slower", "verdict"), [(1.10, "slower"), (1 / 1.10, "faster")])
@pytest.mark.parametrize("alike", [0.0, 0.5])
def test_ten_percent_are_found(slower: float, verdict: str, alike: float) -> None:
    new = latencies(20, 200, alike=alike, slower=slower, seed=1)
    old = latencies(20, 200, alike=alike, seed=2)
    for row in range(20):
        found = compared(new[row], old[row])
        assert found.verdict == verdict
        assert found.low < found.ratio < found.high
        assert (found.low > 1.02) if verdict == "slower" else (found.high < 0.98)
        assert found.ratio == pytest.approx(slower, rel=0.03)
        assert f"% {verdict} (95 % interval " in found.explanation


def test_thirty_runs_are_enough_for_a_large_difference() -> None:
    new, old = latencies(20, LEAST_RUNS, slower=1.2, seed=3), latencies(20, LEAST_RUNS, seed=4)
    assert {compared(*pair).verdict for pair in zip(new, old, strict=True)} == {"slower"}


@pytest.mark.parametrize("slower", [1.0, 1.01])
def test_equal_ones_are_not_told_apart(slower: float) -> None:
    new, old = latencies(20, 200, noise=0.01, slower=slower, seed=5), latencies(20, 200, noise=0.01, seed=6)
    for row in range(20):
        found = compared(new[row], old[row])
        assert found.verdict == "cannot tell"
    assert compared(new[0], new[0]).explanation.startswith("no difference beyond 2% (95 % interval ")


def test_too_much_noise_is_said() -> None:
    new, old = latencies(1, 30, noise=0.5, slower=1.05, seed=7), latencies(1, 30, noise=0.5, seed=8)
    found = compared(new[0], old[0])
    assert found.verdict == "cannot tell"
    assert "more --runs may" in found.explanation


@pytest.mark.parametrize(("runs", "alike"), [(60, 0.0), (60, 0.8), (200, 0.9)])
def test_noise_is_called_a_difference_no_more_often_than_promised(runs: int, alike: float) -> None:
    """Runs that follow each other are alike, noise is large, and both medians are the same."""
    new = latencies(REPETITIONS, runs, alike=alike, noise=0.2, seed=9)
    old = latencies(REPETITIONS, runs, alike=alike, noise=0.2, seed=10)
    intervals = [ratio_interval(*pair) for pair in zip(new, old, strict=True)]
    wrong = sum(low > 1.02 or high < 0.98 for _, low, high in intervals)
    assert wrong <= NOMINAL * REPETITIONS
    missed = sum(not low <= 1 <= high for _, low, high in intervals)
    # Three standard deviations of a binomial above the nominal rate.
    assert missed <= REPETITIONS * NOMINAL + 3 * np.sqrt(REPETITIONS * NOMINAL * (1 - NOMINAL))


def test_drawing_single_runs_would_promise_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: without blocks most of its rows are called different."""
    monkeypatch.setattr("edgekit.profiling.compare.block_length", lambda row: 1)
    new = latencies(30, 200, alike=0.9, noise=0.2, seed=9)
    old = latencies(30, 200, alike=0.9, noise=0.2, seed=10)
    intervals = [ratio_interval(*pair) for pair in zip(new, old, strict=True)]
    assert sum(low > 1.02 or high < 0.98 for _, low, high in intervals) > 3 * NOMINAL * 30


def test_the_same_profiles_give_the_same_answer_and_turned_around_the_inverse() -> None:
    new, old = latencies(1, 100, slower=1.1, seed=11)[0], latencies(1, 100, seed=12)[0]
    found = compared(new, old)
    assert compared(new, old) == found
    turned = compared(old, new)
    assert turned.verdict == "faster"
    assert turned.ratio == pytest.approx(1 / found.ratio)
    assert (turned.low, turned.high) == pytest.approx((1 / found.high, 1 / found.low), rel=0.01)


def test_one_outlier_changes_nothing() -> None:
    new, old = latencies(1, 200, slower=1.1, seed=13)[0], latencies(1, 200, seed=14)[0]
    found = compared(new, old)
    new[17] *= 1000
    again = compared(new, old)
    assert again.verdict == found.verdict == "slower"
    assert again.ratio == pytest.approx(found.ratio, rel=0.01)


@pytest.mark.parametrize(
    ("alike", "least", "most"),
    [(0.0, 1, 6), (0.9, 12, 50), (0.99, 25, 50)],
    ids=["alone", "alike", "nearly-one"],
)
def test_blocks_are_as_long_as_runs_hang_together(alike: float, least: int, most: int) -> None:
    lengths = [block_length(row) for row in latencies(20, 200, alike=alike, seed=15)]
    assert least <= np.median(lengths) <= most
    assert max(lengths) <= 200 // 4  # fewer than four blocks say nothing


def test_runs_that_all_take_the_same_time() -> None:
    same = np.full(40, MEDIAN_NS)
    assert block_length(same) == 1
    assert ratio_interval(same, same) == (1.0, 1.0, 1.0)
    assert compared(same * 11 // 10, same).verdict == "slower"


@settings(max_examples=60, deadline=None)
@given(
    new=st.lists(st.integers(0, 2**62), min_size=LEAST_RUNS, max_size=40),
    old=st.lists(st.integers(0, 3), min_size=LEAST_RUNS, max_size=40),
)
def test_no_latencies_are_too_odd(new: list[int], old: list[int]) -> None:
    found = compare(profile_of(new), profile_of(old))
    assert found.verdict in VERDICTS
    assert 0 < found.low <= found.high
    assert Comparison.from_json(found.to_json()) == found


def clocks(governor: str | None = "ondemand", most: int | None = 1_500_000) -> tuple[CpuClock, ...]:
    return (CpuClock(0, governor, 1_000_000, 600_000, most),)


def before(**changes: Any) -> dict[str, Any]:
    return {"conditions_before": replace(QUIET, **changes)}


def host(**changes: Any) -> dict[str, Any]:
    return {"host": replace(PI, **changes)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (host(identity="ffff"), "machine: ffff now, 00112233445566aa then"),
        (host(board="Raspberry Pi 5"), "board: Raspberry Pi 5 now, Raspberry Pi 4 Model B Rev 1.4 then"),
        (host(cpu="Cortex-A76"), "processor: Cortex-A76 now, Cortex-A72 then"),
        (host(cores=2), "cores: 2 now, 4 then"),
        (host(machine="armv7l"), "instruction set: armv7l now, aarch64 then"),
        (before(clocks=clocks("performance")), "governor: performance now, ondemand then"),
        (before(clocks=clocks(most=1_800_000)), "clock limit in kHz: 1800000 now, 1500000 then"),
        (before(cgroup=Cgroup(2, 1.5, 0)), "CPU quota: 1.5 now, none then"),
        ({"device": "usb:0"}, "device: usb:0 now, cpu then"),
        (
            {"runtime": "tflite-runtime 2.14.0"},
            "runtime: tflite-runtime 2.14.0 now, ai-edge-litert 2.3.0 then",
        ),
        ({"threads": None}, "threads: none now, 4 then"),
        ({"threads": 1}, "threads: 1 now, 4 then"),
        ({"kernels": "builtin"}, "kernels: builtin now, xnnpack then"),
        ({"verdict": ("swapping: 3 pages in",)}, "the new profile: swapping: 3 pages in"),
    ],
)
def test_different_conditions_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        compare(profile_of(**changes), profile_of())
    assert str(caught.value) == f"the two profiles do not compare: {message}"
    assert caught.value.hint is not None


def test_all_differences_are_named_at_once_and_for_either_side() -> None:
    new = profile_of(threads=1, kernels="builtin")
    old = profile_of([5] * (LEAST_RUNS - 1), verdict=("held back", "swapping"))
    with pytest.raises(ProfileError) as caught:
        compare(new, old)
    beginning, reasons = str(caught.value).split(": ", 1)
    assert beginning == "the two profiles do not compare"
    assert sorted(reasons.split("; ")) == [
        "kernels: builtin now, xnnpack then",
        "the old profile: 29 runs, and 30 are needed",
        "the old profile: held back",
        "the old profile: swapping",
        "threads: 1 now, 4 then",
    ]


@pytest.mark.parametrize(
    ("old", "runs", "reasons"),
    [
        (profile_of(), LEAST_RUNS - 1, ["the new profile: 29 runs, and 30 are needed"]),
        (profile_of([5]), LEAST_RUNS, ["the old profile: 1 runs, and 30 are needed"]),
        (profile_of(verdict=("held back",)), LEAST_RUNS, ["the old profile: held back"]),
    ],
)
def test_what_has_no_hope_is_refused_before_anything_is_measured(
    old: Profile, runs: int, reasons: list[str]
) -> None:
    with pytest.raises(ProfileError) as caught:
        refuse_hopeless(old, runs)
    assert str(caught.value) == f"the two profiles do not compare: {'; '.join(reasons)}"
    refuse_hopeless(profile_of(), LEAST_RUNS)


@pytest.mark.parametrize("runs", [1, LEAST_RUNS - 1])
def test_too_few_runs_are_refused(runs: int) -> None:
    with pytest.raises(ProfileError, match=f"the new profile: {runs} runs, and 30 are needed"):
        compare(profile_of([7] * runs), profile_of())
    assert compare(profile_of([7] * LEAST_RUNS), profile_of()).verdict == "faster"


@pytest.mark.parametrize(
    "changes",
    [
        host(identity=None),
        host(board=None),
        host(cpu=None),
        host(cores=None),
        before(clocks=()),
        before(clocks=clocks(None, None)),
        before(cgroup=None),
        {"conditions_before": UNKNOWN, "conditions_after": UNKNOWN},
    ],
)
def test_what_one_side_does_not_know_is_no_difference(changes: dict[str, Any]) -> None:
    unknown, known = profile_of(**changes), profile_of()
    assert compare(unknown, known).verdict == compare(known, unknown).verdict == "cannot tell"


def test_a_quota_beside_an_unknown_one_is_no_difference() -> None:
    limited, unknown = profile_of(**before(cgroup=Cgroup(2, 1.5, 0))), profile_of(**before(cgroup=None))
    assert compare(limited, unknown).verdict == compare(unknown, limited).verdict == "cannot tell"


def test_what_else_changed_is_told() -> None:
    assert compare(profile_of(), profile_of()).also_changed == ()
    new = profile_of(
        bundle=BundleFacts("cats-small", "2.0.0", None, "model.tflite"),
        host=replace(PI, numpy="2.1.0", kernel="Linux 6.12.1"),
        inputs="5 samples from files",
        warmup=5,
        memory=Memory(None, None, "shared process", None, None),
    )
    assert compare(new, profile_of()).also_changed == (
        "model (cats -> cats-small)",
        "numpy (1.26.4 -> 2.1.0)",
        "kernel (Linux 6.6.31 -> Linux 6.12.1)",
        "inputs (4 golden inputs of the bundle -> 5 samples from files)",
        "warm-up runs (20 -> 5)",
        "process (own process -> shared process)",
    )


def test_a_comparison_holds_both_medians_and_reads_back() -> None:
    found = compare(profile_of([22] * 40), profile_of([20] * 40))
    assert (found.new_p50_ns, found.old_p50_ns, found.verdict) == (22, 20, "slower")
    assert found.explanation == "10.0% slower (95 % interval +10.0% to +10.0%)"
    assert Comparison.from_json(found.to_json()) == found
    with pytest.raises(InvalidManifestError, match="verdict must be one of faster, slower, cannot tell"):
        replace(found, verdict="maybe")


def test_a_marked_profile_is_refused_whichever_side_it_is_on() -> None:
    marked = replace(full_profile(), fallback=None)
    for pair in ((marked, profile_of()), (profile_of(), marked)):
        with pytest.raises(ProfileError, match="swapping: 3 pages in"):
            compare(*pair)
