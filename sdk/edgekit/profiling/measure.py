"""The loop that measures: one call of `Session.run` after the other, each timed whole and by its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from edgekit.profiling.latency import Latency, percentile
from edgekit.profiling.record import Stages

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.session import Session


@dataclass(frozen=True, slots=True)
class Steady:
    """What the runs after the warm-up took.

    Attributes:
        latency: Of whole calls.
        stages: Where their time went.
        elapsed_ns: From the beginning of the first to the end of the last.
        samples: That they answered, all together: more than one a run where the pool holds batches.
    """

    latency: Latency
    stages: Stages
    elapsed_ns: int
    samples: int


def as_given(sample: Mapping[str, NDArray[Any]]) -> Any:
    """A sample as an application gives it: the array itself where the model has one input."""
    return next(iter(sample.values())) if len(sample) == 1 else sample


def measure(session: Session, pool: Sequence[Any], *, runs: int, warmup: int) -> Steady:
    """Runs a session over and over.

    Args:
        session: An open one.
        pool: What `Session.run` is given, taking turns.
        runs: How many are timed, at least 1.
        warmup: How many go before them.

    Raises:
        EdgekitError: Whatever `Session.run` raises.
    """
    for turn in range(warmup):
        session.run(pool[turn % len(pool)])
    started, ended, timings, samples = [], [], [], 0
    for turn in range(runs):
        x = pool[turn % len(pool)]
        start = perf_counter_ns()
        result = session.run(x)
        end = perf_counter_ns()
        started.append(start)
        ended.append(end)
        timings.append(result.timing)
        samples += len(result)
    pre, invoke, post = zip(*((t.preprocess_ns, t.invoke_ns, t.postprocess_ns) for t in timings), strict=True)
    stages = Stages(
        preprocess_ns=_median(pre),
        invoke_ns=_median(invoke),
        postprocess_ns=_median(post),
        started_ns=tuple(start - started[0] for start in started),
        preprocess_samples_ns=pre,
        invoke_samples_ns=invoke,
        postprocess_samples_ns=post,
    )
    latency = Latency.of([end - start for start, end in zip(started, ended, strict=True)])
    return Steady(latency, stages, ended[-1] - started[0], samples)


def _median(values: Sequence[int]) -> int:
    return percentile(sorted(values), 50)
