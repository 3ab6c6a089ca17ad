"""Windows with overlap over sound, for `Session.stream`: int16, mono, as the bundle's preprocessing takes it.

From a microphone, with nothing installed but ALSA's ``arecord``::

    import subprocess
    from edgekit.adapters import audio

    recorder = subprocess.Popen(
        ["arecord", "-q", "-t", "raw", "-f", "S16_LE", "-r", "16000", "-c", "1"], stdout=subprocess.PIPE
    )
    chunks = audio.read_chunks(recorder.stdout, 1600)
    for result in model.stream(audio.windows(chunks, size=16000, hop=8000)):
        print(result.labels[0])

From a wave file::

    for result in model.stream(audio.wav_windows("clip.wav", size=16000, hop=8000, rate=16000)):
        print(result.labels[0])
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgekit.arguments import whole
from edgekit.errors import InputError
from edgekit.media import read_wav


def windows(
    chunks: Iterable[NDArray[Any]], size: int, hop: int, *, pad: bool = False
) -> Iterator[NDArray[np.int16]]:
    """Cut sound that comes in chunks of any length into windows of one length.

    Args:
        chunks: int16 samples, of shape (n,) or (n, 1), as sounddevice gives them.
        size: Samples a window.
        hop: Samples from the start of one window to that of the next. Less than `size` overlaps; more leaves gaps.
        pad: Whether the last samples, too few for a window, are filled up with silence. Otherwise they are left
            out.

    Returns:
        An iterator over new arrays of shape (size,).

    Raises:
        InputError: At once: `size` or `hop` is no whole number from 1. While iterating: a chunk is no int16 mono sound.
    """
    size = whole("size", size, 1, error=InputError)
    hop = whole("hop", hop, 1, error=InputError)
    return _windows(chunks, size, hop, pad)


def wav_windows(
    path: str | os.PathLike[str], size: int, hop: int, *, rate: int, pad: bool = False
) -> Iterator[NDArray[np.int16]]:
    """Cut a wave file (16-bit PCM, mono) into windows.

    Args:
        path: The file.
        size: Samples a window.
        hop: Samples from the start of one window to that of the next.
        rate: The sample rate in Hz that the model was trained on.
        pad: As for `windows`.

    Raises:
        BadSampleError: It is not a whole file of that kind.
        InputError: It has another sample rate, or `size` or `hop` is no whole number from 1.
    """
    samples, found = read_wav(Path(path))
    if found != rate:
        raise InputError(
            f"{os.fspath(path)}: has {found} samples a second, and {rate} are wanted",
            hint=f"convert it: ffmpeg -i IN.wav -ar {rate} -ac 1 -c:a pcm_s16le OUT.wav",
        )
    return windows([samples], size, hop, pad=pad)


def read_chunks(source: BinaryIO, samples: int) -> Iterator[NDArray[np.int16]]:
    """Read raw sound from a pipe or file: 16-bit little-endian, mono, no header (arecord -t raw -f S16_LE).

    Args:
        source: An open binary file.
        samples: At most how many samples a chunk. The delay of a live source is at least that long.

    Returns:
        An iterator over int16 arrays of shape (n,), 1 <= n <= samples.

    Raises:
        InputError: At once: `source` cannot be read from, or `samples` is no whole number from 1. While iterating: it
            ends in the middle of a sample.
    """
    samples = whole("samples", samples, 1, error=InputError)
    # read1 gives what a pipe holds already, where read would wait for all of it.
    read = getattr(source, "read1", getattr(source, "read", None))
    if read is None:
        raise InputError(
            f"sound is read from an open binary file, and got {type(source).__name__}",
            hint="of a subprocess: Popen(..., stdout=subprocess.PIPE).stdout",
        )
    return _read_chunks(read, samples)


def _read_chunks(read: Callable[[int], bytes], samples: int) -> Iterator[NDArray[np.int16]]:
    rest = b""
    while data := read(2 * samples - len(rest)):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        if whole:
            yield np.frombuffer(data[:whole], "<i2").astype(np.int16)
    if rest:
        raise InputError("the sound ends in the middle of a 16-bit sample")


def _windows(chunks: Iterable[NDArray[Any]], size: int, hop: int, pad: bool) -> Iterator[NDArray[np.int16]]:
    held = np.zeros(size, np.int16)
    filled = 0  # samples in `held`
    skip = 0  # samples that lie between two windows and are still to come
    unseen = False  # whether `held` has samples that were in no window yet
    for chunk in chunks:
        rest = _mono(chunk)
        while len(rest):
            if skip:
                taken = min(skip, len(rest))
                skip -= taken
            else:
                taken = min(size - filled, len(rest))
                held[filled : filled + taken] = rest[:taken]
                filled += taken
                unseen = True
            rest = rest[taken:]
            if filled == size:
                yield held.copy()
                kept = max(size - hop, 0)
                held[:kept] = held[size - kept :]
                filled, skip, unseen = kept, max(hop - size, 0), False
    if pad and unseen:
        held[filled:] = 0
        yield held.copy()


def _mono(chunk: NDArray[Any]) -> NDArray[np.int16]:
    samples = np.asarray(chunk)
    if samples.dtype != np.int16 or (samples.ndim != 1 and samples.shape[1:] != (1,)):
        raise InputError(
            f"a chunk of sound is int16 of shape (n,), and this one is {samples.dtype} of shape {samples.shape}",
            hint="record 16-bit mono; the scaling to real values is part of the bundle",
        )
    return samples.reshape(-1)
