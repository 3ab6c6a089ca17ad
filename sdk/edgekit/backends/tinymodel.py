"""Writes the smallest of .tflite files with the standard library alone, where no converter is installed.

The fields are those of TensorFlow's schema.fbs, by their numbers: Model (version, operator_codes, subgraphs,
description, buffers), SubGraph (tensors, inputs, outputs, operators), Tensor (shape, type, buffer, name,
quantization), QuantizationParameters (min, max, scale, zero_point), Operator (opcode_index, inputs, outputs,
builtin_options_type, builtin_options) and OperatorCode (deprecated_builtin_code, custom_code, version, builtin_code).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_TYPES = {"int32": 2, "uint8": 3, "int64": 4, "int8": 9}  # enum TensorType
_SCHEMA_VERSION = 3  # of the file identifier TFL3
_FULLY_CONNECTED = 9  # enum BuiltinOperator
_FULLY_CONNECTED_OPTIONS = 8  # union BuiltinOptions
_FULLY_CONNECTED_VERSION = 4  # the first with int8 tensors


@dataclass(frozen=True, slots=True)
class TinyTensor:
    """One tensor of a tiny model.

    Attributes:
        name: Its name.
        shape: Its shape.
        dtype: "int8", "uint8", "int32" or "int64".
        scale: Its quantization scale; 0.0 for a tensor that is not quantized.
        zero_point: Its zero point.
        data: The bytes of a constant, little-endian; None for what the model computes or is given.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0
    data: bytes | None = None


def write_model(
    tensors: Sequence[TinyTensor],
    inputs: Sequence[int],
    outputs: Sequence[int],
    *,
    description: str,
    dense: bool = False,
) -> bytes:
    """The bytes of a model with no operator, or with a single FULLY_CONNECTED.

    Args:
        tensors: All of them.
        inputs: Their numbers.
        outputs: Their numbers.
        description: A line for whoever opens the file.
        dense: Whether there is a FULLY_CONNECTED from tensors 0, 1 (weights) and 2 (bias) to tensor 3.
    """
    file = _Flatbuffer()
    constants = [tensor.data for tensor in tensors if tensor.data is not None]
    buffers = [file.table({}), *(file.table({0: file.vector("B", data)}) for data in constants)]
    numbers = iter(range(1, len(buffers)))
    places = [_tensor(file, tensor, next(numbers) if tensor.data is not None else 0) for tensor in tensors]
    subgraph = file.table(
        {
            0: file.offsets(places),
            1: file.vector("i", inputs),
            2: file.vector("i", outputs),
            3: file.offsets([_dense(file)] if dense else []),
        }
    )
    root = file.table(
        {
            0: struct.pack("<I", _SCHEMA_VERSION),
            1: file.offsets([_dense_code(file)] if dense else []),
            2: file.offsets([subgraph]),
            3: file.text(description),
            4: file.offsets(buffers),
        }
    )
    return file.finish(root)


def _dense(file: _Flatbuffer) -> int:
    fields: dict[int, int | bytes] = {
        1: file.vector("i", [0, 1, 2]),
        2: file.vector("i", [3]),
        3: struct.pack("<B", _FULLY_CONNECTED_OPTIONS),
        4: file.table({}),
    }
    return file.table(fields)


def _dense_code(file: _Flatbuffer) -> int:
    code = struct.pack("<i", _FULLY_CONNECTED)
    return file.table({0: code[:1], 2: struct.pack("<i", _FULLY_CONNECTED_VERSION), 3: code})


def _tensor(file: _Flatbuffer, tensor: TinyTensor, buffer: int) -> int:
    fields: dict[int, int | bytes] = {
        0: file.vector("i", tensor.shape),
        1: struct.pack("<b", _TYPES[tensor.dtype]),
        2: struct.pack("<I", buffer),
        3: file.text(tensor.name),
    }
    if tensor.scale:
        fields[4] = file.table(
            {2: file.vector("f", [tensor.scale]), 3: file.vector("q", [tensor.zero_point])}
        )
    return file.table(fields)


class _Flatbuffer:
    """Writes a flatbuffer from its end, because offsets point forward: what is referred to comes first here.

    A place is a distance from the end of the file. Everything is aligned to 8 bytes, the widest scalar in use.
    """

    def __init__(self) -> None:
        self._tail = b""

    def _put(self, block: bytes) -> int:
        self._tail = block + b"\0" * (-len(block) % 8) + self._tail
        return len(self._tail)

    def vector(self, code: str, values: Sequence[float]) -> int:
        """A vector of scalars with that `struct` code. Its elements, not its length, lie at 8 bytes."""
        items = struct.pack(f"<{len(values)}{code}", *values)
        self._put(items)
        return self._put(b"\0" * 4 + struct.pack("<I", len(values))) - 4

    def text(self, text: str) -> int:
        """A string: its bytes and a zero."""
        data = text.encode()
        self._put(data + b"\0")
        return self._put(b"\0" * 4 + struct.pack("<I", len(data))) - 4

    def offsets(self, places: Sequence[int]) -> int:
        """A vector of offsets to what was put before."""
        size = 4 + 4 * len(places)
        start = len(self._tail) + size + -size % 8
        offsets = [start - 4 - 4 * number - place for number, place in enumerate(places)]
        return self._put(struct.pack(f"<{1 + len(places)}I", len(places), *offsets))

    def table(self, fields: dict[int, int | bytes]) -> int:
        """A table: its fields by their numbers, each the place of what it refers to, or the bytes of a scalar.

        Each field takes 4 bytes, and its vtable stands right behind the table.
        """
        count = max(fields, default=-1) + 1
        body = 4 + 4 * len(fields)
        vtable_size = 4 + 2 * count
        padded = body + vtable_size + -(body + vtable_size) % 8
        start = len(self._tail) + padded
        data, entries = b"", [0] * count
        for number, value in sorted(fields.items()):
            position = 4 + len(data)
            entries[number] = position
            if isinstance(value, int):
                data += struct.pack("<I", start - position - value)
            else:
                data += value + b"\0" * (4 - len(value))
        vtable = struct.pack(f"<{2 + count}H", vtable_size, body, *entries)
        # A table starts with the distance from its vtable to itself: negative, for a vtable behind it.
        return self._put(struct.pack("<i", -body) + data + vtable)

    def finish(self, root: int) -> bytes:
        """The file: the offset of the root table and the identifier in front."""
        return struct.pack("<I", 8 + len(self._tail) - root) + b"TFL3" + self._tail
