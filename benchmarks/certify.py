"""`edgekit certify` over models x boards x kernels: where the bits are those of x86-64, and how far they are where not.

    python benchmarks/certify.py [--data FOLDER] [--samples N]

Without the data folder the models that need it are left out. Timings under emulation mean nothing; none is shown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, digits, har, mobilenet, speech
from commands import EDGEKIT, output_of

from edgekit import console

HERE = Path(__file__).resolve().parent
TARGETS = (
    *("raspberry-pi-zero-2-w", "raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5"),
    *("raspberry-pi-4/trixie", "linux-armhf"),
)
PHOTOS = 100
GOLDEN = 4  # what edgekit convert puts into a bundle
HEADERS = (
    "model",
    "samples",
    "board",
    "runtime",
    "kernels",
    "starts",
    "bit-exact",
    "largest step",
    "top-1 agrees",
)


@dataclass(frozen=True, slots=True)
class Job:
    """A model to certify.

    Attributes:
        title: For the table.
        words: Of ``edgekit convert``, the output left out.
        samples: Files with raw samples.
        count: How many samples they hold.
    """

    title: str
    words: tuple[str, ...]
    samples: tuple[str, ...]
    count: int


def job_of(case: Case, work: Path, count: int) -> Job:
    """A model of the other benchmarks, with raw samples that did not calibrate it."""
    words = (str(case.model), "--calibration", case.calibration, *case.words)
    folder = work / case.evaluation if Path(case.evaluation).is_absolute() else None
    if folder is not None and folder.is_dir():
        photos = sorted(folder.glob("*/*.jpg"))[:: max(1, len(case.labels) // PHOTOS)][:PHOTOS]
        return Job(case.title, words, tuple(map(str, photos)), len(photos))
    file, _, names = case.evaluation.partition("#")
    rows = np.load(work / file)[names.split(",")[0] or "x"][:count]
    rows = rows.astype(np.float32) if rows.dtype.kind == "f" else rows
    np.save(work / "samples.npy", rows)
    return Job(case.title, words, ("samples.npy",), len(rows))


def small(name: str, title: str, words: tuple[str, ...]) -> Callable[[Path, int], Job]:
    """A network of `small_networks.py`, which also writes its data."""

    def make(work: Path, count: int) -> Job:
        output_of([sys.executable, HERE / "small_networks.py", name, work, str(count)], work)
        inputs = sorted(work.glob("sample.*.npy"))
        samples = [f"{file.suffixes[0][1:]}={file.name}" if len(inputs) > 1 else file.name for file in inputs]
        return Job(title, (f"{name}.keras", *words), tuple(samples), count)

    return make


def from_case(make: Callable[[Any, Path], Case]) -> Callable[[Path, int], Job]:
    return lambda work, count: job_of(make(None, work), work, count)


SMALL = (
    small("dense", "fully connected, digits", ("--calibration", "calibration.npz", "--range", "0,1")),
    small(
        "joined",
        "resize, concatenation, softmax; two inputs",
        ("--calibration", "calibration.npz#coarse=coarse,fine=fine", "--range", "0,1"),
    ),
)


def rows_of(job: Job, work: Path) -> Iterator[tuple[object, ...]]:
    output_of([EDGEKIT, "convert", *job.words, "--target", "raspberry-pi-4", "-o", "m.edgekit"], work)
    data = [word for file in job.samples for word in ("--data", file)]
    targets = [word for target in TARGETS for word in ("--target", target)]
    command = [EDGEKIT, "certify", "m.edgekit", *targets, *data, "-o", "certified.edgekit", "--json"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    answer = json.loads(done.stdout)
    alike: dict[tuple[object, ...], list[str]] = {}
    for row in answer["results"]:
        alike.setdefault(cells_of(row), []).append(row["board"].removeprefix("raspberry-pi-"))
    for cells, boards in alike.items():
        yield job.title, job.count + GOLDEN, ", ".join(boards), *cells
    if "error" in answer:
        print(answer["error"]["message"], file=sys.stderr)


def cells_of(row: dict[str, Any]) -> tuple[object, ...]:
    starts = "yes" if row["started"] else row["signal"] or "no"
    exact = None if row["bit_exact"] is None else "yes" if row["bit_exact"] else "no"
    top1 = None if row["top1_agreement"] is None else f"{row['top1_agreement'] * 100:.1f} %"
    return row["runtime"], row["kernels"], starts, exact, row["max_step"], top1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--samples", type=int, default=200, metavar="N")
    words = parser.parse_args()
    makers: list[Callable[[Path, int], Job]] = [from_case(digits), *SMALL]
    if words.data is not None:
        data = words.data.resolve()
        for make in (speech, har, mobilenet):
            makers.append(lambda work, count, make=make: job_of(make(data, work), work, count))  # type: ignore[misc]
    rows: list[tuple[object, ...]] = []
    for maker in makers:
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            job = maker(work, words.samples)
            print(f"{job.title} ...", file=sys.stderr, flush=True)
            rows += rows_of(job, work)
    print(console.table(rows, HEADERS))


if __name__ == "__main__":
    main()
