"""The peer model-compression-toolkit: `python mct.py MODEL SAMPLES.npy OUT.tflite`.

For the interpreter that has it, with TensorFlow 2.15, the last that it works with: so it reads models of Keras 2 alone.
MODEL is such an .h5, or NAME.weights.npz with the weights of a network that train.py or train_more.py defines.
Post-training quantization as its documentation has it, all defaults: ranges by least squared error, bias
correction from the weights' error, symmetric weights per channel. Its other targets fail in 2.6.1, and its learned
rounding fell behind on MobileNetV1 0.25 (46 against 51.5 %). What it exports is int8 between a QUANTIZE and a
DEQUANTIZE.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import model_compression_toolkit as mct
import numpy as np
import tensorflow as tf
import train
import train_more

BATCH = 20


def _input_layer(optional: bool = False, **words: object) -> tf.keras.layers.InputLayer:
    """Newer releases of Keras 2 write a word that this one does not know."""
    return tf.keras.layers.InputLayer(**words)


def _loaded(model: str) -> tf.keras.Model:
    if model.endswith(".h5"):
        return tf.keras.models.load_model(model, {"InputLayer": _input_layer}, compile=False)
    name = Path(model).name.removesuffix(".weights.npz")
    builders = {"fashion": train.fashion, "har": train.har}
    network = builders[name]() if name in builders else train_more.TRAININGS[name].build()
    stored = np.load(model)
    network.set_weights([stored[f"arr_{n}"] for n in range(len(stored.files))])
    return network


def main(model: str, samples: str, out: str) -> None:
    rows = np.load(samples)

    def batches() -> Iterator[list[np.ndarray]]:
        for start in range(0, len(rows), BATCH):
            yield [rows[start : start + BATCH]]

    quantized, _ = mct.ptq.keras_post_training_quantization(_loaded(model), batches)
    exporter = mct.exporter
    exporter.keras_export_model(
        model=quantized,
        save_model_path=out,
        serialization_format=exporter.KerasExportSerializationFormat.TFLITE,
        quantization_format=exporter.QuantizationFormat.INT8,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
