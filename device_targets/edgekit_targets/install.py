"""The lines that put a TFLite runtime onto a device: for each of its systems, with what is not verified about them.

Pure text: nothing is run and nothing is fetched. Where the steps come from stands beside each route below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgekit_targets.target import InstallRoute, Kind, Runtime, RuntimeStatus, System, Target

EDGEKIT_PYTHON = (3, 11)
"""The oldest Python that edgekit runs on: `requires-python` in pyproject.toml."""

EXTRAS: Mapping[tuple[str, str | None], str] = {
    ("ai-edge-litert", "2.3.0"): "runtime",
    ("tflite-runtime", "2.14.0"): "runtime-legacy",
}
"""The extra of edgekit that pins a runtime, by package and version: `optional-dependencies` in pyproject.toml."""

_OLDEST = ".".join(map(str, EDGEKIT_PYTHON))
_VENV = "~/edgekit-venv"
LIBEDGETPU = "16.0TF2.19.1-1"  # the newest release of feranick/libedgetpu on 2026-11-24
_LIBEDGETPU_BUILDS = frozenset(
    {("bookworm", "aarch64"), ("trixie", "aarch64")}
)  # keys and machines of systems
_GASKET = "1.0-18.4"  # the release of feranick/gasket-driver that google/gasket-driver#50 reports on
_FERANICK = "https://github.com/feranick"
_TFLM_ARCHITECTURES = {"Cortex-M4F": "cortex-m4+fp"}  # TARGET_ARCH; others are the model's name in lower case


@dataclass(frozen=True, slots=True)
class Step:
    """One line to type.

    Attributes:
        line: A line for a shell, on the device unless `why` says otherwise.
        why: What it is for, or what to look out for; None where the line says it.
    """

    line: str
    why: str | None = None


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """How to get from a fresh system to a model that runs.

    Attributes:
        system: The system; None for firmware.
        runtime: The runtime that the lines install; None where none is known for the system.
        steps: What to type, in order; empty where edgekit has no lines.
        cautions: What is not verified, and the traps.
    """

    system: System | None
    runtime: Runtime | None
    steps: tuple[Step, ...]
    cautions: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Returns it as JSON types."""
        return {
            "system": self.system and self.system.name,
            "python": self.system and self.system.python,
            "runtime": self.runtime and self.runtime.package,
            "version": self.runtime and self.runtime.version,
            "status": self.runtime and self.runtime.status.value,
            "steps": [{"line": step.line, "why": step.why} for step in self.steps],
            "cautions": list(self.cautions),
        }


@dataclass(frozen=True, slots=True)
class _Case:
    """What a route writes lines for."""

    target: Target
    system: System | None
    runtime: Runtime


def install_plans(target: Target) -> tuple[InstallPlan, ...]:
    """Returns one plan for each of the target's systems, or one for firmware where it has none.

    The runtime of a plan is the first in the device file that names the system.
    """
    if not target.systems:
        return (_plan(target, None, target.runtimes[0]),)
    return tuple(_plan(target, system, _runtime_for(target, system)) for system in target.systems)


def _runtime_for(target: Target, system: System) -> Runtime | None:
    return next((runtime for runtime in target.runtimes if system.key in runtime.systems), None)


def _plan(target: Target, system: System | None, runtime: Runtime | None) -> InstallPlan:
    if runtime is None:
        known = "no TFLite runtime is known to work on this system"
        return InstallPlan(system, None, (), (known, *_note(system)))
    steps = _ROUTES[runtime.install](_Case(target, system, runtime))
    cautions = [_standing(runtime), *_note(runtime), *_note(system), *_TRAPS.get(runtime.install, ())]
    if not steps:
        cautions.append(f"edgekit has no lines for it: see {runtime.source.url or runtime.source.title}")
    if not _runs_edgekit(system):
        where = "on a microcontroller" if system is None else f"there, because it needs Python {_OLDEST}"
        cautions.append(
            f"edgekit itself does not run {where}: take the model out of the bundle on the workstation "
            "(unzip FILE.edgekit) and copy it"
        )
    elif target.kind is Kind.EDGETPU:
        cautions.append(
            "edgekit runs the compiled model of a bundle (convert --compile) and tries the pair in a child process "
            "first; its developers have not run it on an Edge TPU"
        )
    return InstallPlan(system, runtime, steps, tuple(cautions))


def _note(noted: System | Runtime | None) -> tuple[str, ...]:
    return () if noted is None or noted.note is None else (noted.note,)


