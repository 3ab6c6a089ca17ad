"""The peer, as its users write it: `python tfliteconverter.py LOADER MODEL SAMPLES.npy FOLDER [tensor]`.

Writes FOLDER/float.tflite, its batch fixed at 1, and FOLDER/int8.tflite: plain TFLiteConverter, inputs and outputs
int8, the samples as representative data, weights per channel (its default) or with `tensor` one scale a tensor.
LOADER is what the model needs: `keras` (Keras 3), `keras2` (an old .h5, through tf_keras) or `v1` (a SavedModel
that only compat.v1 reads).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
if sys.argv[1] == "keras2":
    os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf


def converter(loader: str, model: str) -> tf.lite.TFLiteConverter:
    if loader == "v1":
        return tf.compat.v1.lite.TFLiteConverter.from_saved_model(model)
    loaded = tf.keras.models.load_model(model, compile=False)
    image = tf.keras.Input(batch_shape=(1, *loaded.input_shape[1:]))
    return tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(image, loaded(image)))


def main(loader: str, model: str, samples: str, folder: str, weights: str = "channel") -> None:
    Path(folder, "float.tflite").write_bytes(converter(loader, model).convert())
    int8 = converter(loader, model)
    int8.optimizations = [tf.lite.Optimize.DEFAULT]
    int8.representative_dataset = lambda: ([sample[None]] for sample in np.load(samples, mmap_mode="r"))
    int8.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    int8.inference_input_type = int8.inference_output_type = tf.int8
    int8._experimental_disable_per_channel = weights == "tensor"
    Path(folder, "int8.tflite").write_bytes(int8.convert())


if __name__ == "__main__":
    main(*sys.argv[1:])
