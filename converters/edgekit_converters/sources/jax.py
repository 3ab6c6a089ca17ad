"""Functions of JAX with their parameters, from Python."""

from __future__ import annotations

import inspect
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgekit.errors import SourceError, UnsupportedModelError
from edgekit_converters.environments.locate import interpreter_for
from edgekit_converters.sources.model import FloatModel, SourceOptions
from edgekit_converters.sources.naming import first_line
from edgekit_converters.sources.original import Original
from edgekit_converters.sources.pytorch import export_float
from edgekit_converters.worker import Worker


def is_function(model: object, options: SourceOptions) -> bool:
    """Whether this is a function to trace with JAX: example inputs are given, and JAX is in use in this process."""
    return callable(model) and options.example_inputs is not None and "jax" in sys.modules


def load_function(function: Any, options: SourceOptions, worker: Worker) -> FloatModel:
    """Convert a function of JAX.

    Args:
        function: Takes `options.params` first, where they are given, then one array an input.
        options: `example_inputs`: one array an input, batch 1.
        worker: Where TensorFlow and LiteRT run.

    Raises:
        MissingEnvironmentError: Nothing here has JAX and TensorFlow.
        SourceError: One of its classes.
    """
    python = interpreter_for("jax")
    folder = tempfile.TemporaryDirectory(prefix="edgekit-")
    (Path(folder.name) / "model.jax").write_bytes(_serialized(function, options))
    original = Original("jax_stage", python, "JAX", folder)
    try:
        opened = original.ask(
            "open", model=str(Path(folder.name) / "model.jax"), names=_names(function, options)
        )
        return export_float(original, opened, options, worker)
    except BaseException:
        original.close()
        raise


def _examples(options: SourceOptions) -> tuple[Any, ...]:
    given = options.example_inputs
    return tuple(given) if isinstance(given, tuple | list) else (given,)


def _serialized(function: Any, options: SourceOptions) -> bytes:
    import jax  # type: ignore[import-not-found,unused-ignore]
    from jax import export  # type: ignore[import-not-found,unused-ignore]

    def closed(*inputs: Any) -> Any:
        return function(*inputs) if options.params is None else function(options.params, *inputs)

    shapes = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in _examples(options)]
    try:
        exported = export.export(jax.jit(closed), platforms=["cpu"])(*shapes)
        return bytes(exported.serialize())
    except Exception as error:
        raise UnsupportedModelError(
            f"jax.export cannot trace the function: {first_line(error)}",
            hint="it must be a pure function of params and inputs, without branches on values; check example_inputs=",
        ) from error


def _names(function: Any, options: SourceOptions) -> list[str]:
    """What the function calls its inputs; input_0, input_1, ... where it does not say."""
    count = len(_examples(options))
    if count == 0:
        raise SourceError("example_inputs= is empty", hint="give one array an input, batch 1")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    positional = [
        each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    names = positional[0 if options.params is None else 1 :][:count]
    return names if len(names) == count else [f"input_{number}" for number in range(count)]
