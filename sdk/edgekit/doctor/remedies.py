"""The lines that mend a machine, out of the catalogue where it has them. Pure: what is known goes in."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from edgekit.backends.installed import numbers
from edgekit.doctor.facts import Facts
from edgekit_targets.install import Step, environment_steps, libedgetpu_steps, requirement
from edgekit_targets.target import InstallRoute, Runtime, RuntimeStatus, Target

GENERIC = {"aarch64": "linux-arm64", "armv7l": "linux-armhf", "x86_64": "linux-x86_64"}
"""Machine -> the catalogue's target that assumes nothing more of it."""

CORALS = {"usb": "coral-usb-accelerator", "pci": "coral-pcie-m2"}
"""Bus -> the catalogue's target."""

GLIBC = {"ai-edge-litert": (2, 27), "tflite-runtime": (2, 34)}
"""Runtime -> the oldest glibc that its wheels of the catalogue's release run on: their manylinux tags."""

Targets = Mapping[str, Target]
"""`edgekit_targets.catalog.Catalog.targets`."""

NO_BUILD = (
    "edgekit knows of builds for Raspberry Pi OS Bookworm and Trixie, 64-bit; for other systems look at "
    "https://github.com/feranick/libedgetpu/releases"
)


def pip(facts: Facts, words: str) -> Step:
    """What the Python that runs edgekit has pip do.

    Args:
        facts: Say which Python.
        words: Quoted for a shell, such as "install 'edgekit[runtime]'".
    """
    return Step(f"{shlex.quote(facts.python.executable)} -m pip {words}")


def package(facts: Facts, wanted: str, debian: str) -> Step:
    """The line that installs a package for the Python that runs edgekit.

    Args:
        facts: Say which Python.
        wanted: What pip is asked for.
        debian: The same in Debian, whose Python takes nothing from pip.
    """
    if facts.python.is_managed:
        return Step(f"sudo apt install {debian}")
    return pip(facts, f"install {shlex.quote(wanted)}")


def compiled_package(facts: Facts, wanted: str, debian: str) -> Step:
    """As `package`, for one that the catalogue takes from Debian on 32-bit Arm.

    Args:
        facts: Say which Python, and which machine.
        wanted: What pip is asked for.
        debian: The same in Debian.
    """
    if facts.userland.startswith("armv") and not facts.python.is_managed:
        return Step(
            f"sudo apt install {debian}",
            "a virtual environment sees it if it was made with --system-site-packages",
        )
    return package(facts, wanted, debian)


def known_runtimes(facts: Facts, targets: Targets) -> tuple[Runtime, ...]:
    """The runtimes that the catalogue has for this machine, whatever its Python; those for its Edge TPU first."""
    name = GENERIC.get(facts.userland)
    return (*_coral_runtimes(facts, targets), *(targets[name].runtimes if name is not None else ()))


def _coral_runtimes(facts: Facts, targets: Targets) -> Iterator[Runtime]:
    coral = facts.coral
    if not coral.is_present:
        return
    bus = "usb" if any(device.bus == "usb" for device in coral.devices) else "pci"
    target = targets[CORALS[bus]]
    here = {s.key for s in target.systems if (s.key, s.architecture) == (facts.codename, facts.userland)}
    for runtime in target.runtimes:
        if runtime.install is not InstallRoute.MANUAL and not here.isdisjoint(runtime.systems):
            yield runtime


def wanted_runtime(facts: Facts, targets: Targets) -> Runtime | None:
    """The best runtime with a wheel for this machine, its Python and its glibc; None where there is none."""
    return next((runtime for runtime in known_runtimes(facts, targets) if has_wheel(runtime, facts)), None)


def has_wheel(runtime: Runtime, facts: Facts) -> bool:
    """Whether it has a wheel for this Python and its C library. A C library that is unknown rules nothing out."""
    return minor(facts) in runtime.pythons and not is_libc_old(runtime, facts)


def is_libc_old(runtime: Runtime, facts: Facts) -> bool:
    """Whether the C library is known to be older than a runtime's wheels ask for."""
    name, _, version = (facts.python.libc or "").partition(" ")
    return name == "glibc" and numbers(version) < GLIBC[runtime.package]


def minor(facts: Facts) -> str:
    """Python's version without the last number, such as "3.11"."""
    return ".".join(facts.python.version.split(".")[:2])


def runtime_steps(facts: Facts, runtime: Runtime) -> tuple[Step, ...]:
    """The lines that install a runtime: into this Python where pip can, else into a fresh environment.

    Args:
        facts: Of the machine.
        runtime: One of the catalogue's.
    """
    wanted = requirement(runtime)
    is_legacy = runtime.package == "tflite-runtime"
    lacks_numpy = facts.numpy is None or (is_legacy and numbers(facts.numpy) >= (2,))
    from_debian = facts.userland == "armv7l"
    if facts.python.is_managed or (from_debian and lacks_numpy):
        return environment_steps(wanted, from_debian=from_debian)
    return (pip(facts, f"install {wanted}"),)


def reported_runtime(targets: Targets) -> Runtime:
    """The runtime that is reported to work with the libedgetpu which edgekit's lines install."""
    return next(
        runtime
        for runtime in targets[CORALS["usb"]].runtimes
        if runtime.status is RuntimeStatus.REPORTED and runtime.install is InstallRoute.CORAL_USB
    )


def library_steps(facts: Facts) -> tuple[Step, ...]:
    """The lines that install libedgetpu; none where edgekit knows of no build for the system."""
    return libedgetpu_steps(facts.codename, facts.userland)
