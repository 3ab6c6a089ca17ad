"""What one calibration pass over 500 samples costs beside plain float inference, TFLiteConverter and ai-edge-quantizer.

    python benchmarks/calibration_cost.py [--rounds 3] [--samples 500] [--threads 2] [--aeq PYTHON]

The model is that of convert_cost.py: keras.applications MobileNetV2-224 with random weights, as float .tflite by
TFLiteConverter. Every row is the pass alone, samples in memory, nothing loaded or exported; TFLiteConverter's is its own
Calibrator. Each pass has a process of its own, the rows are taken in turn, and the best of the rounds counts. --aeq
names a Python that has ai-edge-quantizer 0.10; without it there are no rows of that.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from commands import output_of, quiet_environment
from convert_cost import MAKE_MODEL, photos

MOST_RATIO = 3.0
FLOAT = "float inference, XNNPACK"
WITH_HISTOGRAMS = "edgekit, extremes and histograms"

EXPORT = """
import keras, tensorflow as tf
model = keras.models.load_model("mobilenet_v2.keras", compile=False)
open("float.tflite", "wb").write(tf.lite.TFLiteConverter.from_keras_model(model).convert())
"""

HEAD = """
import sys, time
import numpy as np
samples, threads = int(sys.argv[1]), int(sys.argv[2])
photos = [photo[None] for photo in np.load("photos.npy")[:samples].astype("float32") / 127.5 - 1]
model = open("float.tflite", "rb").read()
"""
TAIL = """
begin = time.perf_counter()
calibrate()
print(time.perf_counter() - begin)
"""

INFERENCE = """
from queue import SimpleQueue
from edgekit_converters.calibration.observe import in_order
from edgekit_converters.runner import Runner
idle = SimpleQueue()
for _ in range(threads):
    idle.put(Runner(model, threads=1))
def run(photo):
    runner = idle.get()
    runner.run({runner.inputs[0].name: photo})
    idle.put(runner)
def calibrate():
    for _ in in_order(run, photos, threads):
        pass
"""

OBSERVE = """
from edgekit_converters.calibration.observe import observe
from edgekit_converters.runner import Runner
name = Runner(model).inputs[0].name
def calibrate():
    observe(model, ({name: photo} for photo in photos), histograms=%s, threads=threads)
"""

TENSORFLOW = """
from tensorflow.lite.python.optimize.calibrator import Calibrator
calibrator = Calibrator(model)
def calibrate():
    calibrator.calibrate(lambda: ([photo] for photo in photos))
"""

AEQ = """
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe
from ai_edge_quantizer.calibrator import CalibrationMode
signatures = Interpreter("float.tflite").get_signature_list()
key = next(iter(signatures))
name = signatures[key]["inputs"][0]
made = quantizer.Quantizer("float.tflite", recipe.static_wi8_ai8())
def calibrate():
    data = {key: [{name: photo} for photo in photos]}
    made.calibrate(data, num_threads=threads, mode=CalibrationMode.CALIBRATION_%s)
"""


def rows(aeq: str | None) -> dict[str, tuple[str, str]]:
    """Title -> the Python and the program that times its pass."""
    found = {
        FLOAT: (sys.executable, INFERENCE),
        "edgekit, extremes only": (sys.executable, OBSERVE % False),
        WITH_HISTOGRAMS: (sys.executable, OBSERVE % True),
        "TFLiteConverter's Calibrator": (sys.executable, TENSORFLOW),
    }
    if aeq:
        found["ai-edge-quantizer, all tensors"] = (aeq, AEQ % "PRESERVE_ALL_TENSORS")
        found["ai-edge-quantizer, profiler"] = (aeq, AEQ % "PROFILER_BASED")
    return found


def timed(python: str, program: str, words: list[str], folder: Path) -> float:
    """Seconds of one pass."""
    done = subprocess.run(
        [python, "-c", HEAD + program + TAIL, *words],
        cwd=folder,
        env=quiet_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--aeq", metavar="PYTHON")
    said = parser.parse_args()
    words = [str(said.samples), str(said.threads)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "photos.npy", photos(max(said.samples, 64)))
        output_of([sys.executable, "-c", MAKE_MODEL], folder)
        output_of([sys.executable, "-c", EXPORT], folder)
        seconds: dict[str, float] = {}
        for _ in range(said.rounds):
            for title, (python, program) in rows(said.aeq).items():
                seconds[title] = min(seconds.get(title, np.inf), timed(python, program, words, folder))
    print(f"MobileNetV2-224, {said.samples} samples, {said.threads} threads; best of {said.rounds}")
    print(f"{'':<34}{'s':>7}  {'x inference':>11}")
    for title, taken in seconds.items():
        print(f"{title:<34}{taken:>7.2f}  {taken / seconds[FLOAT]:>11.2f}")
    ratio = seconds[WITH_HISTOGRAMS] / seconds[FLOAT]
    print(f"bar: histograms at most {MOST_RATIO:g}x inference: {'met' if ratio <= MOST_RATIO else 'NOT MET'}")
    print("TFLiteConverter's Calibrator runs one interpreter, on one thread")
    if not said.aeq:
        print("ai-edge-quantizer is not measured: --aeq PYTHON names a Python that has it")


if __name__ == "__main__":
    main()
