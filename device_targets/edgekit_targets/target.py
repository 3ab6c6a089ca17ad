"""What edgekit knows of a device: every number with where it comes from.

`edgekit_targets.catalog` reads these from `devices/*.toml`; its docstring is the schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T", covariant=True)


class Kind(StrEnum):
    """What runs a model on the device."""

    CPU = "cpu"  # its processor
    EDGETPU = "edgetpu"  # a Coral Edge TPU beside any processor


class RuntimeStatus(StrEnum):
    """How far it is known that a runtime works on the device."""

    MEASURED = "measured"  # edgekit's developers ran it; the note says where
    REPORTED = "reported"  # others write that it works
    UNVERIFIED = "unverified"  # it installs; whether it works is not known


@dataclass(frozen=True, slots=True)
class Source:
    """Where a number was found.

    Attributes:
        title: What it is: a data sheet, a page, a measurement.
        date: When it was read or measured.
        url: Where others find it, or None.
    """

    title: str
    date: date
    url: str | None


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """A value and where it comes from.

    Attributes:
        value: The value, in the unit that the field's name says.
        source: Where it was found.
        note: What else must be known of it, or None.
    """

    value: T
    source: Source
    note: str | None


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor.

    Attributes:
        model: Such as "Cortex-A72".
        architecture: As `uname -m` has it on the device's usual system, such as "aarch64".
        cores: How many.
        clock_mhz: Highest clock, in MHz.
        features: As Linux lists them in /proc/cpuinfo; "asimddp" is the int8 dot product.
        l1d_kib: Level 1 data cache of a core, in KiB.
        l2_kib: Level 2 cache, in KiB.
    """

    model: Fact[str]
    architecture: Fact[str]
    cores: Fact[int]
    clock_mhz: Fact[float]
    features: Fact[tuple[str, ...]]
    l1d_kib: Fact[int]
    l2_kib: Fact[int]

    @property
    def has_dot_product(self) -> bool:
        """Whether the processor multiplies and adds four int8 pairs in one instruction (ARMv8.2 SDOT)."""
        return "asimddp" in self.features.value


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A chip beside the processor that runs part of a model.

    Attributes:
        model: Such as "Edge TPU".
        bus: How it is attached.
        sram_kib: Memory on the chip for parameters and activations, in KiB.
        peak_tops: Operations a second it is sold with, in 10^12.
        compiler: Versions of its compiler and the least runtime of each, such as "16.0 needs runtime 14".
    """

    model: Fact[str]
    bus: Fact[str]
    sram_kib: Fact[int]
    peak_tops: Fact[float]
    compiler: Fact[str]


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory.

    Attributes:
        sizes_mib: The sizes that the board is sold with, in MiB, ascending.
        model_limit_mib: What a model and its tensors may take on the smallest of them, in MiB.
    """

    sizes_mib: Fact[tuple[int, ...]]
    model_limit_mib: Fact[int]


@dataclass(frozen=True, slots=True)
class Runtime:
    """A TFLite runtime package for the device.

    Attributes:
        package: As pip names it.
        version: The version that the statement is about.
        pythons: Versions of Python with a wheel, such as "3.11".
        status: How far it is known that it works.
        source: Where that was found.
        note: What else must be known of it, or None.
    """

    package: str
    version: str
    pythons: tuple[str, ...]
    status: RuntimeStatus
    source: Source
    note: str | None


@dataclass(frozen=True, slots=True)
class Latency:
    """A published time of one int8 inference, to check estimates against.

    Attributes:
        model: Such as "MobileNetV2 224x224".
        ms: Milliseconds.
        threads: How many, None where the source does not say.
        source: Who measured it.
        note: Conditions, or None.
    """

    model: str
    ms: float
    threads: int | None
    source: Source
    note: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """A device that models are converted for.

    Attributes:
        name: The catalogue's name, such as "raspberry-pi-4".
        title: The maker's name of it.
        aliases: Other names it goes by.
        kind: What runs the model.
        rules: Name of the set of operator rules that holds on it.
        recipe: Name of the default quantization recipe.
        cpu: The processor; None for an accelerator that goes into any host.
        accelerator: The chip beside it, or None.
        memory: Main memory; None for an accelerator that goes into any host.
        runtimes: Those known for it, the recommended one first.
        latencies: Published times.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    kind: Kind
    rules: str
    recipe: str
    cpu: Cpu | None
    accelerator: Accelerator | None
    memory: Memory | None
    runtimes: tuple[Runtime, ...]
    latencies: tuple[Latency, ...]
