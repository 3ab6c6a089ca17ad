"""Which class each pixel shows, and how much of the frame each class covers.

Usage::

    from edgekit.tasks import segmentation

    result = model.run(frame)
    mask = segmentation.class_mask(result)                            # (height, width), class numbers
    for share in segmentation.shares(mask, model.manifest.labels):
        print(share.name, f"{share.share:.0%}")
    mask = segmentation.resize_mask(mask, frame.shape[:2])            # one class a pixel of the frame

`class_mask` also takes the model's own integers, ``result.quantized[name]``: the order of the scores is the same, and a
quarter of the memory is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.tasks.scores import class_names, output_of, single

if TYPE_CHECKING:
    from edgekit.tasks.scores import Answer

Mask = NDArray[np.uint8] | NDArray[np.int16]
"""(height, width): the number of a class for each pixel."""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a frame a class covers.

    Attributes:
        name: Of the class.
        index: Of the class, from 0.
        share: Of all pixels, from 0 to 1.
    """

    name: str
    index: int
    share: float


def class_mask(
    answer: Answer, *, channels: Literal["last", "first"] = "last", output: str | None = None
) -> Mask:
    """The best class of each pixel; of equal scores the lower class number.

    Args:
        answer: A result of one sample, or scores, (1, height, width, classes) or without the batch axis.
        channels: "first" where the classes come before height and width.
        output: The name of the output, where there are several.

    Returns:
        (height, width): uint8 for up to 256 classes, else int16.

    Raises:
        InputError: The shape or `channels` does not fit, or there is one class only, for which `binary_mask` is.
    """
    if channels not in ("last", "first"):
        raise InputError(f"there is no place {channels!r:.60} for the classes", hint='"last" or "first"')
    scores = single(output_of(answer, output), 3, "the scores")
    axis = 0 if channels == "first" else 2
    classes = scores.shape[axis]
    if classes < 2:
        raise InputError(
            f"the best of {classes} class(es) says nothing", hint="use binary_mask with your threshold"
        )
    mask: Mask = scores.argmax(axis=axis).astype(np.uint8 if classes <= 256 else np.int16)
    return mask


def binary_mask(answer: Answer, *, threshold: float, output: str | None = None) -> Mask:
    """Which pixels reach a threshold, of a model with one score a pixel.

    Args:
        answer: A result of one sample, or scores: (1, height, width, 1), any axis of 1 may be missing.
        threshold: The lowest score that counts, in real units.
        output: The name of the output, where there are several.

    Returns:
        (height, width) uint8: 1 where it is reached, else 0.

    Raises:
        InputError: The shape does not fit.
    """
    scores: NDArray[Any] = output_of(answer, output)
    if scores.ndim == 4:
        scores = single(scores, 3, "the scores")
    if scores.ndim == 3 and 1 in (scores.shape[0], scores.shape[2]):
        scores = scores[:, :, 0] if scores.shape[2] == 1 else scores[0]
    if scores.ndim != 2:
        raise InputError(f"a binary mask is made of one score a pixel, and these are of shape {scores.shape}")
    return (scores >= threshold).astype(np.uint8)


def shares(mask: Mask, labels: Sequence[str] | None) -> tuple[Share, ...]:
    """How much of the frame each class covers, in the order of the classes.

    Args:
        mask: From `class_mask` or `binary_mask`.
        labels: The name of each class. None, of a bundle without labels, is refused.

    Raises:
        InputError: There are no labels, or the mask holds a class without one, or no pixels.
    """
    labels = class_names(labels)
    if mask.size == 0 or int(mask.max()) >= len(labels) or int(mask.min()) < 0:
        raise InputError(f"the mask does not fit {len(labels)} labels")
    counts = np.bincount(mask.reshape(-1), minlength=len(labels))
    return tuple(Share(name, index, int(counts[index]) / mask.size) for index, name in enumerate(labels))


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Stretch a mask to another size: each pixel takes the class of the nearest one.

    As Pillow's NEAREST; a centre that lies exactly between two pixels takes the later one, always.

    Args:
        mask: (height, width).
        size: Height and width that are wanted, in pixels.

    Raises:
        InputError: One of the sizes is below 1.
    """
    if mask.ndim != 2 or 0 in mask.shape or min(size) < 1:
        raise InputError(f"cannot stretch a mask of shape {mask.shape} to {size}")
    rows, columns = (
        (2 * np.arange(wanted) + 1)
        * have
        // (2 * wanted)  # the pixel that holds the centre, in whole numbers
        for wanted, have in zip(size, mask.shape, strict=True)
    )
    stretched: Mask = mask[rows[:, np.newaxis], columns]
    return stretched
