"""Readers of folders: photos and wave files, flat or in class folders."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekit.errors import BadSampleError, DataError, EdgekitError, NoDataError, PreprocessingError
from edgekit_converters.calibration import InputSpec, SaidPreprocessing, SampleSource, open_samples, open_set

SHARED = Path(__file__).resolve().parents[3] / "shared"
PHOTO = InputSpec("photo", (1, 4, 6, 3), "NHWC")
SOUND = InputSpec("sound", (1, 8))
UNIT = SaidPreprocessing(range=(0.0, 1.0))


def pixels(seed: int, height: int = 4, width: int = 6) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def photo(path: Path, seed: int = 0, height: int = 4, width: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, height, width)).save(path, format="png")
    return path


def sound(path: Path, samples: int = 8, rate: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.arange(samples, dtype=np.int16).tobytes())
    return path


def opened(folder: Path | str, spec: InputSpec = PHOTO, said: SaidPreprocessing = UNIT) -> SampleSource:
    return open_samples(folder, [spec], {spec.name: said})


def test_class_folders_label_their_photos_in_sorted_order(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for seed, name in enumerate(["dog/b.png", "dog/a.PNG", "cat/1.jpeg", "eel/no_suffix"]):
        photo(root / name, seed)
    (root / ".hidden").mkdir()
    (root / "__MACOSX").mkdir()
    (root / "ATTRIBUTION.csv").write_text("who")
    source = opened(root)
    samples = list(source.read(range(4)))
    assert [sample.origin for sample in samples] == [
        "photos/cat/1.jpeg",
        "photos/dog/a.PNG",
        "photos/dog/b.png",
        "photos/eel/no_suffix",
    ]
    assert [sample.label for sample in samples] == [0, 1, 1, 2]
    assert [int(sample.inputs["photo"][0, 0, 0]) for sample in samples] == [
        int(pixels(seed)[0, 0, 0]) for seed in (2, 1, 0, 3)
    ]
    assert source.class_names() == ("cat", "dog", "eel")
    assert (source.kind, source.raw_dtypes(), source.count()) == ("image", {"photo": "uint8"}, 4)
    assert source.description == "folder photos: 4 image files in 3 classes, 1 other files ignored"


def test_numbered_class_folders_are_the_class_indices(tmp_path: Path) -> None:
    for name in ("0007/a.png", "12/b.png"):
        photo(tmp_path / name)
    source = opened(tmp_path)
    assert (source.labels(), source.class_names()) == ((7, 12), None)
    for name in ("0/a.png", "10/a.png", "2/a.png"):
        photo(tmp_path / "few" / name)
    for number in (*range(1, 2), *range(3, 10)):
        photo(tmp_path / "few" / str(number) / "a.png")
    complete = opened(tmp_path / "few")
    assert complete.class_names() == tuple(map(str, range(11)))
    assert sorted(complete.labels() or ()) == list(range(11))
    photo(tmp_path / "twice/01/a.png")
    photo(tmp_path / "twice/1/a.png")
    with pytest.raises(DataError, match="'01' and '1' are the same class"):
        opened(tmp_path / "twice")


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    source = opened(tmp_path)
    assert (source.labels(), source.class_names()) == (None, None)
    assert [sample.label for sample in source.read([0])] == [None]


def test_photos_come_in_the_size_and_colour_that_were_said(tmp_path: Path) -> None:
    photo(tmp_path / "a.png", height=8, width=12)
    said = SaidPreprocessing(range=(0.0, 1.0), resize="nearest", color="BGR")
    (sample,) = opened(tmp_path, InputSpec("photo", (1, 3, 4, 6), "NCHW"), said).read([0])
    resized = Image.fromarray(pixels(0, 8, 12)).resize((6, 4), Image.Resampling.NEAREST)
    assert np.array_equal(sample.inputs["photo"], np.asarray(resized)[:, :, ::-1])


@pytest.mark.parametrize(
    ("files", "error", "says"),
    [
        ([], NoDataError, "holds no images and no .wav files"),
        (["notes.txt"], NoDataError, "holds no images and no .wav files"),
        (["a.png", "b.wav"], DataError, r"images \(a.png\) as well as sounds \(b.wav\)"),
        (["cat/a.png", "dog/b.wav"], DataError, r"images \(a.png\) as well as sounds"),
        (["a.png", "cat/b.png"], DataError, "holds image files beside class folders"),
        (["train/cat/a.png", "train/dog/b.png"], DataError, "cat: is a folder inside of 'train'"),
        (["cat/a.png", "notes/readme.txt"], NoDataError, "notes: this class folder is empty"),
    ],
)
def test_unclear_folders_are_refused(
    tmp_path: Path, files: list[str], error: type[EdgekitError], says: str
) -> None:
    for name in files:
        path = tmp_path / name
        if path.suffix == ".png":
            photo(path)
        elif path.suffix == ".wav":
            sound(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("text")
    with pytest.raises(error, match=says) as caught:
        opened(tmp_path)
    assert caught.value.hint


def test_a_folder_feeds_one_input_and_takes_no_array_names(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    with pytest.raises(DataError, match="has several: photo, sound"):
        open_samples(tmp_path, [PHOTO, SOUND], {})
    with pytest.raises(DataError, match="behind a #"):
        opened(f"{tmp_path}#x")
    with pytest.raises(DataError, match="single file of image"):
        opened(tmp_path / "a.png")


def test_broken_and_unfitting_photos_are_named(tmp_path: Path) -> None:
    photo(tmp_path / "small" / "a.png", height=3)
    with pytest.raises(BadSampleError, match=r"a\.png: is 3 x 6 .* takes 4 x 6"):
        list(opened(tmp_path / "small").read([0]))
    broken = photo(tmp_path / "broken" / "a.png")
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(BadSampleError, match=r"broken/a\.png: cannot be read"):
        list(opened(tmp_path / "broken").read([0]))
    with pytest.raises(PreprocessingError, match=r"a\.png: is in colour"):
        list(opened(tmp_path / "small", InputSpec("gray", (1, 3, 6, 1), "NHWC")).read([0]))
    with pytest.raises(PreprocessingError, match="raw uint8"):
        opened(tmp_path / "small", said=SaidPreprocessing())


def test_wave_files_are_labelled_by_folder_and_share_one_rate(tmp_path: Path) -> None:
    for name in ("yes/a.wav", "no/a.wav"):
        sound(tmp_path / "words" / name)
    source = opened(tmp_path / "words", SOUND)
    samples = list(source.read([0, 1]))
    assert [(sample.label, sample.origin) for sample in samples] == [
        (0, "words/no/a.wav"),
        (1, "words/yes/a.wav"),
    ]
    assert samples[0].inputs["sound"].tolist() == list(range(8))
    assert (source.kind, source.raw_dtypes(), source.class_names()) == (
        "audio",
        {"sound": "int16"},
        ("no", "yes"),
    )
    sound(tmp_path / "words" / "yes" / "b.wav", rate=8000)
    with pytest.raises(BadSampleError, match=r"b\.wav: has a sample rate of 8000 Hz, and a\.wav has 16000"):
        list(opened(tmp_path / "words", SOUND).read([0, 1, 2]))


def test_a_clip_of_another_length_is_named_with_both_lengths(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav", samples=7)
    samples = open_set(tmp_path, [SOUND], {"sound": UNIT})
    with pytest.raises(
        BadSampleError, match=r"b\.wav: input 'sound': .*\(7,\), and \(8,\) is wanted"
    ) as caught:
        list(samples)
    assert "cut or pad" in str(caught.value.hint)


def test_the_shared_photos_are_a_labelled_set() -> None:
    folder = SHARED / "data" / "imagenet-sample" / "calibration"
    if not folder.is_dir():
        pytest.skip("the shared photos are not on this machine")
    spec = InputSpec("photo", (1, 224, 224, 3), "NHWC")
    samples = open_set(folder, [spec], {"photo": SaidPreprocessing(range=(-1.0, 1.0))}, samples=20)
    pairs = [(sample, inputs["photo"]) for sample, inputs in samples]
    assert len(pairs) == 20
    assert all(isinstance(sample.label, int) and 0 <= sample.label < 1000 for sample, _ in pairs)
    assert {(values.shape, values.dtype.name) for _, values in pairs} == {((1, 224, 224, 3), "float32")}
    assert min(values.min() for _, values in pairs) == -1.0
