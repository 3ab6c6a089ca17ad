"""Readers of .npz and .npy."""

from __future__ import annotations

import contextlib
import io
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import BadSampleError, DataError, EdgekitError, NoDataError
from edgekit_converters.calibration import InputSpec, Sample, SampleSource, open_samples

X = InputSpec("x_in", (1, 3, 2))
PAIR = (InputSpec("left", (1, 2)), InputSpec("right", (1, 3)))
ROWS = np.arange(60, dtype=np.float32).reshape(10, 3, 2)


def opened(data: Path | str, *inputs: InputSpec) -> SampleSource:
    return open_samples(data, inputs or (X,), {})


def values(samples: list[Sample], name: str = "x_in") -> list[Any]:
    return [sample.inputs[name].tolist() for sample in samples]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_of_an_npz_are_streamed_with_their_labels(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "a.npz", x=ROWS, y=np.arange(10, dtype=np.uint8) % 3, other=np.zeros(4))
    source = opened(tmp_path / "a.npz")
    samples = list(source.read([1, 2, 9]))
    assert values(samples) == ROWS[[1, 2, 9]].tolist()
    assert [sample.label for sample in samples] == [1, 2, 0]
    assert [sample.origin for sample in samples] == ["a.npz row 1", "a.npz row 2", "a.npz row 9"]
    assert (source.count(), source.kind, source.raw_dtypes()) == (10, "array", {"x_in": "float32"})
    assert list(source.labels() or ()) == [row % 3 for row in range(10)]
    assert source.description == "x of a.npz, 10 rows"


@pytest.mark.parametrize(
    ("wanted", "array", "labelled"),
    [("#data,y", "data", True), ("#data", "data", False), ("#x_in=data,y", "data", True), ("#y=", "", False)],
)
def test_arrays_are_named_behind_a_hash(tmp_path: Path, wanted: str, array: str, labelled: bool) -> None:
    np.savez(tmp_path / "a.npz", data=ROWS, images=ROWS + 1, y=np.zeros(10, int))
    if not array:
        with pytest.raises(DataError, match="not clear"):
            opened(f"{tmp_path}/a.npz{wanted}")
        return
    source = opened(f"{tmp_path}/a.npz{wanted}")
    assert values(list(source.read([3]))) == [ROWS[3].tolist()]
    assert (source.labels() is not None) is labelled


@pytest.mark.parametrize(
    ("names", "array", "labels"),
    [
        (["anything"], "anything", False),
        (["labels"], "labels", False),
        (["wave", "y"], "wave", True),
        (["z", "inputs", "targets"], "inputs", True),
        (["x_in", "x", "label"], "x_in", True),
    ],
)
def test_well_known_names_are_understood(tmp_path: Path, names: list[str], array: str, labels: bool) -> None:
    arrays: dict[str, Any] = {name: ROWS if name == array else np.zeros(10, int) for name in names}
    np.savez(tmp_path / "a.npz", **arrays)
    source = opened(tmp_path / "a.npz")
    assert values(list(source.read([4]))) == [ROWS[4].tolist()]
    assert (source.labels() is not None) is labels


def test_an_unclear_or_missing_array_lists_what_there_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=ROWS, x_test=ROWS, y_train=np.zeros(10, np.uint8))
    listing = r"x_train \(10, 3, 2\) float32; x_test \(10, 3, 2\) float32; y_train \(10,\) uint8"
    for wanted in (
        "",
        "#x_train,nothing",
        "#nothing",
        "#x_train,y_train,x_test",
        "#x_in=x_train,other=x_test",
    ):
        with pytest.raises(DataError, match=listing) as caught:
            opened(f"{tmp_path}/a.npz{wanted}")
        assert "a.npz#ARRAY or ARRAY,LABELS" in str(caught.value.hint)


