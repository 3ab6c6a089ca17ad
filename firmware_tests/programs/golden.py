"""Loads bundles as an application does, and prints what they answer to stored inputs: ``golden.py NAME ...``.

For each name there is a NAME.edgekit, and a NAME.npz with the inputs.
"""

import json
import sys
import warnings

import numpy as np

import edgekit

warnings.simplefilter("ignore")  # that the bundle runs unsigned


def answers(name: str) -> dict[str, object]:
    """What one bundle answers: for each sample a list of its outputs."""
    arrays = np.load(f"{name}.npz")
    with edgekit.load(f"{name}.edgekit", trust=edgekit.UNSIGNED) as model:
        names = [spec.name for spec in model.manifest.inputs]
        rows = []
        for row in range(len(arrays["input.0"])):
            sample = {each: arrays[f"input.{number}"][row] for number, each in enumerate(names)}
            answer = model.run_quantized(sample if len(names) > 1 else sample[names[0]])
            outputs = answer if isinstance(answer, dict) else {"only": answer}
            rows.append([np.asarray(output).tolist() for output in outputs.values()])
        return {"runtime": model.runtime, "kernels": model.kernels, "answers": rows}


print(json.dumps({name: answers(name) for name in sys.argv[1:]}))
