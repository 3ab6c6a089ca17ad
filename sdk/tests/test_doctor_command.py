"""``edgekit doctor``: the real command on the real machine, on one without anything, and what it prints of fake ones."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from fake_machine import HEALTHY, Machine, access_of_others, install, raspberry_pi_4

import edgekit
import edgekit_targets
from edgekit.doctor.facts import Facts
from edgekit.doctor.findings import diagnose
from edgekit.doctor.pairing import Pairing
from edgekit.doctor.smoke import read_smoke
from edgekit.doctor.text import WIDTH, describe
from edgekit_targets.catalog import open_catalog

TARGETS = open_catalog().targets


def doctor(
    *words: str, python: object = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-m", "edgekit", "doctor", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


def kinds(answer: dict[str, Any]) -> list[str]:
    return [finding["kind"] for finding in answer["findings"]]


def test_this_machine_as_json(site: Any) -> None:
    pytest.importorskip("ai_edge_litert")
    done = doctor("--json")
    answer = json.loads(done.stdout)
    assert set(answer) == {"facts", "findings", "can_run"}
    facts = answer["facts"]
    assert facts["python"]["version"] == platform.python_version()
    assert facts["machine"] == os.uname().machine
    assert facts["numpy"] == np.__version__
    assert facts["runtimes"][0]["name"] == "ai-edge-litert"
    assert facts["smoke"]["runtime"] == f"ai-edge-litert {facts['runtimes'][0]['version']}"
    assert answer["can_run"] is True
    faults = [finding for finding in answer["findings"] if finding["severity"] == "fault"]
    assert done.returncode == (1 if faults else 0)
    assert done.stderr == ""


def test_this_machine_as_text(site: Any) -> None:
    pytest.importorskip("ai_edge_litert")
    done = doctor()
    assert done.stdout.split("\n")[0].split() == ["what", "found"]
    rows = rows_of(done.stdout)
    assert rows["edgekit"] == [edgekit.__version__]
    assert rows["Python"][0].startswith(f"{platform.python_version()}, ")
    assert rows["numpy"] == [np.__version__]
    assert rows["trial run"][0].startswith("a tiny int8 model gave the right answer on ai-edge-litert ")
    assert done.stdout.splitlines()[-1].startswith("bundles can be run here; ")
    assert done.stderr == ""


def test_a_probe_opens_what_there_is(site: Any) -> None:
    answer = json.loads(doctor("--probe", "--json").stdout)
    usable = [device["name"] for device in answer["facts"]["coral"]["devices"] if device["is_allowed"]]
    assert [pairing["device"] for pairing in answer["facts"]["pairings"]] == usable


def test_help_says_what_the_exit_codes_mean(site: Any) -> None:
    shown = doctor("--help").stdout
    assert "0  a model can be run here, and nothing is a fault\n" in shown
    assert "1  there is a fault\n" in shown


def test_a_runtime_that_dies_is_a_fault_and_not_the_end_of_the_doctor(site: Any, tmp_path: Path) -> None:
    folder = tmp_path / "dying"
    (folder / "ai_edge_litert").mkdir(parents=True)
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n"
    (folder / "ai_edge_litert/__init__.py").write_text(code)
    (folder / "ai_edge_litert-2.3.0.dist-info").mkdir()
    done = doctor("--json", PYTHONPATH=os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]))
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert answer["can_run"] is False
    fault = answer["findings"][0]
    assert (fault["kind"], fault["severity"]) == ("model-fails", "fault")
    assert fault["sentence"].startswith(
        "ai-edge-litert 2.3.0 ended the process with SIGILL: it was built for"
    )


@pytest.fixture
def bare(tmp_path: Path, site: Callable[..., Path]) -> tuple[Path, dict[str, str]]:
    """A Python with edgekit and click and nothing else, not even numpy; and its environment."""
    venv.create(tmp_path / "venv", with_pip=False)
    folder = tmp_path / "packages"
    folder.mkdir()
    for package in (edgekit, edgekit_targets, click):
        (folder / package.__name__).symlink_to(Path(package.__file__).parent)
    commands = site("edgekit-nothing", {})
    (folder / "edgekit-1.0.dist-info").symlink_to(commands / "edgekit-1.0.dist-info")
    return tmp_path / "venv/bin/python", {"PYTHONPATH": str(folder)}


def test_a_machine_without_anything_gets_the_lines_that_install_it(bare: tuple[Path, dict[str, str]]) -> None:
    python, environment = bare
    done = doctor("--json", python=python, **environment)
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert answer["can_run"] is False
    assert answer["facts"]["numpy"] is None
    assert answer["facts"]["runtimes"] == []
    assert kinds(answer) == ["no-runtime", "numpy-missing", "cryptography-missing", "pillow-missing"]
    assert answer["findings"][0]["steps"] == [
        {"line": f"{python} -m pip install 'edgekit[runtime]'", "why": None}
    ]
    shown = doctor(python=python, **environment)
    assert shown.returncode == 1
    assert "fault    no TFLite runtime is installed\n" in shown.stdout
    assert f"fix      {python} -m pip install 'edgekit[runtime]'\n" in shown.stdout
    assert shown.stdout.endswith("no bundle can be run here; 3 faults, 1 note\n")
    assert shown.stderr == ""


# What is printed of fake machines.


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], Facts]:
    """Gathers the facts of a machine with a sound set of packages."""

    def gather(machine: Machine) -> Facts:
        install({**HEALTHY, "ai-edge-litert": "2.2.0"}, tmp_path / "site", monkeypatch)
        monkeypatch.setattr("os.access", access_of_others)
        return machine.facts()

    return gather


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return raspberry_pi_4(tmp_path / "root")


def rows_of(text: str) -> dict[str, list[str]]:
    """The table: what -> found, with further lines of the same."""
    rows: dict[str, list[str]] = {}
    lines = text.split("\n\n")[0].splitlines()
    column = lines[0].index("found")
    last = ""
    for line in lines[1:]:
        last = line[:column].strip() or last
        rows.setdefault(last, []).append(line[column:])
    return rows


def test_a_coral_is_shown_with_all_that_it_needs(machine: Machine, look: Callable[[Machine], Facts]) -> None:
    machine.libedgetpu()
    machine.stick("1-1.2", used=False, mbps="480")
    machine.card("0000:03:00.0")
    facts = look(machine)
    text = describe(facts, diagnose(facts, TARGETS))
    rows = rows_of(text)
    node = machine.root / "dev/bus/usb/002/003"
    assert rows["Edge TPU"] == [
        f"usb:0: 1a6e:089a at port 1-1.2, USB 2, 480 Mbit/s, {node} can be opened by this user",
        "PCI 0000:03:00.0: no driver",
    ]
    assert rows["libedgetpu"] == [
        "libedgetpu1-std 16.0TF2.19.1-1",
        f"{machine.root}/usr/lib/aarch64-linux-gnu/libedgetpu.so.1.0, for aarch64",
    ]
    assert rows["libusb"][0].endswith("libusb-1.0.so.0.0, for aarch64")
    assert rows["udev rule"] == ["/usr/lib/udev/rules.d/60-libedgetpu1-std.rules, for the group plugdev"]
    assert rows["groups"] == ["plugdev"]
    assert rows["processor"] == ["aarch64; for int8: no asimddp or i8mm"]
    assert text.endswith("bundles can be run here; 1 fault, 1 warning, 1 note")
    assert text.index("\nfault    ") < text.index("\nwarning  ") < text.index("\nnote     ")


def test_a_machine_without_a_coral_is_not_troubled_with_its_needs(
    machine: Machine, look: Callable[[Machine], Facts]
) -> None:
    rows = rows_of(describe(look(machine), ()))
    assert rows["Edge TPU"] == ["none seen"]
    assert rows["libedgetpu"] == ["not installed"]
    assert not {"libusb", "udev rule", "groups", "Edge TPU trial"} & set(rows)


def test_what_is_unknown_is_called_unknown(machine: Machine, look: Callable[[Machine], Facts]) -> None:
    machine.stick(mbps=None)
    (machine.root / "sys/bus/usb/devices/2-1/busnum").unlink()
    machine.library("libedgetpu.so.1")
    facts = look(machine)
    silent = replace(facts.python, libc=None)
    facts = replace(facts, system=None, board=None, cpu_features=None, python=silent)
    rows = rows_of(describe(facts, ()))
    assert rows["system"] == ["unknown"]
    assert rows["processor"] == ["aarch64; for int8: unknown"]
    assert rows["Python"][0] == "3.11.2, 64-bit, C library unknown, in a virtual environment"
    assert rows["Edge TPU"] == [
        "usb:0: 18d1:9302 at port 2-1, at an unknown speed, unknown by which file it is opened"
    ]
    assert rows["libedgetpu"][0] == "version unknown"
    assert "board" not in rows


def test_trials_are_shown(machine: Machine, look: Callable[[Machine], Facts]) -> None:
    facts = look(machine)
    failed = read_smoke(-11, '{"runtime": "ai-edge-litert 2.2.0"}', "")
    pairings = (Pairing("usb:0", None, None), Pairing("usb:1", "no", None))
    text = describe(replace(facts, smoke=failed, pairings=pairings), ())
    assert rows_of(text)["trial run"] == ["failed"]
    opened = "usb:0: opened, and an interpreter built with it"
    assert rows_of(text)["Edge TPU trial"] == [opened, "usb:1: failed"]
    assert text.endswith("\n\nno bundle can be run here; nothing to mend")


def test_prose_is_wrapped_and_lines_to_type_are_not(
    machine: Machine, look: Callable[[Machine], Facts]
) -> None:
    machine.stick(mode=0o600)
    facts = look(machine)
    findings = diagnose(facts, TARGETS)
    text = describe(facts, findings)
    typed = [step.line for finding in findings for step in finding.steps]
    assert any(len(line) > WIDTH for line in typed)
    assert all(line in text for line in typed)
    below = text.split("\n\n", 1)[1].splitlines()
    prose = [line for line in below if not any(line.endswith(command) for command in typed)]
    assert all(len(line) <= WIDTH or str(machine.root) in line for line in prose)


def test_names_cannot_command_the_terminal(machine: Machine, look: Callable[[Machine], Facts]) -> None:
    machine.board("Board\x1b[2J")
    machine.rules('GROUP="g\x1b[31m"')
    machine.stick(mode=0o600)
    machine.library("libedgetpu.so.1")
    facts = look(machine)
    text = describe(facts, diagnose(facts, TARGETS))
    assert "\x1b" not in text
    assert "Board\\x1b[2J" in text
