"""One machine for each thing that can be wrong with Python, runtimes and packages; and what a case is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fake_machine import HEALTHY, RUNS, Machine, python

from edgekit.doctor.facts import Python
from edgekit.doctor.finding import Kind, Severity
from edgekit.doctor.pairing import Pairing
from edgekit.doctor.smoke import Smoke, read_smoke

LITERT = {**HEALTHY, "ai-edge-litert": "2.2.0"}
LEGACY = {**HEALTHY, "numpy": "1.26.4", "tflite-runtime": "2.14.0"}
PIP = "/home/pi/venv/bin/python -m pip install"
DIED = '{"runtime": "ai-edge-litert 2.2.0"}\n'


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A machine.

    Attributes:
        build: Adds to a Raspberry Pi 4 what makes it.
        packages: All Python packages that it has.
        python: Its Python.
        machine: The kernel's.
        smoke: How the tiny model fared.
        pairings: How the Edge TPUs fared.
    """

    build: Callable[[Machine], object] = lambda machine: None
    packages: Mapping[str, str] = field(default_factory=lambda: LITERT)
    python: Python = field(default_factory=python)
    machine: str = "aarch64"
    smoke: Smoke = RUNS
    pairings: tuple[Pairing, ...] = ()


@dataclass(frozen=True)
class Case(Setup):
    """A machine with one thing wrong, and what is to be said of it.

    Attributes:
        kind: What is found.
        severity: How bad it is.
        says: Part of the sentence.
        fix: Part of the lines, or of the advice.
        also: What else is found.
    """

    kind: Kind
    severity: Severity
    says: str
    fix: str
    also: tuple[Kind, ...] = ()


def on(*steps: Callable[[Machine], object]) -> Callable[[Machine], None]:
    """Several steps of building as one."""

    def build(machine: Machine) -> None:
        for step in steps:
            step(machine)

    return build


def stick(**words: object) -> Callable[[Machine], object]:
    return lambda machine: machine.stick(**words)  # type: ignore[arg-type]


def libedgetpu(*words: str) -> Callable[[Machine], object]:
    return lambda machine: machine.libedgetpu(*words)


