"""A hash of samples by their content, so that a manifest can say what calibrated a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from edgekit_converters.calibration.sample import Sample


def sample_digest(sample: Sample) -> bytes:
    """SHA-256 over names, dtypes, shapes and little-endian bytes of a sample's arrays, and its label."""
    digest = hashlib.sha256()
    for name in sorted(sample.inputs):
        _add(digest, name)
        _add(digest, sample.inputs[name])
    _add(digest, sample.label)
    return digest.digest()


def _add(digest: hashlib._Hash, value: object) -> None:
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        digest.update(f"array {little.dtype.str} {value.shape} ".encode())
        digest.update(repr(value.tolist()).encode() if value.dtype.hasobject else little.tobytes())
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)} ".encode())
        for key in sorted(value, key=str):
            _add(digest, str(key))
            _add(digest, value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"list {len(value)} ".encode())
        for item in value:
            _add(digest, item)
    elif isinstance(value, (str, int, float, complex, bytes, np.generic, type(None))):
        text = repr(value.item() if isinstance(value, np.generic) else value).encode()
        digest.update(f"{len(text)} ".encode() + text)
    else:  # other objects print their address, which differs from run to run
        _add(digest, f"{type(value).__module__}.{type(value).__qualname__}")
