"""Whole profiles of real small bundles, in fresh processes and in this one."""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit import errors
from edgekit.arrays import write_arrays
from edgekit.backends.simulated import Simulation
from edgekit.bundle import read_unverified, write_bundle
from edgekit.errors import (
    BundleError,
    EdgekitError,
    InputError,
    MalformedBundleError,
    OutputError,
    ProfileError,
    SessionError,
    TrustRequiredError,
    WorkerCrashedError,
)
from edgekit.manifest import GoldenRecord, Manifest, Preprocessing, TensorSpec
from edgekit.profiling import profile_session
from edgekit.profiling.children import rebuilt
from edgekit.profiling.conduct import profile_bundle
from edgekit.profiling.plan import Plan
from edgekit.profiling.record import Profile
from edgekit.profiling.text import describe
from edgekit.profiling.verdict import do_not_compare

pytestmark = pytest.mark.filterwarnings("ignore:this bundle runs unsigned")

SHORT = Plan(unsigned=True, runs=3, warmup=1)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def golden_file(tmp_path: Path, manifest: Manifest, dense: Any, true_answers: Callable[..., Any]) -> Path:
    """A bundle with three golden inputs."""
    said = replace(
        manifest,
        inputs=dense.inputs,
        outputs=dense.outputs,
        labels=None,
        golden=GoldenRecord(3, 0, "drawn", {"xnnpack": 1}),
        runtime={"model.tflite": {"litert": "2.0.0"}},
    )
    inputs = np.arange(144).astype(np.int8).reshape(3, 4, 4, 3)
    golden = write_arrays({"input.0": inputs, **true_answers(dense, inputs)})
    path = tmp_path / "golden.edgekit"
    members = {"model.tflite": dense.model, "manifest.json": said.to_bytes(), "golden.npz": golden}
    path.write_bytes(write_bundle(members))
    return path


def test_a_whole_profile(golden_file: Path, scratch: Path) -> None:
    """One process a configuration: threads 1 and 2, and batches of 3 on the first number of threads."""
    held = np.ones(25 << 20, np.float64)  # 200 MB of this process, which the others' peaks have nothing of
    plan = replace(SHORT, threads=(1, 2), batches=(1, 3))
    done: list[int] = []
    started = datetime.now(UTC).replace(microsecond=0)
    profile = profile_bundle(golden_file, plan, lambda: done.append(1))

    assert len(done) == len(plan.steps) == 3
    assert list(scratch.iterdir()) == []
    assert started <= datetime.fromisoformat(profile.created) <= datetime.now(UTC)
    bundle = read_unverified(golden_file.read_bytes())
    assert (profile.bundle.name, profile.bundle.version) == (bundle.manifest.name, bundle.manifest.version)
    assert (profile.bundle.digest, profile.bundle.variant) == (bundle.digest, "model.tflite")
    assert (profile.device, profile.kernels, profile.threads, profile.fallback) == ("cpu", "xnnpack", 1, None)
    assert profile.runtime.startswith("ai-edge-litert ")
    assert profile.inputs == "3 golden inputs of the bundle"
    assert (profile.warmup, profile.steady.runs) == (1, 3)
    assert profile.ops is None

    memory = profile.memory
    assert memory.scope == "own process"
    assert memory.model_bytes == len(bundle.members["model.tflite"])
    assert memory.arena_bytes is not None
    assert memory.peak_rss_bytes is not None
    assert memory.baseline_rss_bytes is not None
    assert 4 << 20 < memory.baseline_rss_bytes < memory.peak_rss_bytes < held.nbytes

    assert profile.load_ns is not None
    assert profile.first_ns is not None
    assert min(profile.load_ns, profile.first_ns) > 0
    assert [point.threads for point in profile.threads_sweep] == [1, 2]
    assert profile.threads_sweep[0].steady == profile.steady  # measured once, not twice
    assert profile.threads_sweep[1].steady != profile.steady
    assert [point.batch for point in profile.batch_sweep] == [1, 3]
    assert profile.batch_sweep[0].steady == profile.steady
    assert profile.batch_sweep[1].steady.runs == 3
    assert profile.verdict == do_not_compare(profile.conditions_before, profile.conditions_after)

    assert_consistent(profile)
    assert Profile.from_bytes(profile.to_bytes()) == profile
    assert "batch  p50 a call" in describe(profile)


