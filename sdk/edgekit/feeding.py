"""From a raw sample to the model's integers in one step, into memory that is kept: `Feeder`.

The integers are bit for bit those of `edgekit.preprocess`, from whose functions every table here is made. What is
fastest depends on the input (measured with numpy 2.4 on 224x224x3 uint8, x86-64: the float arithmetic takes 90 us):

- 256 raw values that become raw + constant, modulo 256, with a few steps where rounding falls on another side:
  2 us for the addition (which is the XOR with 0x80 where scale is 1/255 and zero point -128), 5 us a step;
- any other 8-bit input: a table of all pairs of two values, 35 us, or of single values for small inputs;
- int16: a table of all 65,536 values where the input is large enough to pay for it;
- the rest: the float arithmetic, in place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgekit.errors import InputError
from edgekit.preprocess import arrange, check_dtype, quantize, round_into, scaling, to_model_input

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from edgekit.manifest import Preprocessing, TensorSpec

MOST_STEPS = 5
"""With more, a table of pairs is faster."""
PAIRS_PAY = 4096
"""From so many values on: a table of pairs has 65,536 entries, 128 KiB, and takes 0.3 ms to make."""
SHORTS_PAY = 1024
"""From so many int16 values on a table of 64 KiB, which takes 1 ms to make, saves 10 us and more a sample."""
MOST_LANES = 4
"""With more tables side by side, arithmetic is faster."""


class Feeder:
    """Fills one input of a model. Not safe for use by two threads at once.

    Attributes:
        spec: The input.
    """

    __slots__ = ("_dtype", "_fill", "_shape", "_stored", "spec")

    def __init__(self, spec: TensorSpec) -> None:
        """Make the tables and the buffers.

        Args:
            spec: An input as the manifest describes it.
        """
        self.spec = spec
        preprocessing = spec.preprocessing
        self._dtype = np.dtype(preprocessing.dtype if preprocessing is not None else spec.dtype)
        turned = spec.layout == "NCHW" and preprocessing is not None and preprocessing.source == "image"
        self._shape = None if turned else spec.shape
        # One byte more than an odd number of them, so that they can be written in pairs.
        size = math.prod(spec.shape)
        padded = np.empty(size + size % 2, spec.dtype)
        self._stored = padded[:size].reshape(spec.shape)
        self._fill = _filler(spec, padded, self._stored)

    def __call__(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Turn one raw sample into the model's integers.

        Args:
            raw: A sample as `edgekit.preprocess.to_model_input` takes it; for an input without preprocessing
                integers of any width that fit.

        Returns:
            An array of the model's dtype and shape, which the next call overwrites.

        Raises:
            InputError: The sample does not fit, or holds NaN.
        """
        try:
            if raw.shape == self._shape and raw.dtype == self._dtype:
                self._fill(raw)
            elif (preprocessing := self.spec.preprocessing) is None:
                self._fill(_integers(raw, self.spec))
            else:
                check_dtype(raw, preprocessing.dtype)
                self._fill(arrange(raw, self.spec.shape, self.spec.layout, preprocessing.source))
        except InputError as error:
            raise InputError(f"input '{self.spec.name}': {error}", hint=error.hint) from error
        return self._stored


class _Fill(Protocol):
    """Fills the buffer from a sample that has the model's shape."""

    def __call__(self, arranged: NDArray[Any], /) -> None: ...


def _filler(spec: TensorSpec, padded: NDArray[Any], stored: NDArray[Any]) -> _Fill:
    """The fastest way for this input."""
    preprocessing = spec.preprocessing
    if preprocessing is None:
        return _Copy(stored)
    channels = max(len(preprocessing.mean or ()), len(preprocessing.std or ()), 1)
    if preprocessing.dtype == "uint8" and channels <= MOST_LANES:
        tables = _tables(spec, preprocessing, np.arange(256, dtype=np.uint8), channels)
        if channels == 1 and (steps := _as_steps(tables[0])) is not None:
            return _Shift(stored, *steps)
        return _Lookup(spec, padded, tables)
    if preprocessing.dtype == "int16" and channels == 1 and stored.size >= SHORTS_PAY:
        values = np.arange(65536, dtype=np.uint16).view(np.int16)
        return _Lookup(spec, padded, _tables(spec, preprocessing, values, 1))
    return _Arithmetic(spec, preprocessing, stored)


