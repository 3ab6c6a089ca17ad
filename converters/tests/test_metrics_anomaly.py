"""AUC against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from edgekit.errors import MetricError
from edgekit_converters.metrics.anomaly import Auc
from edgekit_converters.metrics.metric import Answer, aggregate

SCORE = Auc("auc", output="y", reconstructs=None)


def records_of(scores, labels):
    return [
        SCORE.score(Answer({"y": np.array([[s]], np.float32)}, label, {}, "a"))
        for s, label in zip(scores, labels, strict=True)
    ]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40), st.integers(0, 2**32))
def test_area_equals_scikit_learn_with_ties_and_weights(pairs, seed):
    scores, labels = (np.array(part) for part in zip(*pairs, strict=True))
    weights = np.random.default_rng(seed).integers(0, 4, len(pairs))
    pooled = SCORE.pool(records_of(scores, labels))
    for counts in (np.ones(len(pairs), int), weights):
        area = pooled(counts[None].astype(float))[0]
        drawn = labels.repeat(counts)
        if drawn.all() or not drawn.any():
            assert np.isnan(area)
        else:
            assert area == pytest.approx(100 * roc_auc_score(drawn, scores.repeat(counts)))


def test_a_reconstruction_is_scored_by_its_error_against_the_input():
    metric = Auc("auc", output="y", reconstructs="x")
    clean = np.ones((1, 4), np.float32)
    record = metric.score(Answer({"y": clean + 0.5}, 1, {"x": clean}, "a"))
    assert record.tolist() == [0.25, 1]
    normal = metric.score(Answer({"y": clean}, 0, {"x": clean}, "b"))
    assert aggregate(metric, [record, normal]) == 100


@pytest.mark.parametrize("label", [2, "bad", [0, 1], None, 0.5])
def test_labels_that_are_not_0_or_1_name_the_sample(label):
    with pytest.raises(MetricError, match=r"^a: the label is .* 0 \(normal\) or 1 \(anomaly\)"):
        records_of([0.3], [label])
