"""One model beside float and beside another model, whatever the case measures: top-1 for classes, AUC for anomalies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from cases import Case
from scoring import auc, classes, paired, resampled_aucs, restoration_errors, wilson


@dataclass(frozen=True, slots=True)
class Judged:
    """What one model answered.

    Attributes:
        answers: Classes or restoration errors, (n,).
        value: Top-1 or AUC, in percent.
        interval: Of the value, 95 %.
    """

    answers: np.ndarray
    value: float
    interval: tuple[float, float]


def judge(case: Case, models: Mapping[str, bytes]) -> dict[str, Judged]:
    return {how: _judged(case, model) for how, model in models.items()}


def _judged(case: Case, model: bytes) -> Judged:
    if case.anomaly:
        errors = restoration_errors(model, case.evaluation_inputs)
        return Judged(errors, auc(errors, case.labels), _middle(resampled_aucs(errors, case.labels)))
    answers = classes(model, case.evaluation_inputs)
    right = answers == case.labels
    return Judged(answers, 100 * float(right.mean()), wilson(int(right.sum()), len(right)))


def lead(case: Case, ours: Judged, other: Judged) -> tuple[float, tuple[float, float]]:
    """By how many points the first is ahead, and the paired interval of that, 95 %."""
    ahead = ours.value - other.value
    if case.anomaly:
        each = (resampled_aucs(judged.answers, case.labels) for judged in (ours, other))
        return ahead, _middle(next(each) - next(each))
    return ahead, paired(ours.answers == case.labels, other.answers == case.labels)


def agreement(case: Case, one: Judged, other: Judged) -> float | None:
    """Percent of the samples that both give the same class; None where the answers are no classes."""
    return None if case.anomaly else 100 * float((one.answers == other.answers).mean())


def _middle(draws: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)
