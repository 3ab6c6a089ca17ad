"""The page of a profile: what it says, how its plots treat odd runs, and that nothing becomes markup or is loaded."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import profile_cases as cases
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgekit
from edgekit.page.figures import duration, millions, percent, size, three_digits
from edgekit.profiling import profile_session
from edgekit.profiling.compare import Comparison, compare
from edgekit.profiling.conduct import profile_bundle
from edgekit.profiling.page import render
from edgekit.profiling.page.axes import change_axis, count_axis, round_step, time_axis
from edgekit.profiling.page.runs import MOST_BARS, MOST_POINTS, Window, bars, thin_out, window
from edgekit.profiling.plan import Plan
from edgekit.profiling.record import BundleFacts, Memory, OpTime, Profile

pytestmark = pytest.mark.filterwarnings("ignore:this bundle runs unsigned")

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "$title ${version} &amp;",
    "</style></script><!--",
    "javascript:alert(1)//",
)
VOID = ("meta", "circle", "rect", "line", "path", "br", "input")
SAYS_NOTHING = {"conditions_before": cases.UNKNOWN, "conditions_after": cases.UNKNOWN}


class Seen(HTMLParser):
    """What a browser finds: elements with their attributes, text, script and style; every end fits its beginning."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}
        self.said: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            self.raw[self._open[-1]] = self.raw.get(self._open[-1], "") + data
        else:
            self.said.append(data)

    def named(self, name: str, class_: str | None = None) -> list[dict[str, str | None]]:
        return [
            attributes
            for element, attributes in self.elements
            if element == name and (class_ is None or class_ in (attributes.get("class") or "").split())
        ]

    @property
    def text(self) -> str:
        return " ".join(self.said)


@pytest.fixture(scope="module")
def noisy() -> list[int]:
    """Latencies of 200 runs as a quiet board has them, one of them very slow."""
    generator = random.Random(20261124)
    runs = [round(generator.gauss(24e6, 2e5)) for _ in range(200)]
    runs[77] = 900_000_000
    return runs


# ---- real profiles


@pytest.fixture
def real(bundle_file: Callable[..., Path], pair: Any) -> Profile:
    """Of a bundle with two operators, with everything that there is to measure."""
    plan = Plan(unsigned=True, runs=25, warmup=2, threads=(1, 2), batches=(1, 2), ops="prefix")
    return profile_bundle(bundle_file(pair), plan)


def test_a_real_profile_has_every_part(real: Profile) -> None:
    page = render(real)
    seen = Seen(page)
    assert real.ops is not None
    for said in (
        f"{real.bundle.name} {real.bundle.version}",
        real.runtime,
        duration(real.steady.p50_ns),
        duration(real.steady.p99_ns),
        real.bundle.digest,
        real.ops.note,
        *(op.name for op in real.ops.ops),
    ):
        assert said is not None
        assert said in seen.text
    titles = [a["aria-label"] for a in seen.named("section")]
    assert titles == [
        "Summary", "Latency over time", "Distribution", "Stages of a run", "Memory", "Time by kind of operator",
        "Slowest operators", "All operators", "Threads", "Batches", "Conditions", "Machine and software",
    ]  # fmt: skip
    points = seen.named("circle", None)
    assert len([a for a in points if a.get("r") in ("2.5", "4") and "class" not in a]) >= 20
    assert render(real) == page
    assert len(page) < 150_000


def test_a_session_that_was_open_has_unknown_parts(bundle_file: Callable[..., Path], dense: Any) -> None:
    with edgekit.load(bundle_file(dense), trust=edgekit.UNSIGNED) as session:
        profile = profile_session(session, runs=12, warmup=1)
    seen = Seen(render(profile))
    assert "the session was open already" in seen.said
    assert "shared process" in seen.text
    assert not seen.named("table", "sortable")


def test_200_runs_and_a_hundred_operators_make_a_small_page(noisy: list[int]) -> None:
    assert len(render(cases.profile_of(noisy, ops=cases.op_times(100)))) < 150_000


# ---- the verdict


def test_a_bad_run_says_so_before_any_figure() -> None:
    reasons = ("the clock fell from 1500 to 600 MHz", "swapping: 3 pages in")
    said = Seen(render(cases.profile_of(verdict=reasons))).text
    places = [said.index(part) for part in ("Do not compare these figures", *reasons, "Median latency")]
    assert places == sorted(places)


