"""The .tflite reader: right on sound files, and nothing but MalformedModelError on others."""

import contextlib
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as generated
from hypothesis import given, settings
from hypothesis import strategies as st
from schema_view import of_edgekit, of_google
from tflite_models import (
    Net,
    Op,
    T,
    activation,
    binary,
    conv,
    dense,
    depthwise,
    edit,
    net,
    shape_constant,
    unary,
)

import edgekit_targets
from edgekit_targets.errors import MalformedModelError
from edgekit_targets.tflite import Limits, read_graph


def rich() -> Net:
    """A model with a bit of everything: control flow, signatures, metadata, names, ranges, a custom operator."""
    body = Net(
        {"a": activation(1, 4), "b": activation(1, 4)},
        (Op("ABS", ("a",), ("b",), "AbsOptions"),),
        ("a",),
        ("b",),
        name="body",
    )
    return Net(
        {
            "x": T((1, 4), "INT8", 0.5, -3, signature=(-1, 4), range=(-1.5, 2.5)),
            "äöü;2": T((1, 4), "INT8", 0.5, -3),
            "state": T((1, 4), "INT8", 0.5, -3, variable=True),
            "odd": T((3, 2), "INT8", [0.5, 0.25], [0, 0], np.arange(6).reshape(3, 2), dimension=1),
            "y": T((1, 4), "FLOAT32"),
            "scalar": T((), "INT32", data=7),
            "details": T((1,), "INT8", details=True, data=1),
            "sparse": T((2, 2), "INT8", 1.0, data=b"\x01", sparse=True),
        },
        (
            Op(
                "IF",
                ("x", "äöü;2"),
                ("state",),
                "IfOptions",
                {"thenSubgraphIndex": 1, "elseSubgraphIndex": 2},
            ),
            Op(
                "CUSTOM",
                ("state", None, "odd"),
                ("y",),
                custom_code="edgetpu-custom-op",
                custom_options=b"\x00\x01\xff",
            ),
        ),
        ("x", "äöü;2"),
        ("y",),
        (body, body),
        {"serving_default": ({"image": "x", "other": "äöü;2"}, {"scores": "y"})},
        {"min_runtime_version": b"1.14.0", "empty": b""},
    )


MODELS = {
    "conv": conv(),
    "depthwise": depthwise(),
    "dense": dense(),
    "add": binary(),
    "softmax": unary("SOFTMAX", "SoftmaxOptions"),
    "rich": rich(),
}


@pytest.mark.parametrize("name", MODELS)
def test_reads_what_googles_code_reads(name):
    data = MODELS[name].build()
    assert of_edgekit(read_graph(data)) == of_google(data)


def test_custom_schemes_and_open_dimensions_are_told():
    tensors = {t.name: t for t in read_graph(rich().build()).main.tensors}
    assert tensors["details"].quantization.details == "CustomQuantization"
    assert not tensors["x"].is_static
    assert tensors["y"].is_static


def test_a_constant_is_a_view_and_its_span_patches_the_file():
    data = bytearray(conv().build())
    graph = read_graph(bytes(data))
    bias = graph.main.tensors[2]
    assert bytes(graph.constant(bias)) == struct.pack("<4i", 0, 10, 20, 30)
    offset, length = graph.constant_span(bias)
    data[offset : offset + length] = struct.pack("<4i", 1, 2, 3, 4)
    again = read_graph(data)
    assert struct.unpack("<4i", again.constant(again.main.tensors[2])) == (1, 2, 3, 4)
    assert graph.constant(graph.main.tensors[0]) is None
    assert graph.constant_span(graph.main.tensors[0]) is None


def test_constants_behind_the_flatbuffer_are_found():
    weights = bytes(range(16))

    def far(size: int):
        def change(model):
            model.buffers[1].data = None
            model.buffers[1].offset, model.buffers[1].size = size, 16

        return change

    near = net("ABS", {"x": T((16,), "INT8", 1.0, 0, 0)}, {"y": T((16,), "INT8", 1.0)}).build()
    size = len(edit(near, far(99)))
    data = edit(near, far(size)) + weights
    graph = read_graph(data)
    assert bytes(graph.constant(graph.main.tensors[0])) == weights
    with pytest.raises(MalformedModelError, match=r"buffer 1: its 16 bytes at offset .* run out of the file"):
        read_graph(data[:-1])


