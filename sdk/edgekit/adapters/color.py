"""Channel orders of 8-bit pixels, and the way from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

CHANNELS: Final[Mapping[str, int]] = {
    "RGB": 3,
    "BGR": 3,
    "RGBX": 4,
    "BGRX": 4,
    "RGBA": 4,
    "BGRA": 4,
    "GRAY": 1,
}
"""Every order that frames come in; X is padding, A is transparency, and both are dropped."""

# ITU-R 601-2 luma in 16-bit fixed point, as Pillow has it (macro L24 in src/libImaging/Convert.c), so that a frame
# becomes the very gray that a photo became on the workstation.
_LUMA = {"R": 19595, "G": 38470, "B": 7471}
_HALF = 1 << 15


def recolor(frame: NDArray[Any], have: str, want: str) -> NDArray[np.uint8]:
    """Bring a frame into another channel order.

    Args:
        frame: uint8, height x width x channels; "GRAY" also without the last axis.
        have: The order that it is in, a key of CHANNELS.
        want: The order in the result: "RGB", "BGR" or "GRAY" (ITU-R 601-2 luma).

    Returns:
        uint8, height x width x 3 (1 for "GRAY"), C-contiguous; the frame itself where there is nothing to do.

    Raises:
        InputError: The frame does not have the channels of that order, or there is no such order.
    """
    if not isinstance(frame, np.ndarray):
        raise InputError(
            f"a frame is an array, and got {type(frame).__name__}", hint="did the camera deliver one?"
        )
    for order in (have, want):
        if order not in CHANNELS:
            raise InputError(
                f"there is no channel order {order!r}", hint=f"the orders are {', '.join(CHANNELS)}"
            )
    pixels = frame[:, :, np.newaxis] if have == "GRAY" and frame.ndim == 2 else frame
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != CHANNELS[have] or 0 in pixels.shape:
        raise InputError(
            f"a frame in the order {have} is uint8, height x width x {CHANNELS[have]}, "
            f"and this one is {frame.dtype} of shape {frame.shape}"
        )
    if want == "GRAY":
        return pixels if have == "GRAY" else _gray(pixels, have)
    if have == "GRAY":
        return np.repeat(pixels, 3, axis=2)
    turned = pixels[:, :, :3] if have[:3] == want else pixels[:, :, 2::-1]
    return np.ascontiguousarray(turned)


def _gray(pixels: NDArray[np.uint8], have: str) -> NDArray[np.uint8]:
    luma = np.full(pixels.shape[:2], _HALF, np.uint32)
    for channel, letter in enumerate(have[:3]):
        luma += pixels[:, :, channel] * np.uint32(_LUMA[letter])
    luma >>= 16
    return luma.astype(np.uint8)[:, :, np.newaxis]
