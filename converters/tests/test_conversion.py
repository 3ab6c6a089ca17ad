"""Whole conversions: for every family of models either a strictly int8 bundle, measured, or a refusal that helps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import tflite_models

import edgekit
from edgekit.arrays import read_arrays
from edgekit.bundle import UnverifiedBundle, read_unverified
from edgekit.errors import (
    AccuracyContractError,
    DynamicShapeError,
    EdgekitError,
    NotInt8Error,
    SourceError,
    UnsupportedModelError,
    UntrustedCodeError,
)
from edgekit.preprocess import dequantize
from edgekit.session import Session
from edgekit.trust import UnsignedBundleWarning
from edgekit_converters import convert
from edgekit_converters.audit import LEGACY_UINT8, audit
from edgekit_converters.calibration.observe import observe
from edgekit_converters.conversion import Conversion, run
from edgekit_converters.quantize.engine import Quantizer, quantize, write_ranges
from edgekit_converters.quantize.legalize import legalize
from edgekit_converters.quantize.pipeline import RANGES
from edgekit_converters.quantize.search import BALANCED
from edgekit_converters.quantize.ties import tie_ranges
from edgekit_converters.request import Request
from edgekit_converters.runner import Runner
from edgekit_converters.sources import SourceOptions, load_float
from edgekit_converters.worker import Worker

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

Convert = Callable[..., Conversion]


@pytest.fixture(scope="module")
def folder(made_by: Callable[[str], Path]) -> Path:
    return made_by("conversion_models")


@pytest.fixture
def converted(folder: Path, tmp_path: Path) -> Convert:
    """Converts NAME.keras on NAME.npz, fast and measured against float, unless the words say otherwise."""

    def do(name: str, **words: object) -> Conversion:
        data = str(folder / f"{name}.npz")
        request = Request(
            model=folder / f"{name}.keras",
            target="raspberry-pi-4",
            calibration=data,
            output=tmp_path / f"{name}.edgekit",
            effort="fast",
            evaluation=data,
            metric="sqnr",
        )
        return run(replace(request, **words))  # type: ignore[arg-type]

    return do


def bundle_at(path: Path) -> UnverifiedBundle:
    return read_unverified(path.read_bytes())


def opened(path: Path) -> Session:
    with pytest.warns(UnsignedBundleWarning):
        return edgekit.load(path, trust=edgekit.UNSIGNED)


def assert_sound(path: Path, *, dtype: str = "int8") -> None:
    """What every bundle on disk must be: audited, and answering its golden inputs as it says."""
    bundle = bundle_at(path)
    manifest = bundle.manifest
    assert {spec.dtype for spec in (*manifest.inputs, *manifest.outputs)} == {dtype}
    verdict = audit(bytes(bundle.members["model.tflite"]), allow=() if dtype == "int8" else [LEGACY_UINT8])
    assert not verdict.errors
    reference = read_arrays(bundle.members["reference.npz"])
    for number, spec in enumerate(manifest.inputs):
        assert reference[f"input.{number}"].sum() == manifest.calibration.samples * np.prod(spec.shape)
    golden = read_arrays(bundle.members["golden.npz"])
    with opened(path) as model:
        for row in range(len(golden["input.0"])):
            fed = {spec.name: golden[f"input.{n}"][row] for n, spec in enumerate(manifest.inputs)}
            quantized = model.run_quantized(fed)
            answers = quantized if isinstance(quantized, dict) else {manifest.outputs[0].name: quantized}
            for number, spec in enumerate(manifest.outputs):
                expected = golden[f"output.{number}.litert-2.3.0.xnnpack"][row]
                assert np.array_equal(answers[spec.name][0], expected)


def sqnr(conversion: Conversion) -> Mapping[str, float]:
    assert conversion.report.evaluation is not None
    return conversion.report.evaluation.sqnr_db


UNREAD = ("backward_gru/gru_cell/split_1", "forward_gru/gru_cell/split_1")
NOTES = {
    "lstm": (
        "recurrent layer 'memory' unrolled over 12 steps",
        "SPLIT 'memory/lstm_cell/split' became 3 SLICE, since nothing reads the rest",
    ),
    "gru": (
        *(f"recurrent layer '{way}_gru' unrolled over 12 steps" for way in ("forward", "backward")),
        *(f"SPLIT 'both/{way}' became 2 SLICE, since nothing reads the rest" for way in UNREAD),
    ),
    "transformer": tuple(f"NEG '{layer}/Neg' became MUL by -1" for layer in ("norm", "layer_normalization")),
    "softplus": ("LOG 'hidden/Softplus3' became RELU + LOG of 1 + EXP of -ABS, which int8 can hold",),
    "mish": ("LOG 'hidden/Softplus3' became RELU + LOG of 1 + EXP of -ABS, which int8 can hold",),
    "elu": ("ELU 'hidden/Elu' became RELU + EXP of the negative part - 1",),
    "selu": ("EXP 'hidden/Selu6' became EXP of the negative part, since nothing else of it is used",),
}


@pytest.mark.parametrize(
    ("name", "least_db"),
    [
        ("lstm", {"scores": 40}),
        ("gru", {"scores": 40}),
        ("conv1d", {"scores": 38}),
        ("transformer", {"scores": 34}),
        ("unet", {"mask": 40}),
        ("detector", {"boxes": 28, "scores": 42}),
        ("autoencoder", {"copy": 27}),
        ("experts", {"sum": 35}),
        # As Keras writes them: softplus 10.6 dB, mish 23.8, selu 5.8, and ELU not at all (quantize/legalize.py).
        ("softplus", {"out": 33}),
        ("mish", {"out": 32}),
        ("elu", {"out": 32}),
        ("selu", {"out": 32}),
        # Left to TensorFlow's quantizer alone, "whole" has 2.9 dB (quantize/ties.py).
        ("clipped", {"clipped": 26, "whole": 33}),
    ],
)
def test_family_becomes_a_strictly_int8_bundle(
    name: str, least_db: Mapping[str, float], converted: Convert, tmp_path: Path
) -> None:
    conversion = converted(name)
    assert_sound(tmp_path / f"{name}.edgekit")
    assert conversion.report.audit.strictly_int8
    assert conversion.report.notes == NOTES.get(name, ())
    measured = sqnr(conversion)
    assert measured.keys() == least_db.keys()
    for output, bound in least_db.items():
        assert measured[output] >= bound, measured


@pytest.mark.parametrize(
    ("name", "words", "kind", "says", "advises"),
    [
        ("argmax", {}, UnsupportedModelError, "int32, made by ArgMax", "--outputs scores"),
        ("tokens", {}, UnsupportedModelError, "'tokens' is int32.*token ids", "behind the lookup"),
        ("sine", {}, NotInt8Error, r"SIN in .*float32.*\n.*cut this head off with --outputs", "--outputs"),
        ("conv3d", {}, NotInt8Error, r"CONV_3D in 'solid'.*\n.*--outputs", "--outputs"),
        ("dead", {}, NotInt8Error, "'dead': .* has the scale .*hardly varies(.|\n)*remove it", "--outputs"),
        ("lambda", {}, UntrustedCodeError, "'tripled' is a Lambda", "--trust-model-code"),
        ("custom", {}, UntrustedCodeError, r"'scaled.*' needs objects.Scaled", "--custom-objects"),
        ("open", {}, DynamicShapeError, r"signal \(\?, \?, 4\)", "--input-shape signal="),
        ("open", {"input_shapes": {"signal": (1, 12, 3)}}, SourceError, "signal", None),
        ("detector", {"outputs": ("score",)}, SourceError, "--outputs names 'score'", "scores"),
    ],
)
def test_refusal_names_operator_layer_and_remedy(
    name: str,
    words: Mapping[str, object],
    kind: type[EdgekitError],
    says: str,
    advises: str | None,
    converted: Convert,
    tmp_path: Path,
) -> None:
    with pytest.raises(kind, match=says) as caught:
        converted(name, **words)
    assert advises is None or advises in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words", "outputs"),
    [
        ("argmax", {"outputs": ("scores",)}, {"scores"}),
        ("detector", {"outputs": ("boxes",)}, {"boxes"}),
        ("lambda", {"trust_model_code": True}, {"tripled"}),
        ("open", {"input_shapes": {"signal": (1, 12, 4)}}, None),
    ],
)
def test_the_remedy_works(
    name: str, words: Mapping[str, object], outputs: set[str] | None, converted: Convert, tmp_path: Path
) -> None:
    measured = sqnr(converted(name, **words))
    assert_sound(tmp_path / f"{name}.edgekit")
    assert outputs is None or measured.keys() == outputs
    assert min(measured.values()) > 25


def test_custom_objects(converted: Convert, folder: Path, tmp_path: Path) -> None:
    assert min(sqnr(converted("custom", custom_objects=str(folder / "objects.py"))).values()) > 30
    assert_sound(tmp_path / "custom.edgekit")


def test_two_inputs_each_with_its_own_preprocessing(
    folder: Path, converted: Convert, tmp_path: Path, worker: Worker
) -> None:
    words = {"range": {"photo": (-1.0, 1.0)}, "color": {"photo": "BGR"}, "mean": {"facts": (0.5,)}}
    measured = sqnr(converted("two", **words))
    assert measured.keys() == {"kind", "age"}
    assert min(measured.values()) > 25
    path = tmp_path / "two.edgekit"
    assert_sound(path)
    photo, facts = (bundle_at(path).manifest.input(name).preprocessing for name in ("photo", "facts"))
    assert photo is not None
    assert facts is not None
    assert (photo.source, photo.dtype, photo.range, photo.color) == ("image", "uint8", (-1, 1), "BGR")
    assert (facts.source, facts.dtype, facts.range, facts.mean) == ("array", "float32", None, (0.5,))

    with np.load(folder / "two.npz") as file:
        raw = {name: file[name][5] for name in ("photo", "facts")}
    exact = Runner(load_float(folder / "two.keras", SourceOptions(), worker).flatbuffer).run_real(
        {
            "photo": (raw["photo"][None] / 127.5 - 1).astype(np.float32),
            "facts": raw["facts"][None] - np.float32(0.5),
        }
    )
    with opened(path) as model:
        answer = model.run(raw)
    for spec in model.manifest.outputs:
        assert answer.outputs[spec.name] == pytest.approx(exact[spec.name], abs=6 * spec.scale)


@pytest.mark.parametrize(("signature", "output"), [("halves", "half"), ("sums", "sum")])
def test_savedmodel_with_several_signatures(
    signature: str, output: str, folder: Path, converted: Convert, tmp_path: Path
) -> None:
    data = str(folder / "experts.npz")
    words = {"model": folder / "several", "calibration": data, "evaluation": data}
    assert sqnr(converted("several", **words, saved_model_signature=signature))[output] > 30
    assert_sound(tmp_path / "several.edgekit")


def test_savedmodel_with_several_signatures_wants_one_named(folder: Path, converted: Convert) -> None:
    data = str(folder / "experts.npz")
    with pytest.raises(SourceError, match="several signatures") as caught:
        converted("several", model=folder / "several", calibration=data, evaluation=data)
    assert "--saved-model-signature" in str(caught.value.hint)
    assert "halves" in str(caught.value.hint)


def test_float_tflite_and_labelled_accuracy(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("horizontal\nvertical\nblob\n")
    report = convert(
        folder / "shapes.tflite",
        target="rpi4",
        calibration=f"{folder / 'shapes.npz'}#photo",
        evaluation=f"{folder / 'shapes.npz'}#photo,labels",
        labels=str(tmp_path / "names.txt"),
        max_drop=2,
        output=tmp_path / "shapes.edgekit",
    )
    assert_sound(tmp_path / "shapes.edgekit")
    assert report.evaluation is not None
    assert report.evaluation.metric == "top1"
    assert report.evaluation.float_value > 85
    assert report.manifest.accuracy is not None
    assert report.manifest.accuracy.difference == pytest.approx(report.evaluation.difference)
    assert report.manifest.targets == ("raspberry-pi-4",)
    assert report.manifest.labels == ("horizontal", "vertical", "blob")
    assert report.choice is not None
    assert len(report.choice.trials) == 1 + len(RANGES["balanced"]) + len(BALANCED[1:])
    assert not report.choice.stopped


@pytest.mark.parametrize("name", ["int8", "uint8_ends", "legacy"])
def test_quantized_tflite_is_packed_unchanged(name: str, folder: Path, tmp_path: Path) -> None:
    path = folder / f"{name}.tflite"
    data = f"{folder / 'shapes.npz'}#photo"
    if name == "legacy":
        ends = {end: tflite_models.T((1, 10), "UINT8", 0.05, 120) for end in ("x", "y")}
        path = tmp_path / "legacy.tflite"
        path.write_bytes(tflite_models.net("RELU", {"x": ends["x"]}, {"y": ends["y"]}).build())
        data = str(folder / "experts.npz")
    report = convert(path, target="raspberry-pi-4", calibration=data, output=tmp_path / "out.edgekit")
    bundle = bundle_at(tmp_path / "out.edgekit")
    assert bytes(bundle.members["model.tflite"]) == path.read_bytes()
    assert_sound(tmp_path / "out.edgekit", dtype="int8" if name == "int8" else "uint8")
    exceptions = {"int8": [], "uint8_ends": ["2 operators work"], "legacy": ["1 operator works"]}[name]
    assert [text.removesuffix(" on uint8 tensors") for text in bundle.manifest.exceptions] == exceptions
    assert ("named exception" in report.render()) == (name != "int8")
    assert report.choice is None
    assert [spec.name for spec in bundle.manifest.inputs] == ["x" if name == "legacy" else "photo"]


IN_MEMORY = """
import sys
from pathlib import Path
import keras, tensorflow as tf
from edgekit_converters import convert
folder, out = map(Path, sys.argv[1:])
model = keras.models.load_model(folder / "conv1d.keras")
@tf.function(input_signature=[tf.TensorSpec([None, 12, 4], name="signal")])
def doubled(signal):
    return {"scores": 2.0 * tf.nn.relu(signal[:, :, 0])}
