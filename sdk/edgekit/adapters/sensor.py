"""Windows over the rows of a sensor, for `Session.run` and `Session.stream`.

Where the program reads the sensor itself::

    from edgekit.adapters.sensor import RingBuffer

    recent = RingBuffer(size=128, channels=6)
    while True:
        recent.push(read_imu())              # six numbers, 50 times a second
        if recent.full and recent.pushed % 64 == 0:
            print(model.run(recent.window()).labels[0])

Where the rows come from an iterator::

    from edgekit.adapters.sensor import sliding

    for result in model.stream(sliding(rows, size=128, hop=64)):
        print(result.labels[0])
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.arguments import whole
from edgekit.errors import InputError

Row = Sequence[float] | NDArray[Any]
"""One reading: a number for each channel, in the units that the model was trained on."""


class RingBuffer:
    """The latest rows of a sensor. One thread may push while another takes windows.

    Memory is taken once, when it is made; after that only `window` allocates, the array that it returns.
    """

    __slots__ = ("_lock", "_next", "_pushed", "_rows")

    def __init__(self, size: int, channels: int) -> None:
        """Make an empty buffer.

        Args:
            size: Rows that it holds, and that a window has.
            channels: Numbers a row.

        Raises:
            InputError: One of them is no whole number from 1.
        """
        size = whole("size", size, 1, error=InputError)
        channels = whole("channels", channels, 1, error=InputError)
        self._rows = np.zeros((size, channels), np.float32)
        self._next = 0
        self._pushed = 0
        self._lock = threading.Lock()

    def push(self, row: Row) -> None:
        """Add one row, which takes the place of the oldest where the buffer is full.

        A None in it, the failed reading of many drivers, is kept as NaN, which a session refuses.

        Raises:
            InputError: The row has another number of channels, or is not made of numbers.
        """
        with self._lock:
            try:
                if len(row) != self._rows.shape[1]:  # numpy would spread a single number over all channels
                    raise ValueError(f"it has {len(row)} values")
                self._rows[self._next] = row
            except (TypeError, ValueError) as error:
                raise InputError(f"a row is {self._rows.shape[1]} numbers: {error}") from error
            self._next = (self._next + 1) % len(self._rows)
            self._pushed += 1

    def window(self) -> NDArray[np.float32]:
        """The latest rows, oldest first: a new array of shape (size, channels).

        Raises:
            InputError: Fewer than `size` rows have been pushed.
        """
        with self._lock:
            if self._pushed < len(self._rows):
                raise InputError(f"the buffer holds {self._pushed} of {len(self._rows)} rows")
            window = np.empty_like(self._rows)
            older = len(self._rows) - self._next
            window[:older] = self._rows[self._next :]
            window[older:] = self._rows[: self._next]
            return window

    def clear(self) -> None:
        """Forget every row, as after a gap in the readings."""
        with self._lock:
            self._next = self._pushed = 0

    @property
    def full(self) -> bool:
        """Whether there are rows for a window."""
        return self._pushed >= len(self._rows)

    @property
    def pushed(self) -> int:
        """How many rows were pushed since the buffer was made or cleared."""
        return self._pushed


def sliding(rows: Iterable[Row], size: int, hop: int) -> Iterator[NDArray[np.float32]]:
    """Cut rows into windows.

    Args:
        rows: Readings, all with as many numbers as the first.
        size: Rows a window.
        hop: Rows from the start of one window to that of the next. Less than `size` overlaps; more leaves gaps.

    Returns:
        An iterator over new float32 arrays of shape (size, channels). Rows at the end that are too few for a
        window are left out.

    Raises:
        InputError: At once: `size` or `hop` is no whole number from 1. While iterating: a row does not fit the first.
    """
    size = whole("size", size, 1, error=InputError)
    hop = whole("hop", hop, 1, error=InputError)
    return _sliding(rows, size, hop)


def _sliding(rows: Iterable[Row], size: int, hop: int) -> Iterator[NDArray[np.float32]]:
    buffer: RingBuffer | None = None
    for row in rows:
        if buffer is None:
            if not np.ndim(row):
                raise InputError("a row is a sequence of numbers", hint="give one channel as (value,)")
            buffer = RingBuffer(size, len(row))
        buffer.push(row)
        if buffer.full and (buffer.pushed - size) % hop == 0:
            yield buffer.window()
