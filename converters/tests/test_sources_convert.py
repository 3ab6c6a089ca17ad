"""Every kind of model file through `load_float`, its .tflite against the outputs of its own framework."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgekit.errors import (
    DynamicShapeError,
    EdgekitError,
    MalformedModelError,
    SourceError,
    UnknownModelError,
    UnsupportedModelError,
    UntrustedCodeError,
)
from edgekit_converters.sources import FloatModel, SourceOptions, load_float
from edgekit_converters.worker import Worker
from edgekit_targets.tflite import read_graph

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "data" / "models"


def _run_script(name: str, folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path)}
    done = subprocess.run(
        [sys.executable, str(HERE / name), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as shared:
        shared.warm_up()
        yield shared


@pytest.fixture(scope="module")
def models(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    _run_script("source_models.py", folder)
    return folder


def _run(model: FloatModel, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    interpreter = Interpreter(model_content=model.flatbuffer, num_threads=1)
    interpreter.allocate_tensors()
    assert [detail["name"] for detail in interpreter.get_input_details()] == [
        spec.name for spec in model.inputs
    ]
    assert [detail["name"] for detail in interpreter.get_output_details()] == list(model.outputs)
    for detail, spec in zip(interpreter.get_input_details(), model.inputs, strict=True):
        assert tuple(detail["shape"]) == spec.shape
        interpreter.set_tensor(detail["index"], inputs[spec.name])
    interpreter.invoke()
    return {
        detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()
    }


def _reference(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    with np.load(path) as file:
        arrays = dict(file)
    inputs = {name[3:]: value for name, value in arrays.items() if name.startswith("in_")}
    return inputs, {name[4:]: value for name, value in arrays.items() if name.startswith("out_")}


def _assert_sound(model: FloatModel) -> None:
    """What everything behind the sources relies on: one subgraph, float, static, no two tensors of one name."""
    graph = read_graph(model.flatbuffer)
    assert len(graph.subgraphs) == 1
    assert not graph.signatures
    names = [tensor.name for tensor in graph.main.tensors]
    assert len(set(names)) == len(names)
    assert all(tensor.is_static for tensor in graph.main.tensors)
    assert all(graph.main.tensors[i].type == "FLOAT32" for i in (*graph.main.inputs, *graph.main.outputs))
    for tensor in graph.main.tensors:
        span = graph.constant_span(tensor)
        assert span is None or span[0] % 16 == 0


@pytest.mark.parametrize(
    ("file", "reference", "kind"),
    [
        ("plain.keras", "plain", "Keras 3 model"),
        ("plain.h5", "plain", "Keras 3 model"),
        ("exported", "plain", "SavedModel"),
        ("dynamic.tflite", "plain", "float .tflite"),
        ("keras2.h5", "keras2", "Keras 2 model"),
        ("keras2.keras", "keras2", "Keras 2 model"),
        ("keras2_saved", "keras2", "SavedModel"),
        ("version1", "version1", "SavedModel"),
        ("conv1d.keras", "conv1d", "Keras 3 model"),
        ("segmentation.keras", "segmentation", "Keras 3 model"),
        ("transformer.keras", "transformer", "Keras 3 model"),
        ("mixed.keras", "mixed", "Keras 3 model"),
        ("recurrent.keras", "recurrent", "Keras 3 model"),
        ("recurrent2.h5", "recurrent2", "Keras 2 model"),
    ],
)
def test_one_input_one_output(file: str, reference: str, kind: str, models: Path, worker: Worker) -> None:
    model = load_float(models / file, SourceOptions(), worker)
    inputs, outputs = _reference(models / f"{reference}.npz")
    _assert_sound(model)
    assert model.kind == kind
    assert [spec.name for spec in model.inputs] == list(inputs)
    (found,), (expected,) = _run(model, inputs).values(), outputs.values()
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.ptp(expected) > 1e-3 or expected.size == 1


def test_float16_weights_become_float32(models: Path, worker: Worker) -> None:
    model = load_float(models / "float16.tflite", SourceOptions(), worker)
    inputs, outputs = _reference(models / "plain.npz")
    _assert_sound(model)
    assert {tensor.type for tensor in read_graph(model.flatbuffer).main.tensors} <= {"FLOAT32", "INT32"}
    np.testing.assert_allclose(*_run(model, inputs).values(), *outputs.values(), atol=1e-3)


def test_shape_arithmetic_of_an_open_batch_is_folded(models: Path, worker: Worker) -> None:
    before = {op.opcode for op in read_graph((models / "dynamic.tflite").read_bytes()).main.operators}
    model = load_float(models / "dynamic.tflite", SourceOptions(), worker)
    after = {op.opcode for op in read_graph(model.flatbuffer).main.operators}
    assert before - after == {"SHAPE", "STRIDED_SLICE", "PACK"}


def test_several_inputs_and_outputs_keep_their_names(models: Path, worker: Worker) -> None:
    model = load_float(models / "two.keras", SourceOptions(), worker)
    inputs, outputs = _reference(models / "two.npz")
    _assert_sound(model)
    assert {spec.name: (spec.shape, spec.layout) for spec in model.inputs} == {
        "image": ((1, 8, 8, 3), "NHWC"),
        "extra": ((1, 4), None),
    }
    found = _run(model, inputs)
    assert set(found) == {"scores", "mask"}
    for name, expected in outputs.items():
        np.testing.assert_allclose(found[name], expected, atol=2e-6)


def test_recurrent_layers_are_unrolled_and_noted(models: Path, worker: Worker) -> None:
    model = load_float(models / "recurrent.keras", SourceOptions(), worker)
    assert not {"WHILE", "IF"} & {op.opcode for op in read_graph(model.flatbuffer).main.operators}
    unrolled = [note.split("'")[1] for note in model.notes]
    assert unrolled == ["forward_lstm", "backward_lstm", "cells", "simple", "inner_gru"]
    assert all("unrolled over 7 steps" in note for note in model.notes)


def test_mixed_precision_is_noted(models: Path, worker: Worker) -> None:
    notes = load_float(models / "mixed.keras", SourceOptions(), worker).notes
    assert notes == ("mixed precision: 2 layer(s) compute in float32",)


def test_tensors_are_named_after_layers(models: Path, worker: Worker) -> None:
    graph = read_graph(load_float(models / "plain.keras", SourceOptions(), worker).flatbuffer)
    convolution = next(op for op in graph.main.operators if op.opcode == "CONV_2D")
    assert "first/" in graph.main.tensors[convolution.outputs[0]].name


def test_the_same_file_gives_the_same_bytes(models: Path, worker: Worker) -> None:
    for name in ("two.keras", "exported", "dynamic.tflite"):
        once, again = (load_float(models / name, SourceOptions(), worker) for _ in range(2))
        assert once == again


@pytest.mark.parametrize("file", ["anysize.keras", "anysize"])
def test_open_dimensions_are_asked_for_and_taken(file: str, models: Path, worker: Worker) -> None:
    with pytest.raises(DynamicShapeError, match=r"photo \(\?, \?, \?, 3\)") as caught:
        load_float(models / file, SourceOptions(), worker)
    assert "--input-shape photo=1,96,96,3" in str(caught.value.hint)
    model = load_float(models / file, SourceOptions(input_shapes={"photo": (1, 6, 5, 3)}), worker)
    inputs, outputs = _reference(models / "anysize.npz")
    np.testing.assert_allclose(*_run(model, inputs).values(), *outputs.values(), atol=2e-6)


@pytest.mark.parametrize("file", ["plain.keras", "exported", "dynamic.tflite", "int8.tflite"])
def test_a_shape_that_contradicts_the_model_is_refused(file: str, models: Path, worker: Worker) -> None:
    with pytest.raises(SourceError, match="contradicts the model"):
        load_float(models / file, SourceOptions(input_shapes={"photo": (1, 9, 9, 3)}), worker)


# ---- cutting ----------------------------------------------------------------------------------------------------


def test_keras_models_are_cut_at_layers(models: Path, worker: Worker) -> None:
    model = load_float(models / "argmax.keras", SourceOptions(outputs=("scores",)), worker)
    inputs, outputs = _reference(models / "argmax.npz")
    assert model.outputs == ("scores",)
    np.testing.assert_allclose(*_run(model, inputs).values(), *outputs.values(), atol=2e-6)


def test_an_input_that_the_cut_graph_does_not_need_is_dropped_and_noted(models: Path, worker: Worker) -> None:
    model = load_float(models / "two.keras", SourceOptions(outputs=("features", "pooled")), worker)
    assert [spec.name for spec in model.inputs] == ["image"]
    assert model.outputs == ("features", "pooled")
    assert model.notes == ("input 'extra' does not reach the outputs and was dropped",)


def test_layers_and_outputs_can_be_named_together(models: Path, worker: Worker) -> None:
    model = load_float(models / "two.keras", SourceOptions(outputs=("mask", "both")), worker)
    inputs, outputs = _reference(models / "two.npz")
    found = _run(model, inputs)
    assert {name: value.shape for name, value in found.items()} == {"mask": (1, 6, 6, 1), "both": (1, 7)}
    np.testing.assert_allclose(found["mask"], outputs["mask"], atol=2e-6)


def test_saved_models_are_cut_at_nodes(models: Path, worker: Worker) -> None:
    node = "sequential_1/first_1/BiasAdd"
    with pytest.raises(SourceError, match="--outputs names 'first'") as caught:
        load_float(models / "exported", SourceOptions(outputs=("first",)), worker)
    assert node in str(caught.value.hint)
    model = load_float(models / "exported", SourceOptions(outputs=(node, "output_0")), worker)
    assert model.outputs == (node, "output_0")
    assert _run(model, _reference(models / "plain.npz")[0])[node].shape == (1, 6, 6, 4)


def test_tflite_files_are_cut_at_tensors(models: Path, worker: Worker) -> None:
    graph = read_graph((models / "dynamic.tflite").read_bytes())
    convolution = next(op for op in graph.main.operators if op.opcode == "CONV_2D")
    name = graph.main.tensors[convolution.outputs[0]].name
    model = load_float(models / "dynamic.tflite", SourceOptions(outputs=(name,)), worker)
    _assert_sound(model)
    assert model.outputs == (name,)
    assert [op.opcode for op in read_graph(model.flatbuffer).main.operators] == ["CONV_2D"]


@pytest.mark.parametrize("file", ["plain.keras", "exported", "dynamic.tflite"])
def test_an_unknown_output_gets_near_names(file: str, models: Path, worker: Worker) -> None:
    with pytest.raises(SourceError, match="--outputs names 'clases'") as caught:
        load_float(models / file, SourceOptions(outputs=("clases",)), worker)
    assert "classes" in str(caught.value.hint)


# ---- signatures -------------------------------------------------------------------------------------------------


def test_one_of_several_signatures_must_be_named(models: Path, worker: Worker) -> None:
    for wanted, said in ((None, "several signatures"), ("serve", "no signature 'serve'")):
        with pytest.raises(SourceError, match=said) as caught:
            load_float(models / "module", SourceOptions(signature=wanted), worker)
        assert "--saved-model-signature: product, shifted" in str(caught.value.hint)
    inputs, outputs = _reference(models / "module.npz")
    for name in ("product", "shifted"):
        model = load_float(models / "module", SourceOptions(signature=name), worker)
        np.testing.assert_allclose(_run(model, inputs)[name], outputs[name], atol=1e-6)
    assert model.notes == ("input 'unused' does not reach the outputs and was dropped",)


def test_a_saved_model_without_a_signature_is_refused(models: Path, worker: Worker) -> None:
    with pytest.raises(SourceError, match="has no signature"):
        load_float(models / "unsigned", SourceOptions(), worker)


# ---- code in the model ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["lambda.keras", "lambda.h5", "lambda2.h5"])
def test_a_lambda_does_not_run_unless_trusted(file: str, models: Path, worker: Worker) -> None:
    with pytest.raises(UntrustedCodeError, match="layer 'evil' is a Lambda"):
        load_float(models / file, SourceOptions(), worker)
    assert not list(models.glob("touched_*"))
    load_float(models / file, SourceOptions(trust_model_code=True), worker)
    touched = list(models.glob("touched_*"))
    assert touched, "the test's Lambda would have been seen"
    for path in touched:
        path.unlink()


@pytest.mark.parametrize(("file", "op"), [("reads", "ReadFile"), ("python", "EagerPyFunc")])
def test_a_graph_that_reaches_out_is_refused(file: str, op: str, models: Path, worker: Worker) -> None:
    with pytest.raises(UntrustedCodeError, match=op):
        load_float(models / file, SourceOptions(), worker)


def test_the_init_operation_of_a_saved_model_never_runs(models: Path, worker: Worker) -> None:
    load_float(models / "init_writes", SourceOptions(), worker)
    assert not (models / "touched_init").exists()


def test_a_restore_operation_that_does_more_is_refused(models: Path, worker: Worker) -> None:
    with pytest.raises(UntrustedCodeError, match="do more than restore its variables: WriteFile"):
        load_float(models / "restore_writes", SourceOptions(), worker)
    assert not (models / "touched_restore").exists()


def test_own_layers_come_from_a_named_file(models: Path, worker: Worker) -> None:
    with pytest.raises(UntrustedCodeError, match=r"needs objects\.Doubled, which is not part of Keras"):
        load_float(models / "custom.keras", SourceOptions(), worker)
    options = SourceOptions(custom_objects=str(models / "objects.py"))
    inputs, outputs = _reference(models / "custom.npz")
    found = _run(load_float(models / "custom.keras", options, worker), inputs)
    np.testing.assert_allclose(*found.values(), *outputs.values(), atol=2e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        ("import absent_module", "No module named 'absent_module'"),
        ("x = 1", "no public class"),
    ],
)
def test_own_code_that_cannot_be_used_is_an_error(
    content: str | None, said: str, models: Path, worker: Worker, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SourceError, match=said):
        load_float(models / "custom.keras", SourceOptions(custom_objects=str(path)), worker)


# ---- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "said", "hint"),
    [
        ("argmax.keras", "output 'argmax' is int32, made by ArgMax", "--outputs scores"),
        ("argmax.tflite", "output 'output_0' is int64, made by ARG_MAX", "--outputs"),
        ("tokens.keras", "input 'tokens' is int32", "float32 input"),
        ("twice.keras", "output 'scores_1' is the very tensor that is 'scores'", "--outputs"),
        ("batch32.keras", "must be the batch, 1", "batch size of 1 or None"),
        ("long.keras", "layer 'memory' runs over 300 time steps.*WHILE", "1-D convolutions"),
        ("stateful.keras", "layer 'memory' is stateful", "stateful=False"),
        ("svd", "no TFLite operator for tf.Svd in 'Svd'", "--outputs"),
        ("loop", "control flow, which has no int8 form: StatelessWhile in 'while'", "unroll"),
        ("hybrid.tflite", "2 weight tensors are already integers", "start from the float model"),
        ("flex.tflite", "operators that have no int8 form: FlexSvd", "--outputs"),
        ("unique.tflite", "depends on the data", "--outputs"),
    ],
)
def test_what_int8_cannot_hold_is_refused_by_name(
    file: str, said: str, hint: str, models: Path, worker: Worker
) -> None:
    with pytest.raises(UnsupportedModelError, match=said) as caught:
        load_float(models / file, SourceOptions(), worker)
    assert hint in str(caught.value.hint)
    assert len(str(caught.value)) < 500


def test_a_layer_used_twice_cannot_be_cut_at(models: Path, worker: Worker) -> None:
    with pytest.raises(SourceError, match="layer 'shared' is used 2 times"):
        load_float(models / "shared.keras", SourceOptions(outputs=("shared",)), worker)


def test_weights_alone_are_no_model(models: Path, worker: Worker) -> None:
    with pytest.raises(UnknownModelError, match="holds weights only") as caught:
        load_float(models / "only.weights.h5", SourceOptions(), worker)
    assert "model.save()" in str(caught.value.hint)


@pytest.mark.parametrize("file", ["plain.keras", "plain.h5", "keras2.h5", "dynamic.tflite", "int8.tflite"])
def test_a_cut_off_file_is_an_error(file: str, models: Path, worker: Worker, tmp_path: Path) -> None:
    data = (models / file).read_bytes()
    for share in (0.3, 0.9):
        path = tmp_path / file
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises((SourceError, MalformedModelError)):
            load_float(path, SourceOptions(), worker)


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index"])
def test_a_damaged_saved_model_is_an_error(file: str, models: Path, worker: Worker, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(models / "exported", folder)
    (folder / file).write_bytes((folder / file).read_bytes()[:50])
    with pytest.raises(SourceError, match=r"damaged|cannot load"):
        load_float(folder, SourceOptions(), worker)


# ---- already quantized ------------------------------------------------------------------------------------------


def test_a_quantized_file_passes_unchanged(models: Path, worker: Worker) -> None:
    model = load_float(models / "int8.tflite", SourceOptions(), worker)
    assert model.quantized
    assert model.flatbuffer == (models / "int8.tflite").read_bytes()
    assert [(spec.name, spec.shape) for spec in model.inputs] == [("photo", (1, 8, 8, 3))]
    with pytest.raises(UnsupportedModelError, match="already quantized"):
        load_float(models / "int8.tflite", SourceOptions(outputs=("output_0",)), worker)


# ---- real models ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "outputs"),
    [
        ("mobilenet_v1_0.25_224.h5", (1, 224, 224, 3), ("predictions",)),
        ("mobilenet_v1_0.25_96_vww.h5", (1, 96, 96, 3), ("dense",)),
        ("ds_cnn_kws_saved_model", (1, 49, 10, 1), ("dense",)),
    ],
)
def test_trained_models_of_older_frameworks(
    name: str, shape: tuple[int, ...], outputs: tuple[str, ...], worker: Worker
) -> None:
    if not SHARED.exists():
        pytest.skip("the shared models are not beside this checkout")
    model = load_float(SHARED / name, SourceOptions(), worker)
    _assert_sound(model)
    assert (model.inputs[0].shape, model.outputs) == (shape, outputs)
    found = _run(model, {model.inputs[0].name: np.zeros(shape, np.float32)})[outputs[0]]
    assert found.sum() == pytest.approx(1, abs=1e-5), "a softmax"


def test_an_error_of_the_worker_is_an_edgekit_error(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError):
        load_float(tmp_path, SourceOptions(), worker)
