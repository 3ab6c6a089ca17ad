"""Accuracy of int8 beside float: plain TFLiteConverter and `edgekit convert` at both efforts, in one run.

    python benchmarks/accuracy.py [--data FOLDER] [--only mobilenet,speech,fashion,har,digits]

Without --data only scikit-learn's digits are measured; benchmarks/README.md says what FOLDER holds. Every row
is scored by scoring.py, which shares no code with edgekit; where edgekit's own report says something else,
this ends with 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cases import HERE, NEED_DATA, Case, digits
from commands import Converted, edgekit_convert, output_of
from scoring import Score, classes, score

MAX_DROP_PP = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--only", default="", metavar="NAME,...")
    words = parser.parse_args()
    wanted = set(filter(None, words.only.split(",")))
    prepare = [*(NEED_DATA if words.data else ()), digits]
    data = words.data.resolve() if words.data else None
    held = [measure(make, data) for make in prepare if not wanted or make.__name__ in wanted]
    sys.exit(0 if all(held) else 1)


def measure(make: Callable[[Path | None, Path], Case], data: Path | None) -> bool:
    """Prints the table of one case; says whether edgekit's own figures were confirmed."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        case = make(data, work)
        models = peer(case, work)
        reports = {}
        for effort in ("fast", "balanced"):
            converted = edgekit(case, effort, work)
            reports[effort], models[f"edgekit {effort}"] = converted.report, converted.model
    answers = {how: classes(model, case.evaluation_inputs) for how, model in models.items()}
    scores = {how: score(each, answers["float"], case.labels) for how, each in answers.items()}
    counts = f"{len(case.calibration_inputs)} calibration, {len(case.labels)} evaluation samples"
    print(f"\n{case.title}: {counts}")
    print_table(scores, {how: len(model) for how, model in models.items()})
    print(f"balanced chose: {chosen(reports['balanced'])}")
    print_bars(case, scores["edgekit balanced"])
    confirmed = [confirm(reports[effort], scores, f"edgekit {effort}") for effort in reports]
    return all(confirmed)


def peer(case: Case, work: Path) -> dict[str, bytes]:
    np.save(work / "samples.npy", case.calibration_inputs)
    script = HERE / "tfliteconverter.py"
    output_of([sys.executable, script, case.loader, case.model, "samples.npy", "."], work)
    return {
        "float": (work / "float.tflite").read_bytes(),
        "TFLiteConverter": (work / "int8.tflite").read_bytes(),
    }


def edgekit(case: Case, effort: str, work: Path) -> Converted:
    data = ("--calibration", case.calibration, "--evaluation", case.evaluation)
    converted = edgekit_convert(case.model, *data, *case.words, "--effort", effort, cwd=work)
    used = converted.report["calibration"]["samples"]
    if used != len(case.calibration_inputs):
        raise SystemExit(f"edgekit calibrated on {used} samples, the peer on {len(case.calibration_inputs)}")
    return converted


def print_table(scores: dict[str, Score], sizes: dict[str, int]) -> None:
    print(
        f"{'':<16}  {'top-1 %':>7}  {'95 %':<14}  {'to float':>8}  {'95 %':<14}  {'agrees %':>8}  {'kB':>6}"
    )
    for how, each in scores.items():
        top1, difference = span(each.top1_interval), span(each.difference_interval, "+")
        beside = "" if how == "float" else f"{each.difference:+.2f}"
        print(
            f"{how:<16}  {each.top1:>7.2f}  {top1:<14}  {beside:>8}  "
            f"{difference if beside else '':<14}  {each.agreement:>8.2f}  {sizes[how] / 1e3:>6.0f}"
        )


def span(interval: tuple[float, float], sign: str = "") -> str:
    return "[{:{s}.2f}, {:{s}.2f}]".format(*interval, s=sign)


def chosen(report: dict) -> str:
    trials = ", ".join(f"{trial['recipe']} {trial['sqnr_db']:.1f} dB" for trial in report["trials"])
    return f"{'+'.join(report['recipe']['corrections']) or 'no correction'} ({trials})"


def print_bars(case: Case, balanced: Score) -> None:
    met = -balanced.difference <= MAX_DROP_PP
    print(f"bar: loses at most {MAX_DROP_PP:g} point of float's top-1: {verdict(met)}")
    if case.least_agreement is not None:
        met = balanced.agreement >= case.least_agreement
        print(f"bar: agrees with float on at least {case.least_agreement:g} %: {verdict(met)}")


def verdict(met: bool) -> str:
    return "met" if met else "NOT MET"


def confirm(report: dict, scores: dict[str, Score], how: str) -> bool:
    """Whether edgekit's report says what scoring.py found; prints each figure that differs."""
    accuracy = report["accuracy"]
    pairs = {
        "float": (accuracy["float_value"], scores["float"].top1),
        "int8": (accuracy["int8_value"], scores[how].top1),
        "agreement": (accuracy["agreement"]["value"], scores[how].agreement),
    }
    differ = {name: pair for name, pair in pairs.items() if abs(pair[0] - pair[1]) > 1e-4}
    for name, (said, found) in differ.items():
        print(f"DIFFERS: {how} reports {name} {said:.2f}, scoring.py finds {found:.2f}")
    return not differ


if __name__ == "__main__":
    main()
