"""`profile_ops` on real small models: what it says of operators, and how it fails. Nothing is asserted on time."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ops_models import cnn, conditional, mixed, random_inputs
from tflite_models import Net, conv, net

from edgekit.backends import Kernels
from edgekit.backends.litert import LiteRtBackend
from edgekit.backends.simulated import SimulatedBackend, Simulation
from edgekit.backends.tinymodel import TinyTensor, write_model
from edgekit.errors import InputError, MalformedModelError, ProfileError, SessionError
from edgekit.profiling import ops as profiling
from edgekit.profiling.ops import OpsProfile, profile_ops
from edgekit.profiling.ops.answer import INSTEAD
from edgekit.profiling.ops.litert_c import VERSION
from edgekit_targets.cost import macs
from edgekit_targets.ops import view
from edgekit_targets.tflite import read_graph

BACKEND = LiteRtBackend()

needs_profiler = pytest.mark.skipif(
    BACKEND.version != VERSION, reason=f"LiteRT's profiler is known of version {VERSION} only"
)
METHODS = [pytest.param("prefix"), pytest.param("litert", marks=needs_profiler)]


def profile(model: bytes, **changes: Any) -> OpsProfile:
    """A profile of few runs."""
    wanted: dict[str, Any] = {
        "threads": 1, "kernels": "xnnpack", "backend": BACKEND, "method": "prefix", "runs": 20,
        "inputs": random_inputs(read_graph(model)),
    } | changes  # fmt: skip
    return profile_ops(model, **wanted)


def tokens() -> Net:
    """One operator that takes int32."""
    from tflite_models import T

    table = T((4, 2), "INT8", 0.5, data=np.arange(8).reshape(4, 2))
    return net(
        "GATHER",
        {"table": table, "tokens": T((1, 3), "INT32")},
        {"y": T((1, 3, 2), "INT8", 0.5)},
        table="GatherOptions",
        version=2,
    )


@pytest.mark.parametrize("make", [conv, tokens, cnn, mixed, conditional])
@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
@pytest.mark.parametrize("method", METHODS)
def test_a_profile_accounts_for_every_operator(method: str, kernels: Kernels, make: Any) -> None:
    model = make().build()
    ops = view(read_graph(model))
    found = profile(model, method=method, kernels=kernels)
    assert found.method == method
    assert [(op.index, op.opcode, op.name) for op in found.ops] == [(o.index, o.title, o.name) for o in ops]
    assert [op.macs for op in found.ops] == [macs(o) or None for o in ops]
    assert all(op.time_ns >= 0 for op in found.ops)
    assert found.whole_ns > 0
    assert found.call_ns > 0
    assert found.sum_ns == pytest.approx(found.call_ns + sum(op.time_ns for op in found.ops))
    assert found.ratio == pytest.approx(found.sum_ns / found.whole_ns)
    assert sum(op.share for op in found.ops) == pytest.approx(1 - found.call_ns / found.sum_ns)
    assert OpsProfile.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_macs_and_their_rate() -> None:
    found = profile(cnn().build())
    by_name = {op.opcode: op for op in found.ops}
    assert by_name["CONV_2D"].macs == 8 * 8 * 4 * 3 * 3 * 3
    assert by_name["DEPTHWISE_CONV_2D"].macs == 8 * 8 * 4 * 3 * 3
    assert by_name["FULLY_CONNECTED"].macs == 64 * 10
    assert by_name["SOFTMAX"].macs is None
    for op in found.ops:
        if op.macs and op.time_ns:
            assert op.gmac_per_s == pytest.approx(op.macs / op.time_ns)
        else:
            assert op.gmac_per_s is None


@pytest.mark.parametrize("method", METHODS)
def test_who_runs_what(method: str) -> None:
    """What is forecast for differences is what LiteRT's profiler tells."""
    for make, outside in ((cnn, ["SOFTMAX"]), (mixed, ["NEG", "RELU"]), (tokens, ["GATHER"])):
        found = profile(make().build(), method=method)
        assert [op.opcode for op in found.ops if op.delegate is None] == outside
        assert {op.delegate for op in found.ops} <= {"XNNPACK", None}
        builtin = profile(make().build(), method=method, kernels="builtin")
        assert {op.delegate for op in builtin.ops} == {None}


