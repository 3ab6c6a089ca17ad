"""A profile as a trace on a time line, which https://ui.perfetto.dev and chrome://tracing open.

Format: "Trace Event Format", the JSON object form, with complete ("X") and metadata ("M") events
(https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU). Times are microseconds; three
digits behind the point keep every nanosecond.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from edgekit.console import printable
from edgekit.profiling.record import OpsProfile, Profile
from edgekit.profiling.text import run_by

MOST_RUNS = 50_000
"""Of more runs the first are in the trace, which is then about 15 MB large: viewers hold all of it in memory."""

_RUNS, _OPS = 1, 2
_LONGEST_NS = 2**62

Event = dict[str, object]


def trace_of(profile: Profile) -> bytes:
    """Writes the trace.

    The first track has every run, and in it preprocess, invoke and postprocess. A profile does not say where in a
    run the little time lies that is the session's own: the trace leaves it behind the three. The other track has
    one inference, operator by operator. What took no time is left out, because viewers nest it at random.

    Args:
        profile: What was measured.

    Returns:
        A JSON file, one event a line. The same profile gives the same bytes.
    """
    events = [*_named(_RUNS, _heading(profile), _about(profile)), *filter(_lasts, _runs(profile))]
    if profile.ops is not None:
        title = f"one inference by operators (method: {profile.ops.method})"
        events += [*_named(_OPS, title, profile.ops.note), *filter(_lasts, _ops(profile.ops))]
    lines = ",\n".join(_line(event) for event in events)
    document = {
        "bundle": profile.bundle.to_json(),
        "host": profile.host.to_json(),
        "verdict": profile.verdict,
    }
    return (
        f'{{"displayTimeUnit":"ns",\n"otherData":{_line(document)},\n"traceEvents":[\n{lines}\n]}}\n'.encode()
    )


def _lasts(event: Event) -> bool:
    return event["dur"] != 0


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _heading(profile: Profile) -> str:
    return f"{profile.bundle.name} {profile.bundle.version} on {profile.device}, {profile.runtime}"


def _about(profile: Profile) -> str:
    """What must be known before the times are believed."""
    said = [f"do not compare: {reason}" for reason in profile.verdict]
    if profile.steady.runs > MOST_RUNS:
        said.append(f"the first {MOST_RUNS:,} of {profile.steady.runs:,} runs")
    return "; ".join(said)


def _named(process: int, title: str, label: str) -> Iterator[Event]:
    """Metadata of a track; the viewers show the processes in the order of their index."""
    yield _meta(process, "process_name", {"name": printable(title)})
    yield _meta(process, "process_sort_index", {"sort_index": process})
    if label:
        yield _meta(process, "process_labels", {"labels": printable(label)})
    yield _meta(process, "thread_name", {"name": "runs" if process == _RUNS else "operators"})


def _meta(process: int, name: str, args: dict[str, object]) -> Event:
    return {"ph": "M", "pid": process, "tid": process, "name": name, "args": args}


def _runs(profile: Profile) -> Iterator[Event]:
    stages = profile.stages
    columns = (stages.preprocess_samples_ns, stages.invoke_samples_ns, stages.postprocess_samples_ns)
    runs = zip(stages.started_ns, profile.steady.samples_ns, *columns, strict=True)
    for number, (start, whole, *parts) in zip(range(MOST_RUNS), runs, strict=False):
        yield _slice(_RUNS, f"run {number + 1}", start, start + whole, "run")
        end = start + whole
        for name, part in zip(("preprocess", "invoke", "postprocess"), parts, strict=True):
            stop = min(start + max(part, 0), end)  # a slice that sticks out of its parent is not drawn
            yield _slice(_RUNS, name, start, stop, "stage")
            start = stop


def _ops(ops: OpsProfile) -> Iterator[Event]:
    """One inference, and in it the bare call and every operator, without a gap."""
    edges = _edges([ops.call_ns, *(op.time_ns for op in ops.ops)])
    yield _slice(_OPS, "one inference", 0, edges[-1], "inference")
    yield _slice(_OPS, "the bare call", 0, edges[1], "call")
    for op, (start, stop) in zip(ops.ops, pairwise(edges[1:]), strict=True):
        args = {
            "index": op.index,
            "layer": printable(op.layer),
            "tensor": printable(op.name),
            "share": op.share,
            "MACs": op.macs,
            "GMAC/s": op.gmac_per_s,
            "run by": run_by(op),
        }
        yield _slice(_OPS, printable(op.opcode), start, stop, "operator") | {"args": args}


def _edges(times_ns: Sequence[float]) -> list[int]:
    """Where each begins and the last one ends, in whole nanoseconds; what came out below 0 takes no time."""
    ends = accumulate((min(max(time, 0.0), _LONGEST_NS) for time in times_ns), initial=0.0)
    return [round(min(end, _LONGEST_NS)) for end in ends]


def _slice(process: int, name: str, start_ns: int, stop_ns: int, category: str) -> Event:
    return {
        "ph": "X",
        "pid": process,
        "tid": process,
        "ts": start_ns / 1000,
        "dur": (stop_ns - start_ns) / 1000,
        "name": name,
        "cat": category,
    }