for name, made in (("model", model), ("function", doubled)):
    convert(made, target="raspberry-pi-4", calibration=str(folder / "conv1d.npz"), output=out / f"{name}.edgekit",
            effort="fast")
"""


def test_models_in_memory(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_MEMORY, folder, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("model", "function"):
        assert_sound(tmp_path / f"{name}.edgekit")


def test_function_as_calibration_data(folder: Path, tmp_path: Path) -> None:
    def samples() -> list[np.ndarray]:
        with np.load(folder / "experts.npz") as file:
            return list(file["x"])

    report = convert(folder / "experts.keras", target="raspberry-pi-4", calibration=samples, effort="fast")
    assert report.manifest.calibration.samples == 24
    assert report.manifest.name == "experts"


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real models beside the checkout")
@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        ("mobilenet_v1_0.25_224.h5", "imagenet-sample/calibration", {"range": (-1.0, 1.0)}),
        ("ds_cnn_kws_saved_model", "speech-commands.npz#mfcc", {}),
    ],
)
def test_real_model(
    model: str, data: str, words: Mapping[str, object], converted: Convert, tmp_path: Path
) -> None:
    path = str(SHARED / data)
    conversion = converted(
        "real",
        model=SHARED / "models" / model,
        calibration=path,
        evaluation=None,
        metric=None,
        samples=12,
        **words,
    )
    assert conversion.report.audit.strictly_int8
    assert_sound(tmp_path / "real.edgekit")
    assert min(layer.sqnr_db for layer in conversion.report.layers) > 0


def test_same_words_give_the_same_bytes_whatever_the_threads(folder: Path, converted: Convert) -> None:
    labelled = f"{folder / 'shapes.npz'}#photo,labels"
    words = {"calibration": f"{folder / 'shapes.npz'}#photo", "evaluation": labelled, "metric": None}
    words |= {"effort": "balanced", "samples": 60}
    one, again, two = (converted("shapes", **words, threads=threads).bundle for threads in (1, 1, 2))
    assert one == again
    assert one == two


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_quantizer_is_deterministic(name: str, folder: Path, worker: Worker) -> None:
    """With a SPLIT whose first output nobody reads, one of four results was another one, and partly float."""
    float_model, _ = legalize(load_float(folder / f"{name}.keras", SourceOptions(), worker).flatbuffer)
    with np.load(folder / f"{name}.npz") as file:
        ranges = observe(float_model, [{"signal": row[None]} for row in file["signal"]]).minmax()
    calibrated = write_ranges(float_model, tie_ranges(float_model, ranges))
    (only,) = {worker.call("quantize the model", quantize, calibrated, Quantizer()) for _ in range(12)}
    assert audit(only).strictly_int8


def test_broken_contract_writes_nothing_and_names_the_worst_layers(
    folder: Path, converted: Convert, tmp_path: Path
) -> None:
    poisoned = poison(folder, tmp_path / "poisoned.npz")
    words = {"evaluation": f"{folder / 'shapes.npz'}#photo,labels", "metric": None, "max_drop": 2.0}
    with pytest.raises(AccuracyContractError, match=r"int8 loses .* points of top1") as caught:
        converted("shapes", calibration=poisoned, keep_outliers=True, **words)
    message = str(caught.value)
    assert "--max-drop allows 2" in message
    assert "the layers that lose most" in message
    assert "CONV_2D" in message
    assert caught.value.report is not None
    assert caught.value.report["layers"]
    assert caught.value.exit_code == 3
    assert not (tmp_path / "shapes.edgekit").exists()


def poison(folder: Path, path: Path) -> str:
    """Calibration photos of which two are a hundred times too bright: minimum and maximum are then useless."""
    with np.load(folder / "shapes.npz") as file:
        photos = file["photo"][:40].copy()
    photos[[3, 17]] *= 100
    np.savez(path, photo=photos)
    return str(path)


SLOW = """
import time
import numpy as np