def test_a_sound_run_says_what_nobody_knows() -> None:
    sound = Seen(render(cases.profile_of())).text
    assert "Nothing seen that speaks against" in sound
    assert "Do not compare" not in sound
    assert "Unknown here" not in sound
    unknown = Seen(render(cases.profile_of(**SAYS_NOTHING)))
    assert "Unknown here: governor, clock, temperature, throttling, swap" in "".join(unknown.said)
    assert len(unknown.named("td", "unknown")) >= 20


def test_a_step_of_a_sweep_that_should_not_be_compared_is_named() -> None:
    assert "Do not compare threads 1:  swapping: 3 pages in" in Seen(render(cases.full_profile())).text


def test_a_fallback_is_told() -> None:
    assert (
        "no Edge TPU is plugged in"
        in Seen(render(cases.profile_of(fallback="no Edge TPU is plugged in"))).said
    )


def test_conditions_that_changed_stand_out() -> None:
    hot = replace(cases.LATER, throttled=0x4, waited_ns=5_000_001_000)
    seen = Seen(render(cases.profile_of(conditions_after=hot)))
    assert len(seen.named("td", "changed")) == 1
    assert "now: throttled" in seen.said
    assert "5.00 s, 50 %" in seen.said


# ---- the comparison


def test_a_comparison_is_shown_with_its_interval(noisy: list[int]) -> None:
    old = cases.profile_of([2 * ns for ns in noisy])
    new = cases.profile_of(noisy)
    comparison = compare(new, old)
    seen = Seen(render(new, comparison))
    assert "Against the earlier profile: faster" in seen.said
    assert comparison.explanation in seen.said
    (line,) = seen.named("line", "span")
    (value,) = seen.named("circle", "value")
    low, middle, high = (float(str(place).rstrip("%")) for place in (line["x1"], value["cx"], line["x2"]))
    assert 0 < low <= middle <= high < 100
    (band,) = seen.named("rect", "band")
    assert high < float(str(band["x"]).rstrip("%"))


def test_a_comparison_without_any_spread_is_drawn() -> None:
    same = Comparison("cannot tell", 1.0, 1.0, 1.0, 5, 5, "no difference beyond 2%", ("numpy (1 -> 2)",))
    assert "numpy (1 -> 2)" in Seen(render(cases.profile_of(), same)).text


# ---- plots of odd runs


@pytest.mark.parametrize("runs", [[5], [0], [7] * 40, [0] * 3, [1, 2], [2**62, 2**62 + 1], [1, 2**62]])
def test_any_latencies_are_drawn_inside_the_plots(runs: list[int]) -> None:
    seen = Seen(render(cases.profile_of(runs, **SAYS_NOTHING)))
    assert len([a for a in seen.named("circle") if "r" in a and "class" not in a]) >= 1
    for element, attributes in seen.elements:
        for name in ("x", "cx", "x1", "x2", "width"):
            value = str(attributes.get(name) or "")
            if value.endswith("%"):
                assert -3 <= float(value[:-1]) <= 103, (element, attributes)
        assert not re.search(r"nan|inf", str(attributes.get("cx", "")) + str(attributes.get("y", "")))


def test_a_slow_run_does_not_press_the_others_together(noisy: list[int]) -> None:
    seen = Seen(render(cases.profile_of(noisy)))
    assert "1 run lies beyond the axis, the slowest at 900 ms." in seen.said
    assert len(seen.named("text", "beyond")) == 1
    assert "run 78: 900 ms" in seen.said
    heights = {a["cy"] for a in seen.named("circle") if "class" not in a}
    assert len(heights) > 100


def test_the_window_keeps_a_tail_that_is_no_outlier() -> None:
    assert window([1]) == Window(1, 1, 0)
    assert window([1, 1_000]) == Window(1, 1_000, 0)
    assert window(list(range(100, 200))) == Window(100, 199, 0)
    assert window([100] * 90 + [300] * 10) == Window(100, 300, 0)
    assert window([*range(100, 200), 5_000]) == Window(100, 199, 1)
    assert window([100] * 40 + [5_000]) == Window(100, 100, 1)


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=80))
def test_the_window_counts_what_it_leaves_out(runs: list[int]) -> None:
    ordered = sorted(runs)
    shown = window(ordered)
    assert shown.low_ns == ordered[0]
    assert shown.high_ns in ordered
    assert shown.beyond == sum(ns > shown.high_ns for ns in runs) <= max(1, len(runs) // 100)


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=200))
def test_every_run_in_the_window_falls_into_one_bar(runs: list[int]) -> None:
    ordered = sorted(runs)
    shown = window(ordered)
    found = bars(ordered, shown)
    assert sum(bar.runs for bar in found) == len(runs) - shown.beyond
    assert found[0].low_ns == shown.low_ns
    assert found[-1].high_ns == shown.high_ns
    assert all(bar.high_ns == after.low_ns for bar, after in pairwise(found))
    assert len(found) <= MOST_BARS + 1
    for bar in found[:-1]:
        assert bar.runs == sum(bar.low_ns <= ns < bar.high_ns for ns in runs)


