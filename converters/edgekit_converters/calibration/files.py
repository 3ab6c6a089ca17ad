"""Readers of folders: photos, and wave files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edgekit.errors import BadSampleError
from edgekit.media import read_image, read_wav
from edgekit_converters.calibration.folders import FolderListing
from edgekit_converters.calibration.sample import Sample


@dataclass(frozen=True, slots=True)
class ImageDecoding:
    """How photos become arrays.

    Attributes:
        size: Height and width in pixels of the model's input.
        resize: How a photo of another size is stretched; None: it is refused.
        color: Channel order of the arrays: "RGB", "BGR" or "GRAY".
        color_to_gray: Whether the user said that colour photos become gray.
    """

    size: tuple[int, int]
    resize: str | None
    color: str
    color_to_gray: bool


@dataclass(frozen=True, slots=True)
class _FolderSource:
    """What both readers share: a listing that feeds one input."""

    listing: FolderListing
    input_name: str

    @property
    def kind(self) -> str:
        """Either "image" or "audio"."""
        return self.listing.kind

    @property
    def description(self) -> str:
        """Such as "folder photos: 100 image files in 10 classes"."""
        return self.listing.description

    def count(self) -> int:
        """How many files there are."""
        return len(self.listing.files)

    def labels(self) -> Sequence[int] | None:
        """The class of every file, from its folder."""
        return self.listing.labels

    def class_names(self) -> tuple[str, ...] | None:
        """The names of the class folders."""
        return self.listing.class_names

    def _sample(self, row: int, array: NDArray[Any]) -> Sample:
        labels = self.listing.labels
        label = None if labels is None else labels[row]
        return Sample({self.input_name: array}, label, self.listing.origin(row))


@dataclass(frozen=True, slots=True)
class ImageFolder(_FolderSource):
    """A folder of photos: uint8 of height x width x channels, in the model's size and colour order."""

    decoding: ImageDecoding

    def raw_dtypes(self) -> Mapping[str, str]:
        """uint8."""
        return {self.input_name: "uint8"}

    def read(self, rows: Sequence[int]) -> Iterator[Sample]:
        """Decodes the photos one after the other.

        Raises:
            BadSampleError: One is broken, or has another size and nothing says how to resize it.
            PreprocessingError: One is in colour, the model takes gray, and nothing says to convert it.
            MissingExtraError: Pillow is not installed.
        """
        how = self.decoding
        for row in rows:
            path = self.listing.files[row]
            pixels = read_image(path, how.size, how.resize, how.color, color_to_gray=how.color_to_gray)
            yield self._sample(row, pixels)


@dataclass(frozen=True, slots=True)
class WavFolder(_FolderSource):
    """A folder of wave files: int16 arrays of shape (samples,), all of one sample rate."""

    def raw_dtypes(self) -> Mapping[str, str]:
        """int16."""
        return {self.input_name: "int16"}

    def read(self, rows: Sequence[int]) -> Iterator[Sample]:
        """Reads the files one after the other.

        Raises:
            BadSampleError: One is broken, not 16-bit mono, or has another sample rate than the first.
        """
        first: tuple[int, str] | None = None
        for row in rows:
            path = self.listing.files[row]
            wave, rate = read_wav(path)
            if first is None:
                first = (rate, path.name)
            if rate != first[0]:
                raise BadSampleError(
                    f"{path}: has a sample rate of {rate} Hz, and {first[1]} has {first[0]} Hz",
                    hint="bring all files to the rate of the training: ffmpeg -i IN.wav -ar RATE OUT.wav",
                )
            yield self._sample(row, wave)
