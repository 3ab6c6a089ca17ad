"""Plots over the layers as SVG: places across are percentages, places down are pixels, so that text keeps its size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edgekit.page.figures import percent, three_digits
from edgekit.page.markup import Html, tag
from edgekit.profiling.page.axes import Axis, round_step
from edgekit_converters.calibration.histogram import Histogram
from edgekit_converters.diagnosis.record import Diagnosis, Layer
from edgekit_converters.diagnosis.score import decibels
from edgekit_converters.diagnosis.written import SLACK, Written

HEIGHT = 190
"""Of the area of a plot in CSS pixels."""

BINS = 72
"""Bars of a small histogram."""

MOST_LABELS = 12
"""Layers that have their number below the plot."""

SHOWN_DB = 60.0
"""Errors smaller than this are drawn as this: they lie far above everything that matters."""

_TOP, _BELOW, _LABELS, _MOST_TICKS = 10, 24, 56, 6


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of each layer, drawn as points with lines between them.

    Attributes:
        name: Its CSS class.
        values: One a layer; None where there is none.
        said: Of each, for people.
    """

    name: str
    values: Sequence[float | None]
    said: Sequence[str]


def shares(found: Diagnosis) -> Html:
    """The share of each layer in the output error as bars, those below zero downwards."""
    values = [layer.effect.share for layer in found.layers]
    up = _axis(min(*values, 0.0), max(*values, 0.01), lambda value: f"{100 * value:.0f} %")
    width = 100 / len(values)
    drawn = []
    for layer, value in zip(found.layers, values, strict=True):
        top, bottom = sorted((_y(up, value), _y(up, 0.0)))
        bar = tag(
            "rect",
            x=_percent(width * (layer.number + 0.12)),
            width=_percent(width * 0.76),
            y=_number(top),
            height=_number(max(bottom - top, 1.0)),
            class_=layer.effect.local.cause,
        )
        said = f"{layer.number}: {layer.title}, {percent_of(value)} of the output error"
        drawn.append(tag("g", tag("title", said), bar))
    return _framed(
        len(values), up, [tag("g", *drawn, class_="bars")], "Share of each layer in the output error"
    )


def decibel_lines(found: Diagnosis) -> Html:
    """The SQNR along the network: of the outputs with all up to a layer in int8, and of what each layer writes."""
    final = [decibels(layer.effect.upto) for layer in found.layers]
    own = [layer.sqnr_db for layer in found.layers]
    lines = [
        Line(
            "own",
            own,
            [_said(layer, value, "what it writes") for layer, value in zip(found.layers, own, strict=True)],
        ),
        Line(
            "upto",
            final,
            [
                _said(layer, value, "the output, with all up to here in int8")
                for layer, value in zip(found.layers, final, strict=True)
            ],
        ),
    ]
    known = [min(value, SHOWN_DB) for line in lines for value in line.values if value is not None]
    up = _axis(min(*known, 0.0), max(*known, 1.0), lambda value: f"{value:.0f} dB")
    drawn = [mark for line in lines for mark in _drawn(line, up)]
    return _framed(len(found.layers), up, drawn, "SQNR along the network")


def histogram(written: Written) -> Html:
    """The float values of a tensor, the range of int8 behind them, and below them where the middle 99 % lie."""
    counted = written.histogram
    values, ends = counted.values, (written.low, written.high)
    slack = SLACK * written.scale
    least = min(float(values.min(initial=ends[0])), ends[0])
    most = max(float(values.max(initial=ends[1])), ends[1])
    # What rounds to an end is counted there: only what is truly cut off lies outside.
    parts = (
        (least, ends[0], values < ends[0] - slack),
        (*ends, (values >= ends[0] - slack) & (values <= ends[1] + slack)),
        (ends[1], most, values > ends[1] + slack),
    )
    columns = [_Columns.of(counted, *part, BINS / (most - least)) for part in parts]
    tallest = max((float(each.heights.max()) for each in columns if len(each.heights)), default=0.0)

    def across(value: float) -> float:
        return 2 + 96 * (value - least) / (most - least)

    paths = [
        tag("path", d=each.path(across, max(tallest, 1e-9)), class_=name)
        for each, name in zip(columns, ("beyond", "inside", "beyond"), strict=True)
        if len(each.heights)
    ]
    first, last = map(across, ends)
    bulk = [across(counted.quantile(share)) for share in (0.005, 0.995)] if len(values) else [2.0, 2.0]
    return tag(
        "svg",
        tag("rect", x=_number(first), width=_number(last - first), y=0, height=44, class_="range"),
        *paths,
        tag(
            "rect",
            x=_number(bulk[0]),
            width=_number(max(bulk[1] - bulk[0], 0.6)),
            y=46,
            height=3,
            class_="bulk",
        ),
        class_="histogram",
        viewBox="0 0 100 50",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{written.name}: {three_digits(written.low)} to {three_digits(written.high)} in int8",
    )


