"""The parts of the page, each from a `Check` to markup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgekit.page import theme_button
from edgekit.page.figures import millions, percent, size
from edgekit.page.markup import Html, join, tag, text
from edgekit_converters.check import layer_of
from edgekit_converters.page.drawing import draw, mark
from edgekit_converters.page.facts import (
    Kind,
    Side,
    arena,
    kind_of,
    parameters,
    shape,
    sides,
    word_of,
)
from edgekit_converters.page.findings import Finding, findings, follows
from edgekit_converters.page.layout import Layout
from edgekit_targets import cost
from edgekit_targets.forecast import OpForecast
from edgekit_targets.ops import OpView

if TYPE_CHECKING:
    from edgekit_converters.check import Check


LEAST_SHARE = 0.006
"""What a part of a bar takes at least, so that it is seen."""


def header(found: Check) -> Html:
    """What was checked, on what, and the switch between light and dark."""
    name = found.model.rstrip("/").rpartition("/")[2]
    return tag(
        "header",
        tag("div", tag("p", "edgekit check", class_="brand"), tag("h1", name)),
        tag(
            "dl",
            _pair("target", found.target.title),
            _pair("model", found.subject.kind),
            *(_pair(word, value) for word, value in _edges(found)),
        ),
        theme_button(),
    )


def _pair(word: str, value: object) -> Html:
    return tag("div", tag("dt", word), tag("dd", value))


def _edges(found: Check) -> Iterator[tuple[str, str]]:
    main = found.subject.graph.main
    for word, numbers in (("input", main.inputs), ("output", main.outputs)):
        tensors = [main.tensors[number] for number in numbers]
        yield word, ", ".join(f"{t.type.lower()} {'x'.join(map(str, t.shape)) or 'scalar'}" for t in tensors)


def notes(found: Check) -> Html:
    """What must be known before the figures are believed."""
    lines = [tag("p", note) for note in found.subject.notes]
    if found.subject.unverified:
        lines.insert(0, tag("p", tag("b", "UNVERIFIED"), ": nothing proves who made this bundle."))
    return tag("aside", *lines, class_="notes") if lines else Html("")


def summary(found: Check) -> Html:
    """The verdict, the shares of each side, and the figures."""
    verdict = found.forecast.verdict
    return tag(
        "section",
        tag(
            "div",
            tag("h2", verdict.text[:1].upper() + verdict.text[1:]),
            tag("p", f"Confidence: {verdict.confidence}", class_=f"confidence {verdict.confidence}"),
            class_="verdict",
        ),
        tag("div", *_shares(found), _strip(found), class_="shares"),
        tag("dl", *(_tile(*figure) for figure in _figures(found)), class_="tiles"),
        class_="summary",
        aria_label="Summary",
    )


def _shares(found: Check) -> Iterator[Html]:
    parts = sides(found.forecast)
    yield _bar("Operators", [(side, side.op_share, f"{side.ops:,} {side.word}") for side in parts])
    with_macs = [
        (side, side.mac_share, f"{percent(side.mac_share)} {side.word}") for side in parts if side.macs
    ]
    if with_macs:
        yield _bar("MACs", with_macs)


def _bar(word: str, parts: list[tuple[Side, float, str]]) -> Html:
    """A bar split by shares. Every part is wide enough to be seen; the words beside it have the true figures."""
    widths = [max(share, LEAST_SHARE) for _, share, _ in parts]
    x, drawn = 0.0, []
    for (side, _, _), width in zip(parts, widths, strict=True):
        wide = 1000 * width / sum(widths)
        drawn.append(tag("rect", x=f"{x:.1f}", width=f"{wide:.1f}", height=10, class_=side.kind))
        x += wide
    said = [tag("span", _icon(side.kind), words, class_="marked") for side, _, words in parts]
    return _band(word, 1000, drawn, said)


def _strip(found: Check) -> Html:
    """All operators in their order as one band: where the model is cut shows at a glance."""
    runs: list[tuple[Kind, int, int]] = []
    for row, op in enumerate(found.forecast.ops):
        kind = kind_of(op, found.accelerator)
        start = runs.pop()[1] if runs and runs[-1][0] is kind else row
        runs.append((kind, start, row + 1))
    drawn = [tag("rect", x=start, width=end - start, height=10, class_=kind) for kind, start, end in runs]
    return _band("In order", max(len(found.forecast.ops), 1), drawn, [text("first to last operator")])


def _band(word: str, width: int, drawn: list[Html], said: list[Html]) -> Html:
    band = tag("svg", *drawn, viewBox=f"0 0 {width} 10", preserveAspectRatio="none", aria_hidden="true")
    return tag("div", tag("span", word, class_="word"), band, tag("span", *said, class_="said"), class_="bar")


def _icon(kind: Kind) -> Html:
    return tag("svg", mark(kind), width=16, height=16, viewBox="0 0 16 16", aria_hidden="true")


def _figures(found: Check) -> Iterator[tuple[str, str, str]]:
    """Yields word, figure and small print of each tile."""
    forecast = found.forecast
    macs = sum(op.macs for op in forecast.ops)
    yield "Operators", f"{len(forecast.ops):,}", f"{millions(macs)} MACs an inference"
    if found.accelerator is not None:
        yield "Partitions", str(forecast.partitions), f"pieces that the {found.accelerator} runs"
    if forecast.parameters is not None:
        yield "Parameters", size(forecast.parameters.total_bytes), parameters(found).partition(": ")[2]
    if found.timings:
        best = min(found.timings, key=lambda timing: timing.estimate.ms).estimate
        figure, _, error = best.text.partition(" (")
        yield "Latency", figure, f"{error.rstrip(')')}; {best.basis}"
    yield "Tensor arena", size(found.arena_bytes), arena(found)


def _tile(word: str, figure: str, small: str) -> Html:
    return tag("div", tag("dt", word), tag("dd", figure, class_="figure"), tag("dd", small, class_="small"))


def changes(found: Check) -> Html:
    """What to change, one card a rule; what only follows from another operator comes last."""
    cards = [_card(finding) for finding in findings(found)]
    if not cards:
        return Html("")
    word = "Worth a look" if found.accelerator is None else f"Not on the {found.accelerator}, or not surely"
    return tag("section", tag("h2", word), tag("div", *cards, class_="cards"), class_="changes")


def _card(finding: Finding) -> Html:
    rule = join(" ", tag("code", finding.rule)) if finding.rule else ""
    fix = tag("p", tag("b", "Change: "), finding.fix, class_="fix") if finding.fix else ""
    title = tag("h3", _icon(finding.kind), finding.title)
    return tag(
        "article",
        title,
        tag("p", finding.reason, rule, class_="why"),
        fix,
        class_=f"{finding.kind} wide" if finding.follows else finding.kind,
    )


def legend(found: Check) -> Html:
    """Colours and forms, each with its word; the table is filtered by them."""
    items = [
        tag(
            "button",
            _icon(side.kind),
            f"{side.word} {side.ops:,}",
            type="button",
            class_="chip",
            data_kind=side.kind,
            aria_pressed="true",
        )
        for side in sides(found.forecast)
    ]
    if found.accelerator is not None and len(items) > 1:
        dashes = tag(
            "svg", tag("path", d="M0 8H24", class_="dashes"), width=24, height=16, aria_hidden="true"
        )
        items.append(tag("span", dashes, f"to or from the {found.accelerator}", class_="marked word"))
    return tag("div", *items, class_="legend", id="legend", role="group", aria_label="Show by placement")


def graph(found: Check, layout: Layout) -> Html:
    """The drawing, and beside each node what it is."""
    ops = found.forecast.ops
    kinds = [kind_of(op, found.accelerator) for op in ops]
    labels = [_label(*row) for row in zip(ops, found.ops, kinds, strict=True)]
    return tag(
        "div",
        draw(layout, kinds, has_chip=found.accelerator is not None),
        tag("ol", *labels, class_="labels"),
        class_="drawing",
    )


def _label(op: OpForecast, view: OpView, kind: Kind) -> Html:
    return tag(
        "li",
        tag("span", op.opcode, class_="opcode"),
        tag("span", shape(view.outputs[0]) if view.outputs else "", class_="shape"),
        tag("span", layer_of(op), class_="layer"),
        class_=kind,
        data_op=op.index,
        tabindex=0,
    )


_COLUMNS = (
    ("#", "n"),
    ("Operator", ""),
    ("Runs on", ""),
    ("MACs", "n"),
    ("Parameters", "n"),
    ("Why, and what to change", ""),
)


def table(found: Check) -> Html:
    """All operators with reason and fix."""
    heads = [tag("th", word, scope="col", class_=kind or None) for word, kind in _COLUMNS]
    rows = [_row(found, op, view) for op, view in zip(found.forecast.ops, found.ops, strict=True)]
    return tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), id="ops", class_="sortable")


def _row(found: Check, op: OpForecast, view: OpView) -> Html:
    kind = kind_of(op, found.accelerator)
    weight = cost.parameter_bytes(view)
    # What would help an operator that only follows another one stands with that other one.
    fix = tag("p", tag("b", "Change: "), op.fix, class_="fix") if op.fix and not follows(found, op) else ""
    rule = join(" ", tag("code", op.rule)) if op.rule else ""
    return tag(
        "tr",
        tag("td", op.index, class_="n"),
        tag("td", tag("b", op.opcode), tag("span", layer_of(op), class_="layer", title=op.name)),
        tag("td", tag("span", _icon(kind), word_of(op, found.accelerator), class_="marked")),
        tag("td", millions(op.macs) if op.macs else "", class_="n", data_v=op.macs),
        tag("td", size(weight) if weight else "", class_="n", data_v=weight),
        tag("td", tag("p", op.reason, rule, class_="why"), fix),
        id=f"op{op.index}",
        class_=kind,
        data_kind=kind,
    )
