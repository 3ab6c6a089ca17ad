"""The parts of the page, each from a `Diagnosis`."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.page import theme_button
from edgekit.page.figures import counted, percent, three_digits
from edgekit.page.markup import Html, join, tag
from edgekit_converters.diagnosis.findings import bulk_steps
from edgekit_converters.diagnosis.page.plots import decibel_lines, histogram, percent_of, shares
from edgekit_converters.diagnosis.record import Diagnosis, Finding, Layer
from edgekit_converters.diagnosis.score import decibels

_CAUSES = (
    ("weights", "rounded weights"),
    ("rounding", "rounded output"),
    ("clipping", "clipped output"),
)


def header(found: Diagnosis) -> Html:
    """What was diagnosed, and the switch between light and dark."""
    name = found.model.rstrip("/").rpartition("/")[2]
    facts = (
        ("model", found.kind),
        ("int8", f"{found.recipe}, effort {found.effort}"),
        ("calibrated on", f"{counted(found.samples, 'sample')} of {found.source}"),
    )
    return tag(
        "header",
        tag("div", tag("p", "edgekit diagnose", class_="brand"), tag("h1", name)),
        tag("dl", *(tag("div", tag("dt", word), tag("dd", value)) for word, value in facts)),
        theme_button(),
    )


def notes(found: Diagnosis) -> Html:
    """What should be known of the model."""
    return (
        tag("aside", *(tag("p", note) for note in found.notes), class_="notes") if found.notes else Html("")
    )


def summary(found: Diagnosis) -> Html:
    """The verdict and the figures that everybody asks for first."""
    verdict = found.verdict
    return tag(
        "section",
        tag("div", tag("h2", verdict[:1].upper() + verdict[1:]), class_="verdict"),
        tag("dl", *(_tile(*figure) for figure in _figures(found)), class_="tiles"),
        class_="summary",
        aria_label="Summary",
    )


def _figures(found: Diagnosis) -> Iterator[tuple[str, str, str]]:
    """Yields word, figure and small print of each tile."""
    worst = max(found.layers, key=lambda layer: layer.effect.share)
    best = max(found.layers, key=found.gain_db)
    yield "Output SQNR", f"{found.sqnr_db:.1f} dB", f"of int8 against float, at {found.measured_at}"
    yield "Largest share", percent_of(worst.effect.share), f"of the output error, by {worst.title}"
    if found.gain_db(best) > 0:
        yield "Largest gain", f"{found.gain_db(best):+.1f} dB", f"with {best.title} alone left in float"
    yield "Layers", str(len(found.layers)), "the inputs among them"
    yield "Samples", str(found.looked_at), f"layer by layer, of {found.samples} that set the ranges"


def _tile(word: str, figure: str, small: str) -> Html:
    return tag("div", tag("dt", word), tag("dd", figure, class_="figure"), tag("dd", small, class_="small"))


def findings(found: Diagnosis) -> Html:
    """One card a finding."""
    if not found.findings:
        return Html("")
    return tag(
        "section",
        tag("h2", "Worth a look"),
        tag("div", *map(_card, found.findings), class_="cards"),
        class_="changes",
    )


def _card(finding: Finding) -> Html:
    return tag(
        "article",
        tag("h3", finding.title),
        tag("p", finding.reason, " ", tag("code", finding.rule), class_="why"),
        tag("p", tag("b", "Advice: "), finding.advice, class_="fix"),
        class_="minor" if finding.minor else None,
    )


def along(found: Diagnosis) -> Html:
    """The error along the network."""
    keys = [_key(name, said) for name, said in _CAUSES]
    lines = [_key("upto", "the output, with all up to here in int8"), _key("own", "what the layer writes")]
    return join(
        _pane(
            "Who causes the output error",
            shares(found),
            tag(
                "p",
                "The shares sum to 100 %. Below zero: the layer takes back what others did, as corrected biases do. The "
                "colour tells what costs most within the layer; the numbers below are those of the table.",
                class_="small",
            ),
            beside=tag("p", *keys, class_="keys"),
        ),
        _pane(
            "Error along the network",
            decibel_lines(found),
            tag(
                "p",
                "Signal-to-quantization-noise ratio, higher is better; 20 dB is an error of 10 %, 30 dB one of 3 %.",
                class_="small",
            ),
            beside=tag("p", *lines, class_="keys"),
        ),
    )


def _pane(title: str, *content: object, beside: object = "") -> Html:
    head = tag("div", tag("h2", title), beside, class_="pane-head")
    return tag("section", head, *content, class_="pane", aria_label=title)


def _key(name: str, said: str) -> Html:
    return tag("span", tag("i", class_=f"key {name}"), said, class_="marked")


def ranges(found: Diagnosis) -> Html:
    """The float values of each layer's output and the range of int8 over them."""
    cards = [_range(layer) for layer in found.layers if layer.effect.written is not None]
    keys = (
        ("inside", "float values"),
        ("range", "range of int8"),
        ("beyond", "beyond it"),
        ("bulk", "middle 99 %"),
    )
    return _pane(
        "What each range was made from",
        tag("div", *cards, class_="ranges"),
        tag("p", "Heights are logarithmic.", class_="small"),
        beside=tag("p", *(_key(*key) for key in keys), class_="keys"),
    )


