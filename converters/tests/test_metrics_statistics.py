"""Intervals: against closed forms, known tables, and resampling done the plain way."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit_converters.metrics.statistics import (
    Interval,
    bootstrap,
    bootstrap_interval,
    evaluate_at_sample,
    paired_bootstrap,
    rule_of_three,
    weighted_means,
    wilson,
)


def mean_of(values):
    means = weighted_means(np.asarray(values, dtype=float)[:, None])
    return lambda weights: means(weights)[:, 0]


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # R. G. Newcombe, Two-sided confidence intervals for the single proportion (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_equals_published_values(successes, n, low, high):
    interval = wilson(successes, n)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_is_symmetric(case):
    successes, n = case
    interval, mirrored = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= interval.low <= successes / n <= interval.high <= 1
    assert interval.width > 0
    assert interval.low == pytest.approx(1 - mirrored.high)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(0, 2**32))
def test_weighted_mean_equals_the_mean_of_repeated_samples(values, seed):
    counts = np.bincount(
        np.random.default_rng(seed).integers(0, len(values), len(values)), minlength=len(values)
    )
    weighted = mean_of(values)(counts[None].astype(float))[0]
    assert weighted == pytest.approx(np.repeat(values, counts).mean(), rel=1e-9, abs=1e-6)


def test_draws_are_the_same_for_the_same_seed_and_for_every_statistic():
    values = np.random.default_rng(1).normal(size=50)
    first = bootstrap([mean_of(values), mean_of(values)], 50, resamples=300, seed=7)
    assert np.array_equal(first[0], first[1])
    assert np.array_equal(first, bootstrap([mean_of(values), mean_of(values)], 50, resamples=300, seed=7))
    assert not np.array_equal(first, bootstrap([mean_of(values)] * 2, 50, resamples=300, seed=8))


def test_interval_of_a_mean_is_near_the_normal_one():
    values = np.random.default_rng(2).normal(3, 2, size=400)
    interval = bootstrap_interval(mean_of(values), 400)
    error = values.std() / 20
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_pairing_narrows_the_difference():
    generator = np.random.default_rng(3)
    first = generator.normal(size=300)
    second = first + generator.normal(0.1, 0.05, size=300)
    paired = paired_bootstrap(mean_of(first), mean_of(second), 300)
    assert paired.difference.width < paired.first.width / 5
    assert paired.difference.low < np.mean(second - first) < paired.difference.high


@pytest.mark.parametrize("values", [[4.0], [4.0] * 9])
def test_nothing_to_resample_gives_no_width(values):
    paired = paired_bootstrap(mean_of(values), mean_of(values), len(values))
    assert paired.first == Interval(4.0, 4.0)
    assert paired.difference == Interval(0.0, 0.0)


def test_undefined_draws_are_left_out():
    def defined_with_the_first(weights):
        return np.where(weights[:, 0] > 0, weights[:, 0], np.nan)

    interval = bootstrap_interval(defined_with_the_first, 5)
    assert interval.low == 1
    assert interval.high >= 2


def test_a_statistic_that_no_draw_defines_keeps_its_own_value():
    def needs_all(weights):
        return np.where((weights == 1).all(axis=1), 2.0, np.nan)

    assert evaluate_at_sample(needs_all, 60) == 2
    assert bootstrap_interval(needs_all, 60) == Interval(2.0, 2.0)


def test_fifty_thousand_samples_take_no_copies_and_little_time():
    values = np.random.default_rng(4).random(50_000)
    start = time.process_time()
    paired_bootstrap(mean_of(values), mean_of(values[::-1]), 50_000)
    assert (
        time.process_time() - start < 10
    )  # about half a second; copying the samples 2,000 times takes minutes


def test_rule_of_three():
    assert rule_of_three(300) == pytest.approx(0.01)
    assert rule_of_three(2) == 1
