"""Makes every shape in a float .tflite static, and computes once what does not depend on the input.

A model with an open batch carries its shape arithmetic along (SHAPE, STRIDED_SLICE, PACK before a RESHAPE,
for a Flatten). With the batch fixed all that is constant, and so is a float16 weight behind its DEQUANTIZE.
LiteRT itself says what the values are: the model runs twice on different inputs, and only what agrees is
written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import UnsupportedModelError
from edgekit_converters.sources.naming import first_line
from edgekit_converters.surgery import make_constant, pack, set_static_shapes, unpack
from edgekit_targets.tflite import Graph

Shape = tuple[int, ...]

# Operators whose result is not a function of their inputs' values.
# fmt: off
_IMPURE = frozenset(
    {
        "ASSIGN_VARIABLE", "CALL", "CALL_ONCE", "HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT",
        "HASHTABLE_SIZE", "IF", "MULTINOMIAL", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "READ_VARIABLE",
        "STABLEHLO_RNG_BIT_GENERATOR", "VAR_HANDLE", "WHILE",
    }
)
# fmt: on


def fold_constants(data: bytes, graph: Graph, shapes: Sequence[Shape]) -> bytes:
    """Settle the shape of every tensor and replace constant subgraphs by their values.

    Args:
        data: A float .tflite with one subgraph and no custom ops.
        graph: The same, as read.
        shapes: The wanted shape of each input, in tensor order.

    Returns:
        The bytes unchanged where everything is static and nothing can be computed ahead.

    Raises:
        UnsupportedModelError: LiteRT cannot run it in these shapes, or a shape depends on the data.
    """
    folded = _constant_tensors(graph)
    tensors = graph.main.tensors
    settled = all(tensor.is_static for tensor in tensors) and all(
        tensors[index].shape == shape for index, shape in zip(graph.main.inputs, shapes, strict=True)
    )
    if settled and not folded:
        return data
    first, second = (_run(data, graph, shapes, folded, spread) for spread in (0.0, 1.0))
    values = {
        index: value for index, value in first.values.items() if np.array_equal(value, second.values[index])
    }
    moving = [index for index, shape in first.shapes.items() if shape != second.shapes[index]]
    if moving:
        raise UnsupportedModelError(
            f"the shape of tensor '{tensors[moving[0]].name}' depends on the data",
            hint="cut the model before it with --outputs, and do that step in the app",
        )
    model = unpack(data)
    set_static_shapes(model, first.shapes)
    for index in sorted(values):
        make_constant(model, index, values[index])
    return pack(model)


def _constant_tensors(graph: Graph) -> set[int]:
    """Computed tensors that only depend on constants and on shapes."""
    known = {tensor.index for tensor in graph.main.tensors if graph.constant(tensor) is not None}
    folded: set[int] = set()
    for operator in graph.main.operators:
        if operator.opcode in _IMPURE or not operator.inputs:
            continue
        by_shape = operator.opcode in ("SHAPE", "RANK")
        if by_shape or all(index < 0 or index in known or index in folded for index in operator.inputs):
            folded.update(operator.outputs)
    return folded - set(graph.main.outputs)


class _Outcome:
    """Shapes of all tensors, and the values of some, after one run."""

    def __init__(self, shapes: dict[int, Shape], values: dict[int, npt.NDArray[Any]]) -> None:
        self.shapes = shapes
        self.values = values


def _run(data: bytes, graph: Graph, shapes: Sequence[Shape], wanted: set[int], spread: float) -> _Outcome:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        interpreter = Interpreter(
            model_content=data,
            num_threads=1,
            experimental_preserve_all_tensors=True,
            # XNNPACK would keep tensors of its own, whose shapes are not the graph's.
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        for index, shape in zip(graph.main.inputs, shapes, strict=True):
            interpreter.resize_tensor_input(index, shape)
        interpreter.allocate_tensors()
        generator = np.random.default_rng(0)
        for detail in interpreter.get_input_details():
            values = generator.normal(0.0, spread, detail["shape"]).astype(detail["dtype"])
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        found = {detail["index"]: detail["shape"] for detail in interpreter.get_tensor_details()}
        return _Outcome(
            {
                tensor.index: tuple(map(int, found[tensor.index]))
                for tensor in graph.main.tensors
                if tensor.index in found
            },
            {index: np.array(interpreter.get_tensor(index)) for index in sorted(wanted)},
        )
    except (RuntimeError, ValueError) as error:
        raise UnsupportedModelError(
            f"LiteRT cannot run it with inputs {', '.join(map(str, shapes))}: {first_line(error)}",
            hint="does it run in LiteRT by itself? If --input-shape was given, can the model take it?",
        ) from error
