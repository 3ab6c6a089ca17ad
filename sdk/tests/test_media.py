"""Files that become raw arrays, and files that do not."""

from __future__ import annotations

import struct
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekit.errors import BadSampleError, InputError, MissingExtraError, PreprocessingError
from edgekit.manifest import RESIZERS, Preprocessing
from edgekit.media import fit_image, read_image, read_npy, read_wav, resize_image

SHARED = Path(__file__).resolve().parents[3] / "shared"


def gradient(height: int = 6, width: int = 8) -> NDArray[np.uint8]:
    values = np.arange(height * width * 3, dtype=np.uint8)
    return values.reshape(height, width, 3)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def write_wav(path: Path, *, channels: int = 1, width: int = 2, rate: int = 16000, data: bytes = b"") -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def test_a_photo_comes_in_the_colour_order_that_is_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", gradient())
    rgb = read_image(path, None, None, "RGB")
    assert np.array_equal(rgb, gradient())
    assert np.array_equal(read_image(path, None, None, "BGR"), gradient()[:, :, ::-1])
    gray = read_image(path, None, None, "GRAY")
    assert gray.shape == (6, 8, 1)
    luma = gradient().astype(float) @ [0.299, 0.587, 0.114]  # ITU-R 601-2
    assert np.abs(gray[:, :, 0] - luma).max() <= 1


def test_a_gray_photo_feeds_a_colour_model_and_transparency_is_dropped(tmp_path: Path) -> None:
    gray = read_image(save(tmp_path / "gray.png", gradient()[:, :, 0]), None, None, "RGB")
    assert np.array_equal(gray, np.repeat(gradient()[:, :, :1], 3, axis=2))
    clear = np.dstack([gradient(), np.zeros((6, 8), np.uint8)])
    assert np.array_equal(read_image(save(tmp_path / "clear.png", clear), None, None, "RGB"), gradient())


def test_a_photo_is_turned_as_its_exif_data_say(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned: rotate 90 degrees clockwise to view
    path = save(tmp_path / "turned.png", gradient(), exif=exif)
    assert np.array_equal(read_image(path, None, None, "RGB"), np.rot90(gradient(), -1))


def test_another_size_is_stretched_or_refused_with_both_sizes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", gradient())
    with pytest.raises(BadSampleError, match=r"a\.png: is 6 x 8 .*takes 3 x 4") as caught:
        read_image(path, (3, 4), None, "RGB")
    assert "--resize" in str(caught.value.hint)
    for resize in RESIZERS:
        stretched = read_image(path, (3, 4), resize, "RGB")
        assert np.array_equal(stretched, resize_image(gradient(), (3, 4), resize))


def test_a_colour_photo_for_a_gray_model_needs_a_word(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", gradient())
    with pytest.raises(PreprocessingError, match=r"a\.png: is in colour") as caught:
        read_image(path, None, None, "GRAY", color_to_gray=False)
    assert "--color GRAY" in str(caught.value.hint)
    gray = save(tmp_path / "b.png", gradient()[:, :, 0])
    assert read_image(gray, None, None, "GRAY", color_to_gray=False).shape == (6, 8, 1)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "bmp", "tif"])
@pytest.mark.parametrize("keep", [0, 20, 0.5])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_cut_off_photo_is_named(tmp_path: Path, suffix: str, keep: float) -> None:
    whole = save(
        tmp_path / f"whole.{suffix}", np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    )
    data = whole.read_bytes()
    broken = tmp_path / f"broken.{suffix}"
    broken.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    with pytest.raises(BadSampleError, match=rf"broken\.{suffix}: cannot be read as an image: ."):
        read_image(broken, None, None, "RGB")


def test_a_missing_photo_a_text_and_sixteen_bits_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadSampleError, match=r"none\.jpg: there is no such file"):
        read_image(tmp_path / "none.jpg", None, None, "RGB")
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(BadSampleError, match=r"text\.jpg"):
        read_image(tmp_path / "text.jpg", None, None, "RGB")
    deep = save(tmp_path / "deep.png", np.arange(64, dtype=np.uint16).reshape(8, 8))
    with pytest.raises(BadSampleError, match=r"deep\.png: has more than 8 bits"):
        read_image(deep, None, None, "GRAY")


