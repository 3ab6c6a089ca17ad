"""Mean intersection over union."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.metrics.classification import decisions, is_probability
from edgekit_converters.metrics.metric import Answer, Decision, FloatArray, Metric
from edgekit_converters.metrics.statistics import Statistic, Weights, weighted_means

VOID = 255  # "no label here" in the masks of PASCAL VOC and Cityscapes


def class_axis(output_shape: Sequence[int], mask_shape: Sequence[int]) -> int | None:
    """The axis of an output (1, H, W, C) or (1, C, H, W) that holds the classes of an H x W mask, or None."""
    mask = tuple(mask_shape)
    if not mask or len(output_shape) != len(mask) + 2:
        return None
    if tuple(output_shape[1:-1]) == mask:
        return len(output_shape) - 1
    return 1 if tuple(output_shape[2:]) == mask else None


def without_channel(mask: NDArray[np.generic], output_rank: int) -> NDArray[np.generic]:
    """The mask without the channel of size 1 that some files keep: H x W x 1 becomes H x W."""
    return mask[..., 0] if mask.ndim == output_rank - 1 and mask.shape[-1] == 1 else mask


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanIou(Metric):
    """Mean over classes of intersection over union, in %, of pixel counts summed over the samples.

    Classes that neither the masks nor the model ever show are left out. Mask pixels of 255 are void and not
    counted (as in PASCAL VOC), unless the model has that class. An output of one channel is a sigmoid: class
    1 from 0.5 on.

    Attributes:
        output: The output with one score a class and pixel.
        axis: Its class axis, from `class_axis`.
    """

    output: str
    axis: int

    def score(self, answer: Answer) -> NDArray[np.float64]:
        """Pixels a class in intersection and union, then void and all pixels: float64 (2, classes + 1)."""
        output = answer.outputs[self.output]
        classes = max(2, output.shape[self.axis])
        if output.shape[self.axis] == 1 and not is_probability(output):
            raise answer.error(
                f"output '{self.output}' leaves 0..1, so no threshold is known",
                hint="end the model with a sigmoid, or judge it with --metric file.py:function",
            )
        truth = self._mask(answer, classes)
        predicted = self.decide(answer.outputs)
        known = truth != VOID if classes <= VOID else np.ones(truth.shape, dtype=np.bool_)
        pairs = classes * truth[known] + predicted[known]
        confusion = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        intersection = confusion.diagonal()
        union = confusion.sum(axis=0) + confusion.sum(axis=1) - intersection
        return np.array([[*intersection, np.count_nonzero(~known)], [*union, truth.size]], dtype=np.float64)

    def _mask(self, answer: Answer, classes: int) -> NDArray[np.int64]:
        shape = answer.outputs[self.output].shape
        mask = without_channel(np.asarray(answer.label_of(self.output)), len(shape))
        if mask.dtype.kind not in "biu":
            raise answer.error(
                f"the mask has dtype {mask.dtype}, but miou takes class numbers",
                hint="save masks as integers, one class number a pixel",
            )
        if class_axis(shape, mask.shape) != self.axis:
            raise answer.error(
                f"the mask has shape {mask.shape}, but output '{self.output}' has {shape[1:]}",
                hint="bring the masks to the height and width of the output",
            )
        truth = mask.astype(np.int64).ravel()
        wrong = (truth < 0) | ((truth >= classes) & ((truth != VOID) | (classes > VOID)))
        if wrong.any():
            raise answer.error(
                f"the mask holds {truth[wrong][0]}, outside the {classes} classes (0..{classes - 1})",
                hint="masks hold class numbers from 0; 255 is void",
            )
        return truth

    def pool(self, records: Sequence[NDArray[np.float64]]) -> Statistic:
        """Mean IoU over the classes that occur, in %."""
        stacked = np.stack(records)
        intersections, unions = (weighted_means(stacked[:, row, :-1]) for row in (0, 1))

        def mean_iou(weights: Weights) -> NDArray[np.float64]:
            union = unions(weights)
            occurs = union > 0
            iou = np.where(occurs, intersections(weights) / np.where(occurs, union, 1), 0)
            with np.errstate(invalid="ignore"):
                mean: NDArray[np.float64] = 100 * iou.sum(axis=1) / occurs.sum(axis=1)
            return mean

        return mean_iou

    def decide(self, outputs: Mapping[str, FloatArray]) -> Decision:
        """The class of each pixel."""
        output = outputs[self.output]
        if output.shape[self.axis] == 1:
            return decisions(output[..., None])
        return np.asarray(output.argmax(axis=self.axis), dtype=np.int64).ravel()

    def notes(self, records: Sequence[NDArray[np.float64]]) -> tuple[str, ...]:
        """How much of the masks is void."""
        void, pixels = np.stack(records)[:, :, -1].sum(axis=0)
        return (
            (f"{100 * void / pixels:.1f} % of the mask pixels are {VOID} (void) and not counted",)
            if void
            else ()
        )
