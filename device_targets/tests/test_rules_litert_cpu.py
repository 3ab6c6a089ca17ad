"""One test a rule of LiteRT on a processor, and each compared with what the installed LiteRT really does."""

from __future__ import annotations

import pytest
from ai_edge_litert.interpreter import Interpreter
from rule_cases import Sides, by_sentence, check, judged, op, shaped
from tflite_models import Net, Op, T, activation, binary, conv, dense, depthwise, net, shape_constant, unary

from edgekit_targets.rules import Outcome, Rule, rule_set
from edgekit_targets.rules.litert_cpu import MOST_CONCATENATED, MOST_SPLIT, RANK, SUM_RATIO

LITERT = rule_set("litert-cpu")
x = activation


def custom(name: str) -> Net:
    return net("CUSTOM", {"x": x(1, 8)}, {"y": x(1, 8)}, custom_code=name)


def concatenation(count: int, first_scale: float = 0.05) -> Net:
    inputs = {f"x{i}": x(1, 8, scale=0.05 if i else first_scale) for i in range(count)}
    return op("CONCATENATION", inputs, (1, 8 * count), "ConcatenationOptions", axis=1)


def split(count: int) -> Net:
    outputs = {f"y{i}": x(1, 2) for i in range(count)}
    tensors = {"axis": T((), "INT32", data=1), "x": x(1, 2 * count), **outputs}
    splitting = Op("SPLIT", ("axis", "x"), tuple(outputs), "SplitOptions", {"numSplits": count}, 2)
    return Net(tensors, (splitting,), ("x",), tuple(outputs))


