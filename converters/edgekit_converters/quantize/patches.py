"""The rows of numbers that a linear layer multiplies its weights with, at a few positions of its output."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit_converters.quantize.linear import DENSE, DEPTHWISE, LinearLayer

SAME = 0
"""schema.fbs, Padding."""


def output_positions(layer: LinearLayer, model: Any) -> int:
    """How many positions the output of one sample has; each is one equation for every output channel."""
    subgraph = model.subgraphs[0]
    return int(np.prod(subgraph.tensors[layer.output].shape[:-1], dtype=np.int64))


def patches(
    layer: LinearLayer, values: np.ndarray, kernel: tuple[int, ...], positions: np.ndarray
) -> np.ndarray:
    """What the layer sees at those positions.

    Args:
        layer: Of the int8 or of the float model; their geometry is the same.
        values: The layer's input, zero points subtracted (so that padding is 0).
        kernel: Shape of its weights.
        positions: Flat indices of output positions.

    Returns:
        In the dtype of `values`, [positions, inputs]; of a depthwise layer [positions, inputs, output channels].
    """
    if layer.kind == DENSE:
        return np.asarray(values.reshape(-1, kernel[1])[positions])
    options = layer.operator.builtinOptions
    size, padded = _padded(values, kernel, options)
    # A dilated convolution may stand between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, and then has a batch.
    batch, row, column = np.unravel_index(positions, (len(values), *size))
    rows = row[:, None] * options.strideH + np.arange(kernel[1]) * options.dilationHFactor
    columns = column[:, None] * options.strideW + np.arange(kernel[2]) * options.dilationWFactor
    seen: np.ndarray = padded[batch[:, None, None], rows[:, :, None], columns[:, None, :]]
    if layer.kind != DEPTHWISE:
        return seen.reshape(len(positions), -1)
    multiplier = kernel[3] // seen.shape[-1]
    return np.repeat(seen.reshape(len(positions), -1, seen.shape[-1]), multiplier, axis=2)


def _padded(values: np.ndarray, kernel: tuple[int, ...], options: Any) -> tuple[tuple[int, int], np.ndarray]:
    """Output size and padded values, as TFLite's ComputePaddingHeightWidth has them."""
    sizes, widths = [], []
    axes = ((1, options.strideH, options.dilationHFactor), (2, options.strideW, options.dilationWFactor))
    for axis, stride, dilation in axes:
        length, reach = values.shape[axis], (kernel[axis] - 1) * dilation + 1
        if options.padding == SAME:
            size = -(-length // stride)
            total = max((size - 1) * stride + reach - length, 0)
        else:
            size, total = (length - reach) // stride + 1, 0
        sizes.append(size)
        widths.append((total // 2, total - total // 2))
    return (sizes[0], sizes[1]), np.pad(values, ((0, 0), *widths, (0, 0)))
