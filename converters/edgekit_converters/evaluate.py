"""int8 beside float: the same samples through both models, in one pass, on the user's own metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import MetricError, NoDataError
from edgekit_converters.metrics.agreement import decibels, equal_share, powers
from edgekit_converters.metrics.choose import choose_metric
from edgekit_converters.metrics.metric import Answer, FloatArray, Metric, aggregate
from edgekit_converters.metrics.statistics import (
    CONFIDENCE,
    Interval,
    bootstrap_interval,
    paired_bootstrap,
    rule_of_three,
    weighted_means,
    wilson,
)

Model: TypeAlias = Callable[[Mapping[str, FloatArray]], Mapping[str, FloatArray]]
"""From model input by name to dequantized outputs by name, all float32 with the batch axis."""

# Below it percentile intervals are known to be too narrow (Efron & Tibshirani 1993, chapter 13).
FEW_SAMPLES = 30
_CONTRACT_SLACK = 1e-9  # 55.0 - 54.0 in binary may exceed 1 by rounding


class LabelledSample(Protocol):
    """What evaluation reads of a sample: `edgekit_converters.calibration.Sample` has it."""

    @property
    def label(self) -> object | None:
        """The label, or None."""
        ...

    @property
    def origin(self) -> str:
        """Where the sample comes from, for messages."""
        ...


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often int8 gives the same class as float.

    Attributes:
        value: In %: of samples, or of pixels where a model answers for each.
        n: Number of samples.
        interval: 95 %, in %: Wilson's, or bootstrapped where a sample can agree in part.
    """

    value: float
    n: int
    interval: Interval


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What int8 costs.

    Attributes:
        metric: Its name.
        unit: "%" (0..100, differences in percentage points) or the unit of the values.
        higher_is_better: Which way is up.
        labelled: Whether labels were judged by.
        against_float: Whether the metric compares with the float model (agreement, sqnr); `float_value` is
            then what float reaches against itself.
        n: Number of samples.
        float_value: Of the float model.
        int8_value: Of the int8 model.
        difference: int8_value - float_value.
        difference_interval: 95 %, paired bootstrap over the samples.
        float_interval: 95 %: Wilson's for shares of samples, else bootstrap.
        int8_interval: Likewise.
        resamples: Draws of the bootstrap.
        agreement: With the float model, where the outputs hold classes; else None.
        sqnr_db: Signal-to-quantization-noise ratio of each output, in dB; at most about 146 (float32's own).
        notes: What a person should know before trusting the numbers.
    """

    metric: str
    unit: str
    higher_is_better: bool
    labelled: bool
    against_float: bool
    n: int
    float_value: float
    int8_value: float
    difference: float
    difference_interval: Interval
    float_interval: Interval
    int8_interval: Interval
    resamples: int
    agreement: Agreement | None
    sqnr_db: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def drop_pp(self) -> float | None:
        """How much worse int8 is than float; negative where it is better.

        Percentage points where the unit is "%"; else (MAE, RMSE, a user's own unit) how much worse relative
        to float's value, in %, infinite where float's value is 0 and int8's is not. None for sqnr, where
        float has no value of its own.
        """
        worse = -self.difference if self.higher_is_better else self.difference
        if self.unit == "%":
            return worse
        if self.against_float:
            return None
        if worse == 0 or self.float_value != 0:
            return 100 * worse / abs(self.float_value) if worse else 0.0
        return math.copysign(math.inf, worse)

    @property
    def drop_unit(self) -> str:
        """What `drop_pp` counts, for messages: "points", or "% of float's value"."""
        return "points" if self.unit == "%" else "% of float's value"

    def exceeds(self, max_drop: float) -> bool:
        """Whether int8 breaks a contract of at most `max_drop` (in the measure of `drop_pp`).

        Raises:
            MetricError: The metric has no drop.
        """
        drop = self.drop_pp
        if drop is None:
            raise MetricError(
                f"metric '{self.metric}' knows no drop from float, so --max-drop cannot be held",
                hint="give labelled evaluation data, or choose another --metric",
            )
        return drop > max_drop + _CONTRACT_SLACK

    def to_json(self) -> dict[str, object]:
        """Plain JSON values, rounded to six decimals; a drop that is infinite is null."""
        agreement = self.agreement
        drop = self.drop_pp
        return {
            "metric": self.metric,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "labelled": self.labelled,
            "against_float": self.against_float,
            "n": self.n,
            "float_value": _rounded(self.float_value),
            "int8_value": _rounded(self.int8_value),
            "difference": _rounded(self.difference),
            "difference_interval": _ends(self.difference_interval),
            "float_interval": _ends(self.float_interval),
            "int8_interval": _ends(self.int8_interval),
            "confidence": CONFIDENCE,
            "resamples": self.resamples,
            "drop_unit": self.drop_unit,
            "drop_pp": _rounded(drop) if drop is not None and math.isfinite(drop) else None,
            "agreement": None
            if agreement is None
            else {
                "value": _rounded(agreement.value),
                "n": agreement.n,
                "interval": _ends(agreement.interval),
            },
            "sqnr_db": {name: _rounded(value) for name, value in self.sqnr_db.items()},
            "notes": list(self.notes),
        }


def evaluate(
    samples: Iterable[tuple[LabelledSample, Mapping[str, FloatArray]]],
    float_model: Model,
    int8_model: Model,
    metric: Metric | str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Runs both models on every sample, once, and compares them.

    Nothing but one small record a sample and model is kept.

    Args:
        samples: Samples with their model input (by name, float32, batch axis first), read once and lazily.
        float_model: The float model.
        int8_model: The int8 model, taking the same float input and giving dequantized outputs of the same
            names and shapes.
        metric: A metric, its name (see `choose_metric`), or None for the one that the first sample makes
            plain.
        progress: Called after each sample with how many are done.

    Raises:
        NoDataError: There are no samples.
        MetricError: The metric, the labels or the outputs do not fit; the message names the sample.
    """
    tally: _Tally | None = None
    done = 0
    for done, (sample, inputs) in enumerate(samples, start=1):
        told = _answer(sample, inputs, float_model, "float")
        answered = _answer(sample, inputs, int8_model, "int8")
        if tally is None:
            tally = _Tally(
                choose_metric(metric, told), by_default=metric is None, labelled=sample.label is not None
            )
        tally.add(told, answered)
        if progress is not None:
            progress(done)
    if tally is None:
        raise NoDataError(
            "there are no samples to evaluate", hint="name evaluation data that hold at least one sample"
        )
    return tally.evaluation(done)


def rehearse(
    sample: LabelledSample, inputs: Mapping[str, FloatArray], float_model: Model, metric: Metric | str | None
) -> Metric:
    """Judges one sample by the float model alone, so that a metric that does not fit is known before int8 exists.

    Args:
        sample: The first that `evaluate` will see.
        inputs: Its model input.
        float_model: As for `evaluate`.
        metric: As for `evaluate`.

    Returns:
        The metric that `evaluate` will use.

    Raises:
        MetricError: The metric, the label or the outputs do not fit.
    """
    told = _answer(sample, inputs, float_model, "float")
    tally = _Tally(choose_metric(metric, told), by_default=metric is None, labelled=sample.label is not None)
    tally.add(told, told)
    return tally.metric


def _answer(sample: LabelledSample, inputs: Mapping[str, FloatArray], model: Model, which: str) -> Answer:
    outputs = {name: np.asarray(array, dtype=np.float32) for name, array in model(inputs).items()}
    answer = Answer(outputs=outputs, label=sample.label, inputs=inputs, origin=sample.origin)
    for name, array in outputs.items():
        if not np.isfinite(array).all():
            raise answer.error(
                f"the {which} model's output '{name}' holds NaN or infinity",
                hint="look at this sample and at the model: a metric over such numbers would mean nothing",
            )
    return answer


@dataclass(slots=True)
class _Tally:
    """What is kept while samples stream by."""

    metric: Metric
    by_default: bool
    labelled: bool
    float_records: list[Any] = field(default_factory=list)
    int8_records: list[Any] = field(default_factory=list)
    agreements: list[float] = field(default_factory=list)
    output_powers: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def add(self, told: Answer, answered: Answer) -> None:
        self._check(told, answered)
        metric = self.metric
        if metric.compares_to_float:
            told, answered = (
                Answer(answer.outputs, told.outputs, answer.inputs, answer.origin)
                for answer in (told, answered)
            )
        self.float_records.append(metric.score(told))
        self.int8_records.append(metric.score(answered))
        float_decision, int8_decision = metric.decide(told.outputs), metric.decide(answered.outputs)
        if float_decision is not None and int8_decision is not None:
            self.agreements.append(equal_share(float_decision, int8_decision))
        for name, array in told.outputs.items():
            power = np.array(powers(array, answered.outputs[name]))
            self.output_powers[name] = self.output_powers.get(name, 0.0) + power

    def _check(self, told: Answer, answered: Answer) -> None:
        shapes, other = ({n: a.shape for n, a in answer.outputs.items()} for answer in (told, answered))
        if shapes != other:
            raise told.error(f"the models differ in their outputs: float {shapes}, int8 {other}")
        if told.label is None and self.metric.needs_label:
            raise told.error(
                f"the sample has no label, which metric '{self.metric.name}' needs",
                hint="label every evaluation sample, or use --metric agreement or sqnr",
            )
        if self.by_default and (told.label is not None) != self.labelled:
            raise told.error(
                "the sample has a label, but samples before it had none",
                hint="label every evaluation sample, or say --metric agreement or sqnr",
            )

    def evaluation(self, n: int) -> Evaluation:
        metric = self.metric
        values = [self._value(records) for records in (self.float_records, self.int8_records)]
        drawn = paired_bootstrap(
            metric.pool(self.float_records), metric.pool(self.int8_records), n, resamples=metric.resamples
        )
        singles = (drawn.first, drawn.second)
        if metric.is_share:
            singles = (wilson(values[0] / 100 * n, n).scaled(100), wilson(values[1] / 100 * n, n).scaled(100))
        return Evaluation(
            metric=metric.name,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            labelled=self.labelled and not metric.compares_to_float,
            against_float=metric.compares_to_float,
            n=n,
            float_value=values[0],
            int8_value=values[1],
            difference=values[1] - values[0],
            difference_interval=drawn.difference,
            float_interval=singles[0],
            int8_interval=singles[1],
            resamples=metric.resamples,
            agreement=_agreement(self.agreements),
            sqnr_db={name: float(decibels(*np.split(p, 2))[0]) for name, p in self.output_powers.items()},
            notes=(*metric.notes(self.float_records), *_interval_notes(n, drawn.difference, metric)),
        )

    def _value(self, records: list[Any]) -> float:
        value = aggregate(self.metric, records)
        if not math.isfinite(value):
            raise MetricError(
                f"metric '{self.metric.name}' has no value over these {len(records)} samples: their labels "
                f"vary too little, or hold nothing to find",
                hint="auc needs labels 0 and 1, r2 labels that differ, map at least one object",
            )
        return value


def _agreement(shares: list[float]) -> Agreement | None:
    if not shares:
        return None
    values, n = np.array(shares), len(shares)
    if np.isin(values, (0.0, 1.0)).all():
        interval = wilson(float(values.sum()), n)
    else:
        means = weighted_means(values[:, None])
        interval = bootstrap_interval(lambda weights: means(weights)[:, 0], n)
    return Agreement(value=100 * float(values.mean()), n=n, interval=interval.scaled(100))


def _interval_notes(n: int, difference: Interval, metric: Metric) -> tuple[str, ...]:
    if n == 1:
        return ("one sample tells nothing about any other: there is no interval",)
    notes = []
    if difference.width == 0 and not metric.compares_to_float:
        notes.append(
            f"no resample differs, so the interval of the difference has no width; with {n} samples up to "
            f"{100 * rule_of_three(n):.2g} % of all samples may still behave otherwise (rule of three)"
        )
    if n < FEW_SAMPLES:
        notes.append(f"{n} samples are few: the bootstrap interval is likely too narrow")
    return tuple(notes)


def render(evaluation: Evaluation) -> str:
    """A few lines of plain text for people, without a newline at the end."""
    e = evaluation
    unit = f" {e.unit}" if e.unit else ""
    samples = f"{e.n} sample{'' if e.n == 1 else 's'}"
    lines = [
        f"{'metric':<13} {e.metric} on {samples}{', against the float model' if e.against_float else ''}"
    ]
    if not e.against_float:
        lines.append(_line("float", e.float_value, unit, e.float_interval))
    lines.append(_line("int8", e.int8_value, unit, e.int8_interval))
    if not e.against_float:
        points = " points" if e.unit == "%" else unit
        lines.append(_line("int8 - float", e.difference, points, e.difference_interval, sign="+"))
    if e.agreement is not None and e.metric != "agreement":
        lines.append(_line("agreement", e.agreement.value, " %", e.agreement.interval))
    if e.metric != "sqnr":
        ratios = ", ".join(f"{name} {value:.1f} dB" for name, value in e.sqnr_db.items())
        lines.append(f"{'sqnr':<13} {ratios}")
    how = "" if e.against_float else f"; of the difference: paired bootstrap, {e.resamples} resamples"
    lines.append(f"{'intervals':<13} 95 %{how}")
    lines.extend(f"{'note':<13} {note}" for note in e.notes)
    return "\n".join(lines)


def _line(title: str, value: float, unit: str, interval: Interval, sign: str = "") -> str:
    digits = 2 if unit in (" %", " points", " dB") else 4
    kind = "f" if digits == 2 else "g"
    number, low, high = (f"{number:{sign}.{digits}{kind}}" for number in (value, interval.low, interval.high))
    return f"{title:<13} {number}{unit}  [{low}, {high}]"


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _ends(interval: Interval) -> list[float]:
    return [_rounded(interval.low), _rounded(interval.high)]
