"""Outlying calibration samples: every poisoned one is found, no sample of clean data is, and a conversion is unharmed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from tflite_models import Net, Op, T

from edgekit.arrays import read_arrays
from edgekit.bundle import read_unverified
from edgekit.cli import main
from edgekit.errors import DataError
from edgekit_converters.calibration.observe import Observation
from edgekit_converters.calibration.outliers import LEAST_SAMPLES, bounded_tensors, outlying
from edgekit_converters.conversion import Conversion, run
from edgekit_converters.quantize.samples import Samples
from edgekit_converters.request import Request
from edgekit_converters.sources import SourceOptions, load_float
from edgekit_converters.worker import Worker
from edgekit_targets.tflite import read_graph

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits" / "train.py"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason="needs the shared data, which are absent")


def observation(**reached: np.ndarray) -> Observation:
    """Of tensors whose magnitudes are given, one a sample; that called "input" is fed."""
    high = np.stack([np.asarray(values, np.float32) for values in reached.values()], axis=1)
    return Observation(tuple(reached), np.zeros_like(high), high, {}, fed=frozenset({"input"}))


def fed(samples: np.ndarray) -> Observation:
    """What is observed of samples at the model's input."""
    flat = samples.reshape(len(samples), -1).astype(np.float32)
    low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    return Observation(("input",), low, high, {}, fed=frozenset({"input"}))


def rows(observed: Observation) -> list[int]:
    return [outlier.row for outlier in outlying(observed)]


@pytest.fixture(scope="module")
def scans() -> np.ndarray:
    images: np.ndarray = load_digits().images
    return images / 16


CLEAN: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "normal": lambda rng: rng.normal(size=(200, 64)),
    "log-normal": lambda rng: rng.lognormal(size=(200, 64)),
    "gains": lambda rng: rng.normal(size=(200, 64)) * rng.lognormal(0, 0.7, (200, 1)),
    "two-modes": lambda rng: rng.normal(size=(200, 64)) * np.where(np.arange(200)[:, None] % 3, 1, 8),
    "silence": lambda rng: rng.normal(size=(200, 64)) * (rng.random((200, 1)) < 0.7),
    "seldom": lambda rng: np.full((200, 1), 5.0) * (rng.random((200, 1)) < 0.06),
    "constant": lambda rng: np.full((200, 4), 6.0),
    "offset": lambda rng: 1013 + rng.normal(size=(200, 64)),
}


@pytest.mark.parametrize("kind", CLEAN)
@pytest.mark.parametrize("count", [20, 50, 200])
def test_clean_data_have_no_outliers(kind: str, count: int) -> None:
    for seed in range(20):
        samples = CLEAN[kind](np.random.default_rng(seed))
        assert rows(fed(samples[:count])) == [], seed


POISON: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "x100": lambda x: x * 100,
    "x-100": lambda x: x * -100,
    "x10": lambda x: x * 10,
    "x4": lambda x: x * 4,
    "0..255": lambda x: x * 255,
    "constant": lambda x: np.full_like(x, 50),
    "spike": lambda x: np.where(np.arange(x.size).reshape(x.shape) == x.argmax(), x * 1000, x),
}