def _tables(
    spec: TensorSpec, preprocessing: Preprocessing, values: NDArray[Any], channels: int
) -> NDArray[np.uint8]:
    """What every raw value becomes, in each channel.

    Args:
        spec: The input.
        preprocessing: Of the input.
        values: All raw values, in the order of their bits as an unsigned number.
        channels: How many channels differ.

    Returns:
        The bytes of the model's integers, of shape (channels, len(values)).
    """
    raw = np.repeat(values, channels).reshape(1, len(values), 1, channels)
    real = to_model_input(raw, raw.shape, "NHWC", preprocessing)
    stored = quantize(real, spec.scale, spec.zero_point, spec.dtype)
    return np.ascontiguousarray(stored.reshape(len(values), channels).T).view(np.uint8)


def _as_steps(table: NDArray[np.uint8]) -> tuple[int, tuple[tuple[int, bool], ...]] | None:
    """A table as raw + constant, modulo 256, with steps.

    Returns:
        The constant, and for each step the raw value from which on the result is one more (True) or one less; None
        where that takes too many steps.
    """
    surplus = table - np.arange(256, dtype=np.uint8)  # modulo 256, as the addition will be
    changes = np.diff(surplus)
    places = np.flatnonzero(changes)
    if len(places) > MOST_STEPS or not set(changes[places].tolist()) <= {1, 255}:
        return None
    return int(surplus[0]), tuple((int(place) + 1, bool(changes[place] == 1)) for place in places)


class _Copy:
    """Integers that mean themselves, such as tokens."""

    __slots__ = ("_stored",)

    def __init__(self, stored: NDArray[Any]) -> None:
        self._stored = stored

    def __call__(self, arranged: NDArray[Any], /) -> None:
        np.copyto(self._stored, arranged)


class _Shift:
    """uint8 values plus a constant, with a few steps."""

    __slots__ = ("_constant", "_raw", "_reached", "_steps", "_stored")

    def __init__(self, stored: NDArray[Any], constant: int, steps: tuple[tuple[int, bool], ...]) -> None:
        self._stored = stored.view(np.uint8)
        self._constant = np.uint8(constant)
        self._steps = tuple((np.uint8(first), np.add if up else np.subtract) for first, up in steps)
        self._raw = np.empty(stored.shape if steps else 0, np.uint8)
        self._reached = np.empty(stored.shape if steps else 0, np.bool_)

    def __call__(self, arranged: NDArray[Any], /) -> None:
        if not self._steps:
            if (
                not arranged.flags.c_contiguous
            ):  # adding to it as it lies takes longer, and a buffer of numpy's
                np.copyto(self._stored, arranged)
                arranged = self._stored
            np.add(arranged, self._constant, out=self._stored)
            return
        raw, stored, reached = self._raw, self._stored, self._reached
        np.copyto(raw, arranged)  # read several times, which is slow where the sample is not contiguous
        np.add(raw, self._constant, out=stored)
        for first, operation in self._steps:
            np.greater_equal(raw, first, out=reached)
            operation(stored, reached.view(np.uint8), out=stored)


class _Lane:
    """Every so manieth cell of the input, all of which one table turns into cells of the result.

    A cell is one value, or a pair of neighbours read as one number of 16 bits.
    """

    __slots__ = ("_cells", "_indices", "_place", "_results", "_table")

    def __init__(self, cells: NDArray[Any], place: NDArray[Any], table: NDArray[Any]) -> None:
        self._cells = cells
        self._place = place
        self._table = table
        # Given other indices, or a result with gaps, numpy would allocate what it needs at every call.
        self._indices = np.empty(cells.shape, np.intp)
        self._results = place if place.flags.c_contiguous else np.empty(cells.shape, table.dtype)

    def __call__(self) -> None:
        np.copyto(self._indices, self._cells)
        # All indices are valid; "wrap" is the fastest way to say so: 25 us, where "clip" takes 40.
        self._table.take(self._indices, out=self._results, mode="wrap")
        if self._results is not self._place:
            np.copyto(self._place, self._results)


