"""The samples that a bundle is certified on: its own golden inputs, and the user's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekit.arrays import read_arrays
from edgekit.bundle import GOLDEN, UnverifiedBundle
from edgekit.errors import CertifyError, InputError
from edgekit.inputs import plan_feeds, read_feed
from edgekit.manifest import TensorSpec
from edgekit.ports import Input
from edgekit.samples import raw_samples

MOST_SAMPLES = 4096
"""Of the user's. Emulation takes about 10 times as long as the processor at hand."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Inputs as the model stores them, the golden ones first.

    Attributes:
        inputs: One array for each input of the model, [golden + data, *shape without batch].
        golden: How many are the bundle's own.
        recorded: (runtime, kernels), such as ("litert-2.3.0", "xnnpack") -> the answers in the bundle, one array for each
            output, [golden, *shape without batch].
    """

    inputs: tuple[np.ndarray, ...] = field(hash=False)
    golden: int
    recorded: Mapping[tuple[str, str], tuple[np.ndarray, ...]] = field(hash=False)

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.inputs[0])

    @property
    def sha256(self) -> str:
        """Of all inputs, in hexadecimal."""
        digest = hashlib.sha256()
        for array in self.inputs:
            digest.update(f"{array.dtype.str} {array.shape};".encode() + array.tobytes())
        return digest.hexdigest()


def collect(bundle: UnverifiedBundle, words: Sequence[str]) -> Vectors:
    """The samples of a bundle and those of a command line.

    Args:
        bundle: Which.
        words: Files of raw samples as ``edgekit run`` takes them.

    Raises:
        CertifyError: There are none at all, or too many; or the golden inputs do not fit the manifest.
        InputError: A file does not fit the model.
        BadSampleError: A file cannot be read.
        MalformedBundleError: golden.npz is no canonical .npz.
    """
    specs = bundle.manifest.inputs
    golden, recorded = _golden(bundle)
    rows = _data(words, specs)
    if not golden and not rows:
        raise CertifyError(
            "the bundle has no golden inputs, so there is nothing to run",
            hint="name files of samples with --data, or convert the model again with --golden 4",
        )
    stored = [np.stack([row[number] for row in rows]) for number in range(len(specs))] if rows else []
    arrays = [part for part in (golden, stored) if part]
    inputs = tuple(np.concatenate(parts) for parts in zip(*arrays, strict=True))
    return Vectors(inputs, len(golden[0]) if golden else 0, recorded)


def _golden(
    bundle: UnverifiedBundle,
) -> tuple[list[np.ndarray], dict[tuple[str, str], tuple[np.ndarray, ...]]]:
    if GOLDEN not in bundle.members:
        return [], {}
    arrays = read_arrays(bundle.members[GOLDEN])
    manifest = bundle.manifest
    inputs = [_array(arrays, f"input.{number}", spec) for number, spec in enumerate(manifest.inputs)]
    # output.NUMBER.RUNTIME.KERNELS, where the runtime's version has dots of its own
    parts = [name.split(".", 2)[2].rpartition(".") for name in arrays if name.startswith("output.0.")]
    recorded = {}
    for runtime, _, kernels in parts:
        names = [f"output.{number}.{runtime}.{kernels}" for number in range(len(manifest.outputs))]
        pairs = zip(names, manifest.outputs, strict=True)
        recorded[runtime, kernels] = tuple(_array(arrays, name, spec) for name, spec in pairs)
    counts = {len(array) for several in ([inputs], recorded.values()) for part in several for array in part}
    if len(counts) != 1:
        raise _unfit("its arrays have different numbers of samples")
    return inputs, recorded


def _array(arrays: Mapping[str, np.ndarray], name: str, spec: TensorSpec) -> np.ndarray:
    array = arrays.get(name)
    if array is None:
        raise _unfit(f"it has no array {name!r}")
    if array.dtype != spec.dtype or array.shape[1:] != spec.shape[1:]:
        raise _unfit(
            f"{name!r} is {array.dtype} of shape {array.shape}, and '{spec.name}' {spec.dtype} {spec.shape}"
        )
    return array


def _unfit(why: str) -> CertifyError:
    return CertifyError(f"golden.npz does not fit the manifest: {why}", hint="convert the model again")


def _data(words: Sequence[str], specs: Sequence[TensorSpec]) -> list[tuple[np.ndarray, ...]]:
    """The user's samples as the model stores them, batch axis off."""
    ports = [Input(spec, number) for number, spec in enumerate(specs)]
    rows: list[tuple[np.ndarray, ...]] = []
    for feed in plan_feeds(words, specs) if words else ():
        for origin, sample in read_feed(feed, specs):
            try:
                rows += [_stored(row, ports) for row in raw_samples(sample, specs)]
            except InputError as error:
                raise InputError(f"{origin}: {error}", hint=error.hint) from error
            if len(rows) > MOST_SAMPLES:
                raise CertifyError(
                    f"--data has more than {MOST_SAMPLES:,} samples, which emulation would take too long for",
                    hint="name fewer of them",
                )
    return rows


def _stored(row: Sequence[np.ndarray], ports: Sequence[Input]) -> tuple[np.ndarray, ...]:
    return tuple(port.feed(port.fit(raw))[0].copy() for port, raw in zip(ports, row, strict=True))


def data_files(words: Sequence[str]) -> tuple[str, ...]:
    """The names of the files, without their folders: what a certificate says of them."""
    return tuple(Path(word.rpartition("=")[2]).name for word in words)
