"""One child process for everything TensorFlow, so that a crash in there becomes an error.

The parent sends pickled calls over a socket pair and waits for each answer. The child is started as
``python -m edgekit_converters.worker`` and not through multiprocessing, whose spawn method would run the
user's own ``__main__`` a second time. TensorFlow's memory and its chatter both stay in the child: what it
prints goes to a temporary file, and only the last lines of that file are ever shown, when the child dies.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import logging
import os
import pickle
import queue
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, ParamSpec, TypeVar

from edgekit.errors import EdgekitError, MissingExtraError, WorkerCrashedError

P = ParamSpec("P")
R = TypeVar("R")

REPORT_HINT = (
    "this is a bug in edgekit or below it: please report it with the model, or one like it; "
    "the traceback is in the error's __notes__"
)
CRASH_HINT = (
    "the crash is inside TensorFlow or LiteRT: cut the model before the part that crashes with --outputs, "
    "and please report it with the model, or one like it"
)
MEMORY_HINT = "the system most likely ran out of memory: close other programs, or convert on a larger machine"

_HEADER = struct.Struct("<QQ")  # a call's number, and the length of the pickle that follows
_TAIL_LINES = 5
_TAIL_WIDTH = 300
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",  # no driver start-up, and the same kernels on every machine
    "KERAS_BACKEND": "tensorflow",  # whatever the user's keras.json says
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
}


_Call = tuple[Callable[..., object], tuple[object, ...], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a call came to: a value, an EdgekitError in parts (so that any subclass survives), or a failure."""

    value: object = None
    error: tuple[type[EdgekitError], tuple[object, ...], Mapping[str, object]] | None = None
    failure: str | None = None
    traceback: str = ""


