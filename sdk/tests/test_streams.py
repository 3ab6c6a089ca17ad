"""Futures and streams over real sessions. What must not happen is shown by events, never by waiting a while."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import InputError, SessionError
from edgekit.session import Session
from edgekit.streams import Stream, Worker, stream

pytestmark = pytest.mark.filterwarnings("ignore::edgekit.trust.UnsignedBundleWarning")

LONG_S = 30.0
"""How long a wait that must succeed may take before the test fails instead of hanging."""


@pytest.fixture
def session(bundle_file: Callable[..., Path], dense: Any) -> Iterator[Session]:
    with edgekit.load(bundle_file(dense, ("red", "green", "blue")), trust=edgekit.UNSIGNED) as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(LONG_S)
        assert not thread.is_alive(), f"{thread.name} was left behind"


def photo(red: int) -> np.ndarray[Any, Any]:
    return np.full((4, 4, 3), (red, 0, 0), np.uint8)


def red_of(result: Any) -> int:
    """The red that `photo` had, as the model answers it: value / 255 * 127, rounded."""
    return int(result.quantized["scores"][0, 0])


REDS = [0, 51, 102, 153, 204, 255]
ANSWERS = [0, 25, 51, 76, 102, 127]


class Gate:
    """A `run` that says when it starts and waits to be let go, so that a test decides what waits behind it."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.seen: list[Any] = []

    def __call__(self, sample: Any) -> Any:
        self.started.release()
        assert self.go.acquire(timeout=LONG_S)
        self.seen.append(sample)
        return sample

    def wait_started(self) -> None:
        assert self.started.acquire(timeout=LONG_S)


# ---- Worker -------------------------------------------------------------------------------------------------------


def test_no_thread_before_the_first_sample(session: Session) -> None:
    before = threading.active_count()
    worker = Worker(session.run)
    assert threading.active_count() == before
    worker.close()
    assert threading.active_count() == before


def test_futures_answer_their_own_sample(session: Session) -> None:
    worker = Worker(session.run)
    futures = [worker.submit(photo(red)) for red in REDS * 20]
    assert [red_of(future.result(LONG_S)) for future in futures] == ANSWERS * 20
    worker.close()


def test_samples_run_in_order_on_one_thread() -> None:
    seen: list[tuple[int, int]] = []
    worker = Worker(lambda x: seen.append((x, threading.get_ident())), capacity=4)
    futures = [worker.submit(number) for number in range(200)]
    worker.close()
    assert all(future.done() for future in futures)
    assert [number for number, _ in seen] == list(range(200))
    assert len({thread for _, thread in seen}) == 1
    assert seen[0][1] != threading.get_ident()


def test_an_exception_travels_in_its_future_only(session: Session) -> None:
    worker = Worker(session.run)
    bad, good = worker.submit(np.zeros((4, 4, 3), np.float32)), worker.submit(photo(255))
    assert isinstance(bad.exception(LONG_S), InputError)
    assert red_of(good.result(LONG_S)) == 127
    worker.close()


def test_a_queued_future_can_be_cancelled() -> None:
    gate = Gate()
    worker = Worker(gate)
    running, queued, last = (worker.submit(name) for name in ("running", "queued", "last"))
    gate.wait_started()
    assert not running.cancel()
    assert queued.cancel()
    gate.go.release(2)
    assert last.result(LONG_S) == "last"
    with pytest.raises(CancelledError):
        queued.result(LONG_S)
    assert gate.seen == ["running", "last"]
    worker.close()


def test_close_finishes_what_is_queued() -> None:
    gate = Gate()
    worker = Worker(gate)
    futures = [worker.submit(number) for number in range(5)]
    gate.go.release(5)
    worker.close()
    assert [future.result(0) for future in futures] == [0, 1, 2, 3, 4]