def assert_consistent(profile: Profile, samples: int = 1) -> None:
    """What holds however fast the machine is: times within a run lie within the run, and all runs in a row."""
    stages, steady = profile.stages, profile.steady
    columns = (stages.preprocess_samples_ns, stages.invoke_samples_ns, stages.postprocess_samples_ns)
    for whole, *parts in zip(steady.samples_ns, *columns, strict=True):
        assert 0 < sum(parts) <= whole
    ends = [start + taken for start, taken in zip(stages.started_ns, steady.samples_ns, strict=True)]
    assert stages.started_ns[0] == 0
    assert all(end <= start for end, start in zip(ends, stages.started_ns[1:], strict=False))
    assert profile.throughput_per_s == pytest.approx(samples * steady.runs * 1e9 / ends[-1])
    assert profile.conditions_before.at_ns < profile.conditions_after.at_ns
    assert profile.conditions_after.at_ns - profile.conditions_before.at_ns > ends[-1]


def test_one_run_without_a_warm_up(bundle_file: Callable[..., Path], dense: Any, scratch: Path) -> None:
    profile = profile_bundle(bundle_file(dense), Plan(unsigned=True, runs=1, warmup=0))
    assert (profile.steady.runs, profile.steady.jitter_ns, profile.warmup) == (1, 0, 0)
    assert profile.steady.min_ns == profile.steady.p50_ns == profile.steady.max_ns
    assert profile.threads is None
    assert profile.threads_sweep == profile.batch_sweep == ()
    assert profile.inputs == "16 samples of random values"
    assert_consistent(profile)
    assert "1 run after 0 of warm-up" in describe(profile)


def test_several_inputs_and_the_users_own_files(
    bundle_file: Callable[..., Path], pair: Any, tmp_path: Path
) -> None:
    np.save(tmp_path / "left.npy", np.ones((5, 2), np.float32))
    np.save(tmp_path / "right.npy", np.ones((5, 2), np.float32))
    words = (f"left={tmp_path}/left.npy", f"right={tmp_path}/right.npy")
    profile = profile_bundle(bundle_file(pair), replace(SHORT, inputs=words, batches=(2,)))
    assert profile.inputs == "5 samples from files"
    assert profile.batch_sweep[0].batch == 2


def test_operators_are_timed_quietly_in_this_process(bundle_file: Callable[..., Path], dense: Any) -> None:
    entered: list[str] = []

    @contextmanager
    def quietly() -> Iterator[None]:
        entered.append("in")
        yield
        entered.append("out")

    done: list[int] = []
    plan = replace(SHORT, ops="prefix")
    profile = profile_bundle(bundle_file(dense), plan, lambda: done.append(1), quietly=quietly)
    assert profile.ops is not None
    assert (profile.ops.method, [op.opcode for op in profile.ops.ops]) == ("prefix", ["FULLY_CONNECTED"])
    assert entered == ["in", "out"]
    assert len(done) == len(plan.steps) + 1
    assert Profile.from_bytes(profile.to_bytes()) == profile


def test_trust_must_be_given(golden_file: Path, scratch: Path) -> None:
    with pytest.raises(TrustRequiredError, match="nothing says whether this bundle can be trusted") as caught:
        profile_bundle(golden_file, replace(SHORT, unsigned=False))
    assert caught.value.hint is not None
    assert "--unsigned" in caught.value.hint
    assert list(scratch.iterdir()) == []


def test_a_bundle_that_the_runtime_is_too_old_for(
    tmp_path: Path, manifest: Manifest, dense: Any, scratch: Path
) -> None:
    said = replace(
        manifest,
        inputs=dense.inputs,
        outputs=dense.outputs,
        labels=None,
        golden=None,
        runtime={"model.tflite": {"litert": "99.0"}},
    )
    path = tmp_path / "future.edgekit"
    path.write_bytes(write_bundle({"model.tflite": dense.model, "manifest.json": said.to_bytes()}))
    with pytest.raises(SessionError, match="the bundle needs litert 99") as caught:
        profile_bundle(path, SHORT)
    assert caught.value.hint == "pip install --upgrade 'edgekit[runtime]'"
    assert list(scratch.iterdir()) == []