def _range(layer: Layer) -> Html:
    written = layer.effect.written
    assert written is not None
    facts = [
        f"step {three_digits(written.scale)}",
        f"middle 99 % in {bulk_steps(layer):.0f} of 256 steps",
    ]
    if written.clipped > 0:
        facts.append(f"{percent(written.clipped)} beyond the range")
    if layer.lone is not None:
        facts.append(f"{layer.lone.ratio:.1f}x wider for sample {layer.lone.sample} alone")
    return tag(
        "figure",
        tag("figcaption", tag("b", layer.number), " ", layer.title, title=written.name),
        histogram(written),
        tag(
            "p",
            tag("span", three_digits(written.low)),
            tag("span", three_digits(written.high)),
            class_="ends",
        ),
        tag("p", ", ".join(facts), class_="small"),
    )


_COLUMNS = (
    ("#", "n"),
    ("Layer", ""),
    ("Share", "n"),
    ("Alone dB", "n"),
    ("Gain dB", "n"),
    ("SQNR dB", "n"),
    ("Costs most", ""),
    ("Saturated", "n"),
    ("Dead", "n"),
)


def table(found: Diagnosis) -> Html:
    """All layers."""
    heads = [tag("th", word, scope="col", class_=kind or None) for word, kind in _COLUMNS]
    rows = [_row(found, layer) for layer in found.layers]
    drawn = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="sortable", id="layers")
    return _pane(
        "All layers",
        tag("div", drawn, class_="scroll"),
        tag(
            "p",
            "Alone: output SQNR with only this layer in int8. Gain: what the output's SQNR would rise by with only this "
            "layer in float; below zero where corrected biases elsewhere count on its error. SQNR: of what it writes, "
            "earlier errors included. Saturated: values at the ends of the range for which float gives no reason. "
            "Dead: channels that never change.",
            class_="small",
        ),
    )


def _row(found: Diagnosis, layer: Layer) -> Html:
    effect, written = layer.effect, layer.effect.written
    beyond = 0.0 if written is None else written.saturation.beyond
    dead = 0 if layer.channels is None else len(layer.channels.dead)
    return tag(
        "tr",
        tag("td", layer.number, class_="n"),
        tag("td", tag("b", layer.opcode), tag("span", layer.name, class_="layer")),
        tag("td", f"{100 * effect.share:.1f} %", class_="n", data_v=f"{effect.share:.6f}"),
        tag("td", f"{decibels(effect.alone):.1f}", class_="n"),
        tag("td", f"{found.gain_db(layer):+.1f}", class_="n"),
        tag(
            "td",
            "" if layer.sqnr_db is None else f"{layer.sqnr_db:.1f}",
            class_="n",
            data_v=layer.sqnr_db or 0,
        ),
        tag("td", effect.local.cause),
        tag("td", percent(beyond) if beyond else "", class_="n", data_v=f"{beyond:.6f}"),
        tag(
            "td",
            f"{dead} of {layer.channels.count}" if layer.channels and dead else "",
            class_="n",
            data_v=dead,
        ),
    )
