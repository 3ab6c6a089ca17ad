"""What is to be said of Python, the TFLite runtime and the packages beside it. Pure: facts in, findings out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from edgekit.backends.installed import numbers
from edgekit.doctor.facts import Facts
from edgekit.doctor.finding import Finding, Kind, Severity
from edgekit.doctor.libraries import Package
from edgekit.doctor.remedies import (
    GENERIC,
    GLIBC,
    Targets,
    compiled_package,
    has_wheel,
    is_libc_old,
    known_runtimes,
    minor,
    package,
    pip,
    runtime_steps,
    wanted_runtime,
)
from edgekit_targets.install import Step, requirement
from edgekit_targets.target import Runtime

LITERT, TFLITE, TENSORFLOW = "ai-edge-litert", "tflite-runtime", "tensorflow"

OLDEST_CRYPTOGRAPHY = "38.0.4"
"""As `dependencies` in pyproject.toml has it."""

OLDEST_PILLOW = "9.4"
"""As the extra `images` in pyproject.toml has it."""

_64_BIT = (
    "install the 64-bit system, such as Raspberry Pi OS (64-bit) with Raspberry Pi Imager: "
    "https://www.raspberrypi.com/software/"
)


def runtime_findings(facts: Facts, targets: Targets) -> Iterator[Finding]:
    """Findings on what runs models on the processor.

    Args:
        facts: Of the machine.
        targets: The catalogue.
    """
    if not facts.runtimes:
        yield _no_runtime(facts, targets)
    yield from _numpy(facts)
    yield from _python(facts)
    for runtime in facts.runtimes[:1]:
        yield from _first(runtime, facts, targets)
    yield from _cryptography(facts)
    yield from _pillow(facts)


def _no_runtime(facts: Facts, targets: Targets) -> Finding:
    runtime = wanted_runtime(facts, targets)
    if runtime is None:
        return _no_wheel(facts, targets)
    advice = None
    if facts.python.libc is None:
        oldest = ".".join(map(str, GLIBC[runtime.package]))
        advice = f"its wheel needs glibc {oldest} or later, and which C library this is, is not known"
    steps = runtime_steps(facts, runtime)
    return Finding(Kind.NO_RUNTIME, Severity.FAULT, "no TFLite runtime is installed", steps, advice)


def _no_wheel(facts: Facts, targets: Targets) -> Finding:
    known = known_runtimes(facts, targets)
    lacks = f"no TFLite runtime is installed, and none has a wheel for {facts.userland}"
    if facts.userland not in GENERIC:
        advice = (
            "a Raspberry Pi Zero 2 W, or a 3 or later, with the 64-bit system runs bundles"
            if facts.userland == "armv6l"
            else "edgekit knows of wheels for aarch64, armv7l and x86_64 only"
        )
        return Finding(Kind.NO_WHEEL, Severity.FAULT, lacks, advice=advice)
    old = [runtime for runtime in known if minor(facts) in runtime.pythons and is_libc_old(runtime, facts)]
    if old:
        least = ".".join(map(str, GLIBC[old[0].package]))
        sentence = (
            f"no TFLite runtime is installed, and {old[0].package} needs glibc {least} or later; here is"
        )
        advice = "install a newer release of the system, such as Debian 12 or Raspberry Pi OS Bookworm"
        return Finding(Kind.NO_WHEEL, Severity.FAULT, f"{sentence} {facts.python.libc}", advice=advice)
    have = "; ".join(f"{r.package} {r.version} has them for {r.pythons[0]} to {r.pythons[-1]}" for r in known)
    sentence = f"{lacks} and Python {minor(facts)}: {have}"
    if facts.userland == "armv7l":
        advice = f"{_64_BIT}; or Bookworm, 32-bit, whose Python is 3.11"
        return Finding(Kind.NO_WHEEL, Severity.FAULT, sentence, advice=advice)
    advice = f"install edgekit into an environment of Python {known[0].pythons[-1]}"
    return Finding(Kind.NO_WHEEL, Severity.FAULT, sentence, advice=advice)


def _numpy(facts: Facts) -> Iterator[Finding]:
    if facts.numpy is None:
        step = compiled_package(facts, "numpy", "python3-numpy")
        sentence = "numpy is not installed, which edgekit and every runtime need"
        yield Finding(Kind.NUMPY_MISSING, Severity.FAULT, sentence, (step,))
        return
    tflite = next((runtime for runtime in facts.runtimes if runtime.name == TFLITE), None)
    if tflite is None or numbers(facts.numpy) < (2,):
        return
    sentence = (
        f"{TFLITE} {tflite.version} works with numpy below 2 only, and numpy {facts.numpy} is installed"
    )
    step = compiled_package(facts, "numpy<2", "python3-numpy")
    first = facts.runtimes[0]
    if first != tflite:
        advice = f"nothing to mend while {first.name} runs the bundles, as it does here"
        yield Finding(Kind.NUMPY_TOO_NEW, Severity.NOTE, sentence, advice=advice)
    elif facts.userland == "armv7l" and not facts.python.is_managed:
        remove = pip(facts, "uninstall -y numpy")
        yield Finding(Kind.NUMPY_TOO_NEW, Severity.FAULT, sentence, (remove, step))
    else:
        yield Finding(Kind.NUMPY_TOO_NEW, Severity.FAULT, sentence, (step,))


def _python(facts: Facts) -> Iterator[Finding]:
    if facts.python.bits == 32 and facts.machine in ("aarch64", "x86_64"):
        sentence = (
            f"the kernel is 64-bit ({facts.machine}), and Python is 32-bit: {LITERT}, which runs int8 models "
            f"many times faster than {TFLITE}, has wheels for 64-bit systems only"
        )
        yield Finding(Kind.PYTHON_32_BIT, Severity.WARNING, sentence, advice=_64_BIT)


def _first(runtime: Package, facts: Facts, targets: Targets) -> Iterator[Finding]:
    """On the runtime that runs the bundles."""
    version = numbers(runtime.version)
    better = wanted_runtime(facts, targets)
    if better is None or better.package != LITERT:
        return
    steps = runtime_steps(facts, better)
    if runtime.name == LITERT and version == (2, 0, 3):
        sentence = f"{LITERT} 2.0.3 is a wheel of 70 to 91 MB, and that of 2.3.0 has 14 to 22"
        yield Finding(Kind.RUNTIME_BULKY, Severity.NOTE, sentence, steps)
    elif runtime.name == TFLITE and version == (2, 14) and not facts.coral.is_present:
        sentence = f"{TFLITE} 2.14.0 runs int8 models without XNNPACK, many times slower than {LITERT}"
        yield Finding(Kind.RUNTIME_SLOW, Severity.WARNING, sentence, steps)
    elif runtime.name == TENSORFLOW:
        sentence = "TensorFlow itself is the only runtime here: its import takes seconds, and about 600 MB"
        yield Finding(Kind.ONLY_TENSORFLOW, Severity.NOTE, sentence, steps)


def _cryptography(facts: Facts) -> Iterator[Finding]:
    step = compiled_package(facts, f"cryptography>={OLDEST_CRYPTOGRAPHY}", "python3-cryptography")
    if facts.cryptography is None:
        sentence = "cryptography is not installed: no signature can be checked, so no signed bundle runs"
        yield Finding(Kind.CRYPTOGRAPHY_MISSING, Severity.FAULT, sentence, (step,))
    elif numbers(facts.cryptography) < numbers(OLDEST_CRYPTOGRAPHY):
        sentence = (
            f"cryptography {facts.cryptography} is older than {OLDEST_CRYPTOGRAPHY}, which edgekit asks for"
        )
        yield Finding(Kind.CRYPTOGRAPHY_OLD, Severity.WARNING, sentence, (step,))


def _pillow(facts: Facts) -> Iterator[Finding]:
    step = package(facts, "edgekit[images]", "python3-pil")
    if facts.pillow is None:
        sentence = "Pillow is not installed: images cannot be read from files, nor resized"
        yield Finding(Kind.PILLOW_MISSING, Severity.NOTE, sentence, (step,))
    elif numbers(facts.pillow) < numbers(OLDEST_PILLOW):
        sentence = f"Pillow {facts.pillow} is older than {OLDEST_PILLOW}, which edgekit asks for"
        yield Finding(Kind.PILLOW_OLD, Severity.WARNING, sentence, (step,))


def smoke_finding(facts: Facts, targets: Targets) -> Finding | None:
    """That a tiny model does not run; None where it does.

    Args:
        facts: Of the machine.
        targets: The catalogue.
    """
    smoke = facts.smoke
    if smoke.error is None:
        return None
    sentence, advice = smoke.error, smoke.hint
    steps: tuple[Step, ...] = ()
    if smoke.signal == "SIGILL":
        sentence = f"{sentence}: it was built for a processor with instructions that this one lacks"
        steps = _other_runtime(facts, targets)
        advice = "under QEMU, LiteRT reads the host's /proc/cpuinfo: give it that of the emulated processor"
    elif smoke.signal == "SIGKILL":
        advice = (
            "was there too little memory? free -m shows it, and dmesg | tail what the kernel did about it"
        )
    elif advice is None:
        steps = _again(facts)
        advice = "if that changes nothing, edgekit's developers want to see edgekit doctor --json"
    return Finding(Kind.MODEL_FAILS, Severity.FAULT, sentence, steps, advice)


def _again(facts: Facts) -> tuple[Step, ...]:
    """The lines that install the runtime once more, as it is."""
    if facts.python.is_managed or not facts.runtimes or facts.runtimes[0].version == "unknown":
        return ()
    first = facts.runtimes[0]
    return (
        pip(facts, f"install --force-reinstall --no-deps {shlex.quote(f'{first.name}=={first.version}')}"),
    )


def _other_runtime(facts: Facts, targets: Targets) -> tuple[Step, ...]:
    """The lines that put the next runtime in the place of the first."""
    if not facts.runtimes or facts.python.is_managed:
        return ()
    first = facts.runtimes[0].name

    def is_other(runtime: Runtime) -> bool:
        return runtime.package != first and has_wheel(runtime, facts)

    other = next((runtime for runtime in known_runtimes(facts, targets) if is_other(runtime)), None)
    if other is None:
        return ()
    return (pip(facts, f"uninstall -y {first}"), pip(facts, f"install {requirement(other)}"))