@pytest.mark.parametrize("wanted", ["", "#which", "#left=left,right=right,which", "#left=left,right=right"])
def test_several_inputs_are_read_in_step(tmp_path: Path, wanted: str) -> None:
    left, right = np.random.rand(5, 2), np.random.rand(5, 3).astype(np.float16)
    named: dict[str, Any] = {"y" if wanted == "" else "which": np.arange(5)}
    np.savez_compressed(tmp_path / "a.npz", right=right, left=left, **named)
    source = opened(f"{tmp_path}/a.npz{wanted}", *PAIR)
    samples = list(source.read([0, 4]))
    assert values(samples, "left") == left[[0, 4]].tolist()
    assert values(samples, "right") == right[[0, 4]].tolist()
    assert source.raw_dtypes() == {"left": "float64", "right": "float16"}
    assert [sample.label for sample in samples] == ([0, 4] if not wanted.endswith("right") else [None, None])


def test_several_inputs_without_their_arrays_are_refused_with_the_form(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=np.zeros((5, 2)), two=np.zeros((5, 3)))
    with pytest.raises(DataError, match="not clear") as caught:
        opened(tmp_path / "a.npz", *PAIR)
    assert "#left=ARRAY,right=ARRAY" in str(caught.value.hint)


def test_masks_floats_and_words_are_labels_too(tmp_path: Path) -> None:
    masks = np.arange(40).reshape(10, 2, 2)
    np.savez(tmp_path / "masks.npz", x=ROWS, y=masks)
    (masked,) = opened(tmp_path / "masks.npz").read([7])
    assert np.array_equal(masked.label, masks[7])  # type: ignore[arg-type]
    assert opened(tmp_path / "masks.npz").labels() is None
    np.savez(tmp_path / "floats.npz", x=ROWS, y=np.linspace(0, 1, 10))
    assert [sample.label for sample in opened(tmp_path / "floats.npz").read([0, 9])] == [0.0, 1.0]
    np.savez(tmp_path / "words.npz", x=ROWS, y=["no", "yes"] * 5)
    words = opened(tmp_path / "words.npz")
    assert (words.class_names(), [sample.label for sample in words.read([0, 1])]) == (("no", "yes"), [0, 1])
    np.savez(tmp_path / "column.npz", x=ROWS, y=np.arange(10)[:, None])
    assert list(opened(tmp_path / "column.npz").labels() or ()) == list(range(10))


def test_big_endian_arrays_come_out_native(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=ROWS.astype(">f4"))
    (sample,) = opened(tmp_path / "a.npz").read([2])
    assert sample.inputs["x_in"].dtype.isnative
    assert values([sample]) == [ROWS[2].tolist()]


def test_an_npy_is_one_array_without_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "a.data", ROWS)
    (tmp_path / "a.data.npy").rename(tmp_path / "a.data")  # known by its content
    source = opened(tmp_path / "a.data")
    assert values(list(source.read([0, 5]))) == ROWS[[0, 5]].tolist()
    assert (source.labels(), source.class_names(), source.count()) == (None, None, 10)
    assert [sample.origin for sample in source.read([5])] == ["a.data row 5"]
    with pytest.raises(DataError, match="behind a #"):
        opened(f"{tmp_path}/a.data#x")
    with pytest.raises(DataError, match="several inputs: left, right"):
        opened(tmp_path / "a.data", *PAIR)


def write_member(path: Path, data: bytes, name: str = "x.npy") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, data)
    return path


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (npy(np.array([{}, None], object)), BadSampleError, "'x': holds Python objects"),
        (npy(np.zeros(3, [("a", "f4")])), BadSampleError, "'x': holds Python objects or records"),
        (npy(np.array(["a", "b"])), BadSampleError, "'x': has dtype <U1"),
        (npy(np.zeros((4, 3), complex)), BadSampleError, "'x': has dtype complex128"),
        (npy(np.float32(1.0)), BadSampleError, "'x': is a single number"),
        (npy(np.asfortranarray(np.zeros((4, 3)))), BadSampleError, "'x': is stored column by column"),
        (npy(np.zeros((4, 3)))[:-1], BadSampleError, "'x': is cut off or damaged: 223 bytes where .* 224"),
        (npy(np.zeros((4, 3))) + b"!", BadSampleError, "'x': is cut off or damaged"),
        (b"\x93NUMPY\x01\x00\xff\xffjunk", BadSampleError, "'x': is not a readable .npy array"),
        (b"\x93NUMPY\x09\x00\x00\x00", BadSampleError, "'x': is not a readable .npy array"),
        (b"", BadSampleError, "'x': is not a readable .npy array"),
        (npy(np.zeros((4, 3))).replace(b"False", b"((((0"), BadSampleError, "'x': is not a"),
        (
            npy(np.zeros((4, 10, 1))).replace(b"10, 1)", b"-5,-2)"),
            BadSampleError,
            "'x': is cut off or damaged",
        ),
        (npy(np.zeros((0, 3, 2))), NoDataError, "a.npz, 0 rows: there are no samples"),
    ],
)
def test_arrays_that_are_no_samples_are_named(
    tmp_path: Path, data: bytes, error: type[EdgekitError], says: str
) -> None:
    with pytest.raises(error, match=says):
        opened(write_member(tmp_path / "a.npz", data))


