"""From the user's words about preprocessing to what an input gets."""

from __future__ import annotations

import math

import pytest

from edgekit.errors import PreprocessingError
from edgekit.manifest import Preprocessing as How
from edgekit_converters.calibration import InputSpec
from edgekit_converters.calibration import SaidPreprocessing as Said
from edgekit_converters.calibration.resolving import resolve_preprocessing

PHOTO = InputSpec("photo", (1, 8, 9, 3), "NHWC")
GRAY = InputSpec("gray", (1, 8, 9, 1), "NHWC")
FIRST = InputSpec("first", (1, 3, 8, 9), "NCHW")
UNKNOWN = InputSpec("unknown", (1, 3, 8, 9))
VECTOR = InputSpec("vector", (1, 5))
WAVE = InputSpec("wave", (1, 100))

UNIT = (0.0, 1.0)
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("said", "dtype", "kind", "spec", "resolved"),
    [
        (Said(), "float32", "array", VECTOR, How("array", "float32")),
        (Said(preprocessed=True), "float16", "array", VECTOR, How("array", "float32")),
        (Said(mean=(3.0,), std=(2.0,)), "float64", "array", VECTOR,
         How("array", "float32", mean=(3.0,), std=(2.0,))),
        (Said(preprocessed=True), "int64", "array", VECTOR, How("array", "float32")),
        (Said(preprocessed=True), "uint8", "array", PHOTO, How("array", "float32")),
        (Said(preprocessed=True), "bool", "array", VECTOR, How("array", "float32")),
        (Said(range=UNIT), "uint8", "array", PHOTO, How("array", "uint8", UNIT)),
        (Said(range=UNIT, color="BGR"), "uint8", "array", PHOTO, How("image", "uint8", UNIT, color="BGR")),
        (Said(range=UNIT, resize="nearest"), "uint8", "array", GRAY,
         How("image", "uint8", UNIT, resize="nearest", color="GRAY")),
        (Said(range=UNIT), "uint8", "image", PHOTO, How("image", "uint8", UNIT, color="RGB")),
        (Said(range=UNIT), "uint8", "image", GRAY, How("image", "uint8", UNIT, color="GRAY")),
        (Said(range=UNIT, mean=MEAN, std=STD, resize="bilinear", color="BGR"), "uint8", "image", FIRST,
         How("image", "uint8", UNIT, MEAN, STD, "bilinear", "BGR")),
        (Said(preprocessed=True), "uint8", "image", PHOTO, How("image", "uint8", (0.0, 255.0), color="RGB")),
        (Said(mean=(123.7, 116.8, 103.9)), "uint8", "image", PHOTO,
         How("image", "uint8", (0.0, 255.0), (123.7, 116.8, 103.9), color="RGB")),
        (Said(std=(58.4,)), "uint8", "array", PHOTO, How("array", "uint8", (0.0, 255.0), std=(58.4,))),
        (Said(range=(-1, 1)), "int16", "audio", WAVE, How("audio", "int16", (-1.0, 1.0))),
        (Said(preprocessed=True), "int16", "audio", WAVE, How("audio", "int16", (-32768.0, 32768.0))),
    ],
)  # fmt: skip
def test_what_the_words_come_to(said: Said, dtype: str, kind: str, spec: InputSpec, resolved: How) -> None:
    assert resolve_preprocessing(said, dtype, kind, spec) == resolved


@pytest.mark.parametrize(
    ("said", "dtype", "kind", "spec", "says", "advice"),
    [
        (Said(), "uint8", "image", PHOTO, "'photo' are raw uint8, and nothing", "--range -1,1 (MobileNet"),
        (Said(), "uint8", "array", PHOTO, "'photo' are raw uint8", "--mean 0.485,0.456,0.406"),
        (Said(resize="bilinear"), "uint8", "image", PHOTO, "raw uint8", "--preprocessed"),
        (Said(), "int16", "audio", WAVE, "'wave' are raw int16", "--range -1,1"),
        (Said(), "int64", "array", VECTOR, "'vector' are int64", "--preprocessed"),
        (Said(range=UNIT), "int32", "array", VECTOR, "'vector' are int32", "as uint8"),
        (Said(), "bool", "array", VECTOR, "'vector' are bool", "--preprocessed"),
        (Said(range=UNIT), "float32", "array", VECTOR, "'vector' are float32", "drop --range"),
        (Said(range=UNIT, preprocessed=True), "uint8", "image", PHOTO, "--preprocessed says", "drop"),
        (Said(mean=(0.5,), preprocessed=True), "float32", "array", VECTOR, "--preprocessed says", "drop"),
        (Said(mean=MEAN, std=STD), "uint8", "image", PHOTO, "like 0..1 units", "--range 0,1"),
        (Said(std=(0.5,)), "int16", "audio", WAVE, "like 0..1 units", "--range -32768,32768"),
        (Said(range=(1, 1)), "uint8", "image", PHOTO, "--range 1,1", "LO,HI"),
        (Said(range=(1, -1)), "uint8", "image", PHOTO, "--range 1,-1", "LO,HI"),
        (Said(range=(0, math.inf)), "uint8", "image", PHOTO, "finite", None),
        (Said(range=UNIT, mean=(math.nan,)), "uint8", "image", PHOTO, "finite", None),
        (Said(range=UNIT, std=(0.2, 0.0, 0.2)), "uint8", "image", PHOTO, "--std: every number", None),
        (Said(range=UNIT, std=(-1.0,)), "uint8", "image", PHOTO, "--std: every number", None),
        (Said(range=UNIT, mean=(0.5, 0.5)), "uint8", "image", PHOTO, "--mean has 2 .* 3 channels", "NCHW"),
        (Said(mean=()), "float32", "array", VECTOR, "--mean has 0 numbers", "one number"),
        (Said(range=UNIT, resize="area"), "uint8", "image", PHOTO, "--resize area.*nearest", None),
        (Said(range=UNIT, color="rgb"), "uint8", "image", PHOTO, "--color rgb.*RGB, BGR, GRAY", None),
        (Said(range=UNIT, color="GRAY"), "uint8", "image", PHOTO, "GRAY does not fit", "--color RGB"),
        (Said(range=UNIT, color="RGB"), "uint8", "image", GRAY, "1 chan.*RGB does not fit", "--color GRAY"),
        (Said(range=UNIT, resize="nearest"), "uint8", "array", PHOTO, "nothing says their order", "--color"),
        (Said(range=UNIT), "uint8", "image", UNKNOWN, "is no image of 1 or 3", "--layout NCHW"),
        (Said(range=UNIT), "uint8", "image", VECTOR, "is no image", ".npz"),
        (Said(range=UNIT, resize="nearest"), "int16", "audio", WAVE, "--resize is for", "drop --resize"),
        (Said(color="RGB"), "float32", "array", PHOTO, "--color is for images", "drop --color"),
        (Said(color="RGB", preprocessed=True), "int64", "array", PHOTO, "--color is for", "drop --color"),
    ],
)  # fmt: skip
def test_missing_and_contradicting_words_are_refused_with_the_remedy(
    said: Said, dtype: str, kind: str, spec: InputSpec, says: str, advice: str | None
) -> None:
    with pytest.raises(PreprocessingError, match=says) as caught:
        resolve_preprocessing(said, dtype, kind, spec)
    assert advice is None or advice in str(caught.value.hint)
