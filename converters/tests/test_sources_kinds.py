from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import UnknownModelError
from edgekit_converters.sources.kinds import Kind, identify


def _zip(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return data.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x1c\0\0\0TFL3rest", Kind.TFLITE),
        (b"\x89HDF\r\n\x1a\nrest", Kind.HDF5),
        (_zip("metadata.json", "config.json", "model.weights.h5"), Kind.KERAS_ARCHIVE),
        (_zip("net/archive_format", "net/models/model.json", "net/data/weights/w"), Kind.EXPORTED_PROGRAM),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x80", Kind.ONNX),
        (b"\x08\x0a:\x80\x01", Kind.ONNX),
    ],
)
def test_the_content_decides_whatever_the_suffix(content: bytes, kind: Kind, tmp_path: Path) -> None:
    for name in ("model.bin", "model.onnx", "model"):
        (tmp_path / name).write_bytes(content)
        assert identify(tmp_path / name) is kind


def test_a_folder_with_a_saved_model_is_one(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert identify(tmp_path) is Kind.SAVED_MODEL


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        (b"", "is empty", "interrupted"),
        (_zip("archive/data.pkl", "archive/version"), "a PyTorch file of weights", "--torch file.py:factory"),
        (_zip("net/data.pkl", "net/constants.pkl"), "a TorchScript model", "torch.export.save"),
        (pickle.dumps([1, 2]), "a Python pickle", "--weights"),
        (b"\x0a\x20\x0a\x01x\x12\x0bPlaceholder", "a frozen TensorFlow graph", "SavedModel"),
        (b"\x08\x01\x12\xff\xff\x01\x0a", "the graph of a SavedModel", "give the folder"),
        (b'{"format": "graph-model", "modelTopology": {}}', "a TensorFlow.js model", "made from"),
        (b'  {"class_name": "Sequential"}', "a JSON text, without weights", "model.save"),
        (_zip("manifest.json", "model.tflite"), "an edgekit bundle, already converted", "edgekit run"),
        (_zip("x.npy", "y.npy"), "an .npz of arrays", "--calibration"),
        (_zip("sub/saved_model.pb"), "a zipped SavedModel", "unpack"),
        (_zip("letter.txt"), "a ZIP archive without a model", ".keras"),
        (b"PK\x03\x04broken", "a broken ZIP archive", "interrupted"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", "git lfs pull"),
        (b"\xff\xd8\xff\xe0 a photo", "not a model of a known kind", ".keras"),
    ],
)
def test_a_file_of_another_kind_is_named_with_a_remedy(
    content: bytes, said: str, hint: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(UnknownModelError, match=said) as caught:
        identify(path)
    assert str(path) in str(caught.value)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("files", "said", "hint"),
    [
        ([], "a folder without a saved_model.pb", ".keras"),
        (["saved_model.pbtxt"], "in text form", "saved_model.pb"),
        (["model.json", "group1-shard1of1.bin"], "TensorFlow.js", "made from"),
        (["config.json", "metadata.json", "model.weights.h5"], "unpacked .keras", "give the .keras file"),
        (["checkpoint", "ckpt.index", "ckpt.data-00000-of-00001"], "weights only", "model.save"),
        (["1/saved_model.pb"], "a folder around a SavedModel", "/1"),
    ],
)
def test_a_folder_of_another_kind_is_named_with_a_remedy(
    files: list[str], said: str, hint: str, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    with pytest.raises(UnknownModelError, match=said) as caught:
        identify(tmp_path)
    assert hint in str(caught.value.hint)


def test_a_missing_path_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="there is no such file or folder"):
        identify(tmp_path / "absent.keras")


def test_any_bytes_end_in_a_kind_or_an_error(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    path = tmp_path / "noise"
    for length in (1, 3, 4, 8, 100):
        for start in (b"", b"PK\x03\x04", b"\x08", b"\x0a", b"{", b"\x80\x04"):
            path.write_bytes((start + generator.bytes(length))[:length])
            with pytest.raises(UnknownModelError):
                identify(path)
