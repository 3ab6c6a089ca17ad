"""ONNX files, external data included, through onnx2tf in an environment of its own."""

from __future__ import annotations

from pathlib import Path

from edgekit_converters.environments.locate import interpreter_for
from edgekit_converters.sources.model import FloatModel, SourceOptions
from edgekit_converters.sources.original import Original
from edgekit_converters.sources.pytorch import export_float
from edgekit_converters.worker import Worker


def load_onnx(path: Path, options: SourceOptions, worker: Worker) -> FloatModel:
    """Convert an .onnx file.

    Args:
        path: Of the file; external data lie beside it.
        options: What is said about it.
        worker: Where LiteRT runs.

    Raises:
        MissingEnvironmentError: Nothing here has onnx2tf.
        SourceError: One of its classes, naming the input, node or operator.
    """
    original = Original("onnx_stage", interpreter_for("onnx"), "ONNX")
    try:
        opened = original.ask("open", model=str(path.absolute()))
        return export_float(original, opened, options, worker)
    except BaseException:
        original.close()
        raise
