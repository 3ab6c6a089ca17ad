"""Under which conditions a measurement was taken: `Conditions`, what the kernel says of the machine.

None stands for unknown: the kernel, the container or the board does not say. Counters count from boot, so that
only the difference of two readings speaks of what was between them.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.record import Record, require


@dataclass(frozen=True, slots=True)
class CpuClock(Record):
    """The clock of one core (/sys/devices/system/cpu/cpuN/cpufreq).

    Attributes:
        cpu: Its number.
        governor: Who decides on the clock, such as "ondemand" or "performance".
        current_khz: The clock now.
        least_khz: The lowest that the governor may choose.
        most_khz: The highest that the governor may choose.
    """

    cpu: int
    governor: str | None
    current_khz: int | None
    least_khz: int | None
    most_khz: int | None


@dataclass(frozen=True, slots=True)
class Temperature(Record):
    """One sensor (/sys/class/thermal/thermal_zoneN).

    Attributes:
        zone: What it measures, such as "cpu-thermal".
        celsius: Degrees.
    """

    zone: str
    celsius: float


@dataclass(frozen=True, slots=True)
class Cooling(Record):
    """A brake on the processor that the kernel can apply against heat (/sys/class/thermal/cooling_deviceN).

    Attributes:
        kind: Such as "cpufreq-cpu0".
        state: How far it is applied; 0 is not at all.
    """

    kind: str
    state: int


@dataclass(frozen=True, slots=True)
class Swap(Record):
    """Swap space and its use (/proc/swaps, /proc/vmstat).

    Attributes:
        total_kib: Its size; 0 where there is none.
        used_kib: How much of it is in use.
        pages_in: Pages read back since boot; None where the kernel does not count them.
        pages_out: Pages written out since boot.
    """

    total_kib: int
    used_kib: int
    pages_in: int | None
    pages_out: int | None


@dataclass(frozen=True, slots=True)
class Pressure(Record):
    """Time that tasks waited for a resource since boot (/proc/pressure; Documentation/accounting/psi.rst).

    Attributes:
        resource: "cpu", "memory" or "io".
        some_us: Microseconds during which at least one task waited.
        full_us: Microseconds during which all did; None where the kernel does not say.
    """

    resource: str
    some_us: int
    full_us: int | None


@dataclass(frozen=True, slots=True)
class Cgroup(Record):
    """The CPU quota of the control group that the process is in, the tightest one up to the root.

    Attributes:
        version: Of the cgroup interface: 1 or 2.
        quota_cpus: CPUs' worth of time that the group may use; None where nothing limits it.
        throttled_us: Microseconds that its tasks were held back since the group was made; None if unknown.
    """

    version: int
    quota_cpus: float | None
    throttled_us: int | None

    def _check(self) -> None:
        require(self.version in (1, 2), "version", f"must be 1 or 2, and is {self.version}")


@dataclass(frozen=True, slots=True)
class Conditions(Record):
    """One reading. An empty tuple means that the kernel names none.

    Attributes:
        at_ns: When, by the monotonic clock, in nanoseconds; only differences mean something.
        clocks: The clock of every core.
        temperatures: What every sensor says.
        cooling: The brakes on the processor; fans are none.
        throttled: The Raspberry Pi firmware's bits: 0-3 now, 16-19 since boot; None where nobody says.
        swap: Swap space.
        pressure: Who waited for what.
        waited_ns: How long the threads of this process were ready to run and waited for a core, in nanoseconds.
        cgroup: The CPU quota.
        load_average: Runnable tasks over 1, 5 and 15 minutes.
        available_kib: Memory that can be had without swapping.
        uptime_s: Seconds since boot.
    """

    at_ns: int
    clocks: tuple[CpuClock, ...]
    temperatures: tuple[Temperature, ...]
    cooling: tuple[Cooling, ...]
    throttled: int | None
    swap: Swap | None
    pressure: tuple[Pressure, ...]
    waited_ns: int | None
    cgroup: Cgroup | None
    load_average: tuple[float, float, float] | None
    available_kib: int | None
    uptime_s: float | None
