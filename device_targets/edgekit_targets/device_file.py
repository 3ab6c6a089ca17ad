"""A device file: its schema, and the reader that refuses what breaks it.

The schema. Every key is required unless it says "optional", and no other key may stand there::

    title = "Raspberry Pi 4 Model B"
    aliases = ["rpi4"]              # may be empty; each name and alias occurs once in the catalogue
    kind = "cpu"                    # a word of target.Kind
    rules = "litert-cpu"            # a word of target.RuleSetName
    recipe = "int8"                 # a word of target.RecipeName

    [sources.datasheet]             # any number; something below must refer to each
    title = "Raspberry Pi 4 datasheet"
    date = 2026-11-24               # when it was read or measured
    url = "https://..."             # optional

    [cpu]                           # required for kinds "cpu" and "microcontroller"
    architecture = { value = "aarch64", source = "datasheet", note = "..." }   # note is optional, in every fact
                                    # other keys: the fields of target.Cpu, all optional

    [accelerator]                   # required for kinds "edgetpu" and "ethos-u", and only there
                                    # model and compiler; the other fields of target.Accelerator are optional

    [memory]                        # optional; keys: the fields of target.Memory, all optional, at least one

    [systems.bookworm]              # any number; keys: the fields of target.System; python, note are optional

    [[runtimes]]                    # at least one; keys: the fields of target.Runtime
                                    # version, pythons, systems, note are optional
    [[latencies]]                   # any number; keys: those of target.Latency; threads, note are optional

The file's name is the device's name. A number outside `RANGES` is refused. README.md of this package is the manual.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

from edgekit_targets.errors import InvalidTargetError
from edgekit_targets.strict_toml import Section
from edgekit_targets.target import (
    Accelerator,
    Cpu,
    InstallRoute,
    Kind,
    Latency,
    Memory,
    RecipeName,
    RuleSetName,
    Runtime,
    RuntimeStatus,
    Source,
    System,
    Target,
)

NAME = r"[a-z0-9]+([-_][a-z0-9]+)*"
"""What a device, an alias, a source or a system may be called, as a regular expression."""

RANGES: Mapping[str, tuple[float, float]] = {
    "cores": (1, 1024),
    "clock_mhz": (1, 10_000),
    "l1d_kib": (0, 65_536),
    "l2_kib": (0, 1_048_576),
    "l3_kib": (0, 1_048_576),
    "sram_kib": (1, 1_048_576),
    "macs_per_cycle": (1, 1_048_576),
    "peak_tops": (0.001, 10_000),
    "sizes_mib": (1, 16_777_216),
    "model_limit_mib": (1, 16_777_216),
    "ram_kib": (1, 16_777_216),
    "flash_kib": (1, 16_777_216),
    "arena_limit_kib": (1, 16_777_216),
    "ms": (0.0001, 3_600_000),
    "threads": (1, 1024),
}
"""What a number of that name can be at all, both ends included. A wrong unit mostly falls outside."""

_WITH_ACCELERATOR = frozenset({Kind.EDGETPU, Kind.ETHOS_U})


def parse_target(name: str, text: str, file: str | None = None) -> Target:
    """Reads a device file.

    Args:
        name: The device's name: the file's name without ".toml".
        text: What the file holds.
        file: What messages call the file; by default its name.

    Raises:
        InvalidTargetError: It breaks the schema; the message names file and key.
    """
    file = file or f"{name}.toml"
    if not re.fullmatch(NAME, name):
        raise InvalidTargetError(
            f"{file}: device names are lower case letters and digits, with single hyphens between",
            hint="rename the file: its name is the name of the device",
        )
    try:
        table = tomllib.loads(text)
    except ValueError as error:  # a TOMLDecodeError, or a number of more digits than Python reads
        raise InvalidTargetError(f"{file}: not TOML: {error}") from None
    except RecursionError:
        raise InvalidTargetError(f"{file}: not TOML: nested too deeply") from None
    top = Section(file, "", table, RANGES, sources={}, used=set())
    top.sources.update({key: _source(section) for key, section in top.named_sections("sources").items()})
    target = _target(name, top)
    top.finish()
    unused = top.sources.keys() - top.used
    if unused:
        top.fail(f"sources.{min(unused)}", "nothing refers to it")
    return target


def _source(section: Section) -> Source:
    source = Source(section.text("title"), section.day("date"), section.optional_text("url"))
    if source.url is not None and not source.url.startswith("https://"):
        section.fail("url", "must begin with https://")
    section.finish()
    return source


def _target(name: str, top: Section) -> Target:
    kind = top.choice("kind", Kind)
    accelerated = kind in _WITH_ACCELERATOR
    if top.has("accelerator") != accelerated:
        top.fail("accelerator", "missing" if accelerated else f'not with kind = "{kind}"')
    systems = {key: _system(key, section) for key, section in top.named_sections("systems").items()}
    runtimes = tuple(_runtime(section, systems) for section in top.sections("runtimes"))
    if not runtimes:
        top.fail("runtimes", "missing")
    return Target(
        name=name,
        title=top.text("title"),
        aliases=top.words("aliases", NAME),
        kind=kind,
        rules=top.choice("rules", RuleSetName),
        recipe=top.choice("recipe", RecipeName),
        cpu=_cpu(top.section("cpu")) if top.has("cpu") or not accelerated else None,
        accelerator=_accelerator(top.section("accelerator")) if accelerated else None,
        memory=_memory(top.section("memory")) if top.has("memory") else None,
        systems=tuple(systems.values()),
        runtimes=runtimes,
        latencies=tuple(map(_latency, top.sections("latencies"))),
    )


def _cpu(section: Section) -> Cpu:
    cpu = Cpu(
        model=section.optional_fact("model", Section.text),
        architecture=section.fact("architecture", Section.text),
        cores=section.optional_fact("cores", Section.integer),
        clock_mhz=section.optional_fact("clock_mhz", Section.number),
        features=section.optional_fact("features", Section.words),
        l1d_kib=section.optional_fact("l1d_kib", Section.integer),
        l2_kib=section.optional_fact("l2_kib", Section.integer),
        l3_kib=section.optional_fact("l3_kib", Section.integer),
    )
    section.finish()
    return cpu


def _accelerator(section: Section) -> Accelerator:
    accelerator = Accelerator(
        model=section.fact("model", Section.text),
        bus=section.optional_fact("bus", Section.text),
        sram_kib=section.optional_fact("sram_kib", Section.integer),
        macs_per_cycle=section.optional_fact("macs_per_cycle", Section.integer),
        clock_mhz=section.optional_fact("clock_mhz", Section.number),
        peak_tops=section.optional_fact("peak_tops", Section.number),
        compiler=section.fact("compiler", Section.text),
        compiler_options=section.optional_fact("compiler_options", Section.options),
    )
    section.finish()
    return accelerator


def _memory(section: Section) -> Memory:
    memory = Memory(
        sizes_mib=section.optional_fact("sizes_mib", Section.integers),
        model_limit_mib=section.optional_fact("model_limit_mib", Section.integer),
        ram_kib=section.optional_fact("ram_kib", Section.integer),
        flash_kib=section.optional_fact("flash_kib", Section.integer),
        arena_limit_kib=section.optional_fact("arena_limit_kib", Section.integer),
    )
    section.finish()
    if memory == Memory(None, None, None, None, None):
        section.fail("", "is empty")
    if memory.model_limit_mib is not None:
        if memory.sizes_mib is None:
            section.fail("model_limit_mib", "needs sizes_mib beside it")
        if memory.model_limit_mib.value > memory.sizes_mib.value[0]:
            section.fail("model_limit_mib", f"is more than the smallest size, {memory.sizes_mib.value[0]}")
    if memory.arena_limit_kib is not None:
        if memory.ram_kib is None:
            section.fail("arena_limit_kib", "needs ram_kib beside it")
        if memory.arena_limit_kib.value > memory.ram_kib.value:
            section.fail("arena_limit_kib", f"is more than there is RAM, {memory.ram_kib.value}")
    return memory


def _system(key: str, section: Section) -> System:
    system = System(
        key=key,
        name=section.text("name"),
        architecture=section.text("architecture"),
        python=section.version("python") if section.has("python") else None,
        source=section.source(),
        note=section.optional_text("note"),
    )
    section.finish()
    return system


def _runtime(section: Section, systems: Mapping[str, System]) -> Runtime:
    runtime = Runtime(
        package=section.text("package"),
        version=section.optional_text("version"),
        pythons=section.versions("pythons") if section.has("pythons") else (),
        systems=section.words("systems", NAME) if section.has("systems") else (),
        status=section.choice("status", RuntimeStatus),
        source=section.source(),
        install=section.choice("install", InstallRoute),
        note=section.optional_text("note"),
    )
    section.finish()
    for key in runtime.systems:
        if key not in systems:
            section.fail("systems", f"no system '{key}' in [systems]")
        python = systems[key].python
        if python is not None and python not in runtime.pythons:
            section.fail("pythons", f"must hold {python}, the Python of '{key}' in systems")
    return runtime


def _latency(section: Section) -> Latency:
    latency = Latency(
        model=section.text("model"),
        ms=section.number("ms"),
        threads=section.integer("threads") if section.has("threads") else None,
        source=section.source(),
        note=section.optional_text("note"),
    )
    section.finish()
    return latency
