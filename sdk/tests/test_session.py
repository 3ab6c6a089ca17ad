from __future__ import annotations

import gc
import pickle
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import edgekit
from edgekit.bundle import read_unverified
from edgekit.errors import (
    BadSampleError,
    BundleError,
    DeviceError,
    InputError,
    KeyFileError,
    MalformedBundleError,
    SessionError,
    StateError,
    TrustRequiredError,
)
from edgekit.manifest import Preprocessing
from edgekit.result import best_labels
from edgekit.session import Session
from edgekit.trust import UnsignedBundleWarning, accept_unsigned


def f32(values: object) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


def i8(values: object) -> np.ndarray[Any, Any]:
    return np.array(values, np.int8)


pytestmark = pytest.mark.filterwarnings("ignore::edgekit.trust.UnsignedBundleWarning")

LABELS = ("red", "green", "blue")


@pytest.fixture
def opened(bundle_file: Callable[..., Path], dense: Any) -> Session:
    return edgekit.load(bundle_file(dense, LABELS), trust=edgekit.UNSIGNED)


def photo(red: int = 51, green: int = 255, blue: int = 0, size: int = 4) -> np.ndarray[Any, Any]:
    return np.full((size, size, 3), (red, green, blue), np.uint8)


def test_a_photo_becomes_labels(opened: Session) -> None:
    result = opened.run(photo())
    # 51/255 = 0.2 real, 0.2 * 127 = 25.4 -> 25 steps, each of 1/127
    np.testing.assert_array_equal(result.quantized["scores"], i8([[25, 127, 0]]))
    np.testing.assert_allclose(result.outputs["scores"], [[25 / 127, 1, 0]], rtol=1e-6)
    assert result.outputs["scores"].dtype == np.float32
    assert [name for name, _ in result.labels] == ["green", "red", "blue"]
    assert result.labels[1][1] == pytest.approx(25 / 127)
    assert min(result.timing.preprocess_ns, result.timing.invoke_ns, result.timing.postprocess_ns) > 0


def test_the_batch_axis_may_stand_there(opened: Session) -> None:
    assert opened.run(photo()[np.newaxis]).labels == opened.run(photo()).labels


def test_top_limits_the_labels(opened: Session) -> None:
    assert len(opened.run(photo(), top=1).labels) == 1
    assert len(opened.run(photo(), top=np.int64(2)).labels) == 2  # type: ignore[arg-type]
    assert opened.run(photo(), top=0).labels == ()


@pytest.mark.parametrize("top", [-1, "2", 1.5, None])
def test_a_top_that_makes_no_sense_is_refused(opened: Session, top: Any) -> None:
    with pytest.raises(InputError, match="top must be") as caught:
        opened.run(photo(), top=top)
    assert caught.value.hint is not None


