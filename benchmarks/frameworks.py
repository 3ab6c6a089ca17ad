"""Networks in PyTorch and ONNX, from the trained model to int8 for the Coral: what comes through, and how true.

    python benchmarks/frameworks.py --data FOLDER [--torch PYTHON] [NETWORK ...]

The last line of four networks is the same network in Keras, untrained: the operators that the chip would take of it.

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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit_converters.environments.locate import interpreter_for

HERE = Path(__file__).resolve().parent
TARGET = "coral-usb-accelerator"
MOST_DROP = 1.0  # points of top-1


def convert(model: Path, work: Path, data: str, trained: bool) -> dict[str, Any]:
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
    answer: dict[str, Any] = json.loads(done.stdout or "{}")
    (work / f"{model.name}.json").write_text(done.stdout)
    return answer | {"seconds": time.monotonic() - started, "stderr": done.stderr}


def row(name: str, framework: str, report: dict[str, Any]) -> tuple[str, bool]:
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
    numbers = f"{original['difference']:8.0e}  {drop:13}  {left} of {made:4}"
    return f"{head} {numbers}   {placed(forecast)}   {report['seconds']:.0f} s", holds


def twin(name: str, work: Path) -> str:
    """The line of the network in Keras."""
    command = [sys.executable, "-m", "edgekit", "check", f"{name}.keras", "--target", TARGET, "--json"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    left = sum(op["opcode"] == "TRANSPOSE" for op in answer["ops"])
    return f"{name:12} Keras    {'':8}  {'':13}  {left} of 0      {placed(answer['summary'])}"


def placed(summary: Mapping[str, Any]) -> str:
    return " ".join(f"{count} {place}" for place, count in summary["operators"].items() if count)


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
        if not (work / "unet.keras").exists():
            subprocess.run(
                [sys.executable, str(HERE / "framework_twins.py"), str(work)], check=True, capture_output=True
            )
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
            if (work / f"{name}.keras").exists():
                print(twin(name, work), flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
