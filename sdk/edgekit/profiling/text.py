"""A profile as a person likes to read it on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.console import printable, table
from edgekit.profiling.conditions import Conditions
from edgekit.profiling.record import OpsProfile, Profile
from edgekit.profiling.verdict import THROTTLE_BITS, governors

MOST_OPS = 20
"""So many operators fit on a screen; the JSON and the page have all."""


def describe(profile: Profile) -> str:
    """The profile as lines of text, without a newline at the end."""
    parts = [_heading(profile), _latency(profile), _stages(profile), _once(profile)]
    if profile.threads_sweep:
        parts.append(_threads(profile))
    if profile.batch_sweep:
        parts.append(_batches(profile))
    if profile.ops is not None:
        parts.append(_ops(profile.ops))
    parts += [_conditions(profile), _verdict(profile)]
    return "\n\n".join(parts)


def duration(ns: float) -> str:
    """A time with three or four digits and the unit that suits it."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(ns) >= size:
            value = ns / size
            return f"{value:.{max(0, 2 - len(str(int(abs(value)))) + 1)}f} {unit}"
    return f"{ns:.0f} ns"


def size(count: float | None) -> str:
    """Bytes with the unit that suits them, "unknown" for None."""
    if count is None:
        return "unknown"
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count:.0f} B"


def _heading(profile: Profile) -> str:
    host, bundle = profile.host, profile.bundle
    where = host.board or host.cpu or "a machine that does not tell its name"
    chip = f" ({host.cpu})" if host.board and host.cpu else ""
    cores = f", {host.cores} core{'s' * (host.cores > 1)}" if host.cores else ""
    threads = "threads as the runtime likes" if profile.threads is None else f"threads: {profile.threads}"
    lines = [
        f"{bundle.name} {bundle.version}, {bundle.variant} on {where}{chip}{cores}",
        f"{profile.device}, {profile.runtime}, {profile.kernels} kernels, {threads}",
        f"{profile.steady.runs} runs after {profile.warmup} of warm-up, {profile.inputs}",
    ]
    if profile.fallback is not None:
        lines.append(f"fell back to the CPU: {profile.fallback}")
    return "\n".join(printable(line) for line in lines)


def _latency(profile: Profile) -> str:
    steady = profile.steady
    row = [steady.min_ns, steady.p50_ns, steady.p90_ns, steady.p99_ns, steady.max_ns, steady.jitter_ns]
    head = ("", "min", "p50", "p90", "p99", "max", "jitter", "per second")
    return table([("latency", *map(duration, row), _rate(profile.throughput_per_s))], head)


def _stages(profile: Profile) -> str:
    stages, whole = profile.stages, profile.steady.p50_ns
    rows = [
        ("preprocess", stages.preprocess_ns),
        ("invoke", stages.invoke_ns),
        ("postprocess", stages.postprocess_ns),
    ]
    rest = whole - sum(time for _, time in rows)
    if rest > 0:  # medians do not add up exactly
        rows.append(("everything else", rest))
    return table(
        [(name, duration(time), f"{time / max(whole, 1):.0%}") for name, time in rows],
        ("stage", "median", "share"),
    )


def _once(profile: Profile) -> str:
    """What happens once, and what it takes of the memory."""
    memory = profile.memory
    peak = size(memory.peak_rss_bytes)
    if memory.scope == "shared process":
        peak += " (whatever else the process did)"
    elif memory.peak_rss_bytes is not None and memory.baseline_rss_bytes is not None:
        peak += f" ({size(memory.peak_rss_bytes - memory.baseline_rss_bytes)} more than before loading)"
    arena = size(memory.arena_bytes)
    rows = [
        ("load", _or_unknown(profile.load_ns)),
        ("first inference", _or_unknown(profile.first_ns)),
        ("peak RSS", peak),
        ("model", size(memory.model_bytes)),
        ("tensor arena", arena if memory.arena_bytes is None else f"{arena} (estimate)"),
    ]
    return table(rows, ("once", ""))


def _or_unknown(ns: int | None) -> str:
    return "unknown (the session was open already)" if ns is None else duration(ns)


def _threads(profile: Profile) -> str:
    rows = [
        (
            str(step.threads),
            duration(step.steady.p50_ns),
            duration(step.steady.p99_ns),
            _rate(step.throughput_per_s),
            duration(step.load_ns),
            duration(step.first_ns),
            size(step.peak_rss_bytes),
            "do not compare" if step.verdict else "",
        )
        for step in profile.threads_sweep
    ]
    return table(rows, ("threads", "p50", "p99", "per second", "load", "first", "peak RSS", ""))


