"""What convolutions, dense layers and pooling compute from their shapes, and what their parts must be."""

from __future__ import annotations

from math import prod

from edgekit_targets.tflite.firewall.call import MOST_STEP, Call, broadcast, listed
from edgekit_targets.tflite.graph import Tensor


def window(call: Call, size: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """How many windows fit along one axis. Source: ComputeOutSize in tensorflow/lite/kernels/padding.h."""
    if call.operator.options["padding"] == "SAME":
        return (size + stride - 1) // stride
    fitting = (size - (kernel - 1) * dilation - 1) // stride + 1
    call.require(fitting > 0, f"a window of {(kernel - 1) * dilation + 1} does not fit into {size}")
    return fitting


def _steps(call: Call, *names: str) -> tuple[int, ...]:
    return tuple(call.positive(name, MOST_STEP) for name in names)


def convolution(call: Call) -> None:
    """CONV_2D; channels of the input are a multiple of the filter's where it works in groups."""
    batch, height, width, channels = call.rank(0, 4)
    made, kernel_h, kernel_w, taken = call.rank(1, 4)
    stride_h, stride_w, dilation_h, dilation_w = _steps(
        call, "stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor"
    )
    call.require(channels % taken == 0, f"a filter of {taken} channels on an input of {channels}")
    groups = channels // taken
    call.require(made % groups == 0, f"{made} output channels in {groups} groups")
    _weights(call, 0, 1, 2, channel=0, count=made)
    call.gives(
        (
            batch,
            window(call, height, kernel_h, stride_h, dilation_h),
            window(call, width, kernel_w, stride_w, dilation_w),
            made,
        )
    )


def depthwise(call: Call) -> None:
    """DEPTHWISE_CONV_2D."""
    batch, height, width, channels = call.rank(0, 4)
    one, kernel_h, kernel_w, made = call.rank(1, 4)
    stride_h, stride_w, dilation_h, dilation_w = _steps(
        call, "stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor"
    )
    multiplier = call.number("depth_multiplier")
    call.require(one == 1, f"the first dimension of the filter is {one}, and must be 1")
    call.require(
        made == channels * multiplier,
        f"{made} filters for {channels} channels and a depth multiplier of {multiplier}",
    )
    _weights(call, 0, 1, 2, channel=3, count=made)
    call.gives(
        (
            batch,
            window(call, height, kernel_h, stride_h, dilation_h),
            window(call, width, kernel_w, stride_w, dilation_w),
            made,
        )
    )


def transposed(call: Call) -> None:
    """TRANSPOSE_CONV: inputs are the output's shape, the filter, the data and a bias."""
    made, kernel_h, kernel_w, taken = call.rank(1, 4)
    batch, height, width, channels = call.rank(2, 4)
    stride_h, stride_w = _steps(call, "stride_h", "stride_w")
    shape = call.values(0)
    call.require(
        len(shape) == 4 and min(shape) > 0 and shape[0] == batch and shape[3] == made and channels == taken,
        f"an output of {listed(shape)} from {list(call.shape(2))} and a filter of {list(call.shape(1))}",
    )
    fitting = (window(call, shape[1], kernel_h, stride_h), window(call, shape[2], kernel_w, stride_w))
    call.require(
        fitting == (height, width),
        f"its input is {height} x {width}, and an output of {shape[1]} x {shape[2]} takes {fitting[0]} x {fitting[1]}",
    )
    _weights(call, 2, 1, 3, channel=0, count=made)
    call.gives(shape)


def dense(call: Call) -> None:
    """FULLY_CONNECTED: all elements of the input, in rows of the filter's depth."""
    made, depth = call.rank(1, 2)
    shape, elements = call.shape(0), prod(call.shape(0))
    call.require(
        call.operator.options["weights_format"] == "DEFAULT", "shuffled weights are not for int8 models"
    )
    call.require(len(shape) >= 1 and elements % depth == 0, f"{elements} values in rows of {depth}")
    _weights(call, 0, 1, 2, channel=0, count=made)
    said, rows = call.outputs[0].shape, elements // depth
    if call.number("keep_num_dims"):
        call.require(shape[-1] == depth, f"rows of {depth} of an input of {list(shape)}")
        call.gives((*shape[:-1], made))
    elif said and said[-1] == made and prod(said) == rows * made:
        call.regroups((rows, made))  # [units] and [1, 1, units] are written too
    else:
        call.gives((rows, made))


def _weights(call: Call, data: int, weights: int, bias: int, *, channel: int, count: int) -> None:
    """The types and quantization of filter and bias, which kernels take as they are."""
    call.same_types(data)
    tensor = call.input(weights)
    wide = call.input(data).type == "INT16"
    allowed, bias_type = (("INT8",), "INT64") if wide else (("INT8", "UINT8"), "INT32")
    call.require(tensor.type in allowed, f"its weights are {tensor.type.lower()}")
    _channels(call, tensor, channel, count)
    if not call.has(bias):
        return
    added = call.input(bias)
    call.require(
        added.type == bias_type, f"its bias is {added.type.lower()}, and must be {bias_type.lower()}"
    )
    shape = call.shape(bias)
    call.require(shape == (count,), f"its bias is {list(shape)}, and must be [{count}]")
    _channels(call, added, 0, count)


def _channels(call: Call, tensor: Tensor, channel: int, count: int) -> None:
    quantization = tensor.quantization
    if quantization is None or len(quantization.scale) <= 1:
        return
    call.require(
        quantization.quantized_dimension == channel and len(quantization.scale) == count,
        f"'{tensor.name[:80]}' has {len(quantization.scale)} scales along dimension {quantization.quantized_dimension}, "
        f"and needs {count} along {channel}",
    )


def pool(call: Call) -> None:
    """AVERAGE_POOL_2D and MAX_POOL_2D."""
    batch, height, width, channels = call.rank(0, 4)
    stride_h, stride_w, kernel_h, kernel_w = _steps(
        call, "stride_h", "stride_w", "filter_height", "filter_width"
    )
    call.same_types(0)
    call.gives(
        (batch, window(call, height, kernel_h, stride_h), window(call, width, kernel_w, stride_w), channels)
    )


def products(call: Call) -> None:
    """BATCH_MATMUL."""
    first, second = list(call.shape(0)), list(call.shape(1))
    call.require(len(first) >= 2 and len(second) >= 2, "matrices have two dimensions or more")
    call.same_types(0, 1)
    if call.number("adj_x"):
        first[-2:] = first[:-3:-1]
    if call.number("adj_y"):
        second[-2:] = second[:-3:-1]
    call.require(first[-1] == second[-2], f"rows of {first[-1]} by columns of {second[-2]}")
    call.gives((*broadcast(call, tuple(first[:-2]), tuple(second[:-2])), first[-2], second[-1]))