def test_a_million_runs_are_thinned_out_and_the_extremes_stay() -> None:
    generator = random.Random(7)
    runs = [generator.randrange(1_000_000, 2_000_000) for _ in range(1_000_000)]
    runs[123_456], runs[654_321] = 1, 10**9
    drawn = thin_out(runs)
    assert len(drawn) <= MOST_POINTS
    assert drawn == sorted(set(drawn)) == thin_out(runs)
    assert {123_456, 654_321} <= set(drawn)


def test_few_runs_are_all_drawn() -> None:
    assert thin_out([3] * MOST_POINTS) == list(range(MOST_POINTS))
    assert len(thin_out([3] * (MOST_POINTS + 1))) <= MOST_POINTS


def test_a_page_that_thins_out_says_so() -> None:
    page = render(cases.profile_of(list(range(10_000, 30_000))))
    assert "Of 20,000 runs" in Seen(page).text
    assert len(page) < 150_000


# ---- axes


def test_ticks_are_round_and_bear_one_unit() -> None:
    axis = time_axis(374_000, 561_000, 6)
    assert axis.labels == ("400 us", "450 us", "500 us", "550 us")
    assert time_axis(999_000, 1_002_000, 6).labels == ("0.999 ms", "1.000 ms", "1.001 ms", "1.002 ms")
    assert time_axis(0, 20, 6).labels == ("0 ns", "5 ns", "10 ns", "15 ns", "20 ns")
    assert time_axis(0, 0, 6).labels == ("0 ns", "2 ns", "4 ns", "6 ns", "8 ns", "10 ns")
    assert count_axis(3, 6).labels == ("0", "1", "2", "3")
    assert count_axis(84, 6).labels == ("0", "20", "40", "60", "80")
    assert change_axis(-0.05, 0.03, 6).labels == ("-4 %", "-2 %", "0 %", "+2 %")


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_an_axis_has_room_and_few_ticks(one: int, other: int) -> None:
    low, high = sorted((one, other))
    axis = time_axis(low, high, 6)
    assert axis.low <= low
    assert axis.high >= high
    assert 1 <= len(axis.ticks) <= 7
    assert len(set(axis.labels)) == len(axis.labels)
    assert axis.place(axis.low) == 0
    assert axis.place(axis.high) == pytest.approx(100)
    assert 0 <= axis.place(2.0 * high + 1) <= 100


@given(st.floats(1e-6, 1e18), st.integers(1, 50))
def test_steps_are_one_two_or_five(span: float, most: int) -> None:
    step = round_step(span, most)
    assert f"{step:.0e}"[0] in "125"
    assert span / step <= most * (1 + 1e-6)
    assert span / step > most / 2.6


# ---- operators


def test_operators_are_summed_by_kind_and_by_who_runs_them() -> None:
    ops = cases.op_times(4)
    first = replace(ops.ops[0], delegate=None, opcode="SOFTMAX", macs=None, gmac_per_s=None)
    profile = cases.profile_of(
        ops=replace(ops, ops=(first, *ops.ops[1:]), call_ns=500.0, note="Mind the gap.")
    )
    seen = Seen(render(profile))
    for said in ("x 3", "9.00 us", "90.0 %", "the bare call", "Mind the gap.", "XNNPACK: 3, 90.0 %"):
        assert said in seen.said
    assert "the runtime's own kernels: 1, 10.0 %" in seen.said
    (table,) = seen.named("table", "sortable")
    assert table is not None
    values = [a["data-v"] for a in seen.named("td", "n") if "data-v" in a]
    assert values[:4] == ["1000", "0.1", "0", "0"]
    assert values[-4:] == ["4000", "0.4", "5000000", "0.5"]


def test_more_operators_than_bars_are_counted() -> None:
    seen = Seen(render(cases.profile_of(ops=cases.op_times(40))))
    assert any(said.startswith("and 25 faster operators, together ") for said in seen.said)
    assert seen.text.count("block_0") == 1


