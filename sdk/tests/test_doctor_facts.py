"""What the doctor sees of a machine: fake ones as folders, and the one that the tests run on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_machine import HEALTHY, RUNS, Machine, access_of_others, install, python, raspberry_pi_4

from edgekit.backends.edgetpu import Host
from edgekit.doctor.coral import Device, UdevRule, User, gather_coral
from edgekit.doctor.facts import gather, this_python, userland
from edgekit.doctor.libraries import Library, Package, elf_machine, find_library, library_folders
from edgekit.doctor.pairing import try_pairs
from edgekit.doctor.smoke import EXPECTED, read_smoke, run_smoke

ID_LINES = 'SUBSYSTEM=="usb", ATTRS{idVendor}=="%s", GROUP="plugdev"\n'


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return raspberry_pi_4(tmp_path / "root")


def test_a_board_is_known_by_its_files(machine: Machine) -> None:
    facts = machine.facts()
    assert (facts.system, facts.codename) == ("Debian GNU/Linux 12 (bookworm)", "bookworm")
    assert facts.board == "Raspberry Pi 4 Model B Rev 1.4"
    assert (facts.machine, facts.userland, facts.cpu_features) == ("aarch64", "aarch64", ())


def test_a_machine_that_says_nothing_is_unknown(tmp_path: Path) -> None:
    facts = gather(tmp_path / "nowhere", machine="aarch64", python=python(), smoke=RUNS)
    assert (facts.system, facts.codename, facts.board, facts.cpu_features) == (None, None, None, None)
    coral = facts.coral
    assert (coral.devices, coral.cards, coral.groups, coral.joined) == ((), (), (), ())
    assert (coral.library, coral.library_package, coral.libusb, coral.udev_rule) == (None, None, None, None)


@pytest.mark.parametrize(
    ("words", "key", "of", "found"),
    [
        ("fp asimd crc32 atomics asimddp", "Features", "aarch64", ("asimddp",)),
        ("half thumb neon vfpv4 crc32", "Features", "armv7l", ("neon",)),
        ("fp asimd evtstrm", "Features", "armv7l", ("asimd",)),  # a 64-bit kernel's words
        ("fpu avx avx2 avx512_vnni", "flags", "x86_64", ("avx2", "avx512_vnni")),
        ("imafdc", "isa", "riscv64", None),
    ],
)
def test_features_that_matter_are_picked(
    machine: Machine, words: str, key: str, of: str, found: tuple[str, ...] | None
) -> None:
    machine.processor(words, key)
    assert machine.facts(of).cpu_features == found


@pytest.mark.parametrize(
    ("kernel", "program", "expected"),
    [
        ("aarch64", "aarch64", "aarch64"),
        ("aarch64", "armv7l", "armv7l"),
        ("armv7l", "armv7l", "armv7l"),
        ("armv6l", "armv7l", "armv6l"),  # a program's file does not tell the two apart
        ("armv8l", "armv7l", "armv7l"),
        ("x86_64", "i686", "i686"),
        ("riscv64", None, "riscv64"),
    ],
)
def test_the_userland_is_what_programs_are_built_for(kernel: str, program: str | None, expected: str) -> None:
    assert userland(kernel, replace(python(), machine=program)) == expected


def test_this_python_says_what_it_is() -> None:
    here = this_python()
    assert (here.version, here.executable) == (platform.python_version(), sys.executable)
    assert here.bits == (64 if sys.maxsize > 2**32 else 32)
    assert here.in_venv == (sys.prefix != sys.base_prefix)
    assert userland(platform.machine(), here) == platform.machine()
    if here.libc is not None:
        assert here.libc.split() == list(platform.libc_ver())


def test_packages_are_found_and_the_best_runtime_is_first(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = {"tensorflow": "2.21.0", "tflite-runtime": "2.14.0", "ai-edge-litert": "2.3.0", **HEALTHY}
    install(packages, tmp_path / "site", monkeypatch)
    facts = machine.facts()
    assert (facts.numpy, facts.pillow, facts.cryptography) == tuple(HEALTHY.values())
    names = [runtime.name for runtime in facts.runtimes]
    assert names == ["ai-edge-litert", "tflite-runtime", "tensorflow"]
    assert facts.runtimes[0] == Package("ai-edge-litert", "2.3.0")


def test_no_packages_are_none(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install({}, tmp_path / "site", monkeypatch)
    facts = machine.facts()
    assert (facts.numpy, facts.pillow, facts.cryptography, facts.runtimes) == (None, None, None, ())


def test_a_runtime_without_a_version_is_unknown(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install({"tflite-runtime": "2.14.0"}, tmp_path / "site", monkeypatch)
    (tmp_path / "site/tflite_runtime-2.14.0.dist-info").rename(tmp_path / "gone")
    assert machine.facts().runtimes == (Package("tflite-runtime", "unknown"),)


def test_sticks_and_cards_are_described(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", access_of_others)
    first = machine.stick("2-1", used=False, mode=0o660)
    second = machine.stick("1-1.2", mbps="480")  # sysfs is read in the order of ports
    machine.card()
    machine.apex()
    slow, fresh, card = machine.facts().coral.devices
    assert slow == Device("usb:0", "usb", "1-1.2", "18d1:9302", True, str(second), True, True, 480)
    assert fresh == Device("usb:1", "usb", "2-1", "1a6e:089a", False, str(first), True, False, 5000)
    assert (card.name, card.usb_id, card.used_before, card.mbps, card.is_allowed) == (
        "pci:0",
        None,
        None,
        None,
        False,
    )
    assert machine.facts().coral.cards == ("0000:01:00.0",)


def test_what_sysfs_does_not_say_of_a_stick_is_none(machine: Machine) -> None:
    machine.stick(mbps=None)
    (machine.root / "sys/bus/usb/devices/2-1/devnum").unlink()
    (stick,) = machine.facts().coral.devices
    assert (stick.node, stick.is_there, stick.is_allowed, stick.mbps) == (None, None, None, None)


def test_a_stick_without_its_file_is_told_from_one_that_may_not_be_opened(machine: Machine) -> None:
    machine.stick().unlink()
    (stick,) = machine.facts().coral.devices
    assert (stick.is_there, stick.is_allowed) == (False, None)


def test_libraries_are_found_where_the_linker_looks(machine: Machine) -> None:
    machine.write("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
    machine.write("etc/ld.so.conf.d/local.conf", "# a comment\n/usr/local/lib  # and one more\n\n")
    folders = [str(path.relative_to(machine.root)) for path in library_folders(machine.root, "aarch64")]
    assert folders[:3] == ["usr/local/lib", "lib/aarch64-linux-gnu", "lib64"]
    assert machine.root / "usr/lib/arm-linux-gnueabihf" in library_folders(machine.root, "armv7l")
    machine.library("libusb-1.0.so.0")
    found = machine.facts().coral.libusb
    assert found == Library(str(machine.root / "usr/lib/aarch64-linux-gnu/libusb-1.0.so.0.0"), "aarch64")


def test_a_32_bit_system_under_a_64_bit_kernel_has_32_bit_libraries(machine: Machine) -> None:
    machine.library("libusb-1.0.so.0", "armv7l")
    coral = machine.facts("aarch64", of=python(machine="armv7l")).coral
    assert coral.libusb is not None
    assert coral.libusb.machine == "armv7l"
    assert machine.facts("aarch64").coral.libusb is None


def test_the_linker_passes_over_libraries_of_another_machine(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.library("libedgetpu.so.1", "x86_64", "a")
    machine.library("libedgetpu.so.1", "aarch64", "b")
    folders = [tmp_path / "missing", tmp_path / "a", tmp_path / "b"]
    for wanted, folder in (("x86_64", "a"), ("aarch64", "b"), ("armv7l", "a")):
        found = find_library("libedgetpu.so.1", folders, wanted)
        assert found is not None
        assert found.path == str(tmp_path / folder / "libedgetpu.so.1.0")
        assert found.fits(wanted) is (wanted != "armv7l")


def test_ld_library_path_counts_on_the_real_root_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path}:")
    assert next(library_folders(Path("/"), "aarch64")) == tmp_path
    assert tmp_path not in library_folders(tmp_path / "root", "aarch64")


def test_headers_of_programs_and_libraries(tmp_path: Path) -> None:
    path = tmp_path / "file"
    little, big = b"\x7fELF\x01\x01" + bytes(10), b"\x7fELF\x02\x02" + bytes(10)
    for head, machine in [
        (little + b"\x03\x00\x28\x00", "armv7l"),
        (little + b"\x03\x00\x03\x00", "i686"),
        (big + b"\x00\x03\x00\xb7", "aarch64"),
        (little + b"\x03\x00\x15\x00", None),  # PowerPC
        (little + b"\x03\x00\x28", None),
        (b"GROUP ( /lib/libusb.so.0 )", None),
        (b"", None),
    ]:
        path.write_bytes(head)
        assert elf_machine(path) == machine
    assert elf_machine(tmp_path / "none") is None
    assert elf_machine(tmp_path) is None
    assert Library("x", None).fits("aarch64") is None
    assert Library("x", "armv7l").fits("armv6l") is True


def test_the_package_of_the_library_is_the_one_that_lists_it(machine: Machine) -> None:
    path = machine.library("libedgetpu.so.1")
    machine.package(
        "libedgetpu1-std", "16.0TF2.19.1-1", path.removeprefix("/usr")
    )  # as before usr was merged
    assert machine.facts().coral.library_package == Package("libedgetpu1-std", "16.0TF2.19.1-1")


@pytest.mark.parametrize(
    "status", ["deinstall ok config-files", "install ok unpacked", "purge ok not-installed"]
)
def test_a_package_that_is_not_installed_does_not_count(machine: Machine, status: str) -> None:
    machine.package("libedgetpu1-max", "16.0", machine.library("libedgetpu.so.1"), status=status)
    assert machine.facts().coral.library_package is None


def test_a_package_that_did_not_bring_the_library_does_not_count(machine: Machine) -> None:
    machine.library("libedgetpu.so.1", folder="usr/local/lib")
    machine.write("etc/ld.so.conf.d/libc.conf", "/usr/local/lib\n")
    machine.package("libedgetpu1-std", "16.0", "/usr/lib/aarch64-linux-gnu/libedgetpu.so.1.0")
    coral = machine.facts().coral
    assert coral.library is not None
    assert coral.library_package is None


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ((ID_LINES % "1a6e") + (ID_LINES % "18d1"), "plugdev"),
        ((ID_LINES % "1a6e").replace('", G', '", \\\n  G') + (ID_LINES % "18d1"), "plugdev"),
        (((ID_LINES % "1a6e") + (ID_LINES % "18d1")).replace("GROUP=", "GROUP:="), "plugdev"),
        (((ID_LINES % "1a6e") + (ID_LINES % "18d1")).replace('GROUP="plugdev"', 'MODE="0666"'), None),
        (((ID_LINES % "1a6e") + (ID_LINES % "18d1")).replace('GROUP="plugdev"', 'TAG+="uaccess"'), None),
    ],
    ids=["group", "continued", "final", "mode", "seat"],
)
def test_rules_that_give_sticks_are_found(machine: Machine, text: str, group: str | None) -> None:
    machine.write("etc/udev/rules.d/71-edgetpu.rules", text)
    assert machine.facts().coral.udev_rule == UdevRule("/etc/udev/rules.d/71-edgetpu.rules", group)


@pytest.mark.parametrize(
    "text",
    [
        ID_LINES % "18d1",  # Google's vendor id: also that of a telephone
        "# " + (ID_LINES % "1a6e") + (ID_LINES % "18d1"),
        ((ID_LINES % "1a6e") + (ID_LINES % "18d1")).replace('GROUP="plugdev"', 'ATTR{power/control}="on"'),
        "\xff\0",
    ],
    ids=["telephone", "comment", "power", "rubbish"],
)
def test_rules_that_do_not_give_sticks_are_none(machine: Machine, text: str) -> None:
    machine.write("etc/udev/rules.d/51-android.rules", text)
    assert machine.facts().coral.udev_rule is None


def test_a_rules_file_of_the_administrator_hides_the_packages_one(machine: Machine) -> None:
    machine.rules()
    assert machine.facts().coral.udev_rule is not None
    machine.write("etc/udev/rules.d/60-libedgetpu1-std.rules", "")
    assert machine.facts().coral.udev_rule is None


def test_groups_are_those_of_the_login_and_those_that_were_joined(machine: Machine) -> None:
    machine.group("plugdev", 46, "alice", "pi")
    machine.group("apex", 47, entered=True)
    machine.group("video", 44, "pi", entered=True)
    coral = machine.facts().coral
    assert (coral.groups, coral.joined) == (("apex",), ("plugdev",))
    stranger = gather_coral(machine.root, "aarch64", User(4711, frozenset()))
    assert (stranger.groups, stranger.joined) == ((), ())


def test_a_group_that_a_rule_names_matters_too(machine: Machine) -> None:
    machine.rules('GROUP="coral"')
    machine.group("coral", 990, "pi", entered=True)
    assert machine.facts().coral.groups == ("coral",)


def test_this_machine_is_seen_and_is_plain_json() -> None:
    facts = gather(smoke=RUNS)
    said = json.loads(json.dumps(facts.to_json(), allow_nan=False))
    assert said["numpy"] == np.__version__
    assert said["machine"] == os.uname().machine
    assert said["python"]["executable"] == sys.executable
    assert said["smoke"]["error"] is None
    assert said["pairings"] == []
    assert set(said["coral"]) >= {"devices", "cards", "library", "udev_rule", "groups"}


# The tiny model, in its child.


def test_the_tiny_model_runs_here() -> None:
    pytest.importorskip("ai_edge_litert")
    smoke = run_smoke()
    assert smoke.passed, smoke.error
    assert smoke.runtime.startswith("ai-edge-litert ")
    assert (smoke.kernels, smoke.signal) == ("xnnpack", None)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a LiteRT of the test's making before the real one, for child processes."""

    def write(code: str) -> None:
        folder = tmp_path / "ai_edge_litert"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "interpreter.py").write_text(code)
        (tmp_path / "ai_edge_litert-9.9.dist-info").mkdir()
        monkeypatch.syspath_prepend(str(tmp_path))

    return write


