"""Which samples of a set are used: spread over it, each class by its share, the same ones every time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from random import Random

from edgekit.errors import DataError
from edgekit_converters.calibration.sample import SampleSource


def choose(source: SampleSource, samples: int, seed: int = 0) -> tuple[int, ...]:
    """Chooses rows of a source.

    Where the source knows classes, each gets its share of the samples as nearly as whole numbers allow, and
    at least one where there are enough samples. Within a class (or within the whole set) one row is drawn
    from each of equal stretches, so that a set sorted by time or by speaker is covered evenly.

    Args:
        source: To choose from.
        samples: How many; all rows where the source has no more.
        seed: The same seed gives the same rows, whatever the machine.

    Returns:
        Ascending rows.

    Raises:
        DataError: `samples` is not positive.
    """
    if samples < 1:
        raise DataError(f"--samples {samples}: must be at least 1")
    count = source.count()
    if samples >= count:
        return tuple(range(count))
    random = Random(seed)  # only random() is used, the one method whose sequence Python promises to keep
    labels = source.labels()
    groups = [range(count)] if labels is None else _rows_by_class(labels)
    shares = _shares([len(group) for group in groups], samples, random)
    chosen = (_spread(group, share, random) for group, share in zip(groups, shares, strict=True))
    return tuple(sorted(row for rows in chosen for row in rows))


def _rows_by_class(labels: Iterable[int]) -> list[Sequence[int]]:
    groups: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        groups.setdefault(label, []).append(row)
    return [groups[label] for label in sorted(groups)]


def _shares(sizes: list[int], samples: int, random: Random) -> list[int]:
    """Splits `samples` over groups in proportion to their sizes (largest remainders; ties by lot)."""
    total = sum(sizes)
    least = 1 if samples >= len(sizes) else 0
    shares = [max(least, samples * size // total) for size in sizes]
    owed = [samples * size / total - share for size, share in zip(sizes, shares, strict=True)]
    lots = [random.random() for _ in sizes]
    by_need = sorted(range(len(sizes)), key=lambda group: (-owed[group], lots[group]))
    for group in by_need[: max(0, samples - sum(shares))]:
        shares[group] += 1
    for _ in range(
        sum(shares) - samples
    ):  # what small classes were granted goes off where the surplus is largest
        richest = max(range(len(sizes)), key=lambda group: (shares[group] > least, -owed[group]))
        shares[richest] -= 1
        owed[richest] += 1
    return shares


def _spread(rows: Sequence[int], share: int, random: Random) -> list[int]:
    """One row from each of `share` equal stretches."""
    edges = [len(rows) * part // share for part in range(share + 1)] if share else []
    return [rows[first + int(random.random() * (last - first))] for first, last in pairwise(edges)]
