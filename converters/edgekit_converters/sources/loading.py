"""Whatever the user holds as a trained model -> a float .tflite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edgekit.errors import MalformedModelError, UnknownModelError
from edgekit_converters.sources.kinds import Kind, identify
from edgekit_converters.sources.model import FloatModel, SourceOptions
from edgekit_converters.worker import Worker

_STAGE = "export the float model"


def load_float(model: Any, options: SourceOptions, worker: Worker) -> FloatModel:
    """Bring a model to a float .tflite with static shapes and batch 1.

    Args:
        model: A path to a .keras, .h5, SavedModel, .tflite, .pt2 or .onnx; or in memory a `keras.Model` (Keras 3
            or tf_keras), `tf.function`, `tf.ConcreteFunction`, `torch.nn.Module`, `torch.export.ExportedProgram`,
            or a function of JAX. Nothing where `options.torch` names a factory.
        options: What is said about it.
        worker: Where TensorFlow runs.

    Returns:
        The float model; or, for an already quantized .tflite, that file unchanged.

    Raises:
        UnknownModelError: It is not a model of a known kind.
        SourceError: One of its other classes: it cannot be brought into that form.
        MalformedModelError: A .tflite that is not sound.
        WorkerCrashedError: TensorFlow or LiteRT crashed.
    """
    if options.torch is not None:
        from edgekit_converters.sources.pytorch import load_torch

        return load_torch(None, options, worker)
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        return _load_path(path, identify(path), options, worker)
    if (framework := _load_other(model, options, worker)) is not None:
        return framework
    from edgekit_converters.sources.in_memory import frozen_object
    from edgekit_converters.sources.lite import convert_frozen

    frozen = frozen_object(model, options)
    if frozen is None:
        raise UnknownModelError(
            f"a {type(model).__module__}.{type(model).__qualname__} is not a model that edgekit converts",
            hint="give a path, a keras.Model, a tf.function, a tf.ConcreteFunction, a torch.nn.Module with example_inputs=, "
            "or a function of JAX with params= and example_inputs=",
        )
    return worker.call(_STAGE, convert_frozen, frozen, options)


def _load_path(path: Path, kind: Kind, options: SourceOptions, worker: Worker) -> FloatModel:
    if kind is Kind.EXPORTED_PROGRAM:
        from edgekit_converters.sources.pytorch import load_torch

        return load_torch(path, options, worker)
    if kind is Kind.ONNX:
        from edgekit_converters.sources.onnx import load_onnx

        return load_onnx(path, options, worker)
    return worker.call(_STAGE, convert_path, path, kind, options)


def _load_other(model: Any, options: SourceOptions, worker: Worker) -> FloatModel | None:
    """A model in memory of another framework than TensorFlow; None for anything else."""
    from edgekit_converters.sources import jax, pytorch

    if pytorch.is_module(model):
        return pytorch.load_module(model, options, worker)
    if jax.is_function(model, options):
        return jax.load_function(model, options, worker)
    return None


def convert_path(path: Path, kind: Kind, options: SourceOptions) -> FloatModel:
    """Convert a file or folder of a known kind; runs in the worker process."""
    if kind is Kind.TFLITE:
        from edgekit_converters.sources.tflite import load_tflite

        try:
            return load_tflite(path.read_bytes(), options)
        except MalformedModelError as error:
            raise MalformedModelError(f"{path}: {error}", hint=error.hint) from error
    if kind is Kind.SAVED_MODEL:
        from edgekit_converters.sources.saved_model import convert_saved_model

        return convert_saved_model(path, options)
    from edgekit_converters.sources.keras_file import convert_keras_file

    return convert_keras_file(path, kind, options)