def test_close_can_refuse_what_is_queued() -> None:
    gate = Gate()
    worker = Worker(gate)
    running, *queued = (worker.submit(number) for number in range(4))
    gate.wait_started()
    assert queued[1].cancel()
    queued[0].add_done_callback(lambda _: gate.go.release())  # refused while the first still runs
    worker.close(finish=False)
    assert running.result(0) == 0
    assert isinstance(queued[0].exception(0), SessionError)
    assert "closed before this sample ran" in str(queued[2].exception(0))
    assert queued[1].cancelled()
    assert gate.seen == [0]


def test_a_closed_worker_refuses_and_may_be_closed_again(session: Session) -> None:
    worker = Worker(session.run)
    worker.submit(photo(0)).result(LONG_S)
    worker.close()
    worker.close()
    worker.close(finish=False)
    assert worker.closed
    with pytest.raises(SessionError, match="the session is closed"):
        worker.submit(photo(0))


def test_a_full_worker_makes_submit_wait() -> None:
    gate = Gate()
    worker = Worker(gate, capacity=2)
    worker.submit("runs")
    gate.wait_started()
    worker.submit("waits")
    worker.submit("waits too")
    assert worker._room.acquire(blocking=False) is False  # so a further submit has to wait
    late: list[Future[Any]] = []
    submitter = threading.Thread(target=lambda: late.append(worker.submit("late")))
    submitter.start()
    gate.go.release(4)
    submitter.join(LONG_S)
    assert late[0].result(LONG_S) == "late"
    assert gate.seen == ["runs", "waits", "waits too", "late"]
    worker.close()


def test_submitters_that_wait_for_room_hear_of_the_close() -> None:
    gate = Gate()
    worker = Worker(gate, capacity=1)
    worker.submit("runs")
    gate.wait_started()
    worker.submit("queued")
    heard: list[str] = []

    def submit() -> None:
        try:
            worker.submit("late")
        except SessionError as error:
            heard.append(str(error))

    submitters = [threading.Thread(target=submit) for _ in range(3)]
    for thread in submitters:
        thread.start()
    closer = threading.Thread(target=worker.close, kwargs={"finish": False})
    closer.start()
    for thread in submitters:
        thread.join(LONG_S)
    assert heard == ["the session is closed"] * 3
    gate.go.release()
    closer.join(LONG_S)


def test_a_callback_may_submit_to_a_full_worker_and_close_it() -> None:
    done: list[Any] = []
    worker = Worker(lambda x: x, capacity=1)
    finished = threading.Event()

    def again(future: Future[int]) -> None:
        done.append(future.result())
        if len(done) == 1:
            for number in (10, 11, 12):  # more than there is room for, on the thread that makes room
                worker.submit(number).add_done_callback(again)
        if len(done) == 4:
            worker.close()
            finished.set()

    worker.submit(1).add_done_callback(again)
    assert finished.wait(LONG_S)
    assert done == [1, 10, 11, 12]


def test_many_threads_submit(session: Session) -> None:
    worker = Worker(session.run, capacity=3)
    wrong: list[Any] = []

    def submit() -> None:
        for red, answer in zip(REDS, ANSWERS, strict=True):
            if red_of(worker.submit(photo(red)).result(LONG_S)) != answer:
                wrong.append(red)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    worker.close()
    assert wrong == []


def test_a_worker_that_is_dropped_takes_its_thread_along() -> None:
    class Owner:
        def __init__(self) -> None:
            self.worker = Worker(self.run)

        def run(self, x: int) -> int:
            return x + 1

    before = set(threading.enumerate())
    owner = Owner()
    assert owner.worker.submit(1).result(LONG_S) == 2
    (thread,) = set(threading.enumerate()) - before
    del owner
    gc.collect()
    thread.join(LONG_S)
    assert not thread.is_alive()


