"""Trains the networks of quantization.py: `python train_more.py NAME DATA.npz MODEL.keras`.

Each is a shape that people deploy, trained as they would, on two idle cores in seconds (UCI HAR) to a few minutes: Adam
under a cosine schedule; Fashion-MNIST shifted by up to two pixels and flipped. Nothing is made hard on purpose. What
strains the ranges comes with the shape: hard-swish and squeeze-excite with residual sums that nothing normalizes, so that
they grow along the network; depthwise layers between ReLU6; magnitudes of spectra, few of which stand far above all
others; an autoencoder that is asked about samples unlike those it was calibrated on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf
from features import spectra
from keras import layers
from normal import NORMAL

SEED = 1
BATCH = 64
SHIFT = 2  # pixels


def hswish() -> keras.Model:
    """MobileNetV3-like (Howard et al. 2019): expansions with hard-swish, squeeze-excite, linear projections.

    The projections carry a bias in place of batch normalization, so nothing bounds the residual sums.
    """
    image = layers.Input((28, 28, 1))
    x = _hard_swish(_normalized(layers.Conv2D(16, 3, padding="same", use_bias=False)(image)))
    for channels, stride, repeats in ((16, 2, 2), (32, 2, 3), (48, 2, 3)):
        for repeat in range(repeats):
            x = _v3_block(x, channels, (stride, stride) if repeat == 0 else (1, 1))
    x = _hard_swish(_normalized(layers.Conv2D(128, 1, use_bias=False)(x)))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(10, activation="softmax")(x), name="hswish")


def mobilenet_v2() -> keras.Model:
    """MobileNetV2-like (Sandler et al. 2018): inverted residuals, ReLU6, linear bottlenecks, narrow."""
    image = layers.Input((28, 28, 1))
    x = layers.ReLU(6)(_normalized(layers.Conv2D(16, 3, padding="same", use_bias=False)(image)))
    for channels, stride, repeats in ((12, 1, 2), (16, 2, 3), (24, 2, 3), (32, 1, 2)):
        for repeat in range(repeats):
            x = _v2_block(x, channels, stride if repeat == 0 else 1)
    x = layers.ReLU(6)(_normalized(layers.Conv2D(128, 1, use_bias=False)(x)))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(10, activation="softmax")(x), name="mobilenet_v2")


def resnet8() -> keras.Model:
    """The residual network of MLPerf Tiny (Banbury et al. 2021): three stages of two 3x3 convolutions."""
    image = layers.Input((28, 28, 1))
    x = layers.ReLU()(_normalized(layers.Conv2D(16, 3, padding="same", use_bias=False)(image)))
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        inner = layers.Conv2D(channels, 3, strides=stride, padding="same", use_bias=False)(x)
        inner = layers.ReLU()(_normalized(inner))
        inner = _normalized(layers.Conv2D(channels, 3, padding="same", use_bias=False)(inner))
        if stride > 1:
            x = layers.Conv2D(channels, 1, strides=stride)(x)
        x = layers.ReLU()(layers.Add()([x, inner]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10, activation="softmax")(x), name="resnet8")


def har_dscnn() -> keras.Model:
    """A depthwise-separable CNN over time, as keyword spotters are built (Zhang et al. 2017), for the UCI HAR axes."""
    readings = layers.Input((128, 9))
    x = layers.Reshape((128, 1, 9))(readings)
    x = layers.ReLU()(_normalized(layers.Conv2D(32, (9, 1), (2, 1), padding="same", use_bias=False)(x)))
    for stride in (1, 2, 1, 2):
        x = layers.DepthwiseConv2D((5, 1), (stride, stride), padding="same", use_bias=False)(x)
        x = layers.ReLU()(_normalized(x))
        x = layers.ReLU()(_normalized(layers.Conv2D(32, 1, use_bias=False)(x)))
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(readings, layers.Dense(6, activation="softmax")(x), name="har_dscnn")


def har_spectra() -> keras.Model:
    """Hard-swish and squeeze-excite over the frequencies of UCI HAR; magnitudes in, whose peaks set every range."""
    magnitudes = layers.Input((64, 9))
    x = layers.Reshape((64, 1, 9))(magnitudes)
    x = _hard_swish(layers.Conv2D(24, (5, 1), padding="same")(x))
    for channels, stride in ((24, 1), (32, 2), (32, 1), (48, 2), (48, 1)):
        x = _v3_block(x, channels, (stride, stride), kernel=(5, 1))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(magnitudes, layers.Dense(6, activation="softmax")(x), name="har_spectra")


def autoencoder(size: int, code: int = 16) -> keras.Model:
    """The anomaly detector of MLPerf Tiny (Banbury et al. 2021): dense, batch norm, down to a small code and back."""
    values = layers.Input((size,))
    x = values
    for width in (128, 128, code, 128, 128):
        x = layers.ReLU()(_normalized(layers.Dense(width)(x)))
    return keras.Model(values, layers.Dense(size)(x), name="autoencoder")


def _normalized(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.BatchNormalization()(x)


def _hard_swish(x: keras.KerasTensor) -> keras.KerasTensor:
    """Written as keras.applications writes it, which becomes one HARD_SWISH."""
    return layers.Multiply()([x, layers.Rescaling(1 / 6)(layers.ReLU(6)(layers.Rescaling(1.0, 3.0)(x)))])


def _v3_block(
    x: keras.KerasTensor, channels: int, strides: tuple[int, int], kernel: tuple[int, int] = (3, 3)
) -> keras.KerasTensor:
    wide = 4 * x.shape[-1]
    inner = _hard_swish(_normalized(layers.Conv2D(wide, 1, use_bias=False)(x)))
    inner = layers.DepthwiseConv2D(kernel, strides=strides, padding="same", use_bias=False)(inner)
    inner = _hard_swish(_normalized(inner))
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(inner)
    squeezed = layers.Conv2D(wide, 1)(layers.Conv2D(wide // 4, 1, activation="relu")(squeezed))
    gate = layers.Rescaling(1 / 6)(layers.ReLU(6)(layers.Rescaling(1.0, 3.0)(squeezed)))
    inner = layers.Conv2D(channels, 1)(layers.Multiply()([inner, gate]))
    return layers.Add()([x, inner]) if x.shape == inner.shape else inner


def _v2_block(x: keras.KerasTensor, channels: int, stride: int) -> keras.KerasTensor:
    inner = layers.ReLU(6)(_normalized(layers.Conv2D(6 * x.shape[-1], 1, use_bias=False)(x)))
    inner = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(inner)
    inner = layers.ReLU(6)(_normalized(inner))
    inner = _normalized(layers.Conv2D(channels, 1, use_bias=False)(inner))
    return layers.Add()([x, inner]) if x.shape == inner.shape else inner


@dataclass(frozen=True, slots=True)
class Training:
    """How one network is trained; an autoencoder sees the classes that normal.py names."""

    build: Callable[[], keras.Model]
    epochs: int


TRAININGS = {
    "hswish": Training(hswish, 15),
    "mobilenet_v2": Training(mobilenet_v2, 15),
    "resnet8": Training(resnet8, 12),
    "har_dscnn": Training(har_dscnn, 30),
    "har_spectra": Training(har_spectra, 25),
    "fashion_autoencoder": Training(lambda: autoencoder(784), 20),
    "har_autoencoder": Training(lambda: autoencoder(1152), 80),
}


def main(name: str, data: str, out: str) -> None:
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    arrays = np.load(data)
    x, y = arrays["x_train"].astype(np.float32), arrays["y_train"]
    if arrays["x_train"].dtype == np.uint8:
        x = x[..., None] / 255
    if name == "har_spectra":
        x = spectra(x)
    if name in NORMAL:
        x = x[np.isin(y, NORMAL[name].normal)].reshape(-1, x[0].size)
    model = fit(TRAININGS[name], x, x if name in NORMAL else y)
    model.save(out)
    np.savez(out.replace(".keras", ".weights.npz"), *model.get_weights())  # for mct.py


def fit(training: Training, x: np.ndarray, y: np.ndarray) -> keras.Model:
    model = training.build()
    decay = keras.optimizers.schedules.CosineDecay(3e-3, training.epochs * (len(x) // BATCH + 1))
    loss = "mean_squared_error" if x is y else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(decay), loss)
    generator = np.random.default_rng(SEED)
    for _ in range(training.epochs):
        seen = shifted(x, generator) if x.ndim == 4 else x
        model.fit(seen, seen if x is y else y, batch_size=BATCH, verbose=0)
    return model


def shifted(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each image moved by up to SHIFT pixels either way, and flipped half the time."""
    padded = np.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
    size = images.shape[1]
    moved = np.empty_like(images)
    for row, (top, left) in enumerate(generator.integers(0, 2 * SHIFT + 1, (len(images), 2))):
        image = padded[row, top : top + size, left : left + size]
        moved[row] = image[:, ::-1] if generator.random() < 0.5 else image
    return moved


if __name__ == "__main__":
    main(*sys.argv[1:])
