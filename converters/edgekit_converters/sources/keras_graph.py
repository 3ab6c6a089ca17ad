"""From a Keras model in memory, of Keras 3 or tf_keras, to a frozen TensorFlow graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.errors import SourceError, UnsupportedModelError
from edgekit_converters.sources.frozen import FrozenGraph, freeze, unique
from edgekit_converters.sources.model import SourceOptions
from edgekit_converters.sources.naming import first_line
from edgekit_converters.sources.precision import in_float32
from edgekit_converters.sources.recurrent import unrolled
from edgekit_converters.sources.shapes import resolve_shapes
from edgekit_converters.sources.tracing import named_after_layers


def frozen_keras(model: Any, kind: str, options: SourceOptions) -> FrozenGraph:
    """Trace a Keras model for inference with static shapes and freeze it.

    Args:
        model: A built `keras.Model`; unchanged when this returns.
        kind: What to call it.
        options: `input_shapes` settle open dimensions; `outputs`, where all of them are layers, cut here.

    Raises:
        SourceError: One of its classes, naming the input or layer.
    """
    import tensorflow as tf

    layers = tuple(_made_by(model)) or tuple(layer.name for layer in getattr(model, "layers", ()))
    model, outputs = _cut(model, options.outputs)
    struct = _input_struct(model)
    symbols = tf.nest.flatten(struct)
    names = unique([_layer_name(symbol) for symbol in symbols])
    shapes = resolve_shapes(
        [(name, tuple(symbol.shape)) for name, symbol in zip(names, symbols, strict=True)],
        options.input_shapes,
    )
    specs = [tf.TensorSpec(shapes[name], symbol.dtype) for name, symbol in zip(names, symbols, strict=True)]

    def infer(*tensors: Any) -> Any:
        return tf.nest.flatten(model(tf.nest.pack_sequence_as(struct, tensors), training=False))

    with in_float32(model) as precision, unrolled(model) as recurrent, named_after_layers(model):
        try:
            function = tf.function(infer, autograph=False).get_concrete_function(*specs)
        except Exception as error:  # Keras and TensorFlow raise whatever a layer raises
            if recurrent.refusal is not None:
                raise recurrent.refusal from None
            raise SourceError(
                f"the model cannot be called with the shapes {_listed(shapes)}: {first_line(error)}",
                hint="does model(x, training=False) work with such an input?",
            ) from error
    return freeze(
        function,
        kind,
        inputs=names,
        outputs=outputs or _output_names(model, len(function.outputs)),
        layers=layers,
        notes=(*precision, *recurrent.notes),
    )


def _cut(model: Any, wanted: Sequence[str]) -> tuple[Any, list[str] | None]:
    """The model up to the layers that --outputs names; the model itself where a name is not a layer's.

    Such a name may be an output's or a node's, which the frozen graph knows.
    """
    made = _made_by(model)
    made |= {name: [[symbol]] for name, symbol in _outputs(model)}
    if not wanted or any(name not in made for name in wanted):
        return model, None
    tensors, names = [], []
    for name in wanted:
        if len(made[name]) > 1:
            raise SourceError(
                f"--outputs {name}: layer '{name}' is used {len(made[name])} times in this model",
                hint="name a layer behind it that is used once",
            )
        tensors += made[name][0]
        names += [name] * len(made[name][0])
    return _model_class(model)(model.inputs, tensors), unique(names)


def _made_by(model: Any) -> dict[str, list[list[Any]]]:
    """What each layer gives in a model's own graph: a list of symbolic tensors for each time that it is called."""
    graph = getattr(model, "_functional", None) or model  # Keras 3 keeps the graph of a Sequential inside
    made: dict[str, list[list[Any]]] = {}
    for nodes in getattr(graph, "_nodes_by_depth", {}).values():
        for node in nodes:
            layer = node.operation if hasattr(node, "operation") else node.layer  # Keras 3, tf_keras
            outputs = node.outputs if isinstance(node.outputs, list | tuple) else [node.outputs]
            made.setdefault(layer.name, []).append(list(outputs))
    return made


def _model_class(model: Any) -> Any:
    """`Model` of the Keras that the model belongs to."""
    return next(
        kind for kind in type(model).__mro__ if kind.__name__ == "Model" and "keras" in kind.__module__
    )


def _input_struct(model: Any) -> Any:
    """The symbolic inputs in the structure in which the model is called."""
    if not getattr(model, "inputs", None):
        raise UnsupportedModelError(
            f"the model '{getattr(model, 'name', '?')}' is a subclass without a graph of layers: "
            "its inputs are not known",
            hint="export it with model.export('folder') and convert the SavedModel",
        )
    if "Functional" in {kind.__name__ for kind in type(model).__mro__}:
        return model.input
    return model.inputs[0] if len(model.inputs) == 1 else list(model.inputs)


def _output_names(model: Any, count: int) -> list[str]:
    """A name for each of `count` flat outputs."""
    names = [name for name, _ in _outputs(model)]
    return names if len(names) == count else [f"output_{number}" for number in range(count)]


def _outputs(model: Any) -> list[tuple[str, Any]]:
    """The symbolic outputs, named by their keys where the model gives a dict, else by the layers that make them."""
    import tensorflow as tf

    struct = getattr(model, "_outputs_struct", None)  # Keras 3
    struct = getattr(model, "_nested_outputs", None) if struct is None else struct  # tf_keras
    struct = getattr(model, "outputs", None) if struct is None else struct
    symbols = tf.nest.flatten([] if struct is None else struct)
    if isinstance(struct, Mapping) and len(struct) == len(symbols):
        return list(zip(sorted(struct), symbols, strict=True))  # tf.nest flattens dicts by sorted keys
    return list(zip(unique([_layer_name(symbol) for symbol in symbols]), symbols, strict=True))


def _layer_name(symbol: Any) -> str:
    history = symbol._keras_history
    maker = history.operation if hasattr(history, "operation") else history.layer  # Keras 3, tf_keras
    return str(maker.name)


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())
