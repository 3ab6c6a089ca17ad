"""Millions of runs and a thousand sessions: whether memory grows, and whether any answer is wrong."""

from __future__ import annotations

import gc
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

import edgekit

POOL = 64


@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of it: how many runs or cycles, how many wrong, seconds, and RSS after a tenth and at the end."""

    count: int
    wrong: int
    seconds: float
    early_mb: float
    late_mb: float

    @property
    def grown_mb(self) -> float:
        return self.late_mb - self.early_mb


def many_runs(bundle: Path, shape: tuple[int, ...], runs: int, threads: int) -> Soaked:
    """Runs of several threads over one session; every answer is compared with the first to the same input."""
    generator = np.random.default_rng(1)
    pool = [generator.integers(-128, 128, shape, np.int8) for _ in range(POOL)]
    with _open(bundle) as session:
        expected = [np.asarray(session.run_quantized(x)).tobytes() for x in pool]

        def work(share: int, first: int) -> int:
            run, wrong = session.run_quantized, 0
            for turn in range(first, first + share):
                place = turn % POOL
                if run(pool[place]).tobytes() != expected[place]:  # type: ignore[union-attr]
                    wrong += 1
            return wrong

        began = perf_counter()
        wrong, early = 0, 0.0
        part = runs // threads // 10
        with ThreadPoolExecutor(threads) as workers:
            for tenth in range(10):
                wrong += sum(workers.map(work, [part] * threads, range(threads)))
                if tenth == 0:
                    early = _rss_mb()
        return Soaked(part * 10 * threads, wrong, perf_counter() - began, early, _rss_mb())


def many_sessions(bundle: Path, shape: tuple[int, ...], cycles: int) -> Soaked:
    """Loads, runs once and closes; the first tenth lets allocators find their size."""
    x = np.random.default_rng(2).integers(-128, 128, shape, np.int8)
    expected: bytes | None = None
    wrong, early = 0, 0.0
    began = perf_counter()
    for cycle in range(cycles):
        with _open(bundle) as session:
            answer = np.asarray(session.run_quantized(x)).tobytes()
        expected = expected or answer
        wrong += answer != expected
        if cycle == cycles // 10:
            early = _rss_mb()
    return Soaked(cycles, wrong, perf_counter() - began, early, _rss_mb())


def _open(bundle: Path) -> edgekit.Session:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return edgekit.load(bundle, trust=edgekit.UNSIGNED, threads=1)


def _rss_mb() -> float:
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("the kernel does not say VmRSS")
