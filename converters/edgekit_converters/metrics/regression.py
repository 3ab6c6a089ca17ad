"""MAE, RMSE and R2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import MetricError
from edgekit_converters.metrics.metric import Answer, Metric
from edgekit_converters.metrics.statistics import Statistic, Weights, weighted_means

LABEL_UNIT = "label units"
R2_LIMIT = 256  # values a sample: R2 keeps every label, so an image as the target would fill the memory


def errors_and_truth(answer: Answer, output: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predicted - true, and true, of one sample: flat float64.

    Raises:
        MetricError: The label is no finite number or array that fits the output.
    """
    predicted = answer.outputs[output]
    truth = np.asarray(answer.label_of(output))
    if truth.dtype.kind not in "biuf" or not np.isfinite(truth).all():
        raise answer.error(
            "the label holds something that is no finite number", hint="regression needs number labels"
        )
    if [s for s in truth.shape if s > 1] != [s for s in predicted.shape if s > 1]:
        raise answer.error(
            f"the label has shape {truth.shape}, but output '{output}' has {predicted.shape[1:]} a sample",
            hint="give one number for each value of the output, or choose another metric with --metric",
        )
    flat = truth.astype(np.float64).ravel()
    return predicted.astype(np.float64).ravel() - flat, flat


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanAbsoluteError(Metric):
    """Mean absolute error over all values of an output, in the unit of the labels."""

    output: str
    unit: str = LABEL_UNIT
    higher_is_better: bool = False

    def score(self, answer: Answer) -> NDArray[np.float64]:
        """The sample's mean absolute error: float64 (1,)."""
        errors, _ = errors_and_truth(answer, self.output)
        return np.array([np.abs(errors).mean()])

    def pool(self, records: Sequence[NDArray[np.float64]]) -> Statistic:
        """The mean over the samples."""
        return _of_first_mean(records, lambda mean: mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class RootMeanSquaredError(Metric):
    """Root of the mean squared error over all values of an output, in the unit of the labels."""

    output: str
    unit: str = LABEL_UNIT
    higher_is_better: bool = False

    def score(self, answer: Answer) -> NDArray[np.float64]:
        """The sample's mean squared error: float64 (1,)."""
        errors, _ = errors_and_truth(answer, self.output)
        return np.array([np.square(errors).mean()])

    def pool(self, records: Sequence[NDArray[np.float64]]) -> Statistic:
        """The root of the mean over the samples."""
        return _of_first_mean(records, np.sqrt)


@dataclass(frozen=True, slots=True, kw_only=True)
class R2(Metric):
    """Coefficient of determination in %: the share of the labels' variance that the model explains.

    With several values a sample it is the mean of their R2 ("uniform average"), leaving out values that never
    vary.
    """

    output: str

    def score(self, answer: Answer) -> NDArray[np.float64]:
        """Squared errors and labels of a sample: float64 (2, values)."""
        errors, truth = errors_and_truth(answer, self.output)
        if truth.size > R2_LIMIT:
            raise MetricError(
                f"metric '{self.name}' is for up to {R2_LIMIT} values a sample; "
                f"output '{self.output}' has {truth.size}",
                hint="use --metric rmse or mae",
            )
        return np.stack([errors**2, truth])

    def pool(self, records: Sequence[NDArray[np.float64]]) -> Statistic:
        """R2 in %; NaN where no label varies (a single sample, for one)."""
        stacked = np.stack(records)
        centred = stacked[:, 1] - stacked[:, 1].mean(axis=0)  # else the squares of far-off labels cancel
        residuals, first, second = (weighted_means(part) for part in (stacked[:, 0], centred, centred**2))

        def explained(weights: Weights) -> NDArray[np.float64]:
            variance = second(weights) - first(weights) ** 2
            varies = variance > 1e-12 * (centred**2).mean(axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(varies, 1 - residuals(weights) / variance, 0.0)
                mean: NDArray[np.float64] = 100 * values.sum(axis=1) / varies.sum(axis=1)
            return mean

        return explained


def _of_first_mean(
    records: Sequence[NDArray[np.float64]], function: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Statistic:
    means = weighted_means(np.stack(records))

    def value(weights: Weights) -> NDArray[np.float64]:
        return function(means(weights)[:, 0])

    return value
