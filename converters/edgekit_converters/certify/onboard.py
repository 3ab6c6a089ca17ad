"""What runs on an emulated board: ``python onboard.py FOLDER MODULE KERNELS=RESOLVER ...``, with numpy and a runtime alone.

It reads model.tflite and inputs.npz (input.0, input.1, ... in the model's order, samples along the first axis) and
writes KERNELS.npz (output.0, output.1, ...) for each set of kernels in turn. Every step is said before it is taken, one
JSON object a line, because there may be no after.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main(folder: Path, module: str, chosen: list[str]) -> None:
    """Runs the model on each set of kernels."""
    say(step="import numpy")
    import numpy as np

    say(step=f"import {module}")
    runtime = import_module(module)
    model = (folder / "model.tflite").read_bytes()
    inputs = np.load(folder / "inputs.npz")
    for word in chosen:
        kernels, _, resolver = word.partition("=")
        say(step="open the model", kernels=kernels)
        interpreter = runtime.Interpreter(
            model_content=model,
            num_threads=1,
            experimental_op_resolver_type=runtime.OpResolverType[resolver],
        )
        interpreter.allocate_tensors()
        say(step="run the model", kernels=kernels)
        outputs = run(interpreter, [inputs[f"input.{number}"] for number in range(len(inputs.files))])
        arrays: dict[str, Any] = {f"output.{number}": np.stack(rows) for number, rows in enumerate(outputs)}
        with (folder / f"{kernels}.npz").open("wb") as file:
            np.savez(file, **arrays)
        say(done=kernels)


def run(interpreter: Any, inputs: list[Any]) -> list[list[Any]]:
    """The outputs, each a list with one array a sample."""
    into = [entry["index"] for entry in interpreter.get_input_details()]
    out = [entry["index"] for entry in interpreter.get_output_details()]
    answers: list[list[Any]] = [[] for _ in out]
    for row in range(len(inputs[0])):
        for index, array in zip(into, inputs, strict=True):
            interpreter.set_tensor(index, array[row][None])
        interpreter.invoke()
        for rows, index in zip(answers, out, strict=True):
            rows.append(interpreter.get_tensor(index)[0])
    return answers


def say(**entry: str) -> None:
    """Writes one line, at once."""
    print(json.dumps(entry), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
