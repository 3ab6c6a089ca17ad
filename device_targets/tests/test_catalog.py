"""The device catalogue: what is in it is sourced, and a file that breaks the schema is refused by file and key."""

import json
from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest

import edgekit_targets
from edgekit_targets.catalog import RANGES, load_target, open_catalog, parse_target, target_names
from edgekit_targets.errors import InvalidTargetError, UnknownTargetError
from edgekit_targets.target import Fact, Kind, RuleSetName, RuntimeStatus

DEVICES = Path(edgekit_targets.__file__).parent / "devices"
KINDS = {
    "raspberry-pi-zero-2-w": Kind.CPU,
    "raspberry-pi-3": Kind.CPU,
    "raspberry-pi-4": Kind.CPU,
    "raspberry-pi-5": Kind.CPU,
    "linux-arm64": Kind.CPU,
    "linux-armhf": Kind.CPU,
    "linux-x86_64": Kind.CPU,
    "coral-usb-accelerator": Kind.EDGETPU,
    "coral-pcie-m2": Kind.EDGETPU,
    "coral-dev-board": Kind.EDGETPU,
    "coral-dev-board-mini": Kind.EDGETPU,
    "coral-dev-board-micro": Kind.EDGETPU,
    "ethos-u55-128": Kind.ETHOS_U,
    "ethos-u55-256": Kind.ETHOS_U,
    "ethos-u65-256": Kind.ETHOS_U,
    "cortex-m4f": Kind.MICROCONTROLLER,
    "cortex-m7": Kind.MICROCONTROLLER,
    "cortex-m55": Kind.MICROCONTROLLER,
}
RULES = {
    Kind.CPU: RuleSetName.LITERT_CPU,
    Kind.EDGETPU: RuleSetName.EDGETPU,
    Kind.ETHOS_U: RuleSetName.ETHOS_U,
    Kind.MICROCONTROLLER: RuleSetName.TFLITE_MICRO,
}


def text_of(name: str) -> str:
    return (DEVICES / f"{name}.toml").read_text("utf-8")


def test_the_catalogue_is_complete():
    assert {name: load_target(name).kind for name in target_names()} == KINDS
    assert list(target_names()) == sorted(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_rules_fit_the_kind(name):
    assert load_target(name).rules is RULES[KINDS[name]]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind is Kind.CPU])
def test_a_linux_device_names_systems_and_a_runtime_for_one_of_them(name):
    target = load_target(name)
    assert target.cpu.architecture.value in {"aarch64", "armv7l", "x86_64"}
    assert target.systems
    assert target.runtimes[0].systems[0] == target.systems[0].key


@pytest.mark.parametrize("board", ["zero-2-w", "3", "4", "5"])
def test_the_raspberry_pis_are_complete(board):
    target = load_target(f"raspberry-pi-{board}")
    assert all(fact for name, fact in facts_of(target.cpu) if name != "l3_kib")
    assert target.memory.model_limit_mib.value * 2 == target.memory.sizes_mib.value[0]
    assert [system.python for system in target.systems] == ["3.11", "3.13", "3.11", "3.13"]


def test_the_raspberry_pi_4():
    target = load_target("raspberry-pi-4")
    assert target.accelerator is None
    assert (target.cpu.model.value, target.cpu.cores.value, target.cpu.architecture.value) == (
        "Cortex-A72",
        4,
        "aarch64",
    )
    assert target.memory.sizes_mib.value[0] == 1024
    assert target.recipe == "int8"
    assert "3.11" in target.runtimes[0].pythons


def test_only_the_raspberry_pi_5_is_known_to_have_the_dot_product():
    known = [name for name in target_names() if (cpu := load_target(name).cpu) and cpu.has_dot_product]
    assert known == ["raspberry-pi-5"]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind is Kind.EDGETPU])
def test_every_edge_tpu_is_the_same_chip(name):
    chip = load_target(name).accelerator
    assert (chip.sram_kib.value, chip.peak_tops.value) == (8192, 4)
    assert "16.0" in chip.compiler.value


