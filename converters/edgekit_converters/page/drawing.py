"""The SVG of a graph: nodes by where operators run (colour and form), and the lines between them."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.page.markup import Html, tag
from edgekit_converters.page.facts import Kind
from edgekit_converters.page.layout import Edge, Layout

ROW = 30
"""Height of a row in CSS pixels; style.css has the same number for the labels beside the drawing."""

LANE = 18
MARGIN = 16
MOST_WIDTH = 260
"""Graphs with more lanes than fit into this are drawn closer together."""

_RADIUS = 6.5


def width_of(layout: Layout) -> int:
    """Width of the drawing in CSS pixels."""
    return round(2 * MARGIN + (layout.width - 1) * _spacing(layout))


def draw(layout: Layout, kinds: Sequence[Kind], *, has_chip: bool) -> Html:
    """Draws a graph, one row an operator.

    Args:
        layout: Of the operators.
        kinds: Of each operator.
        has_chip: Whether lines between operators of two kinds are dashed: there data go to or from the chip.
    """
    width, height = width_of(layout), max(len(kinds), 1) * ROW
    return tag(
        "svg",
        tag("g", *(_line(layout, edge, kinds, has_chip) for edge in layout.edges), class_="edges"),
        *(_node(layout, row, kind) for row, kind in enumerate(kinds)),
        class_="lanes",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
        aria_hidden="true",
    )


def mark(kind: Kind, x: float = 8, y: float = 8) -> Html:
    """The form of a kind around a centre: a disc, a square, a diamond or a cross."""
    name, r = f"n {kind}", _RADIUS
    if kind is Kind.HOME:
        return tag("circle", cx=x, cy=y, r=r, class_=name)
    if kind is Kind.CPU:
        return tag("rect", x=x - r + 1, y=y - r + 1, width=2 * r - 2, height=2 * r - 2, class_=name)
    if kind is Kind.UNSURE:
        return tag("path", d=f"M{x:g} {y - r - 1:g}l7.5 7.5l-7.5 7.5l-7.5 -7.5z", class_=name)
    return tag(
        "path", d=f"M{x - 3:g} {y:g}l-4 -4l3 -3l4 4l4 -4l3 3l-4 4l4 4l-3 3l-4 -4l-4 4l-3 -3z", class_=name
    )


def _spacing(layout: Layout) -> float:
    return min(LANE, (MOST_WIDTH - 2 * MARGIN) / max(layout.width - 1, 1))


def _x(layout: Layout, lane: int) -> float:
    return round(MARGIN + lane * _spacing(layout), 1)


def _node(layout: Layout, row: int, kind: Kind) -> Html:
    return mark(kind, _x(layout, layout.lanes[row]), row * ROW + ROW / 2)


def _line(layout: Layout, edge: Edge, kinds: Sequence[Kind], has_chip: bool) -> Html:
    (row, lane), *rest = edge.points
    path = [f"M{_x(layout, lane)} {row * ROW + ROW / 2:g}"]
    for next_row, next_lane in rest:
        bottom = next_row * ROW + ROW / 2
        if next_lane != lane:
            left, right, top = _x(layout, lane), _x(layout, next_lane), bottom - ROW
            middle = (top + bottom) / 2
            path.append(f"V{top:g}C{left} {middle:g} {right} {middle:g} {right} {bottom:g}")
        lane = next_lane
    path.append(f"V{edge.target * ROW + ROW / 2:g}")
    kind = kinds[edge.source]
    crosses = has_chip and kind is not kinds[edge.target]
    return tag("path", d="".join(path), class_=f"{kind} x" if crosses else kind)
