"""Reader of .csv files: one sample a line, its features in the order of the model's input."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from edgekit.errors import BadSampleError, DataError, NoDataError
from edgekit_converters.calibration.labels import encode_labels
from edgekit_converters.calibration.sample import InputSpec, Sample

LABEL_COLUMNS = ("label", "class", "target", "y")
"""Header names that are understood as the label column where none is named."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How a file is written: delimiter, header, and the place of the label among the columns."""

    delimiter: str
    header: tuple[str, ...] | None
    columns: int
    label: int | None

    def column(self, index: int) -> str:
        """The column's name for messages: that of the header, or its number counted from 1."""
        return f"'{self.header[index]}'" if self.header else str(index + 1)


@dataclass(frozen=True, slots=True, eq=False)
class CsvSource:
    """A .csv file, read line by line.

    Attributes:
        path: Of the file.
        spec: The input that the features feed, flattened.
        form: How it is written.
        rows: How many samples.
        dtype: "uint8" where all features are whole numbers of 0..255, "int64" where all are whole, else
            "float32".
        targets: The label of each sample: class indices, or floats; None without a label column.
        names: The class names, where labels are words.
    """

    path: Path
    spec: InputSpec
    form: _Form
    rows: int
    dtype: str
    targets: tuple[int, ...] | tuple[float, ...] | None
    names: tuple[str, ...] | None

    kind = "array"

    @property
    def description(self) -> str:
        """Such as "iris.csv, 150 rows"."""
        return f"{self.path.name}, {self.rows} rows"

    def count(self) -> int:
        """How many samples there are."""
        return self.rows

    def labels(self) -> Sequence[int] | None:
        """The class index of every sample; None where labels are fractions."""
        classes = [target for target in self.targets or () if isinstance(target, int)]
        return classes if len(classes) == self.rows else None

    def class_names(self) -> tuple[str, ...] | None:
        """The sorted words, where labels are words."""
        return self.names

    def raw_dtypes(self) -> Mapping[str, str]:
        """uint8, int64 or float32: text has no type, so its content decides."""
        return {self.spec.name: self.dtype}

    def read(self, rows: Sequence[int]) -> Iterator[Sample]:
        """Parses these samples again.

        Raises:
            BadSampleError: The file has changed since it was opened.
        """
        wanted = iter(rows)
        row = next(wanted, None)
        for number, (line, cells) in enumerate(_lines(self.path, self.form)):
            if row is None:
                return
            if number == row:
                values = _features(self.path, self.form, line, cells)
                array = np.array(values).astype(self.dtype).reshape(self.spec.shape[1:])
                label = None if self.targets is None else self.targets[row]
                yield Sample({self.spec.name: array}, label, f"{self.path.name} line {line}")
                row = next(wanted, None)
        if row is not None:
            raise BadSampleError(f"{self.path}: row {row} is gone: the file has changed")


def open_csv(path: Path, label: str | None, inputs: Sequence[InputSpec]) -> CsvSource:
    """Opens a .csv file and checks every cell of it.

    Args:
        path: Of the file: UTF-8, with commas, semicolons or tabs; the header may be missing.
        label: The label column: its name, or its number counted from 1. None: one of LABEL_COLUMNS, if there
            is one.
        inputs: The model's inputs; there must be one.

    Raises:
        BadSampleError: A cell is not a number, or a line has another number of cells; names line and column.
        DataError: The label column does not exist, the columns do not fit the input, or the model has
            several inputs.
        NoDataError: There are no rows.
    """
    if len(inputs) > 1:
        names = ", ".join(spec.name for spec in inputs)
        raise DataError(
            f"{path}: is one table, and the model has several inputs: {names}",
            hint="give an .npz with one array for each input, named like it",
        )
    form = _form(path, label)
    _require_width(path, form, inputs[0])
    words: list[str] = []
    dtype = "uint8"
    for line, cells in _lines(path, form):
        dtype = _wider(dtype, cells, _features(path, form, line, cells), form.label)
        words.append(cells[form.label].strip() if form.label is not None else "")
    if not words:
        raise NoDataError(f"{path}: has no rows of data")
    if form.label is None:
        return CsvSource(path, inputs[0], form, len(words), dtype, None, None)
    return CsvSource(path, inputs[0], form, len(words), dtype, *_targets(words))