def test_a_photo_file_is_read_and_resized(opened: Session, tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    path = tmp_path / "green.png"
    pillow.fromarray(photo(size=9)).save(path)
    assert opened.run(path).labels == opened.run(str(path)).labels == opened.run(photo()).labels


def test_a_frame_of_another_size_is_resized_as_the_manifest_says(opened: Session) -> None:
    pytest.importorskip("PIL.Image")
    assert opened.run(photo(size=9)).labels == opened.run(photo()).labels


def test_an_unreadable_photo_is_named(opened: Session, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(BadSampleError, match=r"broken\.png"):
        opened.run(tmp_path / "broken.png")


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4, 1), np.uint8), "shape"),
        (np.zeros((2, 4, 4, 1), np.uint8), "shape"),
        (np.zeros((0, 4, 4, 3), np.uint8), "the batch holds no samples"),
        (object(), "input 'pixels'"),
        ({"pixel": photo()}, "no input 'pixel'"),
        ({}, "no value is given for the input(s) pixels"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused(opened: Session, sample: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        opened.run(sample)
    assert message in str(caught.value)


def test_nan_is_refused(bundle_file: Callable[..., Path], make_dense: Callable[..., Any]) -> None:
    built = make_dense((1, 6), 3, Preprocessing("array", "float32"), None)
    with edgekit.load(bundle_file(built), trust=edgekit.UNSIGNED) as session:
        assert session.run(f32([1, 0, 0, 1, 0, 0])).outputs["scores"].tolist() == [[1, 0, 0]]
        with pytest.raises(InputError, match="NaN"):
            session.run(f32([np.nan, 0, 0, 0, 0, 0]))


def test_a_path_for_an_array_input_is_refused(
    bundle_file: Callable[..., Path], make_dense: Callable[..., Any]
) -> None:
    built = make_dense((1, 6), 3, Preprocessing("array", "float32"), None)
    with (
        edgekit.load(bundle_file(built), trust=edgekit.UNSIGNED) as session,
        pytest.raises(InputError, match="takes arrays, and got a path"),
    ):
        session.run("x.npy")


def test_several_inputs_and_outputs_go_by_name(bundle_file: Callable[..., Path], pair: Any) -> None:
    with edgekit.load(bundle_file(pair), trust=edgekit.UNSIGNED) as session:
        sample = {"right": f32([3, 4.5]), "left": f32([1, 2])}
        result = session.run(sample)
        assert list(result.outputs) == ["sum", "both"]
        assert result.outputs["sum"].tolist() == [[4, 7]]  # 6.5 lies between two steps of 1.0
        assert result.outputs["both"].tolist() == [[1, 2, 3, 4.5]]
        assert result.labels == ()
        quantized = session.run_quantized({"left": i8([2, 4]), "right": i8([[6, 9]])})
        assert isinstance(quantized, dict)
        assert {name: array.tolist() for name, array in quantized.items()} == {
            "sum": [[4, 7]],
            "both": [[2, 4, 6, 9]],
        }
        with pytest.raises(InputError, match="2 inputs, and one value"):
            session.run(f32([1, 2]))
        with pytest.raises(InputError, match="right"):
            session.run({"left": f32([1, 2])})


def test_integer_inputs_are_taken_as_they_are(bundle_file: Callable[..., Path], tokens: Any) -> None:
    with edgekit.load(bundle_file(tokens), trust=edgekit.UNSIGNED) as session:
        result = session.run(np.array([3, 0, 1], np.int64))
        assert result.outputs["embedded"].tolist() == [[[3, 3.5], [0, 0.5], [1, 1.5]]]
        for bad in (f32([3, 0, 1]), np.array([3, 0, 2**40]), np.array([3, 0])):
            with pytest.raises(InputError, match="'tokens': takes int"):
                session.run(bad)


def test_run_quantized_is_the_bare_model(opened: Session) -> None:
    stored = photo().astype(np.int16) - 128
    answer = opened.run_quantized(stored.astype(np.int8))
    assert isinstance(answer, np.ndarray)
    assert answer.dtype == np.int8
    assert answer.tolist() == [[25, 127, 0]]
    answer[:] = 1
    assert opened.run(photo()).quantized["scores"].tolist() == [[25, 127, 0]]


@pytest.mark.parametrize("sample", [photo(), np.zeros((1, 4, 4), np.int8), np.zeros((1, 48), np.int8)])
def test_run_quantized_takes_no_other_dtype_or_shape(opened: Session, sample: Any) -> None:
    with pytest.raises(InputError, match=r"takes int8 of shape \(1, 4, 4, 3\)"):
        opened.run_quantized(sample)


def test_a_batch_gives_one_result_with_a_row_a_sample(opened: Session) -> None:
    batch = np.stack([photo(51), photo(0, 255, 0), photo(0, 0, 255)])
    result = opened.run(batch)
    assert result.quantized["scores"].tolist() == [[25, 127, 0], [0, 127, 0], [0, 0, 127]]
    assert result.outputs["scores"].shape == (3, 3)
    assert [labels[0][0] for labels in result.ranking] == ["green", "green", "blue"]
    assert len(result) == len(result.timings) == 3
    assert result.timing.invoke_ns == sum(each.invoke_ns for each in result.timings)
    alone = [opened.run(sample) for sample in batch]
    for one, other in zip(result, alone, strict=True):
        assert one.labels == other.labels
        np.testing.assert_array_equal(one.outputs["scores"], other.outputs["scores"])
    assert result[-1].labels[0][0] == "blue"
    with pytest.raises(IndexError, match="no sample 3 among 3"):
        result[3]
    with pytest.raises(InputError, match="3 samples, each with labels of its own") as caught:
        result.labels  # noqa: B018
    assert "result[i].labels" in str(caught.value.hint)


def test_a_batch_by_name(bundle_file: Callable[..., Path], pair: Any) -> None:
    with edgekit.load(bundle_file(pair), trust=edgekit.UNSIGNED) as session:
        result = session.run({"left": f32([[1, 2], [0, 0]]), "right": f32([[3, 4.5], [1, 1]])})
        assert result.outputs["both"].tolist() == [[1, 2, 3, 4.5], [0, 0, 1, 1]]
        quantized = session.run_quantized({"left": i8([[2, 4], [0, 0]]), "right": i8([[6, 9], [2, 2]])})
        assert isinstance(quantized, dict)
        assert quantized["both"].tolist() == [[2, 4, 6, 9], [0, 0, 2, 2]]


def test_run_quantized_takes_a_batch(opened: Session) -> None:
    stored = (np.stack([photo(), photo(0, 0, 255)]).astype(np.int16) - 128).astype(np.int8)
    answers = opened.run_quantized(stored)
    assert isinstance(answers, np.ndarray)
    assert answers.tolist() == [[25, 127, 0], [0, 0, 127]]
    assert np.asarray(opened.run_quantized(stored[0])).tolist() == [[25, 127, 0]]
    assert np.asarray(opened.run_quantized({"pixels": stored[:1]})).tolist() == [[25, 127, 0]]


def test_no_later_call_changes_what_was_returned(opened: Session) -> None:
    stored = (photo().astype(np.int16) - 128).astype(np.int8)[np.newaxis]
    kept = [opened.run_quantized(stored), opened.run(photo())]
    for _ in range(3):
        opened.run_quantized(np.full_like(stored, -128))
        opened.run(photo(0, 0, 0))
    assert np.asarray(kept[0]).tolist() == [[25, 127, 0]]
    assert kept[1].quantized["scores"].tolist() == [[25, 127, 0]]  # type: ignore[union-attr]


def test_run_quantized_keeps_nothing_but_what_it_returns(opened: Session) -> None:
    stored = (photo().astype(np.int16) - 128).astype(np.int8)[np.newaxis]
    for _ in range(100):
        opened.run_quantized(stored)
    only_edgekit = tracemalloc.Filter(True, str(Path(edgekit.__file__).parent / "*"))
    tracemalloc.start(1)
    try:
        before = tracemalloc.take_snapshot().filter_traces([only_edgekit])
        for _ in range(1000):
            opened.run_quantized(stored)
        after = tracemalloc.take_snapshot().filter_traces([only_edgekit])
    finally:
        tracemalloc.stop()
    grown = sum(entry.size_diff for entry in after.compare_to(before, "filename"))
    assert grown < 1000  # less than a byte a call


def test_threads_share_run_quantized_too(opened: Session) -> None:
    samples = [(photo(red, 0, 0).astype(np.int16) - 128).astype(np.int8)[np.newaxis] for red in range(250)]
    expected = [np.asarray(opened.run_quantized(sample)).copy() for sample in samples]

    def work(first: int) -> int:
        wrong = 0
        for index in range(first, first + 2000):
            answer = opened.run_quantized(samples[index % len(samples)])
            wrong += not np.array_equal(answer, expected[index % len(samples)])
        return wrong

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(0, 100, 25))) == [0, 0, 0, 0]


