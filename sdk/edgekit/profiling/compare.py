"""Whether a bundle became faster or slower: `compare`, on the raw latencies of two profiles.

The ratio of the medians gets a 95 % interval by bootstrap, and the verdict needs all of the interval beyond 2 %:

- Latencies that follow each other are alike (clock, caches, other programs), so that runs drawn singly would
  make the interval too narrow. Whole blocks of runs are drawn instead (circular block bootstrap: Politis and
  Romano, 1992), as long as the runs are seen to hang together (Politis and White, "Automatic block-length
  selection for the dependent bootstrap", Econometric Reviews 23, 2004, corrected by Patton, Politis and White,
  28, 2009). What the median depends on is which side of it a run falls, so that the signs choose the length, and
  one outlier among the runs cannot.
- Two processes with the very same code differ by a percent or so, by where their memory happens to lie (Mytkowicz
  and others, "Producing wrong data without doing anything obviously wrong", ASPLOS 2009). No number of runs in
  one process shows that, so that differences up to 2 % are not told apart from none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, exp, log, log10, sqrt
from typing import TYPE_CHECKING

from edgekit.errors import ProfileError
from edgekit.profiling.record import Profile
from edgekit.profiling.verdict import governors
from edgekit.record import Record, require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THRESHOLD = 0.02
CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959964
"""That 97.5 % of the standard normal distribution lie below: the two-sided interval of CONFIDENCE."""
RESAMPLES = 2000
LEAST_RUNS = 30
"""Fewer runs hold too few blocks for an interval."""

VERDICTS = ("faster", "slower", "cannot tell")
_CHUNK = 1 << 20  # latencies drawn at once: 8 MB


@dataclass(frozen=True, slots=True)
class Comparison(Record):
    """What two profiles say of each other.

    Attributes:
        verdict: "faster", "slower" or "cannot tell".
        ratio: Median latency now over the median then.
        low: Lower end of the 95 % interval of the ratio.
        high: Upper end of it.
        new_p50_ns: The median now.
        old_p50_ns: The median then.
        explanation: The verdict in a sentence.
        also_changed: What else differs between the two, and may be the cause.
    """

    verdict: str
    ratio: float
    low: float
    high: float
    new_p50_ns: int
    old_p50_ns: int
    explanation: str
    also_changed: tuple[str, ...]

    def _check(self) -> None:
        require(self.verdict in VERDICTS, "verdict", f"must be one of {', '.join(VERDICTS)}")


def compare(new: Profile, old: Profile) -> Comparison:
    """Tells whether the bundle of one profile runs faster or slower than that of another.

    Raises:
        ProfileError: The two were taken under different conditions, one of them under bad ones, or with too
            few runs.
    """
    refuse_different(new, old)
    ratio, low, high = ratio_interval(new.steady.samples_ns, old.steady.samples_ns)
    verdict, explanation = _judge(ratio, low, high)
    return Comparison(
        verdict=verdict,
        ratio=ratio,
        low=low,
        high=high,
        new_p50_ns=new.steady.p50_ns,
        old_p50_ns=old.steady.p50_ns,
        explanation=explanation,
        also_changed=tuple(f"{name} ({was} -> {now})" for name, now, was in _changes(new, old) if now != was),
    )


def refuse_different(new: Profile, old: Profile) -> None:
    """Refuses two profiles that say nothing of each other.

    Raises:
        ProfileError: The message names every difference, and every reason against one of them.
    """
    reasons = [
        f"{name}: {_said(now)} now, {_said(was)} then"
        for name, now, was in _conditions(new, old)
        if now != was
    ]
    reasons += [*_too_few("the new profile", new.steady.runs), *_unfit(new, "the new profile")]
    reasons += [*_too_few("the old profile", old.steady.runs), *_unfit(old, "the old profile")]
    _refuse(reasons)


def refuse_hopeless(old: Profile, runs: int) -> None:
    """Refuses what no profile could be compared with, before one is taken for that.

    Args:
        old: The profile to compare with.
        runs: How many the new one is going to have.

    Raises:
        ProfileError: The old one was taken under bad conditions, or either has too few runs.
    """
    reasons = [*_too_few("the new profile", runs), *_too_few("the old profile", old.steady.runs)]
    _refuse([*reasons, *_unfit(old, "the old profile")])


def _too_few(which: str, runs: int) -> Iterator[str]:
    if runs < LEAST_RUNS:
        yield f"{which}: {runs} runs, and {LEAST_RUNS} are needed"


def _unfit(profile: Profile, which: str) -> Iterator[str]:
    yield from (f"{which}: {reason}" for reason in profile.verdict)


def _refuse(reasons: Sequence[str]) -> None:
    if reasons:
        raise ProfileError(
            f"the two profiles do not compare: {'; '.join(reasons)}",
            hint="take both on the same quiet machine, with the same runtime and options",
        )


def ratio_interval(new_ns: Sequence[int], old_ns: Sequence[int]) -> tuple[float, float, float]:
    """The ratio of two medians, and the ends of its 95 % interval.

    Args:
        new_ns: Latencies in the order of the runs, in nanoseconds.
        old_ns: The others, which the ratio divides by.
    """
    import numpy as np

    generator = np.random.default_rng(0)  # the same profiles give the same answer
    rows = [np.maximum(np.asarray(row, np.int64), 1) for row in (new_ns, old_ns)]
    lengths = [block_length(row) for row in rows]
    new, old = (_medians(row, length, generator) for row, length in zip(rows, lengths, strict=True))
    ratio = float(np.median(rows[0]) / np.median(rows[1]))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.log(new / old), (tail, 1 - tail)) - log(ratio)
    wider = _few_blocks(min(len(row) / length for row, length in zip(rows, lengths, strict=True)))
    return ratio, ratio * exp(wider * float(low)), ratio * exp(wider * float(high))


def block_length(samples: NDArray[np.int64]) -> int:
    """How many runs after each other to draw together, by the signs about the median.

    Twice the length that Politis and White have, which is meant for the least error of a variance and on short rows
    makes the interval too narrow. Of 200 seeded pairs of rows as fast as each other, 100 runs each, where a run is 0.9
    of the last and noise (20 %), single lengths call 9.5 % different, and double ones 2.5 %.

    Args:
        samples: Latencies in the order of the runs.
    """
    import numpy as np

    count = len(samples)
    signs: NDArray[np.float64] = np.sign(samples - np.median(samples))
    signs -= signs.mean()
    quiet_lags = max(5, ceil(sqrt(log10(count))))
    furthest = min(ceil(sqrt(count)) + quiet_lags, count - 1)
    covariance = np.array([signs[lag:] @ signs[: count - lag] for lag in range(furthest + 1)]) / count
    if covariance[0] == 0:  # all runs took the same time
        return 1
    most = ceil(min(6 * sqrt(count), count / 4))
    quiet = np.abs(covariance[1:]) < 2 * sqrt(log10(count) / count) * covariance[0]
    last = next((k for k in range(furthest - quiet_lags + 1) if quiet[k : k + quiet_lags].all()), furthest)
    lags = np.arange(1, min(2 * max(last, 1), furthest) + 1)
    window = np.minimum(1, 2 * (1 - lags / len(lags)))  # the flat-top window of Politis and Romano, 1995
    spread = covariance[0] + 2 * float(window @ covariance[lags])
    slope = 2 * float(window @ (lags * covariance[lags]))
    if spread <= 0:  # the estimate may fail on short rows
        return most
    best: float = (1.5 * (slope / spread) ** 2 * count) ** (1 / 3)
    return max(1, min(2 * ceil(best), most))


def _few_blocks(blocks: float) -> float:
    """How much wider an interval must be that rests on few blocks: Student's t over the normal quantile.

    Fisher and Cornish's expansion of t, and the bootstrap's own shortfall of (n - 1) / n in variance.
    """
    freedom = max(blocks - 1, 1.0)
    z = NORMAL_QUANTILE
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return t / z * sqrt(blocks / freedom)


def _medians(samples: NDArray[np.int64], length: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """The medians of RESAMPLES rows that blocks of the samples were put together to."""
    import numpy as np

    count = len(samples)
    blocks = ceil(count / length)
    medians = np.empty(RESAMPLES)
    step = max(1, _CHUNK // count)
    for first in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - first)
        starts = generator.integers(0, count, (rows, blocks, 1))
        places = ((starts + np.arange(length)) % count).reshape(rows, -1)[:, :count]
        medians[first : first + rows] = np.median(samples[places], axis=1)
    return medians


def _judge(ratio: float, low: float, high: float) -> tuple[str, str]:
    change = abs(ratio - 1)
    interval = f"95 % interval {low - 1:+.1%} to {high - 1:+.1%}"
    if low > 1 + THRESHOLD:
        return "slower", f"{change:.1%} slower ({interval})"
    if high < 1 - THRESHOLD:
        return "faster", f"{change:.1%} faster ({interval})"
    if low >= 1 - THRESHOLD and high <= 1 + THRESHOLD:
        return "cannot tell", f"no difference beyond {THRESHOLD:.0%} ({interval})"
    return (
        "cannot tell",
        f"cannot tell: it takes an interval beyond {THRESHOLD:.0%} ({interval}); more --runs may",
    )


def _conditions(new: Profile, old: Profile) -> Iterator[tuple[str, object, object]]:
    """What must be the same: name, now, then. What either side does not know is no difference."""
    pairs = [
        ("machine", new.host.identity, old.host.identity),
        ("board", new.host.board, old.host.board),
        ("processor", new.host.cpu, old.host.cpu),
        ("cores", new.host.cores, old.host.cores),
        ("governor", governors(new.conditions_before) or None, governors(old.conditions_before) or None),
        ("clock limit in kHz", _clock_limit(new), _clock_limit(old)),
    ]
    yield from (pair for pair in pairs if pair[1] is not None and pair[2] is not None)
    yield "instruction set", new.host.machine, old.host.machine
    group, other = new.conditions_before.cgroup, old.conditions_before.cgroup
    if group is not None and other is not None:
        yield "CPU quota", group.quota_cpus, other.quota_cpus
    for name in ("device", "runtime", "threads", "kernels"):
        yield name, getattr(new, name), getattr(old, name)


def _changes(new: Profile, old: Profile) -> Iterator[tuple[str, object, object]]:
    """What may differ and is worth telling: name, now, then."""
    yield "model", new.bundle.name, old.bundle.name
    for name in ("edgekit", "python", "numpy", "kernel", "system"):
        yield name, getattr(new.host, name), getattr(old.host, name)
    yield "inputs", new.inputs, old.inputs
    yield "warm-up runs", new.warmup, old.warmup
    yield "process", new.memory.scope, old.memory.scope


def _clock_limit(profile: Profile) -> int | None:
    return max((clock.most_khz for clock in profile.conditions_before.clocks if clock.most_khz), default=None)


def _said(value: object) -> str:
    return "none" if value is None else str(value)
