"""Where each operator of a graph is drawn: one row each in the order of execution, branches side by side.

Every tensor that is still to be read holds a lane. An operator takes over the leftmost lane among those that it
reads, so that a chain is a straight line; a tensor that others read later steps aside. So there are as many
lanes as tensors alive at once, whatever the number of operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[int, int]
"""Row and lane, both from 0."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The way of a tensor from the operator that computes it to one that reads it.

    Attributes:
        source: Row of the one.
        target: Row of the other.
        points: Where the line goes: it stays in a point's lane until the row before the next point.
    """

    source: int
    target: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawing without sizes.

    Attributes:
        lanes: Of each operator.
        edges: By target, then by source.
        width: How many lanes there are, at least one.
    """

    lanes: tuple[int, ...]
    edges: tuple[Edge, ...]
    width: int


def lay_out(reads: Sequence[Sequence[int]]) -> Layout:
    """Lays out a graph.

    Args:
        reads: For each operator the numbers of earlier ones whose outputs it reads.
    """
    last_reader = {source: row for row, sources in enumerate(reads) for source in sources}
    lanes = _Lanes()
    edges: list[Edge] = []
    own: list[int] = []
    for row, sources in enumerate(reads):
        first = min(sources, key=lambda source: lanes.of(source)) if sources else None
        lane = lanes.free() if first is None else lanes.of(first)
        edges += [Edge(source, row, (*lanes.way[source], (row, lane))) for source in sources]
        if first is not None and last_reader[first] > row:
            lanes.step_aside(first, row)
        lanes.leave([source for source in sources if last_reader[source] == row])
        lanes.enter(row, lane)
        own.append(lane)
        if row not in last_reader:
            lanes.leave([row])
    return Layout(tuple(own), tuple(edges), max(lanes.width, 1))


class _Lanes:
    """Which tensor holds which lane, while rows are laid out one after another."""

    def __init__(self) -> None:
        self.way: dict[int, list[Point]] = {}
        self.width = 0
        self._holder: dict[int, int] = {}

    def of(self, source: int) -> int:
        return self.way[source][-1][1]

    def free(self) -> int:
        return next(lane for lane in range(len(self._holder) + 1) if lane not in self._holder)

    def enter(self, source: int, lane: int) -> None:
        self.way.setdefault(source, []).append((source, lane))
        self._hold(source, lane)

    def step_aside(self, source: int, row: int) -> None:
        left = self.of(source)
        lane = self.free()
        self.way[source].append((row, lane))
        del self._holder[left]
        self._hold(source, lane)

    def leave(self, sources: Sequence[int]) -> None:
        for source in sources:
            self._holder.pop(self.of(source), None)

    def _hold(self, source: int, lane: int) -> None:
        self._holder[lane] = source
        self.width = max(self.width, lane + 1)
