"""What it takes of the machine, and what more threads or larger batches bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.page.figures import duration, size, three_digits
from edgekit.page.markup import Html, tag
from edgekit.profiling.page.axes import Axis, time_axis
from edgekit.profiling.page.plots import spread, strip
from edgekit.profiling.page.sections import grid, key, pane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.profiling.record import BatchPoint, Memory, Profile, ThreadsPoint


def memory(profile: Profile) -> Html:
    """The peak beside what was held before, the model and its arena, all on one scale."""
    found = profile.memory
    rows = [_peak(found)]
    for word, small, count, kind in (
        ("tensor arena", "an estimate by the runtime's own plan", found.arena_bytes, "cpu"),
        ("model", "the flatbuffer that ran", found.model_bytes, "unsure"),
    ):
        rows.append(_row(word, small, count, [(count or 0, kind, word)], found.peak_rss_bytes))
    return pane("Memory", tag("ul", *rows, class_="chart memory"), _scope(found), width="half")


def _peak(found: Memory) -> Html:
    peak, baseline = found.peak_rss_bytes, found.baseline_rss_bytes
    if peak is None or baseline is None or not 0 < baseline <= peak:
        small = "interpreter of Python and all"
        return _row("peak RSS", small, peak, [(peak or 0, "home", "peak RSS")], peak)
    added = peak - baseline
    small = f"{size(baseline)} before loading, {size(added)} more since"
    parts = [
        (baseline, "rest", f"before loading: {size(baseline)}"),
        (added, "home", f"since: {size(added)}"),
    ]
    return _row("peak RSS", small, peak, parts, peak)


def _row(
    word: str, small: str, count: int | None, parts: Sequence[tuple[int, str, str]], longest: int | None
) -> Html:
    whole = max(longest or 0, count or 0, 1)
    drawn = [(100 * max(part, 0) / whole, kind, said) for part, kind, said in parts]
    return tag(
        "li",
        tag("span", tag("b", word), " ", tag("span", small, class_="small")),
        strip(drawn),
        tag("span", "unknown" if count is None else size(count), class_="n"),
    )


def _scope(found: Memory) -> Html:
    if found.scope == "shared process":
        return tag(
            "p", "Measured in a process that did other things before: its peak includes them.", class_="small"
        )
    keys = [key("rest", "before the bundle was loaded"), key("home", "loading and running")]
    return tag("p", *keys, class_="keys") if found.baseline_rss_bytes is not None else Html("")


def threads(profile: Profile) -> Html:
    """The sweep over thread counts."""
    steps = profile.threads_sweep
    if not steps:
        return Html("")
    axis = _shared_axis([step.steady.p99_ns for step in steps])
    first = steps[0].throughput_per_s
    rows = [
        tag(
            "tr",
            tag("td", step.threads, class_="n"),
            *_latency(step, axis),
            *_throughput(step, first),
            tag("td", duration(step.load_ns), class_="n"),
            tag("td", duration(step.first_ns), class_="n"),
            _memory(step),
        )
        for step in steps
    ]
    heads = ("threads", "min, p50, p90, p99", "p50", "p99", "per second", "gain", "load", "first", "peak RSS")
    return pane("Threads", grid(heads, "nwnnnnnnn", rows), *_warnings("threads", steps))


def batches(profile: Profile) -> Html:
    """The sweep over batch sizes; latencies are those of a sample, so that the rows compare."""
    steps = profile.batch_sweep
    if not steps:
        return Html("")
    axis = _shared_axis([step.steady.p99_ns // step.batch for step in steps])
    first = steps[0].throughput_per_s
    rows = [
        tag(
            "tr",
            tag("td", step.batch, class_="n"),
            *_latency(step, axis, step.batch),
            tag("td", duration(step.steady.p50_ns), class_="n"),
            *_throughput(step, first),
            _memory(step),
        )
        for step in steps
    ]
    heads = (
        "batch",
        "a sample: min, p50, p90, p99",
        "p50",
        "p99",
        "p50 a call",
        "per second",
        "gain",
        "peak RSS",
    )
    return pane("Batches", grid(heads, "nwnnnnnn", rows), *_warnings("batch", steps))


def _shared_axis(highest: Sequence[int]) -> Axis:
    return time_axis(0, 1.02 * max(highest), 2)


def _latency(step: ThreadsPoint | BatchPoint, axis: Axis, divisor: int = 1) -> list[Html]:
    return [
        tag("td", spread(axis, step.steady, divisor)),
        tag("td", duration(step.steady.p50_ns / divisor), class_="n"),
        tag("td", duration(step.steady.p99_ns / divisor), class_="n"),
    ]


def _throughput(step: ThreadsPoint | BatchPoint, first: float) -> list[Html]:
    gain = f"{step.throughput_per_s / first:.2f}x" if first > 0 else "-"
    return [tag("td", three_digits(step.throughput_per_s), class_="n"), tag("td", gain, class_="n")]


def _memory(step: ThreadsPoint | BatchPoint) -> Html:
    known = step.peak_rss_bytes
    return tag("td", "unknown" if known is None else size(known), class_="n")


def _warnings(noun: str, steps: Sequence[ThreadsPoint | BatchPoint]) -> list[Html]:
    """Which steps should not be compared, and why."""
    return [
        tag(
            "p",
            tag("b", f"Do not compare {noun} {_number(step)}: "),
            "; ".join(step.verdict),
            class_="warning",
        )
        for step in steps
        if step.verdict
    ]


def _number(step: ThreadsPoint | BatchPoint) -> int:
    return step.batch if hasattr(step, "batch") else step.threads
