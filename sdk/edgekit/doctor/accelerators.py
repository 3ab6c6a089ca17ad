"""What is to be said of Coral Edge TPUs: their library, driver, rules and ports. Pure: facts in, findings out.

That there is no Edge TPU is no finding.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from edgekit.doctor.coral import GROUPS, USB3_MBPS, Device
from edgekit.doctor.facts import Facts
from edgekit.doctor.finding import Finding, Kind, Severity
from edgekit.doctor.pairs import pair_findings
from edgekit.doctor.remedies import NO_BUILD, Targets, library_steps
from edgekit_targets.install import Step, access_steps, driver_steps

_RULES_FILE = "/etc/udev/rules.d/60-edgetpu.rules"
_RULES = (
    'SUBSYSTEM=="usb", ATTRS{idVendor}=="1a6e", ATTRS{idProduct}=="089a", GROUP="plugdev", MODE="0664"',
    'SUBSYSTEM=="usb", ATTRS{idVendor}=="18d1", ATTRS{idProduct}=="9302", GROUP="plugdev", MODE="0664"',
)
_RELOAD = Step("sudo udevadm control --reload-rules && sudo udevadm trigger")
_WITHOUT_USB3 = re.compile(r"Raspberry Pi (Zero|Model|[123]\b|Compute Module [123]?\b)")


def coral_findings(facts: Facts, targets: Targets) -> Iterator[Finding]:
    """Findings on Edge TPUs and what they need.

    Args:
        facts: Of the machine.
        targets: The catalogue.
    """
    yield from _library(facts)
    yield from pair_findings(facts, targets)
    yield from _cards(facts)
    yield from _missing_files(facts)
    sticks = [device for device in facts.coral.devices if device.bus == "usb"]
    closed = [device for device in facts.coral.devices if device.is_allowed is False]
    if any(device.bus == "usb" for device in closed):
        yield from _closed_sticks(facts, [device for device in closed if device.bus == "usb"])
    elif sticks and facts.coral.udev_rule is None and facts.coral.library is not None:
        sentence = "no udev rule names the Coral stick: this user may open it, and others perhaps not"
        yield Finding(Kind.NO_UDEV_RULE, Severity.NOTE, sentence, _rule_steps(), "then replug the stick")
    if any(device.bus == "pci" for device in closed):
        yield _closed_cards(facts, [device for device in closed if device.bus == "pci"])
    for stick in sticks:
        yield from _port(facts, stick)


def _library(facts: Facts) -> Iterator[Finding]:
    coral, steps = facts.coral, library_steps(facts)
    advice = None if steps else NO_BUILD
    severity = Severity.FAULT if coral.is_present else Severity.WARNING
    if coral.library is None:
        if coral.is_present:
            sentence = "libedgetpu is not installed, without which nothing runs on the Edge TPU"
            replug = "then replug the stick: the package brings a udev rule, which counts from then on"
            on_usb = any(device.bus == "usb" for device in coral.devices)
            advice = advice or (replug if on_usb else None)
            yield Finding(Kind.LIBEDGETPU_MISSING, severity, sentence, steps, advice)
        return
    path, built_for = coral.library.path, coral.library.machine
    if coral.library.fits(facts.userland) is False:
        sentence = f"{path} was built for {built_for}, and programs here are for {facts.userland}"
        yield Finding(Kind.LIBEDGETPU_FOREIGN, severity, sentence, steps, advice)
    elif built_for is None:
        sentence = f"{path} does not say which machine it was built for: is it a library at all?"
        yield Finding(Kind.LIBEDGETPU_UNKNOWN, Severity.WARNING, sentence, steps, advice)
    if coral.libusb is None or coral.libusb.fits(facts.userland) is False:
        sentence = f"libedgetpu needs libusb-1.0, and there is none for {facts.userland}"
        yield Finding(Kind.LIBUSB_MISSING, severity, sentence, (Step("sudo apt install libusb-1.0-0"),))


def _cards(facts: Facts) -> Iterator[Finding]:
    cards = facts.coral.cards
    served = sum(device.bus == "pci" for device in facts.coral.devices)
    if len(cards) <= served:
        return
    if served:
        sentence = (
            f"of {len(cards)} Edge TPUs on PCI Express ({', '.join(cards)}) a driver serves {served} only"
        )
    else:
        sentence = (
            f"an Edge TPU is at PCI {', '.join(cards)}, and no driver serves it: there is no /dev/apex_0"
        )
    advice = (
        "then reboot (in a container, start it with --device /dev/apex_0 instead); "
        "edgekit targets coral-pcie-m2 has the traps, one of a Raspberry Pi 5 among them"
    )
    yield Finding(Kind.NO_DRIVER, Severity.FAULT, sentence, (*driver_steps(), *access_steps()), advice)


def _missing_files(facts: Facts) -> Iterator[Finding]:
    for device in facts.coral.devices:
        if device.is_there is False:
            sentence = (
                f"the kernel has an Edge TPU {device.name}, and there is no {device.node} to open it by"
            )
            advice = (
                "in a container, start it with --privileged -v /dev/bus/usb:/dev/bus/usb: the stick changes "
                "its number on first use; elsewhere replug it"
            )
            yield Finding(Kind.NO_DEVICE_FILE, Severity.FAULT, sentence, advice=advice)


def _closed_sticks(facts: Facts, sticks: Sequence[Device]) -> Iterator[Finding]:
    """Why this user may not open sticks: no rule, not in its group, not yet in it, or the rule did not run."""
    coral, closed = facts.coral, _closed(sticks)
    rule, plugdev = coral.udev_rule, GROUPS["usb"]
    if rule is None:
        has_joined = plugdev in (*coral.groups, *coral.joined)
        if coral.library is not None or not library_steps(facts):
            sentence = f"{closed}: no udev rule gives Coral sticks to a group"
            steps = (*(() if has_joined else (_join(plugdev),)), *_rule_steps())  # udev skips unknown groups
            advice = "then replug the stick" if has_joined else "then log out and in, and replug the stick"
            yield Finding(Kind.NO_UDEV_RULE, Severity.FAULT, sentence, steps, advice)
        elif not has_joined:  # libedgetpu is yet to be installed, and brings the rule
            yield _outside(closed, plugdev, joined=False, steps=(_join(plugdev),))
    elif rule.group is not None and rule.group not in coral.groups:
        yield _outside(closed, rule.group, joined=rule.group in coral.joined, steps=(_join(rule.group),))
    else:
        sentence = f"{closed}, although {rule.path} should allow it"
        advice = "then replug the stick: a rule counts from the next time that it is plugged in"
        yield Finding(Kind.NOT_OPENABLE, Severity.FAULT, sentence, (_RELOAD,), advice)


def _closed_cards(facts: Facts, cards: Sequence[Device]) -> Finding:
    closed, group = _closed(cards), GROUPS["pci"]
    if group not in facts.coral.groups:
        return _outside(closed, group, joined=group in facts.coral.joined, steps=access_steps())
    sentence = f"{closed}, although the user is in the group {group}: does a udev rule give cards to it?"
    return Finding(Kind.NOT_OPENABLE, Severity.FAULT, sentence, access_steps()[:1], "then reboot")


def _outside(closed: str, group: str, *, joined: bool, steps: tuple[Step, ...]) -> Finding:
    if joined:
        sentence = f"{closed}: the user joined the group {group} after this login"
        return Finding(Kind.LOGIN_AGAIN, Severity.FAULT, sentence, advice="log out and in, or reboot")
    sentence = f"{closed}: the user is not in the group {group}"
    return Finding(Kind.NOT_IN_GROUP, Severity.FAULT, sentence, steps, "then log out and in, or reboot")


def _closed(devices: Sequence[Device]) -> str:
    which = ", ".join(f"{device.name} ({device.node})" for device in devices)
    return f"this user may not open the Edge TPU {which}"


def _rule_steps() -> tuple[Step, ...]:
    quoted = " ".join(f"'{rule}'" for rule in _RULES)
    return Step(f"printf '%s\\n' {quoted} | sudo tee {_RULES_FILE}"), _RELOAD


def _join(group: str) -> Step:
    name = shlex.quote(group)
    return Step(f'sudo groupadd -f {name}; sudo usermod -aG {name} "$USER"')


def _port(facts: Facts, stick: Device) -> Iterator[Finding]:
    if stick.mbps is not None and stick.mbps < USB3_MBPS:
        sentence = f"the Edge TPU {stick.name} is on USB 2 ({stick.mbps} Mbit/s), where models take several times longer"
        if facts.board is not None and _WITHOUT_USB3.match(facts.board):
            advice = "this board has no USB 3: a Raspberry Pi 4 or 5 has"
            yield Finding(Kind.ON_USB_2, Severity.NOTE, sentence, advice=advice)
        else:
            advice = "plug it into a USB 3 port (blue on a Raspberry Pi), with a cable for USB 3"
            yield Finding(Kind.ON_USB_2, Severity.WARNING, sentence, advice=advice)
    if stick.used_before is False:
        sentence = f"the Edge TPU {stick.name} was not used since it was plugged in (USB id {stick.usb_id})"
        advice = "nothing to mend: the first model loads its firmware, and its USB id becomes 18d1:9302"
        yield Finding(Kind.NEVER_USED, Severity.NOTE, sentence, advice=advice)
