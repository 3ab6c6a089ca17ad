"""Mean IoU against scikit-learn's Jaccard score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from edgekit.errors import MetricError
from edgekit_converters.metrics.metric import Answer, aggregate
from edgekit_converters.metrics.segmentation import MeanIou, class_axis

LAST = MeanIou("miou", output="y", axis=3)
FIRST = MeanIou("miou", output="y", axis=1)


def answer(output, mask, origin="mask 4"):
    return Answer({"y": np.asarray(output, np.float32)}, mask, {}, origin)


def one_hot(mask, classes):
    return np.eye(classes, dtype=np.float32)[mask][None]


@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(1, 4))
def test_value_equals_scikit_learn_over_all_pixels(seed, classes, images):
    generator = np.random.default_rng(seed)
    truth, predicted = generator.integers(0, classes, (2, images, 4, 5))
    last = [LAST.score(answer(one_hot(p, classes), t)) for t, p in zip(truth, predicted, strict=True)]
    first = [
        FIRST.score(answer(one_hot(p, classes).transpose(0, 3, 1, 2), t))
        for t, p in zip(truth, predicted, strict=True)
    ]
    expected = 100 * jaccard_score(truth.ravel(), predicted.ravel(), average="macro")
    assert aggregate(LAST, last) == pytest.approx(expected)
    assert aggregate(FIRST, first) == pytest.approx(expected)


def test_weights_equal_repeated_samples():
    generator = np.random.default_rng(0)
    records = [
        LAST.score(answer(one_hot(p, 4), t))
        for t, p in zip(*generator.integers(0, 4, (2, 12, 3, 3)), strict=True)
    ]
    counts = np.bincount(generator.integers(0, 12, 12), minlength=12)
    repeated = [record for record, count in zip(records, counts, strict=True) for _ in range(count)]
    assert LAST.pool(records)(counts[None].astype(float))[0] == pytest.approx(aggregate(LAST, repeated))


def test_void_pixels_do_not_count_and_are_told():
    truth = np.array([[0, 1], [255, 255]])
    record = LAST.score(answer(one_hot(np.array([[0, 1], [0, 1]]), 2), truth))
    assert aggregate(LAST, [record]) == 100
    (note,) = LAST.notes([record])
    assert note.startswith("50.0 % of the mask pixels are 255")


def test_classes_that_never_occur_are_left_out():
    mask = np.array([[0, 1], [0, 1]])
    assert aggregate(LAST, [LAST.score(answer(one_hot(mask, 9), mask))]) == 100


def test_records_hold_no_mask():
    mask = np.zeros((200, 200), dtype=np.uint8)
    assert LAST.score(answer(one_hot(mask, 3), mask)).size == 8


def test_one_sigmoid_channel_is_split_at_a_half():
    probabilities = np.array([[[0.2], [0.5]], [[0.9], [0.4]]])
    record = LAST.score(answer(probabilities[None], np.array([[[0], [1]], [[1], [1]]])))
    assert aggregate(LAST, [record]) == pytest.approx(100 * np.mean([1 / 2, 2 / 3]))


@pytest.mark.parametrize(
    ("output", "mask", "message"),
    [
        (np.zeros((1, 2, 2, 3)), np.full((2, 2), 3), "holds 3, outside the 3 classes"),
        (np.zeros((1, 2, 2, 3)), np.full((2, 2), -1), "holds -1"),
        (np.zeros((1, 2, 2, 3)), np.zeros((4, 4), int), "shape (4, 4)"),
        (np.zeros((1, 2, 2, 3)), np.zeros((2, 2)), "dtype float64"),
        (np.full((1, 2, 2, 1), 3.0), np.zeros((2, 2), int), "no threshold"),
    ],
)
def test_masks_that_do_not_fit_name_the_sample(output, mask, message):
    with pytest.raises(MetricError) as caught:
        LAST.score(answer(output, mask))
    assert str(caught.value).startswith("mask 4: ")
    assert message in str(caught.value)


def test_class_axis():
    assert class_axis((1, 8, 9, 3), (8, 9)) == 3
    assert class_axis((1, 3, 8, 9), (8, 9)) == 1
    assert class_axis((1, 8, 9, 3), (9, 8)) is None
    assert class_axis((1, 10), (8, 9)) is None
