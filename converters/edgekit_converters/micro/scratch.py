"""What CMSIS-NN's int8 kernels take of the arena beside TensorFlow Lite Micro's reference kernels, at most.

[C] github.com/ARM-software/CMSIS-NN, Source/ConvolutionFunctions/arm_convolve_get_buffer_sizes_s8.c ($Revision V.2.2.1) and
    arm_depthwise_conv_get_buffer_sizes_s8.c (V.1.3.0), arm_transpose_conv_get_buffer_sizes_s8.c, and
    Source/PoolingFunctions/arm_avgpool_get_buffer_sizes_s8.c.

A scratch buffer lives while its operator runs, so that the largest counts; sums of weights are kept for good. For each
operator the larger size of the two sorts of cores is taken: DSP (Cortex-M4, M7) and MVE (Cortex-M55).
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit_targets.ops import OpView

_CHANNEL_BLOCK = 124  # CH_IN_BLOCK_MVE
_COLUMNS = 4  # im2col buffers of the MVE kernels
_INT32 = 4
_INT16 = 2


def scratch_bytes(ops: Sequence[OpView]) -> int:
    """Bytes that CMSIS-NN takes in addition, at most; 0 for a model that none of its kernels with buffers runs."""
    return max((_buffer(op) for op in ops), default=0) + sum(_weight_sums(op) for op in ops)


def _buffer(op: OpView) -> int:
    """Bytes of the scratch buffer of one operator."""
    if op.opcode == "AVERAGE_POOL_2D":
        return _channels(op) * _INT32
    if op.opcode not in _BUFFERS:
        return 0
    tensors = (op.input(2 if op.opcode == "TRANSPOSE_CONV" else 0), op.input(1), *op.outputs[:1])
    shapes = [tensor.shape for tensor in tensors if tensor is not None and tensor.rank == 4]
    return _BUFFERS[op.opcode](op, *shapes) if len(shapes) == 3 else 0


def _convolution(kernel: int, channels: int) -> int:
    """Columns of `kernel` x `channels` values: two of int16 with DSP, four of int8 with MVE."""
    values = kernel * channels
    return max(2 * _round_up(values, 4) * _INT16, _COLUMNS * _round_up(values, 16))


def _conv(_: OpView, source: Sequence[int], weights: Sequence[int], __: Sequence[int]) -> int:
    height, width = weights[1:3]
    return _convolution(height * width, abs(source[3]))


def _depthwise(_: OpView, source: Sequence[int], weights: Sequence[int], __: Sequence[int]) -> int:
    height, width, channels = weights[1:4]
    kernel = height * width
    plain = max(kernel * abs(source[3]) * _INT16, _COLUMNS * _CHANNEL_BLOCK * kernel)
    as_convolution = kernel * channels + _convolution(kernel, 1) if source[3] == 1 else 0
    return max(plain, as_convolution)


def _transposed(op: OpView, source: Sequence[int], weights: Sequence[int], output: Sequence[int]) -> int:
    height, width = weights[1:3]
    strides = [op.options.get(name) for name in ("strideH", "strideW")]
    down, across = (stride if isinstance(stride, int) else 1 for stride in strides)
    row = (abs(source[2]) - 1) * across + max(width, across)
    rolling = max(height, down) * row * abs(output[3]) * _INT32
    reversed_weights = height * width * abs(source[3]) * abs(output[3])
    return max(rolling, reversed_weights + _convolution(height * width, abs(source[3])))


_BUFFERS = {"CONV_2D": _conv, "DEPTHWISE_CONV_2D": _depthwise, "TRANSPOSE_CONV": _transposed}
"""Of the shapes of input, weights and output."""


def _weight_sums(op: OpView) -> int:
    """Bytes of the sums of weights that MVE kernels keep, one int32 an output channel."""
    return _channels(op) * _INT32 if op.opcode in ("CONV_2D", "FULLY_CONNECTED") else 0


def _channels(op: OpView) -> int:
    shape = op.outputs[0].shape if op.outputs else ()
    return abs(shape[-1]) if shape else 0


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
