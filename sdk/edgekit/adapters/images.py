"""Photos for a model: from files and from arrays, upright, in its size and channel order.

`Session.run` reads an image file by itself where the bundle says how to resize. This is for the rest: arrays whose
channel order must be said, and bundles that were converted without ``--resize``::

    from edgekit.adapters import images

    photo = images.sample("cat.jpg", model, resize="bilinear")
    frame = images.sample(pixels, model, order="BGR", resize="bilinear")
    print(model.run(photo).labels, model.run(frame).labels)

Files are read with Pillow (``pip install 'edgekit[images]'``), turned as their EXIF orientation says.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit import media
from edgekit.adapters.color import CHANNELS, recolor
from edgekit.errors import InputError
from edgekit.manifest import RESIZERS, Manifest, TensorSpec
from edgekit.preprocess import image_geometry


class HasManifest(Protocol):
    """What knows its inputs: a `Session`, or anything else with a manifest."""

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""


def image_input(model: HasManifest, name: str | None = None) -> TensorSpec:
    """The input of a model that takes images.

    Args:
        model: A session.
        name: Which input, where several take images.

    Raises:
        InputError: There is no such input, none or more than one takes images, or it does not take uint8.
    """
    if name is not None:
        candidates = [model.manifest.input(name)]
    else:
        candidates = [spec for spec in model.manifest.inputs if _color(spec) is not None]
    if len(candidates) != 1 or _color(candidates[0]) is None:
        raise InputError(
            f"{len(candidates) if name is None else 'not one'} of the model's inputs takes images",
            hint="convert the model with --color and --range, or choose one with input=NAME",
        )
    return candidates[0]


def sample(
    source: str | os.PathLike[str] | NDArray[Any],
    model: HasManifest,
    *,
    order: str | None = None,
    resize: str | None = None,
    input: str | None = None,
) -> NDArray[np.uint8]:
    """Make a sample for `Session.run` out of a photo.

    Args:
        source: The path of an image file, or its pixels: uint8, height x width x channels.
        model: The session that will run it.
        order: The channel order of an array, a key of `edgekit.adapters.color.CHANNELS`. It must be said where the
            array has colours. Files know theirs.
        resize: How an image of another size is stretched: one of `edgekit.manifest.RESIZERS`. None: as the
            bundle says, and if it says nothing, another size is refused.
        input: The name of the model's input, where several take images.

    Returns:
        uint8, height x width x channels, in the model's size and channel order.

    Raises:
        InputError: The image does not fit, or the order of its channels is not said.
        BadSampleError: The file cannot be read as an image, or has another size.
        MissingExtraError: Pillow is needed and not installed.
    """
    spec = image_input(model, input)
    assert spec.preprocessing is not None
    assert spec.preprocessing.color is not None
    if isinstance(source, (str, os.PathLike)):
        return media.read_image(Path(source), _size(spec), _resizer(spec, resize), spec.preprocessing.color)
    pixels = np.asarray(source)
    return fit(pixels, spec, order or _only_order(pixels), resize)


def fit(frame: NDArray[Any], spec: TensorSpec, order: str, resize: str | None = None) -> NDArray[np.uint8]:
    """Bring the pixels of one frame into the size and channel order of an image input.

    Args:
        frame: uint8, height x width x channels.
        spec: From `image_input`.
        order: The channel order of `frame`.
        resize: As for `sample`.

    Raises:
        InputError: It does not fit.
        MissingExtraError: Pillow is needed and not installed.
    """
    assert spec.preprocessing is not None
    assert spec.preprocessing.color is not None
    pixels = recolor(frame, order, spec.preprocessing.color)
    size = _size(spec)
    if size is None or pixels.shape[:2] == size:
        return pixels
    resizer = _resizer(spec, resize)
    if resizer is None:
        raise InputError(
            f"the frame is {pixels.shape[0]} x {pixels.shape[1]} pixels (height x width), "
            f"and the model takes {size[0]} x {size[1]}",
            hint='say resize="bilinear" to stretch frames, or take them in the size of the model',
        )
    return media.resize_image(pixels, size, resizer)


def _color(spec: TensorSpec) -> str | None:
    return spec.preprocessing.color if spec.preprocessing is not None else None


def _size(spec: TensorSpec) -> tuple[int, int] | None:
    geometry = image_geometry(spec.shape, spec.layout)
    return (geometry.height, geometry.width) if geometry is not None else None


def _resizer(spec: TensorSpec, asked: str | None) -> str | None:
    """How to stretch: as asked, else as the bundle says."""
    if asked is not None and asked not in RESIZERS:
        raise InputError(f"there is no way to resize {asked!r}", hint=f"the ways are {', '.join(RESIZERS)}")
    return asked or (spec.preprocessing.resize if spec.preprocessing is not None else None)


def _only_order(pixels: NDArray[Any]) -> str:
    """The channel order where there is but one: that of gray pixels."""
    if pixels.ndim == 2 or pixels.shape[2:] == (1,):
        return "GRAY"
    raise InputError(
        "nothing says in which order the channels of the array are",
        hint=f"say order=..., one of {', '.join(CHANNELS)}; OpenCV's images are BGR, Pillow's are RGB",
    )
