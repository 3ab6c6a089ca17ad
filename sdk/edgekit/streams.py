"""Inference beside the rest of a program: futures (`Worker`) and streams of samples (`stream`).

Sessions call this; an app writes `Session.run_async` and `Session.stream`::

    future = model.run_async(photo)          # runs on one background thread
    ...                                      # the app goes on
    print(future.result().labels[0])

    for result in model.stream(camera, when_full="drop-oldest"):
        print(result.labels[0])              # frames are taken on a second thread while this one infers

Threads are started at the first use and are daemons. All hand-over goes through `queue.SimpleQueue`, whose `put`
may also be called from a finalizer, so that dropping an object without closing it ends its thread too.
"""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeVar

from edgekit.arguments import whole
from edgekit.errors import InputError, SessionError

T = TypeVar("T")

WhenFull = Literal["wait", "drop-oldest"]

CAPACITY: Final = 16
"""How many samples wait at a `Worker` before `submit` waits for room."""
GRACE_S: Final = 2.0
"""How long, in seconds, the end of a stream or of the program waits for a thread that is inside foreign code."""


class _Job(Generic[T]):
    """One sample on its way through a worker. It holds the worker, which so lives while work is queued."""

    __slots__ = ("counted", "future", "sample", "worker")

    def __init__(self, worker: Worker[T], sample: Any, counted: bool) -> None:
        self.worker = worker
        self.sample = sample
        self.counted = counted  # whether it holds one of the worker's places
        self.future: Future[T] = Future()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.worker._run(self.sample)
        except BaseException as error:  # whatever it is, it belongs to whoever asks the future
            self.future.set_exception(error)
            del self.future  # or the error's traceback, this frame and the future keep each other alive
        else:
            self.future.set_result(result)

    def refuse(self) -> bool:
        """Fail the future with a clear error, unless its owner cancelled it first."""
        if not self.future.set_running_or_notify_cancel():
            return False
        self.future.set_exception(
            SessionError(
                "the session was closed before this sample ran",
                hint="wait for the futures (future.result()) before the session closes",
            )
        )
        return True


class Worker(Generic[T]):
    """Runs samples one after the other on a background thread: what is behind `Session.run_async`.

    Any number of threads may submit. Samples run in the order of their submission. The thread starts with the
    first sample, and ends with `close`, with the last reference to the worker, or with the program. A program that
    ends with samples still queued does not wait for them: their futures fail with a SessionError, and a
    RuntimeWarning says how many there were.
    """

    def __init__(self, run: Callable[[Any], T], *, capacity: int = CAPACITY) -> None:
        """Prepare a worker; no thread is started yet.

        Args:
            run: Answers one sample; called on the background thread only.
            capacity: How many samples may wait; with more, `submit` waits for room.

        Raises:
            SessionError: `capacity` is no whole number from 1.
        """
        capacity = whole("capacity", capacity, 1, error=SessionError)
        self._run = run
        self._jobs: SimpleQueue[_Job[T] | None] = SimpleQueue()
        self._room = threading.Semaphore(capacity)
        self._lock = threading.Lock()  # makes "not closed, so it is queued" one step
        self._closed = False
        self._thread: threading.Thread | None = None
        self._abandon: weakref.finalize[..., Worker[T]] | None = None

    def submit(self, sample: Any) -> Future[T]:
        """Queue one sample, waiting for room where too many are queued.

        Args:
            sample: What `run` takes. It must stay unchanged until its future is done.

        Returns:
            The future of `run(sample)`. While the sample is queued, `cancel()` takes it out.

        Raises:
            SessionError: The worker is closed.
        """
        # A callback of a future runs on the worker's own thread, which must never wait for itself.
        counted = self._room.acquire(blocking=threading.current_thread() is not self._thread)
        job = _Job(self, sample, counted)
        with self._lock:
            if not self._closed:
                if self._thread is None:
                    self._start()
                self._jobs.put(job)
                return job.future
        if counted:
            self._room.release()  # for the next one that waits, to find it closed too
        raise SessionError("the session is closed", hint="load the bundle again")

    def close(self, *, finish: bool = True) -> None:
        """Take no further sample, and end the thread. Closing twice does no harm.

        Waits for the sample that runs now, unless called from a future's callback.

        Args:
            finish: Whether queued samples are run first. Otherwise their futures fail with a SessionError.
        """
        with self._lock:
            first = not self._closed
            self._closed = True
            thread = self._thread
            if self._abandon is not None:
                self._abandon.detach()
        if not finish:
            _refuse_all(self._jobs)
        if first:
            self._room.release()
        self._jobs.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    @property
    def closed(self) -> bool:
        """Whether it takes no further sample."""
        return self._closed

    def _start(self) -> None:
        self._thread = threading.Thread(
            target=_work, args=(self._jobs, self._room), name="edgekit-run-async", daemon=True
        )
        self._abandon = weakref.finalize(self, _abandon_jobs, self._jobs, self._thread)
        self._thread.start()