class Worker:
    """A persistent child process that runs one call after another.

    The process starts at the first call (or at `warm_up`), and starts anew after a crash. Calls from several
    threads wait for each other.

    Args:
        log: Receives one line, the stage's name, when a call begins.
    """

    def __init__(self, log: Callable[[str], None] | None = None) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def warm_up(self) -> None:
        """Start the child and let it import TensorFlow, without waiting for either.

        Raises:
            MissingExtraError: TensorFlow is not installed.
        """
        with self._lock:
            if self._process is None:
                self._send("import TensorFlow", next(self._numbers), (_import_tensorflow, (), {}))

    def call(self, stage: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function in the child and return what it returns.

        Args:
            stage: What is done, in words that complete "while trying to ..."; named when the child dies.
            function: Importable by its qualified name.
            args: Picklable, as are `kwargs` and the result.
            kwargs: See `args`.

        Raises:
            MissingExtraError: TensorFlow is not installed.
            WorkerCrashedError: The child died; the message names stage, signal and its last lines.
            EdgekitError: Whatever the function raised, as itself, if it is an EdgekitError; a plain
                EdgekitError that carries the traceback in `__notes__` if it is any other exception.
        """
        if self._log is not None:
            self._log(stage)
        with self._lock:
            number = next(self._numbers)
            try:
                self._send(stage, number, (function, args, kwargs))
                reply = self._receive(stage, number)
            except BaseException as error:
                # After an interrupt nobody would read the answer, and a broken pipe has no answer. A call
                # that could not even be pickled has not reached the child, which stays.
                if not isinstance(error, EdgekitError):
                    self._stop()
                raise
        _raise_if_failed(stage, reply)
        return reply.value  # type: ignore[return-value]  # what the function returned, through a pickle

    def close(self) -> None:
        """End the child, whatever it is doing, and remove its temporary files.

        A later call starts a new one. So this also gives back TensorFlow's memory, some 900 MB, once it is not needed.
        """
        with self._lock:
            self._stop()

    def _start(self) -> socket.socket:
        if importlib.util.find_spec("tensorflow") is None:
            raise MissingExtraError("converting a model", "convert")
        self._folder = tempfile.TemporaryDirectory(prefix="edgekit-")
        ours, theirs = socket.socketpair()
        with theirs, (Path(self._folder.name) / "output").open("wb") as output:
            self._process = subprocess.Popen(
                # -P: a numpy.py in the folder the user stands in must not shadow the real one.
                [sys.executable, "-P", "-m", "edgekit_converters.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                env=_environment(self._folder.name),
                start_new_session=True,  # Ctrl-C is the parent's to handle; it ends the child itself
            )
        self._socket = ours
        return ours

    def _send(self, stage: str, number: int, call: _Call) -> None:
        try:
            payload = pickle.dumps(call, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise EdgekitError(f"cannot send '{stage}' to the worker: {error}", hint=REPORT_HINT) from error
        connection = self._socket or self._start()
        try:
            _write(connection, number, payload)
        except OSError:
            raise self._crashed(stage) from None

    def _receive(self, stage: str, number: int) -> _Reply:
        assert self._socket is not None
        answered = None
        while answered != number:  # a warm-up's answer says nothing here: what broke it breaks this call too
            try:
                message = _read(self._socket)
            except OSError:
                message = None
            if message is None:
                raise self._crashed(stage)
            answered, payload = message
        reply = pickle.loads(payload)
        assert isinstance(reply, _Reply)
        return reply

    def _crashed(self, stage: str) -> WorkerCrashedError:
        assert self._process is not None
        assert self._folder is not None
        status = self._process.wait()
        tail = _tail(Path(self._folder.name) / "output")
        self._stop()
        how = f"crashed with {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        said = f"; its last words: {tail}" if tail else ""
        return WorkerCrashedError(
            f"the conversion process {how} while trying to {stage}{said}",
            hint=MEMORY_HINT if status == -signal.SIGKILL else CRASH_HINT,
        )

    def _stop(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._folder is not None:
            self._folder.cleanup()
        self._socket = self._process = self._folder = None


def _environment(folder: str) -> dict[str, str]:
    """The child's environment: the parent's, without what would make TensorFlow talk or behave otherwise."""
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    paths = [entry or str(Path.cwd()) for entry in sys.path]
    return (
        environment
        | _ENVIRONMENT
        | {
            "PYTHONPATH": os.pathsep.join(paths),
            "TMPDIR": folder,  # the parent removes it, so that even a crash leaves nothing behind
            "KERAS_HOME": str(Path(folder) / "keras"),
        }
    )


def _raise_if_failed(stage: str, reply: _Reply) -> None:
    """Raise in the parent what the call raised in the child."""
    if reply.error is not None:
        kind, args, state = reply.error
        error = kind.__new__(kind)
        error.args = args
        error.__dict__.update(state)
        raise error
    if reply.failure is not None:
        unexpected = EdgekitError(f"cannot {stage}: {reply.failure}", hint=REPORT_HINT)
        unexpected.add_note(reply.traceback)
        raise unexpected


def _tail(path: Path) -> str:
    lines = path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []
    spoken = [line.strip()[:_TAIL_WIDTH] for line in lines if line.strip()]
    return " | ".join(spoken[-_TAIL_LINES:])


def _write(connection: socket.socket, number: int, payload: bytes) -> None:
    connection.sendall(_HEADER.pack(number, len(payload)))
    connection.sendall(payload)


def _read(connection: socket.socket) -> tuple[int, bytearray] | None:
    """The next message and the number of its call, or None when the other side is gone."""
    header = _read_exactly(connection, _HEADER.size)
    if header is None:
        return None
    number, length = _HEADER.unpack(header)
    payload = _read_exactly(connection, length)
    return None if payload is None else (number, payload)


def _read_exactly(connection: socket.socket, length: int) -> bytearray | None:
    payload = bytearray(length)
    view = memoryview(payload)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            return None
        view = view[count:]
    return payload


# ---- the child's side ------------------------------------------------------------------


def _import_tensorflow() -> None:
    import tensorflow  # noqa: F401  # the seconds that a warm-up is for


def _answer(payload: bytearray) -> bytes:
    """Run one call and pickle what it comes to; a result that cannot be pickled is a failure too."""
    try:
        function, args, kwargs = pickle.loads(payload)
        payload.clear()  # a model's bytes need not lie in memory twice while it is converted
        reply = pickle.dumps(_Reply(function(*args, **kwargs)), protocol=pickle.HIGHEST_PROTOCOL)
    except EdgekitError as error:
        reply = pickle.dumps(_Reply(error=(type(error), error.args, error.__dict__)))
    except Exception as error:
        said = f"{type(error).__name__}: {error}".strip().splitlines()[0][:_TAIL_WIDTH]
        reply = pickle.dumps(_Reply(failure=said, traceback=traceback.format_exc()))
    return reply


def _serve(connection: socket.socket) -> NoReturn:
    """Answer calls until the parent closes its end, then leave at once, even in the midst of a call."""
    requests: queue.Queue[tuple[int, bytearray]] = queue.Queue()

    def receive() -> None:
        while (message := _read(connection)) is not None:
            requests.put(message)
        os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    while True:
        number, payload = requests.get()
        answer = _answer(payload)
        with contextlib.suppress(OSError):  # the parent is gone: the reader ends the process
            _write(connection, number, answer)
        del answer


def _main() -> None:
    warnings.simplefilter("ignore")
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    _serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    # Under this name the module is a second copy, and its _Reply is not the class that the parent knows.
    from edgekit_converters import worker

    worker._main()