def _batches(profile: Profile) -> str:
    rows = [
        (
            str(step.batch),
            duration(step.steady.p50_ns),
            duration(step.steady.p50_ns / step.batch),
            _rate(step.throughput_per_s),
            size(step.peak_rss_bytes),
            "do not compare" if step.verdict else "",
        )
        for step in profile.batch_sweep
    ]
    return table(rows, ("batch", "p50 a call", "p50 a sample", "samples per second", "peak RSS", ""))


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"


def _ops(ops: OpsProfile) -> str:
    slowest = sorted(ops.ops, key=lambda op: -op.time_ns)[:MOST_OPS]
    rows = [
        (
            str(op.index),
            op.opcode,
            duration(op.time_ns),
            f"{op.share:.1%}",
            "-" if op.gmac_per_s is None else f"{op.gmac_per_s:.2f}",
            op.delegate or "runtime",
            op.name if len(op.name) <= 40 else f"...{op.name[-37:]}",
        )
        for op in slowest
    ]
    lines = [table(rows, ("op", "kind", "time", "share", "GMAC/s", "run by", "name"))]
    if len(ops.ops) > len(slowest):
        lines.append(f"... and {len(ops.ops) - len(slowest)} faster ones")
    lines.append(
        f"sum of all {len(ops.ops)}: {duration(ops.sum_ns)}, {ops.ratio:.1%} of {duration(ops.whole_ns)}, "
        f"the whole without profiling (method: {ops.method})"
    )
    outside = [op for op in ops.ops if op.delegate is None]
    if outside and any(op.delegate == "XNNPACK" for op in ops.ops):
        named = ", ".join(sorted({op.opcode for op in outside}))
        lines.append(f"outside XNNPACK: {len(outside)} of {len(ops.ops)} ({named})")
    if ops.note:
        lines.append(ops.note)
    return "\n".join(lines)


def _conditions(profile: Profile) -> str:
    before, after = dict(facts(profile.conditions_before)), dict(facts(profile.conditions_after))
    return table([(name, before[name], after[name]) for name in before], ("conditions", "before", "after"))


def facts(reading: Conditions) -> Iterator[tuple[str, str]]:
    """Name and value of each condition as text, "unknown" where nobody knows."""
    yield "governor", governors(reading) or "unknown"
    clocks = [clock.current_khz for clock in reading.clocks if clock.current_khz is not None]
    yield "clock", f"{max(clocks) / 1000:.0f} MHz" if clocks else "unknown"
    hottest = max((sensor.celsius for sensor in reading.temperatures), default=None)
    yield "temperature", "unknown" if hottest is None else f"{hottest:.1f} C"
    yield "throttling", "unknown" if reading.throttled is None else _throttling(reading.throttled)
    swap = reading.swap
    yield "swap", "unknown" if swap is None else f"{size(swap.used_kib * 1024)} of {size(swap.total_kib * 1024)}"
    cgroup = reading.cgroup
    quota = "unknown" if cgroup is None else "none" if cgroup.quota_cpus is None else f"{cgroup.quota_cpus:g} CPUs"
    yield "CPU quota", quota
    load = reading.load_average
    yield "load average", "unknown" if load is None else f"{load[0]:.2f}"
    known = reading.available_kib
    yield "free memory", "unknown" if known is None else size(known * 1024)
    yield "PSI", "known" if reading.pressure else "unknown"


def _throttling(bits: int) -> str:
    now = [what for bit, what in THROTTLE_BITS.items() if bits >> bit & 1]
    ever = [what for bit, what in THROTTLE_BITS.items() if bits >> (bit + 16) & 1]
    if now:
        return "now: " + ", ".join(now)
    return "earlier since boot: " + ", ".join(ever) if ever else "none since boot"


def _verdict(profile: Profile) -> str:
    if profile.verdict:
        return "\n".join(["DO NOT COMPARE these figures with others:", *(f"- {r}" for r in profile.verdict)])
    unknown = [name for name, value in facts(profile.conditions_after) if value == "unknown"]
    said = f"; unknown: {', '.join(unknown)}" if unknown else ""
    return f"nothing seen that speaks against comparing these figures{said}"
