"""The peer model-compression-toolkit: `python mct.py MODEL.h5 SAMPLES.npy OUT.tflite`.

For the interpreter that has it, with TensorFlow 2.15, the last that it works with: so it reads models of Keras 2 alone.
Post-training quantization as its documentation has it, all defaults: ranges by least squared error, bias
correction from the weights' error, symmetric weights per channel. Its other targets fail in 2.6.1, and its learned
rounding fell behind on MobileNetV1 0.25 (46 against 51.5 %). What it exports is int8 between a QUANTIZE and a
DEQUANTIZE.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import model_compression_toolkit as mct
import numpy as np
import tensorflow as tf

BATCH = 20


def _input_layer(optional: bool = False, **words: object) -> tf.keras.layers.InputLayer:
    """Newer releases of Keras 2 write a word that this one does not know."""
    return tf.keras.layers.InputLayer(**words)


def main(model: str, samples: str, out: str) -> None:
    rows = np.load(samples)

    def batches() -> Iterator[list[np.ndarray]]:
        for start in range(0, len(rows), BATCH):
            yield [rows[start : start + BATCH]]

    loaded = tf.keras.models.load_model(model, {"InputLayer": _input_layer}, compile=False)
    quantized, _ = mct.ptq.keras_post_training_quantization(loaded, batches)
    exporter = mct.exporter
    exporter.keras_export_model(
        model=quantized,
        save_model_path=out,
        serialization_format=exporter.KerasExportSerializationFormat.TFLITE,
        quantization_format=exporter.QuantizationFormat.INT8,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
