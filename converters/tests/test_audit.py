"""Every rule of the audit, on a model on each side of its limit."""

import contextlib
import subprocess
import sys
from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
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

from edgekit.errors import MalformedModelError, NotInt8Error
from edgekit_converters.audit import (
    LEGACY_UINT8,
    RULES,
    Severity,
    audit,
    layer_name,
    require_int8,
)
from edgekit_targets.tflite import read_graph


def rules(model: Net, *allow: str) -> list[str]:
    return [finding.rule for finding in audit(model.build(), allow).findings]


def concat(scale: float = 0.05, zero_point: int = 3) -> Net:
    inputs = {"a": activation(1, 8), "b": activation(1, 8, scale=scale, zero_point=zero_point)}
    return net(
        "CONCATENATION", inputs, {"y": activation(1, 16)}, table="ConcatenationOptions", options={"axis": 1}
    )


def softmax(scale: float = 1 / 256, zero_point: int = -128, beta: float = 1.0) -> Net:
    return unary("SOFTMAX", "SoftmaxOptions", scale=scale, zero_point=zero_point, options={"beta": beta})


def reshape() -> Net:
    inputs = {"x": activation(1, 8), "shape": shape_constant(2, 4)}
    return net("RESHAPE", inputs, {"y": activation(2, 4)}, table="ReshapeOptions")


def transpose_conv() -> Net:
    inputs = {
        "shape": shape_constant(1, 4, 4, 2),
        "weights": T((2, 2, 2, 3), "INT8", [0.01, 0.02], 0, 1),
        "x": activation(1, 2, 2, 3),
        "bias": T((2,), "INT32", [0.05 * 0.01, 0.05 * 0.02], 0, [5, 6]),
    }
    options = {"strideW": 2, "strideH": 2}
    outputs = {"y": activation(1, 4, 4, 2, scale=0.1)}
    return net("TRANSPOSE_CONV", inputs, outputs, table="TransposeConvOptions", options=options, version=3)


def arg_max() -> Net:
    outputs = {"y": T((1,), "INT32")}
    inputs = {"x": activation(1, 8), "axis": T((), "INT32", data=1)}
    return net("ARG_MAX", inputs, outputs, table="ArgMaxOptions", options={"outputType": 2}, version=2)


def tokens() -> Net:
    """What Keras makes of an embedding: negative token numbers are wrapped before the look-up."""
    tensors = {
        "ids": T((1, 4), "INT32"),
        "zero": T((), "INT32", data=0),
        "size": T((), "INT32", data=50),
        "table": T((50, 8), "INT8", 0.1, 0, 1),
        "negative": T((1, 4), "BOOL"),
        "wrapped": T((1, 4), "INT32"),
        "index": T((1, 4), "INT32"),
        "y": T((1, 4, 8), "INT8", 0.1, 0),
    }
    ops = (
        Op("LESS", ("ids", "zero"), ("negative",), "LessOptions"),
        Op("ADD", ("ids", "size"), ("wrapped",), "AddOptions"),
        Op("SELECT", ("negative", "wrapped", "ids"), ("index",), "SelectOptions"),
        Op("GATHER", ("table", "index"), ("y",), "GatherOptions"),
    )
    return Net(
        tensors,
        ops,
        ("ids",),
        ("y",),
        signatures={"serving_default": ({"token_ids": "ids"}, {"vectors": "y"})},
    )


def with_shape_arithmetic() -> Net:
    """A Flatten of an open batch: the shape is computed, in int32."""
    tensors = {
        "x": activation(1, 4, 4),
        "shape": T((3,), "INT32"),
        "begin": shape_constant(0),
        "end": shape_constant(1),
        "batch": T((1,), "INT32"),
        "rest": shape_constant(16),
        "new": T((2,), "INT32"),
        "y": activation(1, 16),
    }
    ops = (
        Op("SHAPE", ("x",), ("shape",), "ShapeOptions"),
        Op("STRIDED_SLICE", ("shape", "begin", "end", "end"), ("batch",), "StridedSliceOptions"),
        Op("PACK", ("batch", "rest"), ("new",), "PackOptions", {"valuesCount": 2}),
        Op("RESHAPE", ("x", "new"), ("y",), "ReshapeOptions"),
    )
    return Net(tensors, ops, ("x",), ("y",))


