"""A metric of the user's own: `--metric file.py:function` or `--metric module:function`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import MetricError
from edgekit_converters.metrics.classification import class_count, decisions
from edgekit_converters.metrics.metric import Answer, Decision, FloatArray, Metric
from edgekit_converters.metrics.statistics import Statistic, Weights, weighted_means
from edgekit_converters.user_code import import_user_module


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomMetric(Metric):
    """The mean of a user's function over the samples.

    The function takes the outputs (a dict of float32 arrays with the batch axis) and the label (None where
    there is none), and returns one finite number. An attribute ``higher_is_better = False`` on it says that
    less is better, and ``unit = "..."`` what the number is in; with the unit "%", `--max-drop` counts points
    instead of a relative loss.

    Attributes:
        function: The user's function.
        class_outputs: Outputs with a class axis, for the agreement beside it.
    """

    function: Callable[[dict[str, FloatArray], object], object]
    class_outputs: tuple[str, ...] = ()
    unit: str = ""
    needs_label: bool = False

    def for_outputs(self, shapes: Mapping[str, Sequence[int]]) -> CustomMetric:
        """The same metric, knowing which outputs hold classes."""
        return replace(
            self, class_outputs=tuple(name for name in shapes if class_count(shapes[name]) is not None)
        )

    def score(self, answer: Answer) -> NDArray[np.float64]:
        """What the user's function says: float64 (1,)."""
        # Copies: what the function writes must not change what the models are judged by.
        outputs = {name: array.copy() for name, array in answer.outputs.items()}
        try:
            value = self.function(outputs, answer.label)
        except Exception as error:
            raise answer.error(f"metric '{self.name}' raised {type(error).__name__}: {error}") from error
        number = _number(value)
        if number is None:
            raise answer.error(
                f"metric '{self.name}' returned {value!r:.100}, which is no finite number",
                hint="return one number a sample",
            )
        return np.array([number])

    def pool(self, records: Sequence[NDArray[np.float64]]) -> Statistic:
        """The mean."""
        means = weighted_means(np.stack(records))

        def mean(weights: Weights) -> NDArray[np.float64]:
            return means(weights)[:, 0]

        return mean

    def decide(self, outputs: Mapping[str, FloatArray]) -> Decision | None:
        """The winning class of each output with a class axis."""
        if not self.class_outputs:
            return None
        return np.concatenate([decisions(outputs[name]) for name in self.class_outputs])


def load_custom(reference: str) -> CustomMetric:
    """The metric that `file.py:function` or `module:function` names. Runs the file or module.

    Raises:
        MetricError: There is no such file, module or function, or loading it failed.
    """
    place, _, name = reference.rpartition(":")
    try:
        module = import_user_module(place)
    except Exception as error:  # the user's own code may raise anything
        raise MetricError(
            f"--metric {reference}: importing '{place}' raised {type(error).__name__}: {error}",
            hint="name a file as path/to/file.py:function, or a module that can be imported from this folder",
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise MetricError(
            f"--metric {reference}: '{place}' has no function '{name}'",
            hint="a metric is a function of (outputs, label) that returns a number",
        )
    return CustomMetric(
        name=reference,
        function=function,
        unit=str(getattr(function, "unit", "")),
        higher_is_better=bool(getattr(function, "higher_is_better", True)),
    )


def _number(value: object) -> float | None:
    """A finite number out of a Python number, an array of one, or a tensor that numpy can read; else None."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return None
    if array.size != 1 or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        return None
    return float(array.ravel()[0])
