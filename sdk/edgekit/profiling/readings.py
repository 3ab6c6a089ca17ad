"""Reads `Conditions` from procfs, sysfs and the Raspberry Pi's firmware. Never raises: what cannot be read is None.

Formats: Documentation/ of the Linux kernel: accounting/psi.rst, admin-guide/cgroup-v2.rst, scheduler/sched-bwc.rst,
scheduler/sched-stats.rst, admin-guide/pm/cpufreq.rst, driver-api/thermal/sysfs-api.rst.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns

from edgekit.profiling.conditions import Cgroup, Conditions, Cooling, CpuClock, Pressure, Swap, Temperature

RESOURCES = ("cpu", "memory", "io")
_MOST_BYTES = 1 << 20
_MOST = 2**63 - 1
_VCGENCMD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to read; a test gives the folders of a fake board.

    Attributes:
        proc: Where procfs is mounted.
        sys: Where sysfs is mounted.
        etc: Where the configuration of the system is.
        vcgencmd: The Raspberry Pi's tool that asks the firmware; searched for on PATH.
    """

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    etc: Path = Path("/etc")
    vcgencmd: str = "vcgencmd"


HERE = Sources()


def read_conditions(sources: Sources = HERE) -> Conditions:
    """What the machine says of itself now: first what changes fastest, and last what takes longest, the firmware."""
    proc, sys = sources.proc, sources.sys
    return Conditions(
        at_ns=monotonic_ns(),
        waited_ns=_waited(proc),
        pressure=_pressure(proc),
        clocks=_clocks(sys),
        cgroup=_cgroup(proc, sys),
        swap=_swap(proc),
        temperatures=_temperatures(sys),
        cooling=_cooling(sys),
        load_average=_load_average(proc),
        available_kib=_field_kib(read_text(proc / "meminfo"), "MemAvailable"),
        uptime_s=_number(_word(read_text(proc / "uptime"), 0)),
        throttled=_throttled(sources),
    )


def read_text(path: Path) -> str | None:
    """A file of the kernel as text, None where it cannot be read (PSI that is off gives EOPNOTSUPP)."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace").strip("\0\n ")
    except OSError:
        return None


def peak_rss_bytes(proc: Path = HERE.proc) -> int | None:
    """The most memory that this process ever held (VmHWM), in bytes."""
    kib = _field_kib(read_text(proc / "self" / "status"), "VmHWM")
    return None if kib is None else kib * 1024


def rss_bytes(proc: Path = HERE.proc) -> int | None:
    """What this process holds of the memory now (VmRSS), in bytes."""
    kib = _field_kib(read_text(proc / "self" / "status"), "VmRSS")
    return None if kib is None else kib * 1024


def memory_kib(proc: Path = HERE.proc) -> int | None:
    """The machine's memory in KiB."""
    return _field_kib(read_text(proc / "meminfo"), "MemTotal")


def _clocks(sys: Path) -> tuple[CpuClock, ...]:
    clocks = []
    for cpu, folder in _numbered(sys / "devices/system/cpu", "cpu"):
        cpufreq = folder / "cpufreq"
        clock = CpuClock(
            cpu,
            _clean(read_text(cpufreq / "scaling_governor")),
            _integer(read_text(cpufreq / "scaling_cur_freq")),
            _integer(read_text(cpufreq / "scaling_min_freq")),
            _integer(read_text(cpufreq / "scaling_max_freq")),
        )
        if (clock.governor, clock.current_khz, clock.least_khz, clock.most_khz) != (None,) * 4:
            clocks.append(clock)
    return tuple(clocks)


def _temperatures(sys: Path) -> tuple[Temperature, ...]:
    found = []
    for number, folder in _numbered(sys / "class/thermal", "thermal_zone"):
        millidegrees = _integer(read_text(folder / "temp"))
        if millidegrees is not None:
            zone = _clean(read_text(folder / "type")) or f"thermal_zone{number}"
            found.append(Temperature(zone, millidegrees / 1000))
    return tuple(found)


def _cooling(sys: Path) -> tuple[Cooling, ...]:
    """Only what slows the processor down: cpufreq devices, and ACPI's "Processor"."""
    found = []
    for _, folder in _numbered(sys / "class/thermal", "cooling_device"):
        kind = _clean(read_text(folder / "type"))
        state = _integer(read_text(folder / "cur_state"))
        if kind is not None and state is not None and ("cpufreq" in kind or kind == "Processor"):
            found.append(Cooling(kind, state))
    return tuple(found)


def _throttled(sources: Sources) -> int | None:
    """The firmware's bits: from vcgencmd, or what the kernel last heard.

    The file is hexadecimal without a prefix (raspberrypi/linux, drivers/firmware/raspberrypi.c). Since Linux 4.19
    it shows the answer to the last question that the kernel asked, so that the tool is fresher; on a Pi 5 the
    folders have other names (soc@107c000000).
    """
    said = _ask_firmware(sources.vcgencmd)
    match = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})", said or "")
    if match is not None:
        return int(match[1], 16)
    for path in sorted((sources.sys / "devices/platform").glob("soc*/*firmware/get_throttled")):
        text = read_text(path) or ""
        if re.fullmatch(r"[0-9a-fA-F]{1,8}", text):
            return int(text, 16)
    return None


