"""Whether a runtime, libedgetpu and a device work together, found out in a child process.

A libedgetpu that was built for another TensorFlow Lite does not raise an error: it loads, and then building an
interpreter ends the process with a signal (google-coral/edgetpu#812 and #821). So a child is sent ahead, which does
all that the session will do before its first run. ``python -m edgekit.backends.probe`` is that child.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.endings import last_words, signal_name
from edgekit.errors import DeviceError

STEPS = {
    "import": "importing the runtime",
    "library": "loading the library",
    "delegate": "opening the device",
    "interpreter": "building an interpreter with the delegate",
    "tensors": "allocating the model's tensors",
    "close": "closing the device",
}
"""What the child does, in this order, and how it is said."""


@dataclass(frozen=True, slots=True)
class Report:
    """How the child ended.

    Attributes:
        step: The step that it was in, a key of STEPS, or "done".
        code: Its exit code; negative for a signal; None where it took too long and was ended.
        error: Type and message of the exception that ended it, or None.
        library: Where the library was found and what it says of its version; empty where it never got so far.
        last_words: The last line that it wrote to stderr.
    """

    step: str
    code: int | None
    error: tuple[str, str] | None
    library: str
    last_words: str


def probe_pair(
    module: str, runtime: str, library: str, device: str, model: bytes, *, timeout_s: float
) -> None:
    """Try a runtime with a delegate, up to where a model could run.

    Args:
        module: The runtime's module, such as "ai_edge_litert.interpreter".
        runtime: Its name and version, for messages.
        library: The delegate's library.
        device: What the delegate is told to open, such as "usb:0".
        model: A compiled model.
        timeout_s: After so many seconds the child is ended.

    Raises:
        DeviceError: They do not work together; message and hint name the pair, and pairs that do.
    """
    report = run_child(module, library, device, model, timeout_s)
    if report.step == "done" and report.code == 0:
        return
    raise explain(report, runtime, library, device, timeout_s)


def run_child(module: str, library: str, device: str, model: bytes, timeout_s: float) -> Report:
    """Run the child to its end, whatever that is.

    Raises:
        DeviceError: No child process can be started.
    """
    command = [sys.executable, "-m", "edgekit.backends.probe", module, library, device]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(
            command, input=model, capture_output=True, env=environment, timeout=timeout_s, check=False
        )
        code, said, words = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as error:
        code, said, words = None, error.stdout or b"", error.stderr or b""
    except OSError as error:
        raise DeviceError(f"the Edge TPU cannot be probed: {error}") from error
    return read_report(code, said, words)


def read_report(code: int | None, said: bytes, words: bytes) -> Report:
    """Read what the child left behind: one JSON object a line on stdout, as far as it came.

    Args:
        code: Its exit code, or None.
        said: Its stdout.
        words: Its stderr.
    """
    entries: dict[str, object] = {}
    for line in said.decode("utf-8", "replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # a library that prints to stdout, or a line that was cut off
            continue
        if isinstance(entry, dict):
            entries |= entry
    error = entries.get("error")
    return Report(
        step=str(entries.get("step", "import")),
        code=code,
        error=(str(error[0]), str(error[1])) if isinstance(error, list) and len(error) == 2 else None,
        library=str(entries.get("library", "")),
        last_words=last_words(words),
    )


def explain(report: Report, runtime: str, library: str, device: str, timeout_s: float) -> DeviceError:
    """Turn the child's end into an error that names the fix.

    Args:
        report: Of a child that did not come through.
        runtime: Name and version of the runtime.
        library: The delegate's library.
        device: The device string.
        timeout_s: What the child was given.
    """
    named = report.library or library
    pair = f"{runtime} with {named}"
    step = STEPS.get(report.step, report.step)
    if report.code is None:
        return DeviceError(
            f"the Edge TPU {device} did not answer within {timeout_s:g} s while {step} ({pair})",
            hint="replug it, into a powered port; end whatever else uses it",
        )
    if report.code < 0:
        return DeviceError(
            f"{pair} end the process ({signal_name(-report.code)}) while {step}: they do not fit each other",
            hint=f"install a pair that is known to work: {_known_pairs(device)}",
        )
    kind, message = report.error or ("exit", report.last_words or f"exit code {report.code}")
    if report.step == "library" and kind == "OSError":
        return DeviceError(f"{library} cannot be loaded: {message}", hint=_missing(message, device))
    if report.step in ("library", "delegate") and kind == "AttributeError":
        return DeviceError(f"{named} is not libedgetpu: {message}", hint=_install_hint(device))
    if report.step == "delegate":
        reason = message.removeprefix(f"Failed to load delegate from {library}").strip()
        said = f": {reason}" if reason else ""  # libedgetpu itself gives no reason
        return DeviceError(
            f"libedgetpu does not open the Edge TPU {device} ({pair}){said}",
            hint="is another process using it? replug it; the user must be in the group plugdev (USB) or apex (PCI): "
            "edgekit doctor looks",
        )
    return DeviceError(
        f"{pair} fail while {step}: {message}",
        hint=f"compile the model again, or install a pair that is known to work: {_known_pairs(device)}",
    )


def _missing(message: str, device: str) -> str:
    if "libusb" in message:
        return "sudo apt install libusb-1.0-0"
    return _install_hint(device)


def _target(device: str) -> str:
    return "coral-pcie-m2" if device.startswith("pci") else "coral-usb-accelerator"


def _install_hint(device: str) -> str:
    return f"edgekit targets {_target(device)} has the lines that install libedgetpu and its runtime"


def _known_pairs(device: str) -> str:
    """The catalogue's runtimes that somebody reports to work with this device."""
    from edgekit_targets.catalog import load_target
    from edgekit_targets.target import RuntimeStatus

    target = load_target(_target(device))
    known = [
        f"{runtime.package} {runtime.version} {runtime.note or ''}".strip()
        for runtime in target.runtimes
        if runtime.status is not RuntimeStatus.UNVERIFIED
    ]
    return " | ".join([*known, f"edgekit targets {target.name} has the lines"])


