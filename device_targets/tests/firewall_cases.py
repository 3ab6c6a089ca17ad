"""Models that break one rule of the firewall each: a sound one, what is changed in it, and what the error must say."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from firewall_kernels import MISREAD
from firewall_models import IMAGE, chained, int32, moved, sound_models
from tflite_models import Net, activation, binary, conv, dense, depthwise, net, shape_constant, unary

SOUND = sound_models()
Change = Callable[[Any], object]


def graph(change: Change) -> Change:
    """A change of the main subgraph."""
    return lambda model: change(model.subgraphs[0])


def tensor(index: int, **fields: Any) -> Change:
    """Other fields of a tensor."""
    return lambda model: [setattr(model.subgraphs[0].tensors[index], k, v) for k, v in fields.items()]


def scales(index: int, **fields: Any) -> Change:
    """Other fields of a tensor's quantization."""
    return lambda m: [setattr(m.subgraphs[0].tensors[index].quantization, k, v) for k, v in fields.items()]


def operator(**fields: Any) -> Change:
    """Other fields of the first operator."""
    return lambda model: [setattr(model.subgraphs[0].operators[0], k, v) for k, v in fields.items()]


def option(**fields: Any) -> Change:
    """Other options of the first operator."""
    return lambda m: [setattr(m.subgraphs[0].operators[0].builtinOptions, k, v) for k, v in fields.items()]


def code(**fields: Any) -> Change:
    """Other fields of the first operator code."""
    return lambda model: [setattr(model.operatorCodes[0], k, v) for k, v in fields.items()]


def constant(index: int, *values: int) -> Change:
    """Other int32 numbers in the constant of a tensor, whose shape stays."""

    def change(model: Any) -> None:
        buffer = model.buffers[model.subgraphs[0].tensors[index].buffer]
        buffer.data = list(np.asarray(values, np.int32).tobytes())

    return change


def shape(index: int, *sizes: int) -> Change:
    """Another shape of a tensor."""
    return tensor(index, shape=list(sizes))


def buffer_of(index: int, data: bytes) -> Change:
    """Another constant of a tensor."""

    def change(model: Any) -> None:
        model.buffers[model.subgraphs[0].tensors[index].buffer].data = list(data)

    return change


def both(*changes: Change) -> Change:
    """Several changes."""
    return lambda model: [change(model) for change in changes]


def further_buffer(data: bytes) -> Change:
    """A buffer that nothing refers to."""

    def change(model: Any) -> None:
        buffer = schema.BufferT()
        buffer.data = list(data)
        model.buffers.append(buffer)

    return change


def details(model: Any) -> None:
    """A further scheme of quantization."""
    q = model.subgraphs[0].tensors[0].quantization
    q.detailsType, q.details = schema.QuantizationDetails.CustomQuantization, schema.CustomQuantizationT()


def sparse(model: Any) -> None:
    """A sparse constant."""
    model.subgraphs[0].tensors[1].sparsity = schema.SparsityParametersT()


def twice(model: Any) -> None:
    """The first operator a second time."""
    model.subgraphs[0].operators.append(model.subgraphs[0].operators[0])


def named_twice(model: Any) -> None:
    """Two signatures of one name."""
    model.signatureDefs = model.signatureDefs * 2


SIGNED = replace(conv(), signatures={"serve": ({"in": "x"}, {"out": "y"})})
HALF = net(
    "ADD", {"a": activation(1, 8), "b": activation(1, 8, data=1)}, {"y": activation(1, 8)}, table="AddOptions"
)
X, Y = 0, 3  # the tensors of a weighted operator: x, weights, bias, y

