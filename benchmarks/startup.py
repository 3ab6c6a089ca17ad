"""How long `edgekit --help` takes beside `python -c "import click"`: best of N, taken in turn.

    python benchmarks/startup.py [--rounds 30]

It measures the environment whose python runs it: for a device's, install edgekit without extras into one.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import subprocess
import sys
import time

from commands import EDGEKIT

MOST_MORE_MS = 150


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    commands = {
        "python -c 'import click'": [sys.executable, "-c", "import click"],
        "edgekit --help": [EDGEKIT, "--help"],
    }
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(rounds):
        for name, command in commands.items():
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            best[name] = min(best[name], (time.perf_counter() - begin) * 1e3)
    installed = "with" if importlib.util.find_spec("tensorflow") else "without"
    count = len(list(importlib.metadata.distributions()))
    print(f"Python {sys.version.split()[0]}, {count} packages, {installed} TensorFlow; best of {rounds}")
    for name, milliseconds in best.items():
        print(f"{name:<26}{milliseconds:>6.0f} ms")
    import_click, help_page = best.values()
    met = "met" if help_page - import_click < MOST_MORE_MS else "NOT MET"
    print(f"{'more':<26}{help_page - import_click:>6.0f} ms; bar: under {MOST_MORE_MS} ms: {met}")


if __name__ == "__main__":
    main()
