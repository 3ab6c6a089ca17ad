"""One test a rule of the Edge TPU, on a model of one operator on each side of its limit."""

from __future__ import annotations

import pytest
from rule_cases import Sides, by_sentence, check, judged, op, shaped
from tflite_models import Net, Op, T, activation, binary, conv, dense, depthwise, net, shape_constant, unary

from edgekit_targets.rules import Outcome, Rule, rule_set
from edgekit_targets.rules import edgetpu_limits as limits
from edgekit_targets.rules.edgetpu import MAPPED

EDGETPU = rule_set("edgetpu")
x = activation


def quantize(dtype: str, version: int = 1) -> Net:
    feed = T((1, 8), dtype, None if dtype == "FLOAT32" else 0.05)
    return net("QUANTIZE", {"x": feed}, {"y": x(1, 8)}, version=version)


def to_float(opcode: str) -> Net:
    return net(opcode, {"x": x(1, 8)}, {"y": T((1, 8), "FLOAT32")}, version=2)


def pool(activation_number: int) -> Net:
    return op(
        "MAX_POOL_2D", {"x": x(1, 8, 8, 4)}, (1, 4, 4, 4), "Pool2DOptions",
        strideW=2, strideH=2, filterWidth=2, filterHeight=2, fusedActivationFunction=activation_number,
    )  # fmt: skip


def dilated(height: int, width: int) -> Net:
    options = {"strideW": 1, "strideH": 1, "dilationWFactor": width, "dilationHFactor": height}
    return conv().op(options=options)


def resize(opcode: str, before: tuple[int, int, int], after: tuple[int, int]) -> Net:
    table = "ResizeBilinearOptions" if opcode == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    return shaped(opcode, (1, *before), (1, *after, before[2]), *after, table=table, version=3)


def mean(before: tuple[int, ...], after: tuple[int, ...], *axes: int) -> Net:
    return shaped("MEAN", before, after, *axes, table="ReducerOptions")


def reshape(elements: int) -> Net:
    return shaped("RESHAPE", (1, elements), (1, 1, elements), 1, 1, elements, version=1)


def transpose(elements: int) -> Net:
    return shaped("TRANSPOSE", (1, elements, 1), (1, 1, elements), 0, 2, 1)


def softmax(*shape: int) -> Net:
    return unary("SOFTMAX", "SoftmaxOptions", shape=shape, version=2)


def pad(before: tuple[int, ...], after: tuple[int, ...]) -> Net:
    amounts = [[0, b - a] for a, b in zip(before, after, strict=True)]
    inputs = {"x": x(*before), "amounts": T((len(before), 2), "INT32", data=amounts)}
    return op("PAD", inputs, after)


def prelu(*alpha: int) -> Net:
    return op("PRELU", {"x": x(1, 4, 4, 8), "alpha": x(*alpha, data=3)}, (1, 4, 4, 8), version=1)


