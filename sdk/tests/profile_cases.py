"""Readings and profiles for the tests of `edgekit.profiling`: sound ones, of which a test changes what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from edgekit.profiling.conditions import Cgroup, Conditions, Cooling, CpuClock, Pressure, Swap, Temperature
from edgekit.profiling.latency import Latency
from edgekit.profiling.record import (
    BatchPoint,
    BundleFacts,
    Host,
    Memory,
    OpsProfile,
    OpTime,
    Profile,
    Stages,
    ThreadsPoint,
)

SECOND_NS = 1_000_000_000

QUIET = Conditions(
    at_ns=5 * SECOND_NS,
    clocks=tuple(CpuClock(cpu, "ondemand", 1_500_000, 600_000, 1_500_000) for cpu in range(4)),
    temperatures=(Temperature("cpu-thermal", 48.2),),
    cooling=(Cooling("cpufreq-cpu0", 0),),
    throttled=0,
    swap=Swap(102_396, 1_024, 40, 70),
    pressure=(Pressure("cpu", 900, 0), Pressure("memory", 10, 10), Pressure("io", 5_000, 4_000)),
    waited_ns=1_000,
    cgroup=Cgroup(2, None, 0),
    load_average=(0.12, 0.2, 0.25),
    available_kib=3_500_000,
    uptime_s=3_600.5,
)
"""What a quiet Raspberry Pi 4 says of itself."""

LATER = replace(QUIET, at_ns=QUIET.at_ns + 10 * SECOND_NS)
"""The same ten seconds later, when nothing has happened."""

UNKNOWN = Conditions(QUIET.at_ns, (), (), (), None, None, (), None, None, None, None, None)
"""A machine that says nothing."""

PI = Host(
    identity="00112233445566aa",
    board="Raspberry Pi 4 Model B Rev 1.4",
    cpu="Cortex-A72",
    cpu_features="asimd",
    cores=4,
    memory_kib=3_884_000,
    machine="aarch64",
    system="Debian GNU/Linux 12 (bookworm)",
    kernel="Linux 6.6.31",
    python="3.11.2",
    numpy="1.26.4",
    edgekit="0.1.0",
)


def steady_of(samples_ns: Sequence[int]) -> dict[str, Any]:
    """The fields of a profile that follow from its latencies."""
    latency = Latency.of(samples_ns)
    zeros = (0,) * len(samples_ns)
    stages = Stages(
        100_000, latency.p50_ns - 300_000, 200_000, tuple(range(latency.runs)), zeros, zeros, zeros
    )
    return {"steady": latency, "stages": stages, "throughput_per_s": SECOND_NS / max(latency.mean_ns, 1)}


def profile_of(samples_ns: Sequence[int] = (24_000_000,) * 40, **changes: Any) -> Profile:
    """A profile with these latencies, taken on a quiet board."""
    fields: dict[str, Any] = {
        "created": "2026-11-24T05:00:00Z",
        "bundle": BundleFacts("cats", "1.4.0", "0f" * 32, "model.tflite"),
        "host": PI,
        "device": "cpu",
        "runtime": "ai-edge-litert 2.3.0",
        "threads": 4,
        "kernels": "xnnpack",
        "fallback": None,
        "inputs": "4 golden inputs of the bundle",
        "warmup": 20,
        "load_ns": 12_345_678,
        "first_ns": 31_000_000,
        "memory": Memory(61_000_000, 31_000_000, "own process", 3_900_000, 1_500_000),
        "threads_sweep": (),
        "batch_sweep": (),
        "conditions_before": QUIET,
        "conditions_after": LATER,
        "verdict": (),
        "ops": None,
        **steady_of(samples_ns),
    }
    return Profile(**(fields | changes))


def op_times(count: int, **changes: Any) -> OpsProfile:
    """Operators that take 1, 2, ... microseconds."""
    total = count * (count + 1) * 500
    ops = tuple(
        OpTime(
            index,
            "CONV_2D",
            f"block_{index}/conv",
            f"block_{index}",
            1_000.0 * (index + 1),
            (index + 1) * 1_000 / total,
            5_000_000,
            0.5,
            "XNNPACK",
        )
        for index in range(count)
    )
    fields: dict[str, Any] = {
        "method": "prefix",
        "whole_ns": float(total),
        "sum_ns": float(total),
        "ratio": 1.0,
        "ops": ops,
        "note": "",
    }
    return OpsProfile(**(fields | changes))


def full_profile() -> Profile:
    """A profile with every part that there can be."""
    latency = Latency.of([24_000_000] * 40)
    return profile_of(
        threads_sweep=(
            ThreadsPoint(4, 12_345_678, 31_000_000, latency, 41.5, 61_000_000, ()),
            ThreadsPoint(1, 12_000_000, 80_000_000, latency, 12.5, None, ("swapping: 3 pages in",)),
        ),
        batch_sweep=(BatchPoint(8, latency, 333.0, 70_000_000, ()),),
        ops=op_times(3),
        fallback="no Edge TPU is plugged in",
        verdict=("swapping: 3 pages in",),
    )
