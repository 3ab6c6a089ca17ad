"""Boxes as typed values, and the step from a decoder's many candidates to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.detection.nms import nms
from edgekit.tasks.scores import name_of


@dataclass(frozen=True, slots=True)
class Box:
    """One object in a frame. Coordinates are shares of its width and height: 0 is left or top, 1 right or bottom.

    Attributes:
        left: From 0 to 1.
        top: From 0 to 1.
        right: From 0 to 1.
        bottom: From 0 to 1.
        score: As the model gives it.
        index: Of the class, from 0.
        label: The name of the class; None where no labels were given.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float
    index: int
    label: str | None

    @property
    def width(self) -> float:
        """As a share of the frame's."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """As a share of the frame's."""
        return self.bottom - self.top

    def pixels(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in a frame of this size, so that ``frame[top:bottom, left:right]`` is the box.

        Args:
            height: Of the frame, in pixels; the frame that was stretched to the model's size, at its own size.
            width: Of the frame, in pixels.
        """
        return (
            round(self.left * width),
            round(self.top * height),
            round(self.right * width),
            round(self.bottom * height),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a decoder gives: boxes that may show the same object many times.

    Attributes:
        corners: (n, 4) float32: left, top, right, bottom, as shares of the frame; may reach beyond 0..1.
        scores: (n,) float32.
        classes: (n,) int64, from 0.
    """

    corners: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)


def best_boxes(
    candidates: Candidates,
    labels: Sequence[str] | None = None,
    *,
    iou: float = 0.5,
    limit: int | None = 100,
    across_classes: bool = False,
) -> tuple[Box, ...]:
    """Drop duplicates, and give what is left as typed values, highest score first.

    Args:
        candidates: From a decoder.
        labels: The name of each class.
        iou: Two boxes that overlap by more than this show the same object, see `nms`.
        limit: At most how many boxes.
        across_classes: Whether a box may also drop those of other classes.

    Raises:
        InputError: `iou` lies outside 0..1, or there is no label for a class.
    """
    classes = None if across_classes else candidates.classes
    kept = nms(candidates.corners, candidates.scores, classes, iou=iou, limit=limit)
    return to_boxes(
        Candidates(candidates.corners[kept], candidates.scores[kept], candidates.classes[kept]), labels
    )


def to_boxes(candidates: Candidates, labels: Sequence[str] | None = None) -> tuple[Box, ...]:
    """Every candidate as a typed value, in its order, cut off at the edges of the frame.

    Raises:
        InputError: There is no label for a class.
    """
    rows = zip(
        np.clip(candidates.corners, 0, 1).tolist(),
        candidates.scores.tolist(),
        candidates.classes.tolist(),
        strict=True,
    )
    return tuple(
        Box(left, top, right, bottom, score, index, name_of(labels, index))
        for (left, top, right, bottom), score, index in rows
    )
