"""Models in the user's own Python process: TensorFlow is loaded there, so the graph is frozen there."""

from __future__ import annotations

import sys
from typing import Any

from edgekit.errors import SourceError, UnsupportedModelError
from edgekit_converters.sources.frozen import FrozenGraph, freeze
from edgekit_converters.sources.keras_graph import frozen_keras
from edgekit_converters.sources.model import SourceOptions


def frozen_object(model: Any, options: SourceOptions) -> FrozenGraph | None:
    """Freeze a Keras model, `tf.function` or concrete function of this process; None for anything else.

    Args:
        model: It is as before when this returns.
        options: What is said about it.

    Raises:
        SourceError: One of its classes.
    """
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(model).__mro__}
    for keras, said in (("keras", "Keras 3 model in memory"), ("tf_keras", "Keras 2 model in memory")):
        if f"{keras}.Model" in kinds:
            _refuse_other_backend(keras)
            return frozen_keras(model, said, options)
    if "tensorflow.ConcreteFunction" in kinds:
        return _frozen_function(model)
    if hasattr(model, "get_concrete_function") and "tensorflow" in sys.modules:
        return _frozen_function(_only_trace(model))
    return None


def _refuse_other_backend(keras: str) -> None:
    if keras == "keras" and (backend := sys.modules["keras"].backend.backend()) != "tensorflow":
        raise UnsupportedModelError(
            f"this keras.Model runs on the {backend} backend, and TFLite comes from TensorFlow graphs",
            hint="save it with model.save('model.keras') and convert that file",
        )


def _only_trace(function: Any) -> Any:
    try:
        return function.get_concrete_function()
    except Exception as error:  # a ValueError or TypeError, of whatever TensorFlow version the user has
        raise SourceError(
            "the tf.function has no single signature",
            hint="decorate it with @tf.function(input_signature=[...]), or give "
            "function.get_concrete_function(tf.TensorSpec(...))",
        ) from error


def _frozen_function(function: Any) -> FrozenGraph:
    captured = {id(tensor) for tensor in function.graph.internal_captures}
    inputs = [tensor.op.name for tensor in function.inputs if id(tensor) not in captured]
    struct = function.structured_outputs
    named = isinstance(struct, dict) and len(struct) == len(function.outputs)
    outputs = sorted(struct) if named else [f"output_{number}" for number in range(len(function.outputs))]
    return freeze(function, "tf.function", inputs=inputs, outputs=outputs)
