"""Surgery on a model that the test builds itself: y = (a + c) * b and z = a + c, with a dead operator beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import MalformedModelError
from edgekit_converters.surgery import (
    add_constant,
    make_constant,
    operator_name,
    pack,
    prune_to_outputs,
    rename_io,
    set_operator,
    set_static_shapes,
    tensor_name,
    unique_name,
    unpack,
)
from edgekit_targets.tflite import read_graph

A, B, C, Z, Y, DEAD = range(6)


def _tensor(name: str, buffer: int = 0) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name.encode(), [1, 2], buffer
    return tensor


def _operator(code: int, inputs: list[int], output: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, [output]
    operator.builtinOptionsType = (schema.BuiltinOptions.AddOptions, schema.BuiltinOptions.MulOptions)[code]
    operator.builtinOptions = (schema.AddOptionsT, schema.MulOptionsT)[code]()
    return operator


@pytest.fixture
def model() -> Any:
    made = schema.ModelT()
    made.version, made.buffers = 3, [schema.BufferT(), schema.BufferT()]
    made.buffers[1].data = np.frombuffer(np.float32([10, 20]).tobytes(), np.uint8)
    made.operatorCodes = []
    for code in (schema.BuiltinOperator.ADD, schema.BuiltinOperator.MUL):
        made.operatorCodes.append(schema.OperatorCodeT())
        made.operatorCodes[-1].builtinCode = made.operatorCodes[-1].deprecatedBuiltinCode = code
        made.operatorCodes[-1].version = 1
    subgraph = schema.SubGraphT()
    subgraph.tensors = [
        _tensor("a"),
        _tensor("b"),
        _tensor("c", 1),
        _tensor("z"),
        _tensor("y"),
        _tensor("dead"),
    ]
    subgraph.inputs, subgraph.outputs = [A, B], [Y, Z]
    subgraph.operators = [_operator(0, [A, C], Z), _operator(1, [B, B], DEAD), _operator(1, [Z, B], Y)]
    made.subgraphs = [subgraph]
    return made


def _run(model: Any, *inputs: list[float]) -> list[list[float]]:
    data = pack(model)
    read_graph(data)
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], np.float32([values]))
    interpreter.invoke()
    return [
        interpreter.get_tensor(detail["index"])[0].tolist() for detail in interpreter.get_output_details()
    ]


def test_packing_is_the_inverse_of_unpacking_and_repeatable(model: Any) -> None:
    data = pack(model)
    assert pack(unpack(data)) == data == pack(model)
    assert _run(unpack(data), [1, 2], [3, 4]) == [[33, 88], [11, 22]]


@given(sizes=st.lists(st.integers(0, 40), max_size=6))
def test_every_constant_is_aligned_to_16_bytes(sizes: list[int]) -> None:
    made = schema.ModelT()
    made.version, made.operatorCodes, made.buffers = 3, [], [schema.BufferT()]
    subgraph = schema.SubGraphT()
    subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = [], [], [], []
    for number, size in enumerate(sizes):
        made.buffers.append(schema.BufferT())
        made.buffers[-1].data = bytes(range(size))
        tensor = _tensor(f"t{number}", number + 1)
        tensor.shape, tensor.type = [size], schema.TensorType.UINT8
        subgraph.tensors.append(tensor)
    made.subgraphs = [subgraph]
    graph = read_graph(pack(made))
    for tensor, size in zip(graph.main.tensors, sizes, strict=True):
        span = graph.constant_span(tensor)
        assert (span or (0, 0))[1] == size
        assert span is None or span[0] % 16 == 0
        assert bytes(graph.constant(tensor) or b"") == bytes(range(size))


def test_bytes_that_are_no_flatbuffer_are_malformed() -> None:
    for data in (b"", b"\xff" * 64, b"\x10\0\0\0TFL3"):
        with pytest.raises(MalformedModelError):
            unpack(data)


def test_operators_and_tensors_have_names(model: Any) -> None:
    assert [operator_name(model, operator) for operator in model.subgraphs[0].operators] == [
        "ADD",
        "MUL",
        "MUL",
    ]
    assert tensor_name(model.subgraphs[0], Z) == "z"
    model.subgraphs[0].tensors[Z].name = None
    assert tensor_name(model.subgraphs[0], Z) == ""


def test_pruning_keeps_what_the_outputs_need_and_nothing_else(model: Any) -> None:
    assert prune_to_outputs(model, [Y, Z]) == (0, 1)
    assert [tensor_name(model.subgraphs[0], i) for i in range(5)] == ["a", "b", "c", "z", "y"]
    assert _run(model, [1, 2], [3, 4]) == [[33, 88], [11, 22]]


def test_pruning_drops_inputs_that_nothing_reads(model: Any) -> None:
    assert prune_to_outputs(model, [Z]) == (0,)
    assert len(model.subgraphs[0].operators) == 1
    assert _run(model, [1, 2]) == [[11, 22]]


def test_pruning_drops_buffers_that_nothing_reads(model: Any) -> None:
    prune_to_outputs(model, [DEAD])
    assert len(model.buffers) == 1
    assert _run(model, [3, 4]) == [[9, 16]]


def test_a_tensor_becomes_a_constant_and_what_made_it_dies(model: Any) -> None:
    make_constant(model, Z, np.float32([[7, 8]]))
    assert prune_to_outputs(model, [Y]) == (1,)
    assert [operator_name(model, operator) for operator in model.subgraphs[0].operators] == ["MUL"]
    assert _run(model, [2, 3]) == [[14, 24]]


def test_an_operator_becomes_another(model: Any) -> None:
    minus_one = add_constant(model, "c", np.array(-1, np.float32))
    assert tensor_name(model.subgraphs[0], minus_one) == "c_1"
    set_operator(model, model.subgraphs[0].operators[0], "MUL", [A, minus_one])
    set_operator(model, model.subgraphs[0].operators[2], "SUB", [Z, B])
    assert len(model.operatorCodes) == 3, "MUL was known, SUB is new"
    assert _run(model, [1, 2], [3, 4]) == [[-4, -6], [-1, -2]]


def test_renaming_makes_every_name_unique(model: Any) -> None:
    model.subgraphs[0].tensors[DEAD].name = b"c"
    rename_io(model, ["c", "image"], ["scores", "mask"])
    names = [tensor_name(model.subgraphs[0], i) for i in range(6)]
    assert [names[i] for i in (A, B, Y, Z)] == ["c", "image", "scores", "mask"]
    assert sorted((names[C], names[DEAD])) == ["c_1", "c_2"]


def test_static_shapes_leave_no_dimension_open(model: Any) -> None:
    for tensor in model.subgraphs[0].tensors:
        tensor.shapeSignature = [-1, 2]
    assert not read_graph(pack(model)).main.tensors[A].is_static
    set_static_shapes(model, {A: (1, 2), Z: (1, 2)})
    assert all(tensor.is_static for tensor in read_graph(pack(model)).main.tensors)


@given(st.sampled_from(["x", "x_1"]), st.sets(st.sampled_from(["x", "x_1", "x_2", "x_1_1"])))
def test_a_unique_name_is_new(name: str, taken: set[str]) -> None:
    chosen = unique_name(name, taken)
    assert chosen not in taken
    assert (chosen == name) == (name not in taken)
