"""One measured configuration in a process of its own: ``python -m edgekit.profiling.child``.

Peak memory and the first inference mean something only where nothing ran before. The request comes as JSON on
stdin; the answer goes as JSON to a file, because a runtime may write what it likes to stdout and stderr.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError
from edgekit.profiling.conditions import Conditions
from edgekit.profiling.latency import Latency
from edgekit.profiling.measure import as_given, measure
from edgekit.profiling.readings import peak_rss_bytes, read_conditions, rss_bytes
from edgekit.profiling.record import Stages
from edgekit.record import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.manifest import TensorSpec
    from edgekit.profiling.samples import Samples


@dataclass(frozen=True, slots=True)
class Request(Record):
    """What to measure.

    Attributes:
        bundle: Path of the .edgekit file.
        trust: Of the key or the folder of keys; None where none was given.
        unsigned: 1 where the user accepted the bundle unsigned, else 0.
        samples: Path of an .npz from `write_pool`.
        answer: Path of the file to write the answer to.
        device: As `edgekit.load` takes it.
        fallback: 1 where the CPU may stand in for the device, else 0.
        threads: For one inference; None leaves it to the runtime.
        runs: How many are timed.
        warmup: How many go before them.
    """

    bundle: str
    trust: str | None
    unsigned: int
    samples: str
    answer: str
    device: str
    fallback: int
    threads: int | None
    runs: int
    warmup: int


@dataclass(frozen=True, slots=True)
class Measured(Record):
    """What came out.

    Attributes:
        device: What ran it.
        runtime: Package and version.
        kernels: Which kernels.
        fallback: Why the CPU stood in for the device.
        load_ns: From the file to an open session.
        first_ns: The first inference.
        steady: The runs after the warm-up.
        stages: Where their time went.
        elapsed_ns: All of them together.
        baseline_rss_bytes: What the process held before it loaded the bundle.
        peak_rss_bytes: The most that it ever held.
        before: The machine before the bundle was loaded.
        after: The machine after the last run.
    """

    device: str
    runtime: str
    kernels: str
    fallback: str | None
    load_ns: int
    first_ns: int
    steady: Latency
    stages: Stages
    elapsed_ns: int
    baseline_rss_bytes: int | None
    peak_rss_bytes: int | None
    before: Conditions
    after: Conditions


def write_pool(path: Path, samples: Samples, specs: Sequence[TensorSpec]) -> None:
    """Writes samples for the child: an .npz of arrays "SAMPLE.INPUT", both by their numbers."""
    import numpy as np

    arrays = {
        f"{row}.{column}": sample[spec.name]
        for row, sample in enumerate(samples.raw)
        for column, spec in enumerate(specs)
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy 1 takes allow_pickle= for one more array


def _read_pool(path: Path) -> list[list[NDArray[Any]]]:
    """One entry a sample: its arrays in the order of the inputs."""
    import numpy as np

    with np.load(path) as archive:
        places = sorted(tuple(map(int, name.split("."))) for name in archive.files)
        rows: list[list[NDArray[Any]]] = [[] for _ in range(places[-1][0] + 1)]
        for row, column in places:
            rows[row].append(archive[f"{row}.{column}"])
    return rows


def measure_alone(request: Request) -> Measured:
    """Loads the bundle and measures it, in this very process.

    Raises:
        EdgekitError: Whatever `edgekit.load` and `Session.run` raise.
    """
    import edgekit
    from edgekit.trust import UNSIGNED

    rows = _read_pool(Path(request.samples))
    before = read_conditions()
    baseline = rss_bytes()
    start = perf_counter_ns()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the command has said that the bundle is unsigned
        session = edgekit.load(
            request.bundle,
            trust=UNSIGNED if request.unsigned else request.trust,
            device=request.device,
            threads=request.threads,
            fallback=bool(request.fallback),
            self_test="never",  # it ran before this process was started
        )
    loaded = perf_counter_ns()
    with session:
        names = [spec.name for spec in session.manifest.inputs]
        pool = [as_given(dict(zip(names, row, strict=True))) for row in rows]
        started = perf_counter_ns()
        session.run(pool[0])
        first_ns = perf_counter_ns() - started
        # The first inference is one of the warm-up.
        steady = measure(session, pool, runs=request.runs, warmup=max(0, request.warmup - 1))
        after = read_conditions()
        return Measured(
            device=session.device,
            runtime=session.runtime,
            kernels=session.kernels,
            fallback=session.fallback,
            load_ns=loaded - start,
            first_ns=first_ns,
            steady=steady.latency,
            stages=steady.stages,
            elapsed_ns=steady.elapsed_ns,
            baseline_rss_bytes=baseline,
            peak_rss_bytes=peak_rss_bytes(),
            before=before,
            after=after,
        )


def main() -> None:
    """Answers one request."""
    request = Request.from_json(json.load(sys.stdin))
    try:
        answer: object = measure_alone(request).to_json()
    except EdgekitError as error:
        answer = {"error": {"kind": type(error).__name__, "message": str(error), "hint": error.hint}}
    Path(request.answer).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
