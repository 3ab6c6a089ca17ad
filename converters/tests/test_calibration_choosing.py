"""Which samples of a set are used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import DataError
from edgekit_converters.calibration import Sample, choose


@dataclass(frozen=True)
class Rows:
    """A source of which only the length and the labels are looked at."""

    size: int
    classes: Sequence[int] | None = None
    kind: str = "array"
    description: str = "rows"

    def count(self) -> int:
        return self.size

    def labels(self) -> Sequence[int] | None:
        return self.classes

    def class_names(self) -> None:
        return None

    def raw_dtypes(self) -> Mapping[str, str]:
        return {}

    def read(self, rows: Sequence[int]) -> Iterator[Sample]:
        raise AssertionError("choosing reads no sample")


sizes = st.integers(1, 300)
wanted = st.integers(1, 320)
seeds = st.integers(0, 5)
labelled = st.lists(st.integers(-2, 7), min_size=1, max_size=200)


@given(sizes, wanted, seeds)
def test_rows_are_distinct_ascending_and_as_many_as_asked_for(size: int, samples: int, seed: int) -> None:
    rows = choose(Rows(size), samples, seed)
    assert len(rows) == min(size, samples)
    assert list(rows) == sorted(set(rows))
    assert all(0 <= row < size for row in rows)
    assert rows == choose(Rows(size), samples, seed)


@given(sizes, wanted, seeds)
def test_unlabelled_rows_are_spread_one_over_each_stretch(size: int, samples: int, seed: int) -> None:
    samples = min(size, samples)
    for part, row in enumerate(choose(Rows(size), samples, seed)):
        assert size * part // samples <= row < size * (part + 1) // samples


@given(labelled, wanted, seeds)
def test_classes_get_their_share_and_at_least_one(labels: list[int], samples: int, seed: int) -> None:
    rows = choose(Rows(len(labels), labels), samples, seed)
    assert len(rows) == min(len(labels), samples)
    assert list(rows) == sorted(set(rows))
    there = Counter(labels)
    chosen = Counter(labels[row] for row in rows)
    if samples >= len(there):
        assert set(chosen) == set(there)
    shares = {label: len(rows) * size / len(labels) for label, size in there.items()}
    if samples < len(there) or min(shares.values()) >= 1:  # nothing had to be granted to small classes
        assert all(abs(chosen[label] - share) < 1 for label, share in shares.items())
    assert rows == choose(Rows(len(labels), labels), samples, seed)


def test_small_classes_are_granted_one_at_the_expense_of_the_largest() -> None:
    labels = [0] * 900 + [1] * 92 + list(range(2, 10))
    chosen = Counter(labels[row] for row in choose(Rows(1000, labels), 20))
    assert chosen == Counter({0: 11, 1: 1, **dict.fromkeys(range(2, 10), 1)})


def test_another_seed_chooses_other_rows() -> None:
    assert len({choose(Rows(1000), 100, seed) for seed in range(5)}) == 5


def test_the_choice_is_the_same_on_every_machine_and_python() -> None:
    assert choose(Rows(100), 5) == (15, 28, 45, 70, 88)
    assert choose(Rows(8, [0, 1] * 4), 4) == (0, 3, 4, 5)


@pytest.mark.parametrize("samples", [0, -3])
def test_no_samples_are_refused(samples: int) -> None:
    with pytest.raises(DataError, match=f"--samples {samples}"):
        choose(Rows(10), samples)
