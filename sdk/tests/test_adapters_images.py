"""Photos and camera frames: channel orders, sizes, and what is refused. Sessions run what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.adapters import camera, images
from edgekit.adapters.color import recolor
from edgekit.errors import BadSampleError, InputError
from edgekit.manifest import Preprocessing
from edgekit.session import Session
from edgekit.streams import stream

pytestmark = pytest.mark.filterwarnings("ignore::edgekit.trust.UnsignedBundleWarning")

RGB = Preprocessing("image", "uint8", range=(0.0, 1.0), color="RGB")
ORANGE = (255, 128, 0)
"""Red, green, blue: all different, so that no wrong order goes unseen."""


def frame(*channels: int, height: int = 4, width: int = 4) -> np.ndarray[Any, Any]:
    return np.full((height, width, len(channels)), channels, np.uint8)


@pytest.fixture
def open_model(
    bundle_file: Callable[..., Path], make_dense: Callable[..., Any]
) -> Iterator[Callable[..., Session]]:
    opened: list[Session] = []

    def make(preprocessing: Preprocessing = RGB) -> Session:
        channels = 1 if preprocessing.color == "GRAY" else 3
        built = make_dense((1, 4, 4, channels), channels, preprocessing)
        labels = ("gray",) if channels == 1 else tuple(preprocessing.color or "ABC")
        opened.append(edgekit.load(bundle_file(built, labels), trust=edgekit.UNSIGNED))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


# ---- channel orders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("have", "pixel"),
    [
        ("RGB", (255, 128, 0)),
        ("BGR", (0, 128, 255)),
        ("RGBX", (255, 128, 0, 7)),
        ("RGBA", (255, 128, 0, 7)),
        ("BGRX", (0, 128, 255, 7)),
        ("BGRA", (0, 128, 255, 7)),
    ],
)
def test_every_colour_order_becomes_every_other(have: str, pixel: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(recolor(frame(*pixel), have, "RGB"), frame(*ORANGE))
    np.testing.assert_array_equal(recolor(frame(*pixel), have, "BGR"), frame(0, 128, 255))
    for want in ("RGB", "BGR"):
        assert recolor(frame(*pixel), have, want).flags.c_contiguous


@pytest.mark.parametrize("order", ["RGB", "BGR", "RGBX", "BGRX"])
def test_gray_is_what_pillow_makes_of_it(order: str) -> None:
    pillow = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (64, 48, 3), np.uint8)
    rgb[:2, 0] = [[0, 0, 0], [255, 255, 255]]
    expected = np.asarray(pillow.fromarray(rgb).convert("L"))
    given = rgb if order.startswith("RGB") else rgb[:, :, ::-1]
    if order.endswith("X"):
        given = np.concatenate([given, np.full((64, 48, 1), 9, np.uint8)], axis=2)
    np.testing.assert_array_equal(recolor(given, order, "GRAY")[:, :, 0], expected)


def test_gray_becomes_colours_and_stays_gray() -> None:
    flat = np.arange(16, dtype=np.uint8).reshape(4, 4)
    for given in (flat, flat[:, :, np.newaxis]):
        np.testing.assert_array_equal(recolor(given, "GRAY", "BGR"), np.stack([flat] * 3, axis=2))
        np.testing.assert_array_equal(recolor(given, "GRAY", "GRAY")[:, :, 0], flat)


@pytest.mark.parametrize(
    ("given", "have"),
    [
        (frame(1, 2, 3), "RGBX"),
        (frame(1, 2, 3, 4), "RGB"),
        (frame(1, 2), "BGR"),
        (frame(1, 2, 3).astype(np.float32), "RGB"),
        (frame(1, 2, 3)[:0], "RGB"),
        (frame(1, 2, 3)[0], "RGB"),
        (frame(1, 2, 3)[:, :, 0], "RGB"),
        (frame(1, 2, 3), "YUV"),
    ],
)
def test_a_frame_that_is_not_in_its_order_is_refused(given: Any, have: str) -> None:
    with pytest.raises(InputError, match="order"):
        recolor(given, have, "RGB")


# ---- images -------------------------------------------------------------------------------------------------------


def test_arrays_and_files_give_the_same_sample(open_model: Callable[..., Session], tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)
    path = tmp_path / "photo.png"
    pillow.fromarray(pixels).save(path)
    for color in ("RGB", "BGR"):
        model = open_model(replace(RGB, color=color))
        of_file = images.sample(path, model, resize="bilinear")
        of_array = images.sample(pixels, model, order="RGB", resize="bilinear")
        turned = images.sample(pixels[:, :, ::-1], model, order="BGR", resize="bilinear")
        assert of_file.shape == (4, 4, 3)
        np.testing.assert_array_equal(of_file, of_array)
        np.testing.assert_array_equal(of_file, turned)
        assert model.run(of_file).labels == model.run(turned).labels


def test_a_file_is_turned_upright(open_model: Callable[..., Session], tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0] = 255  # a white line on top
    exif = pillow.Exif()
    exif[0x0112] = 6  # the camera was held so that the right side of the picture is its top
    path = tmp_path / "turned.png"
    pillow.fromarray(pixels).save(path, exif=exif)
    upright = images.sample(path, open_model())
    assert (upright[:, 3] == 255).all()
    assert (upright[:, :3] == 0).all()


def test_a_gray_model_takes_colour(open_model: Callable[..., Session]) -> None:
    model = open_model(replace(RGB, color="GRAY"))
    sample = images.sample(frame(*ORANGE), model, order="RGB")
    assert sample.shape == (4, 4, 1)
    assert len(model.run(sample).labels) == 1
    np.testing.assert_array_equal(images.sample(sample[:, :, 0], model), sample)


def test_the_bundles_own_resize_is_used(open_model: Callable[..., Session]) -> None:
    pytest.importorskip("PIL.Image")
    model = open_model(replace(RGB, resize="nearest"))
    assert images.sample(frame(*ORANGE, height=8), model, order="RGB").shape == (4, 4, 3)


def test_colours_without_an_order_are_refused(open_model: Callable[..., Session]) -> None:
    with pytest.raises(InputError, match="order") as caught:
        images.sample(frame(*ORANGE), open_model())
    assert "OpenCV's images are BGR" in str(caught.value.hint)


def test_another_size_is_refused_where_nothing_says_how_to_stretch(
    open_model: Callable[..., Session], tmp_path: Path
) -> None:
    pillow = pytest.importorskip("PIL.Image")
    model = open_model()
    with pytest.raises(InputError, match="9 x 4 pixels"):
        images.sample(frame(*ORANGE, height=9), model, order="RGB")
    path = tmp_path / "tall.png"
    pillow.fromarray(frame(*ORANGE, height=9)).save(path)
    with pytest.raises(BadSampleError, match=r"tall\.png: is 9 x 4 pixels"):
        images.sample(path, model)


def test_an_unknown_way_to_resize_is_refused(open_model: Callable[..., Session], tmp_path: Path) -> None:
    model = open_model()
    for source in (frame(*ORANGE, height=9), tmp_path / "any.png"):
        with pytest.raises(InputError, match="'blurry'"):
            images.sample(source, model, order="RGB", resize="blurry")


def test_a_model_without_images_is_refused(bundle_file: Callable[..., Path], pair: Any) -> None:
    with edgekit.load(bundle_file(pair), trust=edgekit.UNSIGNED) as model:
        with pytest.raises(InputError, match="0 of the model's inputs takes images"):
            images.image_input(model)
        with pytest.raises(InputError, match="not one"):
            images.image_input(model, "left")
        with pytest.raises(InputError, match="no input 'middle'"):
            images.image_input(model, "middle")


# ---- cameras ------------------------------------------------------------------------------------------------------


class RecordedVideo:
    """Recorded arrays behind the part of `cv2.VideoCapture` that is used; BGR, as OpenCV delivers."""

    def __init__(self, frames: list[Any], opened: bool = True) -> None:
        self._frames = list(frames)
        self._opened = opened

    def isOpened(self) -> bool:
        return self._opened

    def read(self) -> tuple[bool, Any]:
        return (True, self._frames.pop(0)) if self._frames else (False, None)


class RecordedPicamera2:
    """Recorded arrays behind the part of `Picamera2` that is used."""

    def __init__(self, configuration: Any, frames: list[Any]) -> None:
        self._configuration = configuration
        self._frames = list(frames)

    def camera_configuration(self) -> Any:
        return self._configuration

    def capture_array(self, name: str) -> Any:
        assert name in self._configuration
        return self._frames.pop(0)


@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_opencv_frames_reach_the_model_in_its_order(open_model: Callable[..., Session], color: str) -> None:
    model = open_model(replace(RGB, color=color))
    video = RecordedVideo([frame(0, 128, 255), frame(255, 0, 0)])  # orange and blue, in BGR
    results = list(stream(model.run, camera.opencv_frames(video, model, live=False)))
    assert [result.labels[0][0] for result in results] == ["R", "B"]
    assert dict(results[0].labels)["G"] == pytest.approx(128 / 255, abs=0.01)
    assert dict(results[0].labels)["B"] == 0


@pytest.mark.parametrize(
    ("name", "pixel"),
    [
        ("BGR888", (255, 128, 0)),
        ("RGB888", (0, 128, 255)),
        ("XBGR8888", (255, 128, 0, 255)),
        ("XRGB8888", (0, 128, 255, 255)),
    ],
)
def test_picamera2_formats_reach_the_model_in_its_order(
    open_model: Callable[..., Session], name: str, pixel: tuple[int, ...]
) -> None:
    model = open_model()
    device = RecordedPicamera2({"main": {"format": name, "size": (4, 4)}}, [frame(*pixel)] * 3)
    frames = camera.picamera2_frames(device, model)
    result = model.run(next(frames))
    assert [label for label, _ in result.labels] == ["R", "G", "B"]
    np.testing.assert_array_equal(next(frames), frame(*ORANGE))


def test_frames_of_another_size_are_stretched_when_asked(open_model: Callable[..., Session]) -> None:
    pytest.importorskip("PIL.Image")
    model = open_model()
    big = frame(0, 128, 255, height=48, width=64)
    (only,) = camera.opencv_frames(RecordedVideo([big]), model, live=False, resize="bilinear")
    np.testing.assert_array_equal(only, frame(*ORANGE))
    with pytest.raises(InputError, match="48 x 64 pixels"):
        next(camera.opencv_frames(RecordedVideo([big]), model, live=False))


def test_a_monochrome_camera_works(open_model: Callable[..., Session]) -> None:
    model = open_model()
    video = RecordedVideo([np.full((4, 4), 77, np.uint8)])
    (only,) = camera.opencv_frames(video, model, live=False)
    np.testing.assert_array_equal(only, frame(77, 77, 77))


def test_a_live_camera_that_stops_is_an_error_and_a_file_that_ends_is_not(
    open_model: Callable[..., Session],
) -> None:
    model = open_model()
    assert len(list(camera.opencv_frames(RecordedVideo([frame(1, 2, 3)]), model, live=False))) == 1
    frames = camera.opencv_frames(RecordedVideo([frame(1, 2, 3)]), model, live=True)
    next(frames)
    with pytest.raises(InputError, match="no frame any more"):
        next(frames)


def test_what_cannot_deliver_is_refused_at_once(open_model: Callable[..., Session]) -> None:
    model = open_model()
    with pytest.raises(InputError, match="not opened"):
        camera.opencv_frames(RecordedVideo([], opened=False), model, live=True)
    with pytest.raises(InputError, match="NoneType gives no frames") as caught:
        camera.opencv_frames(None, model, live=True)  # type: ignore[arg-type]
    assert "cv2.VideoCapture" in str(caught.value.hint)
    with pytest.raises(InputError, match="NoneType gives no frames"):
        camera.picamera2_frames(None, model)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no stream 'main'"):
        camera.picamera2_frames(RecordedPicamera2(None, []), model)
    main = {"main": {"format": "BGR888"}, "lores": None}
    with pytest.raises(InputError, match="no stream 'lores'"):
        camera.picamera2_frames(RecordedPicamera2(main, []), model, stream="lores")
    with pytest.raises(InputError, match="YUV420") as caught:
        camera.picamera2_frames(RecordedPicamera2({"main": {"format": "YUV420"}}, []), model)
    assert "BGR888" in str(caught.value.hint)


def test_a_frame_that_is_none_is_refused(open_model: Callable[..., Session]) -> None:
    model = open_model()
    with pytest.raises(InputError, match="a frame is an array, and got NoneType"):
        next(camera.opencv_frames(RecordedVideo([None]), model, live=True))
    main = {"main": {"format": "BGR888"}}
    with pytest.raises(InputError, match="a frame is an array, and got NoneType"):
        next(camera.picamera2_frames(RecordedPicamera2(main, [None]), model))


def test_a_real_video_capture(open_model: Callable[..., Session], tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    path = str(tmp_path / "orange_%01d.png")
    cv2.imwrite(path.replace("%01d", "0"), frame(0, 128, 255))
    model = open_model()
    (only,) = camera.opencv_frames(cv2.VideoCapture(path), model, live=False)
    np.testing.assert_array_equal(only, frame(*ORANGE))
