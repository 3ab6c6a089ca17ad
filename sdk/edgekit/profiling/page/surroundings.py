"""The conditions before and after, what happened in between, and the machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgekit.page.figures import counted, duration, percent, size
from edgekit.page.markup import Html, tag
from edgekit.profiling.page.sections import grid, pair, pane
from edgekit.profiling.text import UNKNOWN, facts

if TYPE_CHECKING:
    from edgekit.profiling.conditions import Conditions
    from edgekit.profiling.record import Host, Profile

_RESOURCES = {"cpu": "a core", "memory": "memory", "io": "the disk"}


def conditions(profile: Profile) -> Html:
    """What the machine said of itself before and after, and what its counters say of the time between."""
    before, after = profile.conditions_before, profile.conditions_after
    rows = [
        tag("tr", tag("td", name), _said(was), _said(now, was))
        for (name, was), (_, now) in zip(_readings(before), _readings(after), strict=True)
    ]
    meanwhile = [tag("tr", tag("td", name), _said(value)) for name, value in _between(before, after)]
    return pane(
        "Conditions",
        tag(
            "div",
            grid(("", "before", "after"), "www", rows),
            grid(("while it ran", ""), "ww", meanwhile),
            class_="two",
        ),
        beside=tag("p", "what the kernel and the firmware say", class_="word"),
    )


def _said(value: str, was: str | None = None) -> Html:
    """A cell; what nobody knows is pale, and what changed stands out."""
    kind = "unknown" if value == UNKNOWN else "changed" if was not in (None, value) else None
    return tag("td", value, class_=kind)


def _readings(reading: Conditions) -> Iterator[tuple[str, str]]:
    """The facts that the terminal shows, every sensor, and the brakes."""
    yield from ((name, value) for name, value in facts(reading) if name != "PSI")
    limit = max((clock.most_khz for clock in reading.clocks if clock.most_khz is not None), default=None)
    yield "clock limit", UNKNOWN if limit is None else f"{limit / 1000:,.0f} MHz"
    sensors = ", ".join(f"{sensor.zone} {sensor.celsius:.1f} C" for sensor in reading.temperatures)
    yield "sensors", sensors or UNKNOWN
    applied = ", ".join(f"{brake.kind}: {brake.state}" for brake in reading.cooling if brake.state)
    yield "slowed down by", applied or ("nothing" if reading.cooling else UNKNOWN)
    yield "up for", UNKNOWN if reading.uptime_s is None else f"{reading.uptime_s / 3600:,.1f} h"


def _between(before: Conditions, after: Conditions) -> Iterator[tuple[str, str]]:
    """What the counters grew by."""
    passed_ns = after.at_ns - before.at_ns
    yield "time from reading to reading", duration(passed_ns)
    waited = _grown(before.waited_ns, after.waited_ns)
    yield "own threads waited for a core", _waiting(waited, passed_ns)
    totals = {pressure.resource: pressure.some_us for pressure in before.pressure}
    found = {pressure.resource: pressure.some_us for pressure in after.pressure}
    for resource, words in _RESOURCES.items():
        grown_us = _grown(totals.get(resource), found.get(resource))
        yield (
            f"tasks waited for {words} (PSI)",
            _waiting(None if grown_us is None else 1000 * grown_us, passed_ns),
        )
    held_us = _grown(_held_us(before), _held_us(after))
    yield "held back by the CPU quota", UNKNOWN if held_us is None else duration(1000 * held_us)
    yield "swapped", _swapped(before, after)


def _held_us(reading: Conditions) -> int | None:
    return None if reading.cgroup is None else reading.cgroup.throttled_us


def _grown(first: int | None, last: int | None) -> int | None:
    return None if first is None or last is None else last - first


def _waiting(waited_ns: int | None, passed_ns: int) -> str:
    if waited_ns is None:
        return UNKNOWN
    share = f", {percent(waited_ns / passed_ns)}" if passed_ns > 0 else ""
    return f"{duration(waited_ns)}{share}"


def _swapped(before: Conditions, after: Conditions) -> str:
    if before.swap is None or after.swap is None:
        return UNKNOWN
    pages_in = _grown(before.swap.pages_in, after.swap.pages_in)
    pages_out = _grown(before.swap.pages_out, after.swap.pages_out)
    if pages_in is None or pages_out is None:
        return UNKNOWN
    return f"{counted(pages_in, 'page')} in, {counted(pages_out, 'page')} out"


def host(profile: Profile) -> Html:
    """The machine, its software, and the bundle."""
    entries = [
        pair(word, tag("span", value or UNKNOWN, class_=None if value else "unknown"))
        for word, value in _host(profile.host)
    ]
    bundle = profile.bundle
    entries += [
        pair("bundle", f"{bundle.name} {bundle.version}, {bundle.variant}"),
        pair(
            "SHA-256 of the bundle",
            tag("span", bundle.digest or UNKNOWN, class_="digest" if bundle.digest else "unknown"),
        ),
    ]
    features = ""
    if profile.host.cpu_features:
        features = tag(
            "details", tag("summary", "CPU features"), tag("p", profile.host.cpu_features, class_="small")
        )
    return pane("Machine and software", tag("dl", *entries, class_="facts"), features)


def _host(found: Host) -> Iterator[tuple[str, str | None]]:
    yield "board", found.board
    yield "processor", found.cpu
    yield "cores", None if found.cores is None else str(found.cores)
    yield "memory", None if found.memory_kib is None else size(found.memory_kib * 1024)
    yield "instruction set", found.machine
    yield "system", found.system
    yield "kernel", found.kernel
    yield "Python", found.python
    yield "numpy", found.numpy
    yield "edgekit", found.edgekit
    yield "identity (a keyed hash)", found.identity