def test_a_model_that_is_not_the_manifests(bundle_file: Callable[..., Path], dense: Any) -> None:
    wrong = replace(dense, inputs=(replace(dense.inputs[0], zero_point=0),))
    with pytest.raises(SessionError, match="zero point of input 'pixels' is 0 in the manifest and -128"):
        profile_bundle(bundle_file(wrong), SHORT)


def test_an_edge_tpu_that_is_not_there(golden_file: Path) -> None:
    with pytest.raises(EdgekitError, match=r"model_edgetpu\.tflite") as caught:
        profile_bundle(golden_file, replace(SHORT, device="usb"))
    assert type(caught.value) is errors.DeviceError


def test_a_fallback_is_in_the_profile(golden_file: Path) -> None:
    profile = profile_bundle(golden_file, replace(SHORT, device="usb", fallback=True))
    assert profile.device == "cpu"
    assert profile.fallback is not None
    assert f"fell back to the CPU: {profile.fallback}" in describe(profile)


@pytest.mark.parametrize(
    ("content", "error"), [(None, BundleError), (b"", MalformedBundleError), (b"PK", MalformedBundleError)]
)
def test_files_that_are_no_bundle_start_no_process(
    tmp_path: Path, scratch: Path, content: bytes | None, error: type[Exception]
) -> None:
    path = tmp_path / "x.edgekit"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=r"x\.edgekit"):
        profile_bundle(path, SHORT)


def test_a_file_that_does_not_fit_the_model_is_refused(
    golden_file: Path, tmp_path: Path, scratch: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 4, 3), np.float32))
    with pytest.raises(InputError, match="input 'pixels': the sample is float32"):
        profile_bundle(golden_file, replace(SHORT, inputs=(str(tmp_path / "x.npy"),)))
    assert list(scratch.iterdir()) == []


def test_a_batch_that_is_too_large_is_refused(golden_file: Path, scratch: Path) -> None:
    done: list[int] = []
    with pytest.raises(InputError, match="a batch of 100000000 takes"):
        profile_bundle(golden_file, replace(SHORT, batches=(2, 100_000_000)), lambda: done.append(1))
    assert done == []  # before anything was measured
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("last_act", "ending"),
    [
        (
            "print('libfoo: cannot go on'); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGSEGV)",
            "was killed by SIGSEGV",
        ),
        ("print('libfoo: cannot go on'); sys.stdout.flush(); os.abort()", "was killed by SIGABRT"),
        (
            "print('libfoo: cannot go on', file=sys.stderr, flush=True); os._exit(7)",
            "failed with exit code 7",
        ),
        ("print('libfoo: cannot go on', flush=True); os._exit(0)", "failed with exit code 0"),
    ],
)
def test_a_runtime_that_dies_is_named_and_takes_only_its_process_along(
    golden_file: Path,
    scratch: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last_act: str,
    ending: str,
) -> None:
    package = tmp_path / "broken" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(f"import os, signal, sys\n{last_act}\n")
    (package.parent / "ai_edge_litert-2.3.0.dist-info").mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), *filter(None, sys.path)]))
    with pytest.raises(WorkerCrashedError) as caught:
        profile_bundle(golden_file, SHORT)
    assert str(caught.value) == f"the process that measured {ending}: libfoo: cannot go on"
    assert caught.value.hint is not None
    assert "edgekit doctor" in caught.value.hint
    assert list(scratch.iterdir()) == []


