"""Top-1 and top-5 accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.metrics.metric import Answer, Decision, FloatArray, Metric
from edgekit_converters.metrics.statistics import Statistic, Weights, weighted_means

PROBABILITY_SLACK = 1e-3  # rounding of a sigmoid in float32, far below one int8 step (1/256)
BINARY_THRESHOLD = 0.5

# A shift of the labels is suspected when accuracy is near zero and a shifted label does far better. Both
# numbers are a judgement: by chance alone neither is reached once there are ten classes.
_SHIFT_RATIO = 4
_SHIFT_LEAST = 0.2


def class_count(shape: Sequence[int]) -> int | None:
    """The number of classes of an output such as (1, C) or (1, 1, 1, C): its only axis above 1, or None."""
    wide = [size for size in shape if size > 1]
    return wide[0] if len(wide) == 1 else None


def decisions(output: FloatArray, axis: int = -1) -> Decision:
    """The winning class along the class axis, flat int64; the first of equals, as argmax has it.

    A class axis of size 1 is a sigmoid: class 1 from 0.5 on.
    """
    if class_count(output.shape) is not None:
        output, axis = output.reshape(1, -1), -1
    if output.shape[axis] == 1:
        return (output >= BINARY_THRESHOLD).astype(np.int64).ravel()
    return np.asarray(output.argmax(axis=axis), dtype=np.int64).ravel()


def is_probability(output: FloatArray) -> bool:
    """Whether every value could come out of a sigmoid or softmax."""
    return bool(output.min() >= -PROBABILITY_SLACK and output.max() <= 1 + PROBABILITY_SLACK)


def one_hot_class(label: NDArray[np.generic]) -> int | None:
    """The class of a one-hot label with at least two entries, or None."""
    flat = label.ravel()
    if flat.size < 2 or flat.dtype.kind not in "biuf":
        return None
    ones = np.flatnonzero(flat == 1)
    return int(ones[0]) if len(ones) == 1 and np.count_nonzero(flat) == 1 else None


def class_label(answer: Answer, output: str, classes: int) -> int:
    """The class of a sample, 0..classes-1: a whole number or a one-hot vector over the classes.

    Raises:
        MetricError: The label is no class of this model.
    """
    array = np.asarray(answer.label_of(output))
    if array.dtype.kind not in "biuf":
        raise answer.error(
            f"the label {answer.label_of(output)!r} is no class number",
            hint="give labels as integers, counted from 0",
        )
    if array.size == classes > 1:
        found = one_hot_class(array)
        if found is not None:
            return found
    if array.size != 1:
        raise answer.error(
            f"the label has shape {array.shape}, but output '{output}' takes one class of {classes} a sample",
            hint="give one class number a sample, or choose another metric with --metric",
        )
    value = float(array.ravel()[0])
    if not value.is_integer():
        raise answer.error(
            f"the label {value:g} is no class number",
            hint="for a regression use --metric mae, rmse or r2",
        )
    if not 0 <= value < classes:
        raise answer.error(
            f"the label {value:g} is outside the {classes} classes (0..{classes - 1}) of output '{output}'",
            hint="classes are counted from 0: do the labels start at 1, or belong to another model?",
        )
    return int(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK(Metric):
    """The percentage of samples whose label is among the model's k first classes.

    Equal scores are ranked by class number, as argmax does: with 256 int8 levels ties are common, and
    counting them all as right would flatter int8. An output of one value is a sigmoid: class 1 from 0.5 on.

    Attributes:
        output: The output that holds the class scores, shape (1, C) or with further axes of size 1.
        k: How many classes count.
    """

    output: str
    k: int

    def score(self, answer: Answer) -> NDArray[np.float64]:
        """Whether the label is a hit, and whether label + 1 and label - 1 would be: float64 (3,), 0 or 1."""
        values = answer.outputs[self.output].ravel()
        if values.size == 1:
            ranks = self._binary_ranks(answer, values)
        else:
            order = np.argsort(-values, kind="stable")
            ranks = np.empty(values.size, dtype=np.int64)
            ranks[order] = np.arange(values.size)
        label = class_label(answer, self.output, ranks.size)
        shifted = [label, label + 1, label - 1]
        return np.array([0 <= c < ranks.size and ranks[c] < self.k for c in shifted], dtype=np.float64)

    def _binary_ranks(self, answer: Answer, values: FloatArray) -> NDArray[np.int64]:
        if not is_probability(values):
            raise answer.error(
                f"output '{self.output}' is {float(values[0]):g}, no probability, so no threshold is known",
                hint="end the model with a sigmoid, or judge it with --metric file.py:function",
            )
        positive = int(values[0] >= BINARY_THRESHOLD)
        return np.array([positive, 1 - positive])

    def pool(self, records: Sequence[NDArray[np.float64]]) -> Statistic:
        """The share of hits, in %."""
        means = weighted_means(np.stack(records)[:, :1])

        def share(weights: Weights) -> NDArray[np.float64]:
            return 100 * means(weights)[:, 0]

        return share

    def decide(self, outputs: Mapping[str, FloatArray]) -> Decision:
        """The first class."""
        return decisions(outputs[self.output])

    def notes(self, records: Sequence[NDArray[np.float64]]) -> tuple[str, ...]:
        """Whether the labels look shifted by one, as with 1001 classes of which 0 is background."""
        hit, up, down = np.stack(records).mean(axis=0)
        best, shift = max((up, "+ 1"), (down, "- 1"))
        if best < _SHIFT_LEAST or hit * _SHIFT_RATIO > best:
            return ()
        return (
            f"the labels look shifted by one: float {self.name} is {100 * hit:.1f} %, and would be "
            f"{100 * best:.1f} % with label {shift}; does the model count a background class that the "
            f"labels do not?",
        )