REFUSED: dict[str, tuple[Net, Change, str]] = {
    **{name: (bent, lambda m: None, message) for name, (bent, message) in MISREAD.items()},
    # the model as a whole
    "two subgraphs": (conv(), lambda m: m.subgraphs.append(m.subgraphs[0]), "2 subgraphs"),
    "no inputs": (conv(), graph(lambda g: setattr(g, "inputs", [])), "it has 0 inputs"),
    "no outputs": (conv(), graph(lambda g: setattr(g, "outputs", [])), "and 0 outputs"),
    "an input twice": (conv(), graph(lambda g: setattr(g, "inputs", [X, X])), "an input twice"),
    "a constant as input": (conv(), graph(lambda g: setattr(g, "inputs", [X, 1])), "'weights' is a constant"),
    "an output that nothing computes": (
        chained(), graph(lambda g: setattr(g, "operators", g.operators[:2])), "nothing computes the output 'flat'",
    ),
    "no operators": (conv(), graph(lambda g: setattr(g, "operators", [])), "nothing computes the output"),
    "another version of the schema": (conv(), lambda m: setattr(m, "version", 4), "schema version 4"),
    "a description that is no text": (conv(), lambda m: setattr(m, "description", b"\xff\xfe"), "not UTF-8"),
    "a signature of other tensors": (
        SIGNED, lambda m: setattr(m.signatureDefs[0].inputs[0], "tensorIndex", 1), "no inputs or outputs",
    ),
    "signatures of one name": (SIGNED, named_twice, "two signatures"),
    # buffers
    "a hidden buffer": (conv(), further_buffer(b"payload!"), "8 bytes in buffers belong to no tensor"),
    "buffer 0 with data": (
        unary("ABS", version=2), lambda m: setattr(m.buffers[0], "data", [1] * 8), "buffer 0 must be there and empty",
    ),
    "a short constant": (conv(), buffer_of(1, b"\1" * 107), "a constant of 107 bytes"),
    "a long constant": (conv(), buffer_of(2, b"\1" * 32), "a constant of 32 bytes"),
    "data behind the file": (
        conv(), lambda m: [setattr(m.buffers[0], "offset", 1 << 40), setattr(m.buffers[0], "size", 8)], "run out of",
    ),
    "data laid over the model": (
        conv(), lambda m: [setattr(m.buffers[0], "offset", 64), setattr(m.buffers[0], "size", 64)], "overlap|same bytes",
    ),
    "large metadata": (replace(conv(), metadata={"note": b"x" * (1 << 20) + b"x"}), lambda m: None, "of metadata"),
    # tensors
    "a float tensor": (unary("ABS", version=2), tensor(0, type=0, quantization=None), "it is float32"),
    "a string tensor": (unary("ABS", version=2), tensor(0, type=5, quantization=None), "it is string"),
    "an open shape": (conv(), shape(X, -1, 8, 8, 3), "is open"),
    "an empty shape": (conv(), shape(X, 1, 0, 8, 3), "has no elements"),
    "an impossible size": (conv(), shape(X, 1, -2, 8, 3), "impossible dimension"),
    "nine dimensions": (unary("ABS", version=2, shape=(1,) * 9), lambda m: None, "9 dimensions"),
    "sizes that overflow": (conv(), shape(X, 1 << 16, 1 << 16, 1 << 16, 1 << 16), "over the limit"),
    "a huge tensor": (unary("ABS", version=2), both(shape(0, 1, 1 << 30), shape(1, 1, 1 << 30)), "over the limit"),
    "huge tensors together": (
        net("PACK", {f"i{n}": activation(500 << 20) for n in range(5)}, {"y": activation(5, 1)}, table="PackOptions"),
        lambda m: None, "bytes together",
    ),
    "another signature than shape": (conv(), tensor(X, shapeSignature=[1, 8, 9, 3]), "signature"),
    "a variable": (conv(), tensor(Y, isVariable=True), "keeps its value"),
    "a sparse constant": (conv(), sparse, "sparsely stored"),
    "a name without end": (conv(), tensor(X, name=b"a\0b"), "it holds a zero"),
    "a name that is no text": (conv(), tensor(X, name=b"\xff\xfe"), "not UTF-8"),
    "a long name": (conv(), tensor(X, name=b"a" * 65_537), "over the limit"),
    # quantization
    "a scale of 0": (conv(), scales(X, scale=[0.0]), "its scale 0"),
    "a negative scale": (conv(), scales(X, scale=[-1.0]), "its scale -1"),
    "a scale that is no number": (conv(), scales(X, scale=[float("nan")]), "its scale nan"),
    "an infinite scale": (conv(), scales(Y, scale=[float("inf")]), "its scale inf"),
    "a scale below all sense": (conv(), scales(Y, scale=[1e-38]), "beyond 1e-30"),
    "an infinite range": (conv(), scales(Y, min=[float("-inf")], max=[1.0]), "range is not finite"),
    "a zero point outside": (conv(), scales(X, zeroPoint=[128]), "zero point 128 is outside"),
    "a bias with a zero point": (conv(), scales(2, zeroPoint=[0, 1, 0, 0]), "zero point 1 is outside 0..0"),
    "fewer zero points": (conv(), scales(1, zeroPoint=[0, 0]), "2 zero points for 4 scales"),
    "scales of another count": (conv(), scales(1, scale=[0.1] * 3, zeroPoint=[0] * 3), "3 scales for the shape"),
    "scales along no dimension": (conv(), scales(1, quantizedDimension=4), "quantized dimension 4"),
    "scales along another dimension": (
        conv(3), scales(1, quantizedDimension=3), "3 scales along dimension 3, and needs 3 along 0",
    ),
    "scales of a computed tensor": (
        conv(), scales(Y, scale=[0.1] * 4, zeroPoint=[0] * 4, quantizedDimension=3), "is no constant",
    ),
    "no scale": (conv(), tensor(X, quantization=None), "without a scale"),
    "a truth value with a scale": (
        SOUND["LOGICAL_NOT"], lambda m: setattr(m.subgraphs[0].tensors[0], "quantization",
                                                schema.QuantizationParametersT(scale=[1.0], zeroPoint=[0])),
        "it is bool, and has a scale",
    ),
    "another scheme": (conv(), details, "a scheme of quantization"),
    # operators
    "an operator of float models": (
        net("FLOOR", {"x": activation(1, 8)}, {"y": activation(1, 8)}), lambda m: None, "not among the operators",
    ),
    "control flow": (
        net("WHILE", {"x": activation(1, 8)}, {"y": activation(1, 8)}, table="WhileOptions"),
        lambda m: None, "not among the operators",
    ),
    "a custom operator": (
        net("CUSTOM", {"x": activation(1, 8)}, {"y": activation(1, 8)}, custom_code="FlexErf"),
        lambda m: None, r"operator 0 \(FlexErf\): a custom operator, and none",
    ),
    "a version from the future": (conv(), code(version=9), "version 9, and versions 1 to 8"),
    "version 0": (conv(), code(version=0), "version 0"),
    "an unknown operator": (conv(), code(builtinCode=999), "operator number 999"),
    "an operator code outside": (conv(), operator(opcodeIndex=7), "operator code 7"),
    "no options": (conv(), operator(builtinOptions=None, builtinOptionsType=0), "lacks its Conv2DOptions"),
    "options of another operator": (
        conv(), operator(builtinOptions=schema.AddOptionsT(), builtinOptionsType=schema.BuiltinOptions.AddOptions),
        "carries AddOptions",
    ),
    "options of an unknown kind": (conv(), operator(builtinOptionsType=200), "kind 200|option table"),
    "custom options": (conv(), operator(customOptions=[1, 2, 3]), "carries custom options"),
    "intermediate tensors": (conv(), operator(intermediates=[0]), "intermediate tensors"),
    "an input too few": (conv(), operator(inputs=[0]), "it has 1 inputs, and takes 3"),
    # LiteRT 2.3.0 crashes on this one
    "a depthwise convolution without bias": (depthwise(), operator(inputs=[0, 1]), "it has 2 inputs, and takes 3"),
    "a bias left out": (depthwise(), operator(inputs=[0, 1, -1]), "input 2 must not be left out"),
    "an input too many": (conv(), operator(inputs=[0, 1, 2, 0]), "it has 4 inputs"),
    "an output too many": (chained(), operator(outputs=[3, 4]), "it has 2 outputs"),
    "a tensor that is not there": (conv(), operator(inputs=[0, 1, 99]), "not all among its 4 tensors"),
    "an input left out": (conv(), operator(inputs=[-1, 1, 2]), "input 0 must not be left out"),
    "an output left out": (conv(), operator(outputs=[-1]), "output numbers"),
    "a negative input": (conv(), operator(inputs=[0, 1, -2]), "input numbers"),
    # order
    "read before it is computed": (
        chained(), graph(lambda g: g.operators.insert(0, g.operators.pop())), "before anything computes it",
    ),
    "a cycle": (chained(), operator(inputs=[4, 1, 2]), "before anything computes it"),
    "written twice": (conv(), twice, "computed before"),
    "the input overwritten": (binary(), operator(outputs=[0]), "an input, or computed before"),
    "a constant overwritten": (HALF, operator(outputs=[1]), "which is a constant"),
    # shapes, strides, windows
    "another output of a convolution": (conv(), shape(Y, 1, 8, 8, 5), "and it computes"),
    "a wider output of a convolution": (conv(), shape(Y, 1, 9, 8, 4), "and it computes"),
    "channels that do not divide": (conv(), shape(X, 1, 8, 8, 4), "a filter of 3 channels"),
    "a stride of 0": (conv(), option(strideW=0), "stride_w is 0"),
    "a negative stride": (conv(), option(strideH=-1), "stride_h is -1"),
    "a dilation of 0": (conv(), option(dilationWFactor=0), "dilation_w_factor is 0"),
    "a stride beyond all sense": (conv(), option(strideW=(1 << 31) - 1), "stride_w is"),
    "a window that does not fit": (conv(), option(padding=1, dilationWFactor=9), "does not fit into 8"),
    "a bias of another length": (
        conv(), both(shape(2, 2), buffer_of(2, b"\0" * 8), scales(2, scale=[1.0], zeroPoint=[0])), r"bias is \[2\]",
    ),
    "a bias of bytes": (
        conv(), both(tensor(2, type=9), buffer_of(2, b"\0\0\0\0")), "its bias is int8",
    ),
    "a filter of numbers": (conv(), both(tensor(1, type=2), buffer_of(1, b"\0" * 432)), "its weights are int32"),
    "a flat input": (conv(), shape(X, 8, 8, 3), "3 dimensions, and must have 4"),
    "a depth multiplier that lies": (depthwise(), option(depthMultiplier=2), "depth multiplier of 2"),
    "a deep depthwise filter": (depthwise(), shape(1, 3, 1, 3, 4), "must be 1|needs"),
    "rows that do not divide": (dense(), shape(X, 1, 15), "15 values in rows of 16"),
    "another output of a dense layer": (dense(), shape(Y, 1, 5), "and it computes"),
    "shuffled weights": (dense(), option(weightsFormat=1), "shuffled weights"),
    "a pool of 0": (SOUND["MAX_POOL_2D"], option(filterWidth=0), "filter_width is 0"),
    "a pool with a stride of 0": (SOUND["AVERAGE_POOL_2D"], option(strideH=0), "stride_h is 0"),
    "a pool beyond all sense": (SOUND["AVERAGE_POOL_2D"], option(filterHeight=1 << 30), "filter_height is"),
    "a transposed shape that lies": (SOUND["TRANSPOSE_CONV"], constant(0, 1, 80, 12, 3), "8 x 12|takes"),
    "matrices that do not fit": (SOUND["BATCH_MATMUL"], shape(1, 1, 4, 4), "rows of 3 by columns of 4"),
    # tensorflow#124982: an output smaller than the input overflowed the heap
    "a small reshape": (SOUND["RESHAPE"], shape(2, 1, 8), "and it computes"),
    "a reshape to nothing": (SOUND["RESHAPE"], constant(1, 1, 0), "cannot be had"),
    "a reshape with two rests": (SOUND["RESHAPE"], constant(1, -1, -1), "cannot be had"),
    "a reshape that does not divide": (SOUND["RESHAPE"], constant(1, -1, 7), "96 elements cannot become"),
    "a reshape beyond 32 bits": (SOUND["RESHAPE"], constant(1, 1 << 16, 1 << 16), "cannot become"),
    "a reshape to another type": (
        SOUND["RESHAPE"], tensor(2, type=2, quantization=None), "input 0 is int8, and the output int32",
    ),
    "a squeeze of 6": (SOUND["SQUEEZE"], option(squeezeDims=[2]), "is not 1 along"),
    "an axis outside": (SOUND["CONCATENATION"], option(axis=2), "axis 2 is not among"),
    "parts that do not fit": (SOUND["CONCATENATION"], shape(1, 2, 4), "cannot be joined"),
    "a pack of another count": (SOUND["PACK"], option(valuesCount=3), "values_count is 3"),
    "an unpack of another count": (SOUND["UNPACK"], option(num=3), "num is 3"),
    "a split of another count": (SOUND["SPLIT"], option(numSplits=3), "into 3 parts"),
    "a split along no axis": (SOUND["SPLIT"], constant(0, 5), "axis 5 is not among"),
    "sizes that do not add up": (SOUND["SPLIT_V"], constant(1, 3, 6), r"sizes \[3, 6\]"),
    "a negative padding": (SOUND["PAD"], constant(1, 0, 0, -1, 2, 0, 1, 0, 0), "are negative"),
    "a mirror too wide": (SOUND["MIRROR_PAD"], constant(1, 0, 0, 4, 2, 0, 1, 0, 0), "can mirror"),
    "no permutation": (SOUND["TRANSPOSE"], constant(1, 0, 3, 1, 1), "is no order"),
    "a permutation outside": (SOUND["TRANSPOSE"], constant(1, 0, 3, 1, 40), "is no order"),
    "a slice that starts outside": (SOUND["SLICE"], constant(1, 0, 9, 2, 0), "values of 4"),
    "a slice that ends outside": (SOUND["SLICE"], constant(2, 1, 4, -1, 4), "values of 4"),
    "a slice with a stride of 0": (SOUND["STRIDED_SLICE"], constant(3, 1, 1, 0, 1), "a stride is 0"),
    "a slice of nothing": (SOUND["STRIDED_SLICE"], constant(1, 0, 0, 6, 0), "takes nothing"),
    "a slice of an index outside": (SOUND["STRIDED_SLICE"], constant(1, 0, 0, 1, 4), "index 4 of 4"),
    "a stride without end": (SOUND["STRIDED_SLICE"], constant(3, 1, 1, -(1 << 31), 1), "a stride is -2147483648"),
    "an index with a stride": (SOUND["STRIDED_SLICE"], constant(3, 1, 1, 2, 2), "by 2"),
    "ends that are offsets": (SOUND["STRIDED_SLICE"], option(offset=True), "its ends are offsets"),
    "a row outside": (
        moved("GATHER", {"x": activation(5, 4), "rows": shape_constant(0, 1, 5)}, 3, 4, table="GatherOptions"),
        lambda m: None, "indices from 0 to 5 into 5",
    ),
    "batches that do not fit": (SOUND["GATHER"], option(batchDims=2), "batch_dims 2"),
    "a place outside": (SOUND["GATHER_ND"], constant(1, 0, 0, 0, 8, 0, 3), "indices from 0 to 8 into 8"),
    "places too deep": (SOUND["GATHER_ND"], both(shape(1, 2, 3)), r"indices of \[2, 3\]"),
    "an axis twice": (
        moved("REVERSE_V2", {"x": activation(*IMAGE), "axes": shape_constant(2, 2)}, *IMAGE, table="ReverseV2Options"),
        lambda m: None, r"axes \[2, 2\]",
    ),
    "a tile of 0": (SOUND["TILE"], constant(1, 1, 0), "times"),
    "a broadcast that does not fit": (SOUND["BROADCAST_TO"], constant(1, 3, 2, 9), "cannot be broadcast"),
    "blocks of 0": (SOUND["SPACE_TO_DEPTH"], option(blockSize=0), "block_size is 0"),
    "blocks that do not divide": (SOUND["SPACE_TO_DEPTH"], option(blockSize=3), "blocks of 3"),
    "blocks from few channels": (SOUND["DEPTH_TO_SPACE"], option(blockSize=3), "from 4 channels"),
    "batches of blocks of 0": (SOUND["SPACE_TO_BATCH_ND"], constant(1, 0, 2), "blocks of"),
    "crops of everything": (SOUND["BATCH_TO_SPACE_ND"], constant(2, 2, 2, 1, 1), "leave nothing"),
    "a resize to 0": (SOUND["RESIZE_BILINEAR"], constant(1, 0, 9), r"sizes \[0, 9\]"),
    "a resize to another size": (SOUND["RESIZE_NEAREST_NEIGHBOR"], constant(1, 80, 90), "and it computes"),
    "an update that is larger": (SOUND["DYNAMIC_UPDATE_SLICE"], shape(1, 1, 9), "into"),
    "a reduction along no axis": (SOUND["MEAN"], constant(1, 1, 4), "axis 4 is not among"),
    "another output of a reduction": (SOUND["SUM"], option(keepDims=True), "and it computes"),
    "more than there are": (SOUND["TOPK_V2"], constant(1, 9), "the 9 largest"),
    "operands that do not go together": (binary(), shape(1, 1, 7), "do not go together"),
    "operands of two types": (SOUND["MINIMUM"], tensor(1, type=3), "input 1 is uint8"),
    "a condition that is a number": (SOUND["SELECT"], tensor(0, type=9), "without a scale|must be bool"),
    "a softmax without beta": (SOUND["SOFTMAX"], option(beta=0.0), "beta is 0"),
    "a leak without bound": (SOUND["LEAKY_RELU"], option(alpha=float("nan")), "alpha"),
    # scales with which kernels end the process
    "a sum that aborts": (binary(), scales(2, scale=[1e-8]), "output multiplier"),
    "a difference that aborts": (SOUND["SQUARED_DIFFERENCE"], scales(2, scale=[1e-8]), "output multiplier"),
    "a hard swish that is refused": (SOUND["HARD_SWISH"], scales(0, scale=[100.0]), "below 128"),
    # computed parameters
    "a computed shape": (
        net("RESHAPE", {"x": activation(1, 8), "shape": int32(2)}, {"y": activation(2, 4)}, table="ReshapeOptions"),
        lambda m: None, "must be a constant",
    ),
    "computed paddings": (
        net("PAD", {"x": activation(1, 8), "edges": int32(2, 2)}, {"y": activation(1, 9)}, table="PadOptions"),
        lambda m: None, "must be a constant",
    ),
}  # fmt: skip


