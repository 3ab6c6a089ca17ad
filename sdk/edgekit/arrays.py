"""Arrays in a strict .npz: no pickles, no compression, one spelling; numpy.load opens it too.

The .npy header is format 1.0 of numpy's NEP 1, written here rather than by numpy, whose padding differs
between releases.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.archive import Limits, read_archive, write_archive
from edgekit.errors import MalformedBundleError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DTYPES: Mapping[str, str] = {
    "|b1": "bool",
    "|i1": "int8",
    "|u1": "uint8",
    "<i2": "int16",
    "<i4": "int32",
    "<i8": "int64",
    "<f4": "float32",
    "<f8": "float64",
}
"""What an array may hold: numpy's descriptor -> its name. Little-endian, as every supported device is."""


_ARCHIVE_LIMITS = Limits(total=64 << 20, members=256)


@dataclass(frozen=True, slots=True)
class ArrayLimits:
    """What an .npz may have at most; checked before an array is made.

    Attributes:
        archive: The file as a whole.
        rank: Dimensions of an array.
    """

    archive: Limits = _ARCHIVE_LIMITS
    rank: int = 8


DEFAULT_LIMITS = ArrayLimits()

_SUFFIX = ".npy"
_MAGIC = b"\x93NUMPY\x01\x00"
_ALIGNMENT = 64
# 120 bytes hold a shape of 8 dimensions; a header of this format is at most 65,535.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<|][a-z]\d)', 'fortran_order': False, "
    rb"'shape': \(([0-9, ]{0,160})\), \} *\n",
    re.DOTALL,
)


def write_arrays(
    arrays: Mapping[str, NDArray[Any] | np.generic], limits: ArrayLimits = DEFAULT_LIMITS
) -> bytes:
    """Packs arrays into an .npz; equal arrays give equal bytes.

    Args:
        arrays: Name -> array of a dtype in DTYPES; a name is ASCII letters, digits, ``_``, ``.`` and ``-``.
        limits: What the reader will accept.

    Raises:
        MalformedBundleError: A name, dtype, rank or size that `read_arrays` would refuse.
    """
    import numpy as np

    members: dict[str, bytes | memoryview] = {}
    for name, value in arrays.items():
        array = np.asarray(value, order="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.dtype.str not in DTYPES:
            raise MalformedBundleError(f"array {name!r} is {array.dtype}; arrays are {_dtype_names()}")
        if array.ndim > limits.rank:
            raise MalformedBundleError(f"array {name!r} has {array.ndim} dimensions, more than {limits.rank}")
        if array.size == 0:
            raise MalformedBundleError(f"array {name!r} is empty")
        members[name + _SUFFIX] = _header(array.dtype.str, array.shape) + array.tobytes()
    return write_archive(members, limits.archive)


def read_arrays(data: bytes | memoryview, limits: ArrayLimits = DEFAULT_LIMITS) -> dict[str, NDArray[Any]]:
    """Unpacks an .npz that is, byte for byte, what `write_arrays` makes of its arrays.

    Args:
        data: The .npz.
        limits: Sizes beyond which it is refused.

    Returns:
        Name -> array in C order; a copy of its own, so that it is aligned and does not keep `data` alive.

    Raises:
        MalformedBundleError: Anything else than that; the message says what.
    """
    members = read_archive(data, limits.archive)
    return {name.removesuffix(_SUFFIX): _read_array(name, view, limits) for name, view in members.items()}


def _read_array(member: str, content: memoryview, limits: ArrayLimits) -> NDArray[Any]:
    import numpy as np

    if not member.endswith(_SUFFIX):
        raise MalformedBundleError(f"member {member!r} is not a .npy array")
    match = _HEADER.match(content)
    if match is None:
        raise MalformedBundleError(f"member {member!r} is not a plain little-endian array in C order")
    descriptor = match[1].decode("ascii")
    if descriptor not in DTYPES:
        raise MalformedBundleError(f"member {member!r} has dtype {descriptor!r}; arrays are {_dtype_names()}")
    sizes = [int(size) for size in match[2].split(b",") if size.strip().isdigit()]
    if len(sizes) > limits.rank:
        raise MalformedBundleError(f"member {member!r} has {len(sizes)} dimensions, more than {limits.rank}")
    if 0 in sizes:
        raise MalformedBundleError(f"member {member!r} is empty")
    header = _header(descriptor, tuple(sizes))
    if content[: len(header)] != header:
        raise MalformedBundleError(f"member {member!r} spells its header in another way than edgekit does")
    values = content[len(header) :]
    needed = math.prod(sizes) * int(descriptor[2])
    if len(values) != needed:
        raise MalformedBundleError(
            f"member {member!r} needs {needed:,} bytes of values and has {len(values):,}"
        )
    if descriptor == "|b1" and not set(bytes(values)) <= {0, 1}:
        raise MalformedBundleError(f"member {member!r} has booleans other than 0 and 1")
    return np.frombuffer(values, dtype=descriptor).reshape(sizes).copy()


def _header(descriptor: str, shape: tuple[int, ...]) -> bytes:
    """The .npy header: its end, a newline, falls on a multiple of 64 bytes."""
    text = f"{{'descr': '{descriptor}', 'fortran_order': False, 'shape': {shape}, }}".encode("ascii")
    size = len(_MAGIC) + 2 + len(text) + 1
    padded = text + b" " * (-size % _ALIGNMENT) + b"\n"
    return _MAGIC + len(padded).to_bytes(2, "little") + padded


def _dtype_names() -> str:
    return ", ".join(DTYPES.values())
