"""Mean average precision of boxes, as COCO defines it (https://cocodataset.org/#detection-eval).

Written from that definition; crowd regions and area ranges, which need COCO's own annotations, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.metrics.metric import Answer, FloatArray, Metric
from edgekit_converters.metrics.statistics import Statistic, Weights

Boxes: TypeAlias = NDArray[np.float32]

COCO_IOUS = tuple(float(iou) for iou in np.linspace(0.5, 0.95, 10))
RECALLS = np.linspace(0, 1, 101)  # COCO interpolates precision at 101 recalls
DETECTIONS = 100  # COCO judges at most 100 detections an image
CANDIDATES = (
    1000  # best (box, class) pairs that reach non-maximum suppression: bounds its cost, as detectors do
)
NMS_IOU = 0.5
MAP_RESAMPLES = 500  # each draw sorts through every detection of every class
_OUTSIDE = 1e-3  # how far a labelled box may leave 0..1 by rounding


@dataclass(frozen=True, slots=True)
class Detections:
    """What one model found in one image, already matched with the truth.

    Attributes:
        scores: float32 (D,), descending.
        classes: int64 (D,).
        matched: bool (D, T): whether the detection found an object, for each of the metric's IoU thresholds.
        truths: int64 (M,): classes of the labelled objects.
    """

    scores: FloatArray
    classes: NDArray[np.int64]
    matched: NDArray[np.bool_]
    truths: NDArray[np.int64]


def iou(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Intersection over union of boxes (A, 4) and (B, 4), each ymin, xmin, ymax, xmax: float64 (A, B)."""
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.maximum(sides, 0).prod(axis=-1)
    areas = [np.maximum(box[..., 2:] - box[..., :2], 0).prod(axis=-1) for box in (a, b)]
    union = areas[0] + areas[1] - intersection
    return np.where(union > 0, intersection / np.where(union > 0, union, 1), 0.0)


def suppress(boxes: Boxes, scores: FloatArray) -> tuple[Boxes, FloatArray, NDArray[np.int64]]:
    """Greedy non-maximum suppression class by class at IoU 0.5.

    Args:
        boxes: float32 (N, 4).
        scores: float32 (N, C).

    Returns:
        Boxes (D, 4), scores (D,) descending and classes (D,) of at most 100 detections.
    """
    flat = scores.ravel()
    best = np.argpartition(-flat, CANDIDATES)[:CANDIDATES] if flat.size > CANDIDATES else np.arange(flat.size)
    best = np.sort(best)
    best = best[np.argsort(-flat[best], kind="stable")]
    rows, classes = np.divmod(best, scores.shape[1])
    kept: list[int] = []
    alive = np.ones(len(best), dtype=np.bool_)
    for index in range(len(best)):
        if not alive[index]:
            continue
        kept.append(index)
        if len(kept) == DETECTIONS:
            break
        overlaps = iou(boxes[rows[index]][None], boxes[rows])[0] > NMS_IOU
        alive &= ~(overlaps & (classes == classes[index]))
    return boxes[rows[kept]], flat[best[kept]], classes[kept]


def match(
    found: Boxes,
    found_classes: NDArray[np.int64],
    true: Boxes,
    true_classes: NDArray[np.int64],
    ious: Sequence[float],
) -> NDArray[np.bool_]:
    """Which detections find an object: each, best first, takes the free object of its class of highest IoU.

    Args:
        found: float32 (D, 4), by descending score.
        found_classes: int64 (D,).
        true: float32 (M, 4).
        true_classes: int64 (M,).
        ious: The T least IoUs that count as finding.

    Returns:
        bool (D, T).
    """
    matched = np.zeros((len(found), len(ious)), dtype=np.bool_)
    if len(true) == 0:
        return matched
    overlaps = np.where(found_classes[:, None] == true_classes, iou(found, true), -1.0)
    free = np.ones((len(ious), len(true)), dtype=np.bool_)
    least = np.asarray(ious)
    for index, overlap in enumerate(overlaps):
        candidates = np.where(free, overlap, -1.0)
        best = candidates.argmax(axis=1)
        hits = candidates[np.arange(len(ious)), best] >= least
        matched[index] = hits
        free[hits, best[hits]] = False
    return matched


