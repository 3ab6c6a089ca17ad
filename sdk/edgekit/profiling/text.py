"""A profile as a person likes to read it on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.console import printable, table
from edgekit.page.figures import duration, size, three_digits
from edgekit.profiling.conditions import Cgroup, Conditions
from edgekit.profiling.record import OpsProfile, OpTime, Profile
from edgekit.profiling.verdict import THROTTLE_BITS, governors

UNKNOWN = "unknown"
MOST_OPS = 20
"""So many operators fit on a screen; the JSON and the page have all."""
MOST_KINDS = 10
"""So many kinds of operators fit on a line."""


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
    return "\n".join(printable(line) for line in "\n\n".join(parts).split("\n"))


def _heading(profile: Profile) -> str:
    host, bundle = profile.host, profile.bundle
    where = host.board or host.cpu or "a machine that does not tell its name"
    chip = f" ({host.cpu})" if host.board and host.cpu else ""
    cores = f", {host.cores} core{'s' * (host.cores > 1)}" if host.cores else ""
    threads = "threads as the runtime likes" if profile.threads is None else f"threads: {profile.threads}"
    lines = [
        f"{bundle.name} {bundle.version}, {bundle.variant} on {where}{chip}{cores}",
        f"{profile.device}, {profile.runtime}, {profile.kernels} kernels, {threads}",
        f"{profile.steady.runs} run{'s' * (profile.steady.runs > 1)} after {profile.warmup} of warm-up, {profile.inputs}",
    ]
    if profile.fallback is not None:
        lines.append(f"fell back to the CPU: {profile.fallback}")
    return "\n".join(lines)


def _latency(profile: Profile) -> str:
    steady = profile.steady
    row = [steady.min_ns, steady.p50_ns, steady.p90_ns, steady.p99_ns, steady.max_ns, steady.jitter_ns]
    head = ("", "min", "p50", "p90", "p99", "max", "jitter", "per second")
    return table([("latency", *map(duration, row), three_digits(profile.throughput_per_s))], head)


def _stages(profile: Profile) -> str:
    whole = max(profile.steady.p50_ns, 1)
    rows = [(name, duration(time), f"{time / whole:.1%}") for name, time in stage_times(profile)]
    return table(rows, ("stage", "median", "share"))


def stage_times(profile: Profile) -> list[tuple[str, int]]:
    """Name and median in nanoseconds of each stage of a run, and of what is left of the whole."""
    stages = profile.stages
    found = [
        ("preprocess", stages.preprocess_ns),
        ("invoke", stages.invoke_ns),
        ("postprocess", stages.postprocess_ns),
    ]
    rest = profile.steady.p50_ns - sum(time for _, time in found)
    return [*found, ("everything else", rest)] if rest > 0 else found  # medians do not add up exactly


def _once(profile: Profile) -> str:
    """What happens once, and what it takes of the memory."""
    memory = profile.memory
    peak = _size(memory.peak_rss_bytes)
    if memory.scope == "shared process":
        peak += " (whatever else the process did)"
    elif memory.peak_rss_bytes is not None and memory.baseline_rss_bytes is not None:
        peak += f" ({size(memory.peak_rss_bytes - memory.baseline_rss_bytes)} more than before loading)"
    arena = _size(memory.arena_bytes)
    rows = [
        ("load", _or_unknown(profile.load_ns)),
        ("first inference", _or_unknown(profile.first_ns)),
        ("peak RSS", peak),
        ("model", _size(memory.model_bytes)),
        ("tensor arena", arena if memory.arena_bytes is None else f"{arena} (estimate)"),
    ]
    return table(rows, ("once", ""))


def _size(count: int | None) -> str:
    return UNKNOWN if count is None else size(count)


def _or_unknown(ns: int | None) -> str:
    return "unknown (the session was open already)" if ns is None else duration(ns)


def _threads(profile: Profile) -> str:
    rows = [
        (
            str(step.threads),
            duration(step.steady.p50_ns),
            duration(step.steady.p99_ns),
            three_digits(step.throughput_per_s),
            duration(step.load_ns),
            duration(step.first_ns),
            _size(step.peak_rss_bytes),
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
            three_digits(step.throughput_per_s),
            _size(step.peak_rss_bytes),
            "do not compare" if step.verdict else "",
        )
        for step in profile.batch_sweep
    ]
    return table(rows, ("batch", "p50 a call", "p50 a sample", "samples per second", "peak RSS", ""))


def run_by(op: OpTime) -> str:
    """Whose kernels run an operator."""
    return op.delegate or "runtime"


def _ops(ops: OpsProfile) -> str:
    slowest = sorted(ops.ops, key=lambda op: -op.time_ns)[:MOST_OPS]
    rows = [
        (
            str(op.index),
            _short(op.opcode),
            duration(op.time_ns),
            f"{op.share:.1%}",
            "-" if op.gmac_per_s is None else f"{op.gmac_per_s:.2f}",
            run_by(op),
            _short(op.layer),
        )
        for op in slowest
    ]
    lines = [table(rows, ("op", "kind", "time", "share", "GMAC/s", "run by", "layer"))]
    if len(ops.ops) > len(slowest):
        lines.append(f"... and {len(ops.ops) - len(slowest)} faster ones")
    lines.append(
        f"sum of all {len(ops.ops)}: {duration(ops.sum_ns)}, {ops.ratio:.1%} of {duration(ops.whole_ns)}, "
        f"the whole without profiling (method: {ops.method})"
    )
    outside = [op for op in ops.ops if op.delegate is None]
    if outside and any(op.delegate == "XNNPACK" for op in ops.ops):
        kinds = sorted({_short(op.opcode) for op in outside})
        named = ", ".join(kinds[:MOST_KINDS] + ["..."] * (len(kinds) > MOST_KINDS))
        lines.append(f"outside XNNPACK: {len(outside)} of {len(ops.ops)} ({named})")
    if ops.note:
        lines.append(ops.note)
    return "\n".join(lines)


def _short(name: str) -> str:
    """The end of a name, which tells tensors of one network apart."""
    return name if len(name) <= 40 else f"...{name[-37:]}"


def _conditions(profile: Profile) -> str:
    before, after = dict(facts(profile.conditions_before)), dict(facts(profile.conditions_after))
    return table([(name, before[name], after[name]) for name in before], ("conditions", "before", "after"))


def facts(reading: Conditions) -> Iterator[tuple[str, str]]:
    """Name and value of each condition as text, UNKNOWN where nobody knows."""
    yield "governor", governors(reading) or UNKNOWN
    clocks = [clock.current_khz for clock in reading.clocks if clock.current_khz is not None]
    yield "clock", f"{max(clocks) / 1000:.0f} MHz" if clocks else UNKNOWN
    hottest = max((sensor.celsius for sensor in reading.temperatures), default=None)
    yield "temperature", UNKNOWN if hottest is None else f"{hottest:.1f} C"
    yield "throttling", UNKNOWN if reading.throttled is None else _throttling(reading.throttled)
    swap = reading.swap
    used = "" if swap is None else f"{size(swap.used_kib * 1024)} of {size(swap.total_kib * 1024)}"
    yield "swap", used or UNKNOWN
    yield "CPU quota", UNKNOWN if reading.cgroup is None else _quota(reading.cgroup)
    load = reading.load_average
    yield "load average", UNKNOWN if load is None else f"{load[0]:.2f}"
    known = reading.available_kib
    yield "free memory", UNKNOWN if known is None else size(known * 1024)
    yield "PSI", "known" if reading.pressure else UNKNOWN


def _quota(cgroup: Cgroup) -> str:
    return "none" if cgroup.quota_cpus is None else f"{cgroup.quota_cpus:g} CPUs"


def _throttling(bits: int) -> str:
    now = [what for bit, what in THROTTLE_BITS.items() if bits >> bit & 1]
    ever = [what for bit, what in THROTTLE_BITS.items() if bits >> (bit + 16) & 1]
    if now:
        return "now: " + ", ".join(now)
    return "earlier since boot: " + ", ".join(ever) if ever else "none since boot"


def _verdict(profile: Profile) -> str:
    if profile.verdict:
        return "\n".join(["DO NOT COMPARE these figures with others:", *(f"- {r}" for r in profile.verdict)])
    unknown = [name for name, value in facts(profile.conditions_after) if value == UNKNOWN]
    said = f"; unknown: {', '.join(unknown)}" if unknown else ""
    return f"nothing seen that speaks against comparing these figures{said}"