class _Lookup:
    """Tables of all raw values, one for all channels or one for each."""

    __slots__ = ("_lanes", "_raw")

    def __init__(self, spec: TensorSpec, padded: NDArray[Any], tables: NDArray[np.uint8]) -> None:
        size, channels = math.prod(spec.shape), len(tables)
        values = np.zeros(padded.shape, np.uint8 if tables.shape[1] == 256 else np.uint16)
        raw = values[:size] if tables.shape[1] == 256 else values[:size].view(np.int16)
        self._raw = raw.reshape(spec.shape)
        results = padded.view(np.uint8)
        if spec.layout == "NCHW" and channels > 1:
            planes = [slice(first, first + size // channels) for first in range(0, size, size // channels)]
            lanes = [
                _lanes(values[plane], results[plane], tables[c : c + 1]) for c, plane in enumerate(planes)
            ]
            self._lanes = tuple(lane for several in lanes for lane in several)
        else:
            self._lanes = _lanes(values, results, tables)

    def __call__(self, arranged: NDArray[Any], /) -> None:
        np.copyto(self._raw, arranged)
        for lane in self._lanes:
            lane()


def _lanes(values: NDArray[Any], results: NDArray[np.uint8], tables: NDArray[np.uint8]) -> tuple[_Lane, ...]:
    """The lanes through channels that stand side by side: one for each table, or for each kind of pair."""
    channels, entries = tables.shape
    if entries != 256 or len(values) < PAIRS_PAY or len(values) % 2:
        return tuple(
            _Lane(values[first::channels], results[first::channels], table)
            for first, table in enumerate(tables)
        )
    pairs, places = values.view(np.uint16), results.view(np.uint16)
    period = (
        channels if channels % 2 else channels // 2
    )  # of three channels the pairs are 01 20 12 01 20 12 ...
    return tuple(
        _Lane(
            pairs[first::period],
            places[first::period],
            _pair_table(tables[2 * first % channels], tables[(2 * first + 1) % channels]),
        )
        for first in range(period)
    )


def _pair_table(low: NDArray[np.uint8], high: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """What each pair of raw bytes becomes; little-endian, as every supported device is: the first is the low one."""
    table = high.astype(np.uint16)[:, np.newaxis] << 8 | low
    return np.ascontiguousarray(table.reshape(-1))


class _Arithmetic:
    """`to_model_input` and `quantize`, in place."""

    __slots__ = ("_operations", "_scratch", "_stored", "_values", "_zero_point")

    def __init__(self, spec: TensorSpec, preprocessing: Preprocessing, stored: NDArray[Any]) -> None:
        self._stored = stored
        self._values = np.empty(spec.shape, np.float32)
        self._scratch = np.empty(spec.shape, np.float32)
        self._zero_point = spec.zero_point
        steps = (np.divide, np.array(spec.scale, np.float32))
        self._operations = (*scaling(preprocessing, len(spec.shape), spec.layout), steps)

    def __call__(self, arranged: NDArray[Any], /) -> None:
        values = self._values
        with np.errstate(over="ignore"):
            np.copyto(values, arranged, casting="unsafe")
            for operation, operand in self._operations:
                operation(values, operand, out=values)
        round_into(self._stored, values, self._scratch, self._zero_point)


def _integers(raw: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """Integers of any width as those of the model, if they fit."""
    limits = np.iinfo(spec.dtype)
    if raw.dtype.kind not in "iu" or (raw.size and (raw.min() < limits.min or raw.max() > limits.max)):
        raise InputError(f"takes integers within the range of {spec.dtype}")
    if raw.shape not in (spec.shape, spec.shape[1:]):
        raise InputError(
            f"takes {spec.dtype} of shape {spec.shape}, and got {raw.dtype} of shape {raw.shape}"
        )
    return raw.astype(spec.dtype).reshape(spec.shape)
