"""Every kind of trained model, brought to one form: a float .tflite with static shapes and batch 1.

`load_float` is the way in. `kinds` tells what a path holds; `keras_file`, `saved_model`, `in_memory` and
`tflite` read one kind each; all TensorFlow ones meet in a `frozen` graph, which `lite` converts; `finish`
checks and names the result. TensorFlow is imported in the worker process only, or is there already because
the model is in memory.

`pytorch`, `onnx` and `jax` let the model export itself, in an `original` process of the Python that has its framework
(`stages` are the scripts); `imported` brings what comes out to the same form, and `layouts` rids it of TRANSPOSE operators.
"""

from __future__ import annotations

from edgekit_converters.sources.loading import load_float
from edgekit_converters.sources.model import FloatModel, SourceOptions

__all__ = ["FloatModel", "SourceOptions", "load_float"]
