"""A session beside the bare interpreter: time a call, frames, start of a process, operators, and endurance.

    python benchmarks/runtime.py --data FOLDER [--rounds 40] [--soak 10000000]

The digits are those of `make demo`, the MobileNet is MobileNetV1 0.25-224, both converted here. One thread, XNNPACK.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import hot_path
import numpy as np
import soak
import whole_process
from cases import digits, read_photos
from commands import EDGEKIT, output_of

import edgekit
from edgekit.bundle import read_unverified

DIGITS_CALLS = 4000
MOBILENET_CALLS = 200
FRAMES = 50
PROCESSES = 30
LOW, HIGH = -1.0, 1.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--soak", type=int, default=10_000_000, help="runs; 0 leaves the soak out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["EDGEKIT_STATE"] = str(work / "state")  # so that nothing of it stays on this machine
        small, large = _digits(work), _mobilenet(options.data, work)
        lines = [
            *_calls(small, large, options.rounds),
            *_frames(large, options.data, options.rounds),
            *_processes(small, large, work),
            *_operators(small, large, work),
            *_allocations(small),
            *(_endurance(small, options.soak) if options.soak else ()),
        ]
    width = max(len(line[0]) for line in lines)
    print()
    for bar, figure, met in lines:
        print(f"{bar:<{width}}  {'met    ' if met else 'NOT MET'}  {figure}")


Line = tuple[str, str, bool]


def _calls(small: Path, large: Path, rounds: int) -> Iterator[Line]:
    print(f"{'run_quantized':<26}{'LiteRT us':>10}{'edgekit us':>12}{'more us':>9}{'ratio':>8}")
    for title, bundle, calls in (("digits", small, DIGITS_CALLS), ("MobileNet", large, MOBILENET_CALLS)):
        with _open(bundle) as session:
            found = hot_path.quantized_calls(_model(bundle), session, rounds, calls)
        print(
            f"{title:<26}{found.bare_ns / 1e3:>10.2f}{found.edgekit_ns / 1e3:>12.2f}"
            f"{found.more_ns / 1e3:>9.2f}{found.ratio:>8.3f}"
        )
        if bundle is small:
            yield (
                "run_quantized, digits: <= 0.3 us more",
                f"{found.more_ns / 1e3:.2f} us",
                found.more_ns <= 300,
            )
        else:
            yield "run_quantized, MobileNet: <= 1.01x", f"{found.ratio:.3f}x", found.ratio <= 1.01


def _frames(bundle: Path, data: Path, rounds: int) -> Iterator[Line]:
    images = list(read_photos(data / "imagenet-sample" / "calibration")[0][:FRAMES])
    with _open(bundle) as session:
        found, alone_ns = hot_path.frames(_model(bundle), session, images, rounds, LOW, HIGH)
        wrong, total = hot_path.differing_integers(session, images, LOW, HIGH)
    naive, own = found.bare_ns - alone_ns, found.edgekit_ns - alone_ns
    print(f"\n{'uint8 224x224x3 to scores':<26}{'whole us':>10}{'overhead us':>12}")
    print(f"{'bare inference':<26}{alone_ns / 1e3:>10.1f}")
    print(f"{'naive numpy':<26}{found.bare_ns / 1e3:>10.1f}{naive / 1e3:>12.1f}")
    print(f"{'edgekit run':<26}{found.edgekit_ns / 1e3:>10.1f}{own / 1e3:>12.1f}")
    yield "run, frame: overhead <= 0.5x of the naive route", f"{own / naive:.2f}x", own <= 0.5 * naive
    yield "run, frame: the model's input bit for bit", f"{wrong} of {total:,} differ", wrong == 0


def _processes(small: Path, large: Path, work: Path) -> Iterator[Line]:
    print(f"\n{'process to first result':<26}{'wall ms':>10}{'RSS MB':>12}")
    for title, bundle in (("digits", small), ("MobileNet", large)):
        model, sample = work / "model.tflite", work / "sample.npy"
        model.write_bytes(_model(bundle))
        with _open(bundle) as session:
            np.save(sample, np.zeros(session.manifest.inputs[0].shape, np.int8))
        bare, own = whole_process.compare(model, bundle, sample, PROCESSES)
        print(f"{title + ', LiteRT':<26}{bare.wall_ms:>10.1f}{bare.rss_mb:>12.1f}")
        print(f"{title + ', edgekit':<26}{own.wall_ms:>10.1f}{own.rss_mb:>12.1f}")
        more_ms, more_mb = own.wall_ms - bare.wall_ms, own.rss_mb - bare.rss_mb
        yield f"process, {title}: <= 15 ms more", f"{more_ms:.1f} ms", more_ms <= 15
        yield f"process, {title}: <= 10 MB more", f"{more_mb:.1f} MB", more_mb <= 10


def _operators(small: Path, large: Path, work: Path) -> Iterator[Line]:
    print(f"\n{'sum of operators':<26}{'whole us':>10}{'sum us':>12}{'ratio':>9}")
    for title, bundle, most in (("digits", small, 0.05), ("MobileNet", large, 0.03)):
        for method in ("litert", "prefix"):
            words = [
                bundle,
                "--unsigned",
                "--threads",
                "1",
                "--ops-method",
                method,
                "--runs",
                "500",
                "--json",
            ]
            try:
                said = output_of([EDGEKIT, "-q", "profile", *words], work)
            except SystemExit as error:
                print(f"{f'{title}, {method}':<26}{str(error)[:60]}")
                continue
            ops = json.loads(said)["ops"]
            print(
                f"{f'{title}, {method}':<26}{ops['whole_ns'] / 1e3:>10.1f}{ops['sum_ns'] / 1e3:>12.1f}"
                f"{ops['ratio']:>9.3f}"
            )
        auto = json.loads(output_of([EDGEKIT, "-q", "profile", *words[:4], "--ops", "--json"], work))["ops"]
        ratio = auto["ratio"]
        bar = f"operators, {title} ({auto['method']}): sum within {most:.0%}"
        yield bar, f"{ratio - 1:+.1%}", abs(ratio - 1) <= most


def _allocations(bundle: Path) -> Iterator[Line]:
    with _open(bundle) as session:
        hand, own, returned = hot_path.allocations(_model(bundle), session)
    bar = "run_quantized: nothing allocated but the result"
    figure = f"{own} B held at most in a call that returns {returned} B; by hand {hand} B"
    yield bar, figure, own <= hand


def _endurance(bundle: Path, runs: int) -> Iterator[Line]:
    with _open(bundle) as session:
        shape = session.manifest.inputs[0].shape
    print(
        f"\n{'endurance':<26}{'count':>12}{'seconds':>9}{'wrong':>7}{'RSS MB after a tenth, at the end':>36}"
    )
    for title, done in (
        ("runs, 4 threads", soak.many_runs(bundle, shape, runs, 4)),
        ("load, run, close", soak.many_sessions(bundle, shape, 1000)),
    ):
        print(
            f"{title:<26}{done.count:>12,}{done.seconds:>9.0f}{done.wrong:>7}"
            f"{f'{done.early_mb:.1f}, {done.late_mb:.1f}':>36}"
        )
        figure = f"{done.grown_mb:+.1f} MB, {done.wrong} wrong of {done.count:,}"
        yield f"{title}: no growth, nothing wrong", figure, done.grown_mb < 1 and done.wrong == 0


def _digits(work: Path) -> Path:
    case = digits(None, work)
    words = ["--target", "linux-x86_64", "--calibration", case.calibration, *case.words, "--effort", "fast"]
    output_of([EDGEKIT, "-q", "convert", case.model, *words, "-o", "digits.edgekit"], work)
    return work / "digits.edgekit"


def _mobilenet(data: Path, work: Path) -> Path:
    model, photos = data / "models" / "mobilenet_v1_0.25_224.h5", data / "imagenet-sample" / "calibration"
    words = ["--target", "linux-x86_64", "--calibration", photos, "--range", f"{LOW:g},{HIGH:g}"]
    output_of(
        [EDGEKIT, "-q", "convert", model.resolve(), *words, "--effort", "fast", "-o", "mb.edgekit"], work
    )
    return work / "mb.edgekit"


def _open(bundle: Path) -> edgekit.Session:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return edgekit.load(bundle, trust=edgekit.UNSIGNED, threads=1)


def _model(bundle: Path) -> bytes:
    return bytes(read_unverified(bundle.read_bytes()).members["model.tflite"])


if __name__ == "__main__":
    sys.exit(main())
