"""What more calibration samples bring, and whether bias correction ever loses, over draws of the samples.

    python benchmarks/calibration_size.py --data FOLDER

The models of accuracy.py; each seed draws the samples anew. The figures are edgekit's own, which accuracy.py
confirms.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from cases import NEED_DATA, Case
from commands import edgekit_convert

DRAWS = [(20, 0), (20, 1), (20, 2), (50, 0), (50, 1), (50, 2), (100, 0)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    data = parser.parse_args().data.resolve()
    for make in NEED_DATA:
        with tempfile.TemporaryDirectory() as name:
            print_table(make(data, Path(name)), Path(name))


def print_table(case: Case, work: Path) -> None:
    print(f"\n{case.title}: {len(case.labels)} evaluation samples")
    print(f"{'':>13}  {'edgekit fast':^17}  edgekit balanced")
    heads = f"{'top-1 %':>7}  {'agrees %':>8}"
    print(f"{'samples':>7}  {'seed':>4}  {heads}  {heads}  balanced chose")
    for samples, seed in DRAWS:
        fast, balanced = (convert(case, work, samples, seed, effort) for effort in ("fast", "balanced"))
        chose = "+".join(balanced["recipe"]["corrections"]) or "no correction"
        print(f"{samples:>7}  {seed:>4}  {row(fast)}  {row(balanced)}  {chose}", flush=True)


def convert(case: Case, work: Path, samples: int, seed: int, effort: str) -> dict:
    data = ("--calibration", case.pool, "--samples", samples, "--seed", seed, "--evaluation", case.evaluation)
    return edgekit_convert(case.model, *data, *case.words, "--effort", effort, cwd=work).report


def row(report: dict) -> str:
    accuracy = report["accuracy"]
    return f"{accuracy['int8_value']:>7.2f}  {accuracy['agreement']['value']:>8.2f}"


if __name__ == "__main__":
    main()
