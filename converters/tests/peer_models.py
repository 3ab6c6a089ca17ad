"""Writes a small CNN with a dead channel and uneven channels, and what TFLiteConverter makes of it.

Run as a script (``python peer_models.py FOLDER``), so that TensorFlow is never imported in the test process:

    cnn.keras       the model, input "photo" [1, 12, 12, 3] of -1..1
    samples.npy     float32 [48, 12, 12, 3]
    peer.tflite     TFLiteConverter's fully int8 model, calibrated on samples.npy
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def build() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([
        layers.Input((12, 12, 3), name="photo"),
        layers.Conv2D(8, 3, padding="same", activation="relu6", name="first"),
        layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise"),
        layers.Conv2D(16, 1, activation="relu6", name="pointwise"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(5, name="scores"),
    ])  # fmt: skip
    generator = np.random.default_rng(5)
    for layer in model.layers:
        if not layer.get_weights():
            continue
        kernel, bias = layer.get_weights()
        # Channels of very different size, as folded batch norms leave them, so that int8 has something to lose.
        kernel *= np.exp(generator.normal(0, 1, kernel.shape[-1])).astype(np.float32)
        bias += generator.normal(0, 0.3, bias.shape).astype(np.float32)
        layer.set_weights([kernel, bias])
    return model


def main(folder: Path) -> None:
    model = build()
    samples = np.random.default_rng(6).uniform(-1, 1, (48, 12, 12, 3)).astype(np.float32)
    samples = (samples + np.roll(samples, 1, 1) + np.roll(samples, 1, 2)) / 3  # smooth, like a photo
    model.save(folder / "cnn.keras")
    np.save(folder / "samples.npy", samples)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "peer.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