def average_precision(
    matched: NDArray[np.bool_], weights: NDArray[np.float64], truths: float
) -> NDArray[np.float64]:
    """Average precision of one class at each IoU threshold, interpolated at 101 recalls, 0..1.

    Args:
        matched: bool (D, T), by descending score over all images.
        weights: float64 (D,): how often the image of each detection counts.
        truths: Number of labelled objects, so weighted; above 0.

    Returns:
        float64 (T,).
    """
    right = np.cumsum(matched * weights[:, None], axis=0)
    all_found = np.cumsum(weights)[:, None]
    precision = right / np.where(all_found > 0, all_found, 1)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    padded = np.vstack([envelope, np.zeros((1, matched.shape[1]))])  # recalls never reached have precision 0
    recall = right / truths
    reached = [np.searchsorted(column, RECALLS, side="left") for column in recall.T]
    return np.array([padded[rows, index].mean() for index, rows in enumerate(reached)])


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanAveragePrecision(Metric):
    """Mean over classes and IoU thresholds of average precision, in %; classes without object are left out.

    Outputs are raw boxes and scores of all anchors; suppression happens here, because it cannot be int8.
    Labels are ``{"boxes": (M, 4), "classes": (M,)}``; all boxes are ymin, xmin, ymax, xmax in 0..1, and a
    label's class is the column of the scores.

    Attributes:
        boxes: The output of shape (1, N, 4).
        scores: The output of shape (1, N, C).
        ious: Least IoUs that count as finding: COCO's ten for "map", 0.5 for "map50".
    """

    boxes: str
    scores: str
    ious: tuple[float, ...] = COCO_IOUS
    resamples: int = MAP_RESAMPLES

    def score(self, answer: Answer) -> Detections:
        """The image's detections, matched with its objects."""
        scores = answer.outputs[self.scores][0]
        true, true_classes = _truth(answer, scores.shape[-1])
        found, found_scores, found_classes = suppress(answer.outputs[self.boxes][0], scores)
        return Detections(
            scores=found_scores,
            classes=found_classes,
            matched=match(found, found_classes, true, true_classes, self.ious),
            truths=true_classes,
        )

    def pool(self, records: Sequence[Detections]) -> Statistic:
        """Mean average precision in %; NaN where no image that counts has an object."""
        classes = [
            _ClassDetections.of(records, c) for c in sorted({int(c) for r in records for c in r.truths})
        ]

        def mean_average_precision(weights: Weights) -> NDArray[np.float64]:
            values = np.full(len(weights), np.nan)
            for draw, row in enumerate(weights):
                present = [precision for c in classes if (precision := c.average_precision(row)) is not None]
                if present:
                    values[draw] = 100 * np.mean(present)
            return values

        return mean_average_precision

    def notes(self, records: Sequence[Detections]) -> tuple[str, ...]:
        """That nothing at all was found, which is rarely the model's fault."""
        if any(record.matched.any() for record in records) or not any(
            len(record.truths) for record in records
        ):
            return ()
        return (
            "the float model finds no object at all: are its boxes ymin, xmin, ymax, xmax in 0..1, and do "
            "the labels' classes count as the columns of the scores do (a background class first)?",
        )


@dataclass(frozen=True, slots=True)
class _ClassDetections:
    """All detections of one class over all images, by descending score."""

    images: NDArray[np.int64]
    matched: NDArray[np.bool_]
    truths: NDArray[np.float64]  # labelled objects an image

    @classmethod
    def of(cls, records: Sequence[Detections], wanted: int) -> _ClassDetections:
        chosen = [record.classes == wanted for record in records]
        scores = np.concatenate([record.scores[rows] for record, rows in zip(records, chosen, strict=True)])
        matched = np.concatenate([record.matched[rows] for record, rows in zip(records, chosen, strict=True)])
        images = np.repeat(np.arange(len(records)), [int(rows.sum()) for rows in chosen])
        order = np.argsort(-scores, kind="stable")
        truths = np.array([np.count_nonzero(record.truths == wanted) for record in records], dtype=np.float64)
        return cls(images=images[order], matched=matched[order], truths=truths)

    def average_precision(self, weights: NDArray[np.float64]) -> float | None:
        truths = float(weights @ self.truths)
        if truths == 0:
            return None
        return float(average_precision(self.matched, weights[self.images], truths).mean())


def find_outputs(shapes: Mapping[str, Sequence[int]]) -> tuple[str, str] | None:
    """The names of the boxes (1, N, 4) and the scores (1, N, C) among outputs, or None where not plain.

    With four classes both have the same shape; then the names must tell ("box" or "loc").
    """
    rows = {name: shape for name, shape in shapes.items() if len(shape) == 3 and shape[0] == 1}
    boxes = [name for name, shape in rows.items() if shape[2] == 4]
    if len(boxes) > 1:
        boxes = [name for name in boxes if "box" in name.lower() or "loc" in name.lower()]
    if len(boxes) != 1:
        return None
    scores = [name for name, shape in rows.items() if name != boxes[0] and shape[1] == rows[boxes[0]][1]]
    return (boxes[0], scores[0]) if len(scores) == 1 else None


def _truth(answer: Answer, classes: int) -> tuple[Boxes, NDArray[np.int64]]:
    label = answer.label
    if not isinstance(label, Mapping) or set(label) != {"boxes", "classes"}:
        raise answer.error(
            "the label is not a mapping with 'boxes' and 'classes'",
            hint='label an image {"boxes": (M, 4) of ymin, xmin, ymax, xmax in 0..1, "classes": (M,)}',
        )
    boxes, numbers = np.asarray(label["boxes"]), np.asarray(label["classes"])
    if boxes.size == 0 and numbers.size == 0:
        return np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.int64)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or numbers.shape != (len(boxes),):
        raise answer.error(
            f"the label's boxes have shape {boxes.shape} and its classes {numbers.shape}, not (M, 4) and (M,)"
        )
    if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= classes:
        raise answer.error(
            f"the label's classes {numbers.tolist()} are not whole numbers within 0..{classes - 1}"
        )
    if boxes.dtype.kind not in "iuf" or not np.all((boxes >= -_OUTSIDE) & (boxes <= 1 + _OUTSIDE)):
        raise answer.error(
            "a labelled box leaves 0..1", hint="divide pixel coordinates by the image's height and width"
        )
    if not np.all(boxes[:, :2] <= boxes[:, 2:]):
        raise answer.error("a labelled box ends before it starts", hint="the order is ymin, xmin, ymax, xmax")
    return boxes.astype(np.float32), numbers.astype(np.int64)