def _standing(runtime: Runtime) -> str:
    name = f"{runtime.package} {runtime.version}" if runtime.version else runtime.package
    match runtime.status:
        case RuntimeStatus.MEASURED:
            return f"{name}: edgekit's developers ran it, but typed these lines on no device"
        case RuntimeStatus.REPORTED:
            return f"{name}: others report that it works; edgekit's developers have not run it"
        case RuntimeStatus.UNVERIFIED:
            return f"{name}: UNVERIFIED, edgekit's developers know of nobody who ran exactly this"


def _runs_edgekit(system: System | None) -> bool:
    if system is None or system.python is None:
        return False
    major, minor = system.python.split(".")
    return (int(major), int(minor)) >= EDGEKIT_PYTHON


def requirement(runtime: Runtime) -> str:
    """Returns what pip is asked for: edgekit with an extra where one pins this runtime, else both by name."""
    extra = EXTRAS.get((runtime.package, runtime.version))
    if extra is not None:
        return f"'edgekit[{extra}]'"
    return (
        f"edgekit '{runtime.package}=={runtime.version}'" if runtime.version else f"edgekit {runtime.package}"
    )


def environment_steps(wanted: str, *, from_debian: bool = False) -> tuple[Step, ...]:
    """Returns the lines that make a virtual environment with edgekit and a runtime.

    Args:
        wanted: What pip is asked for, as `requirement` has it.
        from_debian: For armv7l: there is no numpy wheel for it, so Debian's packages serve (seen under qemu-arm).
    """
    if from_debian:
        first = (
            Step("sudo apt install python3-venv python3-numpy python3-cryptography python3-click"),
            Step(f"python3 -m venv --system-site-packages {_VENV}", "so that it sees Debian's numpy"),
        )
    else:
        first = (
            Step("sudo apt install python3-venv"),
            Step(f"python3 -m venv {_VENV}", "the system's own Python takes no packages from pip (PEP 668)"),
        )
    return (
        *first,
        Step(f"{_VENV}/bin/pip install {wanted}"),
        Step(f"{_VENV}/bin/python -m edgekit --version"),
    )


def _pip(case: _Case) -> tuple[Step, ...]:
    return environment_steps(requirement(case.runtime))


def _pip_debian(case: _Case) -> tuple[Step, ...]:
    return environment_steps(requirement(case.runtime), from_debian=True)


def _coral_usb(case: _Case) -> tuple[Step, ...]:
    """As jiteshsaini/coral_USB_ml_accelerator's setup_coral.sh does it on Bookworm and Trixie, arm64."""
    library = _library_for(case.system)
    if not library:
        return ()
    return (
        *library,
        Step('sudo usermod -aG plugdev "$USER"', "afterwards log out and in, and replug the stick"),
        Step("lsusb | grep -e 1a6e:089a -e 18d1:9302", "the first id before its first use, the second after"),
        *_coral_pip(case),
    )


def _coral_pcie(case: _Case) -> tuple[Step, ...]:
    library = _library_for(case.system)
    if not library:
        return ()
    shown = Step("lspci -nn | grep 1ac1:089a", "must show the card")
    return (shown, *driver_steps(), *access_steps(), *library, *_coral_pip(case))


def driver_steps() -> tuple[Step, ...]:
    """Returns the lines that install a card's driver, as google/gasket-driver#50 reports it."""
    package = f"gasket-dkms_{_GASKET}_all.deb"
    return (
        Step('sudo apt install dkms "linux-headers-$(uname -r)"'),
        Step(f"curl -fLO {_FERANICK}/gasket-driver/releases/download/{_GASKET}/{package}"),
        Step(
            f"sudo dpkg -i ./{package}",
            "the gasket-dkms of Google's repository does not build on today's kernels",
        ),
    )


def access_steps() -> tuple[Step, ...]:
    """Returns the lines that let the user open a card, as google-coral/edgetpu#866 reports it."""
    rule = 'SUBSYSTEM=="apex", MODE="0660", GROUP="apex"'
    return (
        Step(f"echo '{rule}' | sudo tee /etc/udev/rules.d/65-apex.rules"),
        Step(
            'sudo groupadd -f apex; sudo usermod -aG apex "$USER"',
            "afterwards reboot: /dev/apex_0 must be there",
        ),
    )


def _library_for(system: System | None) -> tuple[Step, ...]:
    return () if system is None else libedgetpu_steps(system.key, system.architecture)


