"""What a row of latencies comes to, against numpy."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import InvalidManifestError
from edgekit.profiling.latency import Latency, percentile

MOST = 2**63 - 1
rows = st.lists(st.integers(0, 10**12), min_size=1, max_size=60)


def exactly(samples: list[int], percent: int) -> Fraction:
    """Type 7 of Hyndman and Fan without rounding."""
    ordered = sorted(samples)
    place = Fraction((len(ordered) - 1) * percent, 100)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@given(samples=rows)
def test_percentiles_are_numpys(samples: list[int]) -> None:
    latency = Latency.of(samples)
    wanted = np.percentile(samples, [0, 50, 90, 99, 100])
    said = [latency.min_ns, latency.p50_ns, latency.p90_ns, latency.p99_ns, latency.max_ns]
    np.testing.assert_allclose(said, wanted, rtol=0, atol=0.501)
    assert abs(latency.mean_ns - np.mean(samples)) <= 0.501
    assert latency.jitter_ns == latency.p99_ns - latency.p50_ns
    assert latency.samples_ns == tuple(samples)  # in the order of the runs


@given(samples=st.lists(st.integers(0, MOST), min_size=1, max_size=20), percent=st.integers(0, 100))
def test_percentiles_are_exact_to_half_a_nanosecond_and_a_float(samples: list[int], percent: int) -> None:
    found = percentile(sorted(samples), percent)
    spread = max(samples) - min(samples)
    assert abs(found - exactly(samples, percent)) <= Fraction(1, 2) + Fraction(spread, 2**48)


@given(samples=st.lists(st.integers(0, MOST), min_size=1, max_size=20))
def test_the_figures_are_in_order(samples: list[int]) -> None:
    latency = Latency.of(samples)
    figures = [latency.min_ns, latency.p50_ns, latency.p90_ns, latency.p99_ns, latency.max_ns]
    assert figures == sorted(figures)
    assert (figures[0], figures[-1]) == (min(samples), max(samples))
    assert latency.min_ns <= latency.mean_ns <= latency.max_ns
    assert latency.jitter_ns >= 0


@given(sample=st.integers(0, MOST))
def test_one_run_is_all_of_its_figures(sample: int) -> None:
    latency = Latency.of([sample])
    assert (latency.runs, latency.jitter_ns) == (1, 0)
    assert {latency.min_ns, latency.p50_ns, latency.p90_ns, latency.p99_ns, latency.max_ns} == {sample}
    assert latency.mean_ns == sample


def test_a_known_row() -> None:
    latency = Latency.of([50, 10, 40, 20, 30])
    assert (latency.min_ns, latency.p50_ns, latency.p90_ns, latency.p99_ns) == (10, 30, 46, 50)
    assert (latency.max_ns, latency.mean_ns, latency.jitter_ns, latency.runs) == (50, 30, 20, 5)


@given(samples=rows)
def test_it_reads_back(samples: list[int]) -> None:
    latency = Latency.of(samples)
    assert Latency.from_json(latency.to_json()) == latency


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"p50_ns": 29}, "p50_ns must be 30, as the samples have it, and is 29"),
        ({"runs": 4}, "runs must be 5"),
        ({"mean_ns": 31}, "mean_ns must be 30"),
        ({"jitter_ns": 0}, "jitter_ns must be 20"),
        ({"samples_ns": (50, 10, 40, 20, 31)}, "p50_ns must be 31"),
        ({"samples_ns": (50, 10, 40, 20, -30)}, "samples_ns must not be negative"),
        ({"samples_ns": ()}, "samples_ns must not be empty"),
    ],
)
def test_a_summary_that_its_samples_do_not_have_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidManifestError, match=message):
        replace(Latency.of([50, 10, 40, 20, 30]), **changes)  # type: ignore[arg-type]
