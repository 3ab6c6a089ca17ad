"""What the doctor found as a person likes to read it on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from edgekit.console import printable, table
from edgekit.doctor.coral import USB3_MBPS, Device
from edgekit.doctor.facts import INT8_FEATURES, Facts
from edgekit.doctor.finding import Finding, Severity
from edgekit.version import __version__

WIDTH = 100
"""Columns of prose. Lines to type are never broken, so that they can be copied."""

_NONE = "not installed"
_MARGIN = 9  # "warning", and two blanks


def describe(facts: Facts, findings: Sequence[Finding]) -> str:
    """The facts as a table, then the findings with their fixes, then whether a model can be run."""
    found = table(list(_rows(facts)), ("what", "found"))
    return "\n\n".join([found, *(_finding(finding) for finding in findings), _verdict(facts, findings)])


def _rows(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "edgekit", __version__
    yield "system", facts.system or "unknown"
    if facts.board is not None:
        yield "board", facts.board
    yield "processor", _processor(facts)
    yield "Python", _python(facts)
    yield "", facts.python.executable
    yield "numpy", facts.numpy or _NONE
    yield from _listed("runtime", [f"{runtime.name} {runtime.version}" for runtime in facts.runtimes], _NONE)
    yield "Pillow", facts.pillow or _NONE
    yield "cryptography", facts.cryptography or _NONE
    yield from _coral(facts)
    yield "trial run", _trial(facts)
    yield from _listed("Edge TPU trial", [_pairing(p.device, p.error) for p in facts.pairings])


def _listed(what: str, entries: Sequence[str], otherwise: str | None = None) -> Iterator[tuple[str, str]]:
    """One row an entry, the first of them named."""
    for number, entry in enumerate(entries or ([otherwise] if otherwise is not None else [])):
        yield "" if number else what, entry


def _processor(facts: Facts) -> str:
    kernel = "" if facts.machine == facts.userland else f" (the kernel: {facts.machine})"
    if facts.cpu_features is None:
        features = "unknown"
    else:
        asked = " or ".join(INT8_FEATURES.get(facts.userland, ()))
        features = ", ".join(facts.cpu_features) or f"no {asked}"
    return f"{facts.userland}{kernel}; for int8: {features}"


def _python(facts: Facts) -> str:
    python = facts.python
    whose = "in a virtual environment" if python.in_venv else "the system's" if python.is_managed else None
    words = [python.version, f"{python.bits}-bit", python.libc or "C library unknown", whose]
    return ", ".join(word for word in words if word)


def _coral(facts: Facts) -> Iterator[tuple[str, str]]:
    coral = facts.coral
    served = sum(device.bus == "pci" for device in coral.devices)
    cards = [f"PCI {card}: no driver" for card in coral.cards] if not served else []
    yield from _listed("Edge TPU", [*map(_device, coral.devices), *cards], "none seen")
    library = coral.library
    if library is None:
        yield "libedgetpu", _NONE
    else:
        package = coral.library_package
        origin = f"{package.name} {package.version}" if package is not None else "version unknown"
        yield from _listed("libedgetpu", [origin, f"{library.path}, for {library.machine or 'unknown'}"])
    if library is None and not coral.is_present:
        return  # the rest matters to nobody without them
    usb = coral.libusb
    yield "libusb", f"{usb.path}, for {usb.machine or 'unknown'}" if usb is not None else _NONE
    if any(device.bus == "usb" for device in coral.devices):
        rule = coral.udev_rule
        whom = f", for the group {rule.group}" if rule is not None and rule.group else ""
        yield "udev rule", f"{rule.path}{whom}" if rule is not None else "none for Coral sticks"
    yield "groups", ", ".join(coral.groups) or "this user is in neither plugdev nor apex"


def _device(device: Device) -> str:
    words = [f"{device.name}:"]
    if device.bus == "usb":
        speed = f"{device.mbps} Mbit/s" if device.mbps is not None else "at an unknown speed"
        usb = "" if device.mbps is None else "USB 3, " if device.mbps >= USB3_MBPS else "USB 2, "
        words.append(f"{device.usb_id} at port {device.place}, {usb}{speed},")
    words.append(_access(device))
    return " ".join(words)


def _access(device: Device) -> str:
    if device.node is None:
        return "unknown by which file it is opened"
    if not device.is_there:
        return f"there is no {device.node}"
    return f"{device.node} {'can' if device.is_allowed else 'cannot'} be opened by this user"


def _trial(facts: Facts) -> str:
    smoke = facts.smoke
    if smoke.error is not None:
        return "failed"
    return f"a tiny int8 model gave the right answer on {smoke.runtime} ({smoke.kernels} kernels)"


def _pairing(device: str, error: str | None) -> str:
    return f"{device}: failed" if error else f"{device}: opened, and an interpreter built with it"


def _finding(finding: Finding) -> str:
    lines = _prose(f"{finding.severity.value:<{_MARGIN}}", finding.sentence)
    label = "fix"
    for step in finding.steps:
        if step.why is not None:
            lines += _prose(_label(label), f"# {step.why}")
            label = ""
        lines.append(_label(label) + printable(step.line))
        label = ""
    if finding.advice is not None:
        lines += _prose(_label("fix" if not finding.steps else ""), finding.advice)
    return "\n".join(lines)


def _label(word: str) -> str:
    return f"{word:<{_MARGIN}}"


def _prose(margin: str, text: str) -> list[str]:
    blank = " " * len(margin)
    return textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=margin,
        subsequent_indent=blank,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _verdict(facts: Facts, findings: Sequence[Finding]) -> str:
    counted = []
    for severity in Severity:
        count = sum(finding.severity is severity for finding in findings)
        if count:
            counted.append(f"{count} {severity.value}{'s' * (count > 1)}")
    can = "bundles can be run here" if facts.smoke.passed else "no bundle can be run here"
    return f"{can}; {', '.join(counted) or 'nothing to mend'}"
