"""Which machine this is: `Host`, out of procfs, sysfs and Python."""

from __future__ import annotations

import os
import platform
import re

from edgekit.profiling.readings import HERE, Sources, memory_kib, read_text
from edgekit.profiling.record import Host
from edgekit.version import __version__

ARM_PARTS = {
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD0B: "Cortex-A76",
    0xC07: "Cortex-A7",
}
"""Part numbers of Arm's cores (implementer 0x41) on boards that edgekit knows: arch/arm64/include/asm/cputype.h and
arch/arm/include/asm/cputype.h of Linux."""

KERNEL_FEATURES = re.compile(
    r"sse4_1|sse4_2|avx|avx2|f16c|fma|avx512\w*|avx_vnni|amx_\w+|"  # x86
    r"neon|vfpv4|asimd\w*|fphp|i8mm|bf16|sve\w*"  # Arm
)
"""The processor's features that kernels of int8 networks choose by; the kernel lists a hundred others."""

_APPLICATION = b"edgekit-profile"


def read_host(sources: Sources = HERE) -> Host:
    """The machine that this process runs on."""
    import numpy

    cpuinfo = read_text(sources.proc / "cpuinfo") or ""
    uname = platform.uname()
    return Host(
        identity=_identity(sources),
        board=_board(sources),
        cpu=_cpu(cpuinfo),
        cpu_features=_features(cpuinfo),
        cores=_cores(),
        memory_kib=memory_kib(sources.proc),
        machine=uname.machine,
        system=_system(sources),
        kernel=f"{uname.system} {uname.release}",
        python=platform.python_version(),
        numpy=numpy.__version__,
        edgekit=__version__,
    )


def _identity(sources: Sources) -> str | None:
    """A hash that tells machines apart, keyed as machine-id(5) asks for, so that no serial number is given away."""
    import hashlib
    import hmac

    secret = read_text(sources.proc / "device-tree/serial-number") or read_text(sources.etc / "machine-id")
    return hmac.new(secret.encode(), _APPLICATION, hashlib.sha256).hexdigest()[:16] if secret else None


def _board(sources: Sources) -> str | None:
    """Device trees name the board; PCs have DMI tables."""
    name = read_text(sources.proc / "device-tree/model") or read_text(
        sources.sys / "class/dmi/id/product_name"
    )
    return _printable(name)


def _cpu(cpuinfo: str) -> str | None:
    model = _field(cpuinfo, "model name")
    part = _field(cpuinfo, "CPU part")
    if part is not None and re.fullmatch(
        r"0x[0-9a-f]{1,4}", part
    ):  # also 32-bit Arm, whose model name is vague
        implementer = _field(cpuinfo, "CPU implementer")
        name = ARM_PARTS.get(int(part, 16)) if implementer == "0x41" else None
        return name or _printable(f"{model or 'Arm'} (implementer {implementer}, part {part})")
    return _printable(model)


def _features(cpuinfo: str) -> str | None:
    said = _field(cpuinfo, "flags") or _field(cpuinfo, "Features")
    if said is None:
        return None
    return " ".join(word for word in said.split() if KERNEL_FEATURES.fullmatch(word)) or None


def _field(cpuinfo: str, name: str) -> str | None:
    match = re.search(rf"^{name}\s*: (.+)$", cpuinfo, re.M)
    return match[1].strip() if match else None


def _cores() -> int | None:
    """The cores that this process may use, which a container can limit to fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux
        return os.cpu_count()


def _system(sources: Sources) -> str | None:
    """os-release(5): the name stands in quotes where it has spaces."""
    text = read_text(sources.etc / "os-release") or ""
    match = re.search(r"""^PRETTY_NAME=(["']?)(.*)\1$""", text, re.M)
    return _printable(match[2]) if match else None


def _printable(text: str | None) -> str | None:
    return "".join(c for c in text if c.isprintable())[:200].strip() or None if text else None
