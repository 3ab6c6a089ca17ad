"""`Samples`: the model inputs that calibrate, as every step of quantization passes over them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np


class Samples(Iterable[Mapping[str, np.ndarray]]):
    """Float model inputs by name, batch 1: a stream that can be started anew, and whose length is known.

    Args:
        source: What each sample is (its `origin` names it in messages), and the inputs it became.
        count: How many `source` has.
        rows: Which of them are meant, ascending; None for all.
    """

    def __init__(
        self,
        source: Iterable[tuple[object, Mapping[str, np.ndarray]]],
        count: int,
        rows: Sequence[int] | None = None,
    ) -> None:
        self._source = source
        self._count = count
        self._rows = range(count) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Mapping[str, np.ndarray]]:
        return (inputs for _, (_, inputs) in self._numbered())

    def only(self, places: Collection[int]) -> Samples:
        """Those of these samples."""
        return Samples(self._source, self._count, [self._rows[place] for place in sorted(places)])

    def without(self, places: Collection[int]) -> Samples:
        """All but those of these samples."""
        left = set(places)
        kept = [row for place, row in enumerate(self._rows) if place not in left]
        return Samples(self._source, self._count, kept)

    def origins(self) -> list[str]:
        """Where each sample comes from; reads them anew."""
        return [getattr(sample, "origin", f"sample {row}") for row, (sample, _) in self._numbered()]

    def _numbered(self) -> Iterator[tuple[int, tuple[object, Mapping[str, np.ndarray]]]]:
        if len(self._rows) == self._count:  # to the very end, where the source checks the set as a whole
            yield from enumerate(self._source)
            return
        wanted, last = set(self._rows), max(self._rows, default=-1)
        for row, sample in enumerate(self._source):
            if row in wanted:
                yield row, sample
            if row >= last:
                return
