"""Writes small trained-like models of every kind into a folder, each with inputs and its own framework's outputs.

Run as a script by the tests of `edgekit_converters.sources`, so that TensorFlow is never imported in the test process:
``python source_models.py FOLDER``. ``NAME.npz`` beside a model holds ``in_<input>`` and ``out_<output>``.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from keras import layers

CUSTOM_OBJECTS = """
import keras

class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x

@keras.saving.register_keras_serializable(package="mine")
class Shifted(keras.layers.Layer):
    def call(self, x):
        return x + 1

def squashed(x):
    return keras.ops.tanh(x) / 2
"""


def _shaken(model: Any) -> Any:
    """Weights that no initializer left at zero or one, so that every part of the model shows in its output."""
    generator = np.random.default_rng(7)
    model.set_weights(
        [w + generator.uniform(0.01, 0.2, w.shape).astype(w.dtype) for w in model.get_weights()]
    )
    return model


def _reference(
    folder: Path, name: str, model: Callable[..., Any], inputs: Mapping[str, Sequence[int]]
) -> None:
    generator = np.random.default_rng(1)
    arrays = {key: generator.standard_normal(shape).astype(np.float32) for key, shape in inputs.items()}
    given = arrays if len(arrays) > 1 else next(iter(arrays.values()))
    outputs = model(given)
    if not isinstance(outputs, dict):
        outputs = dict(enumerate(outputs if isinstance(outputs, list | tuple) else [outputs]))
    np.savez(
        folder / f"{name}.npz",
        **{f"in_{key}": value for key, value in arrays.items()},
        **{f"out_{key}": np.asarray(value) for key, value in outputs.items()},
    )


def _keras_3(folder: Path) -> None:
    image, extra = layers.Input((8, 8, 3), name="image"), layers.Input((4,), name="extra")
    features = layers.Conv2D(4, 3, activation="relu", name="features")(image)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(features)
    both = layers.Concatenate(name="both")([pooled, layers.Dense(3, name="widen")(extra)])
    two = keras.Model(
        {"image": image, "extra": extra},
        {
            "scores": layers.Dense(5, activation="softmax", name="head")(both),
            "mask": layers.Conv2D(1, 1, activation="sigmoid", name="paint")(features),
        },
    )
    _save(folder, "two", two, {"image": (1, 8, 8, 3), "extra": (1, 4)})

    plain = keras.Sequential(
        [
            layers.Input((8, 8, 3), name="photo"),
            layers.Conv2D(4, 3, name="first"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", name="classes"),
        ]
    )
    _save(folder, "plain", plain, {"photo": (1, 8, 8, 3)})
    plain.save(folder / "plain.h5")
    plain.save_weights(folder / "only.weights.h5")
    plain.export(folder / "exported", verbose=False)
    _tflites(folder, plain)

    anysize = keras.Sequential(
        [
            layers.Input((None, None, 3), name="photo"),
            layers.Conv2D(2, 3, name="edges"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    _save(folder, "anysize", anysize, {"photo": (1, 6, 5, 3)})
    anysize.export(folder / "anysize", verbose=False)
    fixed = keras.Sequential([layers.Input((4,), batch_size=32), layers.Dense(2)])
    fixed.save(folder / "batch32.keras")

    segmented = layers.Input((8, 8, 3), name="photo")
    down = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(segmented)
    up = layers.UpSampling2D(interpolation="bilinear")(down)
    up = layers.Concatenate()([up, layers.Conv2DTranspose(4, 3, strides=2, padding="same")(down)])
    _save(
        folder,
        "segmentation",
        keras.Model(segmented, layers.Conv2D(2, 1, name="classes")(up)),
        {"photo": (1, 8, 8, 3)},
    )

    words = layers.Input((6, 8), name="words")
    attended = layers.LayerNormalization()(
        words + layers.MultiHeadAttention(2, 4, name="attention")(words, words)
    )
    dense = layers.Dense(8, activation="gelu", name="gelu")(attended)
    _save(
        folder, "transformer", keras.Model(words, layers.Dense(3, name="tags")(dense)), {"words": (1, 6, 8)}
    )

    _save(
        folder,
        "conv1d",
        keras.Sequential(
            [
                layers.Input((16, 3), name="signal"),
                layers.Conv1D(4, 3, strides=2, activation="relu"),
                layers.SeparableConv1D(4, 3, padding="same"),
                layers.MaxPooling1D(2),
                layers.GlobalMaxPooling1D(),
                layers.Dense(2),
            ]
        ),
        {"signal": (1, 16, 3)},
    )

    half = keras.Sequential(
        [layers.Input((4,), name="x"), layers.Dense(8, activation="relu"), layers.Dense(2)]
    )
    half.set_weights([w + 0.1 for w in half.get_weights()])
    policy = keras.Sequential(
        [
            layers.Input((4,), name="x"),
            layers.Dense(8, activation="relu", dtype="mixed_float16"),
            layers.Dense(2, dtype="mixed_float16"),
        ]
    )
    policy.set_weights(half.get_weights())
    policy.save(folder / "mixed.keras")
    _reference(folder, "mixed", half, {"x": (1, 4)})


def _save(folder: Path, name: str, model: Any, inputs: Mapping[str, Sequence[int]]) -> None:
    _shaken(model).save(folder / f"{name}.keras")
    _reference(folder, name, lambda x: model(x, training=False), inputs)


def _tflites(folder: Path, model: Any) -> None:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (folder / "dynamic.tflite").write_bytes(converter.convert())
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    (folder / "float16.tflite").write_bytes(converter.convert())
    wide = keras.Sequential([layers.Input((64,)), layers.Dense(64), layers.Dense(64)])
    converter = tf.lite.TFLiteConverter.from_keras_model(wide)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "hybrid.tflite").write_bytes(converter.convert())
    generator = np.random.default_rng(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [generator.random((1, 8, 8, 3), np.float32)] for _ in range(4)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "int8.tflite").write_bytes(converter.convert())


def _recurrent(folder: Path) -> None:
    inner = keras.Sequential([layers.Input((7, 5)), layers.GRU(4, name="inner_gru")], name="inner")
    sequence = layers.Input((7, 3), name="sequence")
    made = layers.Bidirectional(layers.LSTM(5, return_sequences=True), name="both_ways")(sequence)
    made = layers.RNN(layers.LSTMCell(5), return_sequences=True, name="cells")(made)
    made = layers.SimpleRNN(5, return_sequences=True, go_backwards=True, name="simple")(made)
    _save(
        folder,
        "recurrent",
        keras.Model(sequence, layers.Dense(2, name="head")(inner(made))),
        {"sequence": (1, 7, 3)},
    )
    keras.Sequential([layers.Input((300, 2)), layers.LSTM(3, name="memory")]).save(folder / "long.keras")
    keras.Sequential([layers.Input((5, 2), batch_size=1), layers.LSTM(3, stateful=True, name="memory")]).save(
        folder / "stateful.keras"
    )
    legacy = tf_keras.Sequential(
        [
            tf_keras.layers.Input((7, 3), name="sequence"),
            tf_keras.layers.LSTM(4, return_sequences=True, name="old_lstm"),
            tf_keras.layers.Bidirectional(tf_keras.layers.GRU(3), name="old_gru"),
            tf_keras.layers.Dense(2, name="head"),
        ]
    )
    _shaken(legacy).save(folder / "recurrent2.h5")
    _reference(folder, "recurrent2", lambda x: legacy(x, training=False), {"sequence": (1, 7, 3)})


def _refused(folder: Path) -> None:
    photo = layers.Input((4, 4, 3), name="photo")
    scores = layers.Dense(3, name="scores")(layers.Flatten(name="flat")(photo))
    keras.Model(photo, keras.ops.argmax(scores, axis=-1)).save(folder / "argmax.keras")
    _reference(folder, "argmax", keras.Model(photo, scores), {"photo": (1, 4, 4, 3)})
    keras.Sequential(
        [
            layers.Input((6,), dtype="int32", name="tokens"),
            layers.Embedding(10, 4),
            layers.Flatten(),
            layers.Dense(2),
        ]
    ).save(folder / "tokens.keras")
    keras.Model(photo, [scores, scores]).save(folder / "twice.keras")
    shared = layers.Dense(3, name="shared")
    flat = layers.Input((3,), name="x")
    keras.Model(flat, layers.Dense(2)(shared(shared(flat)))).save(folder / "shared.keras")


def _with_code(folder: Path) -> None:
    for suffix in ("keras", "h5"):
        lambda_model = keras.Sequential(
            [
                layers.Input((3,), name="x"),
                layers.Dense(2, name="first"),
                layers.Lambda(_touching(str(folder / f"touched_{suffix}")), name="evil"),
            ]
        )
        lambda_model.save(folder / f"lambda.{suffix}")
        Path(folder / f"touched_{suffix}").unlink(missing_ok=True)
    old = tf_keras.Sequential(
        [
            tf_keras.layers.Input((3,)),
            tf_keras.layers.Lambda(_touching(str(folder / "touched_old")), name="evil"),
        ]
    )
    old.save(folder / "lambda2.h5")
    Path(folder / "touched_old").unlink(missing_ok=True)
    (folder / "objects.py").write_text(CUSTOM_OBJECTS)
    sys.path.insert(0, str(folder))
    import objects  # type: ignore[import-not-found]

    custom = keras.Sequential(
        [
            layers.Input((3,), name="x"),
            objects.Doubled(name="twice"),
            objects.Shifted(),
            layers.Dense(2, activation=objects.squashed, name="out"),
        ]
    )
    _save(folder, "custom", custom, {"x": (1, 3)})


def _touching(path: str) -> Callable[[Any], Any]:
    # Without a closure or a default, which Keras 3 does not read back.
    code: Callable[[Any], Any] = eval(f"lambda x: (open({path!r}, 'w').close(), 2 * x)[1]")
    return code


class _Signatures(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable([[2.0, 0.0], [1.0, 3.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, 2], name="x")])
    def product(self, x: Any) -> dict[str, Any]:
        return {"product": tf.matmul(x, self.weight)}

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2], name="x"), tf.TensorSpec([None, 2], name="unused")]
    )
    def shifted(self, x: Any, unused: Any) -> dict[str, Any]:
        return {"shifted": x + self.weight[0]}

    @tf.function(input_signature=[tf.TensorSpec([1, 3, 3], name="x")])
    def svd(self, x: Any) -> dict[str, Any]:
        return {"s": tf.linalg.svd(x, compute_uv=False)}

    @tf.function(input_signature=[tf.TensorSpec([1, 3], name="x")])
    def loop(self, x: Any) -> dict[str, Any]:
        return {"y": tf.while_loop(lambda v: tf.reduce_sum(v) < 9.0, lambda v: (v + 1.0,), (x,))[0]}

    @tf.function(input_signature=[tf.TensorSpec([1, 3], name="x")])
    def reads(self, x: Any) -> dict[str, Any]:
        return {"y": x + tf.strings.to_number(tf.io.read_file("/proc/self/loginuid"))}

    @tf.function(input_signature=[tf.TensorSpec([1, 3], name="x")])
    def python(self, x: Any) -> dict[str, Any]:
        return {"y": tf.ensure_shape(tf.py_function(lambda v: v, [x], tf.float32), [1, 3])}


def _saved_models(folder: Path) -> None:
    module = _Signatures()
    tf.saved_model.save(
        module, folder / "module", signatures={"product": module.product, "shifted": module.shifted}
    )
    x = np.float32([[1, -2]])
    np.savez(
        folder / "module.npz",
        in_x=x,
        out_product=module.product(x)["product"],
        out_shifted=module.shifted(x, x)["shifted"],
    )
    for name in ("svd", "loop", "reads", "python"):
        tf.saved_model.save(module, folder / name, signatures={name: getattr(module, name)})
    tf.saved_model.save(module, folder / "unsigned", signatures={})
    _refused_tflites(folder, module)
    _save_version_1(folder)


def _refused_tflites(folder: Path, module: Any) -> None:
    for name, function in (
        (
            "argmax",
            tf.function(lambda x: tf.argmax(x * 2, -1), input_signature=[tf.TensorSpec([1, 4], name="x")]),
        ),
        (
            "unique",
            tf.function(
                lambda x: tf.unique(x[0])[0][None], input_signature=[tf.TensorSpec([1, 4], name="x")]
            ),
        ),
        ("flex", module.svd),
    ):
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [function.get_concrete_function()], module
        )
        if name == "flex":
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS,
                tf.lite.OpsSet.SELECT_TF_OPS,
            ]
            converter.target_spec.experimental_select_user_tf_ops = ["Svd"]
        (folder / f"{name}.tflite").write_bytes(converter.convert())


def _save_version_1(folder: Path) -> None:
    """A SavedModel as TensorFlow 1 wrote them, with an init operation that writes a file."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        weight = v1.get_variable("weight", initializer=[[1.0], [2.0]], use_resource=False)
        y = tf.identity(tf.matmul(x, weight), name="y")
        session.run(v1.global_variables_initializer())
        writes = tf.io.write_file(str(folder / "touched_init"), "x")
        for name, op in (("version1", None), ("init_writes", writes)):
            builder = v1.saved_model.Builder(str(folder / name))
            signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
            builder.add_meta_graph_and_variables(
                session, ["serve"], {"serving_default": signature}, main_op=op, clear_devices=True
            )
            builder.save()
    _write_while_restoring(folder)
    np.savez(folder / "version1.npz", in_x=np.float32([[3, 4]]), out_y=np.float32([[11]]))


