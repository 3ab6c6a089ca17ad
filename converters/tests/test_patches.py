"""Patches times weights beside what LiteRT computes, for every geometry of a linear layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit_converters.quantize.linear import BIAS, DEPTHWISE, WEIGHTS, as_rows, constant, linear_layers
from edgekit_converters.quantize.patches import output_positions, patches
from edgekit_converters.runner import Runner
from edgekit_converters.surgery import operator_name, unpack

# Name of the model, and the operator that it must hold for the test to mean anything.
MODELS = {
    "conv-same": "CONV_2D", "conv-valid": "CONV_2D", "conv-same-stride-2": "CONV_2D",
    "conv-valid-stride-2": "CONV_2D", "conv-same-dilation-2": "CONV_2D", "conv-valid-dilation-2": "CONV_2D",
    "static-conv-same-dilation-2": "CONV_2D", "static-conv-valid-dilation-2": "CONV_2D",
    "static-depthwise-valid-dilation-2": DEPTHWISE, "conv-even-kernel": "CONV_2D", "conv-1x1-stride-3": "CONV_2D",
    "depthwise": DEPTHWISE, "depthwise-stride-2": DEPTHWISE, "depthwise-multiplier-2": DEPTHWISE,
    "depthwise-valid-dilation-2": DEPTHWISE, "dense": "FULLY_CONNECTED", "dense-of-rows": "FULLY_CONNECTED",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(made_by: Callable[[str], Path]) -> Path:
    return made_by("layer_models")


@pytest.mark.parametrize("name", MODELS)
def test_patches_times_weights_is_what_the_runtime_computes(name: str, folder: Path) -> None:
    data = (folder / f"{name}.tflite").read_bytes()
    model, runner = unpack(data), Runner(data, preserve_all_tensors=True)
    (layer,) = linear_layers(model)
    assert operator_name(model, layer.operator) == MODELS[name]
    if name.startswith("static"):
        assert layer.operator.builtinOptions.dilationHFactor == 2
    (port,) = runner.inputs
    generator = np.random.default_rng(1)
    runner.run({port.name: generator.normal(size=port.shape).astype(np.float32)})
    values, answer = runner.view(layer.source).copy(), runner.view(layer.output).copy()
    weights, bias = constant(model, layer, WEIGHTS), constant(model, layer, BIAS)
    expected = answer.reshape(-1, answer.shape[-1])
    if (
        len(model.subgraphs[0].operators) == 1
    ):  # the shapes in between are not in the file where the batch is open
        assert output_positions(layer, model) == len(expected)
    positions = generator.permutation(len(expected))  # all of them, in no order
    seen, rows = patches(layer, values, weights.shape, positions), as_rows(layer, weights)
    assert seen.dtype == np.float32
    computed = np.einsum("pio,oi->po", seen, rows) if layer.kind == DEPTHWISE else seen @ rows.T
    low, high = layer.bounds
    assert np.allclose(np.clip(computed + bias, low, high), expected[positions], atol=1e-5)


def test_patches_keep_the_integers_of_an_int8_model(folder: Path) -> None:
    """Steps of an int8 tensor, zero point taken off, do not fit into int8 and must not wrap."""
    model = unpack((folder / "conv-same.tflite").read_bytes())
    (layer,) = linear_layers(model)
    steps = np.full((1, 8, 9, 3), 255, np.int16)
    seen = patches(layer, steps, constant(model, layer, WEIGHTS).shape, np.array([0, 40]))
    assert seen.dtype == np.int16
    assert set(seen[1].tolist()) == {255}
    assert set(seen[0].tolist()) == {0, 255}  # padding at the corner
