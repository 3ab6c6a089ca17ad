"""The peers beside edgekit: a trained model and the same samples to an int8 .tflite, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cases import HERE, Case
from commands import output_of, quiet_environment

AEQ_RANGES = {"average": "AEQ", "min-max": "AEQ min-max", "octav": "AEQ OCTAV"}
TFLITE_CONVERTER = "TFLiteConverter"
MCT = "MCT"
FLOAT = "float"
NEEDS = {
    "aeq": ("ai-edge-quantizer==0.10.0",),
    "mct": ("model-compression-toolkit==2.6.1", "tensorflow==2.15.1"),
}
NEWEST_FOR_MCT = (3, 11)  # of Python, because of TensorFlow 2.15


@dataclass(frozen=True, slots=True)
class Peers:
    """The interpreters that have the peers; None leaves one out. (TFLiteConverter comes with edgekit.)"""

    aeq: Path | None = None
    mct: Path | None = None


def made(folder: Path) -> Peers:
    """Makes, or finds again, a virtual environment for each peer that edgekit does not bring along."""
    newer = sys.version_info[:2] > NEWEST_FOR_MCT
    return Peers(aeq=_venv("aeq", folder), mct=None if newer else _venv("mct", folder))


def _venv(name: str, folder: Path) -> Path:
    venv = folder / name
    python = venv / "bin" / "python"
    if not (venv / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        output_of([sys.executable, "-m", "venv", "--clear", venv], folder)
        output_of([python, "-m", "pip", "install", "--quiet", *NEEDS[name]], folder)
        (venv / "installed").touch()
    return python


def converted(
    case: Case, samples: np.ndarray, work: Path, peers: Peers, weights: str = "channel"
) -> dict[str, bytes]:
    """Every peer's model, and the float one that they share as FLOAT.

    Args:
        case: What is converted.
        samples: Float model inputs, shape (n, ...), which calibrate.
        work: A folder to write to.
        peers: Where they are.
        weights: ``channel``, or ``tensor`` for one scale a weight tensor.
    """
    np.save(work / "samples.npy", samples)
    minimal = HERE / "tfliteconverter.py"
    output_of([sys.executable, minimal, case.loader, case.model, "samples.npy", ".", weights], work)
    models = {
        FLOAT: (work / "float.tflite").read_bytes(),
        TFLITE_CONVERTER: (work / "int8.tflite").read_bytes(),
    }
    commands = _commands(case, peers, weights)
    made = {title: _run(title, command, work) for title, command in commands.items()}
    return models | {title: model for title, model in made.items() if model is not None}


def _commands(case: Case, peers: Peers, weights: str) -> dict[str, list[object]]:
    """Each writes peer.tflite."""
    commands: dict[str, list[object]] = {}
    if peers.aeq is not None:
        for ranges, title in AEQ_RANGES.items():
            script = HERE / "aeq.py"
            commands[title] = [
                peers.aeq, script, "float.tflite", "samples.npy", "peer.tflite", ranges, weights
            ]  # fmt: skip
    model = case.model if case.loader == "keras2" else case.model.with_suffix(".weights.npz")
    if peers.mct is not None and model.exists() and weights == "channel":
        commands[MCT] = [peers.mct, HERE / "mct.py", model, "samples.npy", "peer.tflite"]
    return commands


def _run(title: str, command: Sequence[object], work: Path) -> bytes | None:
    """None, and its last line printed, where a peer refuses the model."""
    # These interpreters have packages of their own, and nothing of edgekit.
    environment = {name: value for name, value in quiet_environment().items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{title} refuses: {done.stderr.strip().splitlines()[-1][:200]}")
        return None
    return (work / "peer.tflite").read_bytes()
