"""Whether figures that were taken between two readings may be compared with others: a pure decision.

Only what is known speaks: a machine that does not tell its clocks is not suspected of anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.profiling.conditions import Conditions

THROTTLE_BITS = {
    0: "under-voltage",
    1: "its clock was capped",
    2: "throttled",
    3: "the soft temperature limit was reached",
}
"""What the firmware reports as it is now; the same 16 bits higher, whether it ever was since boot. Source: the
Raspberry Pi documentation of vcgencmd get_throttled."""
_STICKY = 16

STARVED_SHARE = 0.05
"""Share of the time that the measurement's own threads, taken together, may wait for a core: the median still holds
above it, and the high percentiles and the throughput no longer do."""
PRESSURE_SHARE = {"cpu": 0.10, "memory": 0.01}
"""Share of the time during which some task waited for the resource, from which a run counts as starved. A processor
is shared a little even on a quiet board; waiting for memory means that pages were reclaimed or read again. Waiting
for the disk does not hold back an inference, whose model is in memory: it is recorded, and not judged."""
CLOCK_SHARE = 0.90
"""The fastest core below this share of what it was before has slowed down; smaller steps are the governor's noise."""


def do_not_compare(before: Conditions, after: Conditions) -> tuple[str, ...]:
    """Why figures that were taken between two readings should not be compared with others.

    Args:
        before: The reading before the first inference.
        after: The reading right after the last.

    Returns:
        One short reason each, for people; empty where nothing speaks against comparing.
    """
    return tuple(
        reason
        for check in (_throttled, _cooled, _clocks, _governor, _starved, _held_back, _swapped)
        for reason in check(before, after)
    )


def _throttled(before: Conditions, after: Conditions) -> Iterator[str]:
    """Bits that are set now, at either end, and sticky bits that were newly set in between."""
    first, last = before.throttled, after.throttled
    now = (first or 0) | (last or 0)
    meanwhile = 0 if first is None or last is None else (last & ~first) >> _STICKY
    said = " then ".join("unknown" if bits is None else f"0x{bits:x}" for bits in (first, last))
    for bit, what in THROTTLE_BITS.items():
        if (now | meanwhile) >> bit & 1:
            yield f"the firmware reports: {what} (get_throttled {said})"


def _cooled(before: Conditions, after: Conditions) -> Iterator[str]:
    slowed = {brake.kind for reading in (before, after) for brake in reading.cooling if brake.state > 0}
    if slowed:
        yield f"the kernel slowed the processor down against heat ({', '.join(sorted(slowed))})"


def _clocks(before: Conditions, after: Conditions) -> Iterator[str]:
    """Of all cores the fastest, since idle ones sleep."""
    for name, what in (("current_khz", "the clock"), ("most_khz", "the limit of the clock")):
        first, last = _fastest(before, name), _fastest(after, name)
        if first is not None and last is not None and last < first * CLOCK_SHARE:
            yield f"{what} fell from {first / 1000:.0f} to {last / 1000:.0f} MHz"


def _fastest(reading: Conditions, name: str) -> int | None:
    return max((khz for clock in reading.clocks if (khz := getattr(clock, name)) is not None), default=None)


def _governor(before: Conditions, after: Conditions) -> Iterator[str]:
    first, last = governors(before), governors(after)
    if first and last and first != last:
        yield f"the governor changed from {first} to {last}"


def governors(reading: Conditions) -> str:
    """The governors in use, each named once; empty where the kernel does not say."""
    return ", ".join(sorted({clock.governor for clock in reading.clocks if clock.governor is not None}))


def _starved(before: Conditions, after: Conditions) -> Iterator[str]:
    passed_ns = after.at_ns - before.at_ns
    if passed_ns <= 0:
        return
    if before.waited_ns is not None and after.waited_ns is not None:
        share = (after.waited_ns - before.waited_ns) / passed_ns
        if share > STARVED_SHARE:
            yield f"starved: the threads of the measurement together waited for a core {share:.0%} of the time"
    totals = {pressure.resource: pressure.some_us for pressure in before.pressure}
    for pressure in after.pressure:
        limit, first_us = PRESSURE_SHARE.get(pressure.resource), totals.get(pressure.resource)
        if limit is not None and first_us is not None:
            share = (pressure.some_us - first_us) * 1000 / passed_ns
            if share > limit:
                yield f"starved: tasks waited for {_NAMES[pressure.resource]} {share:.0%} of the time (PSI)"


_NAMES = {"cpu": "a core", "memory": "memory"}


def _held_back(before: Conditions, after: Conditions) -> Iterator[str]:
    if before.cgroup is None or after.cgroup is None:
        return
    if before.cgroup.throttled_us is not None and after.cgroup.throttled_us is not None:
        held_us = after.cgroup.throttled_us - before.cgroup.throttled_us
        if held_us > 0:
            yield f"held back by the CPU quota of the control group for {held_us / 1000:.0f} ms"


def _swapped(before: Conditions, after: Conditions) -> Iterator[str]:
    first, last = before.swap, after.swap
    if first is None or last is None:
        return
    moved = [
        (end - start, where)
        for start, end, where in (
            (first.pages_in, last.pages_in, "in"),
            (first.pages_out, last.pages_out, "out"),
        )
        if start is not None and end is not None and end > start
    ]
    if moved:
        yield f"swapping: {' and '.join(f'{pages} pages {where}' for pages, where in moved)}"
