from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.archive import Limits, read_archive, write_archive
from edgekit.errors import MalformedBundleError

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(
    lambda name: ".." not in name
)
CONTENTS = st.dictionaries(NAMES, st.binary(max_size=200), max_size=8).filter(
    lambda members: len({name.lower() for name in members}) == len(members)
)


@given(members=CONTENTS)
def test_any_members_come_back_and_any_reader_of_zip_shows_them(members: dict[str, bytes]) -> None:
    data = write_archive(members)
    again = read_archive(data)
    assert {name: bytes(content) for name, content in again.items()} == members
    assert list(again) == sorted(members)
    assert write_archive(again) == data
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == members


def test_order_of_the_caller_does_not_matter() -> None:
    assert write_archive({"b": b"1", "a": b"2"}) == write_archive({"a": b"2", "b": b"1"})


def test_every_entry_is_stored_in_1980_with_mode_0644() -> None:
    with zipfile.ZipFile(io.BytesIO(write_archive({"a": b"xyz"}))) as opened:
        (info,) = opened.infolist()
    assert info.compress_type == zipfile.ZIP_STORED
    assert info.date_time == (1980, 1, 1, 0, 0, 0)
    assert info.external_attr >> 16 == 0o100644
    assert (info.extra, info.comment, info.flag_bits, info.create_system) == (b"", b"", 0, 3)


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_unpacks_it(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(write_archive({"manifest.json": b"{}\n", "model.tflite": b"\0" * 1000}))
    subprocess.run(["unzip", "-q", "a.zip", "-d", "out"], cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "out" / "manifest.json").read_bytes() == b"{}\n"
    assert (tmp_path / "out" / "model.tflite").read_bytes() == b"\0" * 1000


def test_members_are_views_not_copies() -> None:
    data = write_archive({"a": b"abc"})
    content = read_archive(data)["a"]
    assert content.obj is data
    assert content.readonly


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../up", "a/b", "a\\b", "C:x", "x\0y", ".hidden", "ü", "\ud800", "a" * 101, "a b"],
)
def test_writer_refuses_names_that_the_reader_would(name: str) -> None:
    with pytest.raises(MalformedBundleError, match=r"^member '"):
        write_archive({name: b""})


def test_writer_refuses_names_that_differ_in_case_only() -> None:
    with pytest.raises(MalformedBundleError, match="members 'A' and 'a' differ in case only"):
        write_archive({"a": b"", "A": b""})


def test_limits_hold_for_writer_and_reader_alike() -> None:
    limits = Limits(total=200, members=2)
    with pytest.raises(MalformedBundleError, match="has 3 members; at most 2 are accepted"):
        write_archive({"a": b"", "b": b"", "c": b""}, limits)
    with pytest.raises(MalformedBundleError, match="bytes; at most 200 are accepted"):
        write_archive({"a": b"x" * 200}, limits)
    with pytest.raises(MalformedBundleError, match="has 3 members; at most 2 are accepted"):
        read_archive(write_archive({"a": b"", "b": b"", "c": b""}), Limits(members=2))
    with pytest.raises(MalformedBundleError, match="bytes; at most 200 are accepted"):
        read_archive(write_archive({"a": b"x" * 200}), limits)


def test_largest_archive_that_the_limit_allows_passes_both_ways() -> None:
    data = write_archive({"a": b"x" * 100})
    exactly = Limits(total=len(data))
    assert write_archive(read_archive(data, exactly), exactly) == data


def test_a_truncated_archive_says_so_even_where_an_npz_within_ends_cleanly() -> None:
    inner = write_archive({"x.npy": b"123"})
    data = write_archive({"golden.npz": inner, "model.tflite": b"m" * 100})
    with pytest.raises(MalformedBundleError, match="is truncated: its end record is missing"):
        read_archive(data[: data.index(b"model.tflite") + 50])
