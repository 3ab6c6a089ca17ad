"""What of many runs a plot shows: where its axis ends, which runs become points, and how many fall into a bar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from edgekit.profiling.latency import percentile
from edgekit.profiling.page.axes import round_step

LEAST_RUNS = 10
"""Of fewer runs, all lie on the axis."""
SHARE_BEYOND = 0.01
"""At most this share of the runs, the slowest, may lie beyond the axis (but always one)."""
TIMES = 3
"""They do where the axis would be this many times as long with them."""

MOST_POINTS = 600
"""More runs are thinned out: a screen does not show more points apart, and the page stays small."""

LEAST_BARS, MOST_BARS = 6, 40


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the latencies that an axis shows, in nanoseconds.

    Attributes:
        low_ns: The fastest run.
        high_ns: The end of the axis.
        beyond: How many runs took longer than that.
    """

    low_ns: int
    high_ns: int
    beyond: int


@dataclass(frozen=True, slots=True)
class Bar:
    """Runs from one latency up to another, in nanoseconds."""

    low_ns: int
    high_ns: int
    runs: int


def window(ordered: Sequence[int]) -> Window:
    """Where an axis ends so that a few slow runs do not press all others together.

    Args:
        ordered: At least one latency in nanoseconds, smallest first.
    """
    low, high = ordered[0], ordered[-1]
    if len(ordered) >= LEAST_RUNS:
        kept = ordered[-1 - max(1, int(SHARE_BEYOND * len(ordered)))] - low
        if high - low > TIMES * kept:
            high = next(ns for ns in reversed(ordered) if ns - low <= 1.25 * kept)
    return Window(low, high, sum(ns > high for ns in ordered))


def thin_out(samples: Sequence[int]) -> list[int]:
    """Which runs to draw: all, or else the fastest, the median and the slowest of each of many stretches.

    Args:
        samples: Latencies in the order of the runs.

    Returns:
        Their numbers, smallest first, `MOST_POINTS` at most. The fastest and the slowest of all are among them.
    """
    count = len(samples)
    if count <= MOST_POINTS:
        return list(range(count))
    stretches = MOST_POINTS // 3
    chosen = set()
    for number in range(stretches):
        places = range(number * count // stretches, (number + 1) * count // stretches)
        for pick in (min, median_low, max):
            wanted = pick([samples[place] for place in places])
            chosen.add(next(place for place in places if samples[place] == wanted))
    return sorted(chosen)


def bars(ordered: Sequence[int], shown: Window) -> list[Bar]:
    """How many runs of a window fall into bars of a round width, by the rule of Freedman and Diaconis.

    Their rule ("On the histogram as a density estimator", 1981): a width of twice the distance of the quartiles
    over the cube root of the number.

    Args:
        ordered: Latencies in nanoseconds, smallest first.
        shown: The window.
    """
    span = shown.high_ns - shown.low_ns
    if span == 0:
        return [Bar(shown.low_ns, shown.high_ns, len(ordered) - shown.beyond)]
    quartiles = percentile(ordered, 75) - percentile(ordered, 25)
    wanted = span * len(ordered) ** (1 / 3) / (2 * quartiles) if quartiles else MOST_BARS
    width = max(1, round(round_step(span, round(min(max(wanted, LEAST_BARS), MOST_BARS)))))
    first, last = shown.low_ns // width, (shown.high_ns - 1) // width  # the last bar has its end too
    counts = Counter(min(ns // width, last) for ns in ordered[: len(ordered) - shown.beyond])
    return [
        Bar(max(place * width, shown.low_ns), min((place + 1) * width, shown.high_ns), counts[place])
        for place in range(first, last + 1)
    ]