def _write_while_restoring(folder: Path) -> None:
    """The same SavedModel, its restore operation changed to write a file first."""
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(folder / "init_writes", folder / "restore_writes")
    path = folder / "restore_writes" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    graph = saved.meta_graphs[0]
    nodes = {node.name: node for node in graph.graph_def.node}
    writer = next(node for node in graph.graph_def.node if node.op == "WriteFile")
    nodes[writer.input[0]].attr["value"].tensor.string_val[:] = [str(folder / "touched_restore").encode()]
    nodes[graph.saver_def.restore_op_name].input.append(f"^{writer.name}")
    path.write_bytes(saved.SerializeToString())


def _legacy(folder: Path) -> None:
    old = tf_keras.Sequential(
        [
            tf_keras.layers.Input((8, 8, 3), name="photo"),
            tf_keras.layers.DepthwiseConv2D(3, name="depthwise"),
            tf_keras.layers.BatchNormalization(),
            tf_keras.layers.ReLU(6.0),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(3, name="classes"),
        ]
    )
    _shaken(old).save(folder / "keras2.h5")
    old.save(folder / "keras2.keras")
    old.save(folder / "keras2_saved", save_format="tf")
    _reference(folder, "keras2", lambda x: old(x, training=False), {"photo": (1, 8, 8, 3)})


def main(folder: Path) -> None:
    for write in (_keras_3, _recurrent, _refused, _with_code, _saved_models, _legacy):
        keras.utils.set_random_seed(3)
        write(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