def _ask_firmware(vcgencmd: str) -> str | None:
    try:
        done = subprocess.run(
            [vcgencmd, "get_throttled"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VCGENCMD_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("ascii", "replace").strip() if done.returncode == 0 else None


def _swap(proc: Path) -> Swap | None:
    text = read_text(proc / "swaps")
    if text is None:
        return None
    rows = [line.split() for line in text.splitlines()[1:]]
    sizes = [(_integer(row[-3]), _integer(row[-2])) for row in rows if len(row) >= 5]
    counters = _pairs(read_text(proc / "vmstat"))
    return Swap(
        _sum(total or 0 for total, _ in sizes),
        _sum(used or 0 for _, used in sizes),
        _integer(counters.get("pswpin")),
        _integer(counters.get("pswpout")),
    )


def _pressure(proc: Path) -> tuple[Pressure, ...]:
    found = []
    for resource in RESOURCES:
        totals = dict(re.findall(r"^(some|full) .*\btotal=(\d{1,18})$", _pressure_text(proc, resource), re.M))
        if "some" in totals:
            found.append(Pressure(resource, int(totals["some"]), _integer(totals.get("full"))))
    return tuple(found)


def _pressure_text(proc: Path, resource: str) -> str:
    return read_text(proc / "pressure" / resource) or ""


def _waited(proc: Path) -> int | None:
    """The second number of every thread's schedstat: time spent waiting on a run queue, in nanoseconds.

    A kernel that does not count writes "0 0 0" (fs/proc/base.c), which is not true of the thread that reads it.
    """
    try:
        folders = list((proc / "self" / "task").iterdir())
    except OSError:
        return None
    lines = [read_text(folder / "schedstat") for folder in folders]
    waits = [_integer(_word(line, 1)) for line in lines if line != "0 0 0"]
    known = [wait for wait in waits if wait is not None]  # a thread may end meanwhile
    return _sum(known) if known else None


def _cgroup(proc: Path, sys: Path) -> Cgroup | None:
    """The CPU controller of the process: in a hybrid system it is where the kernel lists it, under version 1."""
    text = read_text(proc / "self" / "cgroup")
    if text is None:
        return None
    entries = [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]
    for _, controllers, path in entries:
        if "cpu" in controllers.split(","):
            return _cgroup_v1(sys / "fs/cgroup", controllers, path)
    for number, controllers, path in entries:
        if number == "0" and controllers == "":
            return _cgroup_v2(sys / "fs/cgroup", path)
    return None


def _cgroup_v1(root: Path, controllers: str, path: str) -> Cgroup | None:
    for mount in (root / controllers, root / "cpu"):
        files = [
            (read_text(folder / "cpu.cfs_quota_us"), read_text(folder / "cpu.cfs_period_us"), _stat(folder))
            for folder in _upwards(mount, path)
        ]
        quotas = [_quota(quota, period) for quota, period, _ in files]
        held = [_integer(_pairs(stat).get("throttled_time")) for *_, stat in files]
        if any(quota is not None or stat is not None for quota, _, stat in files):
            return _tightest(1, quotas, [None if ns is None else ns // 1000 for ns in held])
    return None


def _cgroup_v2(root: Path, path: str) -> Cgroup | None:
    files = [(read_text(folder / "cpu.max"), _stat(folder)) for folder in _upwards(root, path)]
    if all(limit is None and stat is None for limit, stat in files):
        return None  # not mounted here, so that a limit would not be seen
    quotas = [_quota(_word(limit, 0), _word(limit, 1)) for limit, _ in files]
    return _tightest(2, quotas, [_integer(_pairs(stat).get("throttled_usec")) for _, stat in files])


def _stat(folder: Path) -> str | None:
    return read_text(folder / "cpu.stat")


def _tightest(version: int, quotas: Iterable[float | None], held_us: Iterable[int | None]) -> Cgroup:
    limits = [quota for quota in quotas if quota is not None]
    known = [microseconds for microseconds in held_us if microseconds is not None]
    return Cgroup(version, min(limits, default=None), _sum(known) if known else None)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and those above it, as far as they are mounted here: a container may not see its own.

    A path that climbs (cgroup_namespaces(7)) is of a group outside of what this namespace can see.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        return
    for count in range(len(parts), -1, -1):
        folder = mount.joinpath(*parts[:count])
        if os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises where it may not look
            yield folder


def _quota(quota: str | None, period: str | None) -> float | None:
    """CPUs' worth of time; "max" and -1 mean that there is no limit."""
    microseconds, every = _integer(quota), _integer(period)
    if microseconds is None or every is None or microseconds <= 0 or every <= 0:
        return None
    return microseconds / every


def _load_average(proc: Path) -> tuple[float, float, float] | None:
    text = read_text(proc / "loadavg")
    one, five, fifteen = (_number(_word(text, place)) for place in range(3))
    return None if one is None or five is None or fifteen is None else (one, five, fifteen)


def _numbered(folder: Path, stem: str) -> list[tuple[int, Path]]:
    """The entries ``stem0``, ``stem1``, ... in the order of their numbers."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    numbers = [int(name[len(stem) :]) for name in names if re.fullmatch(rf"{stem}\d{{1,6}}", name)]
    return [(number, folder / f"{stem}{number}") for number in sorted(numbers)]


def _pairs(text: str | None) -> Mapping[str, str]:
    """Lines of a name and a number."""
    return dict(words for line in (text or "").splitlines() if len(words := line.split()) == 2)


def _field_kib(text: str | None, name: str) -> int | None:
    match = re.search(rf"^{name}:\s+(\d{{1,15}}) kB$", text or "", re.M)
    return int(match[1]) if match else None


def _word(text: str | None, place: int) -> str | None:
    words = (text or "").split()
    return words[place] if place < len(words) else None


def _sum(counts: Iterable[int]) -> int:
    """The sum, as far as a record can hold it: a kernel gone mad may count beyond 64 bits."""
    return max(-_MOST, min(sum(counts), _MOST))


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,18}", text) else None


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"\d{1,15}(\.\d{1,9})?", text) else None


def _clean(text: str | None) -> str | None:
    """A short name without control characters, None where nothing is left of it."""
    return "".join(c for c in text if c.isprintable())[:200].strip() or None if text is not None else None
