"""Made the bundles of v1: ``python make_v1.py FOLDER``, with the edgekit whose format they keep.

They are never made again: a later edgekit must read and run the files that are there. Each NAME.edgekit has a
NAME.npz beside it, with inputs and what the model answers on LiteRT's reference kernels (every processor gives the same
bits there) and on x86-64 with the other two sets and tflite-runtime.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
from keras import layers

from edgekit.arrays import read_arrays, write_arrays
from edgekit.bundle import GOLDEN, MODEL, read_unverified
from edgekit_converters.certify.boards import HOST, KERNELS
from edgekit_converters.certify.certifying import prepare_systems, recipe_of
from edgekit_converters.certify.emulator import machine
from edgekit_converters.certify.trial import Answers, try_kernels
from edgekit_converters.certify.vectors import collect

ROWS = 64
SEED = 20261127


def digits() -> tuple[keras.Model, dict[str, np.ndarray], list[str]]:
    """Scores of ten classes out of an 8x8 grey image, by way of SOFTMAX."""
    image = layers.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(image)
    x = layers.Dense(10, activation="softmax", name="scores")(layers.Flatten()(x))
    data = np.random.default_rng(SEED).integers(0, 256, (ROWS, 8, 8, 1), np.uint8)
    (words := ["--range", "0,1"]).extend(["--labels", "labels.txt"])
    return keras.Model(image, x), {"image": data}, words


def joined() -> tuple[keras.Model, dict[str, np.ndarray], list[str]]:
    """Two images of different sizes, one resized, joined to a map of 8x8."""
    small, large = layers.Input((4, 4, 2), name="small"), layers.Input((8, 8, 1), name="large")
    x = layers.UpSampling2D(2, interpolation="bilinear")(small)
    x = layers.Concatenate()([x, large])
    x = layers.Conv2D(3, 3, padding="same", activation="sigmoid", name="map")(x)
    random = np.random.default_rng(SEED + 1)
    data = {
        "small": random.normal(0, 1, (ROWS, 4, 4, 2)).astype(np.float32),
        "large": random.normal(0, 1, (ROWS, 8, 8, 1)).astype(np.float32),
    }
    return keras.Model([small, large], x), data, ["--preprocessed"]


def series() -> tuple[keras.Model, dict[str, np.ndarray], list[str]]:
    """Two real numbers out of 32 readings of three axes."""
    readings = layers.Input((32, 3), name="readings")
    x = layers.Conv1D(6, 5, activation="relu")(readings)
    x = layers.Dense(2, bias_initializer="random_normal", name="state")(layers.GlobalAveragePooling1D()(x))
    data = np.random.default_rng(SEED + 2).normal(0, 2, (ROWS, 32, 3)).astype(np.float32)
    return keras.Model(readings, x), {"readings": data}, ["--preprocessed"]


def make(name: str, folder: Path) -> None:
    """One bundle, and what it answers."""
    keras.utils.set_random_seed(SEED)
    model, data, words = {"digits": digits, "joined": joined, "series": series}[name]()
    model.save(folder / f"{name}.keras")
    np.savez(folder / "data.npz", **data)
    (folder / "labels.txt").write_text("".join(f"{number}\n" for number in range(10)), "ascii")
    arrays = ",".join(f"{each}={each}" for each in data) if len(data) > 1 else next(iter(data))
    command = [
        "convert",
        f"{name}.keras",
        "--target",
        "raspberry-pi-4",
        "--calibration",
        f"data.npz#{arrays}",
    ]
    edgekit = [sys.executable, "-m", "edgekit", *command, *words, "-o", f"{name}.edgekit", "--golden", "3"]
    subprocess.run(edgekit, cwd=folder, check=True)
    (folder / f"{name}.npz").write_bytes(answers((folder / f"{name}.edgekit").read_bytes()))
    (folder / f"{name}.keras").unlink()
    (folder / "data.npz").unlink()
    (folder / "labels.txt").unlink()


def answers(data: bytes) -> bytes:
    """The golden inputs, and what the model answers to them in each runtime on x86-64."""
    bundle = read_unverified(data)
    vectors = collect(bundle, ())
    kept = {name: array for name, array in read_arrays(bundle.members[GOLDEN]).items() if "input" in name}
    systems = prepare_systems([HOST])
    with machine(HOST, systems[recipe_of(HOST).name]) as host:
        for runtime in HOST.runtimes:
            model = bytes(bundle.members[MODEL])
            found = try_kernels(host, runtime, KERNELS[runtime], model, vectors, 60)
            for kernels, outcome in found.items():
                assert isinstance(outcome, Answers), outcome
                for number, array in enumerate(outcome.outputs):
                    kept[f"output.{number}.{runtime}.{kernels}"] = array
    return write_arrays(kept)


if __name__ == "__main__":
    for each in ("digits", "joined", "series"):
        make(each, Path(sys.argv[1]))
