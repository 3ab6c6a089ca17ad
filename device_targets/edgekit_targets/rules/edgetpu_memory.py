"""Where the Edge TPU keeps the parameters of the operators mapped to it, and what they take there.

The layout was found by comparing models with what the compiler made of them (the sizes of the executables in 86
public compiled files); the compiler documents none of it, only that parameters are cached in about 8 MB.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from edgekit_targets.ops import EIGHT_BIT, OpView, TensorView
from edgekit_targets.rules.operands import weights

DEPTH_STEP = 4  # input channels are stored four by four
SMALL_STEP = 16  # and output channels in groups of 16
LARGE_STEP = 64  # or, beyond 64 of them, in groups of 64
CHANNEL_BYTES = 4  # of an output channel, its bias and scale, quantized per tensor
PER_CHANNEL_BYTES = 8  # the same, quantized per channel
CONSTANT_STEP = 64  # operands of elementwise operators
STREAMED_DEPTH = 8_192  # 4 096 inputs of FULLY_CONNECTED were cached, 9 504 and more streamed
CHIP_SLACK_BYTES = 20_972  # logs have shown up to 8.02 MiB for parameters on a chip of 8 MiB
LEAST_CACHE_BYTES = 5 << 20  # and not less than 5.0 MiB, however large the activations


@dataclass(frozen=True, slots=True)
class ParameterForecast:
    """Where the parameters of the accelerated part lie.

    Attributes:
        total_bytes: As the compiler lays them out, padding included.
        cached_bytes: Kept in the chip's memory from one inference to the next.
        streamed_bytes: Sent to the chip on each inference.
    """

    total_bytes: int
    cached_bytes: int
    streamed_bytes: int


def forecast_parameters(ops: Iterable[OpView], chip_bytes: int) -> ParameterForecast:
    """Returns where parameters would lie.

    Args:
        ops: The operators mapped to the Edge TPU.
        chip_bytes: Memory on the chip.
    """
    ops = tuple(ops)
    cacheable = sum(map(_weight_bytes, (op for op in ops if not _is_streamed(op))))
    streamed = sum(map(_weight_bytes, filter(_is_streamed, ops))) + sum(map(_operand_bytes, ops))
    cached = min(cacheable, _cache_bytes(ops, chip_bytes))
    return ParameterForecast(cacheable + streamed, cached, cacheable + streamed - cached)


def _cache_bytes(ops: Iterable[OpView], chip_bytes: int) -> int:
    """Returns what the activations leave for parameters: the largest in- and output of one operator go off."""
    working = max((sum(t.bytes for t in (*op.computed, *op.outputs)) for op in ops), default=0)
    return max(chip_bytes + CHIP_SLACK_BYTES - working, min(LEAST_CACHE_BYTES, chip_bytes))


def _is_streamed(op: OpView) -> bool:
    kernel = _weights(op)
    return op.opcode == "FULLY_CONNECTED" and kernel is not None and kernel.shape[-1] > STREAMED_DEPTH


def _weights(op: OpView) -> TensorView | None:
    """Returns constant weights of the rank that their operator asks for, or None."""
    kernel = weights(op)
    rank = 2 if op.opcode == "FULLY_CONNECTED" else 4
    return kernel if kernel is not None and kernel.constant and kernel.rank == rank else None


def _weight_bytes(op: OpView) -> int:
    """Returns what weights, biases and scales of an operator take, padded."""
    kernel = _weights(op)
    if kernel is None:
        return _recurrent_bytes(op)
    each = PER_CHANNEL_BYTES if kernel.per_channel else CHANNEL_BYTES
    if op.opcode == "DEPTHWISE_CONV_2D":
        area, depth, channels = prod(kernel.shape[1:3]), 1, kernel.shape[3]
    else:
        area, depth, channels = prod(kernel.shape[1:-1]), kernel.shape[-1], kernel.shape[0]
    return _padded_channels(channels) * (area * _up(depth, DEPTH_STEP) + each)


def _recurrent_bytes(op: OpView) -> int:
    if op.opcode != "UNIDIRECTIONAL_SEQUENCE_LSTM":
        return 0
    return sum(t.bytes for t in op.given if t.constant)


def _operand_bytes(op: OpView) -> int:
    """Returns what constant operands take, which are streamed: those of ADD, MUL, PRELU and the like."""
    if _weights(op) is not None or op.opcode == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        return 0
    return sum(_up(t.bytes, CONSTANT_STEP) for t in op.given if t.constant and t.dtype in EIGHT_BIT)


def _padded_channels(channels: int) -> int:
    return _up(channels, SMALL_STEP if channels <= LARGE_STEP else LARGE_STEP)


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