def _wider(dtype: str, cells: Sequence[str], values: Sequence[float], label: int | None) -> str:
    """The dtype that holds one more line: uint8, int64 or float32, never narrower than before."""
    if dtype == "float32":
        return dtype
    whole = all(value.is_integer() and abs(value) < 2**53 for value in values)
    if not whole or any("." in cell for index, cell in enumerate(cells) if index != label):
        return "float32"
    return dtype if all(0 <= value <= 255 for value in values) else "int64"


def _form(path: Path, label: str | None) -> _Form:
    """Reads the first line that is not blank."""
    with _reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip()), "")
        delimiter = max(",;\t", key=first.count)
        cells = tuple(cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), []))
    if not cells:
        raise NoDataError(f"{path}: is empty")
    header = cells if _is_header(cells) else None
    return _Form(delimiter, header, len(cells), _label_column(path, label, header, len(cells)))


def _is_header(cells: Sequence[str]) -> bool:
    """Whether no cell is a number, or the cells count 0, 1, 2... as pandas numbers columns without names."""
    counted = [str(number) for number in range(len(cells))]
    return not any(_is_number(cell) for cell in cells) or (len(cells) > 2 and list(cells) == counted)


def _label_column(path: Path, label: str | None, header: tuple[str, ...] | None, columns: int) -> int | None:
    if label is None:
        return (
            next((header.index(name) for name in LABEL_COLUMNS if name in header), None) if header else None
        )
    if header is not None and label in header:
        return header.index(label)
    if label.isdecimal() and 1 <= int(label) <= columns:
        return int(label) - 1
    there = f"its columns are: {', '.join(header)}" if header else f"it has {columns} columns and no header"
    raise DataError(
        f"{path}: has no column '{label}'; {there}",
        hint=f"name the label column, or count it from 1: {path}#{columns}",
    )


def _require_width(path: Path, form: _Form, spec: InputSpec) -> None:
    features = form.columns - (form.label is not None)
    wanted = prod(spec.shape[1:])
    if features == wanted:
        return
    labelled = "besides its label column" if form.label is not None else "and no label column"
    raise DataError(
        f"{path}: has {features} columns of features {labelled}, and input '{spec.name}' takes {wanted} "
        f"numbers, {spec.shape[1:]}",
        hint=f"name the label column if there is one ({path}#NAME, or its number counted from 1), "
        "and leave out index columns",
    )


def _lines(path: Path, form: _Form) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every sample."""
    with _reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=form.delimiter)
        header_ahead = form.header is not None
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header_ahead:
                header_ahead = False
                continue
            if len(cells) != form.columns:
                raise BadSampleError(
                    f"{path} line {reader.line_num}: has {len(cells)} cells, and the first has {form.columns}"
                )
            yield reader.line_num, cells


def _features(path: Path, form: _Form, line: int, cells: Sequence[str]) -> list[float]:
    try:
        return [float(cell) for index, cell in enumerate(cells) if index != form.label]
    except ValueError:
        bad = next(i for i, cell in enumerate(cells) if i != form.label and not _is_number(cell))
        problem = f"'{cells[bad][:40]}' is not a number" if cells[bad].strip() else "the cell is empty"
        raise BadSampleError(
            f"{path} line {line}, column {form.column(bad)}: {problem}",
            hint=f"if this is the label column, name it: {path}#{form.column(bad).strip(chr(39))}",
        ) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _targets(
    words: Sequence[str],
) -> tuple[tuple[int, ...] | tuple[float, ...], tuple[str, ...] | None]:
    """Whole numbers are class indices, other numbers are targets of a regression, words are class names."""
    if not all(_is_number(word) for word in words):
        return encode_labels(words)
    if all(word.lstrip("+-").isdecimal() for word in words):
        return tuple(int(word) for word in words), None
    return tuple(float(word) for word in words), None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as a .csv file: {error}", hint="it must be UTF-8 text, a sample a line"
        ) from error
