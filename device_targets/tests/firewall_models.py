"""Sound int8 models of one operator each, for every operator that the firewall lets pass; all of them run in LiteRT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from tflite_models import Net, Op, T, activation, binary, conv, dense, depthwise, net, shape_constant, unary

SAME = {"scale": 0.05, "zero_point": 3}
IMAGE = (1, 4, 6, 4)


def int32(*shape: int, data: Any = None) -> T:
    """An int32 tensor."""
    return T(shape, "INT32", data=data)


def boolean(*shape: int) -> T:
    """A bool tensor."""
    return T(shape, "BOOL")


def moved(opcode: str, inputs: Mapping[str, T], *shape: int, table: str | None, **options: Any) -> Net:
    """An operator that moves values of one scale."""
    return net(opcode, inputs, {"y": activation(*shape)}, table=table, options=options)


def parted(opcode: str, inputs: Mapping[str, T], *shapes: tuple[int, ...], table: str, **options: Any) -> Net:
    """An operator with several outputs."""
    outputs = {f"y{number}": activation(*shape) for number, shape in enumerate(shapes)}
    return net(opcode, inputs, outputs, table=table, options=options)


def transposed() -> Net:
    """A TRANSPOSE_CONV with stride 2 that doubles an image."""
    weights = T((3, 2, 2, 4), "INT8", [0.01, 0.02, 0.03], 0, np.arange(48).reshape(3, 2, 2, 4))
    bias = T((3,), "INT32", [0.0005, 0.001, 0.0015], 0, [1, 2, 3])
    inputs = {"shape": shape_constant(1, 8, 12, 3), "weights": weights, "x": activation(*IMAGE), "bias": bias}
    options = {"padding": 0, "strideW": 2, "strideH": 2}
    outputs = {"y": activation(1, 8, 12, 3, scale=0.1)}
    return net("TRANSPOSE_CONV", inputs, outputs, table="TransposeConvOptions", options=options, version=3)


def _weighted() -> Iterator[tuple[str, Net]]:
    yield "CONV_2D", conv()
    yield "DEPTHWISE_CONV_2D", depthwise()
    yield "FULLY_CONNECTED", dense()
    yield "TRANSPOSE_CONV", transposed()
    pool = {"strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2, "padding": 1}
    for opcode in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        yield opcode, moved(opcode, {"x": activation(*IMAGE)}, 1, 2, 3, 4, table="Pool2DOptions", **pool)
    matrices = {"a": activation(1, 2, 3), "b": activation(1, 3, 4)}
    yield "BATCH_MATMUL", moved("BATCH_MATMUL", matrices, 1, 2, 4, table="BatchMatMulOptions")


def _by_value() -> Iterator[tuple[str, Net]]:
    for opcode, table in (("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions")):
        yield opcode, binary(opcode, table)
    yield "SQUARED_DIFFERENCE", binary("SQUARED_DIFFERENCE", "SquaredDifferenceOptions")
    pair = {"a": activation(1, 8), "b": activation(1, 8)}
    for opcode in ("MAXIMUM", "MINIMUM"):
        yield opcode, moved(opcode, pair, 1, 8, table="MaximumMinimumOptions")
    ints = {"a": int32(1, 8), "b": int32(1, 8, data=[1, 2, 3, 4, 5, 6, 7, 8])}
    yield "DIV", net("DIV", ints, {"y": int32(1, 8)}, table="DivOptions")
    for opcode in ("ABS", "ELU", "EXP", "LOG", "RELU", "RELU6", "RELU_N1_TO_1", "RSQRT", "SQRT"):
        version = 2 if opcode in ("ABS", "EXP", "LOG", "RELU", "RELU6", "RSQRT", "SQRT") else 1
        yield opcode, unary(opcode, version=version)
    yield "HARD_SWISH", unary("HARD_SWISH", "HardSwishOptions")
    yield "GELU", unary("GELU", "GeluOptions", version=2)
    yield "LOGISTIC", unary("LOGISTIC", scale=1 / 256, zero_point=-128, version=2)
    yield "TANH", unary("TANH", scale=1 / 128, zero_point=0, version=2)
    yield "SIGN", net("SIGN", {"x": int32(1, 8)}, {"y": int32(1, 8)}, version=2)
    yield "NEG", net("NEG", {"x": int32(1, 8)}, {"y": int32(1, 8)}, table="NegOptions")
    yield "ZEROS_LIKE", net("ZEROS_LIKE", {"x": int32(1, 8)}, {"y": int32(1, 8)}, table="ZerosLikeOptions")
    yield "RELU_0_TO_1", unary("RELU_0_TO_1")
    yield "QUANTIZE", unary("QUANTIZE", "QuantizeOptions", scale=0.07, zero_point=1, version=2)
    cast = {"inDataType": 2, "outDataType": 4}
    yield (
        "CAST",
        net("CAST", {"x": int32(1, 8)}, {"y": T((1, 8), "INT64")}, table="CastOptions", options=cast),
    )
    yield (
        "LEAKY_RELU",
        unary("LEAKY_RELU", "LeakyReluOptions", version=2).op(options={"alpha": 0.1}),
    )
    slopes = T((1, 1, 4), "INT8", 0.01, 0, [1, 2, 3, 4])
    yield "PRELU", net("PRELU", {"x": activation(*IMAGE), "slopes": slopes}, {"y": activation(*IMAGE)})
    softmax = unary("SOFTMAX", "SoftmaxOptions", scale=1 / 256, zero_point=-128, version=2)
    yield "SOFTMAX", softmax.op(options={"beta": 1.0})
    yield "LOG_SOFTMAX", unary("LOG_SOFTMAX", "LogSoftmaxOptions", scale=16 / 256, zero_point=127, version=2)
    yield (
        "L2_NORMALIZATION",
        unary("L2_NORMALIZATION", "L2NormOptions", scale=1 / 128, zero_point=0, version=2),
    )


def _logic() -> Iterator[tuple[str, Net]]:
    pair = {"a": activation(1, 8), "b": activation(1, 8)}
    for opcode in ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
        table = opcode.title().replace("_", "") + "Options"
        yield opcode, net(opcode, pair, {"y": boolean(1, 8)}, table=table, version=2)
    truths = {"a": boolean(1, 8), "b": boolean(1, 8)}
    for opcode, table in (("LOGICAL_AND", "LogicalAndOptions"), ("LOGICAL_OR", "LogicalOrOptions")):
        yield opcode, net(opcode, truths, {"y": boolean(1, 8)}, table=table)
    yield (
        "LOGICAL_NOT",
        net("LOGICAL_NOT", {"a": boolean(1, 8)}, {"y": boolean(1, 8)}, table="LogicalNotOptions"),
    )
    chosen = {"c": boolean(1, 8), **pair}
    yield "SELECT", moved("SELECT", chosen, 1, 8, table="SelectOptions")
    yield "SELECT_V2", moved("SELECT_V2", chosen, 1, 8, table="SelectV2Options")


def _along_axes() -> Iterator[tuple[str, Net]]:
    given = {"x": activation(*IMAGE), "axes": shape_constant(1, 2)}
    for opcode in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
        yield opcode, moved(opcode, given, 1, 4, table="ReducerOptions").op(version=2)
    for opcode in ("REDUCE_ALL", "REDUCE_ANY"):
        truths = {"x": boolean(1, 8), "axes": shape_constant(1)}
        yield opcode, net(opcode, truths, {"y": boolean(1)}, table="ReducerOptions")
    for opcode, table in (("ARG_MAX", "ArgMaxOptions"), ("ARG_MIN", "ArgMinOptions")):
        places = {"x": activation(1, 8), "axis": int32(data=1)}
        yield opcode, net(opcode, places, {"y": int32(1)}, table=table, options={"outputType": 2}, version=2)
    top = {"y": activation(1, 3), "places": int32(1, 3)}
    yield (
        "TOPK_V2",
        net("TOPK_V2", {"x": activation(1, 8), "k": int32(data=3)}, top, table="TopKV2Options", version=2),
    )
    sums = {"x": int32(1, 8), "axis": int32(data=1)}
    yield "CUMSUM", net("CUMSUM", sums, {"y": int32(1, 8)}, table="CumsumOptions")
    hot = {"x": int32(1, 3), "depth": int32(data=5), "on": int32(data=1), "off": int32(data=0)}
    yield "ONE_HOT", net("ONE_HOT", hot, {"y": int32(1, 3, 5)}, table="OneHotOptions", options={"axis": -1})


def _moves() -> Iterator[tuple[str, Net]]:
    x, row = {"x": activation(*IMAGE)}, {"x": activation(1, 8)}
    yield (
        "RESHAPE",
        moved(
            "RESHAPE", {**x, "shape": shape_constant(1, -1)}, 1, 96, table="ReshapeOptions", newShape=[1, -1]
        ),
    )
    yield "SQUEEZE", moved("SQUEEZE", x, 4, 6, 4, table="SqueezeOptions", squeezeDims=[0])
    yield (
        "EXPAND_DIMS",
        moved("EXPAND_DIMS", {**row, "axis": int32(data=1)}, 1, 1, 8, table="ExpandDimsOptions"),
    )
    both = {"a": activation(1, 8), "b": activation(1, 4)}
    yield "CONCATENATION", moved("CONCATENATION", both, 1, 12, table="ConcatenationOptions", axis=1)
    pair = {"a": activation(1, 8), "b": activation(1, 8)}
    yield "PACK", moved("PACK", pair, 1, 2, 8, table="PackOptions", axis=1, valuesCount=2)
    yield (
        "UNPACK",
        parted("UNPACK", {"x": activation(1, 2, 8)}, (1, 8), (1, 8), table="UnpackOptions", axis=1, num=2),
    )
    parts = {"axis": int32(data=1), "x": activation(1, 8)}
    yield "SPLIT", parted("SPLIT", parts, (1, 4), (1, 4), table="SplitOptions", numSplits=2)
    sizes = {"x": activation(1, 8), "sizes": shape_constant(3, -1), "axis": int32(data=1)}
    yield "SPLIT_V", parted("SPLIT_V", sizes, (1, 3), (1, 5), table="SplitVOptions", numSplits=2)
    edges = int32(4, 2, data=[[0, 0], [1, 2], [0, 1], [0, 0]])
    yield "PAD", moved("PAD", {**x, "edges": edges}, 1, 7, 7, 4, table="PadOptions")
    yield "MIRROR_PAD", moved("MIRROR_PAD", {**x, "edges": edges}, 1, 7, 7, 4, table="MirrorPadOptions")
    value = T((), "INT8", 0.05, 3, 7)
    yield "PADV2", moved("PADV2", {**x, "edges": edges, "value": value}, 1, 7, 7, 4, table="PadV2Options")
    order = shape_constant(0, 3, 1, 2)
    yield "TRANSPOSE", moved("TRANSPOSE", {**x, "order": order}, 1, 4, 4, 6, table="TransposeOptions")
    cut = {**x, "begin": shape_constant(0, 1, 2, 0), "size": shape_constant(1, 2, -1, 4)}
    yield "SLICE", moved("SLICE", cut, 1, 2, 4, 4, table="SliceOptions")
    taken = {
        **x, "begin": shape_constant(0, 0, 1, 0), "end": shape_constant(0, 0, -1, 3), "by": shape_constant(1, 1, 2, 1),
    }  # fmt: skip
    masks = {"beginMask": 0b0011, "endMask": 0b0011, "shrinkAxisMask": 0b1000}
    yield "STRIDED_SLICE", moved("STRIDED_SLICE", taken, 1, 4, 2, table="StridedSliceOptions", **masks)
    table = {"x": T((5, 4), "INT8", 0.05, 3, np.arange(20).reshape(5, 4)), "rows": int32(1, 3)}
    yield "GATHER", moved("GATHER", table, 1, 3, 4, table="GatherOptions")
    at = {**row, "at": int32(3, 2, data=[[0, 0], [0, 7], [0, 3]])}
    yield "GATHER_ND", moved("GATHER_ND", at, 3, table="GatherNdOptions")
    look = {"rows": int32(3), "table": T((5, 4), "INT8", 0.05, 3, np.arange(20).reshape(5, 4))}
    yield "EMBEDDING_LOOKUP", moved("EMBEDDING_LOOKUP", look, 3, 4, table=None).op(version=3)
    yield (
        "REVERSE_V2",
        moved("REVERSE_V2", {**x, "axes": shape_constant(2)}, *IMAGE, table="ReverseV2Options"),
    )
    yield "TILE", moved("TILE", {**row, "times": shape_constant(1, 3)}, 1, 24, table="TileOptions")
    wider = {**row, "shape": shape_constant(3, 2, 8)}
    yield "BROADCAST_TO", moved("BROADCAST_TO", wider, 3, 2, 8, table="BroadcastToOptions").op(version=2)
    filled = {"shape": shape_constant(2, 3), "value": int32()}
    yield "FILL", net("FILL", filled, {"y": int32(2, 3)}, table="FillOptions")
    yield "SHAPE", net("SHAPE", x, {"y": int32(4)}, table="ShapeOptions", options={"outType": 2})
    yield "RANK", net("RANK", x, {"y": int32()}, table="RankOptions")
    yield "SPACE_TO_DEPTH", moved("SPACE_TO_DEPTH", x, 1, 2, 3, 16, table="SpaceToDepthOptions", blockSize=2)
    yield "DEPTH_TO_SPACE", moved("DEPTH_TO_SPACE", x, 1, 8, 12, 1, table="DepthToSpaceOptions", blockSize=2)
    blocks = {**x, "blocks": shape_constant(2, 2), "edges": int32(2, 2, data=[[0, 0], [1, 1]])}
    yield (
        "SPACE_TO_BATCH_ND",
        moved("SPACE_TO_BATCH_ND", blocks, 4, 2, 4, 4, table="SpaceToBatchNDOptions").op(version=2),
    )
    many = {
        "x": activation(4, 2, 4, 4),
        "blocks": shape_constant(2, 2),
        "edges": int32(2, 2, data=[[0, 0], [1, 1]]),
    }
    yield (
        "BATCH_TO_SPACE_ND",
        moved("BATCH_TO_SPACE_ND", many, 1, 4, 6, 4, table="BatchToSpaceNDOptions").op(version=2),
    )
    size = {**x, "size": shape_constant(8, 9)}
    for opcode, options in (
        ("RESIZE_BILINEAR", "ResizeBilinearOptions"),
        ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    ):
        yield opcode, moved(opcode, size, 1, 8, 9, 4, table=options).op(version=2)
    update = {**row, "update": activation(1, 3), "start": int32(2)}
    yield (
        "DYNAMIC_UPDATE_SLICE",
        moved("DYNAMIC_UPDATE_SLICE", update, 1, 8, table="DynamicUpdateSliceOptions"),
    )


def sound_models() -> dict[str, Net]:
    """A model by the name of its operator."""
    return dict((*_weighted(), *_by_value(), *_logic(), *_along_axes(), *_moves()))


def chained() -> Net:
    """Three operators in a row: CONV_2D, RELU, RESHAPE."""
    first = conv()
    tensors = {
        **first.tensors,
        "z": activation(1, 8, 8, 4, scale=0.1),
        "shape": shape_constant(1, 256),
        "flat": activation(1, 256, scale=0.1),
    }
    ops = (
        *first.ops,
        Op("RELU", ("y",), ("z",), version=2),
        Op("RESHAPE", ("z", "shape"), ("flat",), "ReshapeOptions"),
    )
    return replace(first, tensors=tensors, ops=ops, outputs=("flat",))