def _work(jobs: SimpleQueue[_Job[T] | None], room: threading.Semaphore) -> None:
    """What a worker's thread does. It knows the queue only, so an idle thread keeps no session alive."""
    while (job := jobs.get()) is not None:
        if job.counted:
            room.release()
        job.run()
        del job  # before waiting for the next: it holds the sample and the session


def _refuse_all(jobs: SimpleQueue[_Job[T] | None]) -> int:
    """Fail every queued future, and count them."""
    queued: list[_Job[T] | None] = []
    try:
        while True:  # all are out of the thread's reach before the first callback runs
            queued.append(jobs.get_nowait())
    except Empty:
        return sum(job is not None and job.refuse() for job in queued)


def _abandon_jobs(jobs: SimpleQueue[_Job[T] | None], thread: threading.Thread) -> None:
    """End a worker that nobody closed: because nothing refers to it any more, or because the program ends.

    A daemon thread that is inside the runtime's C++ code while the interpreter goes down can abort the process, so
    the sample that runs now gets a moment to finish.
    """
    refused = _refuse_all(jobs)
    jobs.put(None)
    if thread is not threading.current_thread():
        thread.join(GRACE_S)
    if refused:
        warnings.warn(
            f"{refused} sample(s) that run_async had queued were not run, because the program ended: "
            "wait for their futures, or close the session",
            RuntimeWarning,
            stacklevel=2,
        )


class _End:
    """The last entry of a feed: why no further sample comes."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Feed:
    """What the two ends of a stream share. The producer holds this, never the `Stream`."""

    __slots__ = ("close_error", "dropped", "places", "samples", "stopped", "when_full")

    def __init__(self, queue: int, when_full: WhenFull) -> None:
        self.samples: SimpleQueue[Any] = SimpleQueue()
        self.places: SimpleQueue[None] = SimpleQueue()  # one entry for each sample that may still be taken
        for _ in range(queue):
            self.places.put(None)
        self.when_full = when_full
        self.stopped = False
        self.dropped = 0
        self.close_error: BaseException | None = None  # of an iterable that was closed early

    def may_take(self) -> bool:
        """Wait until there is room for one sample more; False once the stream is closed."""
        if not self.stopped and self.when_full == "wait":
            self.places.get()
        return not self.stopped

    def offer(self, sample: Any) -> None:
        """Hand a sample over; where dropping is allowed, make room for it by the oldest that still waits."""
        if self.when_full == "drop-oldest":
            try:
                self.places.get_nowait()
            except Empty:
                try:
                    self.dropped += not isinstance(self.samples.get_nowait(), _End)
                except Empty:  # the consumer took the last one in between, and gives its place back just now
                    self.places.get()
        self.samples.put(sample)

    def stop(self) -> None:
        """Let both ends find out that it is over, and wake them where they wait."""
        if not self.stopped:
            self.stopped = True
            self.places.put(None)
            self.samples.put(_End())


class Stream(Iterator[T]):
    """The results of a stream of samples, in the order of the samples: what `Session.stream` returns.

    Iterate over it, or use it in a ``with`` statement to close it at a place of your choice. It closes itself when
    its samples end, when anything fails, and when nothing refers to it any more (as after ``break``). Threads may
    share it: each gets results of its own.
    """

    def __init__(
        self, run: Callable[[Any], T], iterable: Iterable[Any], *, queue: int, when_full: WhenFull
    ) -> None:
        """Prepare a stream; see `stream`."""
        queue = whole("queue", queue, 1, error=SessionError)
        if when_full not in ("wait", "drop-oldest"):
            raise SessionError(f'when_full is "wait" or "drop-oldest", and not {when_full!r}')
        if not (hasattr(iterable, "__iter__") or hasattr(iterable, "__getitem__")):
            raise InputError(
                f"a stream takes an iterable of samples, and got {type(iterable).__name__}",
                hint="for one sample there is Session.run",
            )
        self._run = run
        self._feed = _Feed(queue, when_full)
        self._unstarted: Iterable[Any] | None = iterable  # the producer's alone, once that has started
        self._lock = threading.Lock()
        self._abandon: weakref.finalize[..., Stream[T]] | None = None

    @property
    def dropped(self) -> int:
        """How many samples were dropped so far, because newer ones came before they were run."""
        return self._feed.dropped

    def __next__(self) -> T:
        """Run the next sample, waiting for it where there is none yet.

        Raises:
            StopIteration: There are no more samples, or the stream is closed.
        """
        try:
            return self._run(self._take())
        except BaseException as error:
            try:
                self.close()
            except BaseException as closing:
                error.add_note(f"closing the source of the samples failed too: {closing!r}")
            raise

    def _take(self) -> Any:
        """The next sample, waiting for it where there is none yet.

        Raises:
            StopIteration: There are no more samples, or the stream is closed.
        """
        feed = self._feed
        self._start()
        if not feed.stopped:
            sample = feed.samples.get()
            if not isinstance(sample, _End):
                feed.places.put(None)
                return sample
            feed.samples.put(_End())  # for whoever asks next, in this thread or another
            if sample.error is not None:
                raise sample.error
        raise StopIteration

    def close(self) -> None:
        """Take no further sample, drop those that wait, and end the producer's thread.

        The producer ends when its iterable's ``next()`` returns, and then closes the iterable. Python cannot
        interrupt a ``next()`` that blocks: after `GRACE_S` seconds this returns nevertheless, and the thread, a
        daemon, waits on. It takes nothing further, and does not keep the program from ending. Closing twice does no
        harm.

        Raises:
            Exception: What the iterable's ``close()`` raised.
        """
        with self._lock:
            self._feed.stop()
            unstarted, self._unstarted = self._unstarted, None
        if unstarted is not None:
            _close_all(None, unstarted)
        if self._abandon is not None:
            self._abandon()  # which is `_stop`, called once

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        with self._lock:
            if self._unstarted is not None:
                thread = threading.Thread(
                    target=_produce, args=(self._feed, self._unstarted), name="edgekit-stream", daemon=True
                )
                self._unstarted = None
                self._abandon = weakref.finalize(self, _stop, self._feed, thread)
                thread.start()


def _stop(feed: _Feed, thread: threading.Thread) -> None:
    """End a stream's producer, and forget the samples that wait."""
    feed.stop()
    if thread is not threading.current_thread():
        thread.join(GRACE_S)
    try:
        while True:
            feed.samples.get_nowait()
    except Empty:
        feed.samples.put(_End())
    if feed.close_error is not None:
        raise feed.close_error


