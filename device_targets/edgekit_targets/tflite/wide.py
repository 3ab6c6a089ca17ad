"""Operators with 16-bit activations and 8-bit weights (int16x8) that runtimes compute right.

A tensor of this kind is int16 with one scale and the zero point 0; weights stay int8, and biases become int64. Source:
LiteRT, "Full integer quantization with int16 activations and int8 weights", and the Prepare functions in
tensorflow/lite/kernels, which refuse anything else.
"""

from __future__ import annotations

WIDE_OPERATORS = frozenset(
    {
        "ABS", "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "EXPAND_DIMS",
        "FULLY_CONNECTED", "GELU", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PACK",
        "PAD", "QUANTIZE", "REDUCE_MAX", "RELU", "RELU6", "RESHAPE", "RESIZE_BILINEAR", "RSQRT", "SLICE", "SOFTMAX",
        "SPLIT", "SQRT", "SQUEEZE", "STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE", "TRANSPOSE_CONV", "UNPACK",
    }
)  # fmt: skip
"""Those whose int16 kernels gave the same bits with XNNPACK and with both sets of built-in kernels, and the right ones.

Measured on 2026-11-27 with ai-edge-litert 2.3.0 on x86-64; converters/tests/test_int16.py measures it again. Not among
them: PRELU, which computes wrongly without a word (24 dB beside 39 in int8); SUM, wrong in the reference kernels; EXP,
where the sets of kernels differ; and DEPTH_TO_SPACE, HARD_SWISH, L2_NORMALIZATION, SPACE_TO_DEPTH, SQUARED_DIFFERENCE,
which have no such kernel.
"""

LEAST_LITERT, LEAST_TENSORFLOW = "2.3.0", "2.21.0"
"""The first releases of ai-edge-litert and TensorFlow that are known to run them. Measured: tflite-runtime 2.14.0 has no
QUANTIZE from int8 to int16; the releases between were not tried."""

SUM_SHIFT = 15
"""ADD and SUB end the process unless 2 x larger input scale < 2^15 x output scale. Source: tensorflow/lite/kernels/add.cc
and sub.cc, where int16 inputs are shifted left by 15 and int8 ones by 20."""