def test_an_idle_worker_holds_no_sample() -> None:
    import weakref

    class Sample:
        pass

    worker = Worker(lambda sample: None)
    sample = Sample()
    gone = weakref.ref(sample)
    worker.submit(sample).result(LONG_S)
    worker.submit(None).result(LONG_S)  # by now the thread has let go of the first
    del sample
    assert gone() is None
    worker.close()


@pytest.mark.parametrize("capacity", [0, 1.5, "2"])
def test_a_capacity_that_makes_no_sense_is_refused(capacity: Any) -> None:
    with pytest.raises(SessionError, match="capacity must be"):
        Worker(lambda x: x, capacity=capacity)


def program(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=LONG_S
    )


def test_a_program_that_forgets_close_ends_and_says_what_was_lost() -> None:
    done = program("""
import threading
from edgekit.streams import Worker
started, go = threading.Event(), threading.Event()
def run(x):
    started.set()
    go.wait()
worker = Worker(run)
first = worker.submit(0)
started.wait()
for number in (1, 2, 3):
    worker.submit(number).add_done_callback(lambda f: (print(type(f.exception()).__name__), go.set()))
""")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["SessionError"] * 3
    assert "RuntimeWarning: 3 sample(s)" in done.stderr


def test_a_program_that_forgets_an_idle_worker_ends_silently() -> None:
    done = program("""
from edgekit.streams import Worker
worker = Worker(print)
worker.submit("ran").result()
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


# ---- stream -------------------------------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_samples(session: Session) -> None:
    results = stream(session.run, (photo(red) for red in REDS * 10))
    assert [red_of(result) for result in results] == ANSWERS * 10
    assert results.dropped == 0
    assert list(results) == []


@pytest.mark.parametrize("queue", [1, 2, 5])
def test_the_iterable_is_not_pulled_beyond_the_queue(queue: int) -> None:
    pulled: list[int] = []
    filled = threading.Event()

    def camera() -> Iterator[int]:
        for number in range(50):
            pulled.append(number)
            if len(pulled) == 1 + queue:
                filled.set()
            yield number

    def run(number: int) -> int:
        # While sample n runs, n + 1 samples were consumed, so at most n + 1 + queue were pulled.
        assert len(pulled) <= number + 1 + queue
        if number == 0:  # and so many are pulled indeed
            assert filled.wait(LONG_S)
        return number

    assert list(stream(run, camera(), queue=queue)) == list(range(50))


def test_nothing_is_pulled_before_the_first_next() -> None:
    pulled: list[int] = []

    def camera() -> Iterator[int]:
        pulled.append(1)
        yield 1

    before = threading.active_count()
    results = stream(lambda x: x, camera())
    assert threading.active_count() == before
    results.close()
    assert pulled == []


def test_drop_oldest_keeps_the_newest_in_order_and_counts() -> None:
    started, all_taken = threading.Event(), threading.Event()

    def camera() -> Iterator[int]:
        yield 0
        assert started.wait(LONG_S)  # 0 is being run: everything else must wait or be dropped
        yield from range(1, 10)
        all_taken.set()

    def run(number: int) -> int:
        if number == 0:
            started.set()
            assert all_taken.wait(LONG_S)
        return number

    results = stream(run, camera(), queue=2, when_full="drop-oldest")
    assert list(results) == [0, 8, 9]
    assert results.dropped == 7


def test_drop_oldest_drops_nothing_where_run_keeps_up() -> None:
    step = threading.Semaphore(0)

    def camera() -> Iterator[int]:
        for number in range(20):
            yield number
            assert step.acquire(timeout=LONG_S)

    def run(number: int) -> int:
        step.release()
        return number

    results = stream(run, camera(), when_full="drop-oldest")
    assert list(results) == list(range(20))
    assert results.dropped == 0


def test_drop_oldest_against_a_fast_consumer_loses_no_count() -> None:
    """Both ends at full speed: whatever was not returned was counted."""
    results = stream(lambda x: x, iter(range(20_000)), queue=1, when_full="drop-oldest")
    got = list(results)
    assert got == sorted(set(got))
    assert got[-1] == 19_999
    assert len(got) + results.dropped == 20_000


@pytest.mark.parametrize("when_full", ["wait", "drop-oldest"])
def test_an_exception_of_the_iterable_comes_after_the_results_before_it(
    session: Session, when_full: Any
) -> None:
    def camera() -> Iterator[Any]:
        yield photo(51)
        yield photo(255)
        raise OSError("the camera was pulled out")

    results = stream(session.run, camera(), queue=2, when_full=when_full)
    assert [red_of(next(results)), red_of(next(results))] == [25, 127]
    with pytest.raises(OSError, match="pulled out"):
        next(results)
    assert list(results) == []


def test_an_exception_of_run_comes_at_its_place_and_ends_the_stream(session: Session) -> None:
    closed = threading.Event()

    def camera() -> Iterator[Any]:
        try:
            yield photo(255)
            yield photo(0).astype(np.float32)
            while True:
                yield photo(0)
        finally:
            closed.set()

    results = stream(session.run, camera())
    assert red_of(next(results)) == 127
    with pytest.raises(InputError, match="float32"):
        next(results)
    assert closed.is_set()
    assert list(results) == []


class Camera:
    """Endless frames, and a close() that says in which thread it was called."""

    def __init__(self) -> None:
        self.closed_by: list[threading.Thread] = []
        self.taken = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.taken += 1
        return photo(51)

    def close(self) -> None:
        self.closed_by.append(threading.current_thread())


@pytest.mark.parametrize("when_full", ["wait", "drop-oldest"])
def test_closing_early_ends_the_thread_and_closes_the_camera(session: Session, when_full: Any) -> None:
    camera = Camera()
    before = set(threading.enumerate())
    results = stream(session.run, camera, when_full=when_full)
    next(results)
    (producer,) = set(threading.enumerate()) - before
    results.close()
    assert not producer.is_alive()
    assert camera.closed_by == [producer]  # never while its own next() runs
    results.close()
    with pytest.raises(StopIteration):
        next(results)


def test_break_closes_too(session: Session) -> None:
    camera = Camera()
    for result in stream(session.run, camera):
        assert red_of(result) == 25
        break
    assert len(camera.closed_by) == 1


def test_with_closes_and_so_does_an_unstarted_stream(session: Session) -> None:
    camera, unused = Camera(), Camera()
    with stream(session.run, camera) as results:
        next(results)
    assert len(camera.closed_by) == 1
    with stream(session.run, unused):
        pass
    assert len(unused.closed_by) == 1
    assert unused.taken == 0


def test_what_has_an_iterator_and_a_close_gets_both_closed() -> None:
    order: list[str] = []

    class Folder:
        def __iter__(self) -> Iterator[int]:
            try:
                while True:
                    yield 1
            finally:
                order.append("iterator")

        def close(self) -> None:
            order.append("folder")

    with stream(lambda x: x, Folder()) as results:
        next(results)
    assert order == ["iterator", "folder"]


def test_an_error_of_close_is_raised() -> None:
    def camera() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise OSError("the camera does not let go")

    results = stream(lambda x: x, camera())
    next(results)
    with pytest.raises(OSError, match="does not let go"):
        results.close()


def test_an_error_of_run_is_not_hidden_by_one_of_close() -> None:
    def camera() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise OSError("the camera does not let go")

    def run(number: int) -> int:
        raise InputError("no")

    with pytest.raises(InputError) as caught:
        next(stream(run, camera()))
    assert any("does not let go" in note for note in caught.value.__notes__)


def test_close_wakes_a_consumer_in_another_thread() -> None:
    release, waiting = threading.Event(), threading.Event()

    def camera() -> Iterator[int]:
        waiting.set()
        release.wait(LONG_S)
        yield 1

    results = stream(lambda x: x, camera())
    got: list[Any] = []
    consumer = threading.Thread(target=lambda: got.extend(results))
    consumer.start()
    assert waiting.wait(LONG_S)
    closer = threading.Thread(target=results.close)
    closer.start()
    consumer.join(LONG_S)  # although the camera still blocks
    assert not consumer.is_alive()
    assert got == []
    release.set()
    closer.join(LONG_S)


def test_an_iterable_that_blocks_is_left_alone_and_closed_when_it_returns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgekit.streams.GRACE_S", 0.01)
    release, closed = threading.Event(), threading.Event()

    def camera() -> Iterator[int]:
        try:
            yield 1
            release.wait(LONG_S)
            yield 2
        finally:
            closed.set()

    results = stream(lambda x: x, camera())
    assert next(results) == 1
    results.close()
    assert not closed.is_set()
    release.set()
    assert closed.wait(LONG_S)


def test_threads_share_a_stream_and_a_session(session: Session) -> None:
    results = stream(session.run, (photo(red) for red in REDS * 30), queue=3)
    got: list[int] = []

    def consume() -> None:
        got.extend(red_of(result) for result in results)

    threads = [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert sorted(got) == sorted(ANSWERS * 30)


def test_several_streams_and_futures_share_a_session(session: Session) -> None:
    wrong: list[Any] = []

    def consume() -> None:
        got = [red_of(result) for result in stream(session.run, [photo(red) for red in REDS * 10])]
        if got != ANSWERS * 10:
            wrong.append(got)

    worker = Worker(session.run)
    threads = [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    futures = [worker.submit(photo(red)) for red in REDS * 10]
    assert [red_of(future.result(LONG_S)) for future in futures] == ANSWERS * 10
    for thread in threads:
        thread.join(LONG_S)
    worker.close()
    assert wrong == []


def test_a_session_that_closes_ends_its_streams_with_an_error(session: Session) -> None:
    results = stream(session.run, Camera())
    next(results)
    session.close()
    with pytest.raises(SessionError, match="closed"):
        next(results)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"queue": 0}, "queue must be at least 1"),
        ({"queue": "a"}, "queue must be a whole number"),
        ({"queue": 1.5}, "queue must be a whole number"),
        ({"when_full": "drop-newest"}, "when_full"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SessionError, match=message):
        stream(lambda x: x, [1], **arguments)


def test_no_iterable_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="iterable"):
        stream(lambda x: x, 5)  # type: ignore[arg-type]


def test_a_stream_is_an_iterator() -> None:
    results = stream(lambda x: x, [1])
    assert isinstance(results, Stream)
    assert iter(results) is results
    results.close()


def test_a_program_that_forgets_a_stream_ends_and_closes_its_camera() -> None:
    done = program("""
from edgekit.streams import stream
def camera():
    try:
        while True:
            yield 1
    finally:
        print("camera closed")
results = stream(lambda x: x, camera())
next(results)
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "camera closed\n", "")


# ---- Session ------------------------------------------------------------------------------------------------------


def test_a_session_runs_futures_and_streams(session: Session) -> None:
    futures = [session.run_async(photo(red)) for red in REDS]
    assert [red_of(result) for result in session.stream(map(photo, REDS))] == ANSWERS
    assert [red_of(future.result(LONG_S)) for future in futures] == ANSWERS


def test_running_a_bundle_imports_none_of_this(bundle_file: Callable[..., Path], dense: Any) -> None:
    done = program(f"""
import sys, edgekit, numpy
with edgekit.load({str(bundle_file(dense))!r}, trust=edgekit.UNSIGNED) as model:
    model.run(numpy.zeros((4, 4, 3), numpy.uint8))
print(*sys.modules)
""")
    assert done.returncode == 0, done.stderr
    optional = ("edgekit.streams", "edgekit.adapters", "edgekit.tasks")
    assert not [name for name in done.stdout.split() if name.startswith(optional)]
