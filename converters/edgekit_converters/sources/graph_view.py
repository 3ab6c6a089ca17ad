"""A float .tflite's main subgraph as its rewriting sees it: who makes a tensor, who reads it, what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgekit_converters.surgery import operator_name

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT, OperatorT


class GraphView:
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
        """Of a tensor; () of a scalar."""
        shape = self.graph.tensors[index].shape
        return tuple(map(int, shape if shape is not None else ()))

    def constant(self, index: int) -> np.ndarray | None:
        """What a constant tensor of float32 or whole numbers holds; None for any other."""
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

    def bypass(self, operator: OperatorT, position: int) -> None:
        """Lets an operator read what a TRANSPOSE before it reads; the TRANSPOSE goes if nobody else needs it."""
        index = int(operator.inputs[position])
        inner = self.maker[index]
        inputs = [int(each) for each in operator.inputs]
        inputs[position] = int(inner.inputs[0])
        operator.inputs = inputs
        if index not in self.outputs and all(user is operator for user in self.users[index]):
            self.graph.operators.remove(inner)
