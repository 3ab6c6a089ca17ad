"""Writes a float .tflite of one linear layer of every geometry, for the tests of patches.

The batch of Keras' models is open here, so that a dilated convolution is exported as one of dilation 1 between
SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND; "static-..." has a batch of 1 and the dilation in the operator.

Run as a script (``python layer_models.py FOLDER``), so that TensorFlow is never imported in the test process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}

import keras
import numpy as np
import tensorflow as tf
from keras import layers

LAYERS = {
    "conv-same": lambda: layers.Conv2D(4, 3, padding="same"),
    "conv-valid": lambda: layers.Conv2D(4, 3),
    "conv-same-stride-2": lambda: layers.Conv2D(4, 3, strides=2, padding="same"),
    "conv-valid-stride-2": lambda: layers.Conv2D(4, (3, 2), strides=2),
    "conv-same-dilation-2": lambda: layers.Conv2D(4, 3, dilation_rate=2, padding="same"),
    "conv-valid-dilation-2": lambda: layers.Conv2D(4, 3, dilation_rate=2),
    "conv-even-kernel": lambda: layers.Conv2D(4, (2, 4), padding="same"),
    "conv-1x1-stride-3": lambda: layers.Conv2D(4, 1, strides=3, padding="same"),
    "depthwise": lambda: layers.DepthwiseConv2D(3, padding="same"),
    "depthwise-stride-2": lambda: layers.DepthwiseConv2D(3, strides=2, padding="same"),
    "depthwise-multiplier-2": lambda: layers.DepthwiseConv2D(
        3, strides=2, depth_multiplier=2, padding="same"
    ),
    "depthwise-valid-dilation-2": lambda: layers.DepthwiseConv2D(3, dilation_rate=2, depth_multiplier=2),
}


def save(path: Path, *stack: Any) -> None:
    """Writes a model of those layers."""
    model = keras.Sequential(stack)
    for layer in model.layers:  # a dense layer whose bias is 0 is exported without one
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel, bias + np.linspace(-0.5, 0.5, len(bias), dtype=np.float32)])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    path.write_bytes(converter.convert())


def main(folder: Path) -> None:
    keras.utils.set_random_seed(11)
    for name, make in LAYERS.items():
        save(folder / f"{name}.tflite", layers.Input((8, 9, 3), name="x"), make())
        if "dilation" in name:
            static = layers.Input(batch_shape=(1, 8, 9, 3), name="x")
            save(folder / f"static-{name}.tflite", static, make())
    save(folder / "dense.tflite", layers.Input((7,), name="x"), layers.Dense(5))
    save(folder / "dense-of-rows.tflite", layers.Input(batch_shape=(1, 6, 7), name="x"), layers.Dense(5))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
