"""Trains the benchmarks' own two networks: `python train.py fashion|har DATA.npz MODEL.keras`."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SEED = 1
EPOCHS = {"fashion": 10, "har": 20}
BATCH = 64


def fashion() -> keras.Model:
    """A small CNN with depthwise layers, as boards run them; 28x28 grey pixels 0..1 in, 10 classes out."""
    stack = [layers.Input((28, 28, 1)), layers.Conv2D(16, 3, padding="same", use_bias=False)]
    stack += [layers.BatchNormalization(), layers.ReLU(6), layers.MaxPooling2D()]
    for channels in (32, 64):
        stack += [layers.DepthwiseConv2D(3, padding="same", use_bias=False)]
        stack += [layers.BatchNormalization(), layers.ReLU(6), layers.Conv2D(channels, 1, use_bias=False)]
        stack += [layers.BatchNormalization(), layers.ReLU(6), layers.MaxPooling2D()]
    stack += [layers.Flatten(), layers.Dropout(0.3), layers.Dense(10, activation="softmax")]
    return keras.Sequential(stack, name="fashion")


def har() -> keras.Model:
    """A 1-D CNN over 128 readings of three accelerometer, three gyroscope and three gravity-free axes."""
    stack = [layers.Input((128, 9)), layers.Conv1D(32, 5, activation="relu"), layers.MaxPooling1D()]
    stack += [layers.Conv1D(48, 5, use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    stack += [layers.MaxPooling1D(), layers.Conv1D(48, 3, activation="relu")]
    stack += [layers.GlobalAveragePooling1D(), layers.Dense(6, activation="softmax")]
    return keras.Sequential(stack, name="har")


def main(name: str, data: str, out: str) -> None:
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    arrays = np.load(data)
    x, y = arrays["x_train"].astype(np.float32), arrays["y_train"]
    if name == "fashion":
        x = x[..., None] / 255
    model = {"fashion": fashion, "har": har}[name]()
    decay = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS[name] * len(x) // BATCH)
    model.compile(keras.optimizers.Adam(decay), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=EPOCHS[name], batch_size=BATCH, verbose=0)
    model.save(out)
    np.savez(out.replace(".keras", ".weights.npz"), *model.get_weights())  # for mct.py


if __name__ == "__main__":
    main(*sys.argv[1:])
