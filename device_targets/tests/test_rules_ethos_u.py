"""One test a rule of the Ethos-U, on a model of one operator on each side of its limit."""

from __future__ import annotations

import pytest
from rule_cases import Sides, by_sentence, check, judged, op, shaped
from tflite_models import Net, T, activation, binary, conv, dense, depthwise, net, shape_constant, unary

from edgekit_targets.rules import Rule, rule_set
from edgekit_targets.rules.ethos_u import (
    ARG_MAX_DEPTH,
    OPERATORS,
    POOL_HEIGHT,
    REDUCED_AXIS,
    SAME_KERNEL,
    SOFTMAX_PLANE,
    STRIDE,
    UNDECIDED,
)

ETHOS_U = rule_set("ethos-u")
x = activation


def argmax(depth: int) -> Net:
    inputs = {"x": x(1, depth), "axis": T((), "INT32", data=1)}
    return net("ARG_MAX", inputs, {"y": T((1,), "INT32")}, table="ArgMaxOptions")


def strided(stride: int) -> Net:
    options = {**depthwise().ops[0].options, "strideW": stride, "strideH": stride}
    return depthwise().op(options=options)


def convolved(stride: int, padding: int) -> Net:
    options = {**conv().ops[0].options, "strideW": stride, "strideH": stride, "padding": padding}
    return conv().op(options=options)


def pool(opcode: str, size: int, padding: int) -> Net:
    options = {"strideW": 1, "strideH": 1, "filterWidth": size, "filterHeight": size, "padding": padding}
    return op(opcode, {"x": x(1, 300, 300, 4)}, (1, 300, 300, 4), "Pool2DOptions", **options)


def resize(opcode: str, factor: int, half_pixel: bool = False) -> Net:
    table = "ResizeBilinearOptions" if opcode == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    size = 4 * factor
    return shaped(
        opcode,
        (1, 4, 4, 8),
        (1, size, size, 8),
        size,
        size,
        table=table,
        version=3,
        halfPixelCenters=half_pixel,
    )


def spread(stride: int) -> Net:
    inputs = {
        "shape": shape_constant(1, 4 * stride, 4 * stride, 4),
        "weights": T((4, 2, 2, 3), "INT8", [0.01] * 4, 0, 1),
        "x": x(1, 4, 4, 3),
    }
    shape = (1, 4 * stride, 4 * stride, 4)
    return op("TRANSPOSE_CONV", inputs, shape, "TransposeConvOptions", strideW=stride, strideH=stride)


def mean(before: tuple[int, ...], after: tuple[int, ...], *axes: int) -> Net:
    return shaped("MEAN", before, after, *axes, table="ReducerOptions")


def softmax(*shape: int) -> Net:
    return unary("SOFTMAX", "SoftmaxOptions", shape=shape, version=2)


SOUND = unary("RELU", version=2)
CASES = {
    "operator-list": Sides(unary("SIN"), SOUND),
    "undecided-operator": Sides(shaped("TRANSPOSE", (1, 4, 8), (1, 8, 4), 0, 2, 1), SOUND),
    "feature-map-type": Sides(
        net("RELU", {"x": T((1, 8), "FLOAT32")}, {"y": T((1, 8), "FLOAT32")}),
        net("RELU", {"x": T((1, 8), "INT16", 0.01)}, {"y": T((1, 8), "INT16", 0.01)}),
    ),
    "dynamic": Sides(
        conv().tensor("x", signature=(1, -1, -1, 3)), conv().tensor("x", signature=(-1, 8, 8, 3))
    ),
    "constant-parameters": Sides(conv().tensor("weights", data=None), conv()),
    "argmax-depth": Sides(argmax(ARG_MAX_DEPTH + 1), argmax(ARG_MAX_DEPTH)),
    "stride": Sides(strided(STRIDE + 1), strided(STRIDE)),
    "pool-window": Sides(
        pool("AVERAGE_POOL_2D", SAME_KERNEL + 1, padding=0),
        pool("AVERAGE_POOL_2D", SAME_KERNEL + 1, padding=1),
    ),
    "extremum-scales": Sides(
        binary("MAXIMUM", None), binary("MAXIMUM", None).tensor("b", scale=0.05).tensor("y", scale=0.05)
    ),
    "softmax-plane": Sides(softmax(1, SOFTMAX_PLANE, 1, 2), softmax(1, SOFTMAX_PLANE - 1, 1, 2)),
    "mean-axes": Sides(
        mean((1, REDUCED_AXIS, 1, 4), (1, 4), 1, 2), mean((1, REDUCED_AXIS - 1, 1, 4), (1, 4), 1, 2)
    ),
    "resize-factor": Sides(resize("RESIZE_BILINEAR", 3), resize("RESIZE_BILINEAR", 4)),
    "transpose-conv-stride": Sides(spread(3), spread(2)),
}


@pytest.mark.parametrize("rule", by_sentence(ETHOS_U.rules))
def test_rule(rule: Rule) -> None:
    check(rule, ETHOS_U, CASES[rule.id])


def test_every_rule_is_tested() -> None:
    assert {rule.id for rule in ETHOS_U.rules} == set(CASES)
    assert not OPERATORS & UNDECIDED


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        (convolved(STRIDE + 1, padding=0), "stride"),
        (convolved(STRIDE + 1, padding=1), None),
        (pool("MAX_POOL_2D", POOL_HEIGHT + 1, padding=1), "pool-window"),
        (pool("MAX_POOL_2D", POOL_HEIGHT, padding=1), None),
        (resize("RESIZE_BILINEAR", 4, half_pixel=True), "resize-factor"),
        (resize("RESIZE_BILINEAR", 2, half_pixel=True), None),
        (resize("RESIZE_NEAREST_NEIGHBOR", 4, half_pixel=True), None),
        (mean((1, 4, 4, 8), (1, 4, 4), 3), "mean-axes"),
        (mean((1, 4, 1, 8), (1, 4, 1), 3), None),
        (dense(), None),
        (conv(), None),
        (net("CUSTOM", {"x": x(1, 8)}, {"y": x(1, 8)}, custom_code="ethos-u"), None),
    ],
)
def test_limits_with_exceptions(model: Net, rule: str | None) -> None:
    found = judged(ETHOS_U, model)
    assert (None if found is None else found.id) == rule
