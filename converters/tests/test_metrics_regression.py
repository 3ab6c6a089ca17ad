"""MAE, RMSE and R2 against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from edgekit.errors import MetricError
from edgekit_converters.metrics.metric import Answer, aggregate
from edgekit_converters.metrics.regression import R2, MeanAbsoluteError, RootMeanSquaredError

MAE = MeanAbsoluteError("mae", output="y")
RMSE = RootMeanSquaredError("rmse", output="y")
R2_METRIC = R2("r2", output="y")


def value(metric, predicted, truth, weights=None):
    records = [
        metric.score(Answer({"y": p[None].astype(np.float32)}, t, {}, f"row {i}"))
        for i, (p, t) in enumerate(zip(predicted, truth, strict=True))
    ]
    if weights is None:
        return aggregate(metric, records)
    return float(metric.pool(records)(weights[None].astype(float))[0])


@given(st.integers(0, 2**32), st.integers(2, 40), st.integers(1, 4), st.sampled_from([0.0, 1e4]))
def test_values_equal_scikit_learn(seed, n, width, offset):
    generator = np.random.default_rng(seed)
    truth = generator.normal(offset, 1, (n, width)).astype(np.float32)
    predicted = (truth + generator.normal(0, 0.3, (n, width))).astype(np.float32)
    assert value(MAE, predicted, truth) == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-4)
    assert value(RMSE, predicted, truth) == pytest.approx(
        mean_squared_error(truth.ravel(), predicted.ravel()) ** 0.5, rel=1e-4
    )
    expected = 100 * r2_score(truth.astype(float), predicted.astype(float))
    assert value(R2_METRIC, predicted, truth) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("metric", [MAE, RMSE, R2_METRIC], ids=lambda metric: metric.name)
def test_weights_equal_repeated_samples(metric):
    generator = np.random.default_rng(5)
    truth, predicted = generator.normal(size=(2, 20, 3))
    counts = np.bincount(generator.integers(0, 20, 20), minlength=20)
    repeated = value(metric, predicted.repeat(counts, axis=0), truth.repeat(counts, axis=0))
    assert value(metric, predicted, truth, counts) == pytest.approx(repeated)


def test_r2_has_no_value_where_no_label_varies():
    assert np.isnan(value(R2_METRIC, np.array([[1.0], [2.0]]), np.array([[3.0], [3.0]])))
    varying_and_not = np.array([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    assert value(R2_METRIC, varying_and_not, varying_and_not) == pytest.approx(100)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.zeros(3), "shape (3,)"),
        ("tall", "no finite number"),
        (float("nan"), "no finite number"),
        (None, "no finite number"),
    ],
)
def test_labels_that_do_not_fit_name_the_sample(label, message):
    with pytest.raises(MetricError, match=r"^x\.csv row 9: ") as caught:
        MAE.score(Answer({"y": np.zeros((1, 2), np.float32)}, label, {}, "x.csv row 9"))
    assert message in str(caught.value)


def test_r2_refuses_images():
    with pytest.raises(MetricError, match="up to 256 values"):
        R2_METRIC.score(Answer({"y": np.zeros((1, 20, 20), np.float32)}, np.zeros((20, 20)), {}, "a"))
