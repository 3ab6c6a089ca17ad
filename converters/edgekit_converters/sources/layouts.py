"""Takes TRANSPOSE operators out of a float .tflite where the numbers stay the same without them.

A channels-first model brings them along: TFLite's convolutions are channels last. Each costs a pass over memory, and on
an Edge TPU often the rest of the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgekit_converters.sources.graph_view import GraphView
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


def remove_transposes(model: ModelT) -> None:
    """Removes, cancels and moves TRANSPOSE operators of the main subgraph as far as the graph allows.

    Args:
        model: Static shapes, float; is changed. What is dead afterwards is left for `prune_to_outputs`.
    """
    while _one_step(GraphView(model)):
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
        view, index = GraphView(model), int(number)
        users = view.users.get(index, [])
        if index in view.outputs or len(view.shape(index)) != 4 or not users:
            continue
        if not all(_turns_channels_last(view, user) for user in users):
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


def _turns_channels_last(view: GraphView, operator: OperatorT) -> bool:
    """A TRANSPOSE to channels last, or a RESHAPE that comes to the same as there is one channel."""
    order = view.permutation(operator)
    if order is not None or operator_name(view.model, operator) != "RESHAPE":
        return order == TO_CHANNELS_LAST
    batch, channels, height, width = view.shape(int(operator.inputs[0]))
    return channels == 1 and view.shape(int(operator.outputs[0])) == (batch, height, width, 1)


def turn_outputs_back(model: ModelT, shapes: Sequence[Sequence[int] | None]) -> None:
    """Gives outputs that a converter left channels last the channels-first shape that they had.

    Args:
        model: Is changed: TRANSPOSE operators are added.
        shapes: What each output shall be, in tensor order; None where nobody knows. Other shapes are left alone.
    """
    graph = model.subgraphs[0]
    for position, (number, wanted) in enumerate(zip(list(graph.outputs), shapes, strict=True)):
        index = int(number)
        shape = GraphView(model).shape(index)
        if wanted is None or tuple(wanted) == shape or len(wanted) < 3:
            continue
        order = (0, len(shape) - 1, *range(1, len(shape) - 1))
        if len(wanted) != len(shape) or tuple(shape[axis] for axis in order) != tuple(wanted):
            continue
        maker = GraphView(model).maker[index]
        constant = add_constant(model, "order", np.array(order, np.int32))
        made = insert_operator(model, maker, "TRANSPOSE", [index, constant], like=index)
        graph.tensors[made].shape, graph.tensors[made].shapeSignature = list(wanted), None
        at = next(n for n, each in enumerate(graph.operators) if each is maker)
        graph.operators[at - 1], graph.operators[at] = graph.operators[at], graph.operators[at - 1]
        graph.outputs = [made if n == position else int(each) for n, each in enumerate(graph.outputs)]


def transposes(model: ModelT) -> int:
    """How many TRANSPOSE operators the main subgraph has."""
    operators = model.subgraphs[0].operators
    return sum(operator_name(model, operator) == "TRANSPOSE" for operator in operators)


def _one_step(view: GraphView) -> bool:
    """Makes the first change that is possible, and tells whether there was one."""
    return any(step(view, operator) for operator in view.graph.operators for step in _STEPS)


def _cancelled(view: GraphView, operator: OperatorT) -> bool:
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


def _bypassed(view: GraphView, operator: OperatorT, index: int) -> bool:
    output = int(operator.outputs[0])
    if output in view.outputs:
        return False
    _replace(view, output, index)
    view.graph.operators.remove(operator)
    return True


def _as_reshape(view: GraphView, operator: OperatorT) -> bool:
    """A TRANSPOSE that only moves axes of size 1 is a RESHAPE, which moves nothing in memory."""
    order = view.permutation(operator)
    if order is None:
        return False
    shape = view.shape(int(operator.inputs[0]))
    kept = [axis for axis in order if shape[axis] != 1]
    if kept != sorted(kept):
        return False
    _make_reshape(view, operator, int(operator.inputs[0]), view.shape(int(operator.outputs[0])))
    return True


def _make_reshape(view: GraphView, operator: OperatorT, data: int, shape: Sequence[int]) -> None:
    constant = add_constant(view.model, "shape", np.array(shape, np.int32))
    set_operator(view.model, operator, "RESHAPE", [data, constant])
    operator.builtinOptions.newShape = list(shape)


def _below(view: GraphView, operator: OperatorT) -> bool:
    """TRANSPOSE before an elementwise operator goes behind it, nearer to what may cancel it."""
    if operator_name(view.model, operator) not in _ELEMENTWISE:
        return False
    order = view.turned(int(operator.inputs[0]))
    if order is None:
        return False
    view.bypass(operator, 0)
    _turn_behind(view, operator, order)
    return True


def _below_pair(view: GraphView, operator: OperatorT) -> bool:
    """The same for an operator on two tensors, where the other is turned alike, constant, or has one long axis."""
    if operator_name(view.model, operator) not in _PAIRWISE or len(operator.inputs) != 2:
        return False
    indices = [int(index) for index in operator.inputs]
    orders = [view.turned(index) for index in indices]
    order = next((each for each in orders if each is not None), None)
    if order is None or indices[0] == indices[1] or len(view.shape(int(operator.outputs[0]))) != len(order):
        return False
    if not all(
        own == order or _can_turn(view, index, order) for index, own in zip(indices, orders, strict=True)
    ):
        return False
    for position, (index, own) in enumerate(zip(indices, orders, strict=True)):
        if own == order:
            view.bypass(operator, position)
        else:
            inputs = [int(each) for each in operator.inputs]
            inputs[position] = _turned_back(view, operator, index, order)
            operator.inputs = inputs
    _turn_behind(view, operator, order)
    return True


def _can_turn(view: GraphView, index: int, order: Sequence[int]) -> bool:
    shape = view.shape(index)
    if view.constant(index) is not None:
        return len(shape) <= len(order)
    return len(shape) == len(order) and sum(size != 1 for size in shape) <= 1


def _turned_back(view: GraphView, before: OperatorT, index: int, order: Sequence[int]) -> int:
    """A tensor as it would be in front of the TRANSPOSE `order`."""
    shape = view.shape(index)
    inverse = np.argsort(order)
    value = view.constant(index)
    if value is not None:
        full = value.reshape((1,) * (len(order) - value.ndim) + value.shape)
        name = f"{(view.graph.tensors[index].name or b'constant').decode()}/turned"
        return add_constant(view.model, name, np.ascontiguousarray(full.transpose(inverse)))
    target = [shape[int(axis)] for axis in inverse]
    made = insert_operator(view.model, before, "RESHAPE", [index], like=index)
    reshape = next(each for each in view.graph.operators if made in map(int, each.outputs))
    _make_reshape(view, reshape, index, target)
    view.graph.tensors[made].shape, view.graph.tensors[made].shapeSignature = target, None
    return made


def _below_reshape(view: GraphView, operator: OperatorT) -> bool:
    """TRANSPOSE before a RESHAPE that only adds or drops an axis of size 1 goes behind it."""
    if operator_name(view.model, operator) != "RESHAPE":
        return False
    order = view.turned(int(operator.inputs[0]))
    if order is None:
        return False
    inner = view.maker[int(operator.inputs[0])]
    source, turned = view.shape(int(inner.inputs[0])), view.shape(int(operator.inputs[0]))
    target = view.shape(int(operator.outputs[0]))
    found = _dropped(source, turned, target, order) or _added(source, turned, target, order)
    if found is None:
        return False
    shape, after = found
    view.bypass(operator, 0)
    _turn_behind(view, operator, after)
    _make_reshape(view, operator, int(operator.inputs[0]), shape)
    return True


_Moved = tuple[tuple[int, ...], tuple[int, ...]]
Shape = tuple[int, ...]


def _dropped(source: Shape, turned: Shape, target: Shape, order: Shape) -> _Moved | None:
    """The shape to drop an axis to before the TRANSPOSE, and the order that is left to do then."""
    for position, size in enumerate(turned):
        if size == 1 and turned[:position] + turned[position + 1 :] == target:
            axis = order[position]
            rest = [each for each in order if each != axis]
            return source[:axis] + source[axis + 1 :], tuple(each - (each > axis) for each in rest)
    return None


def _added(source: Shape, turned: Shape, target: Shape, order: Shape) -> _Moved | None:
    """The same for an axis that is added: it is added in front of the same neighbour."""
    for position, size in enumerate(target):
        if size == 1 and target[:position] + target[position + 1 :] == turned:
            axis = order[position] if position < len(order) else len(source)
            moved = [each + (each >= axis) for each in order]
            return (*source[:axis], 1, *source[axis:]), (*moved[:position], axis, *moved[position:])
    return None


def _joined(view: GraphView, operator: OperatorT) -> bool:
    """RESHAPE of a RESHAPE is one; to the shape that is there already, none."""
    if operator_name(view.model, operator) != "RESHAPE":
        return False
    index = int(operator.inputs[0])
    inner = view.maker.get(index)
    if inner is not None and operator_name(view.model, inner) == "RESHAPE":
        view.bypass(operator, 0)
        return True
    return view.shape(index) == view.shape(int(operator.outputs[0])) and _bypassed(view, operator, index)


def _into_mean(view: GraphView, operator: OperatorT) -> bool:
    """A mean or maximum over axes can be taken over the axes as they were before the TRANSPOSE."""
    if operator_name(view.model, operator) not in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"):
        return False
    order = view.permutation(view.maker.get(int(operator.inputs[0])))
    axes = view.constant(int(operator.inputs[1]))
    if order is None or axes is None:
        return False
    reduced = [order[int(axis) % len(order)] for axis in np.atleast_1d(axes)]
    keep = bool(operator.builtinOptions.keepDims)
    sizes = view.shape(int(view.maker[int(operator.inputs[0])].inputs[0]))
    moving = [axis for axis in order if axis not in reduced and sizes[axis] != 1]
    if moving != sorted(moving):
        return False
    new = add_constant(view.model, "axes", np.array(sorted(reduced), np.int32))
    view.bypass(operator, 0)
    operator.inputs = [int(operator.inputs[0]), new]
    if keep:
        _turn_behind(view, operator, order)  # of one long axis: a RESHAPE in the next step
    return True


def _by_reciprocal(view: GraphView, operator: OperatorT) -> bool:
    """DIV by a constant or by a root is MUL by its reciprocal: int8 may round a small divisor to zero."""
    if operator_name(view.model, operator) != "DIV":
        return False
    index = int(operator.inputs[1])
    root = view.maker.get(index)
    if root is not None and operator_name(view.model, root) == "SQRT" and len(view.users[index]) == 1:
        if index in view.outputs:
            return False
        set_operator(view.model, root, "RSQRT", [int(root.inputs[0])])
        _make_mul(view, operator, index)
        return True
    divisor = view.constant(index)
    if divisor is None or divisor.dtype != np.float32 or not divisor.all():
        return False
    inverse = (1 / divisor.astype(np.float64)).astype(np.float32)
    _make_mul(view, operator, add_constant(view.model, "reciprocal", inverse))
    return True


def _make_mul(view: GraphView, operator: OperatorT, factor: int) -> None:
    activation = operator.builtinOptions.fusedActivationFunction if operator.builtinOptions else 0
    set_operator(view.model, operator, "MUL", [int(operator.inputs[0]), factor])
    operator.builtinOptions.fusedActivationFunction = activation


def _turn_behind(view: GraphView, operator: OperatorT, order: Sequence[int]) -> None:
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


def _replace(view: GraphView, old: int, new: int) -> None:
    for operator in view.graph.operators:
        operator.inputs = [new if int(index) == old else int(index) for index in operator.inputs]


_STEPS = (_cancelled, _as_reshape, _joined, _by_reciprocal, _below, _below_pair, _below_reshape, _into_mean)