def test_a_session_that_nobody_holds_is_gone(bundle_file: Callable[..., Path], dense: Any) -> None:
    session = edgekit.load(bundle_file(dense), trust=edgekit.UNSIGNED)
    session.run_quantized(np.zeros((1, 4, 4, 3), np.int8))
    there = weakref.ref(session)
    del session
    gc.collect()
    assert there() is None


def test_a_closed_session_refuses_everything(opened: Session) -> None:
    future = opened.run_async(photo())
    assert future.result(timeout=30).labels[0][0] == "green"
    opened.close()
    assert opened.closed
    stored = np.zeros((1, 4, 4, 3), np.int8)
    calls: list[Callable[[], object]] = [
        lambda: opened.run_quantized(stored),
        lambda: opened.run_async(photo()),
        lambda: opened.stream([photo()]),
        lambda: opened.profile(photo()),
        lambda: opened.run(np.stack([photo()] * 2)),
    ]
    for call in calls:
        with pytest.raises(SessionError, match="the session is closed"):
            call()


def test_a_session_says_what_runs_it(opened: Session) -> None:
    assert (opened.device, opened.kernels, opened.fallback, opened.threads) == ("cpu", "xnnpack", None, None)
    assert opened.runtime == f"ai-edge-litert {version('ai-edge-litert')}"
    result = opened.run(photo())
    assert (result.device, result.fallback) == ("cpu", None)


