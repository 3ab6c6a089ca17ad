"""What the child process of the method "litert" answers: `Answer`, checked before anybody computes with it."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.record import Record, require

INSTEAD = "ask for the method 'prefix', which works with every runtime"
"""The hint of every error that LiteRT's profiler gives rise to."""


@dataclass(frozen=True, slots=True)
class Answer(Record):
    """Times of one model.

    Attributes:
        whole_ns: Of calls of the whole model without profiling.
        call_ns: Of calls of the model cut down to no operator.
        events: (kind, name, number) of each event of a run: see `litert_c.Event`.
        elapsed_us: Of each profiled run, the microseconds of those events.
    """

    whole_ns: tuple[int, ...]
    call_ns: tuple[int, ...]
    events: tuple[tuple[int, str, int], ...]
    elapsed_us: tuple[tuple[int, ...], ...]

    def _check(self) -> None:
        for name in ("whole_ns", "call_ns", "events", "elapsed_us"):
            require(bool(getattr(self, name)), name, "must not be empty")
        require(min(self.whole_ns) > 0, "whole_ns", "must be above 0")
        require(min(self.call_ns) >= 0, "call_ns", "must not be negative")
        require(min(node for _, _, node in self.events) >= 0, "events", "must not have negative numbers")
        for place, run in enumerate(self.elapsed_us):
            where = f"elapsed_us[{place}]"
            require(len(run) == len(self.events), where, "must have a time for each event")
            require(min(run) >= 0, where, "must not be negative")
