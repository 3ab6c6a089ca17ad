"""Writes one small model of every family that people bring, each with samples, for the tests of whole conversions.

Run as a script (``python conversion_models.py FOLDER``), so that TensorFlow is never imported in the test process. Beside
``NAME.keras`` stands ``NAME.npz`` with one array an input, float32 and 24 rows, unless it is said otherwise.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

ROWS = 24

OBJECTS = """
import keras

@keras.saving.register_keras_serializable("own")
class Scaled(keras.layers.Layer):
    def call(self, x):
        return 3.0 * x
"""


def smooth(*shape: int, seed: int = 1) -> np.ndarray:
    """float32 of -1..1 whose neighbours resemble each other, as in signals and photos."""
    noise = np.random.default_rng(seed).normal(0, 0.5, shape)
    for axis in range(1, len(shape) - 1):
        noise = (noise + np.roll(noise, 1, axis)) / np.sqrt(2)
    return np.clip(noise, -1, 1).astype(np.float32)


def save(folder: Path, name: str, model: Any, samples: Mapping[str, np.ndarray] | None = None) -> None:
    model.save(folder / f"{name}.keras")
    if samples is None:
        samples = {tensor.name: smooth(ROWS, *tensor.shape[1:]) for tensor in model.inputs}
    np.savez(folder / f"{name}.npz", **samples)


def series(folder: Path) -> None:
    def sequence(*stack: Any) -> Any:
        return keras.Sequential([layers.Input((12, 4), name="signal"), *stack])

    scores = {"activation": "softmax", "name": "scores"}
    save(folder, "lstm", sequence(layers.LSTM(8, name="memory"), layers.Dense(3, **scores)))
    gru = layers.Bidirectional(layers.GRU(5, return_sequences=True), name="both")
    save(folder, "gru", sequence(gru, layers.GlobalAveragePooling1D(), layers.Dense(3, **scores)))
    conv = [
        layers.Conv1D(8, 3, activation="relu"),
        layers.MaxPooling1D(2),
        layers.Conv1D(8, 3, padding="causal"),
    ]
    save(folder, "conv1d", sequence(*conv, layers.Flatten(), layers.Dense(3, **scores)))

    signal = layers.Input((12, 8), name="signal")
    seen = layers.MultiHeadAttention(2, 4, name="attention")(signal, signal)
    x = layers.LayerNormalization(name="norm")(layers.Add()([signal, seen]))
    wide = layers.Dense(16, activation="gelu")(x)
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(8)(wide)]))
    out = layers.Dense(3, **scores)(layers.GlobalAveragePooling1D()(x))
    save(folder, "transformer", keras.Model(signal, out))


def pictures(folder: Path) -> None:
    photo = layers.Input((16, 16, 3), name="photo")
    fine = layers.Conv2D(8, 3, padding="same", activation="leaky_relu")(photo)
    coarse = layers.Conv2D(12, 3, padding="same", activation="relu")(layers.MaxPooling2D()(fine))
    x = layers.Concatenate()([layers.UpSampling2D(interpolation="bilinear")(coarse), fine])
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(x)
    save(folder, "unet", keras.Model(photo, layers.Conv2D(3, 1, activation="softmax", name="mask")(x)))

    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="hard_silu")(photo)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(x)
    boxes = layers.Reshape((32, 4), name="boxes")(layers.Conv2D(8, 1)(x))
    scores = layers.Reshape((32, 3))(layers.Conv2D(6, 1)(x))
    scores = layers.Activation("sigmoid", name="scores")(scores)
    save(folder, "detector", keras.Model(photo, [boxes, scores]))
    save(
        folder, "argmax", keras.Model(photo, ops.argmax(scores, axis=-1)), {"photo": smooth(ROWS, 16, 16, 3)}
    )

    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(photo)
    x = layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="tanh", name="copy")(x)
    save(folder, "autoencoder", keras.Model(photo, x))

    facts = layers.Input((5,), name="facts")
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(photo))
    x = layers.Concatenate()([x, layers.Dense(6, activation="relu")(facts)])
    pair = [layers.Dense(3, activation="softmax", name="kind")(x), layers.Dense(1, name="age")(x)]
    pixels = np.random.default_rng(2).integers(0, 256, (ROWS, 16, 16, 3), np.uint8)
    save(folder, "two", keras.Model([photo, facts], pair), {"photo": pixels, "facts": smooth(ROWS, 5)})


def vectors(folder: Path) -> None:
    x = layers.Input((10,), name="x")
    gate = layers.Dense(3, activation="softmax", name="gate")(x)
    experts = ops.stack([layers.Dense(6, activation="relu")(x) for _ in range(3)], axis=1)
    save(folder, "experts", keras.Model(x, ops.sum(experts * ops.expand_dims(gate, -1), axis=1)))

    for name in ("softplus", "mish", "elu", "selu"):
        hidden = layers.Dense(8, activation=name, name="hidden")(4 * x)
        save(folder, name, keras.Model(x, layers.Dense(2, name="out")(hidden)))
    y = layers.Dense(6, name="y")(x)
    clipped = layers.Dense(2, name="clipped")(ops.clip(y, -0.2, 0.2))
    save(folder, "clipped", keras.Model(x, [clipped, layers.Dense(2, name="whole")(2 * y)]))
    save(
        folder, "sine", keras.Model(x, layers.Dense(2, name="out")(ops.sin(layers.Dense(4, name="phase")(x))))
    )
    volume = layers.Input((4, 4, 4, 2), name="volume")
    flat = layers.Flatten()(layers.Conv3D(3, 3, name="solid")(volume))
    save(folder, "conv3d", keras.Model(volume, layers.Dense(2)(flat)))
    dead = layers.Dense(8, activation="relu", name="dead", kernel_initializer="zeros")(x)
    save(
        folder, "dead", keras.Model(x, layers.Dense(2, name="out")(layers.Dense(4, activation="relu")(dead)))
    )

    tokens = keras.Sequential(
        [
            layers.Input((6,), dtype="int32", name="tokens"),
            layers.Embedding(10, 4),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    save(folder, "tokens", tokens, {"tokens": np.random.default_rng(3).integers(0, 10, (ROWS, 6), np.int32)})
    save(folder, "lambda", keras.Model(x, layers.Lambda(lambda v: 3 * v, name="tripled")(layers.Dense(2)(x))))
    (folder / "objects.py").write_text(OBJECTS)
    sys.path.insert(0, str(folder))
    import objects  # type: ignore[import-not-found]

    save(folder, "custom", keras.Model(x, layers.Dense(2)(objects.Scaled()(x))))
    open_input = layers.Input((None, 4), name="signal")
    pooled = layers.GlobalAveragePooling1D()(layers.Conv1D(4, 3)(open_input))
    save(folder, "open", keras.Model(open_input, layers.Dense(2)(pooled)), {"signal": smooth(ROWS, 12, 4)})


class Signatures(tf.Module):
    """A SavedModel with two ways in."""

    @tf.function(input_signature=[tf.TensorSpec([None, 10], name="x")])
    def halves(self, x: Any) -> dict[str, Any]:
        return {"half": tf.nn.relu(x[:, :5]) - 0.1}

    @tf.function(input_signature=[tf.TensorSpec([None, 10], name="x")])
    def sums(self, x: Any) -> dict[str, Any]:
        return {"sum": x + tf.reverse(x, [1])}


def files(folder: Path) -> None:
    module = Signatures()
    tf.saved_model.save(module, folder / "several", {"halves": module.halves, "sums": module.sums})

    model, data = _classifier()
    save(folder, "shapes", model, data)
    (folder / "shapes.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    for name, ends in (("int8", tf.int8), ("uint8_ends", tf.uint8)):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in data["photo"][:32])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = ends
        (folder / f"{name}.tflite").write_bytes(converter.convert())


def _classifier() -> tuple[Any, dict[str, np.ndarray]]:
    """A CNN that tells horizontal bars, vertical bars and blobs apart, trained; 240 labelled rows it has not seen."""
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 3, 840)
    photos = generator.normal(0, 0.35, (840, 12, 12, 1)).astype(np.float32)
    for photo, label in zip(photos, labels, strict=True):
        row, column = generator.integers(2, 9, 2)
        rows = slice(None) if label == 1 else slice(row, row + (1 if label == 0 else 3))
        columns = slice(None) if label == 0 else slice(column, column + (1 if label == 1 else 3))
        photo[rows, columns] += 0.8
    model = keras.Sequential([
        layers.Input((12, 12, 1), name="photo"),
        layers.Conv2D(8, 3, padding="same", activation="relu", name="first"),
        layers.DepthwiseConv2D(3, padding="same", activation="relu6"),
        layers.Conv2D(12, 3, strides=2, activation="relu", name="second"),
        layers.GlobalMaxPooling2D(),
        layers.Dense(3, activation="softmax", name="scores"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(photos[:600], labels[:600], batch_size=32, epochs=12, verbose=0)
    return model, {"photo": photos[600:], "labels": labels[600:]}


def main(folder: Path) -> None:
    for write in (series, pictures, vectors, files):
        keras.utils.set_random_seed(7)
        write(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
