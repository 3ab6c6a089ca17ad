"""What was measured, whether it may be compared, and the latencies: parts of the page, each from a `Profile`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgekit.page import theme_button
from edgekit.page.figures import counted, duration, percent, size, three_digits
from edgekit.page.markup import Html, join, tag
from edgekit.profiling.latency import percentile
from edgekit.profiling.page.plots import histogram, interval, over_time, strip
from edgekit.profiling.page.runs import MOST_POINTS, Window, window
from edgekit.profiling.text import UNKNOWN, facts, stage_times

if TYPE_CHECKING:
    from edgekit.profiling.compare import Comparison
    from edgekit.profiling.record import Profile


def machine(profile: Profile) -> str:
    """The name of the machine, for people."""
    return profile.host.board or profile.host.cpu or profile.host.machine


def header(profile: Profile) -> Html:
    """What was measured, on what, and the switch between light and dark."""
    threads = "as the runtime likes" if profile.threads is None else str(profile.threads)
    return tag(
        "header",
        tag(
            "div",
            tag("p", "edgekit profile", class_="brand"),
            tag("h1", f"{profile.bundle.name} {profile.bundle.version}"),
        ),
        tag(
            "dl",
            pair("machine", machine(profile)),
            pair("device", profile.device),
            pair("runtime", f"{profile.runtime}, {profile.kernels} kernels"),
            pair("threads", threads),
            pair("measured", profile.created.replace("T", " ").replace("Z", " UTC")),
        ),
        theme_button(),
    )


def pair(word: str, value: object) -> Html:
    """An entry of a list of facts."""
    return tag("div", tag("dt", word), tag("dd", value))


def pane(title: str, *content: object, beside: object = "", width: str = "wide") -> Html:
    """A card with a heading.

    Args:
        title: The heading.
        content: What stands below it.
        beside: What stands on the right of the heading.
        width: Where there is room for two: "wide" for a row of its own, "half", or "less" beside "more".
    """
    head = tag("div", tag("h2", title), beside, class_="pane-head")
    return tag("section", head, *content, class_=f"pane {width}", aria_label=title)


def verdict(profile: Profile) -> Html:
    """Whether the figures may be compared with others; first of all, because nothing below is worth more."""
    fallback = ""
    if profile.fallback is not None:
        fallback = tag("aside", tag("b", "Fell back to the CPU: "), profile.fallback, class_="notes wide")
    if profile.verdict:
        reasons = [tag("li", reason) for reason in profile.verdict]
        said = tag(
            "aside",
            tag("h2", "Do not compare these figures with others"),
            tag("ul", *reasons),
            class_="warned wide",
        )
        return join(said, fallback)
    unknown = [name for name, value in facts(profile.conditions_after) if value == UNKNOWN]
    more = join(" Unknown here: ", ", ".join(unknown), ".") if unknown else ""
    said = tag(
        "p",
        "Nothing seen that speaks against comparing these figures with others.",
        more,
        class_="sound wide",
    )
    return join(said, fallback)


def summary(profile: Profile) -> Html:
    """The figures that everybody asks for first."""
    return tag(
        "section",
        tag("dl", *(_tile(*figure) for figure in _figures(profile)), class_="tiles"),
        tag(
            "p",
            f"{counted(profile.steady.runs, 'run')} after {profile.warmup:,} of warm-up, {profile.inputs}",
            class_="small",
        ),
        class_="summary wide",
        aria_label="Summary",
    )


def _figures(profile: Profile) -> Iterator[tuple[str, str, str]]:
    """Yields word, figure and small print of each tile."""
    steady, memory = profile.steady, profile.memory
    yield (
        "Median latency",
        duration(steady.p50_ns),
        f"{duration(steady.min_ns)} at best, p90 {duration(steady.p90_ns)}",
    )
    yield (
        "p99 latency",
        duration(steady.p99_ns),
        f"jitter {duration(steady.jitter_ns)}, slowest {duration(steady.max_ns)}",
    )
    yield "Throughput", f"{three_digits(profile.throughput_per_s)}/s", "samples, one call after the other"
    first = UNKNOWN if profile.first_ns is None else duration(profile.first_ns)
    if profile.load_ns is None:
        yield "Load", UNKNOWN, "the session was open already"
    else:
        yield "Load", duration(profile.load_ns), f"then {first} for the first inference"
    peak = UNKNOWN if memory.peak_rss_bytes is None else size(memory.peak_rss_bytes)
    yield "Peak memory", peak, f"RSS, {memory.scope}"


def _tile(word: str, figure: str, small: str) -> Html:
    return tag("div", tag("dt", word), tag("dd", figure, class_="figure"), tag("dd", small, class_="small"))


def compared(comparison: Comparison | None) -> Html:
    """What an earlier profile says of this one."""
    if comparison is None:
        return Html("")
    from edgekit.profiling.compare import THRESHOLD

    also = ""
    if comparison.also_changed:
        also = tag(
            "p", "Also changed, and may be the cause: ", ", ".join(comparison.also_changed), class_="small"
        )
    words = tag(
        "p",
        f"median {duration(comparison.old_p50_ns)} then, {duration(comparison.new_p50_ns)} now",
        class_="word",
    )
    return pane(
        f"Against the earlier profile: {comparison.verdict}",
        tag("p", comparison.explanation),
        interval(comparison.low - 1, comparison.ratio - 1, comparison.high - 1, THRESHOLD),
        tag(
            "p",
            f"The change of the median with its 95 % interval. Up to {percent(THRESHOLD)}, the band, none is told.",
            class_="small",
        ),
        also,
        beside=words,
    )


def runs(profile: Profile) -> Html:
    """Latency over time and how it is spread."""
    steady = profile.steady
    shown = window(sorted(steady.samples_ns))
    levels = [
        key("p50", f"p50 {duration(steady.p50_ns)}"),
        key("p99", f"p99 {duration(steady.p99_ns)}" + (", beyond" if steady.p99_ns > shown.high_ns else "")),
    ]
    thinned = ""
    if steady.runs > MOST_POINTS:
        thinned = tag(
            "p",
            f"Of {steady.runs:,} runs, the fastest, the median and the slowest of each stretch are drawn.",
            class_="small",
        )
    return join(
        pane(
            "Latency over time",
            over_time(steady, profile.stages.started_ns, shown),
            _beyond(profile, shown, "\u25b2 "),
            thinned,
            beside=tag("p", key("run", "a run"), *levels, class_="keys"),
            width="half",
        ),
        pane(
            "Distribution",
            histogram(steady, shown),
            _beyond(profile, shown),
            beside=tag("p", *levels, class_="keys"),
            width="half",
        ),
    )


def _beyond(profile: Profile, shown: Window, mark: str = "") -> Html:
    """How many runs the axis leaves out; nothing where it has all."""
    if not shown.beyond:
        return Html("")
    verb = "lies" if shown.beyond == 1 else "lie"
    said = f"{counted(shown.beyond, 'run')} {verb} beyond the axis, the slowest at {duration(profile.steady.max_ns)}."
    return tag("p", tag("span", mark, class_="beyond"), said, class_="small")


def key(name: str, said: str) -> Html:
    """A word of a legend behind its mark."""
    return tag("span", tag("i", class_=f"mark {name}"), said, class_="marked")


def stages(profile: Profile) -> Html:
    """Where the time of a run goes."""
    found, whole = stage_times(profile), max(profile.steady.p50_ns, 1)
    samples = {
        "preprocess": profile.stages.preprocess_samples_ns,
        "invoke": profile.stages.invoke_samples_ns,
        "postprocess": profile.stages.postprocess_samples_ns,
    }
    total = max(sum(max(ns, 0) for _, ns in found), 1)
    drawn = [
        (100 * max(ns, 0) / total, _stage_class(name), f"{name}: {duration(ns)}, {share(ns / whole)}")
        for name, ns in found
    ]
    rows = [
        tag(
            "tr",
            tag("td", key(_stage_class(name), name)),
            tag("td", duration(ns), class_="n"),
            tag("td", duration(percentile(sorted(samples[name]), 99)) if name in samples else "", class_="n"),
            tag("td", share(ns / whole), class_="n"),
        )
        for name, ns in found
    ]
    return pane(
        "Stages of a run",
        strip(drawn, 22),
        grid(("stage", "median", "p99", "share"), "wnnn", rows),
        beside=tag("p", f"shares of the median, {duration(profile.steady.p50_ns)}", class_="word"),
        width="half",
    )


def share(part: float) -> str:
    """A share with one digit behind the point, so that a column of them aligns."""
    return f"{100 * part:.1f} %"


def _stage_class(name: str) -> str:
    return name.partition(" ")[0]


def grid(heads: Sequence[str], kinds: str, rows: Sequence[Html], **attributes: object) -> Html:
    """A table.

    Args:
        heads: Of the columns.
        kinds: A letter a column: "n" for numbers, which stand on the right, "w" for words.
        rows: Its rows.
        attributes: Of the table.
    """
    cells = [
        tag("th", head, scope="col", class_="n" if kind == "n" else None)
        for head, kind in zip(heads, kinds, strict=True)
    ]
    table = tag("table", tag("thead", tag("tr", *cells)), tag("tbody", *rows), **attributes)
    return tag("div", table, class_="scroll")
