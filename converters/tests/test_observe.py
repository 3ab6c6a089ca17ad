"""What one pass of the float model notes: histograms of a subsample, which sample set which extreme, samples taken off."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit_converters.calibration import subsample
from edgekit_converters.calibration.histogram import Histogram
from edgekit_converters.calibration.observe import Observation, observe
from edgekit_converters.quantize.leaving_out import leave_out
from edgekit_converters.quantize.samples import Samples
from edgekit_converters.sources import SourceOptions, load_float
from edgekit_converters.worker import Worker

Inputs = list[dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def model(made_by: Callable[[str], Path], worker: Worker) -> bytes:
    return load_float(made_by("peer_models") / "cnn.keras", SourceOptions(), worker).flatbuffer


@pytest.fixture(scope="module")
def samples(made_by: Callable[[str], Path]) -> Inputs:
    return [{"photo": sample[None]} for sample in np.load(made_by("peer_models") / "samples.npy")]


@pytest.fixture(scope="module")
def observation(model: bytes, samples: Inputs) -> Observation:
    return observe(model, samples, histograms=True, threads=2)


def same(one: Histogram, other: Histogram) -> bool:
    return np.array_equal(one.bins, other.bins) and np.array_equal(one.counts, other.counts)


def test_small_tensors_are_counted_whole(observation: Observation, samples: Inputs) -> None:
    expected = Histogram.of(np.concatenate([sample["photo"] for sample in samples]))
    assert same(observation.histograms["photo"], expected)
    assert observation.fed == {"photo"}


def test_every_tensor_has_a_histogram_within_its_extremes(observation: Observation) -> None:
    assert tuple(observation.histograms) == observation.tensors
    ranges = observation.minmax()
    for name, histogram in observation.histograms.items():
        slack = max(abs(ranges.low[name]), abs(ranges.high[name])) / 256
        assert ranges.low[name] - slack <= histogram.values[0], name
        assert histogram.values[-1] <= ranges.high[name] + slack, name


def test_histograms_do_not_depend_on_the_number_of_threads(
    model: bytes, samples: Inputs, observation: Observation
) -> None:
    alone = observe(model, samples, histograms=True, threads=1)
    assert all(same(alone.histograms[name], observation.histograms[name]) for name in observation.tensors)


def test_histograms_are_made_only_when_asked_for(
    model: bytes, samples: Inputs, observation: Observation
) -> None:
    plain = observe(model, samples[:9])
    assert plain.histograms == {}
    assert np.array_equal(plain.low, observation.low[:9])


def test_the_sample_that_set_an_extreme_is_known(observation: Observation, samples: Inputs) -> None:
    low, high = observation.extremes("photo")
    tops = np.array([sample["photo"].max() for sample in samples])
    assert (high.value, high.sample) == (tops.max(), tops.argmax())
    assert high.without == np.sort(tops)[-2]
    bottoms = np.array([sample["photo"].min() for sample in samples])
    assert (low.value, low.sample, low.without) == (bottoms.min(), bottoms.argmin(), np.sort(bottoms)[1])


def test_a_left_out_sample_leaves_no_trace(model: bytes, samples: Inputs, observation: Observation) -> None:
    poisoned = [{"photo": inputs["photo"] * (100 if row == 11 else 1)} for row, inputs in enumerate(samples)]
    stream = Samples([(None, inputs) for inputs in poisoned], len(poisoned))
    whole = observe(model, poisoned, means_of=["scores"], histograms=True)
    rest, kept, left_out = leave_out(model, whole, stream)
    assert [each.outlier.row for each in left_out] == [11]
    assert len(kept) == len(rest.low) == len(samples) - 1
    numbers = [row for row in range(len(samples)) if row != 11]
    assert rest.numbers.tolist() == numbers
    never = observe(
        model, [samples[row] for row in numbers], means_of=["scores"], histograms=True, numbers=numbers
    )
    assert rest.minmax() == never.minmax()
    assert np.array_equal(rest.channels["scores"], never.channels["scores"])
    assert all(same(rest.histograms[name], never.histograms[name]) for name in never.tensors)
    assert leave_out(model, observation, Samples([], len(samples)))[2] == ()


@given(st.integers(1, 3_000_000))
def test_strides_take_enough_and_share_no_factor(size: int) -> None:
    stride = subsample.stride(size)
    assert math.gcd(stride, size) == 1 or stride == 1
    assert size // stride >= min(size, subsample.LEAST_VALUES)


@pytest.mark.parametrize("shape", [(112, 112, 96), (56, 56, 24), (28, 28, 192), (300, 64), (49, 10, 64)])
def test_every_channel_is_taken_alike(shape: tuple[int, ...]) -> None:
    size, channels = math.prod(shape), shape[-1]
    stride = subsample.stride(size)
    counts = np.zeros(channels)
    rows = np.zeros(shape[0])
    for sample in range(20):
        (offset,) = subsample.offsets([stride], sample)
        places = np.arange(offset, size, stride)
        counts += np.bincount(places % channels, minlength=channels)
        rows += np.bincount(places // (size // shape[0]), minlength=shape[0])
    assert counts.max() / counts.min() < 1.1
    assert rows.max() / rows.min() < 1.1


def test_a_subsample_tells_the_distribution() -> None:
    values = np.random.default_rng(0).normal(size=(40, 100_000)).astype(np.float32)
    stride = subsample.stride(values.shape[1])
    taken = [row[subsample.offsets([stride], number)[0] :: stride] for number, row in enumerate(values)]
    histogram = Histogram.of(np.concatenate(taken))
    for share in (0.01, 0.5, 0.99):
        assert histogram.quantile(share) == pytest.approx(np.quantile(values, share), abs=0.03)
