"""What edgekit knows of a device: every number with where it comes from.

`edgekit_targets.device_file` reads these from `devices/*.toml`; its docstring is the schema.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T", covariant=True)


class Kind(StrEnum):
    """What runs a model on the device."""

    CPU = "cpu"  # its processor, under Linux
    EDGETPU = "edgetpu"  # a Coral Edge TPU beside a processor
    ETHOS_U = "ethos-u"  # an Arm Ethos-U NPU beside a microcontroller
    MICROCONTROLLER = "microcontroller"  # a microcontroller without an accelerator


class RuleSetName(StrEnum):
    """Which operator rules hold on a device; `edgekit_targets.rules` has them."""

    LITERT_CPU = "litert-cpu"
    EDGETPU = "edgetpu"
    ETHOS_U = "ethos-u"
    TFLITE_MICRO = "tflite-micro"


class RecipeName(StrEnum):
    """The default quantization recipe of a device."""

    INT8 = "int8"  # strictly int8, inputs and outputs too


class InstallRoute(StrEnum):
    """How a runtime gets onto a device; `edgekit_targets.install` writes the lines."""

    PIP = "pip"  # a wheel into a virtual environment
    PIP_DEBIAN = (
        "pip-debian"  # the same, where numpy and cryptography have wheels in Debian only (32-bit Arm)
    )
    CORAL_USB = "coral-usb"  # libedgetpu from a Debian package, then a wheel
    CORAL_PCIE = "coral-pcie"  # a kernel driver too
    MENDEL = "mendel"  # what Google's system for the Coral boards brings
    CORALMICRO = "coralmicro"  # the firmware kit of the Dev Board Micro
    FIRMWARE = "firmware"  # TensorFlow Lite Micro, linked into the user's own firmware
    MANUAL = "manual"  # edgekit has no lines for it; the note and the source say how


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
    """The processor. A generic device states only what holds for every device of its sort; the rest is None.

    Attributes:
        model: Such as "Cortex-A72".
        architecture: As `uname -m` has it on the device's usual system, such as "aarch64"; for a
            microcontroller the instruction set, such as "armv7e-m".
        cores: How many.
        clock_mhz: Highest clock, in MHz.
        features: As Linux lists them in /proc/cpuinfo; "asimddp" is the int8 dot product. For a
            microcontroller "dsp", "fp" and "mve" (Helium), as compilers call its extensions.
        l1d_kib: Level 1 data cache of a core, in KiB.
        l2_kib: Level 2 cache, in KiB; the note says whether it is a core's own.
        l3_kib: Level 3 cache, in KiB.
    """

    model: Fact[str] | None
    architecture: Fact[str]
    cores: Fact[int] | None
    clock_mhz: Fact[float] | None
    features: Fact[tuple[str, ...]] | None
    l1d_kib: Fact[int] | None
    l2_kib: Fact[int] | None
    l3_kib: Fact[int] | None

    @property
    def has_dot_product(self) -> bool:
        """Whether it is known to multiply and add four int8 pairs in one instruction (ARMv8.2 SDOT)."""
        return self.features is not None and "asimddp" in self.features.value


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A chip, or a part of one, beside the processor that runs part of a model.

    Attributes:
        model: Such as "Edge TPU".
        bus: How it is attached.
        sram_kib: Memory of its own for parameters and activations, in KiB; None where it has none.
        macs_per_cycle: int8 multiplications and additions in one clock cycle.
        clock_mhz: Its clock, in MHz.
        peak_tops: Operations a second it is sold with, in 10^12.
        compiler: Which compiler it needs, and the least runtime, such as "16.0 needs runtime 14".
        compiler_options: Command line options that name this device to its compiler.
    """

    model: Fact[str]
    bus: Fact[str] | None
    sram_kib: Fact[int] | None
    macs_per_cycle: Fact[int] | None
    clock_mhz: Fact[float] | None
    peak_tops: Fact[float] | None
    compiler: Fact[str]
    compiler_options: Fact[tuple[str, ...]] | None


@dataclass(frozen=True, slots=True)
class Memory:
    """What there is for a model and its tensors: main memory of a Linux device, RAM and flash of a microcontroller.

    Attributes:
        sizes_mib: The sizes of main memory that the board is sold with, in MiB, ascending.
        model_limit_mib: What a model and its tensors may take on the smallest of them, in MiB.
        ram_kib: RAM of a microcontroller's board that can hold tensors, in KiB.
        flash_kib: Its memory for program and model, in KiB.
        arena_limit_kib: What TensorFlow Lite Micro's tensor arena may take of the RAM, in KiB.
    """

    sizes_mib: Fact[tuple[int, ...]] | None
    model_limit_mib: Fact[int] | None
    ram_kib: Fact[int] | None
    flash_kib: Fact[int] | None
    arena_limit_kib: Fact[int] | None


@dataclass(frozen=True, slots=True)
class System:
    """An operating system that the device runs, or that its host runs.

    Attributes:
        key: Its name within the device file, such as "bookworm".
        name: Such as "Raspberry Pi OS Bookworm, 64-bit".
        architecture: As `uname -m` has it there, such as "aarch64".
        python: Its own Python, such as "3.11"; None for a system without one.
        source: Where that was found.
        note: What else must be known of it, or None.
    """

    key: str
    name: str
    architecture: str
    python: str | None
    source: Source
    note: str | None


@dataclass(frozen=True, slots=True)
class Runtime:
    """A TFLite runtime for the device.

    Attributes:
        package: As pip names it, or the name of the library for a microcontroller.
        version: The version that the statement is about; None where no release is meant.
        pythons: Versions of Python with a wheel, such as "3.11"; empty for a library that is not Python.
        systems: Keys of the systems that the statement is about; empty for a microcontroller.
        status: How far it is known that it works.
        source: Where that was found.
        install: How it gets onto the device.
        note: What else must be known of it, or None.
    """

    package: str
    version: str | None
    pythons: tuple[str, ...]
    systems: tuple[str, ...]
    status: RuntimeStatus
    source: Source
    install: InstallRoute
    note: str | None


@dataclass(frozen=True, slots=True)
class Latency:
    """A published time of one int8 inference, to check estimates against.

    Attributes:
        model: Such as "MobileNetV2 1.0 224x224".
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
        rules: The set of operator rules that holds on it.
        recipe: The default quantization recipe.
        cpu: The processor; None for an accelerator that goes into any host.
        accelerator: The chip beside it, or None.
        memory: Its memory; None for a generic device, and for an accelerator that goes into any host.
        systems: Operating systems of the device or its host, the recommended one first.
        runtimes: Those known for it, the recommended one first.
        latencies: Published times.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    kind: Kind
    rules: RuleSetName
    recipe: RecipeName
    cpu: Cpu | None
    accelerator: Accelerator | None
    memory: Memory | None
    systems: tuple[System, ...]
    runtimes: tuple[Runtime, ...]
    latencies: tuple[Latency, ...]

    def to_json(self) -> dict[str, object]:
        """Returns all of it as JSON types, dates in ISO 8601; what is not known is None."""
        plain = _plain(self)
        assert isinstance(plain, dict)
        return plain


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    return value.value if isinstance(value, StrEnum) else value