# The bytes of the flatbuffer.


def root_of(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 0)[0])


def put(data: bytes, at: int, code: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(f"<{code}", changed, at, value)
    return bytes(changed)


def field_of(data: bytes, table: int, slot: int) -> int:
    """Where a field of a table stands."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    return table + int(struct.unpack_from("<H", data, vtable + 4 + 2 * slot)[0])


def target_of(data: bytes, at: int) -> int:
    return at + int(struct.unpack_from("<I", data, at)[0])


def vtable_of(data: bytes, table: int) -> int:
    return table - int(struct.unpack_from("<i", data, table)[0])


MODEL = conv().build()
ROOT = root_of(MODEL)
DESCRIPTION = target_of(MODEL, field_of(MODEL, ROOT, 3))
SUBGRAPHS = target_of(MODEL, field_of(MODEL, ROOT, 2))
FIRST_TENSOR = target_of(MODEL, target_of(MODEL, field_of(MODEL, target_of(MODEL, SUBGRAPHS + 4), 0)) + 4)
BUFFERS = target_of(MODEL, field_of(MODEL, ROOT, 4))


BENT: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "identifier"),
    "a header alone": (MODEL[:8], "identifier"),
    "another identifier": (MODEL[:4] + b"TFL2" + MODEL[8:], "identifier"),
    "half a file": (MODEL[: len(MODEL) // 2], "out of the file|outside the file"),
    "a byte short": (MODEL[:-1], "out of the file|outside the file|end in a zero"),
    "a ZIP behind it": (MODEL + b"PK\3\4" + bytes(100), "belong to nothing"),
    "a byte behind it": (MODEL + b"\1", "is not zero"),
    "zeros behind it": (MODEL + bytes(65), "65 bytes .* belong to nothing"),
    "a root outside": (put(MODEL, 0, "I", len(MODEL)), "outside the file"),
    "a root at an odd place": (put(MODEL, 0, "I", ROOT + 1), "not aligned"),
    "a root in the header": (put(MODEL, 0, "I", 4), "outside the file"),
    "a vtable outside": (put(MODEL, ROOT, "i", -len(MODEL)), "vtable .* outside"),
    "a vtable in the header": (put(MODEL, ROOT, "i", ROOT), "vtable .* outside"),
    "an odd vtable": (put(MODEL, ROOT, "i", ROOT - vtable_of(MODEL, ROOT) + 1), "not aligned|impossible"),
    "a vtable of odd size": (put(MODEL, vtable_of(MODEL, ROOT), "H", 7), "impossible sizes"),
    "a table of size 0": (put(MODEL, vtable_of(MODEL, ROOT) + 2, "H", 0), "impossible sizes"),
    "a table with room": (put(MODEL, vtable_of(MODEL, ROOT) + 2, "H", 400), "belong to no field|overlap|out of the file"),
    "a field outside its table": (put(MODEL, vtable_of(MODEL, ROOT) + 4, "H", 4000), "field 0 lies outside"),
    "a field at an odd place": (put(MODEL, vtable_of(MODEL, ROOT) + 4, "H", 5), "field 0 lies outside|not aligned"),
    "a text without end": (put(MODEL, DESCRIPTION, "I", 3), "does not end in a zero"),
    "a text out of the file": (put(MODEL, DESCRIPTION, "I", 1 << 15), "does not end|out of the file"),
    "a vector out of the file": (put(MODEL, SUBGRAPHS, "I", 19_999), "out of the file"),
    "too many tables": (put(MODEL, SUBGRAPHS, "I", 20_001), "over the limit of 20000"),
    "a vector of 2^32": (put(MODEL, BUFFERS, "I", (1 << 32) - 1), "over the limit"),
    "a table as another": (put(MODEL, SUBGRAPHS + 4, "I", FIRST_TENSOR - SUBGRAPHS - 4), "SubGraph at offset"),
}  # fmt: skip