def _produce(feed: _Feed, iterable: Iterable[Any]) -> None:
    """What a stream's thread does: take samples while there is room, and close the iterable at the end."""
    iterator: Iterator[Any] | None = None
    end = _End()
    try:
        iterator = iter(iterable)
        while feed.may_take():
            try:
                sample = next(iterator)
            except StopIteration:
                break
            if feed.stopped:
                break
            feed.offer(sample)
            del sample
    except BaseException as error:  # reaches the consumer, at its place
        end = _End(error)
    try:
        _close_all(iterator, iterable)
    except BaseException as error:
        if feed.stopped:
            feed.close_error = error
        elif end.error is None:
            end = _End(error)
    feed.samples.put(end)


def _close_all(iterator: Iterator[Any] | None, iterable: Iterable[Any]) -> None:
    """Close what can be closed: a generator, a file, a camera."""
    owned = [iterable] if iterator is None or iterator is iterable else [iterator, iterable]
    for source in owned:
        close = getattr(source, "close", None)
        if callable(close):
            close()


def stream(
    run: Callable[[Any], T], iterable: Iterable[Any], *, queue: int = 2, when_full: WhenFull = "wait"
) -> Stream[T]:
    """Run the samples of an iterable in order, while a second thread takes the next ones from it.

    Args:
        run: Answers one sample; called in the thread that iterates over the stream.
        iterable: Samples as `run` takes them: a list, a generator, the frames of a camera. It is taken from by one
            thread of its own, from the first ``next()`` on. The stream owns it: its ``close()``, if it has one, is
            called at the end, in that thread.
        queue: How many samples may be taken ahead of the one that runs.
        when_full: "wait" takes no sample from the iterable while `queue` of them wait. "drop-oldest" always takes
            the next and drops the one that has waited longest: for live sources, where the newest matters.

    Returns:
        An iterator over the results. An exception of the iterable or of `run` is raised at its place, after the
        results before it, and ends the stream.

    Raises:
        SessionError: `queue` or `when_full` is none of the above.
        InputError: `iterable` is no iterable.
    """
    return Stream(run, iterable, queue=queue, when_full=when_full)