def test_the_coral_stick_has_no_processor_of_its_own():
    target = load_target("coral-usb-accelerator")
    assert (target.cpu, target.memory) == (None, None)
    newest = next(r for r in target.runtimes if r.version == "2.3.0")
    assert newest.status is RuntimeStatus.UNVERIFIED


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind is Kind.ETHOS_U])
def test_ethos_u_is_named_to_its_compiler(name):
    chip = load_target(name).accelerator
    assert chip.macs_per_cycle.value == int(name.rpartition("-")[2])
    assert f"--accelerator-config={name}" in chip.compiler_options.value


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("rpi4", "raspberry-pi-4"),
        (" RPI4 ", "raspberry-pi-4"),
        ("Raspberry Pi 4", "raspberry-pi-4"),
        ("raspberry_pi_4", "raspberry-pi-4"),
        ("pi5", "raspberry-pi-5"),
        ("coral", "coral-usb-accelerator"),
        ("dev-board", "coral-dev-board"),
        ("linux-x86_64", "linux-x86_64"),
        ("linux-x86-64", "linux-x86_64"),
        ("x86_64", "linux-x86_64"),
    ],
)
def test_aliases(alias, name):
    assert load_target(alias).name == name


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(UnknownTargetError, match="no device 'rasberry-pi-4' in the catalogue") as error:
        load_target("rasberry-pi-4")
    assert "raspberry-pi-4" in error.value.hint
    with pytest.raises(UnknownTargetError) as error:
        load_target("zzz")
    assert "coral-usb-accelerator" in error.value.hint


@pytest.mark.parametrize("name", ["../errors", "devices/raspberry-pi-4", "raspberry-pi-4.toml", ""])
def test_a_name_is_no_path(name):
    with pytest.raises(UnknownTargetError):
        load_target(name)


def facts_of(group):
    return [(field.name, getattr(group, field.name)) for field in fields(group)]


@pytest.mark.parametrize("name", KINDS)
def test_every_number_has_a_source_and_a_date(name):
    target = load_target(name)
    groups = [group for group in (target.cpu, target.memory, target.accelerator) if group is not None]
    facts = [fact for group in groups for _, fact in facts_of(group) if fact is not None]
    assert facts
    assert all(isinstance(fact, Fact) for fact in facts)
    others = (*target.systems, *target.runtimes, *target.latencies)
    for source in [f.source for f in facts] + [o.source for o in others]:
        assert source.title
        assert date(2019, 1, 1) < source.date < date(2100, 1, 1)


@pytest.mark.parametrize("name", KINDS)
def test_json_holds_all_of_it(name):
    target = load_target(name)
    record = json.loads(json.dumps(target.to_json(), allow_nan=False))
    assert record["name"] == name
    assert set(record) == {field.name for field in fields(target)}
    if target.accelerator is not None:
        assert (
            record["accelerator"]["model"]["source"]["date"]
            == target.accelerator.model.source.date.isoformat()
        )
    assert record["runtimes"][0]["status"] == target.runtimes[0].status.value


def test_names_and_aliases_are_unique():
    words = [word for name in target_names() for word in (name, *load_target(name).aliases)]
    assert len(words) == len(set(words))


