"""What more calibration samples bring, edgekit beside TFLiteConverter: the same samples, drawn several times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bench import Bench, edgekit
from cases import Case
from peers import TFLITE_CONVERTER, Peers, converted
from scoreboard import bar, span
from scoring import paired
from yardstick import judge

NAMES = ("fashion", "har", "hswish", "mobilenet")
SIZES = (20, 50, 100, 200)
FEW = 50
EFFORT = "balanced"
OURS = f"edgekit {EFFORT}"


@dataclass(frozen=True, slots=True)
class Point:
    """One tool with one number of samples.

    Attributes:
        right: Share of the draws that were right, by evaluation sample, (n,).
        values: Top-1 of each draw, in percent.
    """

    right: np.ndarray
    values: tuple[float, ...]


def curve(bench: Bench) -> None:
    for name in NAMES:
        case = bench.case(name)
        sizes = [size for size in SIZES if size <= len(case.pool_inputs)]
        print(
            f"\n{case.title}: {len(case.labels)} evaluation samples, {bench.draws} draws, mean (least to most)"
        )
        print(f"{'samples':>7}  {TFLITE_CONVERTER:^22}  {OURS:^22}")
        points = {}
        for size in sizes:
            points[size] = _points(bench, case, name, size)
            cells = (
                f"{np.mean(each.values):>6.2f} ({min(each.values):.2f} to {max(each.values):.2f})"
                for each in points[size].values()
            )
            print(f"{size:>7}  {'  '.join(f'{cell:<22}' for cell in cells)}", flush=True)
        _print_bar(points[FEW][OURS], points[sizes[-1]][TFLITE_CONVERTER], sizes[-1])


def _points(bench: Bench, case: Case, name: str, size: int) -> dict[str, Point]:
    rights: dict[str, list[np.ndarray]] = {TFLITE_CONVERTER: [], OURS: []}
    for seed in range(bench.draws):
        # A smaller draw is a part of each greater one of the same seed.
        samples = case.pool_inputs[np.random.default_rng(seed).permutation(len(case.pool_inputs))[:size]]
        work = bench.work(name)
        models = converted(case, samples, work, Peers())
        models[OURS] = edgekit(case, samples, work, EFFORT).model
        judged = judge(case, {how: models[how] for how in rights})
        for how, each in judged.items():
            rights[how].append(each.answers == case.labels)
    return {
        how: Point(np.mean(right, axis=0), tuple(100 * float(each.mean()) for each in right))
        for how, right in rights.items()
    }


def _print_bar(ours: Point, peer: Point, most: int) -> None:
    ahead = 100 * float(ours.right.mean() - peer.right.mean())
    interval = paired(ours.right, peer.right)
    sentence = f"{FEW} of ours are {ahead:+.2f} {span(interval, '+')} to {most} of {TFLITE_CONVERTER}, at or above it"
    # Equal networks differ by chance: the strict reading and the one beyond chance are both said.
    bar(sentence, ahead >= 0)
    bar(f"{sentence}, or below within the interval", interval[1] >= 0)
