"""What a machine says of itself: fake boards as folders, and this very machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from fake_pi import CPU, FIRMWARE_PI_4, FIRMWARE_PI_5, PI_4, THERMAL, build
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit import strictjson
from edgekit.profiling.conditions import Cgroup, Conditions, Cooling, CpuClock, Pressure, Swap, Temperature
from edgekit.profiling.host import read_host
from edgekit.profiling.readings import Sources, peak_rss_bytes, read_conditions, read_text, rss_bytes
from edgekit.profiling.record import Host

Board = Callable[..., Sources]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """Makes a board of these files; None makes one that cannot be read."""

    def make(files: Mapping[str, str | bytes | None], vcgencmd: str | None = None) -> Sources:
        sources = build(tmp_path, files)
        if vcgencmd is not None:
            tool = tmp_path / "vcgencmd"
            tool.write_text(f"#!/bin/sh\n{vcgencmd}\n")
            tool.chmod(0o755)
        return sources

    return make


def without(*beginnings: str) -> dict[str, str]:
    """The Pi 4 without the files that begin so."""
    return {name: text for name, text in PI_4.items() if not name.startswith(beginnings)}


def test_a_pi_4_is_read_whole(board: Board) -> None:
    before, after = read_conditions(board(PI_4)), read_conditions(board({}))
    assert 0 < before.at_ns < after.at_ns
    assert before == Conditions(
        at_ns=before.at_ns,
        clocks=tuple(
            CpuClock(cpu, "ondemand", 600_000 + 300_000 * cpu, 600_000, 1_500_000) for cpu in range(4)
        ),
        temperatures=(Temperature("cpu-thermal", 48.199),),
        cooling=(Cooling("cpufreq-cpu0", 2),),  # a fan slows nothing down
        throttled=0x50000,
        swap=Swap(102_396, 2_048, 31, 512),
        pressure=(Pressure("cpu", 1_234_567, None), Pressure("memory", 12, 7), Pressure("io", 99, 98)),
        waited_ns=4_030_000,
        cgroup=Cgroup(2, None, 0),
        load_average=(0.52, 0.58, 0.59),
        available_kib=3_500_000,
        uptime_s=3600.53,
    )


@pytest.mark.parametrize(
    ("vcgencmd", "files", "bits"),
    [
        ('[ "$1" = get_throttled ] && echo throttled=0x50005', {FIRMWARE_PI_4: "0"}, 0x50005),
        ("echo throttled=0x0", {FIRMWARE_PI_4: "50000"}, 0),
        (None, {FIRMWARE_PI_4: "50005\n"}, 0x50005),
        (None, {FIRMWARE_PI_5: "80008\n"}, 0x80008),
        ("echo VCHI initialization failed; exit 255", {FIRMWARE_PI_5: "0\n"}, 0),
        ("echo throttled=0x50005; exit 1", {}, None),
        ("echo error=1 error_msg=Command not registered", {}, None),
        ("echo throttled=0x123456789", {}, None),
        ("printf 'throttled=0x\\377\\000'", {}, None),
        ("kill -9 $$", {FIRMWARE_PI_4: "4"}, 4),
        (None, {FIRMWARE_PI_4: "0x50005\n"}, None),
        (None, {FIRMWARE_PI_4: ""}, None),
        (None, {FIRMWARE_PI_4: None}, None),
        (None, {}, None),
    ],
)
def test_throttling(
    board: Board, vcgencmd: str | None, files: dict[str, str | None], bits: int | None
) -> None:
    assert read_conditions(board(files, vcgencmd)).throttled == bits


def test_a_vcgencmd_that_may_not_be_run_is_none(board: Board, tmp_path: Path) -> None:
    sources = board({}, "echo throttled=0x0")
    (tmp_path / "vcgencmd").chmod(0o644)
    assert read_conditions(sources).throttled is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (None, None),
        ("proc/pressure/cpu", None),
        ("proc/pressure/cpu", ""),
        ("proc/pressure/cpu", "full total=5"),
    ],
)
def test_psi_that_is_off_is_unknown(board: Board, file: str | None, content: str | None) -> None:
    files: dict[str, str | None] = dict(without("proc/pressure"))
    if file is not None:
        files[file] = content
    assert read_conditions(board(files)).pressure == ()


def test_a_machine_that_says_nothing(board: Board) -> None:
    sources = board({})
    reading = read_conditions(sources)
    assert reading == Conditions(reading.at_ns, (), (), (), None, None, (), None, None, None, None, None)
    host = read_host(sources)
    assert (host.identity, host.board, host.cpu, host.cpu_features, host.memory_kib, host.system) == (
        None,
    ) * 6
    assert peak_rss_bytes(sources.proc) is rss_bytes(sources.proc) is None


@pytest.mark.parametrize("name", sorted(PI_4))
def test_a_file_that_cannot_be_read_costs_what_it_says_and_no_more(tmp_path: Path, name: str) -> None:
    whole = build(tmp_path / "whole", PI_4)
    lacking = build(tmp_path / "lacking", {**PI_4, name: None})
    for read in (read_conditions, read_host):
        known, left = read(whole).to_json(), read(lacking).to_json()
        lost = [key for key in known if key != "at_ns" and known[key] != left[key]]
        assert len(lost) <= (2 if name == "proc/cpuinfo" else 1)


def test_a_kernel_that_does_not_count_waiting_is_unknown(board: Board) -> None:
    files = {"proc/self/task/1/schedstat": "0 0 0\n", "proc/self/task/2/schedstat": "0 0 0\n"}
    assert read_conditions(board(files)).waited_ns is None
    young = {"proc/self/task/3/schedstat": "0 49344 1\n"}
    assert read_conditions(board(young)).waited_ns == 49_344


def test_the_cores_are_in_the_order_of_their_numbers(board: Board) -> None:
    files = {f"{CPU}/cpu{cpu}/cpufreq/scaling_cur_freq": str(1000 + cpu) for cpu in (10, 2, 0)}
    assert [clock.cpu for clock in read_conditions(board(files)).clocks] == [0, 2, 10]


def test_a_core_whose_clock_is_off_says_what_it_says(board: Board) -> None:
    files = {f"{CPU}/cpu0/cpufreq/scaling_governor": "<unknown>", f"{CPU}/cpu1/topology/core_id": "1"}
    assert read_conditions(board(files)).clocks == (CpuClock(0, "<unknown>", None, None, None),)


def test_sensors_without_a_name_or_a_value(board: Board) -> None:
    files: dict[str, str | None] = {
        f"{THERMAL}/thermal_zone1/temp": "-5000",
        f"{THERMAL}/thermal_zone2/temp": None,
        f"{THERMAL}/thermal_zone2/type": "wifi",
    }
    assert read_conditions(board(files)).temperatures == (Temperature("thermal_zone1", -5.0),)


def test_two_swaps_are_added_and_none_is_known_to_be_none(board: Board) -> None:
    head = "Filename Type Size Used Priority\n"
    two = "/dev/zram0 partition 1000 10 100\n/my\\040swap file 50 5 -2\n"
    assert read_conditions(board({"proc/swaps": head + two})).swap == Swap(1050, 15, None, None)
    assert read_conditions(board({"proc/swaps": head})).swap == Swap(0, 0, None, None)


V1 = "4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"
MOUNT_V1 = "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/a/cpu.stat": "throttled_usec 700\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/b/cpu.stat": "throttled_usec 30\n",
            },
            Cgroup(2, 1.5, 730),
            id="v2-the-outer-group-limits",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "25000 50000\n",
            },
            Cgroup(2, 0.5, None),
            id="v2-the-inner-group-is-tighter",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"},
            Cgroup(2, 2.0, None),
            id="v2-in-a-container-with-a-namespace",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/host/only\n", "sys/fs/cgroup/cpu.stat": "usage_usec 1\n"},
            Cgroup(2, None, None),
            id="v2-whose-own-folder-is-not-mounted",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/README": ""},
            None,
            id="v2-that-is-not-mounted-at-all",
        ),
        pytest.param(
            {
                "proc/self/cgroup": V1,
                f"{MOUNT_V1}/docker/abc/cpu.cfs_quota_us": "50000\n",
                f"{MOUNT_V1}/docker/abc/cpu.cfs_period_us": "100000\n",
                f"{MOUNT_V1}/docker/abc/cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 1234567\n",
                f"{MOUNT_V1}/docker/cpu.cfs_quota_us": "-1\n",
                f"{MOUNT_V1}/docker/cpu.cfs_period_us": "100000\n",
            },
            Cgroup(1, 0.5, 1234),
            id="v1",
        ),
        pytest.param(
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            Cgroup(1, None, None),
            id="v1-mounted-as-cpu",
        ),
        pytest.param(
            {"proc/self/cgroup": V1, f"{MOUNT_V1}/tasks": ""}, None, id="v1-without-a-quota-controller"
        ),
        pytest.param(
            {
                "proc/self/cgroup": "2:cpu:/x\n0::/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/unified/x/cpu.max": "100000 100000\n",
            },
            Cgroup(1, 4.0, None),
            id="hybrid-the-controller-is-where-the-kernel-lists-it",
        ),
        pytest.param(
            {"proc/self/cgroup": "7:memory:/x\n", "sys/fs/cgroup/memory/x/y": ""}, None, id="no-cpu-anywhere"
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 -5\n"},
            Cgroup(2, None, None),
            id="a-negative-period",
        ),
        pytest.param(
            {
                "proc/self/cgroup": f"0::/{'x' * 5000}\n",
                "sys/fs/cgroup/cpu.max": "100000 100000\n",
            },
            Cgroup(2, 1.0, None),
            id="a-name-that-is-too-long-to-look-up",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/../../outside\n",
                "sys/fs/cgroup/cpu.max": "100000 100000\n",
                "sys/outside/cpu.max": "1 100000\n",
            },
            None,
            id="a-group-outside-of-the-namespace",
        ),
    ],
)
def test_control_groups(board: Board, files: dict[str, str], expected: Cgroup | None) -> None:
    assert read_conditions(board(files)).cgroup == expected


MOST = 10**18 - 1


def test_counts_of_a_kernel_gone_mad_stay_within_64_bits(board: Board) -> None:
    depth = "/".join("abcdefghijkl")
    groups = {
        f"sys/fs/cgroup/{depth[:end]}/cpu.stat": f"throttled_usec {MOST}\n"
        for end in range(1, len(depth) + 1, 2)
    }
    files = {
        "proc/swaps": "head\n" + f"/swap file {MOST} {MOST} -2\n" * 20,
        **{f"proc/self/task/{thread}/schedstat": f"{MOST} {MOST} 1\n" for thread in range(20)},
        "proc/self/cgroup": f"0::/{depth}\n",
        **groups,
    }
    reading = read_conditions(board(files))
    assert reading.waited_ns == 2**63 - 1
    assert reading.swap == Swap(2**63 - 1, 2**63 - 1, None, None)
    assert reading.cgroup == Cgroup(2, None, 2**63 - 1)


HOSTILE: list[bytes] = [
    b"",
    b"\0",
    b"\xff\xfe\0\0",
    b"-1",
    b"NaN",
    b"1e400",
    b"9" * 18,
    b"9" * 400,
    b"-" + b"9" * 18,
    "٣".encode(),
    "²".encode(),
    b"\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe".encode(),
    b"a b c d e f g h",
    b"1 2 3 4 5\n" * 2000,
    b"some avg10=0 total=99999999999999999999\n",
    b"MemTotal: -5 kB\nMemAvailable: 99999999999999999 kB\n",
    b"0::/\0/\xff\n1:cpu:\n:::\n",
    b"1:cpu:/" + b"../" * 500 + b"x" * 9000,
    b"max 0\n",
    b"1 0\n",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(
        st.sampled_from(sorted(PI_4)),
        st.sampled_from(HOSTILE) | st.binary(max_size=80),
        min_size=1,
        max_size=12,
    )
)
def test_no_content_of_any_file_raises(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, bytes]
) -> None:
    sources = build(tmp_path_factory.mktemp("board"), PI_4 | changes)
    reading, host = read_conditions(sources), read_host(sources)
    # What was read is what a profile can hold.
    assert Conditions.from_json(strictjson.parse(strictjson.dump(reading.to_json()), "x")) == reading
    assert Host.from_json(strictjson.parse(strictjson.dump(host.to_json()), "x")) == host


def test_huge_files_are_cut_off_and_do_not_raise(tmp_path: Path) -> None:
    sources = build(tmp_path, dict.fromkeys(PI_4, b"7 " * 1_000_000))
    reading = read_conditions(sources)
    assert reading.load_average == (7.0, 7.0, 7.0)
    text = read_text(sources.proc / "loadavg")
    assert text is not None
    assert len(text) < 1 << 20 < 2_000_000
    assert read_host(sources).board == "7 " * 99 + "7"


def test_this_machine() -> None:
    first, second = read_conditions(), read_conditions()
    assert first.at_ns < second.at_ns
    assert first.uptime_s is not None
    assert second.uptime_s is not None
    assert first.uptime_s <= second.uptime_s
    assert first.available_kib is not None
    assert first.available_kib > 0
    memory = read_host().memory_kib
    assert memory is not None
    assert first.available_kib <= memory


def test_the_peak_outlives_what_made_it() -> None:
    """VmHWM of the process itself: it keeps what was freed, and has nothing of the parent."""
    held = np.ones(25 << 20, np.float64)  # 200 MB of this process
    program = (
        "from edgekit.profiling.readings import peak_rss_bytes, rss_bytes\n"
        "import sys\n"
        "start = peak_rss_bytes()\n"
        "block = bytearray(b'x') * (80 << 20)\n"
        "del block\n"
        "print(start, peak_rss_bytes(), rss_bytes())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    start, peak, now = map(int, done.stdout.split())
    assert start < held.nbytes
    assert peak >= start + (70 << 20)
    assert now <= peak - (70 << 20)
