"""Which metric fits: by the name that was asked for, or by the labels and outputs of the first sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import MetricError
from edgekit_converters.metrics.agreement import Agreement, Sqnr
from edgekit_converters.metrics.anomaly import Auc
from edgekit_converters.metrics.classification import TopK, class_count, is_probability, one_hot_class
from edgekit_converters.metrics.custom import CustomMetric, load_custom
from edgekit_converters.metrics.detection import COCO_IOUS, NMS_IOU, MeanAveragePrecision, find_outputs
from edgekit_converters.metrics.metric import Answer, Metric
from edgekit_converters.metrics.regression import R2, MeanAbsoluteError, RootMeanSquaredError
from edgekit_converters.metrics.segmentation import VOID, MeanIou, class_axis, without_channel


def parse_metric(requested: str) -> tuple[str, str | None] | CustomMetric:
    """What a `--metric` value means, before any model has run: so that a typing error costs no conversion.

    Args:
        requested: ``NAME`` or ``NAME:OUTPUT`` of a built-in metric, or ``file.py:function`` or
            ``module:function``.

    Returns:
        The name and the output (None: the only one), or the user's own metric, loaded.

    Raises:
        MetricError: It is none of these, or the user's function cannot be loaded.
    """
    name, _, output = requested.partition(":")
    if name in _BUILDERS:
        return name, output or None
    place, _, function = requested.rpartition(":")
    if place and function:
        return load_custom(requested)
    raise MetricError(
        f"there is no metric '{requested}'", hint=f"--metric takes {_names()}, or file.py:function"
    )


def choose_metric(requested: Metric | str | None, first: Answer) -> Metric:
    """The metric for these samples.

    Args:
        requested: A metric, what `parse_metric` takes, or None for the one that the first sample makes plain.
        first: The float model's answer to the first sample.

    Raises:
        MetricError: The metric is unknown, does not fit the outputs, or nothing was requested and several
            would fit.
    """
    if isinstance(requested, CustomMetric):
        return requested.for_outputs({name: array.shape for name, array in first.outputs.items()})
    if isinstance(requested, Metric):
        return requested
    if requested is None:
        name, output = _default(first)
        return _BUILDERS[name](name, first, output)
    parsed = parse_metric(requested)
    if isinstance(parsed, CustomMetric):
        return choose_metric(parsed, first)
    name, output = parsed
    if output is not None and output not in first.outputs:
        raise MetricError(
            f"--metric {requested}: the model has no output '{output}'",
            hint=f"it has {_quoted(first.outputs)}",
        )
    return _BUILDERS[name](name, first, output)


def _default(first: Answer) -> tuple[str, str | None]:
    if first.label is None:
        return ("agreement" if _class_outputs(first) else "sqnr"), None
    if isinstance(first.label, Mapping) and "boxes" in first.label:
        return "map", None
    output = _only_output(first, "the metric")
    label = np.asarray(first.label_of(output))
    if label.dtype.kind not in "biuf":
        raise first.error(
            f"the label {first.label_of(output)!r:.100} fits no built-in metric",
            hint=f"labels are numbers, arrays or boxes; --metric takes {_names()}, or file.py:function",
        )
    fitting = _fitting(label, first, output)
    if len(fitting) == 1:
        return fitting[0], output
    shapes = (
        f"label of shape {label.shape} ({label.dtype}) and "
        f"output '{output}' of shape {first.outputs[output].shape[1:]}"
    )
    if fitting:
        raise first.error(
            f"several metrics would fit a {shapes}", hint=f"say --metric {' or '.join(fitting)}"
        )
    raise first.error(f"no metric fits a {shapes}", hint=f"--metric takes {_names()}, or file.py:function")


def _fitting(label: NDArray[np.generic], first: Answer, output: str) -> tuple[str, ...]:
    array = first.outputs[output]
    classes = class_count(array.shape)
    if label.size == 1:
        if array.size == 1:
            return _fitting_scalar(label, is_probability(array))
        if classes is None or label.dtype.kind == "f":
            # A class number stored as float, or a label that says whether a reconstruction is an anomaly.
            return (
                ("top1", "auc") if classes is not None else ("auc",) if _reconstructed(first, output) else ()
            )
        return ("top1", "auc") if _reconstructed(first, output) else ("top1",)
    if label.size == classes and one_hot_class(label) is not None:
        return ("top1",)
    mask = without_channel(label, array.ndim)
    if (
        mask.ndim >= 2
        and mask.dtype.kind in "biu"
        and (axis := class_axis(array.shape, mask.shape)) is not None
    ):
        binary = bool(np.isin(mask, (0, 1, VOID)).all())
        return ("miou",) if array.shape[axis] > 1 or binary else ("miou", "mae")
    if [s for s in label.shape if s > 1] == [s for s in array.shape if s > 1]:
        return ("mae",) if label.dtype.kind == "f" else ("mae", "rmse", "r2")
    return ()


def _fitting_scalar(label: NDArray[np.generic], probability: bool) -> tuple[str, ...]:
    binary = float(label.ravel()[0]) in (0.0, 1.0)
    if label.dtype.kind == "f":
        return ("mae", "top1") if binary and probability else ("mae",)
    return ("top1",) if binary and probability else ("mae", "rmse", "r2", "auc")


def _top(k: int) -> Callable[[str, Answer, str | None], Metric]:
    def build(name: str, first: Answer, output: str | None) -> Metric:
        output = output or _only_output(first, name)
        shape = first.outputs[output].shape
        classes = class_count(shape) or (2 if first.outputs[output].size == 1 else 0)
        if classes == 0:
            raise MetricError(
                f"metric '{name}': output '{output}' of shape {shape} has no class axis",
                hint="top1 and top5 want an output (1, classes); for masks use --metric miou",
            )
        if classes <= k:
            raise MetricError(
                f"metric '{name}' is always 100 % with the {classes} classes of output '{output}'",
                hint="use --metric top1",
            )
        return TopK(name, output=output, k=k, is_share=True)

    return build


def _mean_iou(name: str, first: Answer, output: str | None) -> Metric:
    output = output or _only_output(first, name)
    shape = first.outputs[output].shape
    mask = without_channel(np.asarray(first.label_of(output)), len(shape))
    axis = class_axis(shape, mask.shape)
    if axis is None:
        raise first.error(
            f"the mask has shape {mask.shape}, but output '{output}' has {shape[1:]}",
            hint="miou wants one class number a pixel, at the height and width of the output",
        )
    return MeanIou(name, output=output, axis=axis)


def _regression(
    kind: type[MeanAbsoluteError] | type[RootMeanSquaredError] | type[R2],
) -> Callable[[str, Answer, str | None], Metric]:
    def build(name: str, first: Answer, output: str | None) -> Metric:
        return kind(name, output=output or _only_output(first, name))

    return build


def _auc(name: str, first: Answer, output: str | None) -> Metric:
    output = output or _only_output(first, name)
    if first.outputs[output].size == 1:
        return Auc(name, output=output, reconstructs=None)
    inputs = _reconstructed(first, output)
    if len(inputs) != 1:
        raise MetricError(
            f"metric '{name}': output '{output}' of shape {first.outputs[output].shape} is neither one "
            f"score nor the reconstruction of exactly one input",
            hint="auc wants an output of one value, or one with the shape of an input",
        )
    return Auc(name, output=output, reconstructs=inputs[0])


def _average_precision(ious: Sequence[float]) -> Callable[[str, Answer, str | None], Metric]:
    def build(name: str, first: Answer, output: str | None) -> Metric:
        found = find_outputs({key: array.shape for key, array in first.outputs.items()})
        if found is None or output not in (None, *found):
            shapes = ", ".join(f"'{key}' {array.shape}" for key, array in first.outputs.items())
            raise MetricError(
                f"metric '{name}' finds no pair of boxes (1, N, 4) and scores (1, N, classes) among the "
                f"outputs {shapes}",
                hint="cut the model before its non-maximum suppression with --outputs BOXES,SCORES",
            )
        return MeanAveragePrecision(name, boxes=found[0], scores=found[1], ious=tuple(ious))

    return build


def _agreement(name: str, first: Answer, output: str | None) -> Metric:
    outputs = (output,) if output is not None else _class_outputs(first)
    if not outputs or any(
        first.outputs[o].shape[-1] < 2 and class_count(first.outputs[o].shape) is None for o in outputs
    ):
        raise MetricError(
            f"metric '{name}': the outputs {_quoted(outputs or first.outputs)} have no class axis",
            hint="name the output with --metric agreement:OUTPUT, or use --metric sqnr",
        )
    one_each = all(class_count(first.outputs[o].shape) is not None for o in outputs)
    return Agreement(name, outputs=outputs, is_share=len(outputs) == 1 and one_each)


def _sqnr(name: str, first: Answer, output: str | None) -> Metric:
    return Sqnr(name, outputs=(output,) if output is not None else tuple(first.outputs))


_BUILDERS: Mapping[str, Callable[[str, Answer, str | None], Metric]] = MappingProxyType(
    {
        "top1": _top(1),
        "top5": _top(5),
        "map": _average_precision(COCO_IOUS),
        "map50": _average_precision((NMS_IOU,)),
        "miou": _mean_iou,
        "mae": _regression(MeanAbsoluteError),
        "rmse": _regression(RootMeanSquaredError),
        "r2": _regression(R2),
        "auc": _auc,
        "agreement": _agreement,
        "sqnr": _sqnr,
    }
)

METRIC_NAMES = tuple(_BUILDERS)


def _names() -> str:
    return ", ".join(METRIC_NAMES)


def _quoted(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _only_output(first: Answer, metric: str) -> str:
    """The output that is meant: the only one, or the only one that the label names."""
    named = [name for name in first.outputs if isinstance(first.label, Mapping) and name in first.label]
    candidates = named or list(first.outputs)
    if len(candidates) == 1:
        return candidates[0]
    raise MetricError(
        f"the model has several outputs ({_quoted(candidates)}), and {metric} judges one",
        hint=f"name it: --metric NAME:OUTPUT, for instance --metric top1:{candidates[0]}",
    )


def _reconstructed(first: Answer, output: str) -> tuple[str, ...]:
    """The inputs that an output may be the reconstruction of: those of its shape."""
    shape = first.outputs[output].shape
    return tuple(name for name, array in first.inputs.items() if array.shape == shape)


def _class_outputs(first: Answer) -> tuple[str, ...]:
    """Outputs with one class axis that are no reconstruction of an input."""
    return tuple(
        name
        for name, array in first.outputs.items()
        if class_count(array.shape) is not None and not _reconstructed(first, name)
    )
