"""Metrics: one module a family, chosen by `choose_metric`.

A metric scores one sample at a time into a small record, and pools the records into one value. Records are
all that is kept, so an evaluation never holds more outputs than one sample's.
"""

from __future__ import annotations

from edgekit_converters.metrics.choose import METRIC_NAMES, choose_metric, parse_metric
from edgekit_converters.metrics.metric import Answer, Metric, aggregate
from edgekit_converters.metrics.statistics import Interval

__all__ = ["METRIC_NAMES", "Answer", "Interval", "Metric", "aggregate", "choose_metric", "parse_metric"]
