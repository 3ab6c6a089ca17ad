"""What a device needs to take a profile of a bundle, packed for the way: `pack`.

On the device every file has a name of edgekit's own choice, so that no name of the user's reaches a shell there.
"""

from __future__ import annotations

import io
import re
import shlex
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgekit.errors import BadSampleError, KeyFileError
from edgekit.files import read_capped
from edgekit.inputs import plan_feeds
from edgekit.manifest import TensorSpec
from edgekit.profiling.plan import Plan
from edgekit.profiling.samples import POOL

BUNDLE, TRUST = "bundle.edgekit", "trust"

MAX_KEYS, MAX_KEY_BYTES = 256, 1 << 20
"""What a folder of keys may hold: more than that is another folder, named by mistake."""

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_FOLDER = '"$folder"/'
"""The folder on the device, in a command line of its shell."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What goes to the device.

    Attributes:
        words: What its edgekit is called with: words of a POSIX shell that has set $folder.
        names: Name in that folder -> what the user calls that file.
        size: Bytes of the archive.
    """

    words: tuple[str, ...]
    names: Mapping[str, str]
    size: int


def pack(path: str, bundle: bytes, specs: Sequence[TensorSpec], plan: Plan, archive: BinaryIO) -> Parcel:
    """Writes a tar archive of the bundle, of the trusted keys, and of the user's files.

    Args:
        path: What the user calls the bundle.
        bundle: Its bytes.
        specs: The inputs of its model.
        plan: What to measure.
        archive: An empty file to write to.

    Raises:
        KeyFileError: The trusted keys cannot be read, or a private key is among them.
        InputError: The user's files do not fit the inputs.
        BadSampleError: One of them cannot be read.
    """
    names = {BUNDLE: path}
    words = [*_options(plan), "--", f"{_FOLDER}{BUNDLE}"]
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, BUNDLE, bundle)
        if plan.trust is not None:
            names[TRUST] = plan.trust
            for name, key in _keys(Path(plan.trust)):
                _add(tar, name, key)
        for number, (name, file) in enumerate(_inputs(plan, specs)):
            # The suffix tells what kind of file it is; one that is a word of a file name is left out.
            suffix = file.suffix if _SUFFIX.fullmatch(file.suffix) else ""
            there = f"input-{number}{suffix}"
            names[there] = str(file)
            words.append(f"{shlex.quote(f'{name}=') if len(specs) > 1 else ''}{_FOLDER}{there}")
            _add(tar, there, read_capped(file, error=BadSampleError))
    return Parcel(tuple(words), names, archive.tell())


def _options(plan: Plan) -> Iterator[str]:
    """The plan as options of ``edgekit profile``."""
    yield from ("-q", "profile", "--json", f"--runs={plan.runs}", f"--warmup={plan.warmup}")
    if plan.threads:
        yield f"--threads={','.join(map(str, plan.threads))}"
    if plan.batches:
        yield f"--batch={','.join(map(str, plan.batches))}"
    yield shlex.quote(f"--device={plan.device}")
    if plan.fallback:
        yield "--fallback"
    if plan.ops is not None:
        yield from ("--ops", f"--ops-method={plan.ops}")
    if plan.unsigned:
        yield "--unsigned"
    if plan.trust is not None:
        yield f"--trust={_FOLDER}{TRUST}"


def _inputs(plan: Plan, specs: Sequence[TensorSpec]) -> Iterator[tuple[str, Path]]:
    """Input and file, in the order of the command line; no more than are run."""
    if plan.inputs:
        for feed in plan_feeds(plan.inputs, specs)[:POOL]:
            yield from feed.items()


def _keys(path: Path) -> Iterator[tuple[str, bytes]]:
    """The key file, or the files of a folder of keys, under their names for the device."""
    files = {TRUST: path}
    if path.is_dir():
        try:
            found = sorted(
                file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")
            )
        except OSError as problem:
            raise KeyFileError(
                f"cannot read {path}: {(problem.strerror or str(problem)).lower()}", hint="check its mode"
            ) from None
        if not 0 < len(found) <= MAX_KEYS:
            raise KeyFileError(
                f"{path} holds {len(found)} files, and no more than {MAX_KEYS} keys are sent to a device",
                hint="name the public key, or a folder of nothing but public keys",
            )
        files = {f"{TRUST}/{file.name}": file for file in found}
    for name, file in files.items():
        key = read_capped(file, MAX_KEY_BYTES, error=KeyFileError)
        if _PRIVATE_KEY.search(key):
            raise KeyFileError(
                f"{file} is a private key, which is not sent to a device",
                hint="--trust takes the public key: the .pub.pem beside it",
            )
        yield name, key


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds a regular file that only its owner may read; `name` may hold a folder, which tar makes."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    tar.addfile(entry, io.BytesIO(content))
