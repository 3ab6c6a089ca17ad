"""From what the user wrote to a reader, and to a set of chosen samples."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from edgekit.errors import DataError, NoDataError
from edgekit_converters.calibration.calibration_set import CalibrationSet
from edgekit_converters.calibration.choosing import choose
from edgekit_converters.calibration.said import SaidPreprocessing
from edgekit_converters.calibration.sample import InputSpec, SampleSource

if TYPE_CHECKING:  # the readers import numpy, and are imported where one of them is needed
    from edgekit_converters.calibration.functions import SampleFunction

DataSpec: TypeAlias = "str | os.PathLike[str] | SampleFunction"
"""A path, "PATH#ARRAYS", "module:function", "file.py:function", or from Python the function itself."""

_FUNCTION = re.compile(r"(?:.+\.py|[^\W\d][\w.]*):[^\W\d]\w*")
_KINDS = (
    "data are an .npz, an .npy, a .csv, a folder of images or of .wav files, or a Python function as "
    "module:function or file.py:function"
)


def open_set(
    data: DataSpec,
    inputs: Sequence[InputSpec],
    said: Mapping[str, SaidPreprocessing],
    *,
    samples: int | None = None,
    seed: int = 0,
    for_calibration: bool = True,
) -> CalibrationSet:
    """Opens data, decides on their preprocessing and chooses samples.

    Args:
        data: Where they are.
        inputs: Of the float model.
        said: Input name -> the user's words; an input that is missing has none.
        samples: How many to choose (see `choose`); None takes all.
        seed: Of the choice.
        for_calibration: False for data that only measure (see `CalibrationSet`).

    Raises:
        NoDataError: There are none.
        PreprocessingError: How raw data become model input is not said, or said wrongly.
        BadSampleError: A file, cell or label is broken.
        DataError: Anything else that is wrong with them.
    """
    source = open_samples(data, inputs, said)
    from edgekit_converters.calibration.resolving import resolve_preprocessing

    dtypes = source.raw_dtypes()
    preprocessing = {
        spec.name: resolve_preprocessing(_words(said, spec), dtypes[spec.name], source.kind, spec)
        for spec in inputs
    }
    rows = choose(source, source.count() if samples is None else samples, seed)
    return CalibrationSet(source, rows, tuple(inputs), preprocessing, for_calibration)


def require_existing(data: DataSpec) -> None:
    """Refuses data that are not there, before a model is loaded for them.

    Raises:
        NoDataError: There is no such file, folder or .py file.
    """
    if callable(data):
        return
    text = os.fspath(data)
    path, _ = _split(text)
    place = text.rpartition(":")[0]
    is_function = _FUNCTION.fullmatch(text) is not None and (
        not place.endswith(".py") or Path(place).is_file()
    )
    if not (text and path.exists()) and not is_function:
        raise NoDataError(f"{text or 'the empty path'}: there is no such file or folder", hint=_KINDS)


def open_samples(
    data: DataSpec, inputs: Sequence[InputSpec], said: Mapping[str, SaidPreprocessing]
) -> SampleSource:
    """Opens data with the reader that fits their content.

    Args:
        data: Where they are. Behind a ``#`` an .npz takes ARRAY, ARRAY,LABELS or INPUT=ARRAY,...,LABELS, and
            a .csv takes its label column.
        inputs: Of the float model.
        said: Input name -> the user's words; photos are read in the size and colour that follow from them.

    Raises:
        NoDataError: There is nothing there.
        PreprocessingError: Photos do not fit the input, or the words do not.
        BadSampleError: The file is broken.
        DataError: The content is of no known kind, or which part of it is meant is unclear.
    """
    source = _open(data, inputs, said)
    if source.count() == 0:
        raise NoDataError(f"{source.description}: there are no samples in it", hint=_KINDS)
    return source


def _open(data: DataSpec, inputs: Sequence[InputSpec], said: Mapping[str, SaidPreprocessing]) -> SampleSource:
    if callable(data):
        from edgekit_converters.calibration.functions import open_function

        return open_function(data, getattr(data, "__qualname__", type(data).__name__), inputs)
    text = os.fspath(data)
    path, wanted = _split(text)
    if text and path.is_dir():
        if wanted is not None:
            raise DataError(f"{text}: a folder takes nothing behind a #", hint=_KINDS)
        return _open_folder(path, inputs, said)
    if text and path.exists():
        return _open_file(path, wanted, inputs)
    if _FUNCTION.fullmatch(text):
        from edgekit_converters.calibration.functions import load_function, open_function

        return open_function(load_function(text), text, inputs)
    raise NoDataError(f"{text or 'the empty path'}: there is no such file or folder", hint=_KINDS)


def _split(text: str) -> tuple[Path, str | None]:
    """The path, and what stands behind the #; a # that belongs to an existing path is part of it."""
    before, mark, behind = text.rpartition("#")
    if not mark or Path(text).exists():
        return Path(text), None
    return Path(before), behind


def _open_folder(
    path: Path, inputs: Sequence[InputSpec], said: Mapping[str, SaidPreprocessing]
) -> SampleSource:
    from edgekit.preprocess import image_geometry
    from edgekit_converters.calibration.files import ImageDecoding, ImageFolder, WavFolder
    from edgekit_converters.calibration.folders import list_folder
    from edgekit_converters.calibration.resolving import resolve_preprocessing

    listing = list_folder(path)
    if len(inputs) > 1:
        names = ", ".join(spec.name for spec in inputs)
        raise DataError(
            f"{path}: a folder feeds one input, and the model has several: {names}",
            hint="give an .npz with one array for each input, or a Python function that yields dicts",
        )
    (spec,) = inputs
    if listing.kind == "audio":
        return WavFolder(listing, spec.name)
    words = _words(said, spec)
    how = resolve_preprocessing(words, "uint8", "image", spec)
    geometry = image_geometry(spec.shape, spec.layout)
    assert geometry is not None  # else resolve_preprocessing has refused
    assert how.color is not None
    size = (geometry.height, geometry.width)
    return ImageFolder(
        listing, spec.name, ImageDecoding(size, how.resize, how.color, words.color is not None)
    )


def _open_file(path: Path, wanted: str | None, inputs: Sequence[InputSpec]) -> SampleSource:
    from edgekit_converters.calibration.arrays import open_npy, open_npz
    from edgekit_converters.calibration.folders import kind_of_bytes
    from edgekit_converters.calibration.tables import open_csv

    head = _head(path)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return open_npz(path, wanted, inputs)
    if head.startswith(b"\x93NUMPY"):
        if wanted is not None:
            raise DataError(f"{path}: is a single array, and takes nothing behind a #", hint=_KINDS)
        return open_npy(path, inputs)
    if path.suffix == ".py":
        raise DataError(f"{path}: which function of it yields the samples?", hint=f"say {path}:FUNCTION")
    kind = kind_of_bytes(head)
    if kind is not None:
        raise DataError(f"{path}: is a single file of {kind}", hint="name the folder that holds such files")
    if b"\0" in head or (path.suffix.lower() not in {".csv", ".tsv", ".txt"} and b"," not in head):
        raise DataError(f"{path}: its content is of no kind that edgekit reads", hint=_KINDS)
    return open_csv(path, wanted, inputs)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise NoDataError(f"{path}: is empty", hint=_KINDS)
    return head


def _words(said: Mapping[str, SaidPreprocessing], spec: InputSpec) -> SaidPreprocessing:
    return said.get(spec.name, SaidPreprocessing())
