"""Top-1 and top-5 on outputs made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import top_k_accuracy_score

from edgekit.errors import MetricError
from edgekit_converters.metrics.classification import TopK, class_count, decisions, one_hot_class
from edgekit_converters.metrics.metric import Answer, aggregate

TOP1 = TopK("top1", output="y", k=1)
TOP5 = TopK("top5", output="y", k=5)


def answer(values, label, origin="set.npz row 3"):
    output = np.asarray(values, dtype=np.float32)
    return Answer({"y": output if output.ndim > 1 else output[None]}, label, {}, origin)


def test_top_k_equals_scikit_learn():
    generator = np.random.default_rng(0)
    scores, labels = generator.random((200, 12), dtype=np.float32), generator.integers(0, 12, 200)
    for metric in (TOP1, TOP5):
        records = [metric.score(answer(row, label)) for row, label in zip(scores, labels, strict=True)]
        expected = 100 * top_k_accuracy_score(labels, scores, k=metric.k, labels=range(12))
        assert aggregate(metric, records) == pytest.approx(expected)


@given(arrays(np.int8, st.integers(6, 20), elements=st.integers(0, 3)), st.data())
def test_ties_are_ranked_by_class_number(values, data):
    label = data.draw(st.integers(0, len(values) - 1))
    best = sorted(range(len(values)), key=lambda c: (-int(values[c]), c))
    for metric in (TOP1, TOP5):
        assert metric.score(answer(values, label))[0] == (label in best[: metric.k])


@pytest.mark.parametrize(
    "label", [2, np.int64(2), np.array([2]), np.array(2, dtype=np.uint8), 2.0, [0, 0, 1], True + 1]
)
def test_every_form_of_a_class_is_understood(label):
    assert TOP1.score(answer([0.1, 0.2, 0.7], label))[0] == 1


@pytest.mark.parametrize(
    ("probability", "label", "hit"), [(0.5, 1, 1), (0.49, 1, 0), (0.49, 0, 1), (0.9, False, 0)]
)
def test_one_sigmoid_is_split_at_a_half(probability, label, hit):
    assert TOP1.score(answer([probability], label))[0] == hit


@pytest.mark.parametrize(
    ("values", "label", "message"),
    [
        ([0.1, 0.2, 0.7], 3, "label 3 is outside the 3 classes"),
        ([0.1, 0.2, 0.7], -1, "label -1 is outside"),
        ([0.1, 0.2, 0.7], 1.5, "1.5 is no class number"),
        ([0.1, 0.2, 0.7], float("nan"), "nan is no class number"),
        ([0.1, 0.2, 0.7], "cat", "'cat' is no class number"),
        ([0.1, 0.2, 0.7], [1, 2], "shape (2,)"),
        ([0.4], 2, "label 2 is outside the 2 classes"),
        ([4.0], 1, "no probability"),
    ],
)
def test_what_does_not_fit_names_the_sample(values, label, message):
    with pytest.raises(MetricError) as caught:
        TOP1.score(answer(values, label))
    assert str(caught.value).startswith("set.npz row 3: ")
    assert message in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(("shift", "said"), [(1, "label + 1"), (-1, "label - 1")])
def test_shifted_labels_are_suspected(shift, said):
    eye = np.eye(20)
    records = [TOP1.score(answer(eye[c], c - shift)) for c in range(1, 19)]
    (note,) = TOP1.notes(records)
    assert said in note
    assert "100.0 %" in note


def test_a_poor_model_is_not_called_shifted():
    generator = np.random.default_rng(0)
    records = [TOP1.score(answer(generator.random(20), c % 20)) for c in range(200)]
    assert TOP1.notes(records) == ()


def test_class_axes():
    assert class_count((1, 10)) == class_count((1, 1, 1, 10)) == 10
    assert class_count((1, 1)) is None
    assert class_count((1, 4, 4, 3)) is None
    assert decisions(np.zeros((1, 5, 1, 1), np.float32)).tolist() == [0]
    assert decisions(np.array([[[0, 1], [1, 0], [1, 1]]], np.float32)).tolist() == [1, 0, 0]


def test_one_hot():
    assert one_hot_class(np.array([0.0, 1.0])) == 1
    for other in ([1, 1], [0, 0], [0.5, 0.5], [1], [2, 1]):
        assert one_hot_class(np.array(other)) is None
