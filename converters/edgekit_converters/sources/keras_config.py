"""What a Keras model file would run when it is loaded, told from its JSON configuration before Keras sees it.

Keras rebuilds a model by importing the classes and functions that the file names, and a Lambda layer brings
its own bytecode. Keras 3 guards .keras files with ``safe_mode``; for .h5 files, and in tf_keras, that guard
has holes. So this looks for everything that is not a plain building block, and refuses.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterator
from typing import NoReturn

from edgekit.errors import UntrustedCodeError

# What follows keras. or tf_keras. (and src.) in the module of a plain building block. Left out on purpose: utils (it
# downloads files), saving, config (it can switch off safe mode), callbacks.
# fmt: off
_PARTS = frozenset(
    {
        "activations", "backend", "constraints", "dtype_policies", "engine", "initializers", "layers",
        "losses", "metrics", "mixed_precision", "models", "ops", "optimizers", "quantizers", "random",
        "regularizers",
    }
)
# fmt: on
# The layers of keras.applications; its functions download weights.
_APPLICATION_LAYERS = frozenset({"LayerScale", "StochasticDepth"})
# First part of the TensorFlow symbols that a TFOpLambda layer of tf_keras may call; the rest of the API can read and
# write files, load libraries and call Python.
_TENSORFLOW_MATHS = frozenset({"__operators__", "bitwise", "image", "linalg", "math", "nn", "signal"})
# fmt: off
_TENSORFLOW_FUNCTIONS_REFUSED = frozenset(
    {
        "function", "load_library", "load_op_library", "numpy_function", "print", "py_function",
        "recompute_grad",
    }
)
# fmt: on
# Layers that hold or fetch code: bytecode, a SavedModel elsewhere on disk, a pickled module, any TensorFlow symbol.
_CODE_CARRIERS = {
    "Lambda": "is a Lambda, Python bytecode that loading the model would run",
    "__lambda__": "holds a lambda, Python bytecode that loading the model would run",
    "TFSMLayer": "loads another SavedModel from a path in the file",
    "TorchModuleWrapper": "holds a pickled PyTorch module",
    "JaxLayer": "holds a pickled JAX function",
    "FlaxLayer": "holds a pickled Flax module",
    "ClassMethod": "calls a method of any TensorFlow class",
    "TensorFlowOpLayer": "runs any TensorFlow operation",
}
# fmt: off
_PLAIN_VALUES = frozenset(
    {
        "__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__",
        "__tuple__",
    }
)
# fmt: on


def refuse_foreign_code(config: object, model: str, custom: Collection[str]) -> None:
    """Refuse a model whose loading would run code that is neither Keras's own nor the user's.

    Args:
        config: The parsed JSON of ``config.json`` (.keras) or ``model_config`` (.h5).
        model: The file, for the message.
        custom: Names of the classes and functions that the user supplied.

    Raises:
        UntrustedCodeError: Names the layer and what it would run.
    """
    if isinstance(config, dict):
        config = {key: value for key, value in config.items() if key != "compile_config"}  # never loaded
    for described, layer in _objects(config, "the model itself"):
        _check(described, layer, model, custom)


def _objects(config: object, layer: str) -> Iterator[tuple[dict[str, object], str]]:
    """Every described object in a configuration, with the name of the layer that it is in."""
    if isinstance(config, list):
        for value in config:
            yield from _objects(value, layer)
    elif isinstance(config, dict):
        inner = config.get("config")
        if "class_name" in config:
            if isinstance(inner, dict) and isinstance(inner.get("name"), str) and "trainable" in inner:
                layer = f"layer '{inner['name']}'"
            yield config, layer
        for value in config.values():
            yield from _objects(value, layer)


def _check(described: dict[str, object], layer: str, model: str, custom: Collection[str]) -> None:
    kind = str(described["class_name"])
    module = described.get("module")
    inner = described.get("config")
    registered = described.get("registered_name")
    where = f"{model}: {layer}"
    if kind in _CODE_CARRIERS:
        _refuse(where, _CODE_CARRIERS[kind])
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        function = inner.get("function") if isinstance(inner, dict) else None
        if not _is_maths(function):
            _refuse(where, f"calls tf.{function}, which is more than arithmetic")
    name = str(inner) if kind == "function" else kind
    names = {name, str(registered), str(registered).rpartition(">")[2]}
    if kind in _PLAIN_VALUES or names & set(custom):
        return
    if module == "builtins":
        if hasattr(builtins, name):
            _refuse(where, f"calls Python's own {name}()")
        if kind == "function":  # an activation by its name: Keras looks among its own functions, and fails
            return
    if module is None:
        # Without a module Keras looks only among its own and the registered classes.
        if registered is not None and ">" in str(registered):
            _refuse_custom(where, str(registered))
        return
    if kind == "__typespec__" and str(module).startswith("tensorflow.python.framework."):
        return
    if not _is_building_block(str(module), name):
        _refuse_custom(where, f"{module}.{name}")


def _is_building_block(module: str, name: str) -> bool:
    root, *parts = module.split(".")
    inside = [part for part in parts if part not in ("src", "api", "_tf_keras", "keras", "v2")]
    if (
        root not in ("keras", "tf_keras") or "." in name
    ):  # tf_keras would follow core.Lambda into the module core
        return False
    if not inside or inside[0] in ("models", "engine"):
        return name[:1].isupper()  # a class; functions such as load_model do more than build
    return inside[0] in _PARTS or (inside[0] == "applications" and name in _APPLICATION_LAYERS)


def _is_maths(function: object) -> bool:
    if not isinstance(function, str):
        return False
    first, _, rest = function.partition(".")
    return first in _TENSORFLOW_MATHS if rest else first not in _TENSORFLOW_FUNCTIONS_REFUSED


def _refuse(where: str, what: str) -> NoReturn:
    raise UntrustedCodeError(
        f"{where} {what}",
        hint="if you trust the origin of this file, write --trust-model-code; "
        "better, replace the Lambda by a layer class and save the model again",
    )


def _refuse_custom(where: str, what: str) -> NoReturn:
    raise UntrustedCodeError(
        f"{where} needs {what}, which is not part of Keras",
        hint="give the file or module that defines it with --custom-objects; "
        "or, if you trust the origin of this file, write --trust-model-code",
    )