def float_island(opcode: str = "EXP") -> Net:
    """What TensorFlow's quantizer makes of an operator without an int8 kernel."""
    tensors = {
        "x": activation(1, 8),
        "model/soft/dequantized": T((1, 8), "FLOAT32"),
        "model/soft/Exp": T((1, 8), "FLOAT32"),
        "y": activation(1, 8),
    }
    ops = (
        Op("DEQUANTIZE", ("x",), ("model/soft/dequantized",), version=2),
        Op(opcode, ("model/soft/dequantized",), ("model/soft/Exp",)),
        Op("QUANTIZE", ("model/soft/Exp",), ("y",)),
    )
    return Net(tensors, ops, ("x",), ("y",))


def float_edges() -> Net:
    tensors = {
        "x": T((1, 8), "FLOAT32"),
        "q": activation(1, 8),
        "r": activation(1, 8),
        "y": T((1, 8), "FLOAT32"),
    }
    ops = (Op("QUANTIZE", ("x",), ("q",)), Op("ABS", ("q",), ("r",)), Op("DEQUANTIZE", ("r",), ("y",)))
    return Net(tensors, ops, ("x",), ("y",))


def with_float16_constant() -> Net:
    return replace(binary().tensor("b", type="FLOAT16", scale=None, data=1), inputs=("a",))


def hybrid() -> Net:
    """int8 weights on float activations, themselves between int8 ones."""
    weights = dense().tensors["weights"]
    tensors = {
        "x": activation(1, 16),
        "f": T((1, 16), "FLOAT32"),
        "weights": weights,
        "g": T((1, 4), "FLOAT32"),
        "y": activation(1, 4),
    }
    ops = (
        Op("DEQUANTIZE", ("x",), ("f",)),
        Op("FULLY_CONNECTED", ("f", "weights", None), ("g",), "FullyConnectedOptions"),
        Op("QUANTIZE", ("g",), ("y",)),
    )
    return Net(tensors, ops, ("x",), ("y",))


def look_up_of_the_largest() -> Net:
    tensors = {
        "x": activation(1, 8),
        "axis": T((), "INT32", data=1),
        "i": T((1,), "INT32"),
        "table": activation(8, 4, data=1),
        "y": activation(1, 4),
    }
    ops = (
        Op("ARG_MAX", ("x", "axis"), ("i",), "ArgMaxOptions"),
        Op("GATHER", ("table", "i"), ("y",), "GatherOptions"),
    )
    return Net(tensors, ops, ("x",), ("y",))


def less() -> Net:
    return net("LESS", {"a": activation(1, 8), "b": activation(1, 8)}, {"y": T((1, 8), "BOOL")})


def requantized_twice() -> Net:
    tensors = {"x": activation(1, 8), "f": T((1, 8), "FLOAT32"), "y": activation(1, 8, scale=0.1)}
    ops = (Op("DEQUANTIZE", ("x",), ("f",)), Op("QUANTIZE", ("f",), ("y",)))
    return Net(tensors, ops, ("x",), ("y",))


def legacy() -> Net:
    x, y = (activation(1, 8, zero_point=128) for _ in range(2))
    return net("ABS", {"x": replace(x, type="UINT8")}, {"y": replace(y, type="UINT8")})


def custom(code: str) -> Net:
    return net("CUSTOM", {"x": activation(1, 8)}, {"y": activation(1, 8)}, custom_code=code)


