"""What a sample, and a set of them, must be to say anything about a model's ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import BadSampleError, DataError, InputError
from edgekit.manifest import Preprocessing
from edgekit.media import fit_image
from edgekit.preprocess import to_model_input
from edgekit_converters.calibration.sample import InputSpec, Sample, SampleSource


def model_input(sample: Sample, spec: InputSpec, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """The float input that a sample becomes.

    Raises:
        BadSampleError: Its shape or dtype does not fit, or it holds NaN or infinity.
    """
    raw = sample.inputs[spec.name]
    if preprocessing.dtype == "float32" and raw.dtype.kind in "biu":  # the user said --preprocessed
        raw = raw.astype(np.float32)
    if spec.data_layout == "NCHW":
        raw = _channels_last(raw, spec.shape)
    try:
        fitted = fit_image(raw, spec.shape, spec.layout, preprocessing)
        values = to_model_input(fitted, spec.shape, spec.layout, preprocessing)
    except InputError as error:
        raise BadSampleError(f"{sample.origin}: input '{spec.name}': {error}", hint=error.hint) from error
    if raw.dtype.kind == "f":
        _require_finite(values, raw, f"{sample.origin}: input '{spec.name}'")
    return values


def _channels_last(raw: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A sample in the layout of the trained model as the turned input takes it; photos are channels last already.

    Args:
        raw: With or without a batch of 1.
        shape: Of the input, (1, H, W, C).
    """
    height, width, channels = shape[1:]
    if raw.shape in ((channels, height, width), (1, channels, height, width)):
        return np.moveaxis(raw, -3, -1)
    if channels == 1 and raw.shape == (1, height, width):
        return raw.reshape(height, width, 1)
    return raw


class Watch:
    """Looks on while a set streams by, and refuses it in the end if it cannot set ranges."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._count = 0
        self._first_digest = b""
        self._all_alike = True
        self._spans: dict[str, tuple[float, float]] = {}

    def see(self, digest: bytes, inputs: Mapping[str, NDArray[np.float32]]) -> None:
        """Takes note of one sample: its content's digest, and the model inputs it became."""
        self._count += 1
        self._first_digest = self._first_digest or digest
        self._all_alike = self._all_alike and digest == self._first_digest
        for name, values in inputs.items():
            low, high = self._spans.get(name, (np.inf, -np.inf))
            self._spans[name] = (min(low, float(values.min())), max(high, float(values.max())))

    def refuse_useless(self) -> None:
        """Ends the pass.

        Raises:
            DataError: An input has one value throughout, or all samples are the same.
        """
        for name, (low, high) in self._spans.items():
            if low == high:
                raise DataError(
                    f"{self._description}: input '{name}' is {low:g} throughout all {self._count} samples",
                    hint="constant data set no range: give data such as the device will meet",
                )
        if self._all_alike:
            raise DataError(
                f"{self._description}: all {self._count} samples are the same",
                hint="give different samples, such as the device will meet",
            )


def check_classes(source: SampleSource, classes: int) -> None:
    """Refuses class labels that a model with so many classes cannot give.

    Raises:
        BadSampleError: A label lies outside of 0..classes-1; the message names its sample.
    """
    for row, label in enumerate(source.labels() or ()):
        if not 0 <= label < classes:
            origin = next(source.read([row])).origin
            raise BadSampleError(
                f"{origin}: has the label {label}, and the model's {classes} classes are 0..{classes - 1}",
                hint="labels count from 0, in the order of the model's outputs",
            )


def _require_finite(values: NDArray[np.float32], raw: NDArray[Any], where: str) -> None:
    """One infinity crashes TensorFlow's quantizer, and one NaN makes every range undefined."""
    finite = np.isfinite(values)
    if finite.all():
        return
    bad = tuple(int(axis) for axis in np.argwhere(~finite)[0])
    count = int(finite.size - np.count_nonzero(finite))
    what = "NaN" if np.isnan(values[bad]) else "infinity"
    if what == "infinity" and np.isfinite(raw).all():
        what = "a value beyond float32"
    raise BadSampleError(
        f"{where} holds {what} at {list(bad[1:])} ({count} such values in this sample)",
        hint="repair the sample or take it out",
    )
