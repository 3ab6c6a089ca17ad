"""What an operator costs: multiplications, and bytes that it moves. Pure arithmetic on shapes.

A multiplication followed by an addition is one MAC. Only products of an input with a weight (or of two inputs
of a matrix product) count: pooling, elementwise operators and changes of layout have none, and their work shows
in the bytes they move. Borders count in full: a kernel computes the padding's products or skips them, and the
usual figures of papers include them.

The layouts of weights are those of the kernels in tensorflow/lite/kernels: conv.cc (OHWI, where I is that of
one group), depthwise_conv.cc (1HWO), transpose_conv.cc (OHWI), fully_connected.cc ([units, depth]), conv3d.cc
(DHWIO), conv3d_transpose.cc (DHWOI), batch_matmul.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit_targets.ops import OpView

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one inference of an operator takes.

    Attributes:
        macs: Multiplications, each with its addition.
        parameter_bytes: Constants that it reads: weights, biases, and shapes or axes given as tensors.
        input_bytes: Activations that it reads.
        output_bytes: Activations that it writes.
    """

    macs: int
    parameter_bytes: int
    input_bytes: int
    output_bytes: int

    @property
    def bytes_moved(self) -> int:
        """Everything that it reads and writes, each byte once."""
        return self.parameter_bytes + self.input_bytes + self.output_bytes


def cost(op: OpView) -> Cost:
    """Returns what an operator costs.

    Args:
        op: An operator; an open dimension of a shape counts as `TensorView.bytes` counts it.
    """
    return Cost(macs(op), parameter_bytes(op), input_bytes(op), output_bytes(op))


def macs(op: OpView) -> int:
    """Returns the multiplications of one inference, each with its addition.

    Args:
        op: An operator; an open dimension (-1) counts as 1.

    Returns:
        0 for operators that multiply no weights; also where a tensor that decides is missing or has an
        unknown rank, and for control flow, whose body is another subgraph.
    """
    count = _COUNTS.get(op.opcode)
    return 0 if count is None else count(op)


def parameter_bytes(op: OpView) -> int:
    """Returns the bytes of the constants that an operator reads; one read by two operators counts at both."""
    return sum(tensor.bytes for tensor in op.inputs if tensor is not None and tensor.constant)


def input_bytes(op: OpView) -> int:
    """Returns the bytes of activations that an operator reads."""
    return sum(tensor.bytes for tensor in op.inputs if tensor is not None and not tensor.constant)


def output_bytes(op: OpView) -> int:
    """Returns the bytes that an operator writes."""
    return sum(tensor.bytes for tensor in op.outputs)


def _input(op: OpView, number: int, rank: int) -> Shape | None:
    """Returns the shape of an input, open dimensions as 1, or None where it is absent or of another rank."""
    tensor = op.inputs[number] if number < len(op.inputs) else None
    if tensor is None or len(tensor.shape) != rank:
        return None
    return _closed(tensor.shape)


def _closed(shape: Shape) -> Shape:
    return tuple(1 if size < 0 else size for size in shape)


def _written(op: OpView) -> int:
    """Returns the elements of the first output."""
    return prod(_closed(op.outputs[0].shape)) if op.outputs else 0


def _conv(op: OpView) -> int:
    """Each output element is a product with one filter, [height, width, channels of a group]."""
    weights = _input(op, 1, 4)
    return 0 if weights is None else _written(op) * prod(weights[1:])


def _depthwise(op: OpView) -> int:
    """Each output element is a product with one [height, width] filter."""
    weights = _input(op, 1, 4)
    return 0 if weights is None else _written(op) * weights[1] * weights[2]


def _transpose_conv(op: OpView) -> int:
    """Each input element is spread by [output channels, height, width]; cut borders count too."""
    weights, data = _input(op, 1, 4), _input(op, 2, 4)
    return 0 if weights is None or data is None else prod(data) * prod(weights[:3])


def _fully_connected(op: OpView) -> int:
    """Each output element is a product with one row of [units, depth]."""
    weights = _input(op, 1, 2)
    return 0 if weights is None else _written(op) * weights[1]


def _conv_3d(op: OpView) -> int:
    weights = _input(op, 1, 5)
    return 0 if weights is None else _written(op) * prod(weights[:4])


def _conv_3d_transpose(op: OpView) -> int:
    weights, data = _input(op, 1, 5), _input(op, 2, 5)
    return 0 if weights is None or data is None else prod(data) * prod(weights[:4])


def _batch_matmul(op: OpView) -> int:
    """Each output element is a product over the inner axis: the left matrix's last, or last but one if adj_x."""
    left = op.inputs[0] if op.inputs else None
    if left is None or len(left.shape) < 2:
        return 0
    return _written(op) * _closed(left.shape)[-2 if op.options.get("adj_x") else -1]


def _recurrent(op: OpView) -> int:
    """Each step multiplies each element of each weight matrix once.

    The matrices are the constants of rank 2: of the input, of the state and of the projection (lstm_eval.cc,
    unidirectional_sequence_rnn.cc, svdf.cc). The state itself is a variable, biases and peepholes are vectors.
    The steps are all axes of the input but its last: time and batch.
    """
    data = op.inputs[0] if op.inputs else None
    if data is None:
        return 0
    matrices = (t for t in op.inputs[1:] if t is not None and t.constant and len(t.shape) == 2)
    return prod(_closed(data.shape)[:-1]) * sum(prod(_closed(t.shape)) for t in matrices)


_COUNTS: Mapping[str, Callable[[OpView], int]] = MappingProxyType(
    {
        "CONV_2D": _conv,
        "DEPTHWISE_CONV_2D": _depthwise,
        "TRANSPOSE_CONV": _transpose_conv,
        "FULLY_CONNECTED": _fully_connected,
        "BATCH_MATMUL": _batch_matmul,
        "CONV_3D": _conv_3d,
        "CONV_3D_TRANSPOSE": _conv_3d_transpose,
        "RNN": _recurrent,
        "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
        "BIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
        "LSTM": _recurrent,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
        "BIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
        "SVDF": _recurrent,
    }
)
