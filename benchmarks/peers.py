"""The peers beside edgekit: a trained model and the same samples to an int8 .tflite, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from cases import HERE, Case
from commands import output_of, quiet_environment

AEQ = "ai-edge-quantizer==0.10.0"
AEQ_RANGES = {"average": "AEQ", "min-max": "AEQ min-max", "octav": "AEQ OCTAV"}
TFLITE_CONVERTER = "TFLiteConverter"
FLOAT = "float"


def made(folder: Path) -> Path:
    """Makes, or finds again, the virtual environment of ai-edge-quantizer, and returns its interpreter."""
    venv = folder / "aeq"
    python = venv / "bin" / "python"
    if not (venv / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        output_of([sys.executable, "-m", "venv", "--clear", venv], folder)
        output_of([python, "-m", "pip", "install", "--quiet", AEQ], folder)
        (venv / "installed").touch()
    return python


def converted(
    case: Case, samples: np.ndarray, work: Path, aeq: Path | None, weights: str = "channel"
) -> dict[str, bytes]:
    """Every peer's model, and the float one that they share as FLOAT.

    Args:
        case: What is converted.
        samples: Float model inputs, shape (n, ...), which calibrate.
        work: A folder to write to.
        aeq: The interpreter that has ai-edge-quantizer; None leaves it out. (TFLiteConverter comes with edgekit.)
        weights: ``channel``, or ``tensor`` for one scale a weight tensor.
    """
    np.save(work / "samples.npy", samples)
    minimal = HERE / "tfliteconverter.py"
    output_of([sys.executable, minimal, case.loader, case.model, "samples.npy", ".", weights], work)
    models = {
        FLOAT: (work / "float.tflite").read_bytes(),
        TFLITE_CONVERTER: (work / "int8.tflite").read_bytes(),
    }
    if aeq is not None:
        for ranges, title in AEQ_RANGES.items():
            model = _by_aeq(aeq, ranges, weights, work)
            if model is not None:
                models[title] = model
    return models


def _by_aeq(python: Path, ranges: str, weights: str, work: Path) -> bytes | None:
    """None, and its last line printed, where it refuses the model."""
    out = work / "aeq.tflite"
    command = [python, HERE / "aeq.py", "float.tflite", "samples.npy", out, ranges, weights]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=work, env=quiet_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        print(f"{AEQ_RANGES[ranges]} refuses: {done.stderr.strip().splitlines()[-1][:200]}")
        return None
    return out.read_bytes()