def while_loop() -> Net:
    body = Net({"a": activation(1, 4), "b": activation(1, 4)}, (Op("ABS", ("a",), ("b",)),), ("a",), ("b",))
    options = {"condSubgraphIndex": 1, "bodySubgraphIndex": 1}
    return Net(
        {"x": activation(1, 4), "y": activation(1, 4)},
        (Op("WHILE", ("x",), ("y",), "WhileOptions", options),),
        ("x",),
        ("y",),
        (body,),
    )


def bias_of(*values: int) -> Net:
    return conv(len(values)).tensor("bias", data=values)


SOUND = {
    "conv": conv(),
    "depthwise": depthwise(),
    "dense": dense(),
    "dense per channel": dense(per_channel=True),
    "transpose conv": transpose_conv(),
    "add": binary(),
    "concat": concat(),
    "softmax": softmax(),
    "logistic": unary("LOGISTIC", scale=1 / 256, zero_point=-128),
    "tanh": unary("TANH", scale=1 / 128, zero_point=0),
    "l2": unary("L2_NORMALIZATION", "L2NormOptions", scale=1 / 128, zero_point=0),
    "log softmax": unary("LOG_SOFTMAX", "LogSoftmaxOptions", scale=16 / 256, zero_point=127),
    "requantize": unary("QUANTIZE", scale=0.1),
    "reshape": reshape(),
    "computed shape": with_shape_arithmetic(),
    "bias at 2^30": bias_of(2**30, -(2**30), 0, 1),
    "no bias": conv().op(inputs=("x", "weights", None)),
    "scale at 2^-24": unary("ABS", scale=2.0**-24),
    "zero points at the ends": unary("ABS", zero_point=127).tensor("x", zero_point=-128),
    "multiplier below 256": conv(1).tensor("y", scale=0.05 * 0.01 / 255.9),
    "add multiplier below 1": binary().tensor("y", scale=0.1 / 2**20 / 0.999),
    "hard swish below 128": unary("HARD_SWISH", scale=0.05 / 127.9),
    "softmax above 2^-26": softmax(beta=2.0**-21 / 0.05 * 1.01),
    "bias scale within tolerance": conv(1).tensor("bias", scale=[0.05 * 0.01 * 1.00009]),
    "mask": Net(
        {
            "x": activation(1, 8),
            "zero": activation(1, 8, data=0),
            "mask": T((1, 8), "BOOL"),
            "y": activation(1, 8),
        },
        (Op("LESS", ("x", "zero"), ("mask",)), Op("SELECT_V2", ("mask", "x", "zero"), ("y",))),
        ("x",),
        ("y",),
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_models_are_strictly_int8(name):
    verdict = audit(SOUND[name].build())
    assert verdict.findings == ()
    assert verdict.strictly_int8
    assert verdict.fully_integer
    require_int8(verdict)


FLOAT = T((1, 8), "FLOAT32")
UNSOUND = [
    ("float-io", "float input", float_edges(), 2),
    ("float-operator", "float island", float_island(), 1),
    ("float-operator", "requantized by way of float", requantized_twice(), 2),
    ("float-operator", "float16 constant", with_float16_constant(), 1),
    ("float-tensor", "left-over float", Net({**conv().tensors, "z": FLOAT}, conv().ops, ("x",), ("y",)), 1),
    ("hybrid-operator", "hybrid", hybrid(), 1),
    ("legacy-uint8", "uint8", legacy(), 1),
    ("wide-tensor", "int16", net("ABS", {"x": T((1, 8), "INT16", 0.1)}, {"y": activation(1, 8)}), 1),
    ("wide-tensor", "int64 bias", conv().tensor("bias", type="INT64"), 1),
    ("narrow-tensor", "int4 weights", conv().tensor("weights", type="INT4", data=bytes(54)), 1),
    ("string-tensor", "text", net("ABS", {"x": T((1,), "STRING")}, {"y": activation(1, 8)}), 1),
    ("integer-tensor", "integer output", arg_max(), 1),
    ("integer-tensor", "integer input", tokens(), 1),
    ("integer-tensor", "integer inside", look_up_of_the_largest(), 1),
    ("integer-tensor", "truth values as output", less(), 1),
    ("state", "variable", unary("ABS").tensor("x", variable=True), 1),
    ("state", "resource", net("ABS", {"x": T((1,), "RESOURCE")}, {"y": activation(1, 8)}), 1),
    ("control-flow", "while", while_loop(), 1),
    ("flex-operator", "flex", custom("FlexErf"), 1),
    ("custom-operator", "custom", custom("TFLite_Detection_PostProcess"), 1),
    ("stablehlo-operator", "stablehlo", unary("STABLEHLO_ABS"), 1),
    ("open-batch", "open batch", unary("ABS").tensor("x", signature=(-1, 8)), 1),
    ("dynamic-shape", "open width", unary("ABS").tensor("x", signature=(1, -1)), 1),
    ("dynamic-shape", "unknown shape inside", unary("ABS").tensor("y", shape=(1, -1)), 1),
    ("sparse", "sparse weights", conv().tensor("weights", sparse=True), 1),
    ("scale-missing", "no scale", unary("ABS").tensor("y", scale=None), 1),
    ("scale-missing", "no bias scale", conv().tensor("bias", scale=None), 1),
    ("scale-invalid", "zero", unary("ABS", scale=0.0), 1),
    ("scale-invalid", "negative", unary("ABS", scale=-0.1), 1),
    ("scale-invalid", "nan", unary("ABS", scale=nan), 1),
    ("scale-invalid", "infinite", unary("ABS", scale=inf), 1),
    ("scale-invalid", "one channel", conv().tensor("weights", scale=[0.0, 0.02, 0.03, 0.04]), 1),
    ("scale-invalid", "bias", conv().tensor("bias", scale=[nan] * 4), 1),
    ("scale-scheme", "custom scheme", unary("ABS").tensor("x", details=True), 1),
    ("scale-degenerate", "collapsed", unary("ABS", scale=2.0**-24.1), 1),
    ("channel-scales", "too few", conv().tensor("weights", scale=[0.01] * 3), 2),
    ("channel-scales", "wrong dimension", conv(3).tensor("weights", dimension=3), 1),
    ("channel-scales", "no such dimension", conv().tensor("weights", dimension=7), 2),
    ("channel-scales", "activation", unary("ABS").tensor("x", scale=[0.1] * 8, dimension=1), 1),
    ("channel-scales", "bias", conv().tensor("bias", scale=[0.1] * 3), 1),
    ("zero-point", "too large", unary("ABS", zero_point=128), 1),
    ("zero-point", "too small", unary("ABS", zero_point=-129), 1),
    ("zero-point", "too few", conv().tensor("weights", zero_point=[0] * 3), 1),
    ("weights-zero-point", "weights", conv().tensor("weights", zero_point=1), 1),
    ("weights-zero-point", "one channel", depthwise().tensor("weights", zero_point=[0, 0, 0, -1]), 1),
    ("bias-scale", "off", conv(1).tensor("bias", scale=[0.05 * 0.01 * 1.00011]), 1),
    ("bias-scale", "transposed", transpose_conv().tensor("bias", scale=[1e-3, 1e-3]), 1),
    ("bias-saturated", "int32 end", bias_of(0, 2**31 - 1), 1),
    ("bias-saturated", "int32 other end", bias_of(0, -(2**31)), 1),
    ("bias-saturated", "beyond 2^30", bias_of(2**30 + 2000), 1),
    ("multiplier", "conv", conv(1).tensor("y", scale=0.05 * 0.01 / 256.1), 1),
    ("multiplier", "one channel", conv().tensor("y", scale=0.05 * 0.04 / 256.1), 1),
    ("multiplier", "transpose conv", transpose_conv().tensor("y", scale=0.05 * 0.02 / 256.1), 1),
    ("multiplier", "hard swish", unary("HARD_SWISH", scale=0.05 / 128.1), 1),
    ("fixed-scale", "softmax", softmax(1 / 255), 1),
    ("fixed-scale", "softmax zero point", softmax(zero_point=-127), 1),
    ("fixed-scale", "logistic", unary("LOGISTIC", scale=1 / 255, zero_point=-128), 1),
    ("fixed-scale", "tanh", unary("TANH", scale=1 / 127, zero_point=0), 1),
    ("fixed-scale", "l2", unary("L2_NORMALIZATION", "L2NormOptions", scale=1 / 64, zero_point=0), 1),
    ("fixed-scale", "log softmax", unary("LOG_SOFTMAX", "LogSoftmaxOptions", scale=0.1, zero_point=127), 1),
    ("unequal-scales", "concat scale", concat(scale=0.0501), 1),
    ("unequal-scales", "concat zero point", concat(zero_point=4), 1),
    ("unequal-scales", "reshape", reshape().tensor("y", scale=0.1), 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "case", "model", "count"), UNSOUND, ids=[f"{r}: {c}" for r, c, _, _ in UNSOUND]
)
def test_each_rule_finds_its_model_and_nothing_else(rule, case, model, count):
    verdict = audit(model.build())
    assert [finding.rule for finding in verdict.findings] == [rule] * count
    assert not verdict.strictly_int8 or all(f.severity is Severity.WARNING for f in verdict.findings)
    for finding in verdict.findings:
        assert finding.message
        assert finding.fix


# A scale so small that a multiplier is refused is degenerate too.
BOTH = {
    "add": binary().tensor("y", scale=0.1 / 2**20),
    "sub": binary("SUB", "SubOptions").tensor("y", scale=0.1 / 2**20),
    "squared difference": binary("SQUARED_DIFFERENCE", "SquaredDifferenceOptions").tensor("y", scale=0.01 / 2**14 / 1.001),
    "softmax": softmax().tensor("x", scale=2.0**-26),
    "log softmax": SOUND["log softmax"].tensor("x", scale=2.0**-27),
}  # fmt: skip


@pytest.mark.parametrize("name", BOTH)
def test_multipliers_of_collapsed_layers(name):
    assert "multiplier" in rules(BOTH[name])


def test_every_rule_has_a_case():
    in_16_bits = {"wide-scheme"}  # test_int16.py: of tensors that a list allows
    assert {rule for rule, *_ in UNSOUND} == set(RULES) - in_16_bits


RUNTIME_REFUSES = {
    "conv": conv(1).tensor("y", scale=0.05 * 0.01 / 256.1),
    "conv, one channel": conv().tensor("y", scale=0.05 * 0.04 / 256.1),
    "transpose conv": transpose_conv().tensor("y", scale=0.05 * 0.02 / 256.1),
    "hard swish": unary("HARD_SWISH", scale=0.05 / 128.1),
    "add": BOTH["add"],
    "sub": BOTH["sub"],
    "squared difference": BOTH["squared difference"],
    "softmax scale": softmax(1 / 255),
    "l2": unary("L2_NORMALIZATION", "L2NormOptions", scale=1 / 64, zero_point=0, version=2),
    "concat": concat(scale=0.0501).op(version=2),
    "weights zero point": conv().tensor("weights", zero_point=1),
}
RUNTIME_ACCEPTS = {
    "conv": SOUND["multiplier below 256"],
    "hard swish": SOUND["hard swish below 128"],
    "add": SOUND["add multiplier below 1"],
    "softmax": SOUND["softmax"],
    "concat": concat().op(version=2),
}
RUN = (
    "import sys; from ai_edge_litert.interpreter import Interpreter;"
    "i = Interpreter(model_content=sys.stdin.buffer.read(), num_threads=1); i.allocate_tensors(); i.invoke(); print('ran')"
)


def runs(model: Net) -> bool:
    """Whether LiteRT runs a model, asked in a child process: some refusals end it."""
    done = subprocess.run([sys.executable, "-c", RUN], input=model.build(), capture_output=True, check=False)
    return done.returncode == 0 and b"ran" in done.stdout


@pytest.mark.parametrize("name", RUNTIME_REFUSES)
def test_what_the_audit_says_runtimes_refuse_is_refused(name):
    assert rules(RUNTIME_REFUSES[name])
    assert not runs(RUNTIME_REFUSES[name])


@pytest.mark.parametrize("name", RUNTIME_ACCEPTS)
def test_what_lies_just_within_the_limits_runs(name):
    assert rules(RUNTIME_ACCEPTS[name]) == []
    assert runs(RUNTIME_ACCEPTS[name])


def test_a_finding_names_operator_layer_tensor_and_remedy():
    (finding,) = audit(float_island("EXP").build()).findings
    assert (finding.op_index, finding.opcode, finding.layer, finding.tensor) == (
        1,
        "EXP",
        "soft",
        "model/soft/Exp",
    )
    assert str(finding) == "op 1 EXP in 'soft': works on float32 ('model/soft/Exp')"
    assert "--outputs" in finding.fix
    assert finding.to_json()["severity"] == "error"


def test_the_layer_of_a_body_is_told_with_its_subgraph():
    model = while_loop()
    body = replace(model.subgraphs[0], ops=(Op("CUSTOM", ("a",), ("b",), custom_code="FlexErf"),))
    found = audit(replace(model, subgraphs=(body,)).build()).findings
    assert [(f.rule, f.subgraph) for f in found] == [("control-flow", 0), ("flex-operator", 1)]
    assert str(found[1]).startswith("subgraph 1, op 0 FlexErf in")


def test_the_remedy_depends_on_the_operator():
    fixes = {
        name: audit(float_island(name).build()).findings[0].fix for name in ("NEG", "EXP", "ELU", "ROUND")
    }
    assert "multiply by -1" in fixes["NEG"]
    assert "head" in fixes["EXP"]
    assert "leaky_relu" in fixes["ELU"]
    assert "--outputs" in fixes["ROUND"]
    assert "edgekit convert" in audit(net("ABS", {"x": FLOAT}, {"y": FLOAT}).build()).findings[-1].fix


def test_float_findings_beside_float_edges_are_one_each():
    found = audit(float_edges().build()).findings
    assert [(f.rule, f.tensor) for f in found] == [("float-io", "x"), ("float-io", "y")]


def test_integers_are_allowed_by_tensor_or_signature_name():
    assert rules(tokens(), "other") == ["integer-tensor"]
    for name in ("ids", "token_ids"):
        verdict = audit(tokens().build(), {name})
        assert verdict.findings == ()
        assert verdict.exceptions == ("op 0 LESS in 'negative': input 'ids' is int32",)
        assert not verdict.strictly_int8
        require_int8(verdict)
    assert rules(arg_max(), "y") == []


def test_an_integer_inside_cannot_be_allowed():
    assert rules(look_up_of_the_largest(), "i") == ["integer-tensor"]


def test_integers_computed_from_embeddings_are_named():
    model = tokens()
    largest = {"axis": T((), "INT32", data=2), "largest": T((1, 4), "INT32"), "z": activation(1, 4, 8)}
    ops = (
        Op("ARG_MAX", ("y", "axis"), ("largest",), "ArgMaxOptions"),
        Op("GATHER", ("table", "largest"), ("z",), "GatherOptions"),
    )
    model = replace(
        model, tensors={**model.tensors, **largest}, ops=(*model.ops, *ops), outputs=("z",), signatures={}
    ).tensor("z", scale=0.1, zero_point=0)
    assert [f.tensor for f in audit(model.build(), {"ids"}).findings] == ["largest"]


def test_custom_operators_are_allowed_by_name_and_flex_never():
    assert rules(custom("edgetpu-custom-op"), "edgetpu-custom-op") == []
    assert audit(custom("edgetpu-custom-op").build(), {"edgetpu-custom-op"}).exceptions
    assert rules(custom("FlexErf"), "FlexErf") == ["flex-operator"]


def test_uint8_models_are_integer_throughout_and_allowed_by_word():
    verdict = audit(legacy().build())
    assert (verdict.strictly_int8, verdict.fully_integer) == (False, True)
    with pytest.raises(NotInt8Error):
        require_int8(verdict)
    allowed = audit(legacy().build(), {LEGACY_UINT8})
    assert allowed.exceptions == ("1 operator works on uint8 tensors",)
    require_int8(allowed)


def test_uint8_has_its_own_fixed_zero_points():
    model = softmax(zero_point=0).tensor("x", type="UINT8").tensor("y", type="UINT8")
    assert rules(model) == ["legacy-uint8"]
    assert rules(model.tensor("y", zero_point=1)) == ["fixed-scale", "legacy-uint8"]


def test_an_open_batch_is_a_warning():
    verdict = audit(unary("ABS").tensor("x", signature=(-1, 8)).build())
    assert [f.severity for f in verdict.findings] == [Severity.WARNING]
    assert verdict.strictly_int8
    require_int8(verdict)


def chain(count: int) -> Net:
    tensors = {"x": activation(1, 8), **{f"model/layer_{i}/Exp": activation(1, 8) for i in range(count)}}
    names = list(tensors)
    ops = tuple(Op("CUSTOM", (names[i],), (names[i + 1],), custom_code="FlexErf") for i in range(count))
    return Net(tensors, ops, ("x",), (names[-1],))


def test_the_refusal_names_ten_findings_and_counts_the_rest():
    with pytest.raises(NotInt8Error) as error:
        require_int8(audit(chain(13).build()))
    message = str(error.value)
    assert message.startswith("the model is not strictly int8: 13 findings")
    assert "op 0 FlexErf in 'layer_0'" in message
    assert "op 9 FlexErf in 'layer_9'" in message
    assert "layer_10" not in message
    assert message.endswith("and 3 more")
    assert "--outputs" in str(error.value.hint)


def test_what_the_file_holds_is_counted():
    verdict = audit(conv().build())
    assert dict(verdict.operators) == {"CONV_2D": 1}
    assert [t.name for t in verdict.inputs] == ["x"]
    assert [t.name for t in verdict.outputs] == ["y"]
    assert len(verdict.tensors) == 4
    assert verdict.parameter_bytes == 4 * 27 + 4 * 4
    assert verdict.size == len(conv().build())


def test_a_buffer_that_two_tensors_share_counts_once():
    data = edit(conv().build(), lambda m: m.subgraphs[0].tensors.append(m.subgraphs[0].tensors[1]))
    assert audit(data).parameter_bytes == 4 * 27 + 4 * 4


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("functional_1/dense_1/BiasAdd;functional_1/dense_1/MatMul", "dense_1"),
        ("mobilenetv2/block_1/project/convolution1", "project"),
        ("sequential/conv2d/Relu;sequential/bn/batchnorm/mul_1", "conv2d"),
        ("StatefulPartitionedCall/model/dw/depthwise", "dw"),
        ("StatefulPartitionedCall_1:0", None),
        ("StatefulPartitionedCall:0;model/out/Softmax", "out"),
        ("tfl.dequantize", None),
        ("dense", "dense"),
        ("Relu6", "Relu6"),
        ("", None),
        (";;//", None),
    ],
)
def test_layer_names(tensor, layer):
    assert layer_name(tensor) == layer