def libedgetpu_steps(codename: str | None, architecture: str) -> tuple[Step, ...]:
    """Returns the lines that install libedgetpu; none where edgekit knows of no build.

    Args:
        codename: Debian's name of the release, such as "bookworm".
        architecture: As `uname -m` has it.
    """
    if (codename, architecture) not in _LIBEDGETPU_BUILDS:
        return ()
    package = f"libedgetpu1-std_{LIBEDGETPU.lower()}.{codename}_arm64.deb"
    return (
        Step("sudo apt install libusb-1.0-0 python3-venv"),
        Step(
            f"curl -fLO {_FERANICK}/libedgetpu/releases/download/{LIBEDGETPU}/{package}",
            "Google's own libedgetpu 16.0 ends the process with TFLite 2.12 and later",
        ),
        Step(
            f"sudo dpkg -i --ignore-depends=libgcc1 ./{package}; sudo ldconfig",
            "dpkg complains of libgcc1, which libgcc-s1 has replaced",
        ),
    )


def _coral_pip(case: _Case) -> tuple[Step, ...]:
    return (
        Step(f"python3 -m venv {_VENV}"),
        Step(f"{_VENV}/bin/pip install {requirement(case.runtime)}"),
        _probe(f"{_VENV}/bin/python", case.runtime),
    )


def _probe(python: str, runtime: Runtime) -> Step:
    script = (
        f"from {runtime.package.replace('-', '_')}.interpreter import Interpreter, load_delegate; "
        "Interpreter('model_edgetpu.tflite', experimental_delegates=[load_delegate('libedgetpu.so.1')])"
        ".allocate_tensors(); print('works')"
    )
    why = "with a compiled model of yours: a mismatched pair loads, and only this ends the process"
    return Step(f'{python} -c "{script}"', why)


def _mendel(case: _Case) -> tuple[Step, ...]:
    return (_probe("python3", case.runtime),)


def _coralmicro(case: _Case) -> tuple[Step, ...]:
    return (
        Step(
            "git clone --recurse-submodules https://github.com/google-coral/coralmicro",
            "on the workstation; its README has the rest: build, and flash with scripts/flashtool.py",
        ),
    )


def _firmware(case: _Case) -> tuple[Step, ...]:
    """As cortex_m_generic/README.md and kernels/ethos_u/README.md of tensorflow/tflite-micro have it."""
    clone = "git clone https://github.com/tensorflow/tflite-micro && cd tflite-micro"
    make = "make -f tensorflow/lite/micro/tools/make/Makefile TARGET=cortex_m_generic OPTIMIZED_KERNEL_DIR=cmsis_nn"
    accelerator = case.target.accelerator
    if accelerator is not None:
        options = accelerator.compiler_options
        vela = " ".join(("vela", *(options.value if options is not None else ()), "model.tflite"))
        unit = accelerator.model.value.removeprefix("Ethos-").lower()
        return (
            Step("pip install 'ethos-u-vela==5.2.0'", "on the workstation, as all of this"),
            Step(vela, "writes output/model_vela.tflite"),
            Step(
                "xxd -i output/model_vela.tflite > model_data.cc", "the model as an array for your firmware"
            ),
            Step(clone),
            Step(
                f"{make} TARGET_ARCH=CORE CO_PROCESSOR=ethos_u ETHOSU_ARCH={unit} microlite",
                "CORE is your microcontroller's, such as cortex-m55",
            ),
        )
    cpu = case.target.cpu
    model = cpu.model.value if cpu is not None and cpu.model is not None else "CORE"
    core = _TFLM_ARCHITECTURES.get(model, model.lower())
    armclang = "Arm Compiler 6.14 or later: add TOOLCHAIN=armclang" if core.startswith("cortex-m55") else None
    return (
        Step(
            "xxd -i model.tflite > model_data.cc",
            "on the workstation: the model as an array for your firmware",
        ),
        Step(clone),
        Step(f"{make} TARGET_ARCH={core} microlite", armclang),
    )


def _manual(case: _Case) -> tuple[Step, ...]:
    return ()


_ROUTES: Mapping[InstallRoute, Callable[[_Case], tuple[Step, ...]]] = {
    InstallRoute.PIP: _pip,
    InstallRoute.PIP_DEBIAN: _pip_debian,
    InstallRoute.CORAL_USB: _coral_usb,
    InstallRoute.CORAL_PCIE: _coral_pcie,
    InstallRoute.MENDEL: _mendel,
    InstallRoute.CORALMICRO: _coralmicro,
    InstallRoute.FIRMWARE: _firmware,
    InstallRoute.MANUAL: _manual,
}

_TRAPS: Mapping[InstallRoute, tuple[str, ...]] = {
    InstallRoute.CORAL_PCIE: (
        "a Raspberry Pi 5 also needs kernel=kernel8.img in config.txt and a change to its device tree: "
        "https://github.com/geerlingguy/raspberry-pi-pcie-devices/issues/44",
    ),
}