def test_without_pillow_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match="images"):
        read_image(Path("a.png"), None, None, "RGB")


def test_frames_of_any_size_fit_a_model_that_resizes() -> None:
    how = Preprocessing("image", "uint8", (0.0, 1.0), resize="bilinear", color="RGB")
    fitted = fit_image(gradient()[None], (1, 3, 3, 4), "NCHW", how)
    assert np.array_equal(fitted, resize_image(gradient(), (3, 4), "bilinear"))
    same = gradient()
    assert fit_image(same, (1, 6, 8, 3), "NHWC", how) is same
    four_channels = np.zeros((6, 8, 4), np.uint8)
    assert fit_image(four_channels, (1, 3, 4, 3), "NHWC", how) is four_channels  # to_model_input says why not
    gray = Preprocessing("image", "uint8", (0.0, 1.0), resize="nearest", color="GRAY")
    assert fit_image(gradient()[:, :, 0], (1, 3, 4, 1), "NHWC", gray).shape == (3, 4)
    assert fit_image(gradient()[:, :, :1], (1, 3, 4, 1), "NHWC", gray).shape == (3, 4, 1)


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_only_eight_bit_images_are_resized(pixels: NDArray[Any]) -> None:
    with pytest.raises(InputError, match="cannot resize"):
        resize_image(pixels, (2, 2), "nearest")


def test_a_wave_file_gives_its_samples_and_rate(tmp_path: Path) -> None:
    samples = np.array([0, 1, -32768, 32767], np.int16)
    got, rate = read_wav(write_wav(tmp_path / "a.wav", rate=8000, data=samples.tobytes()))
    assert got.dtype == np.int16
    assert (got.tolist(), rate) == (samples.tolist(), 8000)


def test_other_wave_files_are_named_with_the_command_that_converts_them(tmp_path: Path) -> None:
    stereo = write_wav(tmp_path / "stereo.wav", channels=2, data=bytes(8))
    deep = write_wav(tmp_path / "deep.wav", width=3, data=bytes(6))
    float_format = tmp_path / "float.wav"
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 44, b"WAVE", b"fmt ", 16, 3, 1, 8000, 32000, 4, 32, b"data", 8
    )
    float_format.write_bytes(head + bytes(8))
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty.wav").touch()
    for path, says in (
        (stereo, "2 channel"),
        (deep, "24 bits"),
        (float_format, "unknown format: 3"),
        (tmp_path / "text.wav", "cannot be read"),
        (tmp_path / "empty.wav", "cannot be read"),
    ):
        with pytest.raises(BadSampleError, match=rf"{path.name}: .*{says}") as caught:
            read_wav(path)
        assert "ffmpeg" in str(caught.value.hint)
    with pytest.raises(BadSampleError, match=r"none\.wav: there is no such file"):
        read_wav(tmp_path / "none.wav")


def test_a_cut_off_wave_file_is_named(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", data=bytes(2000))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadSampleError, match=r"a\.wav: is cut off: 478 of 1000 samples"):
        read_wav(path)


def test_arrays_are_read_and_python_objects_are_not(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    assert read_npy(tmp_path / "a.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    np.save(tmp_path / "objects.npy", np.array([{}, None]), allow_pickle=True)
    np.savez(tmp_path / "several.npy.npz", a=np.zeros(3))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-8])
    (tmp_path / "text.npy").write_text("nothing")
    for name in ("objects.npy", "several.npy.npz", "cut.npy", "text.npy", "none.npy"):
        with pytest.raises(BadSampleError, match=name):
            read_npy(tmp_path / name)


def test_real_photos_are_read_at_the_size_that_they_have() -> None:
    folder = SHARED / "data" / "imagenet-sample" / "calibration"
    if not folder.is_dir():
        pytest.skip("the shared photos are not on this machine")
    photos = sorted(folder.rglob("*.jpg"))[:5]
    assert {read_image(photo, (224, 224), None, "RGB").shape for photo in photos} == {(224, 224, 3)}
