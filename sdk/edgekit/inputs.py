"""Input files named on a command line: which model input each is for, and the raw samples in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.manifest import TensorSpec
from edgekit.media import read_npy, read_wav
from edgekit.samples import is_batch

Feed = Mapping[str, Path]
"""One file for each model input, by its name."""


def plan_feeds(words: Sequence[str], specs: Sequence[TensorSpec]) -> tuple[Feed, ...]:
    """Deal the words of a command line out to the inputs of a model.

    Args:
        words: ``FILE``, or ``NAME=FILE`` where NAME is an input of the model.
        specs: The inputs of the model.

    Returns:
        One feed a run: the first file of every input, then the second of every input, and so on.

    Raises:
        InputError: A word names no input where there are several, or the numbers of files differ.
    """
    files: dict[str, list[Path]] = {spec.name: [] for spec in specs}
    names = ", ".join(files)
    for word in words:
        name, equals, file = word.partition("=")
        if equals and name in files:
            files[name].append(Path(file))
        elif len(specs) == 1:
            files[specs[0].name].append(Path(word))
        else:
            raise InputError(
                f"{word}: does not say which input it is for",
                hint=f"write NAME=FILE, where NAME is one of: {names}",
            )
    counts = {name: len(paths) for name, paths in files.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{count} for {name}" for name, count in counts.items())
        raise InputError(
            f"the inputs have different numbers of files: {said}", hint="give as many for each input"
        )
    return tuple(dict(zip(files, row, strict=True)) for row in zip(*files.values(), strict=True))


def describe(feed: Feed) -> str:
    """The feed as it was written on the command line."""
    if len(feed) == 1:
        return str(next(iter(feed.values())))
    return " ".join(f"{name}={path}" for name, path in feed.items())


def read_feed(
    feed: Feed, specs: Sequence[TensorSpec]
) -> Iterator[tuple[str, Mapping[str, NDArray[Any] | Path]]]:
    """Read the samples of one feed: one, or one a row where the files hold batches.

    Args:
        feed: From `plan_feeds`.
        specs: The inputs of the model.

    Yields:
        Where the sample comes from, and its value by input name: a raw array, or the path of an image, which
        the session reads at the size that the model takes.

    Raises:
        InputError: A file is of a kind that its input does not take, or the numbers of samples differ.
        BadSampleError: A file cannot be read.
    """
    columns = {spec.name: _read(feed[spec.name], spec) for spec in specs}
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{count} for {name}" for name, count in counts.items())
        raise InputError(f"{describe(feed)}: the files hold different numbers of samples: {said}")
    rows = next(iter(counts.values()))
    for row in range(rows):
        origin = describe(feed) if rows == 1 else f"{describe(feed)}[{row}]"
        yield origin, {name: column[row] for name, column in columns.items()}


def _read(path: Path, spec: TensorSpec) -> Sequence[NDArray[Any] | Path] | NDArray[Any]:
    """The samples in one file, one an entry."""
    source = spec.preprocessing.source if spec.preprocessing is not None else "array"
    suffix = path.suffix.lower()
    if path.is_dir():
        raise InputError(f"{path}: is a folder", hint=f"name its files: {path}/*")
    if suffix == ".npy":
        array = read_npy(path)
        if not is_batch(array.shape, spec):
            return (array,)
        if len(array) == 0:
            raise InputError(f"{path}: holds no samples")
        return array
    if suffix == ".wav" and source == "audio":
        return (read_wav(path)[0],)
    if suffix != ".wav" and source == "image":
        return (path,)
    kinds = {"image": "an image or an .npy", "audio": "a .wav or an .npy", "array": "an .npy"}
    raise InputError(
        f"{path}: the input '{spec.name}' takes {kinds[source]} file",
        hint="save one array with numpy.save(file, array): a sample, or samples along the first axis",
    )
