"""Agreement and signal-to-noise ratio of outputs made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit_converters.metrics.agreement import DECIBELS_LIMIT, Agreement, Sqnr, decibels
from edgekit_converters.metrics.metric import Answer, aggregate

RATIO = Sqnr("sqnr", outputs=("y", "z"))


def answer(metric, reference, outputs):
    reference, outputs = (
        {k: np.asarray(v, np.float32) for k, v in each.items()} for each in (reference, outputs)
    )
    return metric.score(Answer(outputs, reference, {}, "a"))


def test_agreement_is_the_share_of_equal_classes():
    metric = Agreement("agreement", outputs=("y",))
    equal = answer(metric, {"y": [[1, 0, 0]]}, {"y": [[0.6, 0.5, 0]]})
    other = answer(metric, {"y": [[1, 0, 0]]}, {"y": [[0.4, 0.5, 0]]})
    assert aggregate(metric, [equal, other, other, other]) == 25


def test_agreement_over_pixels_and_several_outputs():
    metric = Agreement("agreement", outputs=("map", "y"))
    record = answer(
        metric,
        {"map": [[[1, 0], [1, 0], [0, 1]]], "y": [[0, 1]]},
        {"map": [[[1, 0], [0, 1], [0, 1]]], "y": [[0, 1]]},
    )
    assert record.tolist() == [0.75]


def test_ratio_is_that_of_the_worst_output():
    record = answer(RATIO, {"y": [[1.0, 1.0]], "z": [[10.0]]}, {"y": [[1.1, 0.9]], "z": [[10.01]]})
    assert aggregate(RATIO, [record]) == pytest.approx(20, abs=1e-3)


def test_a_silent_sample_does_not_dominate():
    loud = answer(RATIO, {"y": [[1.0]], "z": [[1.0]]}, {"y": [[1.01]], "z": [[1.01]]})
    silent = answer(RATIO, {"y": [[0.0]], "z": [[0.0]]}, {"y": [[0.01]], "z": [[0.0]]})
    assert aggregate(RATIO, [loud, silent]) == pytest.approx(10 * np.log10(1 / 2e-4), abs=1e-2)


def test_decibels_stay_finite():
    ratios = decibels(np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert ratios.tolist() == [DECIBELS_LIMIT, DECIBELS_LIMIT, -DECIBELS_LIMIT, 0]