def main(arguments: list[str]) -> int:
    """What the child does: every step is said before it is taken, because there may be no after."""
    module, library, device = arguments
    model = sys.stdin.buffer.read()
    try:
        _try_pair(module, library, device, model)
    except Exception as error:
        _say({"error": [type(error).__name__, " ".join(str(error).split())]})
        return 1
    _say({"step": "done"})
    return 0


def _try_pair(module: str, library: str, device: str, model: bytes) -> None:
    from importlib import import_module

    _say({"step": "import"})
    runtime = import_module(module)
    _say({"step": "library"})
    _say({"library": _describe_library(library)})
    _say({"step": "delegate"})
    delegate = runtime.load_delegate(library, {"device": device})
    _say({"step": "interpreter"})
    interpreter = runtime.Interpreter(model_content=model, experimental_delegates=[delegate])
    _say({"step": "tensors"})
    interpreter.allocate_tensors()
    _say({"step": "close"})
    del interpreter
    del delegate


def _describe_library(library: str) -> str:
    """Where the dynamic linker found it, and its version by its own word."""
    import ctypes

    loaded = ctypes.CDLL(library)
    name = os.path.basename(library)  # noqa: PTH119
    place = library
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:  # noqa: PTH123
        for line in maps:
            path = line.rstrip("\n").partition("/")[2]
            if os.path.basename(path).startswith(name.split(".so")[0] + ".so"):  # noqa: PTH119
                place = "/" + path
                break
    try:
        version = loaded.edgetpu_version  # const char* edgetpu_version(), of libedgetpu's edgetpu_c.h
    except AttributeError:
        return place
    version.restype = ctypes.c_char_p
    text = version()
    return f"{place} ({text.decode('utf-8', 'replace')})" if text else place


def _say(entry: Mapping[str, object]) -> None:
    print(json.dumps(entry), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
