"""Runs commands as a user types them, and `edgekit convert` among them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EDGEKIT = Path(sys.executable).parent / "edgekit"


def quiet_environment() -> dict[str, str]:
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def output_of(command: Sequence[object], cwd: Path) -> str:
    """Runs one command to its end and returns its stdout; if it fails, this program ends with its stderr."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=quiet_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Converted:
    """What one `edgekit convert --json` said, the int8 model in its bundle, and how long the command took."""

    report: dict
    model: bytes
    wall_s: float


def edgekit_convert(model: Path, *words: object, cwd: Path) -> Converted:
    bundle = cwd / "out.edgekit"
    begin = time.perf_counter()
    said = output_of(
        [EDGEKIT, "convert", model, "--target", "raspberry-pi-4", *words, "--json", "-o", bundle], cwd
    )
    wall_s = time.perf_counter() - begin
    with zipfile.ZipFile(bundle) as archive:
        return Converted(json.loads(said), archive.read("model.tflite"), wall_s)