def test_a_fallback_is_said_in_session_and_result(bundle_file: Callable[..., Path], dense: Any) -> None:
    path = bundle_file(dense)
    with pytest.raises(DeviceError, match=r"the bundle holds no model_edgetpu\.tflite"):
        edgekit.load(path, trust=edgekit.UNSIGNED, device="usb:0")
    with edgekit.load(path, trust=edgekit.UNSIGNED, device="usb:0", fallback=True) as session:
        result = session.run(photo())
        assert (session.device, result.device) == ("cpu", "cpu")
        assert session.fallback == result.fallback
        assert "model_edgetpu.tflite" in str(result.fallback)


def test_a_result_travels_between_processes(opened: Session) -> None:
    result = opened.run(photo())
    copy = pickle.loads(pickle.dumps(result))
    assert result == result != copy  # arrays are not compared
    assert (copy.labels, copy.timing) == (result.labels, result.timing)
    np.testing.assert_array_equal(copy.outputs["scores"], result.outputs["scores"])
    with pytest.raises(AttributeError):
        result.outputs = {}  # type: ignore[misc]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pixels=arrays(np.uint8, (4, 4, 3)))
def test_run_is_preprocessing_the_model_and_dequantization(
    opened: Session, pixels: np.ndarray[Any, Any]
) -> None:
    """With scale 1/255 and zero point -128 the model's integers are the pixels less 128, exactly."""
    bare = opened.run_quantized((pixels.astype(np.int16) - 128).astype(np.int8))
    result = opened.run(pixels)
    np.testing.assert_array_equal(result.quantized["scores"], bare)
    np.testing.assert_array_equal(result.outputs["scores"], np.asarray(bare) * np.float32(1 / 127))


def test_a_closed_session_refuses(opened: Session) -> None:
    with opened:
        pass
    opened.close()
    with pytest.raises(SessionError, match="the session is closed"):
        opened.run(photo())


def test_threads_share_a_session(opened: Session) -> None:
    samples = [photo(red, 0, 0) for red in range(0, 250, 5)]
    expected = [opened.run(sample).quantized["scores"][0, 0] for sample in samples]
    wrong: list[int] = []

    def work() -> None:
        for sample, want in zip(samples, expected, strict=True):
            if opened.run(sample).quantized["scores"][0, 0] != want:
                wrong.append(want)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_loading_unsigned_warns_where_load_was_called(bundle_file: Callable[..., Path], dense: Any) -> None:
    with pytest.warns(UnsignedBundleWarning) as warned:
        edgekit.load(bundle_file(dense), trust=edgekit.UNSIGNED)
    assert Path(warned[0].filename).name == "test_session.py"


