"""Placements of whole models, verdicts, parameters, and the ground truth of compiled models."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_cases import ops
from tflite_models import Net, Op, T, activation, conv, dense, shape_constant

from edgekit_targets.catalog import load_target
from edgekit_targets.forecast import Confidence, Forecast, Placement, forecast
from edgekit_targets.ops import OpView, TensorView
from edgekit_targets.placing import Placed, place
from edgekit_targets.rules import RuleSet, rule_set
from edgekit_targets.rules.edgetpu_memory import LEAST_CACHE_BYTES, STREAMED_DEPTH, forecast_parameters
from edgekit_targets.target import RuleSetName
from edgekit_targets.tflite.schema import OPERATORS

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("EDGEKIT_SHARED", ROOT.parent / "shared"))
TRUTH = SHARED / "edgetpu" / "placement.json"
MIB = 1 << 20


def chain(*opcodes: str, first: str = "INT8", last: str = "INT8") -> Net:
    """Operators one after the other; FLOAT32 at an end makes a QUANTIZE or DEQUANTIZE there read or write float."""
    names = [f"t{i}" for i in range(len(opcodes) + 1)]
    tensors = {name: activation(1, 8) for name in names}
    if first == "FLOAT32":
        tensors["t0"] = T((1, 8), first)
    if last == "FLOAT32":
        tensors[names[-1]] = T((1, 8), last)
    steps = tuple(
        Op(opcode, (names[i],), (names[i + 1],), version=1 if opcode == "QUANTIZE" else 2)
        for i, opcode in enumerate(opcodes)
    )
    return Net(tensors, steps, (names[0],), (names[-1],))


def placements(model: Net, *, several: bool = False) -> list[str]:
    return [op.placement.value for op in coral(model, several=several).ops]


def coral(model: Net, *, several: bool = False) -> Forecast:
    return forecast(ops(model), load_target("coral-usb-accelerator"), several_partitions=several)


def fork() -> Net:
    """t0 -> RELU -> a; a -> SIN -> b -> RELU -> c; a -> RELU -> d; c + d -> y."""
    tensors = {name: activation(1, 8) for name in ("x", "a", "b", "c", "d", "y")}
    return Net(
        tensors,
        (
            Op("RELU", ("x",), ("a",), version=2),
            Op("SIN", ("a",), ("b",)),
            Op("RELU", ("b",), ("c",), version=2),
            Op("RELU", ("a",), ("d",), version=2),
            Op("ADD", ("c", "d"), ("y",), "AddOptions", {}, 2),
        ),
        ("x",),
        ("y",),
    )


def test_a_model_that_fits_is_mapped_wholly() -> None:
    result = coral(chain("RELU", "LOGISTIC"))
    assert [op.placement for op in result.ops] == [Placement.TPU, Placement.TPU]
    assert all(op.rule is None and op.fix is None and op.reason for op in result.ops)
    assert result.partitions == 1


def test_what_follows_an_unmapped_operator_stays_and_says_which() -> None:
    result = coral(chain("RELU", "SIN", "RELU", "LOGISTIC"))
    assert [op.placement.value for op in result.ops] == ["TPU", "CPU", "CPU", "CPU"]
    assert [op.rule for op in result.ops] == [None, "operator-list", "one-partition", "one-partition"]
    assert result.ops[3].reason.endswith("(here: operator 1, SIN)")


def test_a_branch_that_does_not_depend_on_it_is_mapped() -> None:
    assert placements(fork()) == ["TPU", "CPU", "CPU", "TPU", "CPU"]


def test_float_ends_do_not_end_the_partition() -> None:
    model = chain("QUANTIZE", "RELU", "DEQUANTIZE", first="FLOAT32", last="FLOAT32")
    assert placements(model) == ["CPU", "TPU", "CPU"]


def test_a_float_island_ends_the_partition() -> None:
    model = chain("RELU", "DEQUANTIZE", "QUANTIZE", "RELU").tensor(
        "t2", type="FLOAT32", scale=None, zero_point=0
    )
    assert placements(model) == ["TPU", "CPU", "CPU", "CPU"]


def test_an_unmapped_operator_at_the_start_leaves_nothing() -> None:
    result = coral(chain("SIN", "RELU"))
    assert [op.placement.value for op in result.ops] == ["CPU", "CPU"]
    assert result.partitions == 0
    assert result.verdict.confidence is Confidence.HIGH
    assert "does not pay" in result.verdict.text


def test_uncertainty_is_carried_on() -> None:
    result = coral(chain("RELU", "RSQRT", "RELU", "SIN", "RELU"))
    assert [op.placement.value for op in result.ops] == ["TPU", "uncertain", "uncertain", "CPU", "CPU"]
    assert result.verdict.confidence is not Confidence.HIGH


def test_a_refused_model_is_wholly_on_the_cpu() -> None:
    model = chain("RELU", "QUANTIZE", "RELU").op(1, version=3)
    result = coral(model)
    assert {op.placement for op in result.ops} == {Placement.CPU}
    assert {op.rule for op in result.ops} == {"quantize-version"}
    assert "(here: operator 1, QUANTIZE)" in result.ops[0].reason
    assert "cannot parse the model" in result.verdict.text


def test_several_partitions_when_asked_for() -> None:
    model = chain("RELU", "SIN", "RELU", "SIN", "RELU")
    assert placements(model, several=True) == ["TPU", "CPU", "TPU", "CPU", "TPU"]
    assert coral(model, several=True).partitions == 3
    joined = coral(fork(), several=True)
    assert [op.rule for op in joined.ops] == [None, "operator-list", None, None, "joined-partitions"]


def test_json_has_the_fields_that_are_promised() -> None:
    report = json.loads(json.dumps(coral(chain("RELU", "SIN")).to_json()))
    assert set(report) == {"ops", "summary"}
    assert {"index", "opcode", "name", "placement", "rule", "reason", "fix"} <= set(report["ops"][0])
    assert [op["index"] for op in report["ops"]] == [0, 1]
    assert report["ops"][1]["placement"] == "CPU"
    assert report["summary"]["operators"] == {"CPU": 1, "TPU": 1}
    assert report["summary"]["assumed_ranges"] is False


def two_layers(opcode: str) -> Net:
    """A convolution, an operator that may end the partition, and a convolution ten times larger."""
    first, second = conv(4), conv(40).rename(x="a", weights="v", bias="c", y="z")
    second = second.tensor("a", shape=(1, 8, 8, 4)).tensor("v", shape=(40, 3, 3, 4), data=1)
    between = Op(opcode, ("y",), ("a",), version=2 if opcode == "RELU" else 1)
    return Net({**first.tensors, **second.tensors}, (*first.ops, between, *second.ops), ("x",), ("z",))


def test_the_verdict_weighs_multiplications() -> None:
    good, bad = coral(two_layers("RELU")), coral(two_layers("SIN"))
    assert good.verdict.text.startswith("accelerating pays: 100% of")
    assert good.verdict.confidence is Confidence.HIGH
    assert bad.verdict.text.startswith("accelerating does not pay")
    assert "cross between it and the CPU" in bad.verdict.text
    assert sum(op.macs for op in bad.ops if op.placement is Placement.TPU) == 8 * 8 * 4 * 27


@pytest.mark.parametrize("target", ["raspberry-pi-4", "cortex-m7"])
def test_cpu_targets_run_everything_they_can(target: str) -> None:
    fast = forecast(ops(conv()), load_target(target))
    assert [op.placement for op in fast.ops] == [Placement.CPU]
    assert (fast.parameters, fast.verdict.text) == (None, "all 1 operators run on fast kernels")
    slow = forecast(ops(chain("HARD_SWISH", "ABS")), load_target(target))
    assert slow.verdict.text.startswith("2 of 2 operators")
    assert all(op.rule is not None and op.placement is Placement.CPU for op in slow.ops)


def test_what_has_no_kernel_is_unsupported() -> None:
    result = forecast(ops(chain("RELU", "GELU")), load_target("cortex-m7"))
    assert [op.placement for op in result.ops] == [Placement.CPU, Placement.UNSUPPORTED]
    assert "no kernel for GELU" in result.verdict.text


def test_an_npu_takes_several_pieces() -> None:
    result = forecast(ops(chain("RELU", "SIN", "RELU")), load_target("ethos-u55-128"))
    assert [op.placement.value for op in result.ops] == ["NPU", "CPU", "NPU"]
    assert result.partitions == 2


def layer(opcode: str, weights: tuple[int, ...], *, per_channel: bool = True, data: int = 1000) -> OpView:
    kernel = TensorView(weights, "INT8", constant=True, quantized=True, per_channel=per_channel)
    feed = TensorView((1, data), "INT8", quantized=True)
    return OpView(0, opcode, 3, None, "y", (feed, kernel), (feed,))


@pytest.mark.parametrize(
    ("op", "stored"),
    [
        (layer("CONV_2D", (32, 3, 3, 32)), 32 * (9 * 32 + 8)),
        (layer("CONV_2D", (32, 3, 3, 3)), 32 * (9 * 4 + 8)),  # input channels four by four
        (layer("CONV_2D", (33, 3, 3, 32)), 48 * (9 * 32 + 8)),  # output channels in 16s
        (layer("CONV_2D", (65, 3, 3, 32)), 128 * (9 * 32 + 8)),  # or, beyond 64, in 64s
        (layer("CONV_2D", (32, 1, 1, 32), per_channel=False), 32 * (32 + 4)),
        (layer("DEPTHWISE_CONV_2D", (1, 3, 3, 64)), 64 * (9 * 4 + 8)),
        (layer("FULLY_CONNECTED", (10, 64)), 16 * (64 + 8)),
    ],
)
def test_parameters_are_padded(op: OpView, stored: int) -> None:
    assert forecast_parameters([op], 8 * MIB).total_bytes == stored


def test_deep_dense_layers_are_streamed() -> None:
    cached = forecast_parameters([layer("FULLY_CONNECTED", (16, STREAMED_DEPTH))], 8 * MIB)
    streamed = forecast_parameters([layer("FULLY_CONNECTED", (16, STREAMED_DEPTH + 4))], 8 * MIB)
    assert (cached.streamed_bytes, streamed.cached_bytes) == (0, 0)


def test_large_models_and_activations_leave_less_in_the_cache() -> None:
    model = [layer("CONV_2D", (1024, 3, 3, 1024))]
    small = forecast_parameters(model, 8 * MIB)
    assert small.total_bytes == small.cached_bytes + small.streamed_bytes
    assert 7.9 * MIB < small.cached_bytes < 8.1 * MIB
    large = forecast_parameters([layer("CONV_2D", (1024, 3, 3, 1024), data=20 * MIB)], 8 * MIB)
    assert large.cached_bytes == LEAST_CACHE_BYTES


DTYPES = st.sampled_from(["INT8", "UINT8", "INT16", "INT32", "FLOAT32", "STRING", "BOOL", "INT4"])
SHAPES = st.lists(st.sampled_from([-1, 0, 1, 2, 3, 300]), max_size=6).map(tuple)
TENSORS = st.builds(
    TensorView, SHAPES, DTYPES, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans(),
    st.none() | st.lists(st.integers(-9, 9), max_size=5).map(tuple),
    st.none() | st.sampled_from([0.0, 0.05, -1.0, float("inf"), float("nan")]), st.none() | st.integers(-9, 9),
)  # fmt: skip
VIEWS = st.builds(
    OpView, st.just(0), st.sampled_from(OPERATORS), st.integers(0, 9), st.none(), st.just("y"),
    st.lists(st.none() | TENSORS, max_size=4).map(tuple), st.lists(TENSORS, max_size=3).map(tuple),
    st.dictionaries(
        st.sampled_from(["axis", "stride_w", "padding", "fused_activation_function", "new_axis_mask"]),
        st.integers(-3, 9) | st.sampled_from(["SAME", "RELU"]),
    ),
)  # fmt: skip


@pytest.mark.parametrize("rules", [rule_set(name) for name in RuleSetName], ids=lambda rules: rules.name)
@given(op=VIEWS)
@settings(max_examples=400, deadline=None)
def test_no_operator_breaks_a_rule_set(rules: RuleSet, op: OpView) -> None:
    (placed,) = place([op], rules)
    assert isinstance(placed, Placed)
    forecast_parameters([op], 8 * MIB)


@pytest.fixture(scope="module")
def benchmark_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "edgetpu_forecast", ROOT / "benchmarks" / "edgetpu_forecast.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(
    not TRUTH.exists(), reason="the compiled models' placements are kept apart; set EDGEKIT_SHARED"
)
def test_ground_truth(benchmark_script: ModuleType) -> None:
    models = benchmark_script.read(TRUTH)
    right, count, exact, whole = benchmark_script.agreement(models, "said")
    assert right / count >= 0.995
    assert exact / whole >= 0.98
    assert benchmark_script.wrongly_mapped(models) == []
    assert benchmark_script.recall(models) >= 0.9
    # Within 10 % or one padded block of the chip; the benchmark prints how many are within 10 % alone.
    assert len(benchmark_script.parameters_apart(models, slack_bytes=1024)) <= 0.02 * whole


def test_sources_and_sentences_are_written_out() -> None:
    for name in RuleSetName:
        rules = rule_set(name)
        every = [*rules.rules, *(r for r in (rules.one_partition, rules.joining) if r is not None)]
        assert len({rule.id for rule in every}) == len(every)
        for rule in every:
            assert rule.source
            assert rule.sentence[0].isupper()
            assert not rule.sentence.endswith(".")


def test_a_shape_computed_for_an_open_batch_is_explained() -> None:
    tensors = {
        "x": activation(1, 4, 4, 8), "shape": T((2,), "INT32"), "y": activation(1, 128), "seen": T((4,), "INT32"),
        "begin": shape_constant(0),
    }  # fmt: skip
    model = Net(tensors, (Op("RESHAPE", ("x", "shape"), ("y",)),), ("x", "shape"), ("y",))
    (op,) = coral(model).ops
    assert op.rule == "constant-parameters"
    assert op.fix is not None
    assert "batch_size" in op.fix


def test_dense_on_three_dimensions_is_explained() -> None:
    (op,) = coral(dense().op(version=5)).ops
    assert op.placement is Placement.CPU
    assert op.fix is not None
    assert "Conv1D" in op.fix
