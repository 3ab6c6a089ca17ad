"""The worker is driven with functions of the standard library only, so that no test waits for TensorFlow."""

from __future__ import annotations

import builtins
import functools
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError, MissingExtraError, UnknownModelError, WorkerCrashedError
from edgekit_converters.sources.kinds import identify
from edgekit_converters.worker import Worker, _raise_if_failed, _Reply


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as shared:
        yield shared


def _gone(pid: int, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_calls_run_in_one_child_process(worker: Worker) -> None:
    first, second = worker.call("ask", os.getpid), worker.call("ask", os.getpid)
    assert first == second != os.getpid()


def test_arguments_and_large_results_arrive_whole(worker: Worker) -> None:
    data = os.urandom(1 << 16) * 256
    assert worker.call("sort", sorted, [3, 1, 2], reverse=True) == [3, 2, 1]
    assert worker.call("copy", bytes, data) == data


def test_the_stage_is_logged() -> None:
    lines: list[str] = []
    with Worker(log=lines.append) as worker:
        worker.call("count the letters", len, "abc")
    assert lines == ["count the letters"]


def test_an_edgekit_error_arrives_as_itself(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"absent\.keras: there is no such file") as caught:
        worker.call("look", identify, tmp_path / "absent.keras")
    assert caught.value.hint == "check the path of the model"


def test_an_error_whose_constructor_takes_something_else_than_its_message_arrives_too(worker: Worker) -> None:
    error = MissingExtraError("reading images", "images")
    reply = _Reply(error=(MissingExtraError, error.args, error.__dict__))
    with pytest.raises(MissingExtraError, match="reading images needs the extra 'images'") as caught:
        worker.call("raise", functools.partial(_raise_if_failed, "raise", reply))
    assert caught.value.extra == "images"
    assert caught.value.hint == "pip install 'edgekit[images]'"


def test_another_exception_is_named_and_keeps_its_traceback_aside(worker: Worker) -> None:
    with pytest.raises(EdgekitError, match=r"cannot read a number: ValueError: invalid literal") as caught:
        worker.call("read a number", int, "abc")
    assert not isinstance(caught.value, WorkerCrashedError)
    assert "report" in str(caught.value.hint)
    assert "Traceback" in caught.value.__notes__[0]
    assert "Traceback" not in str(caught.value)


def test_a_result_that_cannot_be_pickled_is_an_error_and_no_hang(worker: Worker) -> None:
    with pytest.raises(EdgekitError, match="cannot make a lock: TypeError: cannot pickle"):
        worker.call("make a lock", threading.Lock)
    assert worker.call("go on", len, "ab") == 2


def test_a_call_that_cannot_be_pickled_is_an_error(worker: Worker) -> None:
    pid = worker.call("ask", os.getpid)
    with pytest.raises(EdgekitError, match="cannot send 'call a lambda' to the worker"):
        worker.call("call a lambda", lambda: 1)
    assert worker.call("ask", os.getpid) == pid


def test_a_function_that_the_child_cannot_import_is_an_error(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker.call("start before the path is known", len, "")
    (tmp_path / "only_here.py").write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        EdgekitError, match="cannot call it: ModuleNotFoundError: No module named 'only_here'"
    ):
        worker.call("call it", importlib.import_module("only_here").f)


def test_the_child_sees_the_parents_import_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def f(): return 'mine'\n")
    monkeypatch.syspath_prepend(tmp_path)
    with Worker() as worker:
        assert worker.call("call it", importlib.import_module("mine").f) == "mine"


def test_a_segfault_becomes_an_error_that_names_stage_and_signal() -> None:
    with Worker() as worker:
        worker.call("speak", os.write, 2, b"LLVM ERROR: something is wrong\n")
        with pytest.raises(WorkerCrashedError) as caught:
            worker.call("quantize the model", signal.raise_signal, signal.SIGSEGV)
        assert "crashed with SIGSEGV while trying to quantize the model" in str(caught.value)
        assert "LLVM ERROR: something is wrong" in str(caught.value)
        assert caught.value.hint
        assert worker.call("go on with a new child", len, "abc") == 3


def test_a_child_that_is_killed_points_at_memory() -> None:
    with Worker() as worker, pytest.raises(WorkerCrashedError, match="SIGKILL") as caught:
        worker.call("grow", signal.raise_signal, signal.SIGKILL)
    assert "memory" in str(caught.value.hint)


def test_a_child_that_exits_is_an_error() -> None:
    with (
        Worker() as worker,
        pytest.raises(WorkerCrashedError, match="ended with status 3 while trying to leave"),
    ):
        worker.call("leave", os._exit, 3)


def test_a_child_that_died_between_two_calls_is_an_error() -> None:
    with Worker() as worker:
        pid = worker.call("ask", os.getpid)
        os.kill(pid, signal.SIGTERM)
        assert _gone(pid)
        with pytest.raises(WorkerCrashedError, match="SIGTERM while trying to count"):
            worker.call("count", len, "abc")


def test_nothing_that_the_child_prints_reaches_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with Worker() as worker:
        worker.call("print", builtins.print, "to stdout")
        worker.call("write", os.write, 2, b"to stderr\n")
    assert capfd.readouterr() == ("", "")


def test_temporary_files_of_the_child_are_removed_even_after_a_crash() -> None:
    with Worker() as worker:
        folder = worker.call("make a folder", tempfile.mkdtemp)
        assert Path(folder).is_dir()
        with pytest.raises(WorkerCrashedError):
            worker.call("crash", signal.raise_signal, signal.SIGABRT)
        assert not Path(folder).exists()


def test_closing_ends_the_child() -> None:
    with Worker() as worker:
        pid = worker.call("ask", os.getpid)
    assert _gone(pid)
    worker.close()


def test_an_interrupt_in_the_parent_ends_a_busy_child_at_once() -> None:
    with Worker() as worker:
        pid = worker.call("ask", os.getpid)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            worker.call("sleep", time.sleep, 60)
        assert time.monotonic() - started < 5
        assert _gone(pid)
        assert worker.call("go on", len, "abc") == 3


def test_a_busy_child_ends_when_its_parent_is_killed() -> None:
    program = (
        "import os, time\n"
        "from edgekit_converters.worker import Worker\n"
        "worker = Worker()\n"
        "print(worker.call('ask', os.getpid), flush=True)\n"
        "worker.call('sleep', time.sleep, 60)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.1)
        parent.kill()
    assert _gone(pid)


def test_tensorflow_is_told_to_be_quiet_and_to_use_keras_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with Worker() as worker:
        found = {
            name: worker.call("ask", os.getenv, name)
            for name in (
                "TF_CPP_MIN_LOG_LEVEL",
                "CUDA_VISIBLE_DEVICES",
                "TF_USE_LEGACY_KERAS",
                "KERAS_BACKEND",
            )
        }
    assert found == {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_USE_LEGACY_KERAS": None,
        "KERAS_BACKEND": "tensorflow",
    }


def test_warming_up_does_not_wait() -> None:
    with Worker() as worker:
        started = time.monotonic()
        worker.warm_up()
        worker.warm_up()
        assert time.monotonic() - started < 0.5


def test_without_tensorflow_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with Worker() as worker:
        for start in (worker.warm_up, lambda: worker.call("count", len, "abc")):
            with pytest.raises(MissingExtraError, match="converting a model needs the extra 'convert'"):
                start()
