"""Converts models that are in this process's memory; run as a script by test_sources_convert.

``python source_in_memory.py FOLDER`` writes NAME.tflite, NAME.npz and facts.json into FOLDER.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from keras import layers

from edgekit.errors import EdgekitError
from edgekit_converters.sources import SourceOptions, load_float
from edgekit_converters.worker import Worker


class Doubled(layers.Layer):
    """A layer that no other process could import."""

    def call(self, x: Any) -> Any:
        return 2 * x


class Module(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable([[2.0, 1.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, 2], name="x")])
    def product(self, x: Any) -> dict[str, Any]:
        return {"b": x * self.weight, "a": tf.reduce_sum(x, axis=1)}

    @tf.function
    def open(self, x: Any) -> Any:
        return x * self.weight


def main(folder: Path) -> None:
    keras.utils.set_random_seed(5)
    recurrent = keras.Sequential(
        [
            layers.Input((5, 3), name="x"),
            layers.LSTM(4, name="memory"),
            Doubled(),
            layers.Dense(2, dtype="mixed_float16", name="out"),
        ]
    )
    lstm = recurrent.get_layer("memory")
    before = (dict(lstm.__dict__), recurrent.get_layer("out").dtype_policy.name)
    legacy = tf_keras.Sequential(
        [tf_keras.layers.Input((4,), name="x"), tf_keras.layers.Dense(3, name="out")]
    )
    module = Module()
    facts: dict[str, Any] = {}
    with Worker() as worker:
        for name, model, shape in (
            ("keras3", recurrent, (1, 5, 3)),
            ("keras2", legacy, (1, 4)),
            ("function", module.product, (1, 2)),
            ("concrete", module.open.get_concrete_function(tf.TensorSpec([1, 2])), (1, 2)),
        ):
            made = load_float(model, SourceOptions(), worker)
            (folder / f"{name}.tflite").write_bytes(made.flatbuffer)
            x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
            outputs = model(tf.constant(x))
            flat = [np.asarray(value) for value in tf.nest.flatten(outputs)]
            np.savez(folder / f"{name}.npz", x, *flat)
            facts[name] = [made.kind, made.outputs, made.notes]
        for name, model in (("open", module.open), ("nothing", 3), ("layer", lstm)):
            try:
                load_float(model, SourceOptions(), worker)
            except EdgekitError as error:
                facts[name] = [type(error).__name__, str(error), error.hint]
    facts["unchanged"] = before == (dict(lstm.__dict__), recurrent.get_layer("out").dtype_policy.name)
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