@pytest.mark.parametrize("name", ["SIGILL", "SIGSEGV", "SIGKILL"])
def test_a_runtime_that_dies_takes_only_the_child_along(runtime: Callable[[str], None], name: str) -> None:
    last_words = r"os.write(2, b'\xff\xfe last words\n')"
    runtime(f"import os, signal\n{last_words}\nos.kill(os.getpid(), signal.{name})\n")
    smoke = run_smoke()
    assert (smoke.runtime, smoke.signal) == ("ai-edge-litert 9.9", name)
    assert smoke.error == f"ai-edge-litert 9.9 ended the process with {name}"


def test_a_runtime_that_cannot_be_imported_says_why(runtime: Callable[[str], None]) -> None:
    runtime("raise ImportError('libfoo.so.1: cannot open shared object file')")
    smoke = run_smoke()
    assert smoke.error is not None
    assert "libfoo.so.1: cannot open shared object file" in smoke.error
    assert smoke.hint is not None


def test_a_runtime_that_hangs_is_given_up(runtime: Callable[[str], None]) -> None:
    runtime("import time\ntime.sleep(60)")
    assert run_smoke(timeout_s=2).error == "a tiny model did not run within 2 s"


def test_a_wrong_answer_is_a_failure() -> None:
    smoke = read_smoke(0, json.dumps({"runtime": "x 1"}) + "\n" + json.dumps({"answer": [10, 97]}), "")
    assert smoke.error == "x 1 failed on a model of one operator: it answered [10, 97]"
    assert read_smoke(0, json.dumps({"answer": EXPECTED}), "").passed
    assert read_smoke(-6, json.dumps({"answer": EXPECTED}), "").signal == "SIGABRT"


