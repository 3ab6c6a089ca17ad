"""Rows of an .npy member, read one by one from a stream that only goes forward."""

from __future__ import annotations

import zipfile
import zlib
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import BadSampleError
from edgekit.media import NPY_ERRORS

_SKIP_BYTES = 1 << 20

STREAM_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    zlib.error,
    zipfile.BadZipFile,
)
"""What zipfile and zlib raise on damaged, encrypted or foreign archives."""


class RowStream:
    """The rows (first axis) of one array.

    Attributes:
        shape: Of the whole array.
        dtype: Of its elements.
    """

    def __init__(self, stream: IO[bytes], where: str, member_bytes: int) -> None:
        """Reads the header.

        Args:
            stream: At the start of the .npy data.
            where: Names file and array in messages.
            member_bytes: How long the .npy data say they are.

        Raises:
            BadSampleError: It is no .npy data, holds Python objects, has no rows, or has another length than
                it says.
        """
        self._stream = stream
        self._where = where
        self._next_row = 0
        self.shape, fortran_order, self.dtype = self._header()
        if self.dtype.hasobject or self.dtype.fields is not None:
            raise BadSampleError(
                f"{where}: holds Python objects or records ({self.dtype}), not numbers",
                hint="save it as a plain numeric array: every sample must have the same shape",
            )
        if not self.shape:
            raise BadSampleError(f"{where}: is a single number, and one row a sample is wanted")
        if fortran_order and len(self.shape) > 1:
            raise BadSampleError(
                f"{where}: is stored column by column (Fortran order), and its samples cannot be streamed",
                hint="save it with numpy.ascontiguousarray(x)",
            )
        self._row_bytes = prod(self.shape[1:]) * self.dtype.itemsize
        declared = stream.tell() + self.shape[0] * self._row_bytes
        if declared != member_bytes or min(self.shape) < 0:
            raise BadSampleError(
                f"{where}: is cut off or damaged: {member_bytes} bytes where its header says {declared}"
            )

    def row(self, index: int) -> NDArray[Any]:
        """The row of that index, read-only, in native byte order; indices must ascend from call to call.

        Raises:
            BadSampleError: The data end before it or are damaged.
        """
        self._skip((index - self._next_row) * self._row_bytes, index)
        data = self._read(self._row_bytes, index)
        self._next_row = index + 1
        return self._array(data, self.shape[1:])

    def remaining(self) -> NDArray[Any]:
        """All rows that were not read yet, in one array."""
        count = self.shape[0] - self._next_row
        data = self._read(count * self._row_bytes, self._next_row)
        self._next_row = self.shape[0]
        return self._array(data, (count, *self.shape[1:]))

    def _header(self) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        try:
            version = np.lib.format.read_magic(self._stream)
            if version == (1, 0):
                return np.lib.format.read_array_header_1_0(self._stream)
            return np.lib.format.read_array_header_2_0(self._stream)
        except (*STREAM_ERRORS, *NPY_ERRORS) as error:
            raise BadSampleError(f"{self._where}: is not a readable .npy array: {error}") from error

    def _skip(self, count: int, row: int) -> None:
        while count > 0:
            step = min(count, _SKIP_BYTES)
            self._read(step, row)
            count -= step

    def _read(self, count: int, row: int) -> bytes:
        try:
            data = self._stream.read(count)
        except STREAM_ERRORS as error:
            raise BadSampleError(f"{self._where} row {row}: the archive is damaged: {error}") from error
        if len(data) != count:
            raise BadSampleError(f"{self._where} row {row}: the data end here, before the array does")
        return data

    def _array(self, data: bytes, shape: tuple[int, ...]) -> NDArray[Any]:
        array = np.frombuffer(data, self.dtype).reshape(shape)
        return array.astype(self.dtype.newbyteorder("="), copy=False)