def samples():
    for row in np.random.default_rng(0).normal(0, 1, (40, 12, 4)).astype(np.float32):
        time.sleep(0.05)
        yield row
"""


@pytest.mark.parametrize("stage", ["export the float model", "run the float model once"])
def test_interrupt_leaves_nothing_behind(stage: str, folder: Path, tmp_path: Path) -> None:
    """The first stage is the child's; in the second one the parent has begun to calibrate."""
    temporary, slow = tmp_path / "temporary", tmp_path / "slow.py"
    temporary.mkdir()
    slow.write_text(SLOW)
    words = (
        f"convert {folder}/lstm.keras --target rpi4 --calibration {slow}:samples -o {tmp_path}/out.edgekit"
    )
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "edgekit", *words.split()]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        while (line := process.stderr.readline()).strip() != stage:
            assert line, "the stage never came"
        while not (children := psutil.Process(process.pid).children(recursive=True)):
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(20) == 130
    assert "Traceback" not in said
    psutil.wait_procs(children, timeout=5)
    assert not any(child.is_running() for child in children)
    assert sorted(tmp_path.iterdir()) == [slow, temporary]
    assert list(temporary.iterdir()) == []


def test_dequantized_golden_inputs_look_like_the_calibration_data(
    folder: Path, converted: Convert, tmp_path: Path
) -> None:
    converted("experts", golden=64)
    bundle = bundle_at(tmp_path / "experts.edgekit")
    (spec,) = bundle.manifest.inputs
    drawn = dequantize(read_arrays(bundle.members["golden.npz"])["input.0"], spec.scale, spec.zero_point)
    with np.load(folder / "experts.npz") as file:
        real = file["x"]
    assert drawn.std() == pytest.approx(real.std(), rel=0.15)
    assert not any((np.abs(real - each).max(axis=1) < spec.scale).any() for each in drawn)
