"""A slice of `make fuzz`: hostile models through firewall and self-test, and that its judge sees how a child ends."""

from __future__ import annotations

import os
import signal
import time

import pytest
from models import STOPPED, alone, find_seeds, in_fork, judged, run_mutants
from tflite_models import depthwise

from edgekit.backends.litert import LiteRtBackend
from edgekit.bundle import MODEL
from edgekit.errors import MalformedModelError
from edgekit.firewall import check_variant


def test_five_hundred_mutants_end_no_child_and_most_reach_no_runtime(
    capsys: pytest.CaptureFixture[str],
) -> None:
    LiteRtBackend().module()
    seeds = find_seeds()
    assert len(seeds) > 60
    outcome = run_mutants(seeds, 500, 5)
    assert outcome.worst == []
    assert outcome.ends.total() == 500
    assert outcome.ends.keys() <= {STOPPED, "same answers", "wrong answers", "edgekit error"}
    assert outcome.ends[STOPPED] > 250


def test_what_ends_litert_by_itself_is_refused() -> None:
    model = depthwise()
    hostile = model.op(
        inputs=model.ops[0].inputs[:2]
    ).build()  # without bias; found by an earlier run of this fuzzer
    assert alone(hostile) == "crash"
    with pytest.raises(MalformedModelError, match="it has 2 inputs, and takes 3"):
        check_variant(MODEL, hostile)


def test_the_judge_sees_crashes_hangs_and_wrong_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    import models

    assert in_fork(lambda: os.kill(os.getpid(), signal.SIGSEGV)) == ("crash", "SIGSEGV")
    assert in_fork(lambda: os.abort()) == ("crash", "SIGABRT")
    assert in_fork(lambda: {}["x"]) == ("error", "KeyError")
    assert in_fork(lambda: 7) == ("done", 7)
    seeds = {seed.name: seed for seed in find_seeds()}
    assert judged(seeds["ADD"], seeds["ADD"].model) == "same answers"
    assert judged(seeds["MAXIMUM"], seeds["MINIMUM"].model) == "wrong answers"
    assert judged(seeds["ADD"], seeds["CONV_2D"].model) == "edgekit error"
    monkeypatch.setattr(models, "TIMEOUT_S", 0.2)
    assert in_fork(lambda: time.sleep(60)) == ("hang", None)
