"""Prints what one case came to: a row a model, beside float and beside the best peer; and the bars."""

from __future__ import annotations

from collections.abc import Mapping

from bench import OURS, Models
from cases import Case
from peers import FLOAT
from yardstick import Judged, agreement, judge, lead

HEADS = (
    f"{'':<16}  {'%':>6}  {'95 %':<14}  {'to float':>8}  {'95 %':<15}  {'to peer':>7}  {'95 %':<15}  "
    f"{'agrees %':>8}  {'kB':>5}  {'wall s':>6}"
)


def shown(case: Case, models: Models, title: str = "") -> dict[str, Judged]:
    """Scores every model, prints the table, and returns what was found."""
    judged = judge(case, models.models)
    yardstick = "AUC" if case.anomaly else "top-1"
    counts = f"{len(case.labels)} evaluation samples, {yardstick}; best peer: {best_peer(judged)}"
    print(f"\n{case.title}{title}: {counts}\n{HEADS}")
    for how, each in judged.items():
        effort = how.removeprefix(OURS)
        wall = f"{models.ours[effort].wall_s:.1f}" if how.startswith(OURS) else ""
        print(f"{_row(case, judged, how, each)}  {len(models.models[how]) / 1e3:>5.0f}  {wall:>6}")
    for effort, converted in models.ours.items():
        recipe = converted.report["recipe"]
        print(f"{effort} chose: {'+'.join(recipe['corrections']) or 'no correction'}, {recipe['ranges']}")
    return judged


def _row(case: Case, judged: Mapping[str, Judged], how: str, each: Judged) -> str:
    beside_float = beside_peer = ("", "")
    if how != FLOAT:
        beside_float = _ahead(case, each, judged[FLOAT])
    if how.startswith(OURS):
        beside_peer = _ahead(case, each, judged[best_peer(judged)])
    agrees = agreement(case, each, judged[FLOAT])
    return (
        f"{how:<16}  {each.value:>6.2f}  {span(each.interval):<14}  {beside_float[0]:>8}  {beside_float[1]:<15}  "
        f"{beside_peer[0]:>7}  {beside_peer[1]:<15}  {'' if agrees is None else f'{agrees:.2f}':>8}"
    )


def _ahead(case: Case, one: Judged, other: Judged) -> tuple[str, str]:
    ahead, interval = lead(case, one, other)
    return f"{ahead:+.2f}", span(interval, "+")


def span(interval: tuple[float, float], sign: str = "") -> str:
    return "[{:{s}.2f}, {:{s}.2f}]".format(*interval, s=sign)


def best_peer(judged: Mapping[str, Judged]) -> str:
    """The peer with the greatest value on these very evaluation samples, which favours the peers."""
    others = [how for how in judged if how != FLOAT and not how.startswith(OURS)]
    return max(others, key=lambda how: judged[how].value)


def bar(sentence: str, met: bool) -> None:
    print(f"bar: {sentence}: {'met' if met else 'NOT MET'}", flush=True)
