"""Readers of .npz archives, whose rows are streamed, and of .npy files, which are mapped into memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import BadSampleError, DataError
from edgekit.media import NPY_ERRORS
from edgekit_converters.calibration.labels import encode_labels
from edgekit_converters.calibration.npy_stream import STREAM_ERRORS, RowStream
from edgekit_converters.calibration.sample import InputSpec, Sample
from edgekit_converters.calibration.selection import select_arrays


@dataclass(frozen=True, slots=True, eq=False)
class NpzSource:
    """Arrays of an .npz, one row a sample; several arrays are read in step.

    Attributes:
        path: Of the archive, compressed or not.
        arrays: Input name -> array name.
        label_array: The array of labels. One whole number or word a row is a class; anything else is handed
            on by row.
        raw: Input name -> numpy dtype name.
        rows: How many.
        classes: The class index of each row, where labels are classes.
        names: The class names, where labels are words.
    """

    path: Path
    arrays: Mapping[str, str]
    label_array: str | None
    raw: Mapping[str, str]
    rows: int
    classes: tuple[int, ...] | None
    names: tuple[str, ...] | None

    kind = "array"

    @property
    def description(self) -> str:
        """Such as "x_train of fashion.npz, 10000 rows"."""
        return f"{', '.join(self.arrays.values())} of {self.path.name}, {self.rows} rows"

    def count(self) -> int:
        """How many rows there are."""
        return self.rows

    def labels(self) -> Sequence[int] | None:
        """The class index of every row."""
        return self.classes

    def class_names(self) -> tuple[str, ...] | None:
        """The sorted words, where labels are words."""
        return self.names

    def raw_dtypes(self) -> Mapping[str, str]:
        """Input name -> numpy dtype name."""
        return self.raw

    def read(self, rows: Sequence[int]) -> Iterator[Sample]:
        """Streams the rows, passing over what lies between them.

        Raises:
            BadSampleError: The archive is damaged.
        """
        with ExitStack() as stack:
            archive = stack.enter_context(_open_archive(self.path))
            streams = {
                name: _open_rows(archive, self.path, array, stack) for name, array in self.arrays.items()
            }
            label_rows = None
            if self.label_array is not None and self.classes is None:
                label_rows = _open_rows(archive, self.path, self.label_array, stack)
            for row in rows:
                label: object | None = None
                if self.classes is not None:
                    label = self.classes[row]
                elif label_rows is not None:
                    label = _plain(label_rows.row(row))
                inputs = {name: stream.row(row) for name, stream in streams.items()}
                yield Sample(inputs, label, f"{self.path.name} row {row}")


def open_npz(path: Path, wanted: str | None, inputs: Sequence[InputSpec]) -> NpzSource:
    """Opens an .npz; `wanted` is the text behind ``#`` (see `selection.select_arrays`).

    Raises:
        BadSampleError: It is damaged, or an array does not hold numbers.
        DataError: Which arrays are meant is unclear, or they differ in length.
    """
    with ExitStack() as stack:
        archive = stack.enter_context(_open_archive(path))
        members = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if not members:
            raise DataError(
                f"{path}: is a ZIP without arrays in it",
                hint="unpack an archive of photos or sounds, and name the folder",
            )
        listing = {name: _describe(archive, path, name) for name in members}
        selection = select_arrays(wanted, listing, [spec.name for spec in inputs], str(path))
        streams = {name: _open_rows(archive, path, array, stack) for name, array in selection.arrays.items()}
        raw = {name: _numeric(stream, path, selection.arrays[name]) for name, stream in streams.items()}
        lengths = {selection.arrays[name]: stream.shape[0] for name, stream in streams.items()}
        classes, names = None, None
        if selection.labels is not None:
            labels = _open_rows(archive, path, selection.labels, stack)
            lengths[selection.labels] = labels.shape[0]
            classes, names = _classes(labels)
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise DataError(f"{path}: its arrays differ in length: {counts}", hint="each needs a row a sample")
    rows = next(iter(lengths.values()))
    return NpzSource(path, selection.arrays, selection.labels, raw, rows, classes, names)


@dataclass(frozen=True, slots=True, eq=False)
class NpySource:
    """One .npy array, one row a sample, without labels.

    Attributes:
        path: Of the file.
        input_name: That the rows feed.
        array: The rows, mapped into memory.
    """

    path: Path
    input_name: str
    array: NDArray[Any]

    kind = "array"

    @property
    def description(self) -> str:
        """Such as "digits.npy, 10000 rows"."""
        return f"{self.path.name}, {len(self.array)} rows"

    def count(self) -> int:
        """How many rows there are."""
        return len(self.array)

    def labels(self) -> None:
        """None: one array has no room for labels."""

    def class_names(self) -> None:
        """None."""

    def raw_dtypes(self) -> Mapping[str, str]:
        """Input name -> numpy dtype name."""
        return {self.input_name: self.array.dtype.name}

    def read(self, rows: Sequence[int]) -> Iterator[Sample]:
        """Yields copies of the rows."""
        for row in rows:
            yield Sample({self.input_name: np.array(self.array[row])}, None, f"{self.path.name} row {row}")


def open_npy(path: Path, inputs: Sequence[InputSpec]) -> NpySource:
    """Maps an .npy file.

    Raises:
        BadSampleError: It is damaged, or does not hold numbers.
        DataError: The model has several inputs.
    """
    if len(inputs) > 1:
        names = ", ".join(spec.name for spec in inputs)
        raise DataError(
            f"{path}: is one array, and the model has several inputs: {names}", hint=_SEVERAL_HINT
        )
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except NPY_ERRORS as error:
        raise BadSampleError(
            f"{path}: cannot be read as an array: {error}",
            hint="is it whole, and saved without Python objects?",
        ) from error
    if array.ndim == 0:
        raise BadSampleError(f"{path}: is a single number, and one row a sample is wanted")
    _require_numbers(array.dtype, str(path))
    return NpySource(path, inputs[0].name, array)


_SEVERAL_HINT = "give an .npz with one array for each input, named like it"


def _open_archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except STREAM_ERRORS as error:
        raise BadSampleError(f"{path}: is not a whole .npz archive: {error}") from error


def _open_rows(archive: zipfile.ZipFile, path: Path, array: str, stack: ExitStack) -> RowStream:
    where = f"{path} array '{array}'"
    try:
        member = archive.getinfo(f"{array}.npy")
        stream = stack.enter_context(archive.open(member))
    except (*STREAM_ERRORS, KeyError) as error:
        raise BadSampleError(f"{where}: the archive is damaged: {error}") from error
    return RowStream(stream, where, member.file_size)


def _describe(archive: zipfile.ZipFile, path: Path, array: str) -> str:
    """Shape and dtype for a listing; an array that is not asked for may be anything."""
    with ExitStack() as stack:
        try:
            stream = _open_rows(archive, path, array, stack)
        except BadSampleError:
            return "(not a plain array)"
        return f"{stream.shape} {stream.dtype}"


def _numeric(stream: RowStream, path: Path, array: str) -> str:
    _require_numbers(stream.dtype, f"{path} array '{array}'")
    return stream.dtype.name


def _require_numbers(dtype: np.dtype[Any], where: str) -> None:
    if dtype.kind not in "biuf":
        raise BadSampleError(
            f"{where}: has dtype {dtype}, and numbers are wanted",
            hint="save the samples as one float32, uint8 or int16 array",
        )


def _classes(labels: RowStream) -> tuple[tuple[int, ...] | None, tuple[str, ...] | None]:
    """Class indices and names, where each label is one whole number or one word."""
    per_row = labels.shape[1:]
    if per_row not in {(), (1,)} or labels.dtype.kind not in "biuU":
        return None, None
    values = labels.remaining().reshape(-1)
    if labels.dtype.kind == "U":
        return encode_labels(values.tolist())
    return tuple(int(value) for value in values.tolist()), None


def _plain(label: NDArray[Any]) -> object:
    """A single number as a Python float, anything else as the array it is."""
    return float(label) if label.ndim == 0 and label.dtype.kind == "f" else label