FAULT, WARNING, NOTE = Severity
RUNTIME_CASES = [
    Case(Kind.NO_RUNTIME, FAULT, "no TFLite runtime", f"{PIP} 'edgekit[runtime]'", packages=HEALTHY),
    Case(
        Kind.NO_RUNTIME,
        FAULT,
        "no TFLite runtime",
        f"{PIP} 'edgekit[runtime-legacy]'",
        packages={**HEALTHY, "numpy": "1.24.2"},
        python=python(machine="armv7l"),
        machine="armv7l",
    ),
    Case(
        Kind.NO_RUNTIME,  # pip has no numpy for 32-bit Arm: Debian's
        FAULT,
        "no TFLite runtime",
        "sudo apt install python3-venv python3-numpy",
        packages=HEALTHY,
        python=python(machine="armv7l"),
        machine="armv7l",
    ),
    Case(
        Kind.NO_RUNTIME,  # pip installs nothing there
        FAULT,
        "no TFLite runtime",
        "~/edgekit-venv/bin/pip install 'edgekit[runtime]'",
        packages=HEALTHY,
        python=python(is_managed=True, executable="/usr/bin/python3"),
    ),
    Case(
        Kind.NO_RUNTIME,  # the pair that is reported to work, rather than the newest
        FAULT,
        "no TFLite runtime",
        f"{PIP} edgekit 'ai-edge-litert==2.2.0'",
        build=on(stick(), libedgetpu()),
        packages=HEALTHY,
    ),
    Case(
        Kind.NO_RUNTIME,
        FAULT,
        "no TFLite runtime",
        "needs glibc 2.27 or later, and which C library this is, is not known",
        packages=HEALTHY,
        python=python(libc=None),
    ),
    Case(
        Kind.NO_WHEEL,
        FAULT,
        "wheel for armv7l and Python 3.13: tflite-runtime 2.14.0 has them for 3.9 to 3.11",
        "Raspberry Pi OS (64-bit)",
        packages=HEALTHY,
        python=python("3.13.5", "armv7l"),
        machine="armv7l",
    ),
    Case(
        Kind.NO_WHEEL,
        FAULT,
        "wheel for aarch64 and Python 3.15",
        "an environment of Python 3.14",
        packages=HEALTHY,
        python=python("3.15.0"),
    ),
    Case(
        Kind.NO_WHEEL,
        FAULT,
        "none has a wheel for armv6l",
        "Zero 2 W",
        packages=HEALTHY,
        python=python(machine="armv7l"),
        machine="armv6l",
    ),
    Case(
        Kind.NO_WHEEL,
        FAULT,
        "none has a wheel for riscv64",
        "aarch64, armv7l and x86_64 only",
        packages=HEALTHY,
        python=python(machine="riscv64", bits=64),
        machine="riscv64",
    ),
    Case(
        Kind.NO_WHEEL,
        FAULT,
        "tflite-runtime needs glibc 2.34 or later; here is glibc 2.31",
        "newer release",
        packages=HEALTHY,
        python=python(machine="armv7l", libc="glibc 2.31"),
        machine="armv7l",
    ),
    Case(
        Kind.MODEL_FAILS,
        FAULT,
        "ai-edge-litert 2.2.0 ended the process with SIGILL: it was built for a processor with instructions",
        f"pip uninstall -y ai-edge-litert\n{PIP} 'edgekit[runtime-legacy]'",
        smoke=read_smoke(-4, DIED, ""),
    ),
    Case(
        Kind.MODEL_FAILS,
        FAULT,
        "ended the process with SIGKILL",
        "too little memory",
        smoke=read_smoke(-9, DIED, ""),
    ),
    Case(
        Kind.MODEL_FAILS,
        FAULT,
        "ended the process with SIGSEGV",
        f"{PIP} --force-reinstall --no-deps ai-edge-litert==2.2.0",
        smoke=read_smoke(-11, DIED, ""),
    ),
    Case(
        Kind.MODEL_FAILS,
        FAULT,
        "cannot be imported: libm.so.6",
        "it needs a 64-bit system",
        smoke=read_smoke(
            1, '{"error": "cannot be imported: libm.so.6", "hint": "it needs a 64-bit system"}', ""
        ),
    ),
    Case(
        Kind.NUMPY_MISSING,
        FAULT,
        "numpy is not installed",
        f"{PIP} numpy",
        packages={name: LITERT[name] for name in LITERT if name != "numpy"},
        smoke=read_smoke(1, "", "ModuleNotFoundError: No module named 'numpy'"),
    ),
    Case(
        Kind.NUMPY_TOO_NEW,
        FAULT,
        "tflite-runtime 2.14.0 works with numpy below 2 only, and numpy 2.2.6 is installed",
        f"{PIP} 'numpy<2'",
        packages={**HEALTHY, "tflite-runtime": "2.14.0"},
        smoke=read_smoke(1, '{"error": "numpy below 2 only", "hint": "numpy<2"}', ""),
        also=(Kind.RUNTIME_SLOW,),
    ),
    Case(
        Kind.NUMPY_TOO_NEW,
        FAULT,
        "numpy below 2 only",
        "pip uninstall -y numpy\nsudo apt install python3-numpy",
        packages={**HEALTHY, "tflite-runtime": "2.14.0"},
        python=python(machine="armv7l"),
        machine="armv7l",
    ),
    Case(
        Kind.NUMPY_TOO_NEW,
        NOTE,
        "numpy below 2 only",
        "nothing to mend while ai-edge-litert runs",
        packages={**LITERT, "tflite-runtime": "2.14.0"},
    ),
    Case(
        Kind.PYTHON_32_BIT,
        WARNING,
        "the kernel is 64-bit (aarch64), and Python is 32-bit",
        "Raspberry Pi OS (64-bit)",
        packages=LEGACY,
        python=python(machine="armv7l"),
    ),
    Case(Kind.RUNTIME_SLOW, WARNING, "without XNNPACK", f"{PIP} 'edgekit[runtime]'", packages=LEGACY),
    Case(
        Kind.RUNTIME_BULKY,
        NOTE,
        "ai-edge-litert 2.0.3 is a wheel of 70 to 91 MB",
        f"{PIP} 'edgekit[runtime]'",
        packages={**HEALTHY, "ai-edge-litert": "2.0.3"},
    ),
    Case(
        Kind.ONLY_TENSORFLOW,
        NOTE,
        "its import takes seconds",
        f"{PIP} 'edgekit[runtime]'",
        packages={**HEALTHY, "tensorflow": "2.21.0"},
    ),
    Case(
        Kind.CRYPTOGRAPHY_MISSING,
        FAULT,
        "no signed bundle runs",
        f"{PIP} 'cryptography>=38.0.4'",
        packages={name: LITERT[name] for name in LITERT if name != "cryptography"},
    ),
    Case(
        Kind.CRYPTOGRAPHY_OLD,
        WARNING,
        "cryptography 38.0.3 is older than 38.0.4",
        "sudo apt install python3-cryptography",
        packages={**LITERT, "cryptography": "38.0.3"},
        python=python(is_managed=True, executable="/usr/bin/python3"),
    ),
    Case(
        Kind.PILLOW_MISSING,
        NOTE,
        "Pillow is not installed",
        f"{PIP} 'edgekit[images]'",
        packages={name: LITERT[name] for name in LITERT if name != "pillow"},
    ),
    Case(
        Kind.PILLOW_OLD, WARNING, "Pillow 9.3.0", "'edgekit[images]'", packages={**LITERT, "pillow": "9.3.0"}
    ),
]
