"""Non-maximum suppression: of boxes that show the same thing, keep the one with the highest score."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError


def nms(
    corners: NDArray[Any],
    scores: NDArray[Any],
    classes: NDArray[Any] | None = None,
    *,
    iou: float = 0.5,
    limit: int | None = None,
) -> NDArray[np.int64]:
    """Choose among overlapping boxes, greedily from the highest score down.

    A box is dropped where its intersection over union with one that was kept is above `iou`; exactly `iou` is kept. Of
    equal scores the lower index comes first. So decide, too: torchvision.ops.nms and batched_nms ("discards all
    overlapping boxes with IoU > iou_threshold", https://pytorch.org/vision/stable/generated/torchvision.ops.nms.html),
    OpenCV's NMSBoxes (modules/dnn/src/nms.inl.hpp) and TFLite's TFLite_Detection_PostProcess
    (tensorflow/lite/kernels/detection_postprocess.cc). As in the last, a box without area overlaps none.

    Args:
        corners: (n, 4): left, top, right, bottom, in any unit. Computed with in float32.
        scores: (n,).
        classes: (n,): boxes of different classes do not drop each other. None: all do, whatever they show.
        iou: From 0 to 1.
        limit: At most how many to keep.

    Returns:
        Indices of the boxes that are kept, highest score first.

    Raises:
        InputError: The shapes do not fit, or `iou` lies outside 0..1.
    """
    boxes = np.asarray(corners, np.float32)
    rank = np.asarray(scores, np.float32)
    if (
        boxes.shape != (len(rank), 4)
        or rank.ndim != 1
        or (classes is not None and classes.shape != rank.shape)
    ):
        shapes = boxes.shape, rank.shape, None if classes is None else classes.shape
        raise InputError(f"corners are (n, 4), scores and classes (n,), and these are {shapes}")
    if not 0 <= iou <= 1:
        raise InputError(f"iou must lie within 0..1, and is {iou:g}")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting = (-rank).argsort(kind="stable")
    kept: list[np.int64] = []
    while len(waiting) and (limit is None or len(kept) < limit):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        dropped = _iou(boxes[best], areas[best], boxes[waiting], areas[waiting]) > np.float32(iou)
        if classes is not None:
            dropped &= classes[waiting] == classes[best]
        waiting = waiting[~dropped]
    return np.array(kept, np.int64)


def _iou(
    box: NDArray[np.float32], area: np.float32, others: NDArray[np.float32], areas: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The intersection over union of one box with each of the others, (n,)."""
    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    ratio: NDArray[np.float32] = np.zeros_like(shared)
    np.divide(shared, area + areas - shared, out=ratio, where=(area > 0) & (areas > 0))
    return ratio
