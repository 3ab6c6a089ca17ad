"""What to run a model on while it is measured: raw samples out of the bundle itself, or out of the user's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import inputs, media
from edgekit.arrays import read_arrays
from edgekit.bundle import GOLDEN, REFERENCE, UnverifiedBundle
from edgekit.errors import InputError, MalformedBundleError
from edgekit.manifest import Manifest, Preprocessing, TensorSpec
from edgekit.preprocess import SPANS, dequantize, image_geometry, quantize, to_model_input

POOL = 16
"""So many samples take turns, so that no run finds its very own input in the cache; more would only take memory."""
MOST_BATCH_BYTES = 1 << 28
"""A batch of samples that takes more is not measured: a board has no room for it."""

_SEED = 20261124
_LOWEST = {"int8": -128, "uint8": 0}
"""Of the 256 stored values that bin 0 of a reference histogram counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Samples that take turns.

    Attributes:
        said: Where they come from, for people.
        raw: One entry a sample: input name -> raw array, as `Session.run` takes it.
    """

    said: str
    raw: tuple[Mapping[str, NDArray[Any]], ...]

    def require_batch(self, size: int) -> None:
        """Refuses a size of batches that cannot be measured, before anything is.

        Raises:
            InputError: Samples of different sizes cannot stand in one array, or the batch is too large.
        """
        if size == 1:
            return
        for name in self.raw[0]:
            if len({sample[name].shape for sample in self.raw}) > 1:
                raise InputError(
                    "the samples have different sizes, and a batch needs one", hint="leave --batch out"
                )
        needed = size * sum(array.nbytes for array in self.raw[0].values())
        if needed > MOST_BATCH_BYTES:
            raise InputError(
                f"a batch of {size} takes {needed:,} bytes, and at most {MOST_BATCH_BYTES:,} are measured",
                hint="name a smaller --batch",
            )

    def batch(self, size: int) -> Samples:
        """The same samples, `size` of them in one call; one alone has no batch axis.

        Raises:
            InputError: As `require_batch` does.
        """
        self.require_batch(size)
        if size == 1:
            return self
        count = len(self.raw)
        rows = [[self.raw[(first + i) % count] for i in range(size)] for first in range(0, count, size)]
        return Samples(
            self.said,
            tuple({name: np.stack([sample[name] for sample in row]) for name in row[0]} for row in rows),
        )


def from_files(words: Sequence[str], specs: Sequence[TensorSpec]) -> Samples:
    """Raw samples out of the user's files, at most POOL of them.

    Args:
        words: ``FILE`` or ``NAME=FILE``, as `edgekit run` takes them.
        specs: The inputs of the model.

    Raises:
        InputError: A file does not fit its input.
        BadSampleError: A file cannot be read.
    """
    by_name = {spec.name: spec for spec in specs}
    raw: list[Mapping[str, NDArray[Any]]] = []
    for feed in inputs.plan_feeds(words, specs):
        for _, sample in islice(inputs.read_feed(feed, specs), POOL - len(raw)):
            raw.append({name: _decoded(value, by_name[name]) for name, value in sample.items()})
    return Samples(f"{len(raw)} sample{'s' * (len(raw) > 1)} from files", tuple(raw))


def from_bundle(bundle: UnverifiedBundle) -> Samples:
    """Raw samples that fit a bundle: its golden inputs, else drawn from what it says of its calibration data.

    Raises:
        MalformedBundleError: The arrays in the bundle are not sound.
    """
    specs = bundle.manifest.inputs
    golden = [array for array in _arrays(bundle, GOLDEN) if array is not None]
    if len(golden) == len(specs):
        for spec, rows in zip(specs, golden, strict=True):
            if rows.dtype != spec.dtype or rows.ndim != len(spec.shape) or rows.shape[1:] != spec.shape[1:]:
                found = f"{rows.dtype} of shape {rows.shape}, and it takes {spec.dtype} of {spec.shape}"
                raise MalformedBundleError(f"the golden inputs of '{spec.name}' are {found}")
        count = min(POOL, *map(len, golden))
        return _unpacked(f"{count} golden inputs of the bundle", [rows[:count] for rows in golden], specs)
    histograms = _arrays(bundle, REFERENCE)
    for spec, histogram in zip(specs, histograms, strict=True):
        if spec.dtype in _LOWEST and histogram is None:
            return noise(bundle.manifest)
        if histogram is not None and not _is_histogram(histogram):
            raise MalformedBundleError(f"the reference histogram of '{spec.name}' does not hold 256 counts")
    return _drawn("samples drawn as the calibration data were distributed", specs, histograms)


def _arrays(bundle: UnverifiedBundle, member: str) -> list[NDArray[Any] | None]:
    """What an .npz of the bundle has for each input of the model."""
    arrays = read_arrays(bundle.members[member]) if member in bundle.members else {}
    return [arrays.get(f"input.{number}") for number in range(len(bundle.manifest.inputs))]


def _is_histogram(array: NDArray[Any]) -> bool:
    return array.shape == (256,) and array.dtype.kind == "i" and array.min() >= 0 and bool(array.any())


def noise(manifest: Manifest) -> Samples:
    """Samples of random values, for a model of whose data nothing is known."""
    return _drawn("samples of random values", manifest.inputs, [None] * len(manifest.inputs))


def raw_of(stored: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """A raw sample that becomes these stored integers: preprocessing and quantization the other way round.

    Args:
        stored: Of the shape of the input without its batch axis.
        spec: The input.

    Returns:
        What `Session.run` takes for it; rounding may have moved a value by a step.
    """
    preprocessing = spec.preprocessing
    if preprocessing is None:
        return stored
    channels_first = spec.layout == "NCHW" and stored.ndim == 3
    real = dequantize(stored, spec.scale, spec.zero_point)
    if channels_first:
        real = real.transpose(1, 2, 0)
    values = _unscaled(real, preprocessing)
    if preprocessing.dtype != "float32":
        limits = np.iinfo(preprocessing.dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    raw = np.ascontiguousarray(values.astype(preprocessing.dtype))
    if channels_first and preprocessing.source != "image":
        return np.ascontiguousarray(raw.transpose(2, 0, 1))
    return raw


def stored_of(raw: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """The integers that the model takes for a raw sample, batch 1 first."""
    if spec.preprocessing is None:
        return raw.astype(spec.dtype).reshape(spec.shape)
    fitted = media.fit_image(raw, spec.shape, spec.layout, spec.preprocessing)
    real = to_model_input(fitted, spec.shape, spec.layout, spec.preprocessing)
    return quantize(real, spec.scale, spec.zero_point, spec.dtype)


def _unscaled(real: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float64]:
    """The values before `edgekit.preprocess.to_model_input`; channels are last."""
    values = real.astype(np.float64)
    if preprocessing.std is not None:
        values *= np.asarray(preprocessing.std)
    if preprocessing.mean is not None:
        values += np.asarray(preprocessing.mean)
    if preprocessing.range is not None:
        (first, last), (low, high) = SPANS[preprocessing.dtype], preprocessing.range
        values = (values - low) / (high - low) * (last - first) + first
    return values


def _drawn(said: str, specs: Sequence[TensorSpec], histograms: Sequence[NDArray[np.int64] | None]) -> Samples:
    """POOL samples; tokens are 0, because other numbers may lie beyond what the model knows."""
    generator = np.random.default_rng(_SEED)
    columns: list[NDArray[Any]] = []
    for spec, histogram in zip(specs, histograms, strict=True):
        column = np.zeros((POOL, *spec.shape[1:]), spec.dtype)
        if spec.dtype in _LOWEST:
            counts = np.ones(256) if histogram is None else histogram.astype(np.float64)
            share = np.cumsum(counts)
            for row in column:  # one at a time: what is drawn takes eight times the room of what is kept
                bins = np.searchsorted(share / share[-1], generator.random(row.shape), side="right")
                row[...] = bins + _LOWEST[spec.dtype]
        columns.append(column)
    return _unpacked(f"{POOL} {said}", columns, specs)


def _unpacked(said: str, columns: Sequence[NDArray[Any]], specs: Sequence[TensorSpec]) -> Samples:
    """Stored integers, one column an input, as raw samples."""
    rows = zip(*columns, strict=True)
    return Samples(
        said,
        tuple({spec.name: raw_of(x, spec) for spec, x in zip(specs, row, strict=True)} for row in rows),
    )


def _decoded(value: NDArray[Any] | Path, spec: TensorSpec) -> NDArray[Any]:
    """A sample as an array: photos are decoded before the clock starts, as a camera's frames come decoded."""
    preprocessing = spec.preprocessing
    if not isinstance(value, Path) or preprocessing is None or preprocessing.color is None:
        return np.asarray(value)
    geometry = image_geometry(spec.shape, spec.layout)
    size = (geometry.height, geometry.width) if geometry is not None else None
    return media.read_image(value, size, preprocessing.resize, preprocessing.color)
