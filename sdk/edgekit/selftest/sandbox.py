"""The sandbox of the self-test's child: what it may use, decided by the parent, and how the child gives up the rest.

Layers: resource limits; no_new_privs; Landlock where the kernel has it (5.13 and later, if it is switched on). No seccomp:
a filter of system calls needs a library (libseccomp and its binding) that edgekit would make every device install. So
the child can still use system calls that need no file: where Landlock is older than version 4, the network too.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.record import Record

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38

_SYSTEM = (
    "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache",
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm", "/sys/devices/system/cpu",
    "/dev/null", "/dev/zero", "/dev/urandom",
)  # fmt: skip
"""What runtimes read: libraries, and what the kernel says of the processor. Not all of /proc, which shows the
environment of other processes."""

_EDGE_TPU_READS = ("/sys", "/run/udev", "/etc/udev")
_EDGE_TPU_WRITES = {"usb": ("/dev/bus/usb",), "pci": tuple(f"/dev/apex_{number}" for number in range(8))}

_ADDRESS_SPACE = 2 << 30  # LiteRT with XNNPACK takes some 0.3 GB of addresses, far less of memory


@dataclass(frozen=True, slots=True)
class Rules(Record):
    """What the child may use.

    Attributes:
        readable: Files and folders, with all below.
        writable: Devices.
        cpu_s: Seconds of processor time.
        memory_bytes: Addresses; 0 for no limit.
        processes: How many processes and threads the user may have in all; -1 for no limit.
    """

    readable: tuple[str, ...]
    writable: tuple[str, ...]
    cpu_s: int
    memory_bytes: int
    processes: int


def rules_for(
    device: str, *, runtime: str, threads: int | None, bundle_bytes: int, timeout_s: float
) -> Rules:
    """What the child may use on this machine.

    Args:
        device: "cpu", or an Edge TPU such as "usb:0", for which its driver's files are added.
        runtime: The runtime's package. TensorFlow starts dozens of threads and takes gigabytes of addresses.
        threads: For one inference.
        bundle_bytes: Size of the bundle, of which the child holds copies.
        timeout_s: When the child will be ended.
    """
    bus = device.partition(":")[0]
    plain = bus == "cpu" and runtime != "tensorflow"
    alone = threads is None or threads == 1
    return Rules(
        readable=(
            *search_path(),
            f"{sys.base_prefix}/lib",
            *_SYSTEM,
            *(_EDGE_TPU_READS if bus != "cpu" else ()),
        ),
        writable=_EDGE_TPU_WRITES.get(bus, ()),
        cpu_s=max(1, int(timeout_s) + 1) * (threads or 1),
        memory_bytes=_ADDRESS_SPACE + 4 * bundle_bytes if plain else 0,
        processes=(0 if alone else _tasks_of_user() + 2 * (threads or 1)) if plain else -1,
    )


def search_path() -> tuple[str, ...]:
    """Where this process finds modules, without the home folder and what holds it.

    Scripts that are run from there put it on the path, and the child has no business in it.
    """
    home = Path("~").expanduser().resolve()
    closed = {home, *home.parents}
    kept = [path for path in map(Path, sys.path) if path.is_absolute() and path.exists()]
    return tuple(dict.fromkeys(str(path) for path in kept if path.resolve() not in closed))


def _tasks_of_user() -> int:
    """Threads of all processes of this user, which is what the kernel counts."""
    count, user = 0, os.getuid()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == user:
                count += sum(1 for _ in (folder / "task").iterdir())
        except OSError:  # it has ended
            continue
    return count


def enter(rules: Rules) -> tuple[str, ...]:
    """Gives up, for good, everything that the rules do not allow; called by the child, with no thread beside it.

    Returns:
        The layers that are in force, such as ("landlock abi 4", "no_new_privs", "rlimits").
    """
    from edgekit.selftest import landlock

    layers = []
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
            layers.append("no_new_privs")
            found = landlock.restrict(rules.readable, rules.writable)
            if found:
                layers.insert(0, f"landlock abi {found}")
    limits = [(resource.RLIMIT_CPU, rules.cpu_s), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)]
    if rules.memory_bytes:
        limits.append((resource.RLIMIT_AS, rules.memory_bytes))
    if rules.processes >= 0:
        limits.append((resource.RLIMIT_NPROC, rules.processes))
    held = [_limit(kind, most) for kind, most in limits]
    if all(held):
        layers.append("rlimits")
    return tuple(layers)


def _limit(kind: int, most: int) -> bool:
    """Lowers a limit; never raises one that is lower already."""
    hard = resource.getrlimit(kind)[1]
    lowered = most if hard == resource.RLIM_INFINITY else min(most, hard)
    try:
        resource.setrlimit(kind, (lowered, lowered))
    except (OSError, ValueError):
        return False
    return True


def environment(search: Sequence[str]) -> dict[str, str]:
    """The child's environment: nothing of the parent's but where libraries are; numpy starts no threads."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    return kept | {
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(search),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
