"""Brings an int8 model closer to its float twin, layer by layer: its weights rounded anew and its biases moved.

In order, each layer is fed what the int8 model computes before it, errors of earlier layers included, and is made to
answer what the float layer answers on the same samples: by how its weights are rounded (`rounding.py`), and then by its
bias. That last step is empirical bias correction (Nagel et al., "Data-Free Quantization Through Weight Equalization and
Bias Correction", ICCV 2019, section 4.2 and appendix D) with two differences (decision 0003 has the figures): the mean
that is matched is that of the output *after* the fused activation, because clipping and requantization shift it too; and
since a shift of the bias moves the output only where it is not clipped, the step is divided by the share of values inside
the range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit_converters.quantize.int16 import SUFFIX
from edgekit_converters.quantize.linear import (
    BIAS,
    DEPTHWISE,
    WEIGHTS,
    LinearLayer,
    as_rows,
    constant,
    from_rows,
    linear_layers,
    replace_constant,
    scales,
)
from edgekit_converters.quantize.patches import output_positions, patches
from edgekit_converters.quantize.rounding import DAMPING, WEIGHT_LIMIT, Equations, compensated, refitted
from edgekit_converters.quantize.walk import Sample, Walk
from edgekit_converters.surgery import pack, unpack

# TensorFlow's quantizer keeps |bias| <= 2^30 so that the int32 accumulator cannot overflow, by a wider weight scale.
BIAS_LIMIT = 2**30

LEAST_ACTIVE_SHARE = 0.25
"""Below this share of unclipped values a step of the bias would overshoot: the channel is nearly dead."""

MOST_INPUTS = 2304
"""Inputs of one output (3 x 3 x 256) up to which a layer is rounded by its Hessian; wider ones are rounded to nearest."""

LEAST_EQUATIONS = 2048
EQUATIONS_AN_INPUT = 16
MOST_EQUATIONS = 8192
"""Positions that a layer is fitted at, over all samples together: by its unknowns, within those bounds."""

SEED = 20261127

INT16 = 7
"""schema.fbs, TensorType."""

INT8_MEMORY_BYTES = 64 << 20
FLOAT_MEMORY_BYTES = 256 << 20
"""The most that kept activations may take, so that `convert` needs no more memory than TFLiteConverter."""


@dataclass(frozen=True, slots=True)
class Method:
    """How layers are reconstructed.

    Attributes:
        rounding: "nearest", "compensated", or "refitted".
        ridge: Of refitting.
        bias: Whether biases are corrected.
    """

    rounding: str = "nearest"
    ridge: float = DAMPING
    bias: bool = True


@dataclass(frozen=True, slots=True)
class _Twins:
    """A layer of the int8 model and the float layer that it stands for."""

    rough: LinearLayer
    exact: LinearLayer


def reconstruct(
    float_model: bytes,
    int8_model: bytes,
    samples: Sequence[tuple[Sample, Sample]],
    method: Method,
    *,
    threads: int = 1,
) -> bytes:
    """Rewrites the weights and biases of an int8 model.

    Args:
        float_model: Its float twin: the same layers by name, but its weights may be others (equalized), as long as they
            fit the activation ranges of `int8_model`.
        int8_model: Fully int8, one subgraph.
        samples: For each the float inputs and the stored int8 inputs, by name.
        method: What is done.
        threads: Of the interpreters.

    Returns:
        The int8 model, in which nothing but weights, biases and their scales has changed.
    """
    exact, rough = unpack(float_model), unpack(int8_model)
    known = {layer.name: layer for layer in linear_layers(exact)}
    found = [(layer, known.get(layer.name.removesuffix(SUFFIX))) for layer in linear_layers(rough)]
    twins = [_Twins(layer, twin) for layer, twin in found if twin is not None]
    for pair in twins:
        _take_weights(rough, exact, pair)
    float_walk = Walk(exact, [floats for floats, _ in samples], FLOAT_MEMORY_BYTES, threads)
    int8_walk = Walk(rough, [stored for _, stored in samples], INT8_MEMORY_BYTES, threads)
    generator = np.random.default_rng(SEED)
    for pair in twins:
        step = _Step(float_walk, int8_walk, pair, len(samples), generator)
        wanted = step.round_weights(method) if method.rounding != "nearest" else step.wanted_means()
        if method.bias:
            step.correct_bias(wanted)
        float_walk.advance(pair.exact.index)
        int8_walk.advance(pair.rough.index)
    return pack(rough)


def _take_weights(rough: Any, exact: Any, pair: _Twins) -> None:
    """Writes the float layer's weights and bias into the int8 layer, rounded to nearest, as TensorFlow's quantizer does."""
    layer = pair.rough
    rows = as_rows(pair.exact, constant(exact, pair.exact, WEIGHTS)).astype(np.float64)
    bias = constant(exact, pair.exact, BIAS).astype(np.float64)
    source = _quantization(rough, layer.source)[0]
    reach = np.maximum(np.abs(rows).max(axis=1), 1e-9)
    if len(scales(rough, layer, WEIGHTS)) == 1:
        reach = reach.max(keepdims=True)
        least = np.abs(bias).max(keepdims=True)
    else:
        least = np.abs(bias)
    scale = np.maximum(reach / WEIGHT_LIMIT, least / BIAS_LIMIT / source)
    rounded = np.clip(np.round(rows / scale[:, None]), -WEIGHT_LIMIT, WEIGHT_LIMIT)
    shape = constant(rough, layer, WEIGHTS).shape
    replace_constant(rough, layer, WEIGHTS, from_rows(layer, rounded, shape), scale)
    stored = np.clip(np.round(bias / (scale * source)), -BIAS_LIMIT, BIAS_LIMIT)
    replace_constant(rough, layer, BIAS, stored, scale * source)


def _quantization(model: Any, tensor: int) -> tuple[float, int]:
    """Scale and zero point of an activation."""
    quantization = model.subgraphs[0].tensors[tensor].quantization
    return float(quantization.scale[0]), int(quantization.zeroPoint[0])


@dataclass(frozen=True, slots=True)
class _Step:
    """One layer of the walk."""

    floats: Walk
    stored: Walk
    pair: _Twins
    count: int
    generator: np.random.Generator

    def round_weights(self, method: Method) -> np.ndarray:
        """Rounds the weights by the layer's equations; returns the mean outputs that are wanted, [channels]."""
        model, layer = self.stored.model, self.pair.rough
        stored = constant(model, layer, WEIGHTS)
        rows = as_rows(self.pair.exact, constant(self.floats.model, self.pair.exact, WEIGHTS)).astype(
            np.float64
        )
        if rows.shape[1] > MOST_INPUTS:
            return self.wanted_means()
        equations, wanted = self._equations(stored.shape)
        hessian, _ = equations.hessian(method.ridge)
        targets = equations.targets
        if method.rounding == "refitted":
            rows, targets = refitted(equations, rows, method.ridge)
        scale = np.broadcast_to(scales(model, layer, WEIGHTS), (len(rows),))
        rounded = compensated(rows, scale, hessian)
        replace_constant(model, layer, WEIGHTS, from_rows(layer, rounded, stored.shape))
        bias = equations.bias(rounded * scale[:, None], targets) / scales(model, layer, BIAS)
        replace_constant(model, layer, BIAS, np.clip(np.round(bias), -BIAS_LIMIT, BIAS_LIMIT))
        return wanted

    def wanted_means(self) -> np.ndarray:
        """float64 [channels]: the float layer's mean outputs, as far as int8 can hold them."""
        total: np.ndarray = sum(map(self._mean_output, self._exact_outputs()))  # type: ignore[assignment]
        return total / self.count

    def _mean_output(self, before_activation: np.ndarray) -> np.ndarray:
        scale, zero_point = _quantization(self.stored.model, self.pair.rough.output)
        low, high = self.pair.exact.bounds
        least, most = self._limits()
        ends = max(low, (least - zero_point) * scale), min(high, (most - zero_point) * scale)
        flat = before_activation.reshape(-1, before_activation.shape[-1])
        return np.asarray(np.clip(flat, *ends).mean(axis=0, dtype=np.float64))

    def _limits(self) -> tuple[int, int]:
        """The least and the greatest value that the int8 layer's output can store; it may have 16 bits."""
        tensor = self.stored.model.subgraphs[0].tensors[self.pair.rough.output]
        return (-(2**15), 2**15 - 1) if tensor.type == INT16 else (-128, 127)

    def _exact_outputs(self) -> Any:
        """What the float layer computes in each sample before its activation function."""
        options = self.pair.exact.operator.builtinOptions
        activation, options.fusedActivationFunction = options.fusedActivationFunction, 0
        try:
            yield from self.floats.values(self.pair.exact.output, self.pair.exact.index)
        finally:
            options.fusedActivationFunction = activation

    def _equations(self, kernel: tuple[int, ...]) -> tuple[Equations, np.ndarray]:
        """The layer's equations at random positions, and its wanted mean outputs."""
        layer = self.pair.rough
        scale, zero_point = _quantization(self.stored.model, layer.source)
        available = output_positions(layer, self.stored.model)
        unknowns = math.prod(kernel[1:3] if layer.kind == DEPTHWISE else kernel[1:])
        wanted = min(max(LEAST_EQUATIONS, EQUATIONS_AN_INPUT * unknowns), MOST_EQUATIONS)
        each = min(available, max(1, wanted // self.count))
        inputs, targets, total = [], [], np.zeros(())
        fed = self.stored.values(layer.source, layer.index - 1)
        for stored, answers in zip(fed, self._exact_outputs(), strict=True):
            positions = self.generator.choice(available, each, replace=False, shuffle=False)
            steps = stored.astype(np.int32) - zero_point
            inputs.append(patches(layer, steps, kernel, positions))
            targets.append(answers.reshape(-1, answers.shape[-1])[positions])
            total = total + self._mean_output(answers)
        seen = np.concatenate(inputs) * np.float32(scale)
        means = seen.mean(axis=0, dtype=np.float64)
        seen -= means.astype(np.float32)
        equations = Equations(seen, means, np.concatenate(targets), self.pair.exact.bounds)
        return equations, total / self.count

    def correct_bias(self, wanted: np.ndarray) -> None:
        """Moves the bias by the gap between the wanted and the int8 channel means."""
        model, layer = self.stored.model, self.pair.rough
        scale, zero_point = _quantization(model, layer.output)
        total, inside = np.zeros(len(wanted)), np.zeros(len(wanted))
        least, most = self._limits()
        for answers in self.stored.values(layer.output, layer.index):
            values = answers.reshape(-1, len(wanted))
            total += values.sum(axis=0, dtype=np.int64) / len(values)
            inside += ((values > least) & (values < most)).sum(axis=0) / len(values)
        gap = wanted - (total / self.count - zero_point) * scale
        active = np.maximum(inside / self.count, LEAST_ACTIVE_SHARE)
        moved = np.round(constant(model, layer, BIAS) + gap / active / scales(model, layer, BIAS))
        replace_constant(model, layer, BIAS, np.clip(moved, -BIAS_LIMIT, BIAS_LIMIT))
