"""The doctor's findings: for each of them a machine, as folders, that has that one thing wrong."""

from __future__ import annotations

import shlex
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_cases import DIED, FAULT, LITERT, NOTE, RUNTIME_CASES, WARNING, Case, Setup, libedgetpu, on, stick
from doctor_coral_cases import CORAL_CASES, SOUND, closed_stick
from fake_machine import HEALTHY, Machine, access_of_others, install, python, raspberry_pi_4

from edgekit.doctor import runtimes
from edgekit.doctor.coral import UdevRule, gather_coral
from edgekit.doctor.finding import Finding, Kind, Severity
from edgekit.doctor.findings import diagnose, has_fault
from edgekit.doctor.pairing import Pairing
from edgekit.doctor.pairs import tensorflow_of
from edgekit.doctor.remedies import CORALS, GENERIC, GLIBC, reported_runtime
from edgekit.doctor.smoke import read_smoke
from edgekit_targets.catalog import open_catalog
from edgekit_targets.install import LIBEDGETPU

PROJECT = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8"))["project"]
TARGETS = open_catalog().targets
CASES = [*RUNTIME_CASES, *CORAL_CASES]


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Setup], tuple[Finding, ...]]:
    """Builds a machine, gathers its facts and decides."""

    def look(setup: Setup) -> tuple[Finding, ...]:
        machine = raspberry_pi_4(tmp_path / "root")
        setup.build(machine)
        install(dict(setup.packages), tmp_path / "site", monkeypatch)
        monkeypatch.setattr("os.access", access_of_others)
        facts = machine.facts(setup.machine, setup.smoke, setup.python)
        return diagnose(replace(facts, pairings=setup.pairings), TARGETS)

    return look


def fix_of(finding: Finding) -> str:
    """Everything that is to be done, a line each."""
    return "\n".join([*(step.line for step in finding.steps), *([finding.advice] if finding.advice else [])])


def check_form(finding: Finding) -> None:
    """There is a fix, and a shell can read it."""
    assert finding.steps or finding.advice
    assert finding.sentence[-1] not in ".!"
    for step in finding.steps:
        done = subprocess.run(["bash", "-n", "-c", step.line], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("case", CASES, ids=[f"{case.kind.value}-{n}" for n, case in enumerate(CASES)])
def test_what_is_wrong_is_found_with_its_fix_and_nothing_else_is(
    case: Case, examine: Callable[[Setup], tuple[Finding, ...]]
) -> None:
    found = examine(case)
    assert sorted(finding.kind for finding in found) == sorted([case.kind, *case.also])
    finding = next(finding for finding in found if finding.kind is case.kind)
    assert finding.severity is case.severity
    assert case.says in finding.sentence
    assert case.fix in fix_of(finding)
    assert has_fault(found) == any(finding.severity is FAULT for finding in found)
    for finding in found:
        check_form(finding)


def test_there_is_a_machine_for_every_finding() -> None:
    assert {case.kind for case in CASES} == set(Kind)


@pytest.mark.parametrize("setup", SOUND.values(), ids=SOUND)
def test_a_sound_machine_has_nothing_to_mend(
    setup: Setup, examine: Callable[[Setup], tuple[Finding, ...]]
) -> None:
    assert examine(setup) == ()


def test_the_worst_comes_first(examine: Callable[[Setup], tuple[Finding, ...]]) -> None:
    build = on(stick(used=False, mbps="480"), libedgetpu("16.0"), Machine.card)
    found = examine(Setup(build=build, packages={**LITERT, "cryptography": "37.0"}))
    severities = [finding.severity for finding in found]
    assert severities == sorted(severities, key=list(Severity).index)
    assert {FAULT, WARNING, NOTE} == set(severities)


def test_a_crash_of_the_runtime_is_said_although_something_else_is_at_fault(
    examine: Callable[[Setup], tuple[Finding, ...]],
) -> None:
    packages = {name: LITERT[name] for name in LITERT if name != "cryptography"}
    found = examine(Setup(packages=packages, smoke=read_smoke(-11, DIED, "")))
    assert [finding.kind for finding in found] == [Kind.MODEL_FAILS, Kind.CRYPTOGRAPHY_MISSING]


def test_a_pair_that_was_tried_in_vain_and_is_known_to_crash_gets_the_known_fix(
    examine: Callable[[Setup], tuple[Finding, ...]],
) -> None:
    pairings = (Pairing("usb:0", "they end the process (SIGSEGV)", None),)
    found = examine(Setup(build=on(stick(), libedgetpu("16.0")), pairings=pairings))
    assert [finding.kind for finding in found] == [Kind.PAIR_CRASHES]


def test_the_rule_that_is_to_be_typed_is_one_that_the_doctor_finds(
    examine: Callable[[Setup], tuple[Finding, ...]], tmp_path: Path
) -> None:
    (finding,) = examine(Setup(build=closed_stick))
    line, _, target = finding.steps[1].line.partition(" | sudo tee ")
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    again = Machine(tmp_path / "again")
    again.write(target.lstrip("/"), done.stdout)
    assert done.stdout.count("\n") == 2
    assert gather_coral(again.root, "aarch64", again.user).udev_rule == UdevRule(target, "plugdev")


def test_python_is_quoted_for_the_shell(examine: Callable[[Setup], tuple[Finding, ...]]) -> None:
    (finding,) = examine(Setup(packages=HEALTHY, python=python(executable="/home/my pi/python")))
    assert shlex.split(finding.steps[0].line)[:3] == ["/home/my pi/python", "-m", "pip"]


@pytest.mark.parametrize(
    ("version", "tensorflow"),
    [("16.0TF2.19.1-1", (2, 19, 1)), ("16.0tf2.17.1-1.bookworm", (2, 17, 1)), ("16.0", ()), ("15.0", ())],
)
def test_the_tensorflow_of_a_library_stands_in_its_packages_version(
    version: str, tensorflow: tuple[int, ...]
) -> None:
    assert tensorflow_of(version) == tensorflow


def test_the_doctors_numbers_are_those_of_the_project_and_of_the_catalogue() -> None:
    assert f"cryptography>={runtimes.OLDEST_CRYPTOGRAPHY}" in PROJECT["dependencies"]
    assert PROJECT["optional-dependencies"]["images"] == [f"pillow>={runtimes.OLDEST_PILLOW}"]
    for machine, name in GENERIC.items():
        cpu = TARGETS[name].cpu
        assert cpu is not None
        assert cpu.architecture.value == machine
        assert {runtime.package for runtime in TARGETS[name].runtimes} <= set(GLIBC)
    for package, oldest in GLIBC.items():
        said = f"glibc {'.'.join(map(str, oldest))} or later"
        assert any(
            runtime.package == package and said in (runtime.note or "")
            for name in GENERIC.values()
            for runtime in TARGETS[name].runtimes
        )
    assert set(CORALS.values()) <= set(TARGETS)
    assert f"feranick's libedgetpu {LIBEDGETPU}" in (reported_runtime(TARGETS).note or "")
