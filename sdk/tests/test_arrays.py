from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from edgekit.archive import Limits, read_archive, write_archive
from edgekit.arrays import DTYPES, ArrayLimits, read_arrays, write_arrays
from edgekit.errors import BundleError, MalformedBundleError

ARRAYS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, max_dims=4, max_side=4))
)


@given(array=ARRAYS)
def test_any_array_comes_back_and_numpy_reads_it(array: np.ndarray[Any, Any]) -> None:
    data = write_arrays({"x": array})
    again = read_arrays(data)
    assert again["x"].dtype == array.dtype
    assert again["x"].shape == array.shape
    assert again["x"].tobytes() == array.tobytes()
    assert write_arrays(again) == data
    with np.load(io.BytesIO(data), allow_pickle=False) as opened:
        assert opened["x"].dtype == array.dtype
        assert opened["x"].shape == array.shape
        assert opened["x"].tobytes() == array.tobytes()


def test_views_byte_orders_and_scalars_are_written_as_what_they_hold() -> None:
    grid = np.arange(6, dtype=np.int16).reshape(2, 3)
    plain = write_arrays({"x": np.ascontiguousarray(grid.T)})
    assert write_arrays({"x": grid.T}) == plain
    assert write_arrays({"x": np.asfortranarray(grid.T)}) == plain
    assert write_arrays({"x": grid.T.astype(">i2")}) == plain
    assert read_arrays(write_arrays({"x": np.float32(2.5)}))["x"].shape == ()


def test_what_is_read_is_aligned_writable_and_independent() -> None:
    data = write_arrays({"x": np.arange(5, dtype=np.float64)})
    array = read_arrays(memoryview(data))["x"]
    assert array.flags.aligned
    array[0] = 9
    assert read_arrays(data)["x"][0] == 0


def test_empty_npz_is_no_error() -> None:
    assert read_arrays(write_arrays({})) == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([object()]), "array 'x' is object"),
        (np.array(["text"]), "array 'x' is <U4"),
        (np.zeros(2, np.uint16), "array 'x' is uint16; arrays are bool, int8"),
        (np.zeros(2, np.complex64), "array 'x' is complex64"),
        (np.zeros(2, [("a", "i4")]), "array 'x' is "),
        (np.zeros((1,) * 9, np.int8), "array 'x' has 9 dimensions, more than 8"),
        (np.zeros((2, 0), np.int8), "array 'x' is empty"),
    ],
)
def test_writer_refuses_what_the_reader_would(value: np.ndarray[Any, Any], message: str) -> None:
    with pytest.raises(MalformedBundleError, match=message):
        write_arrays({"x": value})


def test_writer_refuses_names_with_paths() -> None:
    with pytest.raises(MalformedBundleError, match="lies in a folder"):
        write_arrays({"a/b": np.zeros(1, np.int8)})


def npy(descr: str, shape: str, values: bytes, order: str = "False") -> bytes:
    """An .npy member whose header says whatever one likes."""
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    padded = text + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + values


def test_the_forger_below_can_also_write_a_sound_array() -> None:
    assert read_arrays(write_archive({"x.npy": npy("'|i1'", "(2,)", b"\1\2")}))["x"].tolist() == [1, 2]


HOSTILE: dict[str, tuple[dict[str, bytes], str]] = {
    "pickle": ({"x.npy": npy("'|O'", "(1,)", b"cos\nsystem\n")}, "is not a plain"),
    "huge claim": ({"x.npy": npy("'<f8'", "(9999999999999,)", b"")}, "needs 79,999,999,999,992 bytes of values and has 0"),
    "overflowing claim": ({"x.npy": npy("'<f8'", f"({10**60}, {10**60})", b"")}, "bytes of values and has 0"),
    "nothing times much": ({"x.npy": npy("'<f8'", f"(0, {10**60})", b"")}, "is empty"),
    "too few values": ({"x.npy": npy("'<i4'", "(3,)", b"\0" * 11)}, "needs 12 bytes of values and has 11"),
    "too many values": ({"x.npy": npy("'<i4'", "(3,)", b"\0" * 13)}, "needs 12 bytes of values and has 13"),
    "Fortran order": ({"x.npy": npy("'<i4'", "(1, 1)", b"\0" * 4, "True")}, "in C order"),
    "big-endian": ({"x.npy": npy("'>i4'", "(1,)", b"\0" * 4)}, "is not a plain"),
    "float16": ({"x.npy": npy("'<f2'", "(1,)", b"\0" * 2)}, "has dtype '<f2'"),
    "structured": ({"x.npy": npy("[('a', '<i4')]", "(1,)", b"\0" * 4)}, "is not a plain"),
    "ninth dimension": ({"x.npy": npy("'|i1'", str((1,) * 9), b"\0")}, "has 9 dimensions, more than 8"),
    "negative size": ({"x.npy": npy("'|i1'", "(-1,)", b"")}, "is not a plain"),
    "code in the shape": ({"x.npy": npy("'|i1'", "(exit(),)", b"")}, "is not a plain"),
    "other spacing": ({"x.npy": npy("'|i1'", "(1 ,)", b"\0")}, "spells its header in another way"),
    "inner space": ({"x.npy": npy("'|i1'", "(1 1,)", b"\0")}, "spells its header in another way"),
    "third truth": ({"x.npy": npy("'|b1'", "(2,)", b"\1\2")}, "has booleans other than 0 and 1"),
    "no .npy": ({"x.txt": b"hello"}, "member 'x.txt' is not a .npy array"),
    "no header": ({"x.npy": b""}, "is not a plain"),
    "version 2": ({"x.npy": npy("'|i1'", "(1,)", b"\0").replace(b"\x01\x00", b"\x02\x00", 1)}, "is not a plain"),
    "lying header length": ({"x.npy": npy("'|i1'", "(1,)", b"\0").replace(b"v\0", b"u\0", 1)}, "spells its header"),
}  # fmt: skip


@pytest.mark.parametrize(("members", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_npz_is_refused_without_allocating(members: dict[str, bytes], message: str) -> None:
    data = write_archive(members)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedBundleError, match=message):
            read_arrays(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_what_numpy_saves_itself_is_refused_for_it_is_not_canonical() -> None:
    file = io.BytesIO()
    np.savez(file, x=np.zeros(3, np.int8))
    with pytest.raises(MalformedBundleError):
        read_arrays(file.getvalue())


def test_limits_come_first() -> None:
    data = write_arrays({"x": np.zeros(1000, np.int8)})
    with pytest.raises(MalformedBundleError, match="at most 500 are accepted"):
        read_arrays(data, ArrayLimits(archive=Limits(total=500)))


@given(data=st.data())
def test_a_changed_npz_is_refused_or_reads_as_what_it_then_is(data: st.DataObject) -> None:
    sound = write_arrays({"x": np.arange(3, dtype=np.int16), "y": np.array([True, False])})
    members = {name: bytearray(content) for name, content in read_archive(sound).items()}
    name = data.draw(st.sampled_from(sorted(members)))
    at = data.draw(st.integers(0, len(members[name]) - 1))
    members[name][at] = data.draw(st.integers(0, 255))
    changed = write_archive({name: bytes(content) for name, content in members.items()})
    try:
        again = read_arrays(changed)
    except BundleError:
        return
    assert write_arrays(again) == changed