@pytest.mark.parametrize("kind", POISON)
@pytest.mark.parametrize("count", [20, 100, 300])
def test_every_poisoned_sample_is_found(kind: str, count: int, scans: np.ndarray) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        samples = scans[rng.choice(len(scans), count, replace=False)]
        poisoned = sorted(rng.choice(count, count // 20, replace=False).tolist())
        for row in poisoned:
            samples[row] = POISON[kind](samples[row])
        assert rows(fed(samples)) == poisoned, seed


@needs_data
@pytest.mark.parametrize("count", [20, 50, 100, 200, None])
def test_clean_real_data_have_no_outliers(count: int | None) -> None:
    photos = sorted((SHARED / "imagenet-sample" / "calibration").glob("*/*.jpg"))
    speech = np.load(SHARED / "speech-commands.npz")
    sets = {
        "photos": np.stack([np.asarray(Image.open(photo).convert("RGB"))[::4, ::4] for photo in photos])
        / 127.5
        - 1,
        "fashion": np.load(SHARED / "fashion-mnist.npz")["x_test"] / 255,
        "readings": np.load(SHARED / "uci-har.npz")["x_test"],
        "mfcc": speech["mfcc"],
    }
    for name, samples in sets.items():
        for seed in range(10):
            rng = np.random.default_rng(seed)
            chosen = rng.choice(len(samples), min(count or len(samples), len(samples)), replace=False)
            assert rows(fed(samples[chosen])) == [], (name, seed)


@needs_data
@pytest.mark.parametrize("count", [50, 200])
def test_readings_that_were_scaled_by_100_are_found(count: int) -> None:
    """Of people who lie and walk: the largest readings differ by a factor of five without any poison."""
    readings = np.load(SHARED / "uci-har.npz")["x_train"].astype(np.float32)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        samples = readings[rng.choice(len(readings), count, replace=False)]
        samples[3] *= 100
        assert rows(fed(samples)) == [3], seed


def test_a_few_samples_are_not_judged() -> None:
    values = np.ones(LEAST_SAMPLES)
    values[4] = 100
    assert rows(observation(input=values)) == [4]
    assert rows(observation(input=values[:-1])) == []


def test_the_sample_is_named_with_tensor_and_limit() -> None:
    values = np.ones(30)
    values[7] = 50
    (found,) = outlying(observation(inner=values * 2, input=values))
    assert (found.row, found.tensor, found.value, found.others) == (7, "input", 50, 1)
    assert found.limit == pytest.approx(3)


def test_negative_extremes_count_as_much() -> None:
    low = np.full((30, 1), -1, np.float32)
    low[9] = -80
    observed = Observation(("input",), low, np.zeros_like(low), {}, fed=frozenset({"input"}))
    assert rows(observed) == [9]


def test_behind_the_inputs_several_tensors_must_agree() -> None:
    rng = np.random.default_rng(0)
    inner = {f"layer_{number}": rng.uniform(1, 2, 40) for number in range(8)}
    inner["layer_0"][5] = 90
    assert rows(observation(input=np.ones(40), **inner)) == []
    inner["layer_1"][5] = 90
    assert rows(observation(input=np.ones(40), **inner)) == [5]


def test_what_the_input_explains_is_no_outlier_behind_it() -> None:
    loud = np.random.default_rng(1).lognormal(0, 1.5, 100)
    floor = {f"layer_{number}": np.maximum(loud, 20) for number in range(4)}  # biases hide the quiet ones
    assert rows(observation(input=loud, **floor)) == []


def test_functions_with_a_fixed_range_are_not_judged() -> None:
    values = np.full(40, 1e-6)
    values[:2] = 1
    tensors = {name: T((1, 4), "FLOAT32") for name in ("input", "output")}
    model = Net(tensors, (Op("SOFTMAX", ("input",), ("output",)),), ("input",), ("output",)).build()
    assert bounded_tensors(read_graph(model)) == {"output"}
    assert outlying(observation(output=values, input=values), ["output"])[0].tensor == "input"
    assert outlying(observation(output=values), ["output"]) == ()


def test_samples_can_be_taken_apart() -> None:
    whole = Samples([(None, {"x": np.array([row])}) for row in range(6)], 6)
    left = whole.without([1, 4])
    assert [int(inputs["x"][0]) for inputs in left] == [0, 2, 3, 5]
    assert len(left) == 4
    assert [int(inputs["x"][0]) for inputs in left.only([0, 3])] == [0, 5]
    assert left.without([0]).origins() == ["sample 2", "sample 3", "sample 5"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory, worker: Worker) -> Path:
    """The trained network of the example, 300 samples that calibrate it, clean and with two poisoned, and the others."""
    folder = tmp_path_factory.mktemp("digits")
    done = subprocess.run([sys.executable, DIGITS, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    model = load_float(folder / "digits.keras", SourceOptions(), worker).flatbuffer
    (folder / "digits.tflite").write_bytes(model)
    held_back = np.load(folder / "evaluation.npz")
    x, y = held_back["x"] / np.float32(255), held_back["y"]
    clean = np.concatenate([np.load(folder / "calibration.npz")["x"] / np.float32(255), x[:100]])
    poisoned, broken = clean.copy(), clean.copy()
    poisoned[[41, 207]] *= 100
    broken[::10] *= 100
    for name, samples in {"clean": clean, "poisoned": poisoned, "broken": broken}.items():
        np.savez(folder / f"{name}.npz", x=samples)
    np.savez(folder / "rest.npz", x=x[100:], y=y[100:])
    return folder


def converted(digits: Path, data: str, effort: str) -> Conversion:
    request = Request(
        model=digits / "digits.tflite",
        target="raspberry-pi-4",
        calibration=str(digits / f"{data}.npz"),
        evaluation=str(digits / "rest.npz"),
        samples=300,
        preprocessed=True,
        effort=effort,
    )
    return run(request)


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_a_poisoned_set_converts_as_well_as_a_clean_one(digits: Path, effort: str) -> None:
    clean, poisoned = (converted(digits, data, effort).report for data in ("clean", "poisoned"))
    assert clean.evaluation is not None
    assert poisoned.evaluation is not None
    assert abs(clean.evaluation.int8_value - poisoned.evaluation.int8_value) <= 0.5
    assert clean.manifest.calibration.left_out == ()
    assert clean.to_json()["left_out"] == []
    assert poisoned.manifest.inputs[0].scale == pytest.approx(1 / 255, rel=0.01)


def test_what_is_left_out_is_named_everywhere(digits: Path) -> None:
    conversion = converted(digits, "poisoned", "fast")
    bundle = read_unverified(conversion.bundle)
    record = bundle.manifest.calibration
    origins = ["poisoned.npz row 41", "poisoned.npz row 207"]
    assert [line.split(":")[0] for line in record.left_out] == origins
    assert (record.samples, record.available) == (298, 300)
    assert read_arrays(bundle.members["reference.npz"])["input.0"].sum() == 298 * 64
    assert re.search(
        r"left out +poisoned.npz row 207: reaches 100 in tensor 'image'", conversion.report.render()
    )
    listed = json.loads(bytes(bundle.members["report.json"]))["left_out"]
    assert [each["origin"] for each in listed] == origins
    assert listed[0]["tensor"] == "image"
    assert listed[0]["limit"] == pytest.approx(3)


def test_outliers_can_be_kept(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = f"convert {digits}/digits.tflite --target raspberry-pi-4 --calibration {digits}/poisoned.npz --samples 300"
    words = (
        f"{command} --preprocessed --effort fast --keep-outliers --json -o {tmp_path}/kept.edgekit".split()
    )
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert said["left_out"] == []
    assert said["calibration"]["samples"] == 300
    scale = read_unverified((tmp_path / "kept.edgekit").read_bytes()).manifest.inputs[0].scale
    assert scale == pytest.approx(100 / 255, rel=0.01)


def test_too_many_outliers_are_refused(digits: Path) -> None:
    with pytest.raises(DataError, match=r"30 of 300 calibration samples lie far outside") as refusal:
        converted(digits, "broken", "fast")
    assert "broken.npz row 10: reaches 100 in tensor 'image'" in str(refusal.value)
    assert "and 25 more" in str(refusal.value)
    assert "--keep-outliers" in (refusal.value.hint or "")