@dataclass(frozen=True, slots=True)
class _Columns:
    """Some bars of a histogram.

    Attributes:
        low: Where they begin, in the tensor's unit.
        high: Where they end.
        heights: Logarithms of the counts.
    """

    low: float
    high: float
    heights: np.ndarray

    @classmethod
    def of(cls, counted: Histogram, low: float, high: float, chosen: np.ndarray, density: float) -> _Columns:
        """Of the chosen bins of a histogram, `density` bars a unit; none where nothing is chosen."""
        if not chosen.any() or high <= low:
            return cls(low, high, np.empty(0))
        part = Histogram(counted.bins[chosen], counted.counts[chosen])
        return cls(low, high, np.log1p(part.linear(low, high, max(round((high - low) * density), 2))))

    def path(self, across: Callable[[float], float], tallest: float) -> str:
        """One path for all of them, from 44 upwards."""
        first, width = across(self.low), (across(self.high) - across(self.low)) / len(self.heights)
        return "".join(
            f"M{_number(first + width * number)} 44v{_number(-42 * height / tallest)}"
            f"h{_number(width * 0.92)}v{_number(42 * height / tallest)}z"
            for number, height in enumerate(self.heights)
            if height > 0
        )


def percent_of(share: float) -> str:
    """A share that may lie below zero."""
    return percent(share) if share >= 0 else f"-{percent(-share)}"


def _said(layer: Layer, value: float | None, what: str) -> str:
    return "" if value is None else f"{layer.number}: {layer.title}, {value:.1f} dB: {what}"


def _drawn(line: Line, up: Axis) -> list[Html]:
    """The lines first, so that the points lie on top."""
    width = 100 / len(line.values)
    places = [
        (width * (number + 0.5), _y(up, min(value, SHOWN_DB)), said)
        for number, (value, said) in enumerate(zip(line.values, line.said, strict=True))
        if value is not None
    ]
    segments = [
        tag("line", x1=_percent(x), y1=_number(y), x2=_percent(x2), y2=_number(y2), class_=line.name)
        for (x, y, _), (x2, y2, _) in pairwise(places)
    ]
    radius = 3.5 if len(places) <= 60 else 2
    points = [
        tag("g", tag("title", said), tag("circle", cx=_percent(x), cy=_number(y), r=radius, class_=line.name))
        for x, y, said in places
    ]
    return [*segments, *points]


def _framed(layers: int, up: Axis, drawn: Sequence[Html], said: str) -> Html:
    """A plot within its axes; below it the numbers of some layers."""
    height = _TOP + HEIGHT + _BELOW
    beside = [
        tag("text", label, x=_LABELS - 10, y=_number(_y(up, tick) + 4), text_anchor="end")
        for tick, label in zip(up.ticks, up.labels, strict=True)
    ]
    lines = [
        tag(
            "line",
            x1=0,
            x2="100%",
            y1=_number(_y(up, tick)),
            y2=_number(_y(up, tick)),
            class_="zero" if tick == 0 else "grid",
        )
        for tick in up.ticks
    ]
    step = math.ceil(layers / MOST_LABELS)
    below = [
        tag(
            "text",
            number,
            x=_percent(100 / layers * (number + 0.5)),
            y=_TOP + HEIGHT + 18,
            text_anchor="middle",
        )
        for number in range(0, layers, step)
    ]
    return tag(
        "div",
        tag("svg", *beside, width=_LABELS, height=height, aria_hidden="true"),
        tag("svg", *lines, *below, *drawn, class_="area", height=height, role="img", aria_label=said),
        class_="plot",
    )


def _axis(low: float, high: float, said: Callable[[float], str]) -> Axis:
    step = round_step(high - low, _MOST_TICKS - 1)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(step * number for number in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks, tuple(said(tick) for tick in ticks))


def _y(axis: Axis, value: float) -> float:
    return round(_TOP + HEIGHT * (1 - axis.place(value) / 100), 1)


def _percent(value: float) -> str:
    return f"{_number(value)}%"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
