"""TRANSPOSE operators: each graph is built here, runs before and after, and must give the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edgekit_converters.sources.layouts import fold_inputs, remove_transposes, transposes, turn_outputs_back
from edgekit_converters.surgery import (
    add_constant,
    operator_name,
    pack,
    prune_to_outputs,
    rename_io,
    set_operator,
    unpack,
)

LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


class Chain:
    """A float graph, operator by operator; its last tensor is the output unless others are named."""

    def __init__(self, *shape: int) -> None:
        self.model = schema.ModelT()
        self.model.version, self.model.buffers = 3, [schema.BufferT()]
        self.model.operatorCodes, graph = [], schema.SubGraphT()
        graph.tensors, graph.operators = [], []
        self.model.subgraphs, self.graph = [graph], graph
        self.last = self.tensor(shape)
        graph.inputs = [self.last]

    def tensor(self, shape: tuple[int, ...]) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = f"t{len(self.graph.tensors)}".encode(), list(shape), 0
        tensor.hasRank = True
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, value: Any, dtype: type = np.float32) -> int:
        return add_constant(self.model, "constant", np.asarray(value, dtype))

    def add(self, name: str, shape: tuple[int, ...], *others: int, **options: object) -> int:
        operator = schema.OperatorT()
        operator.outputs = [self.tensor(shape)]
        set_operator(self.model, operator, name, [self.last, *others])
        if name == "MEAN":
            operator.builtinOptionsType = schema.BuiltinOptions.ReducerOptions
            operator.builtinOptions = schema.ReducerOptionsT()
        for option, value in options.items():
            setattr(operator.builtinOptions, option, value)
        self.graph.operators.append(operator)
        self.last = operator.outputs[0]
        return int(self.last)

    def turn(self, order: tuple[int, ...]) -> int:
        shape = self.graph.tensors[self.last].shape
        return self.add("TRANSPOSE", tuple(shape[axis] for axis in order), self.constant(order, np.int32))

    def reshape(self, *shape: int) -> int:
        return self.add("RESHAPE", shape, self.constant(shape, np.int32), newShape=list(shape))

    def built(self, *outputs: int) -> bytes:
        self.graph.outputs = list(outputs or (self.last,))
        names = [f"out{number}" for number in range(len(self.graph.outputs))]
        rename_io(self.model, ["in"], names)
        return pack(self.model)


def run(data: bytes, x: np.ndarray) -> list[np.ndarray]:
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


def cleared(data: bytes) -> tuple[bytes, list[str]]:
    """The graph after removal, and the operators that are left."""
    model = unpack(data)
    remove_transposes(model)
    prune_to_outputs(model, model.subgraphs[0].outputs)
    return pack(model), [operator_name(model, each) for each in model.subgraphs[0].operators]


def pair() -> bytes:
    chain = Chain(1, 4, 5, 3)
    chain.turn(FIRST)
    chain.turn(LAST)
    chain.add("RELU", (1, 4, 5, 3))
    return chain.built()


def activation_between() -> bytes:
    chain = Chain(1, 4, 5, 3)
    chain.turn(FIRST)
    chain.add("LOGISTIC", (1, 3, 4, 5))
    chain.add("TANH", (1, 3, 4, 5))
    chain.turn(LAST)
    return chain.built()


def batch_norm_between() -> bytes:
    chain = Chain(1, 4, 5, 3)
    chain.turn(FIRST)
    chain.add("MUL", (1, 3, 4, 5), chain.constant(np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)))
    chain.add("ADD", (1, 3, 4, 5), chain.constant(0.5))
    chain.turn(LAST)
    return chain.built()


def residual() -> bytes:
    chain = Chain(1, 4, 5, 3)
    start = chain.last
    chain.add("RELU", (1, 4, 5, 3))
    left = chain.turn(FIRST)
    chain.last = start
    chain.turn(FIRST)
    chain.add("ADD", (1, 3, 4, 5), left)
    chain.turn(LAST)
    return chain.built()


def squeeze_excite() -> bytes:
    chain = Chain(1, 4, 5, 3)
    wide = chain.turn(FIRST)
    chain.add("MEAN", (1, 3, 1, 1), chain.constant([2, 3], np.int32), keepDims=True)
    gate = chain.add("LOGISTIC", (1, 3, 1, 1))
    chain.last = wide
    chain.add("MUL", (1, 3, 4, 5), gate)
    chain.turn(LAST)
    return chain.built()


def pooled() -> bytes:
    chain = Chain(1, 4, 5, 3)
    chain.turn(FIRST)
    chain.add("MEAN", (1, 3), chain.constant([2, -1], np.int32))
    return chain.built()


def one_dimensional() -> bytes:
    chain = Chain(1, 1, 16, 6)
    chain.turn(FIRST)
    chain.reshape(1, 6, 16)
    chain.add("MUL", (1, 6, 16), chain.constant(np.arange(6.0).reshape(1, 6, 1)))
    chain.reshape(1, 6, 1, 16)
    chain.turn(LAST)
    return chain.built()


def unit_axes() -> bytes:
    chain = Chain(1, 1, 1, 7)
    chain.turn(FIRST)
    return chain.built()


@pytest.mark.parametrize(
    "build",
    [
        pair,
        activation_between,
        batch_norm_between,
        residual,
        squeeze_excite,
        pooled,
        one_dimensional,
        unit_axes,
    ],
)
def test_what_commutes_leaves_no_transpose_and_the_same_numbers(build: Any) -> None:
    data = build()
    shape = Interpreter(model_content=data).get_input_details()[0]["shape"]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    after, operators = cleared(data)
    assert "TRANSPOSE" in [operator_name(unpack(data), each) for each in unpack(data).subgraphs[0].operators]
    assert "TRANSPOSE" not in operators
    for expected, made in zip(run(data, x), run(after, x), strict=True):
        np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-7)


def test_two_transposes_that_do_not_cancel_become_one() -> None:
    chain = Chain(1, 4, 5, 3)
    chain.turn(FIRST)
    chain.turn((0, 1, 3, 2))
    data = chain.built()
    after, operators = cleared(data)
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 3)).astype(np.float32)
    assert operators == ["TRANSPOSE"]
    np.testing.assert_array_equal(run(after, x)[0], run(data, x)[0])


def test_an_output_keeps_its_layout() -> None:
    chain = Chain(1, 4, 5, 3)
    seen = chain.turn(FIRST)
    back = chain.turn(LAST)
    data = chain.built(seen, back)
    after, operators = cleared(data)
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 3)).astype(np.float32)
    assert operators.count("TRANSPOSE") >= 1
    for expected, made in zip(run(data, x), run(after, x), strict=True):
        np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("divide", ["constant", "root"])
def test_a_division_becomes_a_product(divide: str) -> None:
    chain = Chain(1, 8)
    if divide == "constant":
        chain.add("DIV", (1, 8), chain.constant(np.linspace(0.5, 3, 8)))
    else:
        start = chain.last
        chain.add("SQUARE", (1, 8))
        chain.add("ADD", (1, 8), chain.constant(1.0))
        root = chain.add("SQRT", (1, 8))
        chain.last = start
        chain.add("DIV", (1, 8), root)
    data = chain.built()
    after, operators = cleared(data)
    x = np.random.default_rng(0).normal(size=(1, 8)).astype(np.float32)
    assert "DIV" not in operators
    np.testing.assert_allclose(run(after, x)[0], run(data, x)[0], rtol=1e-5)


def test_a_division_by_zero_stays() -> None:
    chain = Chain(1, 2)
    chain.add("DIV", (1, 2), chain.constant([1.0, 0.0]))
    assert cleared(chain.built())[1] == ["DIV"]


@pytest.mark.parametrize("channels", [1, 3])
def test_an_input_that_is_turned_first_of_all_is_fed_channels_last(channels: int) -> None:
    chain = Chain(1, channels, 4, 5)
    if channels == 1:  # what converters write for a TRANSPOSE that moves nothing
        chain.reshape(1, 4, 5, 1)
    else:
        chain.turn(LAST)
    chain.add("RELU", (1, 4, 5, channels))
    data = chain.built()
    model = unpack(data)
    assert fold_inputs(model) == (0,)
    prune_to_outputs(model, model.subgraphs[0].outputs)
    assert transposes(model) == 0
    x = np.random.default_rng(0).normal(size=(1, channels, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(run(pack(model), x.transpose(LAST))[0], run(data, x)[0])


def test_an_input_that_is_also_read_as_it_is_stays() -> None:
    chain = Chain(1, 3, 4, 5)
    start = chain.last
    turned = chain.turn(LAST)
    chain.last = start
    other = chain.add("RELU", (1, 3, 4, 5))
    model = unpack(chain.built(turned, other))
    assert fold_inputs(model) == ()


def test_an_output_that_the_converter_turned_is_turned_back() -> None:
    chain = Chain(1, 4, 5, 3)
    chain.add("RELU", (1, 4, 5, 3))
    data = chain.built()
    model = unpack(data)
    turn_outputs_back(model, [(1, 3, 4, 5)])
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(run(pack(model), x)[0], run(data, x)[0].transpose(FIRST))
