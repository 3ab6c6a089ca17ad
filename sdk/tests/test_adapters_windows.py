"""Windows over sound and sensor rows, against the obvious way to cut a whole array."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgekit
from edgekit.adapters import audio
from edgekit.adapters.sensor import RingBuffer, sliding
from edgekit.errors import BadSampleError, InputError
from edgekit.manifest import Preprocessing
from edgekit.streams import stream

pytestmark = pytest.mark.filterwarnings("ignore::edgekit.trust.UnsignedBundleWarning")


def cut(whole: np.ndarray[Any, Any], size: int, hop: int) -> list[np.ndarray[Any, Any]]:
    """The oracle: every window of a whole recording."""
    return [whole[start : start + size] for start in range(0, len(whole) - size + 1, hop)]


# ---- sound --------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 13), max_size=12), st.integers(1, 9), st.integers(1, 14), st.booleans())
def test_windows_do_not_depend_on_the_chunks(lengths: list[int], size: int, hop: int, column: bool) -> None:
    whole = np.arange(1, sum(lengths) + 1, dtype=np.int16)
    chunks = np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []
    if column:
        chunks = [chunk[:, np.newaxis] for chunk in chunks]
    got = list(audio.windows(chunks, size, hop))
    expected = cut(whole, size, hop)
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 14))
def test_padding_adds_one_window_where_samples_were_left(length: int, size: int, hop: int) -> None:
    whole = np.arange(1, length + 1, dtype=np.int16)
    plain = list(audio.windows([whole], size, hop))
    padded = list(audio.windows([whole], size, hop, pad=True))
    covered = (len(plain) - 1) * hop + size if plain else 0
    start = len(plain) * hop
    left = length > max(covered, start)
    assert len(padded) == len(plain) + left
    if left:
        rest = whole[start:]
        np.testing.assert_array_equal(padded[-1][: len(rest)], rest)
        assert not padded[-1][len(rest) :].any()


def test_every_window_is_an_array_of_its_own() -> None:
    chunk = np.arange(8, dtype=np.int16)
    first, second = audio.windows([chunk], 4, 4)
    chunk[:] = -1
    first[:] = -2
    np.testing.assert_array_equal(second, [4, 5, 6, 7])


def test_a_window_comes_as_soon_as_it_is_there() -> None:
    taken = []

    def microphone() -> Any:
        for number in range(5):
            taken.append(number)
            yield np.full(4, number, np.int16)

    windows = audio.windows(microphone(), 8, 4)
    next(windows)
    assert taken == [0, 1]
    next(windows)
    assert taken == [0, 1, 2]


@pytest.mark.parametrize(
    "chunk", [np.zeros(4, np.float32), np.zeros((4, 2), np.int16), np.zeros(4, np.int32), np.int16(1)]
)
def test_what_is_not_int16_mono_is_refused(chunk: Any) -> None:
    with pytest.raises(InputError, match="int16"):
        list(audio.windows([chunk], 4, 4))


@pytest.mark.parametrize(("size", "hop"), [(0, 1), (1, 0), (-1, 1), ("a", 1), (1, 1.5), (1, None)])
def test_bad_sizes_are_refused_at_once(size: Any, hop: Any) -> None:
    with pytest.raises(InputError, match=r"(size|hop) must be"):
        audio.windows([], size, hop)
    with pytest.raises(InputError, match=r"(size|hop) must be"):
        sliding([], size, hop)


def write_wav(path: Path, samples: np.ndarray[Any, Any], rate: int = 16000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def test_a_wave_file_is_cut(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 1000).astype(np.int16)
    path = write_wav(tmp_path / "clip.wav", samples)
    got = list(audio.wav_windows(path, 400, 150, rate=16000))
    assert len(got) == 5
    for one, other in zip(got, cut(samples, 400, 150), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_sample_rate_and_no_wave_file_are_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "clip.wav", np.zeros(10, np.int16), rate=8000)
    with pytest.raises(InputError, match="8000 samples a second, and 16000 are wanted"):
        audio.wav_windows(path, 4, 4, rate=16000)
    (tmp_path / "no.wav").write_bytes(b"RIFF")
    with pytest.raises(BadSampleError, match=r"no\.wav"):
        audio.wav_windows(tmp_path / "no.wav", 4, 4, rate=16000)


def test_chunks_of_a_file_hold_every_sample() -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 1001).astype("<i2")
    got = list(audio.read_chunks(io.BytesIO(samples.tobytes()), 100))
    assert [len(chunk) for chunk in got] == [100] * 10 + [1]
    np.testing.assert_array_equal(np.concatenate(got), samples)
    assert all(chunk.dtype == np.int16 for chunk in got)


def test_chunks_of_a_pipe_come_as_they_are_written_even_across_odd_bytes() -> None:
    reading, writing = os.pipe()
    samples = np.arange(-5, 5, dtype="<i2")
    data = samples.tobytes()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        chunks = audio.read_chunks(source, 1000)
        sink.write(data[:5])
        got = [next(chunks)]  # two samples are whole; read() would wait for 1000
        sink.write(data[5:6])
        got.append(next(chunks))
        sink.write(data[6:])
        sink.close()
        got.extend(chunks)
    np.testing.assert_array_equal(np.concatenate(got), samples)


@pytest.mark.parametrize("samples", [0, -1, 1.5, "9"])
def test_chunks_of_no_size_are_refused_at_once(samples: Any) -> None:
    with pytest.raises(InputError, match="samples must be"):
        audio.read_chunks(io.BytesIO(bytes(8)), samples)


def test_what_cannot_be_read_from_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="open binary file, and got NoneType") as caught:
        audio.read_chunks(None, 10)  # type: ignore[arg-type]
    assert "PIPE" in str(caught.value.hint)


def test_sound_that_ends_in_the_middle_of_a_sample_is_said() -> None:
    with pytest.raises(InputError, match="middle"):
        list(audio.read_chunks(io.BytesIO(b"\0\0\0"), 10))


def test_sound_reaches_a_session(bundle_file: Callable[..., Path], make_dense: Callable[..., Any]) -> None:
    sound = Preprocessing("audio", "int16", range=(0.0, 1.0))
    built = make_dense((1, 8), 2, sound, None)
    chunks = [np.full(6, value, np.int16) for value in (-32768, 0, 32767)]
    with edgekit.load(bundle_file(built), trust=edgekit.UNSIGNED) as model:
        results = list(stream(model.run, audio.windows(chunks, 8, 4)))
    # Windows of 6 + 2, 2 + 6, 4 + 4 samples of 0.0, 0.5 and 1.0.
    means = [float(result.outputs["scores"].mean()) for result in results]
    np.testing.assert_allclose(means, [0.125, 0.375, 0.75], atol=0.01)


# ---- sensors ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 14), st.integers(1, 4))
def test_sliding_cuts_like_the_whole(length: int, size: int, hop: int, channels: int) -> None:
    whole = np.arange(length * channels, dtype=np.float32).reshape(length, channels)
    got = list(sliding(iter(whole), size, hop))
    expected = cut(whole, size, hop)
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)


@given(st.integers(1, 7), st.integers(0, 30))
def test_a_ring_buffer_holds_the_latest_rows(size: int, count: int) -> None:
    buffer = RingBuffer(size, 2)
    rows = [(float(number), -float(number)) for number in range(count)]
    for row in rows:
        buffer.push(row)
    assert buffer.pushed == count
    assert buffer.full == (count >= size)
    if buffer.full:
        np.testing.assert_array_equal(buffer.window(), np.array(rows[-size:], np.float32))
    else:
        with pytest.raises(InputError, match=f"{count} of {size} rows"):
            buffer.window()


def test_a_window_is_a_copy_and_clear_forgets() -> None:
    buffer = RingBuffer(2, 1)
    buffer.push((1,))
    buffer.push((2,))
    window = buffer.window()
    buffer.push((3,))
    np.testing.assert_array_equal(window, [[1], [2]])
    buffer.clear()
    assert (buffer.full, buffer.pushed) == (False, 0)
    buffer.push((4,))
    with pytest.raises(InputError, match="1 of 2 rows"):
        buffer.window()


def test_a_window_allocates_itself_alone() -> None:
    buffer = RingBuffer(128, 9)
    rows = np.random.default_rng(0).normal(size=(200, 9)).astype(np.float32)
    for row in rows:
        buffer.push(row)
    buffer.window()
    tracemalloc.start()
    try:
        kept = [buffer.window() for _ in range(10)]
        for row in rows:
            buffer.push(row)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < sum(window.nbytes for window in kept) + 8192


@pytest.mark.parametrize("row", [(1.0, 2.0, 3.0), (1.0,), 1.0, ("a", "b"), ((1.0, 2.0), 3.0)])
def test_a_row_that_does_not_fit_is_refused_and_not_counted(row: Any) -> None:
    buffer = RingBuffer(2, 2)
    with pytest.raises(InputError, match="2 numbers"):
        buffer.push(row)
    assert buffer.pushed == 0


def test_bad_buffers_and_rows_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        RingBuffer(0, 1)
    with pytest.raises(InputError, match="at least 1"):
        RingBuffer(1, 0)
    with pytest.raises(InputError, match="size must be a whole number"):
        RingBuffer("a", 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="sequence of numbers"):
        list(sliding([1.0, 2.0], 2, 1))  # type: ignore[list-item]


def test_one_thread_pushes_while_another_takes_windows() -> None:
    buffer = RingBuffer(16, 2)
    torn: list[Any] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if buffer.full:
                window = buffer.window()
                if not (np.diff(window[:, 0]) == 1).all() or not (window[:, 0] == -window[:, 1]).all():
                    torn.append(window)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(5000):
        buffer.push((number, -number))
    done.set()
    watcher.join()
    assert torn == []


def test_sensor_rows_reach_a_session(
    bundle_file: Callable[..., Path], make_dense: Callable[..., Any]
) -> None:
    built = make_dense((1, 4, 2), 2, Preprocessing("array", "float32"), None)
    rows = [(float(number >= 4), 0.0) for number in range(8)]
    with edgekit.load(bundle_file(built), trust=edgekit.UNSIGNED) as model:
        results = list(stream(model.run, sliding(rows, size=4, hop=2)))
    first = [float(result.outputs["scores"][0, 0]) for result in results]
    np.testing.assert_allclose(first, [0, 0.5, 1], atol=0.01)


def test_a_failed_reading_is_refused_by_the_session(
    bundle_file: Callable[..., Path], make_dense: Callable[..., Any]
) -> None:
    built = make_dense((1, 1, 2), 2, Preprocessing("array", "float32"), None)
    (window,) = sliding([(None, 1.0)], 1, 1)  # type: ignore[list-item]
    with (
        edgekit.load(bundle_file(built), trust=edgekit.UNSIGNED) as model,
        pytest.raises(InputError, match="NaN"),
    ):
        model.run(window)
