"""Accuracy of int8 beside float: plain TFLiteConverter, `edgekit --effort fast` and `--effort balanced`, in one run.

    python benchmarks/accuracy.py [--data FOLDER] [--only mobilenet,speech,fashion,har,digits]

Without --data only scikit-learn's digits are measured; benchmarks/README.md says what FOLDER holds. Every column is scored by
scoring.py, which shares no code with edgekit, and edgekit's own report must say the same or the script ends with 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from cases import HERE, NEED_DATA, QUIET, Case, digits
from scoring import Score, classes, score

EDGEKIT = Path(sys.executable).parent / "edgekit"
MAX_DROP_PP = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--only", default="", metavar="NAME,...")
    words = parser.parse_args()
    wanted = set(filter(None, words.only.split(",")))
    prepare = [*(NEED_DATA if words.data else ()), digits]
    data = words.data.resolve() if words.data else None
    held = [measure(make, data) for make in prepare if not wanted or make.__name__ in wanted]
    sys.exit(0 if all(held) else 1)


def measure(make: object, data: Path | None) -> bool:
    """Prints the table of one case; says whether edgekit's own figures were confirmed."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        case = make(data, work)
        models = peer(case, work)
        reports = {}
        for effort in ("fast", "balanced"):
            reports[effort], models[f"edgekit {effort}"] = edgekit(case, effort, work)
    answers = {how: classes(model, case.evaluation_inputs) for how, model in models.items()}
    scores = {how: score(each, answers["float"], case.labels) for how, each in answers.items()}
    print(f"\n{case.title}: {len(case.calibration_inputs)} calibration, {len(case.labels)} evaluation samples")
    print_table(scores, {how: len(model) for how, model in models.items()})
    print(f"balanced chose: {chosen(reports['balanced'])}")
    print_bars(case, scores["edgekit balanced"])
    return all([confirm(reports[effort], scores, f"edgekit {effort}") for effort in reports])


def peer(case: Case, work: Path) -> dict[str, bytes]:
    np.save(work / "samples.npy", case.calibration_inputs)
    command = [sys.executable, HERE / "tfliteconverter.py", case.loader, case.model, "samples.npy", "."]
    run([str(word) for word in command], work)
    return {
        "float": (work / "float.tflite").read_bytes(),
        "TFLiteConverter": (work / "int8.tflite").read_bytes(),
    }


def edgekit(case: Case, effort: str, work: Path) -> tuple[dict, bytes]:
    bundle = f"{effort}.edgekit"
    command = [
        EDGEKIT, "convert", case.model, "--target", "raspberry-pi-4", "--calibration", case.calibration,
        *case.words, "--evaluation", case.evaluation, "--effort", effort, "--json", "-o", bundle,
    ]  # fmt: skip
    report = json.loads(run([str(word) for word in command], work))
    used = report["calibration"]["samples"]
    if used != len(case.calibration_inputs):
        raise SystemExit(f"edgekit calibrated on {used} samples, the peer on {len(case.calibration_inputs)}")
    with zipfile.ZipFile(work / bundle) as archive:
        return report, archive.read("model.tflite")


def run(command: list[str], work: Path) -> str:
    done = subprocess.run(command, cwd=work, env=QUIET, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


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
    print(f"bar: loses at most {MAX_DROP_PP:g} point of float's top-1: {verdict(-balanced.difference <= MAX_DROP_PP)}")
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
