"""The devices that edgekit knows: one TOML file each in `devices/`, read strictly.

The schema. Every key is required unless it says "optional", and no other key may stand there::

    title = "Raspberry Pi 4 Model B"
    aliases = ["rpi4"]              # may be empty; each name and alias occurs once in the catalogue
    kind = "cpu"                    # a word of target.Kind
    rules = "litert-cpu"            # set of operator rules
    recipe = "int8"                 # default quantization recipe

    [sources.datasheet]             # any number; something below must refer to each
    title = "Raspberry Pi 4 datasheet"
    date = 2026-11-24               # when it was read or measured
    url = "https://..."             # optional

    [cpu]                           # optional for kind "edgetpu"; keys: the fields of target.Cpu
    cores = { value = 4, source = "datasheet", note = "..." }   # note is optional, in every fact

    [memory]                        # optional for kind "edgetpu"; keys: the fields of target.Memory
    [accelerator]                   # for kind "edgetpu", and only there; keys: those of target.Accelerator

    [[runtimes]]                    # at least one; keys: the fields of target.Runtime; note is optional
    [[latencies]]                   # any number; keys: those of target.Latency; threads, note are optional

The file's name is the device's name. A number outside `RANGES` is refused.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from edgekit_targets.errors import InvalidTargetError, UnknownTargetError
from edgekit_targets.strict_toml import Section
from edgekit_targets.target import (
    Accelerator,
    Cpu,
    Kind,
    Latency,
    Memory,
    Runtime,
    RuntimeStatus,
    Source,
    Target,
)

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"

RANGES: Mapping[str, tuple[float, float]] = {
    "cores": (1, 1024),
    "clock_mhz": (1, 10_000),
    "l1d_kib": (0, 65_536),
    "l2_kib": (0, 1_048_576),
    "sram_kib": (1, 1_048_576),
    "peak_tops": (0.001, 10_000),
    "sizes_mib": (1, 16_777_216),
    "model_limit_mib": (1, 16_777_216),
    "ms": (0.0001, 3_600_000),
    "threads": (1, 1024),
}
"""What a number of that name can be at all, both ends included. A wrong unit mostly falls outside."""


def target_names() -> tuple[str, ...]:
    """Returns the names of all devices in the catalogue, sorted, without their aliases."""
    return tuple(
        sorted(f.name.removesuffix(".toml") for f in _folder().iterdir() if f.name.endswith(".toml"))
    )


def load_target(name: str) -> Target:
    """Returns a device.

    Args:
        name: Its name or one of its aliases; capitals, blanks and underscores do not matter.

    Raises:
        UnknownTargetError: The catalogue has no such device. The hint names near ones.
        InvalidTargetError: Its file breaks the schema.
    """
    wanted = re.sub(r"[\s_]+", "-", name.strip().lower())
    if wanted in target_names():
        return _load(wanted)
    aliases = _aliases()
    if wanted in aliases:
        return _load(aliases[wanted])
    near = get_close_matches(wanted, [*target_names(), *aliases], n=3)
    known = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(target_names())}"
    raise UnknownTargetError(f"no device '{name}' in the catalogue", hint=known)


def parse_target(name: str, text: str) -> Target:
    """Reads a device file.

    Args:
        name: The device's name: the file's name without ".toml".
        text: What the file holds.

    Raises:
        InvalidTargetError: It breaks the schema; the message names file and key.
    """
    file = f"{name}.toml"
    if not re.fullmatch(_NAME, name):
        raise InvalidTargetError(f"{file}: device names are lower case letters, digits and single hyphens")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidTargetError(f"{file}: not TOML: {error}") from None
    top = Section(file, "", table, RANGES, sources={}, used=set())
    top.sources.update({key: _source(section) for key, section in top.named_sections("sources").items()})
    target = _target(name, top)
    top.finish()
    unused = top.sources.keys() - top.used
    if unused:
        top.fail(f"sources.{min(unused)}", "nothing refers to it")
    return target


def _folder() -> Traversable:
    return files("edgekit_targets") / "devices"


@cache
def _load(name: str) -> Target:
    return parse_target(name, (_folder() / f"{name}.toml").read_text("utf-8"))


def _aliases() -> Mapping[str, str]:
    """Returns the device's name for each alias."""
    owners = {name: name for name in target_names()}
    aliases: dict[str, str] = {}
    for name in target_names():
        for alias in _load(name).aliases:
            if alias in owners:
                raise InvalidTargetError(f"{name}.toml: aliases: '{alias}' belongs to {owners[alias]}")
            owners[alias] = aliases[alias] = name
    return aliases


def _source(section: Section) -> Source:
    source = Source(section.text("title"), section.day("date"), section.optional_text("url"))
    if source.url is not None and not source.url.startswith("https://"):
        section.fail("url", "must begin with https://")
    section.finish()
    return source


def _target(name: str, top: Section) -> Target:
    kind = top.choice("kind", Kind)
    is_stick = kind is Kind.EDGETPU
    if top.has("accelerator") != is_stick:
        top.fail("accelerator", "missing" if is_stick else 'only with kind = "edgetpu"')
    runtimes = tuple(map(_runtime, top.sections("runtimes")))
    if not runtimes:
        top.fail("runtimes", "missing")
    return Target(
        name=name,
        title=top.text("title"),
        aliases=top.words("aliases", _NAME),
        kind=kind,
        rules=top.text("rules"),
        recipe=top.text("recipe"),
        cpu=_cpu(top.section("cpu")) if top.has("cpu") or not is_stick else None,
        accelerator=_accelerator(top.section("accelerator")) if is_stick else None,
        memory=_memory(top.section("memory")) if top.has("memory") or not is_stick else None,
        runtimes=runtimes,
        latencies=tuple(map(_latency, top.sections("latencies"))),
    )


def _cpu(section: Section) -> Cpu:
    cpu = Cpu(
        model=section.fact("model", Section.text),
        architecture=section.fact("architecture", Section.text),
        cores=section.fact("cores", Section.integer),
        clock_mhz=section.fact("clock_mhz", Section.number),
        features=section.fact("features", Section.words),
        l1d_kib=section.fact("l1d_kib", Section.integer),
        l2_kib=section.fact("l2_kib", Section.integer),
    )
    section.finish()
    return cpu


def _accelerator(section: Section) -> Accelerator:
    accelerator = Accelerator(
        model=section.fact("model", Section.text),
        bus=section.fact("bus", Section.text),
        sram_kib=section.fact("sram_kib", Section.integer),
        peak_tops=section.fact("peak_tops", Section.number),
        compiler=section.fact("compiler", Section.text),
    )
    section.finish()
    return accelerator


def _memory(section: Section) -> Memory:
    memory = Memory(
        sizes_mib=section.fact("sizes_mib", Section.integers),
        model_limit_mib=section.fact("model_limit_mib", Section.integer),
    )
    section.finish()
    if memory.model_limit_mib.value > memory.sizes_mib.value[0]:
        section.fail("model_limit_mib", f"is more than the smallest size, {memory.sizes_mib.value[0]}")
    return memory


def _runtime(section: Section) -> Runtime:
    runtime = Runtime(
        package=section.text("package"),
        version=section.text("version"),
        pythons=section.words("pythons", r"3\.[0-9]{1,2}"),
        status=section.choice("status", RuntimeStatus),
        source=section.source(),
        note=section.optional_text("note"),
    )
    section.finish()
    if not runtime.pythons:
        section.fail("pythons", "must name at least one")
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
