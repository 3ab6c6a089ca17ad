"""Networks as lists of int8 operators with shapes only: no weights, no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from edgekit_targets.ops import OpView, TensorView

Kernel = int | tuple[int, int]


class Sketch:
    """Collects the operators of a network that is described layer by layer.

    Each layer takes tensors and returns one. Batch normalization and activations that fuse into a convolution are
    left out, as a converter leaves them out.
    """

    def __init__(self) -> None:
        self.ops: list[OpView] = []

    def input(self, height: int, width: int, channels: int = 3) -> TensorView:
        return TensorView((1, height, width, channels), "INT8", quantized=True)

    def op(
        self,
        opcode: str,
        inputs: Sequence[TensorView],
        shape: tuple[int, ...],
        options: Mapping[str, object] | None = None,
    ) -> TensorView:
        y = TensorView(shape, "INT8", quantized=True)
        index = len(self.ops)
        self.ops.append(OpView(index, opcode, 1, None, f"op{index}", tuple(inputs), (y,), options or {}))
        return y

    def conv(
        self, x: TensorView, filters: int, kernel: Kernel = 1, stride: int = 1, padding: str = "SAME"
    ) -> TensorView:
        kernel_h, kernel_w = _pair(kernel)
        _, height, width, channels = x.shape
        size = _size(height, kernel_h, stride, padding), _size(width, kernel_w, stride, padding)
        parameters = _weights(filters, kernel_h, kernel_w, channels), _bias(filters)
        return self.op("CONV_2D", (x, *parameters), (1, *size, filters))

    def depthwise(self, x: TensorView, kernel: int = 3, stride: int = 1, padding: str = "SAME") -> TensorView:
        _, height, width, channels = x.shape
        size = _size(height, kernel, stride, padding), _size(width, kernel, stride, padding)
        parameters = _weights(1, kernel, kernel, channels), _bias(channels)
        return self.op("DEPTHWISE_CONV_2D", (x, *parameters), (1, *size, channels))

    def separable(self, x: TensorView, filters: int, kernel: int = 3, stride: int = 1) -> TensorView:
        return self.conv(self.depthwise(x, kernel, stride), filters)

    def dense(self, x: TensorView, units: int) -> TensorView:
        return self.op("FULLY_CONNECTED", (x, _weights(units, prod(x.shape)), _bias(units)), (1, units))

    def pool(
        self, x: TensorView, kernel: int = 3, stride: int = 2, padding: str = "SAME", kind: str = "MAX"
    ) -> TensorView:
        _, height, width, channels = x.shape
        size = _size(height, kernel, stride, padding), _size(width, kernel, stride, padding)
        options = {"filter_height": kernel, "filter_width": kernel, "stride_h": stride, "stride_w": stride}
        return self.op(
            f"{kind}_POOL_2D" if kind == "MAX" else "AVERAGE_POOL_2D", (x,), (1, *size, channels), options
        )

    def mean(self, x: TensorView) -> TensorView:
        return self.op("MEAN", (x,), (1, x.shape[3]))

    def add(self, *inputs: TensorView) -> TensorView:
        total = inputs[0]
        for other in inputs[1:]:
            total = self.op("ADD", (total, other), total.shape)
        return total

    def concat(self, *inputs: TensorView) -> TensorView:
        *rest, _ = inputs[0].shape
        return self.op("CONCATENATION", inputs, (*rest, sum(x.shape[-1] for x in inputs)))

    def resize(self, x: TensorView, height: int, width: int) -> TensorView:
        return self.op("RESIZE_NEAREST_NEIGHBOR", (x,), (1, height, width, x.shape[3]))

    def affine(self, x: TensorView) -> TensorView:
        """A batch normalization that no convolution before it takes in, and its activation."""
        factors = TensorView((x.shape[-1],), "INT8", constant=True, quantized=True)
        return self.op("ADD", (self.op("MUL", (x, factors), x.shape), factors), x.shape)

    def unary(self, opcode: str, x: TensorView) -> TensorView:
        return self.op(opcode, (x,), x.shape)

    def softmax(self, x: TensorView) -> TensorView:
        return self.unary("SOFTMAX", x)

    def reshape(self, x: TensorView, *shape: int) -> TensorView:
        return self.op("RESHAPE", (x,), shape)


def _pair(kernel: Kernel) -> tuple[int, int]:
    return (kernel, kernel) if isinstance(kernel, int) else kernel


def _size(size: int, kernel: int, stride: int, padding: str) -> int:
    return -(-size // stride) if padding == "SAME" else -(-(size - kernel + 1) // stride)


def _weights(*shape: int) -> TensorView:
    return TensorView(shape, "INT8", constant=True, quantized=True)


def _bias(units: int) -> TensorView:
    return TensorView((units,), "INT32", constant=True, quantized=True)
