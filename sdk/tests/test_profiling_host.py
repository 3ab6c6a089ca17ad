"""Which machine it is: fake boards as folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from fake_pi import PI_4, build

from edgekit.profiling.host import read_host
from edgekit.profiling.readings import peak_rss_bytes, rss_bytes
from edgekit.profiling.record import Host


def host_of(folder: Path, files: Mapping[str, str | bytes | None]) -> Host:
    return read_host(build(folder, files))


def test_the_host_of_a_pi_4(tmp_path: Path) -> None:
    sources = build(tmp_path, PI_4)
    host = read_host(sources)
    assert (host.board, host.cpu, host.cpu_features) == (
        "Raspberry Pi 4 Model B Rev 1.4",
        "Cortex-A72",
        "asimd",
    )
    assert (host.memory_kib, host.system) == (3_884_420, "Debian GNU/Linux 12 (bookworm)")
    assert (peak_rss_bytes(sources.proc), rss_bytes(sources.proc)) == (39_272 * 1024, 39_001 * 1024)


def test_the_identity_gives_no_number_away_and_tells_boards_apart(tmp_path: Path) -> None:
    first = host_of(tmp_path, PI_4).identity
    again = host_of(tmp_path, PI_4 | {"etc/machine-id": "another card in the same board"}).identity
    other = host_of(tmp_path, {"proc/device-tree/serial-number": "10000000a1b2c3d5\0"}).identity
    assert first is not None
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert first == again != other
    assert "a1b2c3d4" not in first


def test_a_pc_has_an_identity_too(tmp_path: Path) -> None:
    files = {"etc/machine-id": "aaaabbbbccccddddeeeeffff00001111\n", "sys/class/dmi/id/product_name": "NUC\n"}
    cpuinfo = "model name\t: Intel N100\nflags\t\t: fpu sse4_2 avx2\n"
    host = host_of(tmp_path, files | {"proc/cpuinfo": cpuinfo})
    assert host.identity is not None
    assert (host.board, host.cpu, host.cpu_features) == ("NUC", "Intel N100", "sse4_2 avx2")


@pytest.mark.parametrize(
    ("cpuinfo", "cpu"),
    [
        ("CPU implementer : 0x41\nCPU part : 0xd0b\n", "Cortex-A76"),
        ("model name : ARMv7 rev 3\nCPU implementer : 0x41\nCPU part : 0xd08\n", "Cortex-A72"),
        ("CPU implementer : 0x51\nCPU part : 0x802\n", "Arm (implementer 0x51, part 0x802)"),
        ("model name\t: \x1b[2JAMD\u202e\n", "[2JAMD"),
        ("model name : \x1b[2Jx\nCPU part : 0x1\n", "[2Jx (implementer None, part 0x1)"),
        ("CPU part : 0x9999999999\n", None),
        ("", None),
    ],
)
def test_processors(tmp_path: Path, cpuinfo: str, cpu: str | None) -> None:
    assert host_of(tmp_path, {"proc/cpuinfo": cpuinfo}).cpu == cpu


@pytest.mark.parametrize(
    ("release", "system"),
    [
        ("PRETTY_NAME='Alpine Linux v3.20'\n", "Alpine Linux v3.20"),
        ("ID=void\nPRETTY_NAME=Void\n", "Void"),
        ("ID=void\n", None),
        ("PRETTY_NAME=\n", None),
        ('PRETTY_NAME="\x1b]0;owned\x07"\n', "]0;owned"),
    ],
)
def test_systems(tmp_path: Path, release: str, system: str | None) -> None:
    assert host_of(tmp_path, {"etc/os-release": release}).system == system
