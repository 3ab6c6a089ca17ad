"""What a caller gives a session: one sample or a batch of them, for one input or several."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgekit.errors import InputError
from edgekit.preprocess import image_geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from edgekit.manifest import TensorSpec

    Rows = Sequence[tuple[NDArray[Any], ...]]


def raw_samples(x: Any, specs: Sequence[TensorSpec]) -> Rows:
    """Take raw samples apart, as `Session.run` gets them.

    Args:
        x: An array, or for an image input the path of an image; where there are several inputs, or if the caller
            likes, a dict of them by name. Batches have their samples along the first axis.
        specs: The inputs of the model.

    Returns:
        Sample by sample, an array for every input in the order of the manifest.

    Raises:
        InputError: The names do not fit the model, or the batches differ in length, or are empty.
        BadSampleError: An image file cannot be read.
    """
    if type(x) is np.ndarray and len(specs) == 1 and x.shape == specs[0].shape[1:]:
        return ((x,),)  # what the rest comes to, 2 us later
    return _rows([_raw(value, spec) for value, spec in _by_name(x, specs)], specs, is_batch)


def stored_samples(x: Any, specs: Sequence[TensorSpec]) -> Rows:
    """Take samples of the model's own integers apart, as `Session.run_quantized` gets them.

    Args:
        x: An array of the input's very dtype, with or without the batch axis; a dict where there are several.
        specs: The inputs of the model.

    Returns:
        Rows of arrays of the inputs' shapes, batch 1 first.

    Raises:
        InputError: Names, dtypes, shapes or the lengths of batches do not fit.
    """
    arrays = [_exactly(value, spec) for value, spec in _by_name(x, specs)]
    rows = _rows(arrays, specs, _is_stored_batch)
    return [tuple(array.reshape(spec.shape) for array, spec in zip(row, specs, strict=True)) for row in rows]


def is_batch(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    """Whether a raw array of this shape holds samples along its first axis, and not one sample.

    As in `edgekit.preprocess.to_model_input`, a sample may lack the batch axis and a channel axis of 1.
    """
    geometry = image_geometry(spec.shape, spec.layout)
    sample = spec.shape[1:]
    if geometry is not None:
        sample = (geometry.height, geometry.width, geometry.channels)
    if len(sample) > 1 and sample[-1] == 1 and len(shape) == len(sample):
        return shape[-1] != 1
    return len(shape) > len(sample)


def _is_stored_batch(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    return len(shape) == len(spec.shape)


def _by_name(x: Any, specs: Sequence[TensorSpec]) -> list[tuple[Any, TensorSpec]]:
    """The value for each input, no more and no fewer."""
    if not isinstance(x, Mapping):
        if len(specs) > 1:
            raise InputError(
                f"the model has {len(specs)} inputs, and one value was given",
                hint=f"give a dict with the keys {', '.join(spec.name for spec in specs)}",
            )
        return [(x, specs[0])]
    names = [spec.name for spec in specs]
    for name in x:
        if name not in names:
            raise InputError(f"the model has no input {name!r}", hint=f"its inputs are: {', '.join(names)}")
    missing = [name for name in names if name not in x]
    if missing:
        raise InputError(f"no value is given for the input(s) {', '.join(missing)}")
    return [(x[spec.name], spec) for spec in specs]


def _rows(
    arrays: list[NDArray[Any]],
    specs: Sequence[TensorSpec],
    holds_batch: Callable[[tuple[int, ...], TensorSpec], bool],
) -> Rows:
    batches = [holds_batch(array.shape, spec) for array, spec in zip(arrays, specs, strict=True)]
    if not any(batches):
        return (tuple(arrays),)
    counts = {
        spec.name: len(array) if batch else 1
        for array, spec, batch in zip(arrays, specs, batches, strict=True)
    }
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{count} for '{name}'" for name, count in counts.items())
        raise InputError(f"the inputs have different numbers of samples: {said}")
    count = next(iter(counts.values()))
    if count == 0:
        raise InputError("the batch holds no samples")
    return [
        tuple(array[row] if batch else array for array, batch in zip(arrays, batches, strict=True))
        for row in range(count)
    ]


def _raw(value: Any, spec: TensorSpec) -> NDArray[Any]:
    """A raw value as an array, read from its file where a path was given."""
    if not isinstance(value, (str, os.PathLike)):
        return _array(value, spec)
    preprocessing = spec.preprocessing
    if preprocessing is None or preprocessing.source != "image" or preprocessing.color is None:
        raise InputError(
            f"the input '{spec.name}' takes arrays, and got a path",
            hint="read the file into an array first; only images are read from a path",
        )
    from pathlib import Path

    from edgekit.media import read_image

    geometry = image_geometry(spec.shape, spec.layout)
    size = (geometry.height, geometry.width) if geometry is not None else None
    return read_image(Path(value), size, preprocessing.resize, preprocessing.color)


def _array(value: Any, spec: TensorSpec) -> NDArray[Any]:
    """What numpy makes of a value, if that is numbers."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(
            f"the input '{spec.name}' takes one array, and these values have different shapes: {error}",
            hint="a batch holds samples of one size; run others one by one",
        ) from error
    if array.dtype.kind in "OUS":
        given = "None" if value is None else f"{type(value).__name__} of {array.dtype}"
        raise InputError(
            f"the input '{spec.name}' takes numbers, and got {given}",
            hint="did a camera or a file give nothing? Paths are run one at a time",
        )
    return array


def _exactly(value: Any, spec: TensorSpec) -> NDArray[Any]:
    """An array of the model's own integers, for one sample or several; nothing is converted."""
    array = _array(value, spec)
    fits = array.shape == spec.shape[1:] or (array.ndim > 0 and array.shape[1:] == spec.shape[1:])
    if array.dtype != spec.dtype or not fits:
        raise InputError(
            f"the input '{spec.name}' takes {spec.dtype} of shape {spec.shape}, or a batch along the first axis, "
            f"and got {array.dtype} of shape {array.shape}"
        )
    return array
