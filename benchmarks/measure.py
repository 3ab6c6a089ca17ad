"""What a command costs as a whole: wall time, and peak memory of the process and all its children."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from commands import quiet_environment

SAMPLE_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Cost:
    wall_s: float
    peak_rss_mb: float


def run(command: Sequence[str | Path], cwd: Path) -> Cost:
    """Runs one command to its end; RSS is summed over the process tree, 50 times a second."""
    begin = time.perf_counter()
    with (cwd / "output.txt").open("w") as output:
        process = psutil.Popen(
            [str(word) for word in command],
            cwd=cwd,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=quiet_environment(),
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, _tree_rss(process))
            time.sleep(SAMPLE_EVERY_S)
    if process.returncode != 0:
        raise SystemExit((cwd / "output.txt").read_text())
    return Cost(time.perf_counter() - begin, peak / 1e6)


def _tree_rss(process: psutil.Process) -> int:
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total
