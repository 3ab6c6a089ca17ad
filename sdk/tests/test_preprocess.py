"""The arithmetic between raw samples and quantized tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.manifest import Preprocessing
from edgekit.preprocess import ImageGeometry, dequantize, image_geometry, quantize, to_model_input

PHOTO = Preprocessing("image", "uint8", range=(-1.0, 1.0), color="RGB")
GRAY = Preprocessing("image", "uint8", range=(0.0, 1.0), color="GRAY")
SOUND = Preprocessing("audio", "int16", range=(-1.0, 1.0))
PIXELS = Preprocessing("array", "uint8", range=(0.0, 1.0))
READY = Preprocessing("array", "float32")

photos = npst.arrays(np.uint8, (4, 5, 3))


@given(photos)
def test_minus_one_to_one_is_what_keras_computes(photo: NDArray[np.uint8]) -> None:
    keras = photo.astype(np.float32)
    keras /= 127.5
    keras -= 1.0
    assert np.array_equal(to_model_input(photo, (1, 4, 5, 3), "NHWC", PHOTO)[0], keras)


@given(photos)
def test_a_channels_first_model_gets_the_same_values_transposed(photo: NDArray[np.uint8]) -> None:
    how = Preprocessing(
        "image", "uint8", (0.0, 1.0), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), color="RGB"
    )
    last = to_model_input(photo, (1, 4, 5, 3), "NHWC", how)
    first = to_model_input(photo, (1, 3, 4, 5), "NCHW", how)
    assert first.flags.c_contiguous
    assert np.array_equal(first, last.transpose(0, 3, 1, 2))


def test_mean_and_std_are_per_channel_and_follow_the_range() -> None:
    photo = np.full((1, 1, 3), 255, np.uint8)
    how = Preprocessing("image", "uint8", (0.0, 1.0), (0.5, 0.25, 0.0), (0.5, 0.5, 2.0), color="RGB")
    assert to_model_input(photo, (1, 1, 1, 3), "NHWC", how).ravel().tolist() == [1.0, 1.5, 0.5]


def test_the_ends_of_a_range_are_met_and_sound_keeps_its_zero() -> None:
    ends = to_model_input(
        np.array([0, 255], np.uint8), (1, 2), None, Preprocessing("array", "uint8", (-2.0, 5.0))
    )
    assert ends.ravel().tolist() == pytest.approx([-2.0, 5.0], rel=1e-6)
    wave = to_model_input(np.array([-32768, 0, 16384], np.int16), (1, 3), None, SOUND)
    assert wave.ravel().tolist() == [-1.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("got", "shape", "layout", "how"),
    [
        ((4, 5, 3), (1, 4, 5, 3), "NHWC", PHOTO),
        ((1, 4, 5, 3), (1, 4, 5, 3), "NHWC", PHOTO),
        ((4, 5), (1, 4, 5, 1), "NHWC", GRAY),
        ((1, 4, 5), (1, 4, 5, 1), "NHWC", GRAY),
        ((4, 5), (1, 4, 5), None, PIXELS),
        ((4, 5), (1, 1, 4, 5), "NCHW", GRAY),
        ((3, 4, 5), (1, 3, 4, 5), "NCHW", PIXELS),
        ((4, 5, 3), (1, 3, 4, 5), "NCHW", PIXELS),
        ((), (1, 1), None, PIXELS),
    ],
)
def test_a_missing_batch_axis_and_a_missing_single_channel_are_filled_in(
    got: tuple[int, ...], shape: tuple[int, ...], layout: str | None, how: Preprocessing
) -> None:
    if got == ():
        got = (1,)
    values = to_model_input(np.zeros(got, np.uint8), shape, layout, how)
    assert values.shape == shape
    assert values.dtype == np.float32


@pytest.mark.parametrize(
    ("raw", "shape", "layout", "how", "says", "advice"),
    [
        (np.zeros((3, 4, 5), np.uint8), (1, 4, 5, 3), "NHWC", PHOTO, r"\(3, 4, 5\).*\(4, 5, 3\)", "transp"),
        (np.zeros((4, 5, 3), np.float32), (1, 3, 4, 5), None, READY, r"\(4, 5, 3\)", "--layout NCHW"),
        (np.zeros((3, 4, 5), np.uint8), (1, 3, 4, 5), "NCHW", PHOTO, r"\(3, 4, 5\).*\(4, 5, 3\)", "transp"),
        (np.zeros((9, 4, 5, 3), np.uint8), (1, 4, 5, 3), "NHWC", PHOTO, r"\(9, 4, 5, 3\)", "batch of 9"),
        (np.zeros((4, 5, 4), np.uint8), (1, 4, 5, 3), "NHWC", PHOTO, r"\(4, 5, 4\)", "3 chan"),
        (np.zeros((8, 8, 3), np.uint8), (1, 4, 5, 3), "NHWC", PHOTO, r"\(8, 8, 3\)", "--resize bilinear"),
        (np.zeros(9, np.int16), (1, 8, 1), None, SOUND, r"\(9,\)", "every clip to 8 samples"),
        (np.zeros(9, np.int16), (1, 8, 4), None, SOUND, r"\(9,\)", "features, not sound"),
        (np.zeros(9, np.float32), (1, 8), None, READY, r"\(9,\).*\(8,\)", "trained"),
        (np.zeros((4, 5), np.float32), (1, 20), None, READY, r"\(4, 5\)", "trained"),
        (np.zeros((4, 5, 3), np.float32), (1, 4, 5, 3), "NHWC", PHOTO, "float32.*takes uint8", "raw uint8"),
        (np.zeros((4, 5, 3), np.uint8), (1, 4, 5, 3), "NHWC", READY, "uint8.*takes float32", "scaling"),
        (np.zeros(8, np.int64), (1, 8), None, READY, "int64.*takes float32", "scaling"),
    ],
)  # fmt: skip
def test_a_misfit_names_both_sides_and_the_likely_remedy(
    raw: NDArray[Any], shape: tuple[int, ...], layout: str | None, how: Preprocessing, says: str, advice: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        to_model_input(raw, shape, layout, how)
    assert caught.value.hint is not None
    assert advice in caught.value.hint


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_any_width_are_taken_and_never_aliased(dtype: type) -> None:
    raw: NDArray[Any] = np.array([[0.5, -2.0]], dtype)
    values = to_model_input(raw, (1, 2), None, READY)
    values += 1
    assert raw.tolist() == [[0.5, -2.0]]


def test_what_is_too_large_for_float32_becomes_infinity() -> None:
    assert np.isposinf(to_model_input(np.array([1e300]), (1, 1), None, READY)).all()


def test_a_layout_that_nobody_said_is_read_from_the_channels_or_not_at_all() -> None:
    assert image_geometry((1, 8, 9, 3), None) == ImageGeometry(height=8, width=9, channels=3)
    assert image_geometry((1, 3, 8, 9), "NCHW") == ImageGeometry(height=8, width=9, channels=3)
    assert image_geometry((1, 3, 8, 9), None) is None
    assert image_geometry((1, 8, 9), "NHWC") is None


finite = npst.arrays(np.float32, 20, elements=st.floats(-1e6, 1e6, width=32))
scales = st.floats(2**-20, 2**10)


@given(finite, scales, st.integers(-128, 127))
def test_quantizing_rounds_half_away_from_zero_and_saturates(
    values: NDArray[np.float32], scale: float, zero_point: int
) -> None:
    exact = (values / np.float32(scale)).astype(np.float64)
    rounded = np.sign(exact) * np.floor(np.abs(exact) + 0.5)
    want = np.clip(rounded + zero_point, -128, 127)
    got = quantize(values, scale, zero_point)
    assert got.dtype == np.int8
    assert np.array_equal(got, want)


@given(npst.arrays(np.int8, 20), scales, st.integers(-128, 127))
def test_integers_survive_the_way_to_real_values_and_back(
    values: NDArray[np.int8], scale: float, zero_point: int
) -> None:
    assert np.array_equal(quantize(dequantize(values, scale, zero_point), scale, zero_point), values)


@pytest.mark.parametrize(
    ("dtype", "zero_point", "ends"), [("int8", -128, [-128, 127]), ("uint8", 3, [0, 255])]
)
def test_halves_infinities_and_the_float_below_one_half(dtype: str, zero_point: int, ends: list[int]) -> None:
    assert quantize(np.array([-np.inf, np.inf]), 0.5, zero_point, dtype).tolist() == ends
    below = np.nextafter(np.float32(0.5), np.float32(0))
    got = quantize(np.array([-2.5, -1.5, -below, below, 0.5, 2.5], np.float32), 1.0, 10, dtype)
    assert got.tolist() == [7, 8, 10, 10, 11, 13]


def test_nan_is_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        quantize(np.array([0.0, np.nan]), 1.0, 0)


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_quantizing_equals_the_reference_kernel_of_tflite() -> None:
    tf = pytest.importorskip("tensorflow", reason="the kernel comes out of a model that TensorFlow makes")
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    random = np.random.default_rng(0)

    @tf.function(input_signature=[tf.TensorSpec([1, 1000], tf.float32)])  # type: ignore[untyped-decorator]
    def reshape(x: Any) -> Any:
        return tf.reshape(x, [10, 100])

    converter = tf.lite.TFLiteConverter.from_concrete_functions([reshape.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = lambda: [[random.uniform(-3, 5, (1, 1000)).astype(np.float32)]] * 2
    interpreter = litert.Interpreter(
        model_content=converter.convert(),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    (quantized,) = [each for each in interpreter.get_tensor_details() if each["dtype"] == np.int8][:1]
    scale, zero_point = quantized["quantization"]
    values = random.uniform(-4, 6, (1, 1000)).astype(np.float32)
    values[0, :400] = (np.arange(-200, 200) + 0.5).astype(np.float32) * np.float32(scale)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    got = interpreter.get_tensor(quantized["index"]).reshape(1, 1000)
    assert np.array_equal(got, quantize(values, scale, zero_point))
