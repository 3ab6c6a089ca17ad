"""What --allow-int16 brings and costs on a network with energies inside: `python benchmarks/int16.py --data FOLDER`.

A convolution over the readings of UCI HAR, squared, averaged, its root taken, and convolved again, as front ends of sensor
networks do. Trained here in a quarter of a minute; FOLDER is the one that benchmarks/README.md describes. Top-1 and
agreement are scoring.py's, which shares no code with edgekit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from commands import edgekit_convert, output_of
from scoring import classes, score

EPOCHS = 15
BATCH = 64
CALIBRATION_ROWS = 200
RUNS = 300


def train(data: Path, out: Path) -> None:
    """Runs in a process of its own; writes float.tflite, which is then everybody's original."""
    import keras
    import tensorflow as tf
    from keras import layers

    keras.utils.set_random_seed(1)
    tf.config.experimental.enable_op_determinism()
    readings = layers.Input((128, 9))
    x = layers.Conv1D(24, 9, strides=2)(readings)
    x = layers.AveragePooling1D(4)(x * x)
    x = layers.BatchNormalization()(keras.ops.sqrt(x + 1e-4))
    x = layers.GlobalAveragePooling1D()(layers.Conv1D(32, 3, activation="relu")(x))
    model = keras.Model(readings, layers.Dense(6, activation="softmax")(x))
    arrays = np.load(data / "uci-har.npz")
    decay = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * len(arrays["x_train"]) // BATCH)
    model.compile(keras.optimizers.Adam(decay), "sparse_categorical_crossentropy")
    model.fit(
        arrays["x_train"].astype(np.float32), arrays["y_train"], epochs=EPOCHS, batch_size=BATCH, verbose=0
    )
    (out / "float.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def microseconds(model: bytes) -> float:
    """Median time of one inference on one thread, by LiteRT as it comes."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
    return 1e6 * float(np.median(times))


def main(data: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        output_of([sys.executable, __file__, "--data", data, "--train", work], work)
        arrays = np.load(data / "uci-har.npz")
        samples, labels = arrays["x_test"].astype(np.float32), arrays["y_test"]
        np.savez(work / "calibration.npz", x=arrays["x_train"][:CALIBRATION_ROWS].astype(np.float32))
        np.savez(work / "evaluation.npz", x=samples, y=labels)
        exact = (work / "float.tflite").read_bytes()
        answers = classes(exact, samples)
        print(f"{'':<16}  {'top-1 %':>7}  {'agrees %':>8}  {'SQNR dB':>7}  {'us':>6}")
        print(
            f"{'float':<16}  {score(answers, answers, labels).top1:>7.2f}  {'':>8}  {'':>7}  {microseconds(exact):>6.1f}"
        )
        words = ("--calibration", "calibration.npz", "--evaluation", "evaluation.npz", "--preprocessed")
        for title, more in (("int8", ()), ("--allow-int16", ("--allow-int16",))):
            made = edgekit_convert(work / "float.tflite", *words, *more, cwd=work)
            found = score(classes(made.model, samples), answers, labels)
            sqnr = next(iter(made.report["accuracy"]["sqnr_db"].values()))
            print(
                f"{title:<16}  {found.top1:>7.2f}  {found.agreement:>8.2f}  {sqnr:>7.1f}  "
                f"{microseconds(made.model):>6.1f}"
            )
            for note in (
                *made.report["notes"],
                f"{len(made.report['recipe']['int16'])} tensors of more than 8 bits",
            ):
                print(f"{'':<16}  {note}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train is not None:
        train(given.data.resolve(), given.train)
    else:
        main(given.data.resolve())
