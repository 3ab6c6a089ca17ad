"""Networks in PyTorch and ONNX, from the trained model to int8 for the Coral: what comes through, and how true.

    python benchmarks/frameworks.py --data FOLDER [--torch PYTHON] [NETWORK ...]

Needs the environments that `edgekit env create torch` and `edgekit env create onnx` make; PYTHON, which makes the
networks, needs torch and onnx (default: that of the torch environment). Exit status 1 where a trained network loses more
than a point, or the float model differs from its original by more than edgekit allows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edgekit_converters.environments.locate import interpreter_for

HERE = Path(__file__).resolve().parent
TARGET = "coral-usb-accelerator"
MOST_DROP = 1.0  # points of top-1


def convert(model: Path, work: Path, data: str, trained: bool) -> dict[str, object]:
    """The report of one conversion, or its error."""
    words = [
        "--target",
        TARGET,
        "--calibration",
        f"{data}-calibration.npz",
        "-o",
        f"{model.name}.edgekit",
        "--json",
    ]
    words += ["--evaluation", f"{data}-evaluation.npz"] if trained else []
    command = [sys.executable, "-m", "edgekit", "convert", model.name, *words]
    started = time.monotonic()
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    answer: dict[str, object] = json.loads(done.stdout or "{}")
    (work / f"{model.name}.json").write_text(done.stdout)
    return answer | {"seconds": time.monotonic() - started, "stderr": done.stderr}


def row(name: str, framework: str, report: dict[str, object]) -> tuple[str, bool]:
    """A line of the table, and whether it holds."""
    head = f"{name:12} {framework:8}"
    error = report.get("error")
    if error is not None:
        message = error["message"] if isinstance(error, dict) else str(error)
        return f"{head} refused: {message.splitlines()[0][:150]}", True
    original, accuracy, forecast = report["original"], report["accuracy"], report["forecast"]
    left = report["operators"].get("TRANSPOSE", 0)
    made = (
        next((note for note in report["notes"] if note.startswith("TRANSPOSE")), " of the 0 ")
        .split(" of the ")[1]
        .split()[0]
    )
    drop, holds = "", True
    if accuracy is not None:
        before, after = (accuracy[each] for each in ("float_value", "int8_value"))
        drop, holds = f"{before:5.1f} {after:5.1f}", before - after <= MOST_DROP
    placed = " ".join(f"{count} {place}" for place, count in forecast["operators"].items() if count)
    return (
        f"{head} {original['difference']:8.0e}  {drop:13}  {left} of {made:4}   {placed}   {report['seconds']:.0f} s",
        holds,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--torch")
    parser.add_argument("--work", type=Path, help="keep the networks here, and take those that are there")
    parser.add_argument("networks", nargs="*")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = words.work or Path(temporary)
        if not (work / "networks.json").exists():
            python = words.torch or str(interpreter_for("torch"))
            script = str(HERE / "framework_networks.py")
            subprocess.run([python, "-W", "ignore", script, str(words.data), str(work)], check=True)
        made = json.loads((work / "networks.json").read_text())
        print("network      from     float diff  float  int8   TRANSPOSE left         forecast")
        held = True
        for name, facts in made.items():
            if words.networks and name not in words.networks:
                continue
            for framework, suffix in (("PyTorch", "pt2"), ("ONNX", "onnx")):
                report = convert(work / f"{name}.{suffix}", work, facts["data"], facts["trained"])
                line, holds = row(name, framework, report)
                held = held and holds
                print(line, flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
