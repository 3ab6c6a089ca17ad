"""What a metric is: a score a sample, and one value over the scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import MetricError
from edgekit_converters.metrics.statistics import RESAMPLES, Statistic, evaluate_at_sample

FloatArray: TypeAlias = NDArray[np.float32]
Decision: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model said to one sample, and what is known of the sample.

    Attributes:
        outputs: Dequantized outputs by name, float32, with the batch axis (1 first).
        label: The sample's label as its reader gave it; None where there is none. A mapping by output name
            where a model with several outputs has several labels. For a metric that compares with the float
            model: the float model's outputs.
        inputs: The model input by name, float32, with the batch axis.
        origin: Where the sample comes from, for messages: "photos/cat/1.jpg", "x.npz row 12".
    """

    outputs: Mapping[str, FloatArray]
    label: object
    inputs: Mapping[str, FloatArray]
    origin: str

    def label_of(self, output: str) -> object:
        """The label that belongs to an output: the entry of its name where labels come by output."""
        if isinstance(self.label, Mapping) and output in self.label:
            return self.label[output]
        return self.label

    def error(self, message: str, *, hint: str | None = None) -> MetricError:
        """A MetricError that names this sample."""
        return MetricError(f"{self.origin}: {message}", hint=hint)


@dataclass(frozen=True, slots=True)
class Metric(ABC):
    """A measure of how well a model answers labelled samples, or how well int8 follows float.

    Attributes:
        name: As the user writes it: "top1", "mae", "score.py:dice".
        unit: "%" where values are 0..100 and a difference is in percentage points; else the unit of the
            value.
        higher_is_better: Which way is up.
        needs_label: Whether a sample without a label is an error.
        compares_to_float: Whether the float model's outputs stand in the label's place; the float model then
            has no value of its own.
        is_share: Whether the value is the percentage of samples that are right, so that Wilson's interval
            applies.
        resamples: Bootstrap draws that its cost allows.
    """

    name: str
    unit: str = "%"
    higher_is_better: bool = True
    needs_label: bool = True
    compares_to_float: bool = False
    is_share: bool = False
    resamples: int = RESAMPLES

    @abstractmethod
    def score(self, answer: Answer) -> Any:
        """A small record of one answer: everything that `pool` needs of it, and never a whole output.

        Raises:
            MetricError: The label or the outputs do not fit; the message names the sample.
        """

    @abstractmethod
    def pool(self, records: Sequence[Any]) -> Statistic:
        """The metric's value over the records, as a function of how often each of them counts."""

    def decide(self, outputs: Mapping[str, FloatArray]) -> Decision | None:
        """The discrete answers in the outputs (one class, or one a pixel), or None where there are none.

        Two models agree where their decisions are equal.
        """
        return None

    def notes(self, records: Sequence[Any]) -> tuple[str, ...]:
        """What a person should know of the float model's records: a suspicion, or something not counted."""
        return ()


def aggregate(metric: Metric, records: Sequence[Any]) -> float:
    """The metric's value over all records, each counted once; NaN where it has none."""
    return evaluate_at_sample(metric.pool(records), len(records))