def slice_by(stride: int) -> Net:
    inputs = {
        "x": x(1, 8), "begin": shape_constant(0, 0), "end": shape_constant(1, 8),
        "strides": shape_constant(1, stride),
    }  # fmt: skip
    return op("STRIDED_SLICE", inputs, (1, 8 // stride), "StridedSliceOptions")


def added(rank: int) -> Net:
    shape = (1,) * (rank - 1) + (8,)
    return op("ADD", {"a": x(*shape), "b": x(*shape)}, shape, "AddOptions")


def typed(opcode: str, dtype: str) -> Net:
    scale = 0.01 if dtype == "INT16" else None
    return net(opcode, {"x": T((1, 8), dtype, scale)}, {"y": T((1, 8), dtype, scale)}, version=2)


def with_activation(number: int) -> Net:
    return conv().op(options={**conv().ops[0].options, "fusedActivationFunction": number})


def pool(opcode: str) -> Net:
    options = {"strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    return op(opcode, {"x": x(1, 8, 8, 4)}, (1, 4, 4, 4), "Pool2DOptions", **options)


def resize(opcode: str, table: str) -> Net:
    return shaped(opcode, (1, 4, 4, 8), (1, 8, 8, 8), 8, 8, table=table, version=3)


RESHAPE = shaped("RESHAPE", (1, 4, 8), (1, 32), 1, 32, version=1)
SPECIAL = {
    "AVERAGE_POOL_2D": pool("AVERAGE_POOL_2D"),
    "RESIZE_NEAREST_NEIGHBOR": resize("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    "PRELU": op("PRELU", {"x": x(1, 4, 4, 8), "alpha": x(1, 1, 8, data=3)}, (1, 4, 4, 8), version=1),
    "SQUEEZE": op("SQUEEZE", {"x": x(1, 1, 8)}, (1, 8), "SqueezeOptions", 1, squeezeDims=[1]),
    "EXPAND_DIMS": op("EXPAND_DIMS", {"x": x(1, 8), "axis": T((), "INT32", data=1)}, (1, 1, 8), version=1),
    "GELU": unary("GELU", "GeluOptions", version=2),
    "SOFTMAX": unary("SOFTMAX", "SoftmaxOptions", options={"beta": 1.0}, scale=1 / 256, zero_point=-128, version=2),
}  # fmt: skip
CASES = {
    "custom-operator": Sides(custom("edgetpu-custom-op"), custom("TFLite_Detection_PostProcess")),
    "concatenation-scales": Sides(concatenation(2, first_scale=0.06), concatenation(2)),
    "float-operator": Sides(typed("RELU", "FLOAT32"), conv()),
    "other-type": Sides(typed("RELU", "INT16"), conv()),
    "xnnpack-operators": Sides(unary("ABS", version=2), conv()),
    "rank": Sides(added(RANK + 1), added(RANK)),
    "computed-parameters": Sides(
        net("RESHAPE", {"x": x(1, 4, 8), "shape": T((2,), "INT32")}, {"y": x(1, 32)}), RESHAPE
    ),
    "fused-activation": Sides(with_activation(4), with_activation(3)),
    "concatenation-inputs": Sides(concatenation(MOST_CONCATENATED + 1), concatenation(MOST_CONCATENATED)),
    "split-outputs": Sides(split(MOST_SPLIT + 1), split(MOST_SPLIT)),
    "strided-slice": Sides(slice_by(2), slice_by(1)),
    "scale-ratio": Sides(
        binary().tensor("a", scale=0.08 * SUM_RATIO[0] / 2), binary().tensor("a", scale=0.08 * SUM_RATIO[0] * 2)
    ),
    **{
        f"built-in-{opcode.lower().replace('_', '-')}": Sides(SPECIAL.get(opcode, unary(opcode, version=1)), conv())
        for opcode in ("RELU", "RELU6", "HARD_SWISH", *SPECIAL)
    },
}  # fmt: skip
PLAIN_FLOAT = ("float-operator",)  # XNNPACK has float kernels too; they are slower than int8


def on_xnnpack(model: Net) -> bool:
    """Whether the installed LiteRT delegates a model of one operator."""
    interpreter = Interpreter(model_content=model.build(), num_threads=1)
    interpreter.allocate_tensors()
    return any(each["op_name"] == "DELEGATE" for each in interpreter._get_ops_details())


@pytest.mark.parametrize("rule", by_sentence(LITERT.rules))
def test_rule(rule: Rule) -> None:
    check(rule, LITERT, CASES[rule.id])


@pytest.mark.parametrize(
    "rule", by_sentence([r for r in LITERT.rules if r.outcome is Outcome.SLOW and r.id not in PLAIN_FLOAT])
)
def test_litert_does_what_the_rule_says(rule: Rule) -> None:
    assert not on_xnnpack(CASES[rule.id].breaks)
    assert on_xnnpack(CASES[rule.id].keeps)


@pytest.mark.parametrize("rule", by_sentence([r for r in LITERT.rules if r.outcome is Outcome.MISSING]))
def test_litert_refuses_what_the_rule_says(rule: Rule) -> None:
    with pytest.raises((RuntimeError, ValueError)):
        on_xnnpack(CASES[rule.id].breaks)


@pytest.mark.parametrize(
    "model",
    [conv(), depthwise(), dense(), dense(per_channel=True), binary(), binary("SUB", "SubOptions"),
     binary("MUL", "MulOptions"), unary("LEAKY_RELU", "LeakyReluOptions", options={"alpha": 0.1}, version=2),
     unary("ELU"), RESHAPE,
     unary("LOGISTIC", scale=1 / 256, zero_point=-128, version=2),
     unary("TANH", scale=1 / 128, zero_point=0, version=2), pool("MAX_POOL_2D"),
     resize("RESIZE_BILINEAR", "ResizeBilinearOptions"),
     shaped("TRANSPOSE", (1, 4, 8), (1, 8, 4), 0, 2, 1),
     shaped("MEAN", (1, 4, 4, 8), (1, 8), 1, 2, table="ReducerOptions")],
    ids=lambda model: model.ops[0].opcode,
)  # fmt: skip
def test_what_has_a_fast_kernel_is_accepted(model: Net) -> None:
    assert judged(LITERT, model) is None
    assert on_xnnpack(model)


def test_every_rule_is_tested() -> None:
    assert {rule.id for rule in LITERT.rules} == set(CASES)
