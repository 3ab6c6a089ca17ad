"""Makes two small networks of certify.py with their data: ``python small_networks.py dense|joined FOLDER SAMPLES``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

SEED = 1
CALIBRATION = 200


def dense() -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Digits by three dense layers."""
    pixels = layers.Input((64,), name="pixels")
    x = layers.Dense(48, activation="relu")(pixels)
    x = layers.Dense(24, activation="relu")(x)
    return keras.Model(pixels, layers.Dense(10, activation="softmax")(x)), {
        "pixels": _images().reshape(-1, 64)
    }


def joined() -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Digits out of a coarse and a fine image, which are resized and joined."""
    coarse, fine = layers.Input((4, 4, 1), name="coarse"), layers.Input((8, 8, 1), name="fine")
    x = layers.UpSampling2D(2, interpolation="bilinear")(coarse)
    x = layers.Concatenate()([x, fine])
    x = layers.Conv2D(12, 3, activation="relu")(x)
    x = layers.UpSampling2D(2, interpolation="nearest")(x)
    x = layers.Conv2D(12, 3, strides=2, activation="relu")(x)
    x = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    images = _images()
    return keras.Model([coarse, fine], x), {"coarse": images[:, ::2, ::2], "fine": images}


def _images() -> np.ndarray:
    return (load_digits().images * 15.9375).astype(np.uint8)[..., None]


def main(name: str, folder: Path, samples: int) -> None:
    keras.utils.set_random_seed(SEED)
    model, data = {"dense": dense, "joined": joined}[name]()
    labels = load_digits().target
    inputs = {each: rows[samples:].astype(np.float32) / 255 for each, rows in data.items()}
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(
        inputs if len(inputs) > 1 else next(iter(inputs.values())), labels[samples:], epochs=15, verbose=0
    )
    model.save(folder / f"{name}.keras")
    np.savez(folder / "calibration.npz", **{each: rows[-CALIBRATION:] for each, rows in data.items()})
    for each, rows in data.items():
        np.save(folder / f"sample.{each}.npy", rows[:samples])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
