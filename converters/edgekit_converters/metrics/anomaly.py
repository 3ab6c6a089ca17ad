"""Area under the ROC curve, for anomaly scores and reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.metrics.metric import Answer, Metric
from edgekit_converters.metrics.statistics import Statistic, Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Auc(Metric):
    """Area under the ROC curve in %: how often an anomaly (label 1) scores above a normal sample (label 0).

    Ties count half.

    Attributes:
        output: The output to judge.
        reconstructs: The input whose reconstruction the output is: the score is their mean squared
            difference, so float and int8 are both held against the float input. None: the output is one
            value, which is the score itself.
    """

    output: str
    reconstructs: str | None

    def score(self, answer: Answer) -> NDArray[np.float64]:
        """The anomaly score and the label of a sample: float64 (2,)."""
        label = np.asarray(answer.label_of(self.output))
        if label.dtype.kind not in "biuf" or label.size != 1 or float(label.ravel()[0]) not in (0.0, 1.0):
            raise answer.error(
                f"the label is {answer.label_of(self.output)!r}, but auc takes 0 (normal) or 1 (anomaly)",
                hint="label every evaluation sample 0 or 1",
            )
        output = answer.outputs[self.output].astype(np.float64)
        if self.reconstructs is not None:
            output = np.square(output - answer.inputs[self.reconstructs]).mean(keepdims=True)
        return np.array([output.ravel()[0], label.ravel()[0]], dtype=np.float64)

    def pool(self, records: Sequence[NDArray[np.float64]]) -> Statistic:
        """The area by ranks (Mann-Whitney U), in %; NaN where a draw lacks one of the classes."""
        stacked = np.stack(records)
        order = np.argsort(stacked[:, 0], kind="stable")
        scores, labels = stacked[order].T
        ties = np.flatnonzero(np.diff(scores, prepend=np.nan) != 0)  # where each group of equal scores starts

        def area(weights: Weights) -> NDArray[np.float64]:
            ranked = weights[:, order]
            anomalies = np.add.reduceat(ranked * labels, ties, axis=1)
            normals = np.add.reduceat(ranked * (1 - labels), ties, axis=1)
            below = np.cumsum(normals, axis=1) - normals / 2
            with np.errstate(invalid="ignore"):
                value: NDArray[np.float64] = (
                    100 * (anomalies * below).sum(axis=1) / (anomalies.sum(axis=1) * normals.sum(axis=1))
                )
            return value

        return area
