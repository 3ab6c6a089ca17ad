"""Every kind of trained model, brought to one form: a float .tflite with static shapes and batch 1.

`load_float` is the way in. `kinds` tells what a path holds; `keras_file`, `saved_model`, `in_memory` and
`tflite` read one kind each; all TensorFlow ones meet in a `frozen` graph, which `lite` converts; `finish`
checks and names the result. TensorFlow is imported in the worker process only, or is there already because
the model is in memory.
"""

from __future__ import annotations

from edgekit_converters.sources.loading import load_float
from edgekit_converters.sources.model import FloatModel, SourceOptions

__all__ = ["FloatModel", "SourceOptions", "load_float"]
