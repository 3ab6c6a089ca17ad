from __future__ import annotations

from edgekit_converters.sources.lite import translate
from edgekit_converters.sources.naming import (
    first_line,
    layer_of,
    located,
    plain_path,
    refuse_output_type,
    unknown_output,
)

# Shortened from what TensorFlow 2.21 raises; the module text that follows is hundreds of lines in real models.
FLEX = (
    """Could not translate MLIR to FlatBuffer.<unknown>:0: error: loc(fused["Erf:", "head/gelu/Erf"]): 'tf.Erf' op is \
neither a custom op nor a flex op
<unknown>:0: note: loc(fused["Erf:", "head/gelu/Erf"]): see current operation: %27 = "tf.Erf"(%arg0) {device = ""}
<unknown>:0: error: loc(fused["Svd:", "other/Svd"]): 'tf.Svd' op is neither a custom op nor a flex op
<unknown>:0: error: failed while converting: 'main':
Some ops are not supported by the native TFLite runtime, you can enable TF kernels fallback using TF Select.
TF Select ops: Erf
Details:
\ttf.Erf(tensor<1x8x4xf32>) -> (tensor<1x8x4xf32>) : {device = ""}
"""
    + "  %1 = noise\n" * 300
)


def test_a_converter_error_becomes_one_line_with_ops_layers_and_remedy() -> None:
    error = translate(FLEX, ["head", "tail"])
    assert str(error) == "no TFLite operator for tf.Erf in layer 'head'; tf.Svd in 'other/Svd'"
    assert "--outputs" in str(error.hint)


def test_arithmetic_in_other_floats_is_said() -> None:
    error = translate(FLEX.replace("x4xf32>", "x4xf64>"), [])
    assert "(they compute in float64)" in str(error)
    assert "float32" in str(error.hint)


def test_an_error_without_places_still_names_the_ops() -> None:
    assert str(translate("failed\nCustom ops: Svd, MyOp\n", [])) == "no TFLite operator for tf.Svd; tf.MyOp"


def test_an_unknown_error_is_cut_to_its_first_line() -> None:
    error = translate("\n  " + "x" * 1000 + "\nsecond line", [])
    assert len(str(error)) < 400
    assert "second" not in str(error)
    assert error.hint


def test_the_reason_is_found_behind_a_page_of_configuration() -> None:
    said = (
        "could not be deserialized ...\n\nconfig={...}.\n\nException encountered: Unknown layer: Swirl\nmore"
    )
    assert first_line(ValueError(said)) == "Unknown layer: Swirl"
    assert first_line(KeyError()) == "KeyError"
    assert len(first_line(ValueError("x" * 999))) == 300


def test_a_path_belongs_to_its_outermost_layer() -> None:
    assert layer_of("encoder/dense/BiasAdd", ["dense", "encoder"]) == "encoder"
    assert layer_of("a/MatMul;b/BiasAdd", ["a", "b"]) == "b"
    assert layer_of("dense_1/MatMul", ["dense"]) is None
    assert located("StatefulPartitionedCall/model/x", []) == "'model/x'"


def test_the_calls_around_a_saved_model_are_left_out_of_names() -> None:
    path = "StatefulPartitionedCall/PartitionedCall_3/net/a/Relu;StatefulPartitionedCall/net/b/Conv"
    assert plain_path(path) == "net/a/Relu;net/b/Conv"
    assert plain_path("StatefulPartitionedCall:0") == "StatefulPartitionedCall:0"


def test_a_mistyped_output_gets_near_names() -> None:
    error = unknown_output("sofmax", ["softmax", "logits"], ["net/conv/BiasAdd"])
    assert "'sofmax'" in str(error)
    assert error.hint == "close to it are: softmax"
    assert "logits" in str(unknown_output("zzz", ["softmax", "logits"], []).hint)
    assert "net/conv/BiasAdd" in str(unknown_output("biasadd", ["softmax"], ["net/conv/BiasAdd"]).hint)


def test_a_whole_number_output_gets_the_place_to_cut() -> None:
    error = refuse_output_type("class", "int32", "ArgMax", "net/scores/BiasAdd", ["scores"])
    assert str(error).startswith("output 'class' is int32, made by ArgMax")
    assert "--outputs scores," in str(error.hint)
    assert "--outputs net/s," in str(refuse_output_type("class", "int64", "ArgMax", "net/s", []).hint)