def test_notes_of_differences() -> None:
    note = profile(cnn().build()).note
    assert note.startswith("Differences between ever longer prefixes of the model, ")
    assert re.search(
        r"model, [\d,]+ calls of each\. Taken 5 times, the time of a prefix varies by [\d.]+ us", note
    )
    assert "XNNPACK may do a padding (op 0) inside the convolution behind it" in note
    assert "padding" not in profile(cnn().build(), kernels="builtin").note
    assert "padding" not in profile(mixed().build()).note


@needs_profiler
def test_notes_of_the_profiler() -> None:
    note = profile(cnn().build(), method="litert").note
    assert note == (
        "LiteRT's profiler counts in whole microseconds, 20 runs: what takes about one or less is rounded. "
        "Without a time of their own, done inside another operator: 0 (PAD)."
    )
    assert "inside" not in profile(cnn().build(), method="litert", kernels="builtin").note


@pytest.mark.parametrize("threads", [None, 2])
@pytest.mark.parametrize("method", METHODS)
def test_threads_are_passed_on(method: str, threads: int | None) -> None:
    assert len(profile(cnn().build(), method=method, threads=threads).ops) == 8


def test_more_prefixes_than_may_be_open_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.profiling.ops import prefixes

    monkeypatch.setattr(prefixes, "PANEL_BYTES", 0)  # two at a time
    found = profile(cnn().build())
    assert len(found.ops) == 8
    assert found.sum_ns == pytest.approx(found.call_ns + sum(op.time_ns for op in found.ops))


def test_names_out_of_the_file_are_escaped() -> None:
    found = profile(conv().rename(y="evil\x1b[2J\n").build())
    assert found.ops[0].name == "evil\\x1b[2J\\n"


# Refusals.


@pytest.mark.parametrize("method", ["auto", "prefix", *METHODS[1:]])
def test_a_model_without_operators_is_refused(method: str) -> None:
    model = write_model([TinyTensor("x", (1, 4), "int8", 0.5)], [0], [0], description="nothing to do")
    with pytest.raises(ProfileError, match="the model has no operators") as caught:
        profile(model, method=method)
    assert caught.value.hint is not None
    assert "leave --ops out" in caught.value.hint


@pytest.mark.parametrize("method", ["auto", "prefix", *METHODS[1:]])
@pytest.mark.parametrize("model", [b"", b"nonsense", b"\x1c\0\0\0TFL3"])
def test_what_is_no_model_is_refused(method: str, model: bytes) -> None:
    with pytest.raises(MalformedModelError) as caught:
        profile(model, method=method, inputs=[])
    assert caught.value.hint


@pytest.mark.parametrize("method", ["auto", "prefix", *METHODS[1:]])
def test_inputs_of_another_model_are_refused(method: str) -> None:
    model = mixed().build()
    fit = np.zeros((1, 16), np.int8)
    with pytest.raises(InputError, match="the model has 2 inputs, and got 1 arrays"):
        profile(model, method=method, inputs=[fit])
    with pytest.raises(
        InputError, match=r"input 1 of the model takes int8 of shape \(1, 16\), and got float32"
    ):
        profile(model, method=method, inputs=[fit, fit.astype(np.float32)])
    with pytest.raises(InputError, match=r"input 0 .* and got int8 of shape \(16,\)"):
        profile(model, method=method, inputs=[fit[0], fit])


def unknown_to_litert() -> bytes:
    """A sound file whose operator no runtime has."""
    return cnn().op(7, opcode="CUSTOM", table=None, options={}, custom_code="Quux").build()