def test_constants_in_another_file_are_refused_by_name():
    data = edit(conv().build(), lambda m: setattr(m.subgraphs[0].tensors[1], "externalBuffer", 3))
    with pytest.raises(MalformedModelError, match=r"tensor 1: its constant is kept in another file") as error:
        read_graph(data)
    assert "weights inside" in error.value.hint


def first_tensor(**changes):
    return lambda m: [setattr(m.subgraphs[0].tensors[0], name, value) for name, value in changes.items()]


def first_operator(**changes):
    return lambda m: [setattr(m.subgraphs[0].operators[0], name, value) for name, value in changes.items()]


def first_code(**changes):
    return lambda m: [setattr(m.operatorCodes[0], name, value) for name, value in changes.items()]


def wrong_options(model):
    model.subgraphs[0].operators[0].builtinOptionsType = generated.BuiltinOptions.Pool2DOptions
    model.subgraphs[0].operators[0].builtinOptions = generated.Pool2DOptionsT()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: setattr(m, "version", 2), "schema version 2"),
        (lambda m: setattr(m, "subgraphs", []), "holds no subgraph"),
        (first_tensor(type=99), "tensor 0: tensor type 99 is not known"),
        (first_tensor(buffer=99), "tensor 0: buffer 99 is not among the 3"),
        (first_tensor(shape=[1, -2]), "impossible dimension"),
        (first_tensor(shape=[1] * 17), "17 dimensions are more than the 16"),
        (first_tensor(shapeSignature=[1]), "differ in rank"),
        (first_tensor(buffer=1), "a constant of 108 bytes, where INT8 of shape"),
        (lambda m: setattr(m.subgraphs[0].tensors[1], "shape", [-1, 3, 3, 3]), "a constant of unknown shape"),
        (first_operator(opcodeIndex=5), "operator code 5 is not among the 1"),
        (first_operator(inputs=[0, 1, 4]), "input numbers 0 to 4 are not all among its 4 tensors"),
        (first_operator(inputs=[-2]), "input numbers -2 to -2"),
        (first_operator(outputs=[-1]), "output numbers -1 to -1"),
        (first_operator(intermediates=[7]), "intermediate numbers"),
        (first_operator(largeCustomOptionsOffset=10**9, largeCustomOptionsSize=4), "run out of the file"),
        (lambda m: setattr(m.subgraphs[0], "inputs", [9]), "input numbers 9 to 9"),
        (lambda m: setattr(m.subgraphs[0], "outputs", [-1]), "output numbers -1 to -1"),
        (first_code(builtinCode=300, deprecatedBuiltinCode=127), "operator number 300 is not known"),
        (first_code(builtinCode=32, deprecatedBuiltinCode=32), "a custom operator without a name"),
        (wrong_options, "CONV_2D carries Pool2DOptions in place of Conv2DOptions"),
        (lambda m: setattr(m.subgraphs[0].operators[0].builtinOptions, "padding", 9), "padding 9 is not known"),
    ],
)  # fmt: skip
def test_numbers_that_lead_nowhere_are_refused(change, message):
    with pytest.raises(MalformedModelError, match=message):
        read_graph(edit(conv().build(), change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: setattr(m.subgraphs[0].operators[0].builtinOptions, "thenSubgraphIndex", 3),
            "then_subgraph_index 3",
        ),
        (
            lambda m: setattr(m.subgraphs[0].operators[0].builtinOptions, "elseSubgraphIndex", -1),
            "else_subgraph_index -1",
        ),
        (lambda m: setattr(m.signatureDefs[0], "subgraphIndex", 9), "signature 0: subgraph 9"),
        (lambda m: setattr(m.signatureDefs[0].inputs[0], "tensorIndex", 99), "input 0: tensor 99"),
        (lambda m: setattr(m.signatureDefs[0].inputs[1], "name", b"image"), "the name 'image' occurs twice"),
        (lambda m: setattr(m.metadata[0], "buffer", 99), "metadata 0: buffer 99"),
    ],
)
def test_references_between_parts_are_checked(change, message):
    with pytest.raises(MalformedModelError, match=message):
        read_graph(edit(rich().build(), change))


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"\0" * 8, b"PK\x03\x04" + b"\0" * 40, b"\x08\0\0\0TFL2" + b"\0" * 40]
)
def test_other_files_are_told_apart(data):
    with pytest.raises(MalformedModelError, match="does not carry the identifier TFL3"):
        read_graph(data)


def test_a_strided_view_is_refused():
    with pytest.raises(MalformedModelError, match="contiguous"):
        read_graph(memoryview(conv().build())[::2])


