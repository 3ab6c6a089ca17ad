"""Trains a small CNN on scikit-learn's handwritten digits and writes what a person would bring to edgekit.

The 1,797 scans (8x8 pixels, UCI "Optical Recognition of Handwritten Digits") are real. A third of them is
held back from training and from calibration. Written to the folder named on the command line:

    digits.keras       the trained model; its input is 0..1
    calibration.npz    x: uint8 [200, 8, 8, 1], from the training part
    evaluation.npz     x, y: the held-back part
    held_back/*.npy    ten held-back digits, one a file
    labels.txt         the name of each class
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def scans() -> tuple[np.ndarray, np.ndarray]:
    """The scans as a camera would give them, uint8 0..255 [n, 8, 8, 1], and their digits."""
    data = load_digits()
    return (data.images[..., None] * (255 / 16)).astype(np.uint8), data.target


def build() -> keras.Model:
    """A CNN of about 10,000 parameters."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((8, 8, 1), name="image"),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 1, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits",
    )


def main(folder: Path) -> None:
    keras.utils.set_random_seed(1)
    images, digits = scans()
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits, test_size=1 / 3, random_state=1, stratify=digits
    )
    model = build()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train_x / np.float32(255), train_y, epochs=15, batch_size=32, verbose=0)

    (folder / "held_back").mkdir(parents=True, exist_ok=True)
    model.save(folder / "digits.keras")
    np.savez(folder / "calibration.npz", x=train_x[:200])
    np.savez(folder / "evaluation.npz", x=test_x, y=test_y)
    (folder / "labels.txt").write_text("\n".join(NAMES) + "\n")
    for digit in range(10):
        np.save(folder / "held_back" / f"{NAMES[digit]}.npy", test_x[np.flatnonzero(test_y == digit)[0]])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
