"""What a row of latencies says: `Latency`.

Percentiles interpolate linearly between the two nearest samples (type 7 of Hyndman and Fan, "Sample quantiles
in statistical packages", 1996; numpy's default), and are rounded to whole nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.record import Record, require


def percentile(ordered: Sequence[int], percent: float) -> int:
    """The latency that so many percent of the runs stay at or below, in nanoseconds.

    Args:
        ordered: At least one latency, smallest first.
        percent: 0 to 100.
    """
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + round((ordered[above] - ordered[below]) * (place - below))


@dataclass(frozen=True, slots=True)
class Latency(Record):
    """Latencies of runs one after the other, and what they come to. All are in nanoseconds.

    Attributes:
        runs: How many there are.
        min_ns: The fastest.
        p50_ns: The median: the usual run.
        p90_ns: Nine of ten runs are no slower.
        p99_ns: 99 of 100 runs are no slower.
        max_ns: The slowest.
        mean_ns: Their sum over their number.
        jitter_ns: p99 - p50: how much later than usual one run in a hundred comes. A high quantile over a
            reference, as RFC 5481 (4.2, packet delay variation) has it; the reference is the median and not
            the minimum, because it is the usual run that an application plans with.
        samples_ns: The latencies themselves, in the order of the runs.
    """

    runs: int
    min_ns: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    max_ns: int
    mean_ns: int
    jitter_ns: int
    samples_ns: tuple[int, ...]

    def _check(self) -> None:
        require(len(self.samples_ns) > 0, "samples_ns", "must not be empty")
        require(min(self.samples_ns) >= 0, "samples_ns", "must not be negative")
        for name, value in _summary(self.samples_ns).items():
            said = getattr(self, name)
            require(said == value, name, f"must be {value}, as the samples have it, and is {said}")

    @classmethod
    def of(cls, samples_ns: Sequence[int]) -> Latency:
        """Sums up latencies in nanoseconds, at least one, in the order of the runs."""
        samples = tuple(samples_ns)
        return cls(**_summary(samples), samples_ns=samples)


def _summary(samples: tuple[int, ...]) -> dict[str, int]:
    ordered = sorted(samples)
    p50, p90, p99 = (percentile(ordered, percent) for percent in (50, 90, 99))
    return {
        "runs": len(ordered),
        "min_ns": ordered[0],
        "p50_ns": p50,
        "p90_ns": p90,
        "p99_ns": p99,
        "max_ns": ordered[-1],
        "mean_ns": (2 * sum(ordered) + len(ordered)) // (2 * len(ordered)),  # a float has 53 bits
        "jitter_ns": p99 - p50,
    }
