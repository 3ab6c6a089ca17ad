"""Where the time inside the runtime goes: by kind, the slowest, and a table of all operators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.page.figures import counted, duration, millions, three_digits
from edgekit.page.markup import Html, join, tag
from edgekit.profiling.page.plots import strip
from edgekit.profiling.page.sections import grid, key, pane, share
from edgekit.profiling.text import run_by

if TYPE_CHECKING:
    from edgekit.profiling.record import OpsProfile, OpTime, Profile

MOST_BARS = 15
"""So many bars a chart has; the table has all operators."""

MOST_NAME = 48
"""Characters of a name that are shown; the whole of it stands under the pointer."""

_KINDS = {"XNNPACK": "home", "runtime": "cpu"}
_COLUMNS = ("#", "operator", "layer", "run by", "time", "share", "MACs", "GMAC/s")


@dataclass(frozen=True, slots=True)
class Entry:
    """A bar of a chart: one operator, or all of a kind.

    Attributes:
        word: What it is, in a word.
        small: What it is more closely.
        time_ns: What it takes in one inference.
        share: Of the sum of all.
        kind: The CSS class of whoever runs it.
    """

    word: str
    small: str
    time_ns: float
    share: float
    kind: str


def operators(profile: Profile) -> Html:
    """Everything about operators; nothing where they were not timed."""
    ops = profile.ops
    if ops is None:
        return Html("")
    kinds, slowest = _kinds(ops), sorted(ops.ops, key=lambda op: -op.time_ns)
    single = [Entry(op.opcode, f"#{op.index} {op.layer}", op.time_ns, op.share, _kind(op)) for op in slowest]
    return join(
        pane("Time by kind of operator", *_chart(kinds, "kind"), _account(ops), width="less"),
        pane("Slowest operators", *_chart(single, "operator"), width="more"),
        pane("All operators", _table(ops), beside=tag("p", *_keys(ops), class_="keys")),
    )


def _kind(op: OpTime) -> str:
    return _KINDS.get(run_by(op), "unsure")


def _kinds(ops: OpsProfile) -> list[Entry]:
    """One entry a kind and whoever runs it, the slowest first."""
    grouped: defaultdict[tuple[str, str], list[OpTime]] = defaultdict(list)
    for op in ops.ops:
        grouped[op.opcode, run_by(op)].append(op)
    entries = [
        Entry(opcode, f"x {len(found):,}", *_total(found), _kind(found[0]))
        for (opcode, _), found in grouped.items()
    ]
    if ops.call_ns > 0:
        part = ops.call_ns / ops.sum_ns if ops.sum_ns > 0 else 0.0
        entries.append(Entry("the bare call", "of the runtime", ops.call_ns, part, "rest"))
    return sorted(entries, key=lambda entry: -entry.time_ns)


def _total(found: Sequence[OpTime]) -> tuple[float, float]:
    """Time and share of several operators."""
    return sum(op.time_ns for op in found), sum(op.share for op in found)


def _chart(entries: list[Entry], noun: str) -> Iterator[Html]:
    """Bars, the longest first; how many there are besides is said."""
    longest = max((entry.time_ns for entry in entries), default=0.0)
    rows = [_bar(entry, longest) for entry in entries[:MOST_BARS]]
    rest = entries[MOST_BARS:]
    yield tag("ul", *rows, class_="chart")
    if rest:
        together = share(sum(entry.share for entry in rest))
        yield tag("p", f"and {counted(len(rest), f'faster {noun}')}, together {together}", class_="small")


def _bar(entry: Entry, longest: float) -> Html:
    width = 100 * max(entry.time_ns, 0.0) / longest if longest > 0 else 0.0
    said = f"{entry.word}, {entry.small}: {duration(entry.time_ns)}"
    return tag(
        "li",
        tag(
            "span",
            tag("b", entry.word),
            " ",
            tag("span", _short(entry.small), class_="small"),
            title=entry.small,
        ),
        strip([(width, entry.kind, said)]),
        tag("span", duration(entry.time_ns), class_="n"),
        tag("span", share(entry.share), class_="n"),
    )


def _short(name: str) -> str:
    """The end of a name, which tells layers of one network apart."""
    return name if len(name) <= MOST_NAME else f"...{name[3 - MOST_NAME :]}"


def _keys(ops: OpsProfile) -> Iterator[Html]:
    """What the colours mean, and how many operators have each."""
    for runner in dict.fromkeys(map(run_by, ops.ops)):
        found = [op for op in ops.ops if run_by(op) == runner]
        word = "the runtime's own kernels" if runner == "runtime" else runner
        yield key(_kind(found[0]), f"{word}: {len(found)}, {share(_total(found)[1])}")


def _account(ops: OpsProfile) -> Html:
    """How the sum fits the whole, and what to know of the figures."""
    call = f" and the bare call ({duration(ops.call_ns)})" if ops.call_ns > 0 else ""
    said = (
        f'All {len(ops.ops):,}{call} take {duration(ops.sum_ns)} by the method "{ops.method}": {ops.ratio:.1%} of the '
        f"{duration(ops.whole_ns)} that one inference takes inside the runtime, measured without profiling."
    )
    note = tag("p", ops.note, class_="small") if ops.note else ""
    return tag("div", tag("p", said), note, class_="account")


def _table(ops: OpsProfile) -> Html:
    rows = [
        tag(
            "tr",
            tag("td", op.index, class_="n"),
            tag("td", tag("b", op.opcode)),
            tag("td", _short(op.layer), class_="layer", title=op.name),
            tag("td", key(_kind(op), run_by(op))),
            tag("td", duration(op.time_ns), class_="n", data_v=f"{op.time_ns:.6g}"),
            tag("td", share(op.share), class_="n", data_v=f"{op.share:.6g}"),
            tag("td", _or_dash(op.macs and millions(op.macs)), class_="n", data_v=op.macs or 0),
            tag(
                "td",
                _or_dash(op.gmac_per_s and three_digits(op.gmac_per_s)),
                class_="n",
                data_v=f"{op.gmac_per_s or 0:.6g}",
            ),
        )
        for op in ops.ops
    ]
    return grid(_COLUMNS, "nwwwnnnn", rows, class_="sortable")


def _or_dash(figure: object) -> str:
    return str(figure) if figure else "-"