@pytest.mark.parametrize("method", ["auto", "prefix"])
def test_a_model_that_the_runtime_refuses(method: str) -> None:
    with pytest.raises(SessionError, match="refuses the model"):
        profile(unknown_to_litert(), method=method)


@needs_profiler
def test_a_model_that_the_profiler_refuses() -> None:
    with pytest.raises(
        ProfileError, match=r"LiteRT's profiler: ai-edge-litert .* refuses the model"
    ) as caught:
        profile(unknown_to_litert(), method="litert")
    assert caught.value.hint == INSTEAD


def test_a_runtime_that_runs_the_whole_and_not_a_part_is_named() -> None:
    """The Simulation is unplugged after the whole has run, before the first prefix is opened."""
    from edgekit.backends.faults import Unplug

    model = cnn().build()
    backend = SimulatedBackend(Simulation(faults=[Unplug(after=6)]))
    with pytest.raises(ProfileError, match="simulated does not run the first 0 operators") as caught:
        profile(model, backend=backend)
    assert caught.value.hint is not None
    assert "leave --ops out" in caught.value.hint


# Where "auto" turns to prefixes, and says why.


def test_auto_takes_prefixes_on_other_runtimes() -> None:
    found = profile(cnn().build(), method="auto", backend=SimulatedBackend(Simulation()))
    assert found.method == "prefix"
    assert found.note.startswith(
        "LiteRT's own profiler cannot be used: it is that of ai-edge-litert 2.3.0, and the"
    )
    with pytest.raises(ProfileError, match="and the runtime is simulated") as caught:
        profile(cnn().build(), method="litert", backend=SimulatedBackend(Simulation()))
    assert caught.value.hint == INSTEAD


@needs_profiler
def test_auto_takes_prefixes_for_kernels_that_the_profiler_cannot_run() -> None:
    found = profile(cnn().build(), method="auto", kernels="reference")
    assert found.method == "prefix"
    assert found.note.startswith(
        "LiteRT's own profiler cannot be used: it cannot run the reference kernels. Diff"
    )


@needs_profiler
def test_auto_takes_prefixes_for_fast_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "LEAST_OP_NS", 10**15)
    found = profile(cnn().build(), method="auto")
    assert found.method == "prefix"
    assert found.note.startswith(
        "LiteRT's profiler counts in whole microseconds, too coarse for operators of "
    )


@needs_profiler
def test_auto_takes_the_profiler_for_slow_models_where_its_sum_is_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiling, "LEAST_OP_NS", 0)
    monkeypatch.setattr(profiling, "MOST_OFF", float("inf"))
    assert profile(cnn().build(), method="auto").method == "litert"


@needs_profiler
def test_auto_takes_prefixes_where_the_profiler_does_not_account_for_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiling, "LEAST_OP_NS", 0)
    monkeypatch.setattr(profiling, "MOST_OFF", -1.0)
    found = profile(cnn().build(), method="auto")
    assert found.method == "prefix"
    assert found.note.startswith("LiteRT's profiler is not believed: its times make ")


@pytest.fixture
def instead_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script in the place of the Python that runs the child."""

    def put(script: str) -> None:
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return put


@needs_profiler
def test_auto_survives_a_child_that_dies(
    instead_of_python: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "LEAST_OP_NS", 0)
    instead_of_python("echo 'no such kernel' >&2; kill -ABRT $$")
    found = profile(cnn().build(), method="auto")
    assert found.method == "prefix"
    assert found.note.startswith("LiteRT's profiler died of SIGABRT: no such kernel. Differences ")
    with pytest.raises(ProfileError, match="LiteRT's profiler died of SIGABRT: no such kernel") as caught:
        profile(cnn().build(), method="litert")
    assert caught.value.hint == INSTEAD


@needs_profiler
def test_a_python_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ProfileError, match=r"it needs a Python of its own, and sys\.executable names none"):
        profile(cnn().build(), method="litert")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ProfileError, match=r"cannot be started: .*No such file") as caught:
        profile(cnn().build(), method="litert")
    assert caught.value.hint == INSTEAD
