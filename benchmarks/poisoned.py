"""What a few broken calibration samples do: two of 300, or one photo of 100, a hundredfold too large."""

from __future__ import annotations

import re

from bench import OURS, Bench, edgekit
from cases import Case
from peers import FLOAT, converted
from scoreboard import bar, span
from yardstick import judge, lead

FACTOR = 100
POISONED = {"fashion": (300, (37, 201)), "hswish": (300, (37, 201)), "mobilenet": (100, (37,))}
"""How many samples calibrate, and which of them are broken."""

EFFORTS = ("fast", "balanced")
MOST_PP = 0.5


def poisoned(bench: Bench) -> None:
    for name, (count, rows) in POISONED.items():
        _one(bench, name, count, rows)


def _one(bench: Bench, name: str, count: int, rows: tuple[int, ...]) -> None:
    case, work = bench.case(name), bench.work(name)
    clean = case.pool_inputs[:count]
    broken = clean.copy()
    broken[list(rows)] *= FACTOR
    models, said = {}, {}
    for state, samples in (("clean", clean), ("poisoned", broken)):
        models[state] = converted(case, samples, work, bench.peers)
        ours = {each: edgekit(case, samples, work, each) for each in EFFORTS if each in bench.efforts}
        said[state] = {each: ours[each].report["calibration"]["left_out"] for each in ours}
        models[state] |= {OURS + effort: each.model for effort, each in ours.items()}
    print(f"\n{case.title}: {len(rows)} of {count} calibration samples times {FACTOR}")
    changes = _print_rows(case, models["clean"], models["poisoned"])
    for effort, left_out in said["poisoned"].items():
        print(f"edgekit {effort} left out: {'; '.join(left_out) or 'nothing'}")
        print(
            f"edgekit {effort} left out of the clean samples: {'; '.join(said['clean'][effort]) or 'nothing'}"
        )
        change = changes[OURS + effort]
        bar(f"{effort}: at most {MOST_PP:g} point below clean", change >= -MOST_PP)
        bar(f"{effort}: names rows {', '.join(map(str, rows))}", names(left_out, rows))


def _print_rows(case: Case, clean: dict[str, bytes], broken: dict[str, bytes]) -> dict[str, float]:
    """Returns the change of each, in points."""
    before, after = judge(case, clean), judge(case, broken)
    changes = {}
    print(f"{'':<16}  {'clean %':>7}  {'poisoned':>8}  {'change':>6}  95 %")
    for how in (each for each in before if each != FLOAT and each in after):
        changes[how], interval = lead(case, after[how], before[how])
        print(
            f"{how:<16}  {before[how].value:>7.2f}  {after[how].value:>8.2f}  {changes[how]:>+6.2f}  {span(interval, '+')}"
        )
    return changes


def names(said: list[str], rows: tuple[int, ...]) -> bool:
    """Whether each row stands before the colon of a line, where edgekit says which sample it left out."""
    origins = [line.split(":")[0] for line in said]
    return all(any(re.search(rf"\b{row}\b", origin) for origin in origins) for row in rows)
