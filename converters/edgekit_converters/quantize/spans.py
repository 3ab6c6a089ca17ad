"""What tensors reach: the channels of a float model on real samples, and the int8 ranges of its twin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edgekit_converters.quantize.linear import linear_layers
from edgekit_converters.runner import Runner
from edgekit_converters.surgery import unpack
from edgekit_targets.tflite import read_graph


@dataclass(frozen=True, slots=True)
class Span:
    """What the channels of one tensor reach on real samples.

    Attributes:
        low: float32 [channels].
        high: float32 [channels].
    """

    low: np.ndarray
    high: np.ndarray


def channel_spans(float_model: bytes, samples: Iterable[Mapping[str, np.ndarray]]) -> dict[str, Span]:
    """The span of every channel of every linear layer's output, by tensor name.

    Args:
        float_model: A float .tflite.
        samples: Model inputs by name, batch 1.
    """
    outputs = {layer.name: layer.output for layer in linear_layers(unpack(float_model))}
    runner = Runner(float_model, preserve_all_tensors=True)
    spans: dict[str, Span] = {}
    for inputs in samples:
        runner.run(inputs)
        for name, tensor in outputs.items():
            low, high = _reached(runner, tensor)
            known = spans.get(name, Span(low, high))
            spans[name] = Span(np.minimum(known.low, low), np.maximum(known.high, high))
    return spans


def _reached(runner: Runner, tensor: int) -> tuple[np.ndarray, np.ndarray]:
    view = runner.view(tensor)  # gone when this function returns, as it must be before the next run
    flat = view.reshape(-1, view.shape[-1])
    return flat.min(axis=0), flat.max(axis=0)


def int8_ranges(int8_model: bytes) -> dict[str, tuple[float, float]]:
    """What the int8 values of each activation can stand for, by tensor name."""
    graph = read_graph(int8_model)
    ranges = {}
    for tensor in graph.main.tensors:
        quantization = tensor.quantization
        if tensor.type == "INT8" and quantization is not None and len(quantization.scale) == 1:
            scale, zero_point = quantization.scale[0], quantization.zero_point[0]
            ranges[tensor.name] = ((-128 - zero_point) * scale, (127 - zero_point) * scale)
    return ranges
