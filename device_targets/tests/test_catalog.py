"""The device catalogue: what is in it is sourced, and a file that breaks the schema is refused by file and key."""

from datetime import date
from pathlib import Path

import pytest

import edgekit_targets
from edgekit_targets.catalog import RANGES, load_target, parse_target, target_names
from edgekit_targets.errors import InvalidTargetError, UnknownTargetError
from edgekit_targets.target import Fact, Kind, RuntimeStatus

DEVICES = Path(edgekit_targets.__file__).parent / "devices"


def text_of(name: str) -> str:
    return (DEVICES / f"{name}.toml").read_text("utf-8")


def test_the_raspberry_pi_4():
    target = load_target("raspberry-pi-4")
    assert target.kind is Kind.CPU
    assert target.accelerator is None
    assert (target.cpu.model.value, target.cpu.cores.value, target.cpu.architecture.value) == (
        "Cortex-A72",
        4,
        "aarch64",
    )
    assert not target.cpu.has_dot_product
    assert target.memory.sizes_mib.value[0] == 1024
    assert target.recipe == "int8"
    assert "3.11" in target.runtimes[0].pythons


def test_the_coral_stick_has_no_processor_of_its_own():
    target = load_target("coral-usb-accelerator")
    assert target.kind is Kind.EDGETPU
    assert (target.cpu, target.memory) == (None, None)
    assert target.accelerator.sram_kib.value == 8192
    newest = next(r for r in target.runtimes if r.version == "2.3.0")
    assert newest.status is RuntimeStatus.UNVERIFIED


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("rpi4", "raspberry-pi-4"),
        (" RPI4 ", "raspberry-pi-4"),
        ("Raspberry Pi 4", "raspberry-pi-4"),
        ("raspberry_pi_4", "raspberry-pi-4"),
        ("coral", "coral-usb-accelerator"),
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


@pytest.mark.parametrize("name", target_names())
def test_every_number_has_a_source_and_a_date(name):
    target = load_target(name)
    groups = [group for group in (target.cpu, target.memory, target.accelerator) if group is not None]
    facts = [getattr(group, field) for group in groups for field in group.__dataclass_fields__]
    assert facts
    assert all(isinstance(fact, Fact) for fact in facts)
    for source in [f.source for f in facts] + [r.source for r in (*target.runtimes, *target.latencies)]:
        assert source.title
        assert date(2019, 1, 1) < source.date < date(2100, 1, 1)


def test_names_and_aliases_are_unique():
    words = [word for name in target_names() for word in (name, *load_target(name).aliases)]
    assert len(words) == len(set(words))


PI = text_of("raspberry-pi-4")
CORAL = text_of("coral-usb-accelerator")
CORES = 'cores = { value = 4, source = "processors" }'
EXTRA_SOURCE = "[sources.unused]\ntitle = 'a'\ndate = 2026-01-01\n[sources.policy]"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[cpu]", "[cpu", "not TOML"),
        ('kind = "cpu"', 'kind = "gpu"', "kind: 'gpu' must be one of cpu, edgetpu"),
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
        (CORES, "", "cpu.cores: missing"),
        (CORES, CORES.replace("4", "0"), "cpu.cores.value: 0 is impossible: it must be 1 to 1024"),
        (CORES, CORES.replace("4", "4.5"), "cpu.cores.value: must be a whole number"),
        (CORES, CORES.replace("4", "true"), "cpu.cores.value: must be a whole number"),
        (CORES, CORES.replace("processors", "hearsay"), r"cpu.cores.source: no source 'hearsay' in \[sources\]"),
        (CORES, CORES.replace("}", ', sorce = "x" }'), r"cpu.cores.sorce: unknown key \(is source meant\?\)"),
        ("value = 1500", "value = 1.5e9", "cpu.clock_mhz.value: 1500000000.0 is impossible"),
        ("value = 1500", "value = nan", "cpu.clock_mhz.value: nan is impossible"),
        ("value = 1500", 'value = "1500"', "cpu.clock_mhz.value: must be a number"),
        ("[1024, 2048, 4096, 8192]", "[2048, 1024]", "memory.sizes_mib.value: must be ascending"),
        ("[1024, 2048, 4096, 8192]", "[]", "memory.sizes_mib.value: must be a list of whole numbers"),
        ("[1024, 2048, 4096, 8192]", "[256]", "memory.model_limit_mib: is more than the smallest size, 256"),
        ("[memory]", "[accelerator]", 'accelerator: only with kind = "edgetpu"'),
        ("[sources.policy]", EXTRA_SOURCE, "sources.unused: nothing refers to it"),
        ("date = 2026-11-23\n", "\n", "date: missing"),
        ("date = 2026-11-23\n", 'date = "2026-11-23"\n', "date: must be a date"),
        ("date = 2026-11-23\n", "date = 2026-11-23T10:00:00\n", "date: must be a date"),
        ("https://github.com/google/XNNPACK", "http://github.com", "sources.xnnpack.url: must begin with https://"),
        ("[[latencies]]", "[latencies]", "not TOML|latencies: must be a list of tables"),
        ("ms = 24\n", "ms = 0\n", r"latencies\[0\].ms: 0.0 is impossible"),
        ("threads = 1\n", "threads = 0\n", r"latencies\[3\].threads: 0 is impossible"),
        ('status = "measured"', 'status = "sure"', r"runtimes\[0\].status: 'sure' must be one of measured, reported"),
        ('["3.10", "3.11", "3.12", "3.13", "3.14"]', "[]", r"runtimes\[0\].pythons: must name at least one"),
        ('["3.10", "3.11", "3.12", "3.13", "3.14"]', '["python3"]', r"runtimes\[0\].pythons: 'python3' is not"),
        ("[[runtimes]]", "[[runtime]]", "runtimes: missing"),
    ],
)  # fmt: skip
def test_what_breaks_the_schema_is_refused_by_file_and_key(old, new, message):
    assert old in PI
    with pytest.raises(InvalidTargetError, match=rf"raspberry-pi-4\.toml: .*({message})"):
        parse_target("raspberry-pi-4", PI.replace(old, new))


def test_an_accelerator_is_required_of_an_edge_tpu():
    with pytest.raises(InvalidTargetError, match="accelerator: missing"):
        parse_target("coral-usb-accelerator", CORAL.replace("[accelerator]", "[akzelerator]"))


@pytest.mark.parametrize("name", ["Raspberry", "raspberry--pi", "", "a/b"])
def test_a_file_has_a_plain_name(name):
    with pytest.raises(InvalidTargetError, match="device names are lower case letters"):
        parse_target(name, PI)


def test_every_range_is_used():
    numbers = PI + CORAL
    assert all(f"\n{name} = " in numbers for name in RANGES)
