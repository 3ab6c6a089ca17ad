"""Events of LiteRT's profiler become operators of the model: event lists that LiteRT 2.3.0 gave, and made-up ones."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ops_models import cnn, mixed
from tflite_models import Net, Op, activation

from edgekit.errors import ProfileError
from edgekit.profiling.ops.events import Key, align, assign, execution_order, fits, operator_times
from edgekit.profiling.ops.kernels import delegates, fused_pads
from edgekit.profiling.ops.litert_c import DELEGATED, OPERATOR
from edgekit_targets.ops import OpView, view
from edgekit_targets.tflite import read_graph

# Recorded with ai-edge-litert 2.3.0 on x86-64.
CNN_ON_XNNPACK: list[Key] = [
    (DELEGATED, "Convolution (NHWC, QC8) IGEMM", 0),
    (DELEGATED, "Convolution (NHWC, QC8) DWConv", 1),
    (DELEGATED, "Add (ND)", 2),
    (DELEGATED, "Max Pooling (NHWC, S8)", 3),
    (DELEGATED, "Static Reshape (NC)", 4),
    (DELEGATED, "Static Reshape (NC)", 5),
    (DELEGATED, "Fully Connected (NC, QS8, QC8W) GEMM", 6),
    (OPERATOR, "SOFTMAX", 7),
]
MIXED_ON_XNNPACK: list[Key] = [
    (DELEGATED, "Sigmoid (NC)", 0),
    (DELEGATED, "TanH (NC)", 1),
    (OPERATOR, "NEG", 1),
    (OPERATOR, "RELU", 2),
    (DELEGATED, "ELU (NC)", 0),
    (DELEGATED, "Add (ND)", 1),
    (DELEGATED, "Subtract (ND)", 2),
]


def ops_of(net: Net) -> tuple[OpView, ...]:
    return view(read_graph(net.build()))


def op(index: int, opcode: str, *reads: int) -> OpView:
    return OpView(index, opcode, 1, None, f"t{index}", (), (), reads=reads)


def row(*opcodes: str) -> list[OpView]:
    """Operators each of which reads the one before."""
    return [op(index, opcode, *([index - 1] if index else [])) for index, opcode in enumerate(opcodes)]


def events(*names: str) -> list[Key]:
    return [(DELEGATED, name, number) for number, name in enumerate(names)]


def test_xnnpack_does_the_padding_and_brings_a_reshape() -> None:
    found = assign(ops_of(cnn()), CNN_ON_XNNPACK)
    assert found.ops == (1, 2, 3, 4, 5, 6, 6, 7)  # the second reshape is the FULLY_CONNECTED's
    assert found.fused == (0,)
    assert found.delegates == (*["XNNPACK"] * 7, None)
    assert found.doubtful == 0


def test_partitions_run_in_another_order_than_the_model_has() -> None:
    found = assign(ops_of(mixed()), MIXED_ON_XNNPACK)
    assert found.ops == (0, 3, 1, 2, 4, 5, 6)
    assert found.fused == ()
    assert found.delegates == ("XNNPACK", None, None, *["XNNPACK"] * 4)
    assert found.doubtful == 0


def test_own_kernels_name_their_operator() -> None:
    ops = ops_of(mixed())
    keys = [(OPERATOR, each.opcode, each.index) for each in ops]
    found = assign(ops, keys)
    assert found.ops == tuple(range(7))
    assert found.delegates == (None,) * 7


def test_what_follows_a_partition_waits_for_it() -> None:
    ops = [op(0, "ADD"), op(1, "NEG"), op(2, "ADD", 1), op(3, "NEG", 0), op(4, "ADD", 2, 3)]
    assert [each.index for each in execution_order(ops, {1, 3})] == [0, 1, 3, 2, 4]


@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 11), max_size=3)), max_size=12))
def test_every_operator_runs_once_and_after_all_that_it_reads(network: list[tuple[bool, set[int]]]) -> None:
    ops = [op(n, "ADD", *sorted(r for r in reads if r < n)) for n, (_, reads) in enumerate(network)]
    order = execution_order(ops, {number for number, (own, _) in enumerate(network) if own})
    assert sorted(each.index for each in order) == list(range(len(ops)))
    place = {each.index: at for at, each in enumerate(order)}
    assert all(place[before] < place[each.index] for each in ops for before in each.reads)


@pytest.mark.parametrize(
    ("names", "opcodes", "places"),
    [
        ([], [], []),
        (["Add (ND)"], ["ADD"], [0]),
        # a padding in front of, between and behind
        (["Convolution (NHWC)"], ["PAD", "CONV_2D"], [1]),
        (["Convolution (NHWC)"] * 2, ["CONV_2D", "PAD", "DEPTHWISE_CONV_2D"], [0, 2]),
        (["Convolution (NHWC)", "Constant Pad (ND)"], ["CONV_2D", "PAD"], [0, 1]),
        (["Convolution (NHWC)"] * 2, ["PAD", "CONV_2D", "PAD", "CONV_2D"], [1, 3]),
        # helpers go with the operator behind them; at the end, with the last
        (["Static Reshape (NC)", "Fully Connected (NC)"], ["FULLY_CONNECTED"], [0, 0]),
        (["Transpose (ND)", "Convolution (NHWC)", "Transpose (ND)"], ["CONV_2D"], [0, 0, 0]),
        (["Add (ND)", "Copy (NC)", "Copy (NC)", "Add (ND)"], ["ADD", "ADD"], [0, 1, 1, 1]),
        (["Copy (NC)", "Copy (NC)", "Add (ND)"], ["CONCATENATION", "ADD"], [0, 1, 1]),
        # a name that nobody knows stands for what has no other
        (["Add (ND)", "Quux (ND)", "Multiply (ND)"], ["ADD", "CUMSUM", "MUL"], [0, 1, 2]),
    ],
)
def test_names_find_their_operators(names: list[str], opcodes: list[str], places: list[int]) -> None:
    assert align(names, row(*opcodes)) == places


OPCODES = {
    "Convolution (NHWC, QC8) IGEMM": "CONV_2D",
    "Add (ND)": "ADD",
    "Max Pooling (NHWC, S8)": "MAX_POOL_2D",
    "Sigmoid (NC)": "LOGISTIC",
    "Mean (ND) Reduce": "MEAN",
}


@given(st.lists(st.sampled_from(sorted(OPCODES)), min_size=1, max_size=40))
def test_one_for_one_every_name_is_its_operator(names: list[str]) -> None:
    assert align(names, row(*(OPCODES[name] for name in names))) == list(range(len(names)))


@given(st.lists(st.sampled_from(sorted(OPCODES)), min_size=1, max_size=20), st.data())
def test_helpers_and_fused_paddings_do_not_shift_the_rest(names: list[str], data: st.DataObject) -> None:
    """Before any operator may stand a helper of XNNPACK's; before any convolution a padding that is gone."""
    told: list[str] = []
    opcodes: list[str] = []
    expected: list[int] = []
    for name in names:
        if OPCODES[name] == "CONV_2D" and data.draw(st.booleans(), "padding"):
            opcodes.append("PAD")
        elif data.draw(st.booleans(), "helper"):
            told.append("Transpose (ND)")
            expected.append(len(opcodes))
        told.append(name)
        expected.append(len(opcodes))
        opcodes.append(OPCODES[name])
    assert align(told, row(*opcodes)) == expected


