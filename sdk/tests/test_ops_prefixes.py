"""Differences between prefixes, and the plan of what is timed how often: pure."""

from __future__ import annotations

from itertools import chain
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.profiling.ops.prefixes import (
    BUDGET_NS,
    COLD_NS,
    LEAST_ROUNDS,
    MOST_CALLS,
    PASSES,
    VISIT_NS,
    Panel,
    differences,
    panels,
    plan,
)

TIMES = st.floats(1, 1e10)


def one(*prefix_ns: float, whole_ns: float = 100.0) -> list[list[Panel]]:
    """One pass, one panel, one round."""
    rows = tuple((ns,) for ns in prefix_ns)
    return [[Panel(tuple(range(len(rows))), rows, (whole_ns,))]]


@st.composite
def measured(draw: st.DrawFn) -> list[list[Panel]]:
    """What a few passes over a few prefixes may give, whatever the machine did meanwhile."""
    prefixes, rounds = draw(st.integers(2, 6)), draw(st.integers(1, 4))
    row = st.lists(TIMES, min_size=rounds, max_size=rounds).map(tuple)
    passes = []
    for number in range(draw(st.integers(1, 3))):
        shared = panels(prefixes, draw(st.integers(2, 6)), number)
        passes.append([Panel(counts, tuple(draw(row) for _ in counts), draw(row)) for counts in shared])
    return passes


@given(measured())
def test_nothing_is_below_0_and_the_sum_is_the_longest_prefix(passes: list[list[Panel]]) -> None:
    found = differences(passes)
    last = max(max(panel.counts) for panel in passes[0])
    assert len(found.times_ns) == last
    assert min(found.times_ns) >= 0
    assert found.call_ns > 0
    ratios = [  # of 1 to 4 rounds, the quietest alone counts
        min(panel.prefix_ns[panel.counts.index(last)]) / min(panel.whole_ns)
        for panel in chain.from_iterable(passes)
        if last in panel.counts
    ]
    assert found.call_ns + sum(found.times_ns) == pytest.approx(median(ratios) * found.whole_ns, rel=1e-6)


@given(measured())
def test_what_is_said_of_chance_is_not_below_0(passes: list[list[Panel]]) -> None:
    found = differences(passes)
    assert found.negative >= 0
    assert (found.excess_ns > 0) == (found.negative > 0)
    assert found.spread_ns >= 0
    assert len(passes) > 1 or found.spread_ns == 0


def test_differences_of_a_quiet_machine() -> None:
    found = differences(one(10, 40, 90, 100))
    assert found.call_ns == pytest.approx(10)
    assert found.times_ns == pytest.approx((30, 50, 10))
    assert found.whole_ns == 100
    assert (found.negative, found.excess_ns) == (0, 0)


def test_a_prefix_that_takes_longer_than_a_longer_one_counts_as_no_longer() -> None:
    found = differences(one(10, 70, 60, 65, 100))
    assert found.times_ns == pytest.approx((50, 0, 5, 35))
    assert found.negative == 1
    assert found.excess_ns == pytest.approx(10)


def test_a_machine_that_slows_down_for_some_rounds_changes_nothing() -> None:
    """Neither for all models alike, nor for one of them: of 8 rounds, the 2 quietest count."""
    quiet = Panel((0, 1, 2), ((10,) * 8, (50,) * 8, (100,) * 8), (100,) * 8)
    slower = Panel(
        (0, 1, 2),
        ((30, 10, 10, 10, 10, 10, 10, 10), (150, 50, 50, 70, 70, 70, 70, 70), (300, 100, 100, *[170] * 5)),
        (300, *[100] * 7),
    )
    assert differences([[slower]]) == differences([[quiet]])


def test_a_clock_that_changes_between_passes_changes_nothing() -> None:
    fast = Panel((0, 1, 2), ((10,), (50,), (100,)), (100,))
    slow = Panel((0, 1, 2), ((30,), (150,), (300,)), (300,))
    found = differences([[fast], [slow], [slow]])
    assert [ns / found.whole_ns for ns in found.times_ns] == pytest.approx([0.4, 0.5])
    assert found.spread_ns == 0


def test_panels_are_joined_by_the_whole_that_each_timed() -> None:
    """The second panel was measured while everything took twice as long."""
    passes = [[Panel((0, 1), ((10,), (40,)), (100,)), Panel((2, 3), ((160,), (200,)), (200,))]]
    found = differences(passes)
    assert [ns / found.whole_ns for ns in found.times_ns] == pytest.approx([0.3, 0.4, 0.2])


def test_the_spread_is_between_passes() -> None:
    first = Panel((0, 1, 2), ((10, 10), (70, 90), (100, 100)), (100, 100))
    second = Panel((0, 1, 2), ((12, 12), (75, 75), (103, 103)), (100, 100))
    assert differences([[first], [second]]).spread_ns == pytest.approx(3)  # of 2, 5 and 3


@given(st.integers(1, 200), st.integers(2, 60), st.integers(0, PASSES - 1))
def test_every_pass_holds_every_prefix_once_and_no_panel_more_than_may_be_open(
    prefixes: int, capacity: int, number: int
) -> None:
    found = list(panels(prefixes, capacity, number))
    assert list(chain.from_iterable(found)) == list(range(prefixes))
    assert all(1 <= len(counts) <= capacity for counts in found)


@given(st.integers(PASSES, 60), st.integers(2, 4))
def test_borders_of_panels_lie_elsewhere_in_every_pass(capacity: int, times: int) -> None:
    """A border is where a difference is taken between two panels: not always at the same operator."""
    shared = [list(panels(capacity * times, capacity, number)) for number in range(PASSES)]
    first, *others = [{counts[0] for counts in one_pass[1:]} for one_pass in shared]
    assert first
    assert all(not first & borders for borders in others)


@given(st.floats(0, 1e12), st.integers(1, 2000), st.integers(1, 100_000))
def test_a_plan_keeps_to_the_runs_and_to_the_budget(whole_ns: float, operators: int, runs: int) -> None:
    rounds, calls = plan(whole_ns, operators, runs)
    assert 1 <= calls <= MOST_CALLS
    assert LEAST_ROUNDS <= rounds <= max(runs / PASSES, LEAST_ROUNDS)
    all_ns = PASSES * rounds * (operators / 2 + 1) * (calls + (whole_ns < COLD_NS)) * whole_ns
    assert rounds == LEAST_ROUNDS or all_ns <= BUDGET_NS * (1 + 1e-9)


@given(st.floats(VISIT_NS / MOST_CALLS, 1e9), st.integers(1, 100))
def test_a_visit_is_long_enough_for_the_clock(whole_ns: float, operators: int) -> None:
    _, calls = plan(whole_ns, operators, 10**9)
    assert (calls + 1) * whole_ns > VISIT_NS


def test_plans() -> None:
    assert plan(350_000, 31, 200) == (200 // PASSES, 1)
    assert plan(2_000, 7, 200) == (200 // PASSES, 25)
    assert plan(10**9, 60, 200) == (LEAST_ROUNDS, 1)  # a second an inference: what it takes at least
    assert plan(0, 1, 1) == (LEAST_ROUNDS, MOST_CALLS)