@pytest.mark.parametrize(
    "limit",
    [
        {"size": 100}, {"subgraphs": 2}, {"tensors": 7}, {"operators": 1}, {"buffers": 3}, {"string": 5}, {"vector": 2},
        {"rank": 1}, {"elements": 50},
    ],
)  # fmt: skip
def test_each_limit_holds(limit):
    data = rich().build()
    read_graph(data, replace(Limits(), size=len(data), subgraphs=3, tensors=8, operators=2))
    with pytest.raises(MalformedModelError):
        read_graph(data, Limits(**limit))


def shared_tensor(copies: int, dimensions: int) -> bytes:
    """A file whose vector of tensors points at one table again and again."""
    builder = flatbuffers.Builder(1024)
    generated.TensorStartShapeVector(builder, dimensions)
    for _ in range(dimensions):
        builder.PrependInt32(1)
    shape = builder.EndVector()
    generated.TensorStart(builder)
    generated.TensorAddShape(builder, shape)
    tensor = generated.TensorEnd(builder)
    generated.SubGraphStartTensorsVector(builder, copies)
    for _ in range(copies):
        builder.PrependUOffsetTRelative(tensor)
    tensors = builder.EndVector()
    generated.SubGraphStart(builder)
    generated.SubGraphAddTensors(builder, tensors)
    subgraph = generated.SubGraphEnd(builder)
    generated.BufferStart(builder)
    buffer = generated.BufferEnd(builder)
    vectors = []
    for entry in (subgraph, buffer):
        builder.StartVector(4, 1, 4)
        builder.PrependUOffsetTRelative(entry)
        vectors.append(builder.EndVector())
    generated.ModelStart(builder)
    generated.ModelAddVersion(builder, 3)
    generated.ModelAddSubgraphs(builder, vectors[0])
    generated.ModelAddBuffers(builder, vectors[1])
    builder.Finish(generated.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_small_file_cannot_decode_to_gigabytes():
    assert len(read_graph(shared_tensor(100, 16)).main.tensors) == 100
    data = shared_tensor(20_000, 250_000)  # 1 MB that would be 5,000,000,000 dimensions
    with pytest.raises(MalformedModelError, match="decodes to more than 4000000 elements"):
        read_graph(data, Limits(rank=250_000))


SMALL = rich().build()


def read_all(data: bytes) -> None:
    graph = read_graph(data)
    for subgraph in graph.subgraphs:
        for tensor in subgraph.tensors:
            constant = graph.constant(tensor)
            assert constant is None or len(constant) == graph.constant_span(tensor)[1]
        for operator in subgraph.operators:
            assert repr(operator)
            assert all(-1 <= n < len(subgraph.tensors) for n in (*operator.inputs, *operator.outputs))


def accepts_or_refuses(data: bytes) -> None:
    with contextlib.suppress(MalformedModelError):
        read_all(data)


@given(
    st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, len(SMALL)) | st.none(),
)
@settings(max_examples=400, deadline=None)
def test_changed_bytes_and_truncation_never_crash(changes, end):
    data = bytearray(SMALL)
    for offset, value in changes:
        data[offset] = value
    accepts_or_refuses(bytes(data[:end]))


@given(
    st.integers(0, len(SMALL) // 4 - 1),
    st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 4, 8]),
)
@settings(max_examples=400, deadline=None)
def test_extreme_words_never_crash(word, value):
    data = bytearray(SMALL)
    struct.pack_into("<I", data, 4 * word, value)
    accepts_or_refuses(bytes(data))


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_noise_behind_the_identifier_never_crashes(noise):
    accepts_or_refuses(struct.pack("<I", 8) + b"TFL3" + noise)


def test_every_truncation_is_refused_or_sound():
    for end in range(0, len(SMALL), 3):
        accepts_or_refuses(SMALL[:end])


def test_reading_needs_the_standard_library_alone():
    code = "import sys, edgekit_targets.tflite; print(*{'numpy', 'flatbuffers', 'tensorflow'} & sys.modules.keys())"
    command = [sys.executable, "-c", code]
    folder = str(Path(edgekit_targets.__file__).parents[1])
    out = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": folder})
    assert out.stdout.strip() == ""


def test_shape_constants_read_back():
    graph = read_graph(
        net("RESHAPE", {"x": activation(1, 8), "s": shape_constant(2, 4)}, {"y": activation(2, 4)}).build()
    )
    assert struct.unpack("<2i", graph.constant(graph.main.tensors[1])) == (2, 4)