def test_a_layer_without_a_telling_output_is_named_by_its_weights():
    model = dense().rename(
        y="StatefulPartitionedCall:0", weights="model/head/MatMul", bias="model/head/BiasAdd"
    )
    (finding,) = audit(model.tensor("model/head/MatMul", zero_point=1).build()).findings
    assert finding.layer == "head"


BASES = [conv().build(), tokens().build(), while_loop().build(), float_island().build()]


@given(
    st.sampled_from(BASES),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_no_file_makes_the_audit_crash(base, changes):
    data = bytearray(base)
    for place, value in changes:
        data[int(place * len(data))] = value
    with contextlib.suppress(MalformedModelError):
        verdict = audit(bytes(data))
        assert all(str(finding) and finding.fix for finding in verdict.findings)
        with contextlib.suppress(NotInt8Error):
            require_int8(verdict)


@given(st.floats(width=32), st.floats(width=32), st.integers(-300, 300))
@settings(max_examples=200, deadline=None)
def test_no_scale_makes_the_audit_crash(scale, other, zero_point):
    for model in (
        binary(),
        binary("SQUARED_DIFFERENCE", "SquaredDifferenceOptions"),
        conv(1),
        unary("HARD_SWISH"),
        concat(),
    ):
        name = model.inputs[0]
        verdict = audit(
            model.tensor(name, scale=scale).tensor("y", scale=other, zero_point=zero_point).build()
        )
        usable = np.isfinite([scale, other]).all() and min(scale, other) > 0 and -128 <= zero_point <= 127
        assert usable or not verdict.strictly_int8


@pytest.fixture(scope="module")
def converted() -> dict[str, bytes]:
    """What TFLiteConverter makes of one network of many layers: float, int8, and int8 with uint8 edges."""
    tf = pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    layers = keras.layers
    image = keras.Input((16, 16, 3), batch_size=1, name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    y = layers.LeakyReLU()(layers.DepthwiseConv2D(3, padding="same", strides=2)(x))
    y = layers.Add()([y, layers.Conv2D(8, 1, activation="hard_swish")(y)])
    y = layers.Concatenate()([layers.MaxPooling2D()(x), layers.AveragePooling2D(2)(x), y])
    y = layers.ZeroPadding2D()(layers.Conv2DTranspose(8, 2, strides=2)(y))
    y = layers.UpSampling2D(interpolation="bilinear")(y)[:, ::2, ::2, :4]
    y = layers.Multiply()([layers.Activation("tanh")(y), layers.Activation("sigmoid")(y)])
    y = layers.GlobalAveragePooling2D()(layers.PReLU(shared_axes=[1, 2])(y))
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="classes")(y))
    random = np.random.default_rng(0)

    def samples():
        for _ in range(4):
            yield [random.uniform(-1, 1, (1, 16, 16, 3)).astype(np.float32)]

    def convert(edges):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if edges is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = samples
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = edges
        return converter.convert()

    return {"float": convert(None), "int8": convert(tf.int8), "uint8 edges": convert(tf.uint8)}


@pytest.mark.parametrize("kind", ["float", "int8", "uint8 edges"])
def test_the_reader_reads_what_tensorflow_writes(converted, kind):
    assert of_edgekit(read_graph(converted[kind])) == of_google(converted[kind])


def test_nothing_is_wrong_with_what_tensorflow_quantizes(converted):
    verdict = audit(converted["int8"])
    assert verdict.findings == ()
    assert verdict.strictly_int8
    assert verdict.operators["CONV_2D"] == 2


def test_uint8_edges_are_two_findings(converted):
    found = audit(converted["uint8 edges"]).findings
    assert [(f.rule, f.opcode) for f in found] == [("legacy-uint8", "QUANTIZE")] * 2


def test_every_operator_of_a_float_model_is_named(converted):
    verdict = audit(converted["float"])
    named = {f.op_index for f in verdict.findings if f.rule == "float-operator"}
    assert named == set(range(sum(verdict.operators.values())))
    assert any(f.layer.startswith("classes") for f in verdict.findings)