BOARD = """\
title = "My board"
aliases = ["mb"]
kind = "microcontroller"
rules = "tflite-micro"
recipe = "int8"

[sources.sheet]
title = "Its data sheet"
date = 2026-11-24

[cpu]
architecture = { value = "armv7e-m", source = "sheet" }

[memory]
ram_kib = { value = 256, source = "sheet" }
flash_kib = { value = 1024, source = "sheet" }
arena_limit_kib = { value = 192, source = "sheet" }

[[runtimes]]
package = "tflite-micro"
status = "unverified"
source = "sheet"
install = "firmware"
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "boards"
    folder.mkdir()
    (folder / "my-board.toml").write_text(BOARD)
    (folder / "README.txt").write_text("no device")
    return folder


def test_a_folder_adds_a_board(folder):
    assert load_target("MB", [folder]).memory.arena_limit_kib.value == 192
    assert load_target("rpi4", [folder]).name == "raspberry-pi-4"
    assert len(target_names([folder])) == len(KINDS) + 1
    with pytest.raises(UnknownTargetError):
        load_target("my-board")


def test_the_readme_shows_that_board():
    manual = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")
    assert BOARD in manual


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("raspberry-pi-4.toml", BOARD, "name: 'raspberry-pi-4' belongs to raspberry-pi-4"),
        ("rpi4.toml", BOARD, "name: 'rpi4' belongs to raspberry-pi-4"),
        ("linux-x86-64.toml", BOARD, "name: 'linux-x86-64' belongs to linux-x86_64"),
        ("other.toml", BOARD.replace('"mb"', '"coral"'), "aliases: 'coral' belongs to coral-usb-accelerator"),
        ("other.toml", BOARD, "aliases: 'mb' belongs to my-board"),
        ("My Board.toml", BOARD, "device names are lower case letters"),
        ("other.toml", BOARD.replace("ram_kib", "ram"), r"memory.ram: unknown key|memory.arena_limit_kib: needs ram_kib"),
        ("other.toml", "a = " + "[" * 100_000, "not TOML: nested too deeply"),
        ("other.toml", "a = " + "9" * 10_000, "not TOML"),
        ("other.toml", b"\xff\xfe", "not TOML: it is not UTF-8 text"),
        ("other.toml", "#" * 2_000_000, "larger than a device file can be"),
    ],
)  # fmt: skip
def test_a_bad_file_of_the_user_is_named(folder, file, text, message):
    path = folder / file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidTargetError, match=message) as error:
        open_catalog([folder])
    assert str(error.value).startswith(f"{path}: ")


def test_two_folders_may_not_hold_the_same_name(folder, tmp_path):
    second = tmp_path / "second"
    second.mkdir()
    (second / "my-board.toml").write_text(BOARD.replace('"mb"', '"mb2"'))
    with pytest.raises(InvalidTargetError, match="name: 'my-board' belongs to my-board"):
        open_catalog([folder, second])


@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_a_folder_that_holds_nothing_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidTargetError, match=name) as error:
        open_catalog([tmp_path / name])
    assert "NAME.toml" in error.value.hint


PI = text_of("raspberry-pi-4")
SIZES = 'sizes_mib = { value = [1024, 2048, 4096, 8192], source = "revisions" }'
CORES = 'cores = { value = 4, source = "processors" }'
EXTRA_SOURCE = "[sources.unused]\ntitle = 'a'\ndate = 2026-01-01\n[sources.policy]"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[cpu]", "[cpu", "not TOML"),
        ('kind = "cpu"', 'kind = "gpu"', "kind: 'gpu' must be one of cpu, edgetpu, ethos-u, microcontroller"),
        ('rules = "litert-cpu"', 'rules = "litert"', "rules: 'litert' must be one of litert-cpu, edgetpu"),
        ('recipe = "int8"', 'recipe = "int4"', "recipe: 'int4' must be one of int8"),
        ('kind = "cpu"\n', "", "kind: missing"),
        ('title = "Raspberry', 'titel = "Raspberry', "title: missing"),
        ('recipe = "int8"', 'recipe = "int8"\nrecepi = 1', r"recepi: unknown key \(is recipe meant\?\)"),
        ('recipe = "int8"', 'recipe = " int8"', "recipe: must be a text without blanks around it"),
        ('recipe = "int8"', "recipe = 8", "recipe: must be text"),
        ('aliases = ["rpi4"', 'aliases = ["rpi4", "rpi4"', "aliases: an entry stands twice"),
        ('aliases = ["rpi4"', 'aliases = ["RPi 4"', "aliases: 'RPi 4' is not a valid entry"),
        ('aliases = ["rpi4"', 'aliases = [4, "rpi4"', "aliases: 4 is not a valid entry"),
        (CORES, 'cores = { value = 4 }', "cpu.cores.source: missing"),
        (CORES, 'cores = { source = "processors" }', "cpu.cores.value: missing"),
        (CORES, "cores = 4", "cpu.cores: must be a table"),
        ('architecture = { value = "aarch64"', 'architectur = { value = "aarch64"', "cpu.architecture: missing"),
        (CORES, CORES.replace("4", "1" + "0" * 400), "cpu.cores.value: 10+ is impossible"),
        (CORES, CORES + "\ncoers = 4", r"cpu.coers: unknown key \(is cores meant\?\)"),
        (CORES, CORES.replace("4", "0"), "cpu.cores.value: 0 is impossible: it must be 1 to 1024"),
        (CORES, CORES.replace("4", "4.5"), "cpu.cores.value: must be a whole number"),
        (CORES, CORES.replace("4", "true"), "cpu.cores.value: must be a whole number"),
        (CORES, CORES.replace("processors", "hearsay"), r"cpu.cores.source: no source 'hearsay' in \[sources\]"),
        (CORES, CORES.replace("}", ', sorce = "x" }'), r"cpu.cores.sorce: unknown key \(is source meant\?\)"),
        ("value = 1500", "value = 1.5e9", "cpu.clock_mhz.value: 1500000000.0 is impossible"),
        ("value = 1500", "value = inf", "cpu.clock_mhz.value: inf is impossible"),
        ("value = 1500", "value = 1" + "0" * 400, "cpu.clock_mhz.value: 10+ is impossible"),
        ("value = 1500", "value = nan", "cpu.clock_mhz.value: nan is impossible"),
        ("value = 1500", 'value = "1500"', "cpu.clock_mhz.value: must be a number"),
        ("[1024, 2048, 4096, 8192]", "[2048, 1024]", "memory.sizes_mib.value: must be ascending"),
        ("[1024, 2048, 4096, 8192]", "[]", "memory.sizes_mib.value: must be a list of whole numbers"),
        ("[1024, 2048, 4096, 8192]", "[256]", "memory.model_limit_mib: is more than the smallest size, 256"),
        (SIZES, "", "memory.model_limit_mib: needs sizes_mib"),
        ("[memory]", "[accelerator]", 'accelerator: not with kind = "cpu"'),
        ("[cpu]", "[cpo]", "cpu: missing"),
        ('kind = "cpu"', 'kind = "ethos-u"', "accelerator: missing"),
        ("[sources.policy]", EXTRA_SOURCE, "sources.unused: nothing refers to it"),
        ("date = 2026-11-23\n", "\n", "date: missing"),
        ("date = 2026-11-23\n", 'date = "2026-11-23"\n', "date: must be a date"),
        ("date = 2026-11-23\n", "date = 2026-11-23T10:00:00\n", "date: must be a date"),
        ("https://github.com/google/XNNPACK", "http://github.com", "sources.xnnpack.url: must begin with https://"),
        ("[[latencies]]", "[latencies]", "not TOML|latencies: must be a list of tables"),
        ("ms = 24\n", "ms = 0\n", r"latencies\[0\].ms: 0 is impossible"),
        ("threads = 1\n", "threads = 0\n", r"latencies\[4\].threads: 0 is impossible"),
        ('status = "measured"', 'status = "sure"', r"runtimes\[0\].status: 'sure' must be one of measured, reported"),
        ('["3.10", "3.11", "3.12", "3.13", "3.14"]', "[]", r"runtimes\[0\].pythons: must name at least one"),
        ('["3.10", "3.11", "3.12", "3.13", "3.14"]', '["python3"]', r"runtimes\[0\].pythons: 'python3' is not"),
        ("[[runtimes]]", "[[runtime]]", "runtimes: missing"),
        ('install = "pip"', 'install = "snap"', r"runtimes\[0\].install: 'snap' must be one of pip, pip-debian"),
        ('systems = ["bookworm", "trixie"]', 'systems = ["buster"]', r"runtimes\[0\].systems: no system 'buster' in"),
        ('["3.10", "3.11", "3.12", "3.13", "3.14"]', '["3.12"]', r"runtimes\[0\].pythons: must hold 3.11, the Python of"),
        ('python = "3.11"', 'python = "3"', "systems.bookworm.python: '3' is not a version of Python"),
        ('name = "Raspberry Pi OS Bookworm, 64-bit"', "", "systems.bookworm.name: missing"),
    ],
)  # fmt: skip
def test_what_breaks_the_schema_is_refused_by_file_and_key(old, new, message):
    assert old in PI
    with pytest.raises(InvalidTargetError, match=rf"raspberry-pi-4\.toml: .*({message})"):
        parse_target("raspberry-pi-4", PI.replace(old, new))


@pytest.mark.parametrize("name", ["coral-usb-accelerator", "ethos-u55-128"])
def test_an_accelerator_is_required_of_its_kinds(name):
    with pytest.raises(InvalidTargetError, match="accelerator: missing"):
        parse_target(name, text_of(name).replace("[accelerator]", "[akzelerator]"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value = 192", "value = 257", "memory.arena_limit_kib: is more than there is RAM, 256"),
        (
            'ram_kib = { value = 256, source = "sheet" }',
            "",
            "memory.arena_limit_kib: needs ram_kib beside it",
        ),
        ("value = 256", "value = 0", "memory.ram_kib.value: 0 is impossible"),
        ("[[runtimes]]", "[systems]\nx = 1\n[[runtimes]]", "systems: must be a table of tables"),
    ],
)
def test_a_microcontroller_is_read_as_strictly(old, new, message):
    assert old in BOARD
    with pytest.raises(InvalidTargetError, match=rf"my-board\.toml: {message}"):
        parse_target("my-board", BOARD.replace(old, new))


def test_an_empty_memory_is_refused():
    with pytest.raises(InvalidTargetError, match="memory: is empty"):
        parse_target("my-board", BOARD[: BOARD.index("ram_kib")] + BOARD[BOARD.index("[[runtimes]]") :])


@pytest.mark.parametrize("options", ['["accelerator-config=x"]', '["--a b"]', '["--A=b"]'])
def test_compiler_options_are_options(options):
    text = text_of("ethos-u55-128")
    start = text.index("[", text.index("compiler_options = "))
    with pytest.raises(
        InvalidTargetError, match=r"accelerator.compiler_options.value: .* is not a valid entry"
    ):
        parse_target("ethos-u55-128", text[:start] + options + text[text.index("]", start) + 1 :])


@pytest.mark.parametrize("name", ["Raspberry", "raspberry--pi", "", "a/b", "-a", "a-"])
def test_a_file_has_a_plain_name(name):
    with pytest.raises(InvalidTargetError, match="device names are lower case letters"):
        parse_target(name, PI)


def test_every_range_is_used():
    numbers = BOARD + "".join(text_of(name) for name in KINDS)
    assert all(f"\n{name} = " in numbers for name in RANGES)
