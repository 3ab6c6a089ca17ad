"""Which boards a target stands for: the processor that QEMU imitates, and what the board's kernel says of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.backends import Kernels
from edgekit.errors import CertifyError
from edgekit_converters.certify.recipes import LITERT, TFLITE
from edgekit_targets.target import Kind, System, Target

X86 = "x86-64"
"""The name of the board that every other one is compared with: the processor of the workstation."""


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor as QEMU and the Linux kernel name it.

    Attributes:
        qemu: QEMU's name of the model, such as "cortex-a72".
        part: What /proc/cpuinfo says as "CPU part", such as "0xd08".
    """

    qemu: str
    part: str


PROCESSORS: Mapping[str, Processor] = {
    "ARM1176": Processor("arm1176", "0xb76"),
    "Cortex-A7": Processor("cortex-a7", "0xc07"),
    "Cortex-A15": Processor("cortex-a15", "0xc0f"),
    "Cortex-A35": Processor("cortex-a35", "0xd04"),
    "Cortex-A53": Processor("cortex-a53", "0xd03"),
    "Cortex-A55": Processor("cortex-a55", "0xd05"),
    "Cortex-A57": Processor("cortex-a57", "0xd07"),
    "Cortex-A72": Processor("cortex-a72", "0xd08"),
    "Cortex-A76": Processor("cortex-a76", "0xd0b"),
}
"""By the name that device files use. The parts are those of the MIDR_EL1 registers in Arm's manuals, as Linux prints
them; the models are those of QEMU 7.2."""

LEAST = {"aarch64": "Cortex-A53", "armv7l": "Cortex-A7"}
"""What stands for a processor that a device file does not name: the least that a Raspberry Pi with that system has."""

MACHINES = {"aarch64": "arm64", "armv7l": "armhf", "armv6l": "armhf", "x86_64": "amd64"}
"""Debian's name for what ``uname -m`` says."""

FEATURES_64 = ("fp", "asimd", "evtstrm", "crc32", "cpuid")
FEATURES_32 = (
    *("half", "thumb", "fastmult", "vfp", "edsp", "neon", "vfpv3", "tls", "vfpv4", "idiva", "idivt"),
    *("vfpd32", "lpae", "evtstrm"),
)
DEFAULT_CORES = 4

KERNELS: Mapping[str, tuple[Kernels, ...]] = {
    LITERT: ("xnnpack", "builtin", "reference"),
    TFLITE: ("builtin",),
}
"""What is run of each runtime; tflite-runtime has no int8 XNNPACK."""

RUNTIMES = {"amd64": (LITERT, TFLITE), "arm64": (LITERT,), "armhf": (TFLITE,)}
"""What is run on each architecture. LiteRT has no wheel for 32-bit Arm in any version."""


@dataclass(frozen=True, slots=True)
class Board:
    """A board as it is emulated.

    Attributes:
        name: "x86-64", or the target's, with "/SYSTEM" where that is not its first one.
        title: For people.
        debian: Debian's name of the architecture.
        suite: Debian's release, whose Python and C library its system shares.
        processor: None for the processor at hand.
        features: As /proc/cpuinfo lists them.
        cores: How many the fake /proc and /sys show.
    """

    name: str
    title: str
    debian: str
    suite: str
    processor: Processor | None
    features: tuple[str, ...] = ()
    cores: int = DEFAULT_CORES

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes that are run there."""
        return RUNTIMES[self.debian]

    @property
    def cpu(self) -> str:
        """The processor in one word."""
        return self.processor.qemu if self.processor is not None else "native"


HOST = Board(X86, "this workstation's kind of processor", "amd64", "bookworm", None)

SUITES = {"3.11": "bookworm", "3.13": "trixie"}
"""Debian's release by its Python, which is how device files tell the systems apart."""


def boards_of(target: Target, system: str | None = None) -> tuple[Board, ...]:
    """The boards that certifying for a target means, the workstation's kind not among them.

    Args:
        target: From the catalogue, or the user's own.
        system: The key of one of its systems; None for the first.

    Returns:
        None for a computer with an x86-64 processor, else one.

    Raises:
        CertifyError: It is no Linux board of a kind that can be emulated; the hint says what to do instead.
    """
    if target.kind in (Kind.MICROCONTROLLER, Kind.ETHOS_U):
        raise CertifyError(
            f"{target.name} runs no Linux, so there is no system of it to emulate",
            hint="certify a microcontroller by its own name alone, or name the Linux boards: --target raspberry-pi-4",
        )
    found = _system(target, system)
    cpu = target.cpu
    if cpu is None or not target.systems or found is None:
        raise CertifyError(
            f"{target.name} goes into any computer, so its name says no processor to emulate",
            hint="name the board that it goes into, such as --target raspberry-pi-4",
        )
    machine = found.architecture
    if machine == "x86_64":
        return ()
    if machine not in MACHINES:
        raise CertifyError(
            f"{target.name} has the architecture {machine}, which edgekit cannot emulate",
            hint=f"it can emulate {', '.join(MACHINES)}",
        )
    is_first = found is target.systems[0]
    return (
        Board(
            name=target.name if is_first else f"{target.name}/{found.key}",
            title=f"{target.title}, {found.name}",
            debian=MACHINES[machine],
            suite=_suite(target, found),
            processor=_processor(target, machine),
            features=_features(target, machine),
            cores=cpu.cores.value if cpu.cores else DEFAULT_CORES,
        ),
    )


def systems_of(target: Target) -> str:
    """The words that choose a system of a target, for a hint."""
    return ", ".join(f"{target.name}/{system.key}" for system in target.systems)


def _system(target: Target, key: str | None) -> System | None:
    if key is None:
        return target.systems[0] if target.systems else None
    for system in target.systems:
        if system.key == key:
            return system
    raise CertifyError(
        f"{target.name} has no system '{key}'",
        hint=f"write {systems_of(target)}" if target.systems else f"write {target.name} alone",
    )


def _suite(target: Target, system: System) -> str:
    suite = SUITES.get(system.python or "")
    if suite is None:
        raise CertifyError(
            f"{target.name}: the system '{system.key}' has Python {system.python or 'unknown'}, "
            "and no Debian release that edgekit builds has it",
            hint=f"systems with Python {' or '.join(SUITES)} can be emulated: {systems_of(target)}",
        )
    return suite


def _processor(target: Target, machine: str) -> Processor:
    """What QEMU imitates: a 32-bit system on a 64-bit chip gets the least 32-bit one, as QEMU has no other."""
    model = target.cpu.model if target.cpu is not None else None
    name = model.value if model is not None else LEAST.get(machine, LEAST["armv7l"])
    processor = PROCESSORS.get(name)
    if processor is None:
        raise CertifyError(
            f"{target.name} has a processor that edgekit cannot emulate: {name}",
            hint=f"it can emulate {', '.join(PROCESSORS)}; linux-arm64 and linux-armhf stand for any other",
        )
    is_wide = processor.part.startswith("0xd")
    if machine == "aarch64" and not is_wide:
        raise CertifyError(f"{target.name}: {name} has no 64-bit mode, and its system is {machine}")
    return PROCESSORS[LEAST["armv7l"]] if machine != "aarch64" and is_wide else processor


def _features(target: Target, machine: str) -> tuple[str, ...]:
    if machine != "aarch64":
        return FEATURES_32
    features = target.cpu.features if target.cpu is not None else None
    return features.value if features is not None else FEATURES_64


def unique(boards: Sequence[Board]) -> tuple[Board, ...]:
    """The boards in order, each name once."""
    return tuple({board.name: board for board in boards}.values())
