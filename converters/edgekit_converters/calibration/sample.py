"""The nouns that every reader shares: `InputSpec`, `Sample` and `SampleSource`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a float model.

    Attributes:
        name: That dicts of arrays use.
        shape: Static, batch 1 first.
        layout: "NHWC" or "NCHW" for images, None for anything else or where nobody said it.
        data_layout: "NCHW" where the data are in the layout of the trained model, and this input was turned to
            NHWC; None where the data have the input's own layout.
    """

    name: str
    shape: tuple[int, ...]
    layout: str | None = None
    data_layout: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One raw sample, before preprocessing.

    Attributes:
        inputs: Input name -> raw array without batch axis.
        label: A class index, or whatever else the metric understands (mask, boxes, number); None where there
            is none.
        origin: Where it comes from, for messages: "photos/cat/1.jpg", "x.npz row 12".
    """

    inputs: Mapping[str, NDArray[Any]]
    label: object | None
    origin: str


class SampleSource(Protocol):
    """What every reader gives: samples by row, streamed, never the whole set in memory."""

    @property
    def kind(self) -> str:
        """What the manifest calls it: "image", "audio" or "array"."""
        ...

    @property
    def description(self) -> str:
        """One line for people, without the folder that the data lie in."""
        ...

    def count(self) -> int:
        """How many samples there are."""
        ...

    def labels(self) -> Sequence[int] | None:
        """The class index of every sample, or None where labels are missing or are not classes."""
        ...

    def class_names(self) -> tuple[str, ...] | None:
        """The name of each class index, or None where the data do not name their classes."""
        ...

    def raw_dtypes(self) -> Mapping[str, str]:
        """Input name -> numpy dtype name of its raw arrays."""
        ...

    def read(self, rows: Sequence[int]) -> Iterator[Sample]:
        """Yields the samples of these rows, which must ascend.

        Raises:
            BadSampleError: One of them cannot be read; the message names it.
        """
        ...
