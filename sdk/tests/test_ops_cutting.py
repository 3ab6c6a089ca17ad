"""Cut models run on LiteRT and compute what the whole model computes there; what cannot be cut is refused."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_models import cnn, conditional, mixed, random_inputs
from tflite_models import Net, Op, activation, conv, edit

from edgekit.backends import Kernels
from edgekit.backends.litert import LiteRtBackend
from edgekit.backends.tinymodel import TinyTensor, write_model
from edgekit.errors import EdgekitError, MalformedModelError, ProfileError
from edgekit.profiling.ops.cutting import Cutter, outputs_of
from edgekit_targets.tflite import DEFAULT_LIMITS, Graph, read_graph
from edgekit_targets.tflite.flatbuffer import Flatbuffer

BACKEND = LiteRtBackend()


def run(model: bytes, kernels: Kernels) -> dict[str, np.ndarray[Any, Any]]:
    """The outputs of a model by name, for inputs that depend on its inputs alone."""
    interpreter = BACKEND.open(model, kernels=kernels)
    feed(interpreter, read_graph(model))
    return {tensor.name: interpreter.output(tensor.index) for tensor in interpreter.outputs}


def run_keeping_all(model: bytes, kernels: Kernels) -> dict[str, np.ndarray[Any, Any]]:
    """Every tensor that a model computes, and its inputs, by name."""
    graph = read_graph(model)
    interpreter = BACKEND.open(model, kernels=kernels, preserve_all_tensors=True)
    feed(interpreter, graph)
    numbers = {n for op in graph.main.operators for n in op.outputs} | set(graph.main.inputs)
    return {graph.main.tensors[number].name: interpreter.view(number).copy() for number in numbers}


def feed(interpreter: Any, graph: Graph) -> None:
    for tensor, array in zip(interpreter.inputs, random_inputs(graph), strict=True):
        interpreter.set_input(tensor.index, array)
    interpreter.invoke()


def names_of(graph: Graph, numbers: tuple[int, ...]) -> list[str]:
    return [graph.main.tensors[number].name for number in numbers]


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
@pytest.mark.parametrize("make", [conv, cnn, mixed, conditional])
def test_cut_anywhere_a_model_computes_what_the_whole_one_does(make: Any, kernels: Kernels) -> None:
    model = make().build()
    graph = read_graph(model)
    cutter, expected = Cutter(graph), run_keeping_all(model, kernels)
    for count in range(len(graph.main.operators) + 1):
        cut = cutter.prefix(count)
        assert read_graph(cut).main.operators == graph.main.operators[:count]
        found = run(cut, kernels)
        assert list(found) == names_of(graph, outputs_of(graph, count))
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name], err_msg=f"{count} operators, {name}")
    assert set(found) >= set(names_of(graph, graph.main.outputs))


@st.composite
def networks(draw: st.DrawFn) -> Net:
    """Any network of a few elementwise operators: branches, dead ends, and any of its results as outputs."""
    count = draw(st.integers(1, 7))
    names = ["a", "b"]
    ops = []
    for number in range(count):
        opcode = draw(st.sampled_from(["ADD", "SUB", "MUL", "RELU", "TANH"]))
        taken = 2 if opcode in ("ADD", "SUB", "MUL") else 1
        inputs = tuple(draw(st.sampled_from(names)) for _ in range(taken))
        table = f"{opcode.title()}Options" if taken == 2 else None
        ops.append(Op(opcode, inputs, (f"t{number}",), table, version=2 if taken == 2 else 1))
        names.append(f"t{number}")
    outputs = draw(st.lists(st.sampled_from(names[2:]), min_size=1, unique=True))
    tensors = {name: activation(1, 8, scale=1 / 128, zero_point=0) for name in names}
    return Net(tensors, tuple(ops), ("a", "b"), tuple(outputs))


@settings(max_examples=40, deadline=None)
@given(networks(), st.data())
def test_any_network_can_be_cut_anywhere(network: Net, data: st.DataObject) -> None:
    model = network.build()
    graph = read_graph(model)
    count = data.draw(st.integers(0, len(network.ops)))
    expected = run_keeping_all(model, "builtin")
    for name, array in run(Cutter(graph).prefix(count), "builtin").items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_cut_hands_out_all_that_is_still_read() -> None:
    graph = read_graph(cnn().build())
    assert [names_of(graph, outputs_of(graph, count)) for count in range(9)] == [
        ["x"], ["padded"], ["conv"], ["conv", "depth"], ["sum"], ["pooled"], ["flat"], ["dense"], ["y"],
    ]  # fmt: skip


def test_an_output_of_the_model_stays_one_and_a_dead_end_is_none() -> None:
    ops = (
        Op("RELU", ("x",), ("early",)),
        Op("RELU", ("x",), ("unread",)),
        Op("RELU", ("x",), ("late",)),
    )
    tensors = dict.fromkeys(("x", "early", "unread", "late"), activation(1, 8))
    graph = read_graph(Net(tensors, ops, ("x",), ("late", "early")).build())
    assert [names_of(graph, outputs_of(graph, count)) for count in range(4)] == [
        ["x"], ["early"], ["early"], ["early", "late"],
    ]  # fmt: skip


def test_signatures_are_dropped() -> None:
    from ai_edge_litert.interpreter import Interpreter

    model = cnn().build()
    assert list(Interpreter(model_content=model).get_signature_list()) == ["serving_default"]
    for count in range(9):
        cut = Cutter(read_graph(model)).prefix(count)
        assert read_graph(cut).signatures == ()
        assert not Interpreter(model_content=cut).get_signature_list()


def test_the_model_itself_is_left_alone() -> None:
    model = cnn().build()
    kept = bytes(bytearray(model))
    Cutter(read_graph(model)).prefix(3)
    assert model == kept


@pytest.mark.parametrize("extra", range(4))
def test_a_file_of_any_length_can_be_cut(extra: int) -> None:
    """What is appended must stand at a multiple of 4."""
    model = conv().build() + bytes(extra)
    assert set(run(Cutter(read_graph(model)).prefix(1), "builtin")) == {"y"}


def test_a_model_without_operators_is_refused() -> None:
    model = write_model([TinyTensor("x", (1, 4), "int8", 0.5)], [0], [0], description="nothing to do")
    with pytest.raises(ProfileError, match="the model has no operators") as caught:
        Cutter(read_graph(model))
    assert caught.value.hint == "this model can only be profiled as a whole: leave --ops out"


def test_a_model_that_names_no_outputs_is_refused() -> None:
    def forget(model: Any) -> None:
        model.subgraphs[0].outputs = None

    with pytest.raises(ProfileError, match="the model names no outputs") as caught:
        Cutter(read_graph(edit(conv().build(), forget)))
    assert caught.value.hint


def subgraphs_at(model: bytes) -> int:
    """Where the vector of offsets to the subgraphs begins."""
    span = Flatbuffer(model, b"TFL3", DEFAULT_LIMITS).root("model").span(2, 4)
    assert span is not None
    return span[0]


def test_two_subgraphs_in_one_place_are_refused() -> None:
    """Cutting the first would cut the second, which a sound file keeps apart."""
    model = bytearray(conditional().build())
    at = subgraphs_at(model)
    (first,) = struct.unpack_from("<I", model, at)
    struct.pack_into("<I", model, at + 4, first - 4)
    graph = read_graph(bytes(model))
    assert len(graph.subgraphs[1].operators) == len(graph.main.operators)
    with pytest.raises(ProfileError, match="cannot be cut: parts of its file overlap"):
        Cutter(graph)


def test_a_list_of_operators_that_is_something_else_too_is_refused() -> None:
    """The shape of a tensor of another subgraph is made to lie upon the list of operators."""
    model = bytearray(conditional().build())
    main, other, _ = Flatbuffer(model, b"TFL3", DEFAULT_LIMITS).root("model").tables(2, "subgraph", 3)
    operators = main.span(3, 4)
    shape_at = next(other.tables(0, "tensor", 5)).field(0)
    assert operators is not None
    assert shape_at is not None
    struct.pack_into("<I", model, shape_at, operators[0] - 4 - shape_at)
    graph = read_graph(bytes(model))
    assert len(graph.subgraphs[1].tensors[0].shape) == len(graph.main.operators)
    with pytest.raises(ProfileError, match="parts of its file overlap"):
        Cutter(graph)


@pytest.mark.parametrize("make", [conv, mixed])
def test_every_truncation_is_refused(make: Any) -> None:
    model = make().build()
    for length in range(len(model)):
        with pytest.raises(MalformedModelError):
            Cutter(read_graph(model[:length])).prefix(0)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_spoilt_bytes_give_an_edgekit_error_or_a_sound_cut(changes: list[tuple[int, int]]) -> None:
    model = bytearray(CNN)
    for place, value in changes:
        model[place % len(model)] = value
    try:
        graph = read_graph(bytes(model))
        cutter = Cutter(graph)
    except EdgekitError:
        return
    for count in range(len(graph.main.operators) + 1):
        main = read_graph(cutter.prefix(count)).main
        assert main.operators == graph.main.operators[:count]
        assert main.outputs == outputs_of(graph, count)


CNN = cnn().build()
