"""The examples in the docstrings of streams, adapters and tasks run as they stand, on recorded data."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.manifest import Preprocessing
from edgekit.result import Result, Timing

pytestmark = pytest.mark.filterwarnings("ignore::edgekit.trust.UnsignedBundleWarning")

PHOTO = Preprocessing("image", "uint8", range=(0.0, 1.0), color="RGB")
SOUND = Preprocessing("audio", "int16", range=(0.0, 1.0))
ROWS = Preprocessing("array", "float32")


class EndOfRecordingError(Exception):
    """What a recorded camera or sensor raises where a real one would go on."""


def examples(module: str) -> list[str]:
    """The indented blocks after a line that ends in "::", at the top of a module."""
    text = importlib.import_module(module).__doc__ or ""
    blocks = re.findall(r"::\n\n((?: {4}.*\n|\n)+)", text)
    return [textwrap.dedent(block) for block in blocks]


def run(code: str, **names: Any) -> None:
    with contextlib.suppress(EndOfRecordingError):
        exec(compile(code, "<docstring>", "exec"), names)


@pytest.fixture
def load(
    bundle_file: Callable[..., Path], make_dense: Callable[..., Any]
) -> Iterator[Callable[..., edgekit.Session]]:
    opened: list[edgekit.Session] = []

    def make(
        shape: tuple[int, ...], labels: tuple[str, ...], prepared: Preprocessing, layout: str | None = None
    ) -> Any:
        built = make_dense(shape, len(labels), prepared, layout)
        opened.append(edgekit.load(bundle_file(built, labels), trust=edgekit.UNSIGNED))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


@pytest.fixture
def photo_model(load: Callable[..., Any]) -> Any:
    return load((1, 4, 4, 3), ("red", "green", "blue"), PHOTO, "NHWC")


def red(channels: tuple[int, ...] = (255, 0, 0), size: int = 4) -> np.ndarray[Any, Any]:
    return np.full((size, size, len(channels)), channels, np.uint8)


def result_of(**outputs: np.ndarray[Any, Any]) -> Result:
    return Result(outputs, outputs, ((),), (Timing(0, 0, 0),))


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_streams(photo_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = examples("edgekit.streams")
    run(code, model=photo_model, photo=red(), camera=[red()])
    assert printed(capsys) == ["('red', 1.0)"] * 2


def test_images(
    photo_model: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pillow = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    pillow.fromarray(red(size=32)).save("cat.jpg")
    (code,) = examples("edgekit.adapters.images")
    run(code, model=photo_model, pixels=red((0, 0, 255), size=32))
    (line,) = printed(capsys)
    assert len(re.findall(r"\(\('red', (1\.0|0\.9\d*)\)", line)) == 2  # the best of both, file and array


def test_cameras(
    photo_model: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Picamera2:
        """Three recorded frames behind the names that the example uses."""

        def __init__(self) -> None:
            self._frames = [red(size=4)] * 3
            self._configuration: Any = None

        def create_video_configuration(self, **streams: Any) -> Any:
            return streams

        def configure(self, configuration: Any) -> None:
            self._configuration = configuration

        def camera_configuration(self) -> Any:
            return self._configuration

        def start(self) -> None:
            pass

        def capture_array(self, name: str) -> Any:
            if not self._frames:
                raise EndOfRecordingError
            return self._frames.pop()

    class VideoCapture:
        """Three recorded frames, blue, green, red as OpenCV has them."""

        def __init__(self, number: int) -> None:
            self._frames = [red((0, 0, 255))] * 3

        def isOpened(self) -> bool:
            return True

        def read(self) -> tuple[bool, Any]:
            if not self._frames:
                raise EndOfRecordingError
            return True, self._frames.pop()

    for module, name, value in (("picamera2", "Picamera2", Picamera2), ("cv2", "VideoCapture", VideoCapture)):
        recorded = ModuleType(module)
        setattr(recorded, name, value)
        monkeypatch.setitem(sys.modules, module, recorded)
    with_picamera2, with_opencv = examples("edgekit.adapters.camera")
    for code in (with_picamera2, with_opencv):
        run(code, model=photo_model)
        lines = printed(capsys)  # the newest of the three are there, whatever was dropped
        assert 1 <= len(lines) <= 3
        assert set(lines) == {"('red', 1.0)"}


def test_audio(
    load: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import wave

    model = load((1, 16000), ("even", "odd"), SOUND)
    sound = np.tile(np.array([-32768, 32767], "<i2"), 16000)  # two seconds: every other sample is loud
    recorder = tmp_path / "arecord"
    (tmp_path / "sound.raw").write_bytes(sound.tobytes())
    recorder.write_text(f'#!/bin/sh\nexec cat "{tmp_path}/sound.raw"\n')
    recorder.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    with wave.open("clip.wav", "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", "not compressed"))
        file.writeframes(sound.tobytes())
    from_microphone, from_file = examples("edgekit.adapters.audio")
    for code in (from_microphone, "from edgekit.adapters import audio\n" + from_file):
        run(code, model=model)
        assert printed(capsys) == ["('odd', 1.0)"] * 3


def test_sensor(load: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    model = load((1, 128, 6), ("x", "y", "z"), ROWS)
    row = (0.0, 1.0, 0.0, 0.0, 1.0, 0.0)
    recording = iter([row] * 200)

    def read_imu() -> Any:
        try:
            return next(recording)
        except StopIteration:
            raise EndOfRecordingError from None

    with_a_buffer, with_an_iterator = examples("edgekit.adapters.sensor")
    run(with_a_buffer, model=model, read_imu=read_imu)
    assert printed(capsys) == ["('y', 1.0)"] * 2
    run(with_an_iterator, model=model, rows=[row] * 200)
    assert printed(capsys) == ["('y', 1.0)"] * 2


def test_classification(photo_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = examples("edgekit.tasks.classification")
    run(code, model=photo_model, photo=red())
    assert printed(capsys) == ["0 red 1.0", "1 green 0.0", "2 blue 0.0"]


def test_detection(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    yolo = np.zeros((1, 84, 8400), np.float32)
    yolo[0, :4, 7] = (0.5, 0.5, 0.5, 0.25)
    yolo[0, 4 + 3, 7] = 0.875
    np.save("anchors.npy", np.full((5, 4), 0.5, np.float32))
    logits = np.full((1, 5, 3), -9, np.float32)
    logits[0, 2, 2] = 9
    answers = result_of(boxes=yolo, encodings=np.zeros((1, 5, 4), np.float32), logits=logits)
    labels = tuple(f"class {number}" for number in range(80))
    model = SimpleNamespace(run=lambda frame: answers, manifest=SimpleNamespace(labels=labels))
    of_yolo, of_ssd = examples("edgekit.tasks.detection")
    names: dict[str, Any] = {"model": model, "frame": np.zeros((100, 200, 3), np.uint8)}
    exec(of_yolo, names)
    assert printed(capsys) == ["class 3 0.88 50 38 150 62"]
    exec(of_ssd, {**names, "numpy": np, "result": answers, "detection": names["detection"]}, names)
    assert names["candidates"].classes.tolist() == [1]
    np.testing.assert_allclose(names["candidates"].corners, [[0.25, 0.25, 0.75, 0.75]])


def test_segmentation(capsys: pytest.CaptureFixture[str]) -> None:
    scores = np.zeros((1, 4, 4, 2), np.float32)
    scores[0, :, :1, 1] = 1
    model = SimpleNamespace(
        run=lambda frame: result_of(scores=scores), manifest=SimpleNamespace(labels=("sky", "car"))
    )
    (code,) = examples("edgekit.tasks.segmentation")
    names: dict[str, Any] = {"model": model, "frame": np.zeros((8, 16, 3), np.uint8)}
    exec(code, names)
    assert printed(capsys) == ["sky 75%", "car 25%"]
    assert names["mask"].shape == (8, 16)


def test_keyword(load: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    model = load((1, 16000), ("silence", "unknown", "yes", "no"), SOUND)
    loud, quiet = np.int16(32767), np.int16(-32768)
    second = np.tile(np.array([quiet, quiet, loud, quiet]), 4000)  # "yes" is every fourth sample
    (code,) = examples("edgekit.tasks.keyword")
    run(code, model=model, chunks=[second] * 3)
    assert printed(capsys) == ["0.50 s: yes (1.00)"]