def test_what_lies_in_the_working_folder_is_not_imported(
    golden_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("import os; os._exit(9)")
    (tmp_path / "edgekit.py").write_text("import os; os._exit(9)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert profile_bundle(golden_file, SHORT).steady.runs == 3


def test_a_python_that_cannot_be_started(
    bundle_file: Callable[..., Path], dense: Any, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a bundle that has nothing to test, so that the process which measures is the first."""
    monkeypatch.setattr(sys, "executable", "/absent/python")
    with pytest.raises(WorkerCrashedError, match=r"cannot be started: /absent/python: No such file"):
        profile_bundle(bundle_file(dense), SHORT)
    assert list(scratch.iterdir()) == []


def test_no_room_for_temporary_files(
    golden_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(OutputError, match="cannot write temporary files: No such file") as caught:
        profile_bundle(golden_file, SHORT)
    assert caught.value.hint is not None
    assert "TMPDIR" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("SessionError", errors.SessionError),
        ("DeviceError", errors.DeviceError),
        ("TrustRequiredError", errors.TrustRequiredError),
        ("MissingExtraError", ProfileError),  # its constructor takes something else
        ("SystemExit", ProfileError),
        ("MISSING", ProfileError),
        ("__all__", ProfileError),
    ],
)
def test_an_error_of_another_process_is_rebuilt(kind: str, expected: type[EdgekitError]) -> None:
    error = rebuilt(kind, "it broke", "mend it")
    assert type(error) is expected
    assert (str(error), error.hint) == ("it broke", "mend it")


# In this process.


def test_a_session_profiles_itself(bundle_file: Callable[..., Path], dense: Any) -> None:
    with edgekit.load(bundle_file(dense), trust=edgekit.UNSIGNED, threads=2) as session:
        profile = session.profile(np.zeros((4, 4, 3), np.uint8), runs=5, warmup=2)
    assert (profile.steady.runs, profile.warmup, profile.inputs) == (5, 2, "one sample of the caller")
    assert (profile.device, profile.threads, profile.runtime) == ("cpu", 2, session.runtime)
    assert (profile.load_ns, profile.first_ns, profile.bundle.digest) == (None, None, None)
    assert (profile.memory.scope, profile.memory.model_bytes) == ("shared process", None)
    assert profile.verdict == do_not_compare(profile.conditions_before, profile.conditions_after)
    assert_consistent(profile)
    assert Profile.from_bytes(profile.to_bytes()) == profile
    text = describe(profile)
    assert "unknown (the session was open already)" in text
    assert "(whatever else the process did)" in text


def test_a_session_without_a_sample_draws_some(bundle_file: Callable[..., Path], pair: Any) -> None:
    with edgekit.load(bundle_file(pair), trust=edgekit.UNSIGNED) as session:
        profile = session.profile(runs=1, warmup=0)
    assert (profile.inputs, profile.steady.runs) == ("16 samples of random values", 1)


def test_a_batch_counts_as_its_samples(bundle_file: Callable[..., Path], dense: Any) -> None:
    with edgekit.load(bundle_file(dense), trust=edgekit.UNSIGNED) as session:
        profile = session.profile(np.zeros((8, 4, 4, 3), np.uint8), runs=3, warmup=0)
    assert profile.inputs == "a batch of 8 samples of the caller"
    assert profile.steady.runs == 3
    assert_consistent(profile, samples=8)


def test_every_run_and_no_other_reaches_the_device() -> None:
    seen: list[int] = []

    def answer(inputs: Any) -> Any:
        seen.append(len(inputs))
        return {"y": np.zeros((1, 2), np.int8)}

    spec = TensorSpec("x", (1, 2), "int8", 0.5, 0, None, Preprocessing("array", "float32"))
    out = TensorSpec("y", (1, 2), "int8", 0.5, 0)
    with Simulation(answers=answer).session([spec], [out]) as session:
        profile = profile_session(session, runs=20, warmup=3)
    assert len(seen) == 23
    assert (profile.device, profile.bundle.variant) == ("simulated", "model.tflite")


@pytest.mark.parametrize("settings", [{"runs": 0}, {"runs": -1}, {"warmup": -1}])
def test_numbers_that_make_no_sense(
    bundle_file: Callable[..., Path], dense: Any, settings: dict[str, int]
) -> None:
    with (
        edgekit.load(bundle_file(dense), trust=edgekit.UNSIGNED) as session,
        pytest.raises(ProfileError, match=f"{next(iter(settings))} must be at least"),
    ):
        session.profile(**settings)


def test_a_closed_session_and_a_wrong_sample(bundle_file: Callable[..., Path], dense: Any) -> None:
    with (
        edgekit.load(bundle_file(dense), trust=edgekit.UNSIGNED) as session,
        pytest.raises(InputError, match="float32"),
    ):
        session.profile(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(SessionError, match="closed"):
        session.profile()


def test_session_profile_is_public_and_says_what_it_takes() -> None:
    method = edgekit.Session.profile
    said = inspect.getdoc(method) or ""
    for name in list(inspect.signature(method).parameters)[1:]:
        assert f"    {name}: " in said
    for error in ("InputError", "ProfileError", "SessionError"):
        assert f"    {error}: " in said
