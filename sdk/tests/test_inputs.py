from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import BadSampleError, InputError
from edgekit.inputs import describe, plan_feeds, read_feed
from edgekit.manifest import Preprocessing, TensorSpec


def f32(values: object) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


PHOTO = TensorSpec(
    "photo", (1, 4, 4, 3), "int8", 1 / 255, -128, "NHWC", Preprocessing("image", "uint8", (0, 1), color="RGB")
)
CLIP = TensorSpec("clip", (1, 8), "int8", 0.01, 0, None, Preprocessing("audio", "int16", (-1, 1)))
FLOATS = Preprocessing("array", "float32")
VECTOR = TensorSpec("vector", (1, 2), "int8", 0.5, 0, None, FLOATS)


def spec(shape: tuple[int, ...], layout: str | None = None) -> TensorSpec:
    return TensorSpec("x", shape, "int8", 0.5, 0, layout, FLOATS)


def write_wav(path: Path, samples: np.ndarray[Any, Any]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def test_files_of_a_single_input_need_no_name() -> None:
    feeds = plan_feeds(["a.jpg", "photo=b.jpg", "odd=name.jpg"], [PHOTO])
    assert feeds == ({"photo": Path("a.jpg")}, {"photo": Path("b.jpg")}, {"photo": Path("odd=name.jpg")})


def test_files_of_several_inputs_are_dealt_out_in_turn() -> None:
    feeds = plan_feeds(["photo=1.jpg", "clip=1.wav", "clip=2.wav", "photo=2.jpg"], [PHOTO, CLIP])
    assert feeds == (
        {"photo": Path("1.jpg"), "clip": Path("1.wav")},
        {"photo": Path("2.jpg"), "clip": Path("2.wav")},
    )
    assert describe(feeds[1]) == "photo=2.jpg clip=2.wav"


def test_a_file_for_no_input_in_particular_is_refused() -> None:
    with pytest.raises(InputError, match=r"1\.jpg: does not say which input") as caught:
        plan_feeds(["1.jpg", "clip=1.wav"], [PHOTO, CLIP])
    assert "photo, clip" in str(caught.value.hint)


def test_unequal_numbers_of_files_are_refused() -> None:
    with pytest.raises(InputError, match="2 for photo, 1 for clip"):
        plan_feeds(["photo=1.jpg", "photo=2.jpg", "clip=1.wav"], [PHOTO, CLIP])


def test_a_batch_gives_one_sample_a_row(tmp_path: Path) -> None:
    path = tmp_path / "two.npy"
    np.save(path, f32([[1, 2], [3, 4]]))
    read = list(read_feed({"vector": path}, [VECTOR]))
    assert [origin for origin, _ in read] == [f"{path}[0]", f"{path}[1]"]
    assert [sample["vector"].tolist() for _, sample in read] == [[1, 2], [3, 4]]  # type: ignore[union-attr]


def test_a_sound_is_read_as_it_is(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "clip.WAV", np.arange(8) * 1000)
    ((origin, sample),) = read_feed({"clip": path}, [CLIP])
    assert origin == str(path)
    np.testing.assert_array_equal(sample["clip"], np.arange(8, dtype=np.int16) * 1000)


def test_a_photo_is_left_to_the_session() -> None:
    assert list(read_feed({"photo": Path("a.jpg")}, [PHOTO])) == [("a.jpg", {"photo": Path("a.jpg")})]


def test_unequal_batches_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", f32([1, 2]))
    np.save(tmp_path / "two.npy", f32([[1, 2], [3, 4]]))
    other = TensorSpec("other", (1, 2), "int8", 0.5, 0, None, FLOATS)
    feed = {"vector": tmp_path / "one.npy", "other": tmp_path / "two.npy"}
    with pytest.raises(InputError, match="different numbers of samples: 1 for vector, 2 for other"):
        list(read_feed(feed, [VECTOR, other]))


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("a.jpg", VECTOR, "'vector' takes an .npy file"),
        ("a.wav", PHOTO, "'photo' takes an image or an .npy file"),
        ("a.jpg", CLIP, "'clip' takes a .wav or an .npy file"),
        ("a.wav", VECTOR, "'vector' takes an .npy file"),
        (".", PHOTO, "is a folder"),
    ],
)
def test_files_of_another_kind_are_refused(name: str, target: TensorSpec, message: str) -> None:
    with pytest.raises(InputError) as caught:
        list(read_feed({target.name: Path(name)}, [target]))
    assert message in str(caught.value)


def test_an_empty_batch_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 2), np.float32))
    with pytest.raises(InputError, match=r"none\.npy: holds no samples"):
        list(read_feed({"vector": tmp_path / "none.npy"}, [VECTOR]))


def test_broken_arrays_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"no array")
    with pytest.raises(BadSampleError, match=r"x\.npy"):
        list(read_feed({"vector": tmp_path / "x.npy"}, [VECTOR]))
