"""Takes TRANSPOSE operators out of a float .tflite where the numbers stay the same without them.

A channels-first model brings them along: TFLite's convolutions are channels last. Each costs a pass over memory, and on
an Edge TPU often the rest of the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgekit_converters.surgery import add_constant, insert_operator, operator_name, set_operator

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT, OperatorT

TO_CHANNELS_LAST = (0, 2, 3, 1)

# Of one tensor, element by element: they commute with a TRANSPOSE.
# fmt: off
_ELEMENTWISE = frozenset(
    {
        "ABS", "ELU", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "NEG", "RELU", "RELU6", "RELU_N1_TO_1",
        "RSQRT", "SQRT", "SQUARE", "TANH",
    }
)
# fmt: on
_PAIRWISE = frozenset({"ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "SUB"})


class _View:
    """The main subgraph with its uses; made anew after every change."""

    def __init__(self, model: ModelT) -> None:
        self.model = model
        self.graph = model.subgraphs[0]
        self.outputs = set(map(int, self.graph.outputs))
        self.users: dict[int, list[OperatorT]] = {}
        self.maker: dict[int, OperatorT] = {}
        for operator in self.graph.operators:
            for index in operator.inputs:
                self.users.setdefault(int(index), []).append(operator)
            for index in operator.outputs:
                self.maker[int(index)] = operator

    def shape(self, index: int) -> tuple[int, ...]:
        shape = self.graph.tensors[index].shape
        return tuple(map(int, shape if shape is not None else ()))

    def constant(self, index: int) -> np.ndarray | None:
        tensor = self.graph.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        if data is None or len(data) == 0 or int(index) in self.maker:
            return None
        dtypes = {0: np.float32, 2: np.int32, 4: np.int64}  # schema.fbs: TensorType FLOAT32, INT32, INT64
        if tensor.type not in dtypes:
            return None
        return np.frombuffer(bytes(data), dtypes[tensor.type]).reshape(self.shape(index))

    def permutation(self, operator: OperatorT | None) -> tuple[int, ...] | None:
        """Of a TRANSPOSE; None for any other operator."""
        if operator is None or operator_name(self.model, operator) != "TRANSPOSE":
            return None
        order = self.constant(int(operator.inputs[1]))
        return None if order is None else tuple(map(int, order))

    def turned(self, index: int) -> tuple[int, ...] | None:
        """The permutation that made this tensor, if nobody else looks at it."""
        if index in self.outputs or len(self.users.get(index, ())) != 1:
            return None
        return self.permutation(self.maker.get(index))


def remove_transposes(model: ModelT) -> None:
    """Removes, cancels and moves TRANSPOSE operators of the main subgraph as far as the graph allows.

    Args:
        model: Static shapes, float; is changed. What is dead afterwards is left for `prune_to_outputs`.
    """
    while _one_step(_View(model)):
        pass


def fold_inputs(model: ModelT) -> tuple[int, ...]:
    """Lets inputs be channels last where all that reads them turns them so first.

    Args:
        model: Is changed: such an input has the shape (N, H, W, C) then.

    Returns:
        The positions of those inputs.
    """
    folded = []
    for position, number in enumerate(model.subgraphs[0].inputs):
        view, index = _View(model), int(number)
        users = view.users.get(index, [])
        if index in view.outputs or len(view.shape(index)) != 4 or not users:
            continue
        if any(view.permutation(user) != TO_CHANNELS_LAST for user in users):
            continue
        if any(int(user.outputs[0]) in view.outputs for user in users):
            continue
        batch, channels, height, width = view.shape(index)
        tensor = view.graph.tensors[index]
        tensor.shape, tensor.shapeSignature = [batch, height, width, channels], None
        for user in users:
            _replace(view, int(user.outputs[0]), index)
            view.graph.operators.remove(user)
        folded.append(position)
    return tuple(folded)


def transposes(model: ModelT) -> int:
    """How many TRANSPOSE operators the main subgraph has."""
    operators = model.subgraphs[0].operators
    return sum(operator_name(model, operator) == "TRANSPOSE" for operator in operators)


def _one_step(view: _View) -> bool:
    """Makes the first change that is possible, and tells whether there was one."""
    return any(
        step(view, operator)
        for operator in view.graph.operators
        for step in (_cancelled, _as_reshape, _below, _below_pair, _into_mean)
    )


def _cancelled(view: _View, operator: OperatorT) -> bool:
    """TRANSPOSE of a TRANSPOSE: one, or none."""
    after = view.permutation(operator)
    if after is None:
        return False
    inner = view.maker.get(int(operator.inputs[0]))
    before = view.permutation(inner)
    if before is None or inner is None:
        return after == tuple(range(len(after))) and _bypassed(view, operator, int(operator.inputs[0]))
    joined = tuple(before[axis] for axis in after)
    if joined == tuple(range(len(joined))) and _bypassed(view, operator, int(inner.inputs[0])):
        return True
    order = add_constant(view.model, "order", np.array(joined, np.int32))
    operator.inputs = [int(inner.inputs[0]), order]
    return True


def _bypassed(view: _View, operator: OperatorT, index: int) -> bool:
    output = int(operator.outputs[0])
    if output in view.outputs:
        return False
    _replace(view, output, index)
    view.graph.operators.remove(operator)
    return True


def _as_reshape(view: _View, operator: OperatorT) -> bool:
    """A TRANSPOSE that only moves axes of size 1 is a RESHAPE, which moves nothing in memory."""
    order = view.permutation(operator)
    if order is None:
        return False
    shape = view.shape(int(operator.inputs[0]))
    kept = [axis for axis in order if shape[axis] != 1]
    if kept != sorted(kept):
        return False
    target = np.array(view.shape(int(operator.outputs[0])), np.int32)
    data = int(operator.inputs[0])
    set_operator(view.model, operator, "RESHAPE", [data, add_constant(view.model, "shape", target)])
    operator.builtinOptions.newShape = target.tolist()
    return True


def _below(view: _View, operator: OperatorT) -> bool:
    """TRANSPOSE before an elementwise operator goes behind it, nearer to what may cancel it."""
    if operator_name(view.model, operator) not in _ELEMENTWISE:
        return False
    order = view.turned(int(operator.inputs[0]))
    if order is None:
        return False
    inner = view.maker[int(operator.inputs[0])]
    operator.inputs = [int(inner.inputs[0])]
    _turn_behind(view, operator, order)
    view.graph.operators.remove(inner)
    return True


def _below_pair(view: _View, operator: OperatorT) -> bool:
    """The same for an operator on two tensors that are turned alike, or on one and a constant."""
    if operator_name(view.model, operator) not in _PAIRWISE or len(operator.inputs) != 2:
        return False
    indices = [int(index) for index in operator.inputs]
    orders = [view.turned(index) for index in indices]
    order = next((each for each in orders if each is not None), None)
    if order is None or indices[0] == indices[1]:
        return False
    replaced = []
    for index, own in zip(indices, orders, strict=True):
        if own == order:
            replaced.append(int(view.maker[index].inputs[0]))
        elif (value := view.constant(index)) is not None and value.ndim in (0, 1, len(order)):
            full = value.reshape((1,) * (len(order) - value.ndim) + value.shape)
            source = np.ascontiguousarray(full.transpose(np.argsort(order)))
            name = f"{(view.graph.tensors[index].name or b'constant').decode()}/turned"
            replaced.append(add_constant(view.model, name, source))
        else:
            return False
    inner = [view.maker[index] for index, own in zip(indices, orders, strict=True) if own is not None]
    operator.inputs = replaced
    _turn_behind(view, operator, order)
    for each in inner:
        view.graph.operators.remove(each)
    return True


def _into_mean(view: _View, operator: OperatorT) -> bool:
    """A mean or maximum over axes can be taken over the axes as they were before the TRANSPOSE."""
    if operator_name(view.model, operator) not in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"):
        return False
    order = view.turned(int(operator.inputs[0]))
    axes = view.constant(int(operator.inputs[1]))
    if order is None or axes is None:
        return False
    rank = len(order)
    reduced = [order[int(axis) % rank] for axis in np.atleast_1d(axes)]
    kept = [axis for axis in order if axis not in reduced]
    sizes = view.shape(int(view.maker[int(operator.inputs[0])].inputs[0]))
    moving = [axis for axis in kept if sizes[axis] != 1]
    if operator.builtinOptions.keepDims or moving != sorted(moving):
        return False
    inner = view.maker[int(operator.inputs[0])]
    new = add_constant(view.model, "axes", np.array(sorted(reduced), np.int32))
    operator.inputs = [int(inner.inputs[0]), new]
    view.graph.operators.remove(inner)
    return True


def _turn_behind(view: _View, operator: OperatorT, order: Sequence[int]) -> None:
    """Lets an operator write what it computes now, before a TRANSPOSE to what it wrote until now."""
    output = int(operator.outputs[0])
    shape = view.shape(output)
    constant = add_constant(view.model, "order", np.array(order, np.int32))
    position = next(n for n, each in enumerate(view.graph.operators) if each is operator)
    # Behind itself: in front of the next operator, or in front of itself and then exchanged.
    before = insert_operator(view.model, operator, "TRANSPOSE", [output, constant], like=output)
    turning = view.graph.operators[position]
    view.graph.operators[position], view.graph.operators[position + 1] = operator, turning
    inverse = np.argsort(order)
    view.graph.tensors[before].shape = [shape[int(axis)] for axis in inverse]
    view.graph.tensors[before].shapeSignature = None
    operator.outputs, turning.inputs, turning.outputs = [before], [before, constant], [output]


def _replace(view: _View, old: int, new: int) -> None:
    for operator in view.graph.operators:
        operator.inputs = [new if int(index) == old else int(index) for index in operator.inputs]


