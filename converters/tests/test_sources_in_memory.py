"""Models in the memory of a process that has TensorFlow: a process of its own, so that this one stays without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def test_models_in_memory(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parent / "source_in_memory.py"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path)}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts.pop("unchanged"), "the user's model is what it was before"
    refusals = {name: facts.pop(name) for name in ("open", "nothing", "layer")}
    assert refusals["open"][0] == "SourceError"
    assert "input_signature" in refusals["open"][2]
    assert refusals["nothing"][:2] == [
        "UnknownModelError",
        "a builtins.int is not a model that edgekit converts",
    ]
    assert refusals["layer"][0] == "UnknownModelError"
    assert facts["keras3"] == [
        "Keras 3 model in memory",
        ["out"],
        ["mixed precision: 1 layer(s) compute in float32", "recurrent layer 'memory' unrolled over 5 steps"],
    ]
    assert [facts[name][1] for name in ("keras2", "function", "concrete")] == [
        ["out"],
        ["a", "b"],
        ["output_0"],
    ]
    for name in facts:
        interpreter = Interpreter(model_path=str(tmp_path / f"{name}.tflite"), num_threads=1)
        interpreter.allocate_tensors()
        with np.load(tmp_path / f"{name}.npz") as arrays:
            x, *expected = arrays.values()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        for detail, values in zip(interpreter.get_output_details(), expected, strict=True):
            tolerance = 5e-3 if values.dtype == np.float16 else 2e-6
            np.testing.assert_allclose(interpreter.get_tensor(detail["index"]), values, atol=tolerance)
