"""The planned arena beside the addresses that LiteRT really gives, and beside what TensorFlow Lite Micro reports."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_models import Net, Op, T, activation, binary, conv, dense, depthwise, net, shape_constant

from edgekit_targets.memory import Planner, plan_arena
from edgekit_targets.tflite import Graph, read_graph


def real_offsets(data: bytes, graph: Graph) -> dict[int, int]:
    """Where LiteRT's reference kernels (no delegate, no scratch memory) hold each computed tensor of a model."""
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    main = graph.main
    numbers = {*main.inputs, *(number for operator in main.operators for number in operator.outputs)}
    address = {n: interpreter.tensor(n)().__array_interface__["data"][0] for n in numbers}
    lowest = min(address.values())
    return {number: where - lowest for number, where in address.items()}


def extent(graph: Graph, offsets: dict[int, int]) -> int:
    """Bytes from the first to the last of some int8 tensors."""
    tensors = graph.main.tensors
    return max(offset + _elements(tensors[number].shape) for number, offset in offsets.items())


def _elements(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


@dataclass
class Sketch:
    """Grows a random int8 network, in which every tensor is used as the operators allow."""

    rng: random.Random
    tensors: dict[str, T] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)

    def new(self, shape: tuple[int, ...]) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = activation(*shape)
        return name

    def alike(self, name: str) -> str:
        shape = self.tensors[name].shape
        return self.rng.choice([n for n, t in self.tensors.items() if t.shape == shape and t.data is None])

    def step(self) -> None:
        source = self.rng.choice([n for n, t in self.tensors.items() if t.data is None][-4:])
        _, height, width, channels = self.tensors[source].shape
        kind = self.rng.choice(("add", "add", "concat", "pool", "reshape", "relu"))
        if kind == "add":
            inputs = (source, self.alike(source))
            target = self.new((1, height, width, channels))
            self.ops.append(Op("ADD", inputs, (target,), "AddOptions", {}, 2))
        elif kind == "concat" and channels < 64:
            inputs = (source, self.alike(source))
            target = self.new((1, height, width, 2 * channels))
            options = {"axis": 3}
            self.ops.append(Op("CONCATENATION", inputs, (target,), "ConcatenationOptions", options, 2))
        elif kind == "pool" and height > 1 and width > 1:
            target = self.new((1, height // 2, width // 2, channels))
            options = {"padding": 1, "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
            self.ops.append(Op("MAX_POOL_2D", (source,), (target,), "Pool2DOptions", options, 2))
        elif kind == "reshape":
            shape = (1, height * width, 1, channels)
            target = self.new(shape)
            constant = f"s{len(self.tensors)}"
            self.tensors[constant] = shape_constant(*shape)
            self.ops.append(Op("RESHAPE", (source, constant), (target,)))
        else:
            target = self.new((1, height, width, channels))
            self.ops.append(Op("RELU", (source,), (target,), version=2))

    def net(self) -> Net:
        read = {name for op in self.ops for name in op.inputs}
        ends = tuple(name for op in self.ops for name in op.outputs if name not in read)
        return Net(self.tensors, tuple(self.ops), ("t0",), ends)


def random_net(seed: int) -> Net:
    sketch = Sketch(random.Random(seed))
    sketch.new((1, 16, 12, 8))
    for _ in range(20):
        sketch.step()
    return sketch.net()


@pytest.mark.parametrize("seed", range(12))
def test_every_tensor_lies_where_litert_puts_it(seed: int) -> None:
    data = random_net(seed).build()
    graph = read_graph(data)
    real = real_offsets(data, graph)
    arena = plan_arena(graph)
    planned = {a.tensor: a.offset for a in arena.allocations}
    assert planned == {number: real[number] for number in planned}
    assert arena.bytes == extent(graph, real)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("planner", Planner)
def test_tensors_that_live_at_the_same_time_do_not_overlap(seed: int, planner: Planner) -> None:
    allocations = plan_arena(read_graph(random_net(seed).build()), planner).allocations
    for i, a in enumerate(allocations):
        for b in allocations[:i]:
            assert not a.meets(b) or a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset


def test_a_convolution_takes_its_input_and_its_output() -> None:
    arena = plan_arena(read_graph(conv(channels=4).build()))
    assert arena.bytes == 192 + 256  # 8 * 8 * 3, already a multiple of 64, and 8 * 8 * 4
    assert [a.offset for a in arena.allocations] == [0, 192]


def test_a_variable_is_counted_apart() -> None:
    model = binary().tensor("b", variable=True)
    arena = plan_arena(read_graph(model.build()))
    assert arena.variable_bytes == 64
    assert arena.bytes == 64 + 64 + 8


def test_a_model_without_operators_has_an_arena_of_its_input() -> None:
    model = Net({"x": activation(1, 8)}, (), ("x",), ("x",))
    assert plan_arena(read_graph(model.build())).bytes == 8


def test_bodies_of_control_flow_add_their_own() -> None:
    alone = net("RELU", {"x": activation(1, 640)}, {"y": activation(1, 640)}, version=2)
    both = Net(alone.tensors, alone.ops, alone.inputs, alone.outputs, subgraphs=(alone,))
    assert plan_arena(read_graph(both.build())).bytes == 2 * plan_arena(read_graph(alone.build())).bytes


def branches() -> Net:
    """Two branches of different sizes that meet twice."""
    shapes = {"x": (1, 16, 12, 8), "a": (1, 16, 12, 8), "p": (1, 8, 6, 8), "b": (1, 8, 6, 8),
              "c": (1, 8, 6, 16), "d": (1, 8, 6, 16), "e": (1, 4, 3, 16), "f": (1, 4, 3, 32)}  # fmt: skip
    pool = {"padding": 1, "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    ops = (
        Op("RELU", ("x",), ("a",), version=2),
        Op("MAX_POOL_2D", ("a",), ("p",), "Pool2DOptions", pool, 2),
        Op("RELU", ("p",), ("b",), version=2),
        Op("CONCATENATION", ("b", "p"), ("c",), "ConcatenationOptions", {"axis": 3}, 2),
        Op("ADD", ("c", "c"), ("d",), "AddOptions", {}, 2),
        Op("MAX_POOL_2D", ("d",), ("e",), "Pool2DOptions", pool, 2),
        Op("CONCATENATION", ("e", "e"), ("f",), "ConcatenationOptions", {"axis": 3}, 2),
    )
    return Net({name: activation(*shape) for name, shape in shapes.items()}, ops, ("x",), ("f",))


# What the interpreter of tflite-micro 0.dev20261023182759 (x86-64) printed on 2026-11-24 as "Arena allocation head":
# the part of its arena that holds tensors.
MICRO_HEADS = {
    "branches": (branches(), 3072),
    "convolution": (conv(channels=16), 1216),
    "depthwise": (depthwise(channels=4), 512),
    "dense": (dense(), 32),
}


@pytest.mark.parametrize("name", MICRO_HEADS)
def test_the_head_that_tensorflow_lite_micro_reports(name: str) -> None:
    model, head = MICRO_HEADS[name]
    assert plan_arena(read_graph(model.build()), Planner.MICRO).bytes == head
