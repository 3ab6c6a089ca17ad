"""From the outputs of detection models to candidates. Each layout is named by the caller, never guessed."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.arguments import whole
from edgekit.errors import InputError
from edgekit.tasks.detection.boxes import Candidates
from edgekit.tasks.scores import Activation, activate, single

SSD_SCALES: Final = (10.0, 10.0, 5.0, 5.0)
"""What TensorFlow's SSD models divide y, x, height and width encodings by: the defaults of
research/object_detection/protos/faster_rcnn_box_coder.proto in github.com/tensorflow/models; other SSDs write their
inverses, the variances 0.1, 0.1, 0.2, 0.2."""

YoloLayout = Literal["4+C,N", "N,5+C"]


def postprocessed(
    boxes: NDArray[Any], classes: NDArray[Any], scores: NDArray[Any], count: NDArray[Any], *, threshold: float
) -> Candidates:
    """Take the four outputs of TFLite_Detection_PostProcess, which has dropped duplicates already.

    The operator gives them in the order of these parameters (tensorflow/lite/kernels/detection_postprocess.cc), but
    exporters reorder the outputs of a model, so name them by what `edgekit inspect` shows.

    Args:
        boxes: (1, n, 4): top, left, bottom, right, as shares of the frame.
        classes: (1, n): from 0, without the background class.
        scores: (1, n).
        count: (1,): how many of the n are filled.
        threshold: The lowest score that counts.

    Returns:
        What is filled and reaches the threshold; give it to `to_boxes`.

    Raises:
        InputError: The shapes do not fit.
    """
    corners = single(np.asarray(boxes, np.float32), 2, "boxes")
    kinds = single(np.asarray(classes), 1, "classes")
    rank = single(np.asarray(scores, np.float32), 1, "scores")
    filled = np.asarray(count).reshape(-1)
    if corners.shape != (len(rank), 4) or kinds.shape != rank.shape or filled.shape != (1,):
        shapes = f"{corners.shape}, {kinds.shape}, {rank.shape} and {filled.shape}"
        raise InputError(
            f"boxes, classes, scores and count are (n, 4), (n,), (n,) and (1,), and these are {shapes}",
            hint="are they in the right order?",
        )
    chosen = np.flatnonzero(rank[: int(filled[0])] >= threshold)
    return Candidates(corners[chosen][:, [1, 0, 3, 2]], rank[chosen], kinds[chosen].astype(np.int64))


def decode_ssd(
    encodings: NDArray[Any],
    scores: NDArray[Any],
    anchors: NDArray[Any],
    *,
    background: bool,
    activation: Activation,
    threshold: float,
    scales: tuple[float, float, float, float] = SSD_SCALES,
) -> Candidates:
    """Decode an SSD model: each box is said relative to an anchor.

    center = encoding / scale * size of the anchor + center of the anchor; size = exp(encoding / scale) * size of the
    anchor, for y, x, height and width (as in tensorflow/lite/kernels/detection_postprocess.cc).

    Args:
        encodings: (1, n, 4) or (n, 4) real values: y, x, height, width.
        scores: (1, n, classes) or (n, classes) real values.
        anchors: (n, 4): center y, center x, height, width, as shares of the frame.
        background: Whether column 0 of the scores is "nothing there"; classes are then counted from column 1.
        activation: What the model left out of the scores.
        threshold: The lowest score that counts, after the activation.
        scales: What the encodings were multiplied by in training: y, x, height, width.

    Returns:
        The best class of every anchor that reaches the threshold.

    Raises:
        InputError: The shapes do not fit.
    """
    codes = single(np.asarray(encodings, np.float32), 2, "encodings")
    rank = activate(single(np.asarray(scores, np.float32), 2, "scores"), activation)
    priors = np.asarray(anchors, np.float32)
    columns = rank[:, 1:] if background else rank
    if codes.shape != priors.shape or codes.shape != (len(rank), 4) or columns.shape[1] == 0:
        raise InputError(
            "encodings and anchors are (n, 4), scores (n, classes), "
            f"and these are {codes.shape}, {priors.shape} and {rank.shape}"
        )
    chosen, best, kinds = _best_class(columns, threshold)
    priors = priors[chosen]
    offsets = codes[chosen] / np.asarray(scales, np.float32)
    centers = offsets[:, :2] * priors[:, 2:] + priors[:, :2]
    sizes = np.exp(offsets[:, 2:]) * priors[:, 2:]
    return Candidates(_corners(centers[:, ::-1], sizes[:, ::-1]), best, kinds)


def decode_yolo(
    output: NDArray[Any],
    *,
    layout: YoloLayout,
    classes: int,
    coordinates: Literal["normalized"] | tuple[int, int],
    threshold: float,
    activation: Activation = "none",
) -> Candidates:
    """Decode a YOLO model whose export gives center x, center y, width and height for every cell.

    Args:
        output: Real values, batch 1 first or without it.
        layout: "4+C,N": box and class scores in rows, (1, 4 + classes, n), as YOLOv8 and later export it
            (https://github.com/ultralytics/ultralytics/issues/751). "N,5+C": box, objectness and class scores in
            columns, (1, n, 5 + classes), as YOLOv5 does; the score is objectness times class score (the
            non_max_suppression of its utils/general.py).
        classes: How many the model knows.
        coordinates: "normalized" where they are shares of the frame, as the TFLite exports of YOLOv5 and YOLOv8 have
            them (https://github.com/ultralytics/ultralytics/issues/19163); or height and width of the model's input
            where they are its pixels.
        threshold: The lowest score that counts.
        activation: What the model left out of objectness and class scores.

    Returns:
        The best class of every cell that reaches the threshold.

    Raises:
        InputError: The shape is not that of this layout and this number of classes, or there is no such layout, or
            no such coordinates.
    """
    if layout not in ("4+C,N", "N,5+C"):
        raise InputError(f"there is no YOLO layout {layout!r}", hint='"4+C,N" or "N,5+C"')
    size = None if coordinates == "normalized" else _size(coordinates)
    values = single(np.asarray(output, np.float32), 2, "the values")
    rows = values.T if layout == "4+C,N" else values
    before = 4 if layout == "4+C,N" else 5
    if classes < 1 or rows.shape[1] != before + classes:
        raise InputError(
            f"in the layout {layout} with {classes} classes one axis is {before + classes}, "
            f"and the output is of shape {values.shape}",
            hint="is it the other layout, or another number of classes?",
        )
    scores = activate(rows[:, before:], activation)
    if layout == "N,5+C":
        scores = scores * activate(rows[:, 4:5], "sigmoid" if activation == "sigmoid" else "none")
    chosen, best, kinds = _best_class(scores, threshold)
    boxes = rows[chosen, :4]
    if size is not None:
        height, width = size
        boxes = boxes / np.array([width, height, width, height], np.float32)
    return Candidates(_corners(boxes[:, :2], boxes[:, 2:]), best, kinds)


def _size(coordinates: object) -> tuple[int, int]:
    """Height and width in pixels."""
    if not isinstance(coordinates, (tuple, list)) or len(coordinates) != 2:
        raise InputError(
            f"there are no coordinates {coordinates!r:.60}",
            hint='"normalized", or (height, width) of the model\'s input where boxes are in its pixels',
        )
    height, width = (whole("each of coordinates", side, 1, error=InputError) for side in coordinates)
    return height, width


def _best_class(
    scores: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.int64]]:
    """Which of (n, classes) reach the threshold, with the score and the number of the best class of each."""
    best = scores.max(axis=1)
    chosen = np.flatnonzero(best >= threshold)
    return chosen, best[chosen], scores[chosen].argmax(axis=1).astype(np.int64)


def _corners(centers: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.float32]:
    """(n, 4) left, top, right, bottom out of (n, 2) centers and sizes, x first."""
    half = sizes / 2
    return np.concatenate([centers - half, centers + half], axis=1, dtype=np.float32)
