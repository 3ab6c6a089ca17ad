"""When figures must not be compared with others: one row a reason, and nothing that is unknown is one."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profile_cases import LATER, QUIET, UNKNOWN

from edgekit.profiling.conditions import Cgroup, Conditions, Cooling, CpuClock, Pressure, Swap
from edgekit.profiling.verdict import (
    CLOCK_SHARE,
    PRESSURE_SHARE,
    STARVED_SHARE,
    THROTTLE_BITS,
    do_not_compare,
    governors,
)

PASSED_NS = LATER.at_ns - QUIET.at_ns
PASSED_US = PASSED_NS // 1000


def clocks(
    current: int | None = 1_500_000, most: int | None = 1_500_000, governor: str | None = "ondemand"
) -> Any:
    """Four cores of which one runs and three sleep."""
    return tuple(
        CpuClock(cpu, governor, current if cpu == 2 else None if current is None else 600_000, 600_000, most)
        for cpu in range(4)
    )


def pressures(cpu: int = 0, memory: int = 0, io: int = 0) -> tuple[Pressure, ...]:
    """What a quiet machine says, and these microseconds more."""
    more = {"cpu": cpu, "memory": memory, "io": io}
    return tuple(replace(each, some_us=each.some_us + more[each.resource]) for each in QUIET.pressure)


Changes = dict[str, Any]

BAD: list[tuple[str, Changes, Changes, list[str]]] = [
    (
        "throttled-now",
        {},
        {"throttled": 0x50005},
        [
            "the firmware reports: under-voltage (get_throttled 0x0 then 0x50005)",
            "the firmware reports: throttled (get_throttled 0x0 then 0x50005)",
        ],
    ),
    (
        "throttled-before-and-no-more",
        {"throttled": 0x4},
        {"throttled": 0x40000},
        ["the firmware reports: throttled (get_throttled 0x4 then 0x40000)"],
    ),
    (
        "throttled-meanwhile",
        {"throttled": 0x10000},
        {"throttled": 0x90000},
        ["the firmware reports: the soft temperature limit was reached (get_throttled 0x10000 then 0x90000)"],
    ),
    (
        "capped",
        {},
        {"throttled": 0x20002},
        ["the firmware reports: its clock was capped (get_throttled 0x0 then 0x20002)"],
    ),
    (
        "cooled-after",
        {},
        {"cooling": (Cooling("cpufreq-cpu0", 3),)},
        ["the kernel slowed the processor down against heat (cpufreq-cpu0)"],
    ),
    (
        "cooled-before",
        {"cooling": (Cooling("Processor", 1), Cooling("cpufreq-cpu0", 1))},
        {},
        ["the kernel slowed the processor down against heat (Processor, cpufreq-cpu0)"],
    ),
    (
        "clock-fell",
        {"clocks": clocks(1_500_000)},
        {"clocks": clocks(1_000_000)},
        ["the clock fell from 1500 to 1000 MHz"],
    ),
    (
        "limit-fell",
        {"clocks": clocks(600_000)},
        {"clocks": clocks(600_000, most=1_000_000)},
        ["the limit of the clock fell from 1500 to 1000 MHz"],
    ),
    (
        "governor-changed",
        {"clocks": clocks()},
        {"clocks": clocks(governor="powersave")},
        ["the governor changed from ondemand to powersave"],
    ),
    (
        "waited-for-a-core",
        {},
        {"waited_ns": QUIET.waited_ns + PASSED_NS // 10},  # type: ignore[operator]
        ["starved: the threads of the measurement together waited for a core 10% of the time"],
    ),
    (
        "cpu-pressure",
        {},
        {"pressure": pressures(cpu=PASSED_US // 4)},
        ["starved: tasks waited for a core 25% of the time (PSI)"],
    ),
    (
        "memory-pressure",
        {},
        {"pressure": pressures(memory=PASSED_US // 20)},
        ["starved: tasks waited for memory 5% of the time (PSI)"],
    ),
    (
        "held-back",
        {"cgroup": Cgroup(2, 0.5, 1_000)},
        {"cgroup": Cgroup(2, 0.5, 43_000)},
        ["held back by the CPU quota of the control group for 42 ms"],
    ),
    (
        "swapping",
        {},
        {"swap": Swap(102_396, 1_024, 43, 75)},
        ["swapping: 3 pages in and 5 pages out"],
    ),
    ("swapping-in", {}, {"swap": Swap(102_396, 1_024, 41, 70)}, ["swapping: 1 pages in"]),
]


@pytest.mark.parametrize(
    ("before", "after", "reasons"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_a_reason_is_said(before: Changes, after: Changes, reasons: list[str]) -> None:
    assert list(do_not_compare(replace(QUIET, **before), replace(LATER, **after))) == reasons


FINE: list[tuple[str, Changes, Changes]] = [
    ("nothing-happened", {}, {}),
    ("throttled-long-ago", {"throttled": 0xF0000}, {"throttled": 0xF0000}),
    ("bits-that-nobody-knows", {}, {"throttled": 0x100}),
    ("the-governor-slowed-a-little", {"clocks": clocks(1_500_000)}, {"clocks": clocks(1_350_000)}),
    ("the-clock-rose", {"clocks": clocks(600_000)}, {"clocks": clocks(1_500_000)}),
    ("idle-cores-went-to-sleep", {}, {"clocks": clocks()}),
    ("slow-all-along", {"clocks": clocks(600_000)}, {"clocks": clocks(600_000)}),
    ("hot", {}, {"temperatures": QUIET.temperatures * 2}),
    ("waited-just-so-long", {}, {"waited_ns": 1_000 + int(PASSED_NS * STARVED_SHARE)}),
    ("a-thread-ended-and-took-its-count-along", {"waited_ns": PASSED_NS}, {"waited_ns": 0}),
    ("cpu-pressure-just-so-much", {}, {"pressure": pressures(cpu=int(PASSED_US * PRESSURE_SHARE["cpu"]))}),
    ("the-disk-was-busy", {}, {"pressure": pressures(io=PASSED_US)}),
    ("held-back-before", {"cgroup": Cgroup(2, 0.5, 9_000)}, {"cgroup": Cgroup(2, 0.5, 9_000)}),
    ("a-quota-that-was-enough", {"cgroup": Cgroup(1, 0.5, 0)}, {"cgroup": Cgroup(1, 0.5, 0)}),
    ("full-of-swap-and-not-swapping", {}, {"swap": Swap(102_396, 102_396, 40, 70)}),
    ("loaded", {}, {"load_average": (9.0, 9.0, 9.0)}),
]


@pytest.mark.parametrize(("before", "after"), [row[1:] for row in FINE], ids=[row[0] for row in FINE])
def test_what_is_no_reason(before: Changes, after: Changes) -> None:
    assert do_not_compare(replace(QUIET, **before), replace(LATER, **after)) == ()


KNOWN = [field.name for field in fields(Conditions) if field.name != "at_ns"]


def forgetting(reading: Conditions, names: set[str]) -> Conditions:
    return replace(reading, **{name: getattr(UNKNOWN, name) for name in names})


def kinds(before: Conditions, after: Conditions) -> set[str]:
    """The reasons without their figures."""
    return {re.sub(r" \(get_throttled .*\)|\d+", "", reason) for reason in do_not_compare(before, after)}


@given(
    row=st.sampled_from(BAD + [(name, before, after, []) for name, before, after in FINE]),
    forgotten_before=st.sets(st.sampled_from(KNOWN)),
    forgotten_after=st.sets(st.sampled_from(KNOWN)),
)
def test_what_is_unknown_on_either_side_is_never_a_reason(
    row: tuple[str, Changes, Changes, list[str]], forgotten_before: set[str], forgotten_after: set[str]
) -> None:
    _, before, after, _ = row
    whole = replace(QUIET, **before), replace(LATER, **after)
    forgotten = forgetting(whole[0], forgotten_before), forgetting(whole[1], forgotten_after)
    assert kinds(*forgotten) <= kinds(*whole)


@pytest.mark.parametrize("name", KNOWN)
def test_a_machine_that_begins_or_ceases_to_say_something(name: str) -> None:
    assert do_not_compare(forgetting(QUIET, {name}), LATER) == ()
    assert do_not_compare(QUIET, forgetting(LATER, {name})) == ()


def test_a_machine_that_says_nothing_is_suspected_of_nothing() -> None:
    assert do_not_compare(UNKNOWN, replace(UNKNOWN, at_ns=LATER.at_ns)) == ()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(None, 0x1, "unknown then 0x1"), (0x1, None, "0x1 then unknown")],
)
def test_a_bit_that_is_set_now_speaks_for_itself(before: int | None, after: int | None, said: str) -> None:
    readings = replace(QUIET, throttled=before), replace(LATER, throttled=after)
    assert do_not_compare(*readings) == (f"the firmware reports: under-voltage (get_throttled {said})",)


def test_a_sticky_bit_needs_both_readings() -> None:
    assert do_not_compare(replace(QUIET, throttled=None), replace(LATER, throttled=0xF0000)) == ()


@pytest.mark.parametrize("bit", THROTTLE_BITS)
def test_every_bit_has_a_name_now_and_as_a_sticky_one(bit: int) -> None:
    for after in (1 << bit, 1 << (bit + 16)):
        (reason,) = do_not_compare(QUIET, replace(LATER, throttled=after))
        assert THROTTLE_BITS[bit] in reason


@pytest.mark.parametrize("resource", PRESSURE_SHARE)
def test_pressure_that_only_one_side_knows(resource: str) -> None:
    busy = pressures(**{resource: PASSED_US})
    without = tuple(each for each in QUIET.pressure if each.resource != resource)
    assert len(do_not_compare(QUIET, replace(LATER, pressure=busy))) == 1
    assert do_not_compare(replace(QUIET, pressure=without), replace(LATER, pressure=busy)) == ()
    assert do_not_compare(QUIET, replace(LATER, pressure=without)) == ()


def test_counters_of_one_kind_may_be_unknown_alone() -> None:
    swapping = replace(LATER, swap=Swap(102_396, 1_024, None, 71))
    assert do_not_compare(QUIET, swapping) == ("swapping: 1 pages out",)
    assert do_not_compare(replace(QUIET, swap=Swap(102_396, 1_024, 40, None)), swapping) == ()
    group = replace(LATER, cgroup=Cgroup(2, 0.5, 500))
    assert do_not_compare(replace(QUIET, cgroup=Cgroup(2, 0.5, None)), group) == ()


def test_no_time_between_two_readings_divides_nothing() -> None:
    busy = replace(QUIET, waited_ns=QUIET.at_ns, pressure=pressures(cpu=PASSED_US))
    assert do_not_compare(QUIET, busy) == ()


def test_all_reasons_are_said_at_once() -> None:
    rows = {name: (before, after) for name, before, after, _ in BAD}
    chosen = [rows[name] for name in ("throttled-now", "cooled-after", "clock-fell", "held-back", "swapping")]
    before = {key: value for changes, _ in chosen for key, value in changes.items()}
    after = {key: value for _, changes in chosen for key, value in changes.items()}
    assert len(do_not_compare(replace(QUIET, **before), replace(LATER, **after))) == 6


@given(first=st.integers(1, 3_000_000), last=st.integers(1, 3_000_000))
def test_a_clock_has_fallen_below_nine_tenths(first: int, last: int) -> None:
    before = replace(QUIET, clocks=(CpuClock(0, None, first, None, None),))
    after = replace(LATER, clocks=(CpuClock(0, None, last, None, None),))
    assert (do_not_compare(before, after) != ()) == (last < first * CLOCK_SHARE)


def test_governors_are_named_once() -> None:
    mixed = (
        CpuClock(0, "schedutil", 1, 1, 1),
        CpuClock(1, None, 1, 1, 1),
        CpuClock(2, "performance", 1, 1, 1),
    )
    assert governors(replace(QUIET, clocks=mixed * 2)) == "performance, schedutil"
    assert governors(UNKNOWN) == ""
