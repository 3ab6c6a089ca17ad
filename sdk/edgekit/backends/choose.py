"""Which runtime runs a bundle, and on what: decided by what is installed, plugged in, and in the bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgekit.backends import Backend, Kernels
from edgekit.backends.installed import first_installed, numbers
from edgekit.bundle import EDGETPU_MODEL, MODEL
from edgekit.errors import DeviceError, SessionError
from edgekit.firewall import check_variant

if TYPE_CHECKING:
    from edgekit.backends.edgetpu import Host
    from edgekit.backends.simulated import Simulation

DEVICES = '"auto", "cpu", "usb", "usb:N", "pci", "pci:N" or a Simulation'

CORALS = frozenset({"coral-usb-accelerator", "coral-pcie-m2", "coral-dev-board", "coral-dev-board-mini"})
"""The targets of the catalogue with an Edge TPU beside Linux; a test compares it with the catalogue, which
would cost tens of milliseconds to read at each start."""


class Choice(NamedTuple):
    """What runs a bundle.

    Attributes:
        backend: The runtime; for an Edge TPU the runtime with libedgetpu's delegate.
        variant: The member of the bundle to open: "model.tflite" or "model_edgetpu.tflite".
        device: "cpu", "usb:0", "pci:0" (with any number) or "simulated".
        kernels: What to open it with.
        fallback: Why the CPU runs it although an Edge TPU was asked for; None where nothing fell back.
    """

    backend: Backend
    variant: str
    device: str
    kernels: Kernels
    fallback: str | None = None


def choose(
    device: str | Simulation,
    *,
    variants: Mapping[str, bytes | memoryview],
    runtime: Mapping[str, Mapping[str, str]],
    targets: Sequence[str],
    fallback: bool,
    host: Host | None = None,
) -> Choice:
    """Choose what runs a bundle.

    "auto" is the Edge TPU if the bundle holds a model that was compiled for it and one of its targets has one,
    else the CPU. The Edge TPU is tried in a child process first, once a process for each pair of runtime and
    device.

    Args:
        device: "auto", "cpu", "usb", "usb:N", "pci", "pci:N" or a `Simulation`.
        variants: The members of the bundle, among them its models: an Edge TPU is tried with the very model.
        runtime: `Manifest.runtime`: variant -> runtime -> its least version.
        targets: `Manifest.targets`.
        fallback: Whether the CPU may run it where the Edge TPU cannot be used; `Choice.fallback` then says why.
        host: Where to look for Edge TPUs; None is this machine.

    Raises:
        SessionError: There is no such device, or the installed runtime is older than the bundle needs.
        DeviceError: The Edge TPU that is wanted cannot be used, and `fallback` is False.
        MalformedModelError: The firewall refuses the model for the Edge TPU.
        RuntimeNotFoundError: No runtime is installed.
    """
    if not isinstance(device, str):
        return _simulated(device)
    bus, number = _parse(device)
    if bus == "cpu" or (bus == "auto" and not _made_for_edgetpu(variants, targets)):
        return _on_cpu(runtime)
    try:
        return _on_edgetpu(bus, number, variants, runtime, host)
    except DeviceError as error:
        if not fallback:
            raise
        return _on_cpu(runtime, fallback=str(error))


def _parse(device: str) -> tuple[str, int | None]:
    """The bus and the number of a device string.

    Raises:
        SessionError: It is none.
    """
    bus, colon, digits = device.partition(":")
    if not colon and bus in ("auto", "cpu", "usb", "pci"):
        return bus, None
    if bus in ("usb", "pci") and digits.isascii() and digits.isdigit() and len(digits) <= 3:
        return bus, int(digits)
    raise SessionError(f"there is no device {device!r}", hint=f"device is {DEVICES}")


def _made_for_edgetpu(variants: Mapping[str, object], targets: Sequence[str]) -> bool:
    """Whether "auto" means the Edge TPU: a device that the catalogue lacks counts, as somebody compiled for it."""
    if EDGETPU_MODEL not in variants:
        return False
    if not CORALS.isdisjoint(targets):
        return True
    from edgekit_targets.catalog import target_names

    return not set(targets) <= set(target_names())


def _on_cpu(runtime: Mapping[str, Mapping[str, str]], *, fallback: str | None = None) -> Choice:
    backend = first_installed()
    refuse_older(backend, runtime.get(MODEL, {}))
    return Choice(backend, MODEL, "cpu", backend.kernels, fallback)


def _on_edgetpu(
    bus: str,
    number: int | None,
    variants: Mapping[str, bytes | memoryview],
    runtime: Mapping[str, Mapping[str, str]],
    host: Host | None,
) -> Choice:
    from edgekit.backends import edgetpu

    model = variants.get(EDGETPU_MODEL)
    if model is None:
        raise DeviceError(
            f"the bundle holds no {EDGETPU_MODEL}, so the Edge TPU has nothing to run",
            hint='convert it with --target coral-usb-accelerator --compile, or say device="cpu"',
        )
    host = edgetpu.HOST if host is None else host
    found = edgetpu.find_device(bus, number, host)
    backend = edgetpu.EdgeTpuBackend(first_installed(), found.device, host)
    refuse_older(backend, runtime.get(EDGETPU_MODEL, {}))
    check_variant(EDGETPU_MODEL, model)  # the probe is the first that shows it to a runtime
    backend.probe(bytes(model))
    return Choice(backend, EDGETPU_MODEL, found.device, backend.kernels)


def _simulated(device: Simulation) -> Choice:
    from edgekit.backends.simulated import SimulatedBackend, Simulation

    if not isinstance(device, Simulation):
        raise SessionError(f"a device is no {type(device).__name__}", hint=f"device is {DEVICES}")
    backend = SimulatedBackend(device)
    return Choice(backend, MODEL, "simulated", backend.kernels)


def refuse_older(backend: Backend, least: Mapping[str, str]) -> None:
    """Refuse a runtime that is older than a bundle says it needs.

    Args:
        backend: The runtime.
        least: Runtime -> least version. A key is a package's name for pip, or "tensorflow-lite", in whose
            releases `edgekit convert` writes what the operators need. Packages that do not run it say nothing.

    Raises:
        SessionError: It is older.
    """
    package = backend.name
    for name, version in least.items():
        wanted = numbers(version)
        if name == "tensorflow-lite":
            if wanted <= _OLDEST_TFLITE:  # nearly always, and then the version need not be looked up
                continue
            has = _tflite_release(package, numbers(backend.version))
        elif name in (package, _SHORT_NAMES.get(package)):
            has = numbers(backend.version)
        else:
            continue
        if has and has < wanted:
            raise SessionError(
                f"the bundle needs {name} {version} or later, and {package} {backend.version} is installed",
                hint=f"pip install --upgrade '{_EXTRAS.get(package, package)}'",
            )


_SHORT_NAMES = {"ai-edge-litert": "litert"}
_EXTRAS = {"ai-edge-litert": "edgekit[runtime]", "tflite-runtime": "edgekit[runtime-legacy]"}

_OLDEST_TFLITE = (2, 12)
"""Every runtime with a wheel for Python 3.11 has the operators of this release: the oldest are tensorflow 2.12.0
and tflite-runtime 2.14.0 (PyPI, 2026-11-23)."""

_LITERT_RELEASES = (((1, 3), (2, 20)), ((1, 2), (2, 19)), ((1, 0), (2, 17)))
"""From which ai-edge-litert on the operators of which TensorFlow are there: 1.0 was split off after 2.17, 1.2
goes with 2.19 and 1.3 with 2.20 (keras-team/keras#21912, PINTO0309/onnx2tf#745)."""


def _tflite_release(package: str, version: tuple[int, ...]) -> tuple[int, ...]:
    """The TensorFlow release whose operators a runtime has; () where no number says it.

    From 2.0 on ai-edge-litert counts by itself; it refuses an operator that it lacks when a model is opened.
    """
    if package != "ai-edge-litert":
        return version
    if version >= (2,):
        return ()
    return next((release for least, release in _LITERT_RELEASES if version >= least), ())
