"""Reader of samples that a Python function of the user yields."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import BadSampleError, DataError
from edgekit_converters.calibration.sample import InputSpec, Sample
from edgekit_converters.user_code import import_user_module

SampleFunction: TypeAlias = Callable[[], Iterable[object]]
"""Called without arguments, once a pass; must yield the same samples every time."""

MAX_SAMPLES = 1_000_000
"""Where counting gives up, because the function seems to be endless."""


@dataclass(frozen=True, slots=True, eq=False)
class FunctionSource:
    """What a function yields, one call a pass.

    Attributes:
        function: Of the user.
        name: "module:function" or "file.py:function".
        inputs: Of the model.
        dtypes: Input name -> numpy dtype name, the same in all samples.
        rows: How many samples it yields.
        classes: The class index of each sample, where every label is a whole number.
    """

    function: SampleFunction
    name: str
    inputs: tuple[InputSpec, ...]
    dtypes: Mapping[str, str]
    rows: int
    classes: tuple[int, ...] | None

    kind = "array"

    @property
    def description(self) -> str:
        """Such as "function data.py:samples, 200 samples"."""
        return f"function {self.name.rpartition('/')[2]}, {self.rows} samples"

    def count(self) -> int:
        """How many samples it yields."""
        return self.rows

    def labels(self) -> Sequence[int] | None:
        """The class index of every sample."""
        return self.classes

    def class_names(self) -> None:
        """None: labels of a function are indices or anything else."""

    def raw_dtypes(self) -> Mapping[str, str]:
        """Input name -> numpy dtype name."""
        return self.dtypes

    def read(self, rows: Sequence[int]) -> Iterator[Sample]:
        """Calls the function again and picks these samples.

        Raises:
            DataError: The function fails, or yields fewer samples than it did before.
        """
        wanted = iter(rows)
        row = next(wanted, None)
        for number, sample in enumerate(_samples(self.function, self.name, self.inputs)):
            if number == row:
                yield sample
                row = next(wanted, None)
            if row is None:
                return
        if row is not None:
            raise DataError(
                f"{self.name}: yielded {self.rows} samples when called first, and fewer when called again",
                hint="every call must start anew and yield the same samples in the same order",
            )


def open_function(function: SampleFunction, name: str, inputs: Sequence[InputSpec]) -> FunctionSource:
    """Calls the function once, to count its samples and to see their dtypes and labels.

    Args:
        function: Yields samples: an array, (array, label), a dict of arrays by input name, (dict, label), or
            a list of arrays in the order of the inputs, which is what a representative_dataset of
            TFLiteConverter yields.
        name: For messages.
        inputs: Of the model.

    Raises:
        DataError: The function fails, is endless, or its samples do not fit together.
        BadSampleError: It yields something that is not a sample.
    """
    dtypes: dict[str, str] = {}
    rows = 0
    classes: list[int] = []
    for number, sample in enumerate(_samples(function, name, inputs)):
        if number == MAX_SAMPLES:
            raise DataError(f"{name}: yields more than {MAX_SAMPLES} samples; is it endless?")
        for key, array in sample.inputs.items():
            if dtypes.setdefault(key, array.dtype.name) != array.dtype.name:
                raise BadSampleError(
                    f"{sample.origin}: input '{key}' is {array.dtype.name}, and was {dtypes[key]} before",
                    hint="yield the same dtype every time: astype",
                )
        rows += 1
        if isinstance(sample.label, int):
            classes.append(sample.label)
    known = tuple(classes) if len(classes) == rows else None
    return FunctionSource(function, name, tuple(inputs), dtypes, rows, known)


def load_function(name: str) -> SampleFunction:
    """Imports "module:function" (also from the current folder) or "file.py:function".

    Raises:
        DataError: The module fails to import, or has no such function.
    """
    place, _, attribute = name.rpartition(":")
    try:
        module = import_user_module(place)
    except Exception as error:  # whatever the user's module does on import
        raise DataError(f"{name}: importing it fails: {_told(error)}") from error
    function: SampleFunction | None = getattr(module, attribute, None)
    if not callable(function):
        raise DataError(
            f"{name}: there is no function '{attribute}' in {place}",
            hint="name a function without arguments that yields samples",
        )
    return function


def _samples(function: SampleFunction, name: str, inputs: Sequence[InputSpec]) -> Iterator[Sample]:
    """One pass, with the exceptions of the user's code told as errors that name the sample."""
    number = 0
    try:
        iterator = iter(function())
    except (Exception, SystemExit) as error:
        raise DataError(f"{name}: calling it fails: {_told(error)}", hint=_FORM_HINT) from error
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except (Exception, SystemExit) as error:
            raise DataError(f"{name}: fails at sample {number}: {_told(error)}") from error
        yield _sample(item, inputs, f"{name} sample {number}")
        number += 1


def _sample(item: object, inputs: Sequence[InputSpec], origin: str) -> Sample:
    label: object | None = None
    if isinstance(item, tuple):
        if len(item) != 2:
            raise BadSampleError(f"{origin}: is a tuple of {len(item)}", hint=_FORM_HINT)
        item, label = item
    if isinstance(item, list) and len(item) == len(inputs) and all(hasattr(part, "shape") for part in item):
        item = {spec.name: part for spec, part in zip(inputs, item, strict=True)}
    if not isinstance(item, Mapping):
        if len(inputs) > 1:
            raise BadSampleError(
                f"{origin}: is one {type(item).__name__}, and {_names(inputs)}", hint=_FORM_HINT
            )
        item = {inputs[0].name: item}
    if set(item) != {spec.name for spec in inputs}:
        given = ", ".join(map(str, item))
        raise BadSampleError(f"{origin}: has arrays for {given}, and {_names(inputs)}", hint=_FORM_HINT)
    arrays = {spec.name: _array(item[spec.name], spec, origin) for spec in inputs}
    return Sample(arrays, int(label) if isinstance(label, (int, np.integer)) else label, origin)


def _array(value: object, spec: InputSpec, origin: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except Exception as error:  # ragged lists, tensors on another device
        raise BadSampleError(
            f"{origin}: input '{spec.name}' is not an array: {_told(error)}", hint=_FORM_HINT
        ) from error
    if array.dtype.kind not in "biuf":
        raise BadSampleError(
            f"{origin}: input '{spec.name}' has dtype {array.dtype}, and numbers are wanted", hint=_FORM_HINT
        )
    return array[0] if array.shape == spec.shape else array


def _names(inputs: Sequence[InputSpec]) -> str:
    return f"the model has {len(inputs)} input(s): {', '.join(spec.name for spec in inputs)}"


def _told(error: BaseException) -> str:
    """The exception in one line, with the place in the user's code."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name} line {frames[-1].lineno})" if len(frames) > 1 else ""
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line}{place}"


_FORM_HINT = (
    "yield one sample at a time: an array, (array, label), a dict of arrays named like the inputs, or "
    "(dict, label), without a batch axis"
)