def test_foreign_and_damaged_archives_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.zip: is a ZIP without arrays"):
        opened(write_member(tmp_path / "a.zip", b"", "photo.jpg"))
    np.savez_compressed(tmp_path / "a.npz", x=np.random.rand(2000, 3, 2))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-30])
    with pytest.raises(BadSampleError, match=r"cut\.npz: is not a whole .npz archive"):
        opened(tmp_path / "cut.npz")
    bad = bytearray(whole)
    bad[len(bad) // 2 : len(bad) // 2 + 2000] = b"\xff" * 2000
    (tmp_path / "bad.npz").write_bytes(bad)
    with pytest.raises(BadSampleError, match=r"bad\.npz array 'x' row \d+: the archive is damaged"):
        list(opened(tmp_path / "bad.npz").read(range(2000)))


@settings(max_examples=150)
@given(st.sampled_from(["npz", "npy"]), st.integers(0), st.integers(0, 255), st.booleans())
def test_damage_anywhere_ends_in_an_edgekit_error_or_in_other_numbers(
    kind: str, place: int, byte: int, cut: bool
) -> None:
    stream = io.BytesIO()
    if kind == "npz":
        np.savez_compressed(stream, x=ROWS, y=np.arange(10))
    else:
        np.save(stream, ROWS)
    data = bytearray(stream.getvalue())
    place %= len(data)
    data[place] = byte
    with tempfile.NamedTemporaryFile(suffix=f".{kind}") as file:
        file.write(data[:place] if cut else data)
        file.flush()
        with contextlib.suppress(EdgekitError):
            source = opened(file.name)
            list(source.read(range(source.count())))


def test_arrays_of_different_lengths_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=ROWS, y=np.zeros(9, int))
    with pytest.raises(DataError, match="differ in length: x has 10, y has 9"):
        opened(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (npy(np.zeros((4, 3)))[:-1], "cannot be read as an array"),
        (npy(np.array([{}], object)), "cannot be read as an array"),
        (npy(np.array(["a"])), "has dtype <U1"),
        (npy(np.float32(1)), "is a single number"),
        (b"\x93NUMPY", "cannot be read as an array"),
        (npy(np.zeros(3)).replace(b"False", b"((((0"), "cannot be read as an array"),
    ],
)
def test_broken_npy_files_are_named(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(BadSampleError, match=rf"a\.npy: {says}"):
        opened(tmp_path / "a.npy")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_200_megabytes_stream_through_a_small_memory(tmp_path: Path, compression: int) -> None:
    rows, side = 1333, 224
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (rows, side, side, 3)}
    )
    row = np.arange(side * side * 3, dtype=np.uint8).tobytes()
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", compression, compresslevel=1) as archive,
        archive.open("x.npy", "w") as member,
    ):
        member.write(header.getvalue())
        for number in range(rows):
            member.write(bytes([number % 256]) + row[1:])
    tracemalloc.start()
    try:
        source = opened(tmp_path / "a.npz", InputSpec("photo", (1, side, side, 3), "NHWC"))
        firsts = [sample.inputs["photo"][0, 0, 0] for sample in source.read(range(0, rows, 100))]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    (tmp_path / "a.npz").unlink()  # pytest keeps the folder
    assert firsts == [number % 256 for number in range(0, rows, 100)]
    assert peak < 30e6