def tile(before: tuple[int, ...], after: tuple[int, ...]) -> Net:
    multiples = [b // a for a, b in zip(before, after, strict=True)]
    return shaped("TILE", before, after, *multiples, version=3)


def slice_by(stride: int) -> Net:
    inputs = {
        "x": x(1, 8), "begin": shape_constant(0, 0), "end": shape_constant(1, 8),
        "strides": shape_constant(1, stride),
    }  # fmt: skip
    return op("STRIDED_SLICE", inputs, (1, 8 // stride), "StridedSliceOptions")


def concatenation(*constant: bool) -> Net:
    inputs = {f"x{i}": x(1, 8, data=3) if c else x(1, 8) for i, c in enumerate(constant)}
    return op("CONCATENATION", inputs, (1, 8 * len(constant)), "ConcatenationOptions", axis=1)


def padded_sum(before: tuple[int, ...]) -> Net:
    model = pad(before, (1, 8, 8, 4))
    tensors = {**model.tensors, "other": x(1, 8, 8, 4), "sum": x(1, 8, 8, 4)}
    added = Op("ADD", ("y", "other"), ("sum",), "AddOptions", {}, 2)
    return Net(tensors, (*model.ops, added), ("x", "other"), ("sum",))


def flatten(*, open_batch: bool) -> Net:
    """Keras's Flatten as TensorFlow 2.21 writes it where the batch is open; else to a shape that is fed."""
    tensors = {
        "x": x(1, 4, 4, 8, signature=(-1, 4, 4, 8)), "sizes": T((4,), "INT32"), "batch": T((1,), "INT32"),
        "begin": shape_constant(0), "end": shape_constant(1), "strides": shape_constant(1),
        "rest": shape_constant(128), "shape": T((2,), "INT32"), "y": x(1, 128),
    }  # fmt: skip
    steps = (
        Op("SHAPE", ("x",), ("sizes",), "ShapeOptions"),
        Op("STRIDED_SLICE", ("sizes", "begin", "end", "strides"), ("batch",), "StridedSliceOptions"),
        Op("CONCATENATION", ("batch", "rest"), ("shape",), "ConcatenationOptions"),
    )
    reshape = Op("RESHAPE", ("x", "shape"), ("y",))
    feeds = ("x",) if open_batch else ("x", "shape")
    return Net(tensors, (*(steps if open_batch else ()), reshape), feeds, ("y",))


def custom(name: str) -> Net:
    return net("CUSTOM", {"x": x(1, 8)}, {"y": x(1, 8)}, custom_code=name)


MORE = limits.MOST_ELEMENTS + 1
SOUND = unary("RELU", version=2)
CASES = {
    "custom-operator": Sides(custom("TFLite_Detection_PostProcess"), custom("edgetpu-custom-op")),
    "float-quantize": Sides(quantize("FLOAT32"), quantize("UINT8")),
    "dequantize": Sides(to_float("DEQUANTIZE"), quantize("UINT8")),
    "conv-2d-version": Sides(conv().op(version=6), conv()),
    "fully-connected-version": Sides(dense().op(version=5), dense()),
    "transpose-conv-version": Sides(conv().op(opcode="TRANSPOSE_CONV", table=None, options={}, version=4), conv()),
    "quantize-version": Sides(quantize("INT8", 3), quantize("INT8", 2)),
    "exp-version": Sides(unary("EXP", version=2), unary("EXP", version=1)),
    "operator-list": Sides(unary("SIN"), SOUND),
    "unsure-operator": Sides(tile((1, 2, 1, 8), (1, 4, 1, 8)), tile((1, 1, 1, 8), (1, 4, 4, 8))),
    "newer-version": Sides(binary().op(version=3), binary()),
    "eight-bit": Sides(
        net("RELU", {"x": T((1, 8), "INT16", 0.01)}, {"y": T((1, 8), "INT16", 0.01)}, version=2), SOUND
    ),
    "dynamic": Sides(
        conv().tensor("x", shape=(1, 1, 1, 3), signature=(1, -1, -1, 3)),
        conv().tensor("x", signature=(-1, 8, 8, 3)),
    ),
    "rank": Sides(
        shaped("RESHAPE", (1, 2, 2, 8), (1, 2, 1, 2, 8), 1, 2, 1, 2, 8, version=1),
        shaped("RESHAPE", (1, 2, 2, 8), (1, 4, 1, 8), 1, 4, 1, 8, version=1),
    ),
    "innermost-three": Sides(unary("RELU", shape=(2, 4, 4, 8), version=2), unary("RELU", shape=(2, 4, 8), version=2)),
    "computed-shape": Sides(flatten(open_batch=True), flatten(open_batch=False)),
    "constant-parameters": Sides(conv().tensor("weights", data=None), conv()),
    "large-activation": Sides(
        unary("RELU", shape=(1, 1, 1, MORE), version=2), unary("RELU", shape=(1, 1, 1, MORE - 1), version=2)
    ),
    "batch-axis": Sides(mean((1, 4, 4, 8), (4, 4, 8), 0), mean((1, 4, 4, 8), (1, 8), 1, 2)),
    "fused-activation": Sides(pool(1), pool(0)),
    "dilation": Sides(dilated(2, 1), dilated(2, 2)),
    "weights-format": Sides(dense().op(options={"weightsFormat": 1}), dense()),
    "fully-connected-row": Sides(
        dense().tensor("x", shape=(3, 16)).tensor("y", shape=(3, 4)), dense().tensor("y", shape=(1, 1, 4))
    ),
    "constant-concatenation": Sides(concatenation(False, False, True), concatenation(False, False, False)),
    "constant-concatenation-unsure": Sides(concatenation(False, True), concatenation(False, False)),
    "softmax-row": Sides(softmax(1, 2, 8), softmax(1, 1, 8)),
    "softmax-elements": Sides(softmax(1, limits.SOFTMAX_MOST + 1), softmax(1, limits.SOFTMAX_MOST)),
    "mean-channels": Sides(mean((1, 4, 4, 6), (1, 4, 4), 3), mean((1, 4, 4, 8), (1, 4, 4), 3)),
    "mean-positions": Sides(
        mean((1, limits.MEAN_LEFT, 1, 4), (1, 4), 1, 2), mean((1, limits.MEAN_LEFT - 1, 1, 4), (1, 4), 1, 2)
    ),
    "mean-positions-unsure": Sides(
        mean((1, limits.MEAN_MAPPED + 1, 1, 4), (1, 4), 1, 2), mean((1, limits.MEAN_MAPPED, 1, 4), (1, 4), 1, 2)
    ),
    "prelu-alpha": Sides(prelu(4, 4, 8), prelu(1, 1, 8)),
    "squeeze": Sides(
        op("SQUEEZE", {"x": x(1, 5, 1, 8)}, (1, 5, 8), "SqueezeOptions", 1, squeezeDims=[2]),
        op("SQUEEZE", {"x": x(1, 1, 5, 8)}, (5, 8), "SqueezeOptions", 1, squeezeDims=[0, 1]),
    ),
    "strided-slice": Sides(slice_by(2), slice_by(1)),
    "reshape-elements": Sides(reshape(limits.RESHAPE_LEFT), reshape(limits.RESHAPE_LEFT - 1)),
    "reshape-elements-unsure": Sides(reshape(limits.RESHAPE_MAPPED + 1), reshape(limits.RESHAPE_MAPPED)),
    "transpose-elements": Sides(transpose(limits.TRANSPOSE_LEFT), transpose(limits.TRANSPOSE_LEFT - 1)),
    "transpose-elements-unsure": Sides(transpose(limits.TRANSPOSE_MAPPED + 1), transpose(limits.TRANSPOSE_MAPPED)),
    "nearest-elements": Sides(
        resize("RESIZE_NEAREST_NEIGHBOR", (128, 128, 64), (256, 256)),
        resize("RESIZE_NEAREST_NEIGHBOR", (128, 128, 63), (256, 256)),
    ),
    "nearest-elements-unsure": Sides(
        resize("RESIZE_NEAREST_NEIGHBOR", (64, 64, 129), (128, 128)),
        resize("RESIZE_NEAREST_NEIGHBOR", (64, 64, 128), (128, 128)),
    ),
    "bilinear-elements": Sides(
        resize("RESIZE_BILINEAR", (256, 256, 32), (512, 512)), resize("RESIZE_BILINEAR", (256, 256, 31), (512, 512))
    ),
    "bilinear-elements-unsure": Sides(
        resize("RESIZE_BILINEAR", (64, 64, 33), (128, 128)), resize("RESIZE_BILINEAR", (64, 64, 32), (128, 128))
    ),
    "bilinear-factor": Sides(
        resize("RESIZE_BILINEAR", (2, 2, 8), (30, 30)), resize("RESIZE_BILINEAR", (2, 2, 8), (29, 29))
    ),
    "resize-factor-unsure": Sides(
        resize("RESIZE_NEAREST_NEIGHBOR", (4, 4, 8), (9, 8)), resize("RESIZE_NEAREST_NEIGHBOR", (4, 4, 8), (8, 8))
    ),
    "padded-sum-unsure": Sides(padded_sum((1, 7, 7, 4)), padded_sum((1, 8, 8, 2))),
}  # fmt: skip
UNLISTED = [rule for rule in EDGETPU.rules if rule.id.startswith("no-")]


@pytest.mark.parametrize("rule", by_sentence([r for r in EDGETPU.rules if r not in UNLISTED]))
def test_rule(rule: Rule) -> None:
    check(rule, EDGETPU, CASES[rule.id])


@pytest.mark.parametrize("rule", by_sentence(UNLISTED))
def test_rule_names_a_replacement(rule: Rule) -> None:
    opcode = rule.id.removeprefix("no-").replace("-", "_").upper()
    check(rule, EDGETPU, Sides(unary(opcode), SOUND))
    assert rule.fix


def test_every_rule_is_tested_and_told_apart() -> None:
    ids = [rule.id for rule in EDGETPU.rules]
    assert len(set(ids)) == len(ids)
    assert set(ids) - {rule.id for rule in UNLISTED} == set(CASES)


@pytest.mark.parametrize("opcode", sorted(MAPPED))
def test_no_listed_operator_is_called_unlisted(opcode: str) -> None:
    rule = judged(EDGETPU, unary(opcode))
    assert rule is None or rule.id not in ("operator-list", "unsure-operator")


@pytest.mark.parametrize(
    "model",
    [conv(), depthwise(), dense(), dense(per_channel=True), binary(), binary("MUL", "MulOptions"), SOUND,
     mean((1, 7, 7, 1280), (1, 1280), 1, 2), softmax(1, 1000), pad((1, 8, 8, 4), (1, 10, 10, 4)),
     resize("RESIZE_BILINEAR", (12, 12, 64), (24, 24)), pool(0),
     custom("edgetpu-custom-op"), concatenation(False, False), prelu(1, 1, 8)],
    ids=lambda model: f"{model.ops[0].opcode}",
)  # fmt: skip
def test_what_is_seen_mapped_is_accepted(model: Net) -> None:
    assert judged(EDGETPU, model) is None


@pytest.mark.parametrize(
    ("model", "broken"),
    [
        (pad((2, 8), (3, 8)), True),
        (pad((2, 8), (2, 9)), False),
        (op("PACK", {"a": x(8), "b": x(8)}, (2, 8), "PackOptions", axis=0, valuesCount=2), True),
        (op("PACK", {"a": x(8), "b": x(8)}, (8, 2), "PackOptions", axis=1, valuesCount=2), False),
        (
            op("SPLIT", {"axis": T((), "INT32", data=0), "x": x(1, 8)}, (1, 8), "SplitOptions", numSplits=1),
            True,
        ),
        (
            op("SPLIT", {"axis": T((), "INT32", data=1), "x": x(1, 8)}, (1, 8), "SplitOptions", numSplits=1),
            False,
        ),
        (shaped("REDUCE_MAX", (1, 4, 8), (4, 8), -3, table="ReducerOptions"), True),
        (shaped("SUM", (1, 4, 8), (1, 8), -2, table="ReducerOptions"), False),
    ],
)
def test_batch_axis_of_each_operator(model: Net, broken: bool) -> None:
    rule = judged(EDGETPU, model)
    assert (None if rule is None else rule.id) == ("batch-axis" if broken else None)


def test_weights_of_four_bits_are_another_type() -> None:
    packed = bytes(4 * 16 // 2)
    rule = judged(EDGETPU, dense().tensor("weights", type="INT4", data=packed))
    assert rule is not None
    assert rule.id == "eight-bit"


def test_worst_outcome_decides() -> None:
    model = conv().op(version=6).tensor("weights", data=None)  # refused, and a computed parameter
    rule = judged(EDGETPU, model)
    assert rule is not None
    assert rule.outcome is Outcome.REFUSED


def test_numbers_of_sentences_are_those_compared() -> None:
    sentences = {rule.id: rule.sentence for rule in EDGETPU.rules}
    assert f"{limits.SOFTMAX_MOST:,}" in sentences["softmax-elements"]
    assert f"{limits.RESHAPE_MAPPED:,}" in sentences["reshape-elements-unsure"]
    assert f"{limits.RESHAPE_LEFT:,}" in sentences["reshape-elements"]
