from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tracemalloc
import zipfile
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from edgekit.bundle import BundleLimits, read_unverified, write_bundle
from edgekit.errors import MalformedBundleError, NewerFormatError
from edgekit.manifest import Manifest

PACKAGES = Path(__file__).resolve().parents[2]


def test_round_trip_is_exact(bundle: bytes, members: dict[str, bytes], manifest: Manifest) -> None:
    read = read_unverified(bundle)
    assert {name: bytes(content) for name, content in read.members.items()} == members
    assert read.manifest == manifest
    assert read.data is bundle
    assert write_bundle(read.members) == bundle


def test_digest_is_that_of_the_file(bundle: bytes) -> None:
    assert read_unverified(bundle).digest == hashlib.sha256(bundle).hexdigest()


def test_any_zip_tool_shows_the_members_sorted(bundle: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(bundle)) as opened:
        assert opened.namelist() == ["golden.npz", "manifest.json", "model.tflite"]
        assert opened.testzip() is None


def test_every_optional_member_is_accepted(members: dict[str, bytes], manifest: Manifest) -> None:
    runtime = {**manifest.runtime, "model_edgetpu.tflite": {"libedgetpu": "16.0"}}
    full = {
        **members,
        "manifest.json": replace(manifest, runtime=runtime).to_bytes(),
        "model_edgetpu.tflite": b"\x1c\0\0\0TFL3",
        "reference.npz": b"",
        **{f"{name}.json": b"{}\n" for name in ("forecast", "certificate", "report", "signature")},
    }
    assert set(read_unverified(write_bundle(full)).members) == set(full)


def test_nothing_of_it_can_be_changed(bundle: bytes) -> None:
    read = read_unverified(bundle)
    with pytest.raises(FrozenInstanceError):
        read.manifest = None  # type: ignore[misc, assignment]
    with pytest.raises(TypeError):
        read.members["model.tflite"] = memoryview(b"")  # type: ignore[index]
    with pytest.raises(TypeError):
        read.members["model.tflite"][0] = 1


def test_a_buffer_that_changes_later_does_not_change_the_bundle(bundle: bytes) -> None:
    buffer = bytearray(bundle)
    read = read_unverified(buffer)  # type: ignore[arg-type]
    buffer[:] = bytes(len(buffer))
    assert bytes(read.members["model.tflite"][4:8]) == b"TFL3"


def test_reading_copies_no_member(smallest: bytes) -> None:
    small = read_unverified(smallest)
    large = write_bundle({**small.members, "model.tflite": b"\x1c\0\0\0TFL3" + bytes(4 << 20)})
    tracemalloc.start()
    try:
        read_unverified(large)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (BundleLimits(manifest=100), r"member 'manifest.json' has [\d,]+ bytes; at most 100 are accepted"),
        (BundleLimits(document=9), "member 'report.json' has 10 bytes; at most 9 are accepted"),
        (BundleLimits(arrays=50), r"member 'golden.npz' has [\d,]+ bytes; at most 50 are accepted"),
    ],
)
def test_each_kind_of_member_has_its_own_limit(
    members: dict[str, bytes], limits: BundleLimits, message: str
) -> None:
    with pytest.raises(MalformedBundleError, match=message):
        read_unverified(write_bundle({**members, "report.json": b"{}" + b" " * 8}), limits)


@pytest.mark.parametrize("name", ["model.tflite", "manifest.json"])
def test_writer_refuses_a_bundle_without(name: str, members: dict[str, bytes]) -> None:
    with pytest.raises(MalformedBundleError, match=f"member '{name}' is missing"):
        write_bundle({other: content for other, content in members.items() if other != name})


def test_writer_refuses_members_that_the_manifest_contradicts(members: dict[str, bytes]) -> None:
    with pytest.raises(MalformedBundleError, match=r"golden is given, and the bundle lacks golden\.npz"):
        write_bundle({name: content for name, content in members.items() if name != "golden.npz"})


def test_newer_format_wins_over_members_that_this_edgekit_does_not_know(members: dict[str, bytes]) -> None:
    from edgekit.archive import write_archive

    newer = json.dumps({"format": 2, "min_edgekit": "1.5.0"}).encode()
    data = write_archive({**members, "manifest.json": newer, "model.vmfb": b"other"})
    with pytest.raises(NewerFormatError, match=r"edgekit 1\.5\.0 or later reads it"):
        read_unverified(data)


def test_importing_the_trust_path_loads_none_of_the_heavy_modules() -> None:
    code = "import edgekit.bundle, edgekit.trust, edgekit.files, sys; print(*sys.modules)"
    paths = [str(PACKAGES / name) for name in ("device_targets", "sdk")]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}; {code}"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert "edgekit.trust" in loaded
    heavy = {"numpy", "click", "cryptography", "tempfile", "zipfile", "PIL", "tensorflow", "ai_edge_litert"}
    assert not heavy & set(loaded)
