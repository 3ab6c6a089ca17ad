"""What comes of a child process that dies, hangs or answers nonsense: an error that names another way."""

from __future__ import annotations

import json
import sys

import pytest
from tflite_models import conv

from edgekit.backends.litert import LiteRtBackend
from edgekit.errors import ProfileError
from edgekit.profiling.ops import litert
from edgekit.profiling.ops.answer import INSTEAD
from edgekit.profiling.ops.litert_c import VERSION
from edgekit_targets.ops import view
from edgekit_targets.tflite import read_graph


def failure(program: str, *, timeout_s: float = 60) -> str:
    """The error that comes of a child which runs this program."""
    with pytest.raises(ProfileError) as caught:
        litert.ask([sys.executable, "-c", program], b"a request", timeout_s)
    assert caught.value.hint == INSTEAD
    return str(caught.value)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.abort()", "died of SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "died of SIGKILL"),
        ("import os; os.kill(os.getpid(), 40)", "died of signal 40"),
        ("import sys; sys.exit(3)", "ended with exit code 3"),
        ("import sys; sys.exit('out\\x1b[2J of memory')", "ended with exit code 1: out\\x1b[2J of memory"),
        ("raise KeyError('sizes')", "ended with exit code 1: KeyError: 'sizes'"),
        ("pass", "gives no answer"),
        ("print('INFO: Created XNNPACK delegate for CPU.')", "gives a broken answer: what it says is not JSON"),
        ("print('[' * 10**5)", "gives a broken answer: what it says nests deeper"),
        ("print('\\xff')", "gives a broken answer: what it says is not"),
        ("print('[]')", "gives a broken answer: the document must be an object"),
        ("print('{}')", "gives a broken answer: call_ns is missing"),
        ("print('{\"error\": \"line one\\\\nline two\"}')", "profiler: line one\\nline two"),
        ("print('{\"error\": [1]}')", "profiler: [1]"),
    ],
)  # fmt: skip
def test_a_child_that_fails(program: str, said: str) -> None:
    assert said in failure(program)


def test_a_child_that_hangs() -> None:
    program = "import time; time.sleep(600)"
    assert failure(program, timeout_s=0.2) == "LiteRT's profiler does not answer within 0.2 s"


def test_a_child_that_reads_nothing_of_a_long_request() -> None:
    with pytest.raises(ProfileError, match="gives no answer"):
        litert.ask([sys.executable, "-c", "pass"], bytes(10**6))


SOUND = {
    "whole_ns": [9000, 9100],
    "call_ns": [300, 310],
    "events": [[2, "ADD", 0], [8, "Convolution (NHWC)", 0]],
    "elapsed_us": [[3, 5], [4, 5]],
}


def test_a_sound_answer_is_read() -> None:
    answer = litert.read(json.dumps(SOUND).encode())
    assert answer.events == ((2, "ADD", 0), (8, "Convolution (NHWC)", 0))
    assert answer.elapsed_us == ((3, 5), (4, 5))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("whole_ns", [], "whole_ns must not be empty"),
        ("whole_ns", [0], "whole_ns must be above 0"),
        ("whole_ns", [1.5], "whole_ns[0] must be a whole number"),
        ("whole_ns", "fast", "whole_ns must be a list"),
        ("call_ns", [], "call_ns must not be empty"),
        ("call_ns", [-1], "call_ns must not be negative"),
        ("events", [], "events must not be empty"),
        ("events", [[2, "ADD"], [2, "NEG", 0]], "events[0] must have 3 entries"),
        ("events", [[2, "ADD", -1], [2, "NEG", 0]], "events must not have negative numbers"),
        ("events", [[2, None, 0], [2, "NEG", 0]], "events[0][1] must be a string"),
        ("elapsed_us", [], "elapsed_us must not be empty"),
        ("elapsed_us", [[1, 2], [1]], "elapsed_us[1] must have a time for each event"),
        ("elapsed_us", [[1, -2]], "elapsed_us[0] must not be negative"),
        ("elapsed_us", [[1, 2**70]], "needs over 64 bits"),
        ("elapsed_us", None, "elapsed_us must be a list"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(key: str, value: object, said: str) -> None:
    with pytest.raises(ProfileError, match="LiteRT's profiler gives a broken answer") as caught:
        litert.read(json.dumps(SOUND | {key: value}).encode())
    assert said in str(caught.value)
    assert caught.value.hint == INSTEAD


def test_an_answer_about_another_model_is_refused() -> None:
    answer = litert.read(json.dumps(SOUND).encode())
    with pytest.raises(ProfileError, match="gives every operator to two kernels"):
        litert.evaluate(view(read_graph(conv().build())), answer)


@pytest.mark.skipif(
    LiteRtBackend().version != VERSION, reason=f"LiteRT's profiler is known of version {VERSION} only"
)
@pytest.mark.parametrize(
    ("request_line", "said"),
    [
        (b"", "JSONDecodeError"),
        (b"nonsense\n", "JSONDecodeError"),
        (b'{"threads": 1}\n', "TypeError"),
        (
            b'{"threads": 1, "kernels": "xnnpack", "runs": 1, "budget_s": 1, "sizes": [4, 0]}\nTFL3',
            "refuses the model",
        ),
    ],
)
def test_the_real_child_refuses_a_broken_request(request_line: bytes, said: str) -> None:
    with pytest.raises(ProfileError, match=said) as caught:
        litert.ask([sys.executable, "-P", "-m", "edgekit.profiling.ops.child"], request_line)
    assert caught.value.hint == INSTEAD
