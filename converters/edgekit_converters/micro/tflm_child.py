"""Runs a model in TensorFlow Lite Micro: a program of its own, because a kernel that objects ends the process.

``python tflm_child.py FOLDER ARENA_BYTES`` reads ``model.tflite`` and ``inputs.npz`` in FOLDER, whose arrays "arr_0",
"arr_1", ... are [count, *shape without batch], and writes ``outputs.npz`` in the same form and ``result.json``. It imports
numpy and tflite-micro only, so that any Python that has these can run it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

LARGEST_GROWTH = 2
"""How far beyond the recorded total the smallest arena is looked for, as a factor."""
STEP_BYTES = 16  # MicroArenaBufferAlignment()


def main(folder: Path, arena_bytes: int) -> None:
    """Runs the model on all inputs, then finds the smallest arena that takes it."""
    model = (folder / "model.tflite").read_bytes()
    with np.load(folder / "inputs.npz") as stored:
        inputs = [stored[f"arr_{number}"] for number in range(len(stored.files))]
    result = folder / "result.json"
    try:
        outputs, recorded = run(model, inputs, arena_bytes)
    except (RuntimeError, ValueError) as error:
        result.write_text(json.dumps({"error": " ".join(str(error).split())}))
        return
    np.savez(folder / "outputs.npz", *outputs)
    smallest = smallest_arena(model, [array[:1] for array in inputs], recorded)
    result.write_text(json.dumps({"arena_bytes": smallest}))


def run(model: bytes, inputs: list[np.ndarray], arena_bytes: int) -> tuple[list[np.ndarray], int]:
    """Runs one sample after the other.

    Returns:
        The outputs, each [count, *shape without batch], and how much of the arena the runtime says it used, in bytes.
    """
    from tflite_micro.python.tflite_micro import runtime
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    count = schema.Model.GetRootAsModel(model, 0).Subgraphs(0).OutputsLength()
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena_bytes)
    rows: list[list[np.ndarray]] = [[] for _ in range(count)]
    for sample in range(len(inputs[0])):
        for number, array in enumerate(inputs):
            interpreter.set_input(np.ascontiguousarray(array[sample : sample + 1]), number)
        interpreter.invoke()
        for number, answers in enumerate(rows):
            answers.append(np.array(interpreter.get_output(number)))
    return [np.concatenate(answers) for answers in rows], recorded_bytes(interpreter)


def recorded_bytes(interpreter: Any) -> int:
    """Reads "Arena allocation total N bytes" from what the runtime prints to the standard error, in C++."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            interpreter.print_allocations()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    found = re.search(r"Arena allocation total (\d+) bytes", text)
    if found is None:
        raise RuntimeError(f"tflite-micro does not say how much of the arena it used: {text[:200]!r}")
    return int(found[1])


def smallest_arena(model: bytes, sample: list[np.ndarray], recorded: int) -> int | None:
    """Finds the smallest arena in which the model loads and runs: mostly what was recorded.

    While it loads, the runtime may for a moment need more than it keeps. None where twice as much does not suffice.
    """
    if _fits(model, sample, recorded):
        return recorded
    low, high = recorded, recorded + STEP_BYTES
    while not _fits(model, sample, high):
        low, high = high, recorded + 2 * (high - recorded)
        if high > LARGEST_GROWTH * recorded:
            return None
    while high - low > STEP_BYTES:
        middle = low + (high - low) // (2 * STEP_BYTES) * STEP_BYTES
        low, high = (low, middle) if _fits(model, sample, middle) else (middle, high)
    return high


def _fits(model: bytes, sample: list[np.ndarray], size: int) -> bool:
    """Whether the model runs in an arena of that size: tried in a fork, because the runtime may die where it is small."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            run(model, sample, size)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
