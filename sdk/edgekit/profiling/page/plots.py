"""Plots as SVG whose text keeps its size on every screen: places across are percentages, places down are pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edgekit.page.figures import counted, duration
from edgekit.page.markup import Html, tag
from edgekit.profiling.latency import Latency
from edgekit.profiling.page.axes import Axis, change_axis, count_axis, time_axis
from edgekit.profiling.page.runs import Window, bars, thin_out

HEIGHT = 210
"""Of the area of a plot in CSS pixels, without the labels below."""

_TOP, _BELOW, _LABELS = 14, 26, 64


def over_time(latency: Latency, started_ns: Sequence[int], shown: Window) -> Html:
    """The latency of each run over the time when it began."""
    samples = latency.samples_ns
    last = max(range(latency.runs), key=started_ns.__getitem__)
    across = time_axis(min(started_ns), started_ns[last] + samples[last], 6)
    room = 0.05 * (shown.high_ns - shown.low_ns)
    up = time_axis(shown.low_ns - room, shown.high_ns + room, 7)
    drawn = thin_out(samples)
    radius = 2.5 if len(drawn) > 100 else 4.0
    points = [
        _titled(
            f"run {run + 1}: {duration(samples[run])}",
            _beyond(across.place(started_ns[run]))
            if samples[run] > shown.high_ns
            else _dot(across.place(started_ns[run]), _y(up, samples[run]), radius),
        )
        for run in drawn
    ]
    levels = [
        tag("line", x1=0, x2="100%", y1=_y(up, ns), y2=_y(up, ns), class_=name)
        for name, ns in (("p99", latency.p99_ns), ("p50", latency.p50_ns))
        if ns <= shown.high_ns
    ]
    return _framed(across, up, [tag("g", *points, class_="runs"), *levels], "Latency of each run over time")


def histogram(latency: Latency, shown: Window) -> Html:
    """How many runs took how long."""
    found = bars(sorted(latency.samples_ns), shown)
    across = time_axis(shown.low_ns, shown.high_ns, 6)
    up = count_axis(max(bar.runs for bar in found), 6)
    drawn = []
    for bar in found:
        x, end = across.place(bar.low_ns), across.place(bar.high_ns)
        if bar.low_ns == bar.high_ns:  # all runs took the same time
            x, end = x - 2, end + 2
        said = f"{duration(bar.low_ns)} to {duration(bar.high_ns)}: {counted(bar.runs, 'run')}"
        drawn.append(_titled(said, _rect(x, _y(up, bar.runs), end - x, _y(up, 0))))
    levels = [
        tag(
            "line",
            x1=_percent(across.place(ns)),
            x2=_percent(across.place(ns)),
            y1=_TOP,
            y2=_y(up, 0),
            class_=name,
        )
        for name, ns in (("p99", latency.p99_ns), ("p50", latency.p50_ns))
        if ns <= shown.high_ns
    ]
    return _framed(across, up, [tag("g", *drawn, class_="bars"), *levels], "How many runs took how long")


def interval(low: float, value: float, high: float, threshold: float) -> Html:
    """A change with its interval, beside the band of changes that do not count.

    Args:
        low: Lower end of the interval; 0 is no change.
        value: The change.
        high: Upper end.
        threshold: Changes up to this do not count.
    """
    room = 0.15 * (max(high, threshold) - min(low, -threshold))
    axis = change_axis(min(low, -threshold) - room, max(high, threshold) + room, 6)
    left, right = axis.place(-threshold), axis.place(threshold)
    middle = 22
    drawn = [
        _rect(left, 4, right - left, 40, "band"),
        tag("line", x1=_percent(axis.place(0)), x2=_percent(axis.place(0)), y1=4, y2=40, class_="zero"),
        tag(
            "line",
            x1=_percent(axis.place(low)),
            x2=_percent(axis.place(high)),
            y1=middle,
            y2=middle,
            class_="span",
        ),
        tag("circle", cx=_percent(axis.place(value)), cy=middle, r=6, class_="value"),
    ]
    return tag(
        "svg", *_labels_below(axis, 40), *drawn, class_="interval", height=40 + _BELOW, aria_hidden="true"
    )


def spread(axis: Axis, latency: Latency, divisor: int = 1) -> Html:
    """From the fastest run over p50 and p90 to p99, on an axis that several share.

    Args:
        axis: The axis.
        latency: Of calls.
        divisor: Samples in a call.
    """
    low, p50, p90, p99 = (
        axis.place(ns / divisor) for ns in (latency.min_ns, latency.p50_ns, latency.p90_ns, latency.p99_ns)
    )
    return tag(
        "svg",
        tag("line", x1=_percent(low), x2=_percent(p99), y1=8, y2=8),
        tag("rect", x=_percent(low), width=_percent(p90 - low), y=4, height=8),
        tag("circle", cx=_percent(p50), cy=8, r=4),
        class_="spread",
        height=16,
        aria_hidden="true",
    )


def strip(parts: Iterable[tuple[float, str, str]], height: int = 14) -> Html:
    """A bar of parts beside one another.

    Args:
        parts: The width in percent, the CSS class and what the part is, for people.
        height: In CSS pixels.
    """
    x, drawn = 0.0, []
    for width, name, said in parts:
        drawn.append(_titled(said, _rect(x, 0, width, height, name)))
        x += width
    return tag("svg", *drawn, class_="strip", height=height, aria_hidden="true")


def _framed(across: Axis, up: Axis, drawn: list[Html], said: str) -> Html:
    """A plot within its axes."""
    height = _TOP + HEIGHT + _BELOW
    beside = [
        tag("text", label, x=_LABELS - 10, y=_number(_y(up, tick) + 4), text_anchor="end")
        for tick, label in zip(up.ticks, up.labels, strict=True)
    ]
    lines = [
        tag("line", x1=0, x2="100%", y1=_y(up, tick), y2=_y(up, tick), class_="grid") for tick in up.ticks
    ]
    return tag(
        "div",
        tag("svg", *beside, width=_LABELS, height=height, aria_hidden="true"),
        tag(
            "svg",
            *lines,
            *_labels_below(across, _TOP + HEIGHT),
            *drawn,
            class_="area",
            height=height,
            role="img",
            aria_label=said,
        ),
        class_="plot",
    )


def _labels_below(axis: Axis, y: int) -> Iterator[Html]:
    """The line of an axis at a height, its ticks and their labels; every other one gives way on small screens."""
    yield tag("line", x1=0, x2="100%", y1=y, y2=y, class_="axis")
    for number, (tick, label) in enumerate(zip(axis.ticks, axis.labels, strict=True)):
        x, name = _percent(axis.place(tick)), "axis odd" if number % 2 else "axis"
        yield tag("line", x1=x, x2=x, y1=y, y2=y + 5, class_=name)
        yield tag("text", label, x=x, y=y + 20, text_anchor="middle", class_="odd" if number % 2 else None)


def _dot(x: float, y: float, radius: float) -> Html:
    return tag("circle", cx=_percent(x), cy=_number(y), r=_number(radius))


def _beyond(x: float) -> Html:
    """A triangle at the upper edge, for a run beyond the axis."""
    return tag("text", "\u25b2", x=_percent(x), y=_TOP - 2, text_anchor="middle", class_="beyond")


def _titled(said: str, mark: Html) -> Html:
    return tag("g", tag("title", said), mark)


def _rect(x: float, y: float, width: float, end: float, name: str | None = None) -> Html:
    """A rectangle from y down to its end, in pixels; across in percent."""
    return tag(
        "rect",
        x=_percent(x),
        y=_number(y),
        width=_percent(max(width, 0.0)),
        height=_number(end - y),
        class_=name,
    )


def _y(axis: Axis, value: float) -> float:
    return round(_TOP + HEIGHT * (1 - axis.place(value) / 100), 1)


def _percent(value: float) -> str:
    return f"{_number(value)}%"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