def test_operators_without_any_time_are_drawn() -> None:
    ops = cases.op_times(2)
    idle = tuple(replace(op, time_ns=-3.0, share=0.0) for op in ops.ops)
    Seen(render(cases.profile_of(ops=replace(ops, ops=idle, sum_ns=0.0, whole_ns=0.0, ratio=0.0))))


# ---- nothing becomes markup, and nothing is loaded


def with_text(said: str) -> Profile:
    """A profile that has a text wherever there can be any."""
    op = OpTime(0, said, said, said, 1_000.0, 1.0, 5, 5e-3, said)
    full = cases.full_profile()
    reading = replace(
        cases.QUIET,
        clocks=(cases.CpuClock(0, said, 1, 1, 1),),
        temperatures=(cases.Temperature(said, 1.0),),
        cooling=(cases.Cooling(said, 1),),
    )
    return replace(
        full,
        created=said,
        bundle=BundleFacts(said, said, said, said),
        host=cases.Host(said, said, said, said, 1, 1, said, said, said, said, said, said),
        device=said,
        runtime=said,
        kernels=said,
        fallback=said,
        inputs=said,
        threads_sweep=tuple(replace(step, verdict=(said,)) for step in full.threads_sweep),
        batch_sweep=tuple(replace(step, verdict=(said,)) for step in full.batch_sweep),
        conditions_before=reading,
        conditions_after=reading,
        verdict=(said,),
        ops=cases.op_times(1, ops=(op,), note=said),
    )


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_stays_text(hostile: str) -> None:
    def page(said: str) -> str:
        return render(with_text(said), Comparison("slower", 1.1, 1.05, 1.2, 5, 5, said, (said,)))

    plain, seen = Seen(page("plain")), Seen(page(hostile))
    assert [element for element, _ in seen.elements] == [element for element, _ in plain.elements]
    assert [set(a) for _, a in seen.elements] == [set(a) for _, a in plain.elements]
    assert seen.raw == plain.raw
    assert hostile in seen.text


def test_it_loads_nothing_and_its_policy_allows_its_own_texts_only() -> None:
    page = render(cases.full_profile())
    seen = Seen(page)
    for _, attributes in seen.elements:
        assert not {"src", "href", "style", "action", "xlink:href", "srcset"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    assert "http" not in page.partition("<body>")[2].partition("<script>")[0]
    assert not re.search(r"@import|url\(|https?:|fetch\(|XMLHttp|import\(", "".join(seen.raw.values()))
    (policy,) = [a["content"] for a in seen.named("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(seen.raw[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in (policy or "")
    assert (policy or "").startswith("default-src 'none'")


def test_every_class_that_is_used_is_known_to_the_style() -> None:
    seen = Seen(
        render(cases.full_profile(), Comparison("slower", 1.1, 1.05, 1.2, 5, 5, "10% slower", ("a",)))
    )
    used = {name for _, a in seen.elements for name in (a.get("class") or "").split()}
    known = set(re.findall(r"\.([a-z][a-z0-9-]*)", seen.raw["style"]))
    assert used - known == {"sortable"}  # which is for the script


def test_memory_that_nobody_knows_is_unknown() -> None:
    seen = Seen(render(cases.profile_of(memory=Memory(None, None, "own process", None, None))))
    assert seen.said.count("unknown") == 4  # the tile, and three rows


# ---- figures for people


def test_durations_have_three_digits_and_the_unit_that_suits() -> None:
    assert [duration(ns) for ns in (0, 999, 999.6, 9_994, 9_996, 27_000, 99_960, 999_600, 1.25e6, 12.3e9)] == [
        "0 ns", "999 ns", "1.00 us", "9.99 us", "10.0 us", "27.0 us", "100 us", "1.00 ms", "1.25 ms", "12.3 s",
    ]  # fmt: skip
    assert duration(-27_000) == "-27.0 us"


def test_sizes_and_counts_never_show_a_power_of_ten() -> None:
    assert [size(n) for n in (999, 999_499, 999_500, 24.6e9)] == ["999 B", "999 kB", "1 MB", "24.6 GB"]
    assert [millions(n) for n in (5, 999_999, 13_600_000)] == ["5", "1 M", "13.6 M"]
    assert [three_digits(n) for n in (0.5, 99.94, 99.96, 1234.4)] == ["0.5", "99.9", "100", "1,234"]
    assert percent(12.3) == "1,230 %"