def test_a_long_model_is_aligned_too() -> None:
    names = ["Static Reshape (NC)", "Fully Connected (NC, QS8, QC8W) GEMM"] * 150
    found = align(names, row(*["FULLY_CONNECTED"] * 150))
    assert found == [number // 2 for number in range(300)]


@pytest.mark.parametrize(
    ("name", "opcode", "expected"),
    [
        ("Fully Connected (NC, QS8, QC8W) GEMM", "FULLY_CONNECTED", True),
        ("Fully Connected (NC, QS8, QC8W) GEMM", "CONV_2D", True),
        ("Convolution (NHWC, QC8) DWConv", "DEPTHWISE_CONV_2D", True),
        ("Mean (ND) Reduce", "MEAN", True),
        ("TanH (NC)", "TANH", True),
        ("Resize Bilinear (NHWC, S8)", "RESIZE_BILINEAR", True),
        ("Subtract (ND)", "ADD", False),
        ("Convolution (NHWC, QC8) IGEMM", "FULLY_CONNECTED", False),
        ("", "ADD", False),
    ],
)
def test_names_that_fit(name: str, opcode: str, expected: bool) -> None:
    assert fits(name, opcode) is expected


def test_a_name_that_fits_nobody_is_counted_and_a_helper_is_not() -> None:
    ops = row("ADD", "MUL")
    assert assign(ops, events("Add (ND)", "Convert (NC, F32, QS8)", "Multiply (ND)")).doubtful == 0
    assert assign(ops, events("Add (ND)", "Divide (ND)")).doubtful == 1


def refused(ops: Sequence[OpView], keys: Sequence[Key]) -> str:
    with pytest.raises(ProfileError) as caught:
        assign(ops, keys)
    assert caught.value.hint == "ask for the method 'prefix', which works with every runtime"
    return str(caught.value)


def test_events_of_another_model_are_refused() -> None:
    assert refused(row("ADD", "MUL"), [(OPERATOR, "ADD", 0), (OPERATOR, "NEG", 2)]) == (
        "LiteRT's profiler speaks of operator 2, and the model has 2"
    )
    assert refused(row("ADD"), [(OPERATOR, "ADD", 0), (DELEGATED, "Add (ND)", 0)]) == (
        "LiteRT's profiler gives every operator to two kernels"
    )


def test_half_a_microsecond_is_added_where_xnnpack_cut_it_off() -> None:
    keys = [(DELEGATED, "Add (ND)", 0), (OPERATOR, "NEG", 1)]
    assert operator_times(keys, (0, 1), [[3, 5]], 2) == (3500.0, 5000.0)


def test_two_events_of_an_operator_are_its_time_and_none_is_none() -> None:
    keys = events("Static Reshape (NC)", "Fully Connected (NC)")
    assert operator_times(keys, (1, 1), [[2, 7]], 3) == (0.0, 10_000.0, 0.0)


def test_the_slower_half_of_the_runs_does_not_count() -> None:
    keys = [(OPERATOR, "ADD", 0), (OPERATOR, "NEG", 1)]
    runs = [[10, 20], [1, 2], [90, 20], [3, 2]]
    assert operator_times(keys, (0, 1), runs, 2) == (2000.0, 2000.0)


def test_a_constant_padding_that_one_convolution_reads_may_be_fused() -> None:
    assert fused_pads(ops_of(cnn())) == (0,)
    assert fused_pads([op(0, "PADV2"), op(1, "DEPTHWISE_CONV_2D", 0)]) == (0,)
    assert fused_pads([op(0, "PAD"), op(1, "CONV_2D", 0), op(2, "CONV_2D", 0)]) == ()  # two readers
    assert fused_pads([op(0, "PAD"), op(1, "MAX_POOL_2D", 0)]) == ()
    assert fused_pads([op(0, "PAD"), op(1, "MIRROR_PAD", 0), op(2, "CONV_2D", 1)]) == ()


def test_who_runs_an_operator() -> None:
    ops = ops_of(cnn())
    assert delegates(ops, "ai-edge-litert", "xnnpack") == (*["XNNPACK"] * 7, None)
    assert delegates(ops, "ai-edge-litert", "builtin") == (None,) * 8
    assert delegates(ops, "tflite-runtime", "builtin") == (None,) * 8
    assert delegates(ops, "tensorflow", "xnnpack") == ("unknown",) * 8  # the forecast is of LiteRT


def test_what_the_edge_tpu_runs_is_one_operator() -> None:
    tensor = activation(1, 8)
    compiled = Op("CUSTOM", ("x",), ("y",), custom_code="edgetpu-custom-op", custom_options=b"\0")
    ops = ops_of(Net({"x": tensor, "y": tensor}, (compiled,), ("x",), ("y",)))
    assert delegates(ops, "ai-edge-litert", "xnnpack") == ("Edge TPU",)