@pytest.mark.parametrize(("trust", "error"), [(None, TrustRequiredError), ("release.pub.pem", KeyFileError)])
def test_trust_must_be_given(
    bundle_file: Callable[..., Path], dense: Any, trust: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        edgekit.load(bundle_file(dense), trust=trust)


def test_a_session_takes_no_unverified_bundle(bundle_file: Callable[..., Path], dense: Any) -> None:
    unverified = read_unverified(bundle_file(dense).read_bytes())
    with pytest.raises(TrustRequiredError, match="takes a VerifiedBundle, and got UnverifiedBundle"):
        Session(unverified)  # type: ignore[arg-type]
    assert Session(accept_unsigned(unverified)).run(photo()).labels == ()


def test_files_that_are_no_bundles_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.edgekit").write_bytes(b"PK but not more")
    with pytest.raises(MalformedBundleError, match=r"x\.edgekit: ") as caught:
        edgekit.load(tmp_path / "x.edgekit", trust=edgekit.UNSIGNED)
    assert type(caught.value) is MalformedBundleError
    with pytest.raises(BundleError, match="no such file"):
        edgekit.load(tmp_path / "absent.edgekit", trust=edgekit.UNSIGNED)


@pytest.mark.parametrize(
    "options",
    [
        {"device": "tpu"},
        {"threads": 0},
        {"threads": 100_000},
        {"threads": "2"},
        {"threads": 2.5},
        {"threads": True},
    ],
)
def test_unknown_devices_and_threads(
    bundle_file: Callable[..., Path], dense: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(SessionError, match=next(iter(options))):
        edgekit.load(bundle_file(dense), trust=edgekit.UNSIGNED, **options)


@pytest.mark.parametrize("threads", [0, 100_000, "2", 2.5])
def test_a_session_of_its_own_checks_threads_too(
    bundle_file: Callable[..., Path], dense: Any, threads: Any
) -> None:
    verified = accept_unsigned(read_unverified(bundle_file(dense).read_bytes()))
    with pytest.raises(SessionError, match="threads must be"):
        Session(verified, threads=threads)


@pytest.mark.parametrize("path", [None, 5, ["model.edgekit"]])
def test_what_is_no_path_is_no_bundle(path: Any) -> None:
    with pytest.raises(BundleError, match="loaded from a path, and got") as caught:
        edgekit.load(path, trust=edgekit.UNSIGNED)
    assert "edgekit.load(" in str(caught.value.hint)


def test_what_is_no_folder_is_no_state(bundle_file: Callable[..., Path], dense: Any) -> None:
    with pytest.raises(StateError, match="a folder or a StateStore, and got int"):
        edgekit.load(bundle_file(dense), trust=edgekit.UNSIGNED, state=4)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"device": "cpu"}, {"threads": 2}, {"threads": np.int64(2)}])
def test_known_devices_and_threads(
    bundle_file: Callable[..., Path], dense: Any, options: dict[str, Any]
) -> None:
    session = edgekit.load(bundle_file(dense), trust=edgekit.UNSIGNED, **options)
    assert session.run(photo()).quantized["scores"].tolist() == [[25, 127, 0]]


def first_input(built: Any, **changes: Any) -> Any:
    return replace(built, inputs=(replace(built.inputs[0], **changes), *built.inputs[1:]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 1 / 254}, "scale of input 'pixels'"),
        ({"zero_point": 0}, "zero point of input 'pixels' is 0 in the manifest and -128 in the model"),
        ({"shape": (1, 4, 3, 3)}, "shape of input 'pixels'"),
        ({"dtype": "uint8", "zero_point": 0}, "dtype of input 'pixels'"),
    ],
)
def test_a_manifest_that_describes_another_model_is_refused(
    bundle_file: Callable[..., Path], dense: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SessionError, match="manifest and model disagree") as caught:
        edgekit.load(bundle_file(first_input(dense, **changes)), trust=edgekit.UNSIGNED)
    assert message in str(caught.value)


def test_swapped_or_missing_outputs_are_refused(bundle_file: Callable[..., Path], pair: Any) -> None:
    swapped = replace(pair, inputs=pair.inputs[::-1])
    with pytest.raises(SessionError, match="place of input 'right'"):
        edgekit.load(bundle_file(swapped), trust=edgekit.UNSIGNED)
    with pytest.raises(SessionError, match="output count is 1 in the manifest and 2 in the model"):
        edgekit.load(bundle_file(replace(pair, outputs=pair.outputs[:1])), trust=edgekit.UNSIGNED)


def test_the_manifest_may_give_friendlier_names(bundle_file: Callable[..., Path], dense: Any) -> None:
    session = edgekit.load(bundle_file(first_input(dense, name="photo")), trust=edgekit.UNSIGNED)
    assert session.run({"photo": photo()}).quantized["scores"].tolist() == [[25, 127, 0]]


@settings(max_examples=50)
@given(arrays(np.int8, 12, elements=st.sampled_from([-128, 0, 127])), st.integers(1, 12))
def test_best_labels_are_sorted_and_ties_go_to_the_lower_class(
    stored: np.ndarray[Any, Any], top: int
) -> None:
    labels = tuple(f"{index:02}" for index in range(12))
    real = stored.astype(np.float32) * np.float32(0.25)
    best = best_labels(stored.reshape(1, 12), real.reshape(1, 12), labels, top)
    assert len(best) == top
    ranked = sorted(((-score, label) for label, score in zip(labels, real.tolist(), strict=True)))
    assert best == tuple((label, -score) for score, label in ranked[:top])