@pytest.mark.parametrize("said", ["", "rubbish\n[1]\n", '{"answer": null}'])
def test_a_child_that_says_nothing_sensible_failed(said: str) -> None:
    assert not read_smoke(1, said, "").passed
    assert "Killed by nobody" in str(read_smoke(1, "", "\nKilled by nobody\n").error)


# Runtime, library and device together: a library that is compiled here stands in for libedgetpu.

LIBRARY = """
#include <stdlib.h>
static int prepare(void *context, void *self) { return 0; }
struct delegate {
    void *data; int (*prepare)(void *, void *); void *from, *to, *release; long long flags; void *builder;
};
void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    if (values[0][4] == '1') abort();
    struct delegate *made = calloc(1, sizeof *made);
    made->prepare = prepare;
    return made;
}
void tflite_plugin_destroy_delegate(void *made) { free(made); }
"""


def test_pairs_are_tried_on_every_stick_that_may_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert")
    machine = Machine(tmp_path / "root")
    for port, mode in (("1-1", 0o666), ("1-2", 0o666), ("1-3", 0o600)):
        machine.stick(port, mode=mode)
    (tmp_path / "delegate.c").write_text(LIBRARY)
    library = tmp_path / "libedgetpu.so.1"
    try:
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "delegate.c"], check=True)
    except FileNotFoundError:
        pytest.skip("gcc is not installed")
    monkeypatch.setattr("os.access", access_of_others)
    devices = machine.facts().coral.devices
    works, dies = try_pairs(devices, Host(library=str(library)))
    assert (works.device, works.error, works.hint) == ("usb:0", None, None)
    assert dies.device == "usb:1"
    assert "end the process (SIGABRT) while opening the device" in str(dies.error)
    assert dies.hint is not None
