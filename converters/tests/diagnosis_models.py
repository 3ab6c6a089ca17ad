"""Writes a small CNN and the same with faults put in on purpose, for the tests of `edgekit diagnose`.

Run as a script (``python diagnosis_models.py FOLDER``), so that TensorFlow is never imported in the test process:

    clean.keras     input "photo" [1, 16, 16, 3], every channel of about the same size
    faulty.keras    the same function but for three channels: one of the layer "second" is 300 times larger than the others
                    (and what reads it multiplies with a 300th), two of "third" are always 0
    clean.npy       float32 [40, 16, 16, 3]
    outlier.npy     the same, sample 7 at 30 times its size
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}

import keras
import numpy as np
from keras import layers

LARGE = 300.0


def build() -> keras.Model:
    keras.utils.set_random_seed(4)
    convolutions = [
        layers.Conv2D(8, 3, padding="same", activation="relu", name=name)
        for name in ("first", "second", "third")
    ]
    return keras.Sequential([
        layers.Input((16, 16, 3), name="photo"),
        *convolutions,
        layers.MaxPooling2D(2),
        layers.Conv2D(16, 3, activation="relu", name="fourth"),
        layers.Flatten(),
        layers.Dense(5, name="scores"),
    ])  # fmt: skip


def spoil(model: keras.Model) -> None:
    kernel, bias = model.get_layer("second").get_weights()
    kernel[..., 3] *= LARGE
    bias[3] *= LARGE
    model.get_layer("second").set_weights([kernel, bias])
    kernel, bias = model.get_layer("third").get_weights()
    kernel[:, :, 3, :] /= LARGE
    kernel[..., 5:7] = 0
    bias[5:7] = -1
    model.get_layer("third").set_weights([kernel, bias])


def main(folder: Path) -> None:
    model = build()
    model.save(folder / "clean.keras")
    spoil(model)
    model.save(folder / "faulty.keras")
    samples = np.random.default_rng(6).uniform(-1, 1, (40, 16, 16, 3)).astype(np.float32)
    samples = (samples + np.roll(samples, 1, 1) + np.roll(samples, 1, 2)) / 3  # smooth, like a photo
    np.save(folder / "clean.npy", samples)
    samples[7] *= 30
    np.save(folder / "outlier.npy", samples)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
