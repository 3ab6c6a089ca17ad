"""`CalibrationSet` and `open_set`: the checks that run while samples stream."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import BadSampleError, DataError, EdgekitError, NoDataError, PreprocessingError
from edgekit_converters.calibration import CalibrationSet, InputSpec, SaidPreprocessing, open_set
from edgekit_converters.calibration.checks import check_classes

X = InputSpec("x", (1, 2, 2))
Y = InputSpec("gate", (1, 1))
GOOD = np.arange(40, dtype=np.float32).reshape(10, 2, 2)


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def opened(path: Path, said: SaidPreprocessing | None = None, **options: Any) -> CalibrationSet:
    return open_set(path, [X], {} if said is None else {"x": said}, **options)


def test_samples_come_with_their_model_inputs_as_often_as_asked(tmp_path: Path) -> None:
    chosen = opened(saved(tmp_path, x=GOOD.astype(np.float64), y=np.arange(10) % 2), samples=4)
    assert len(chosen) == 4
    for _ in range(2):
        pairs = list(chosen)
        assert [inputs["x"].tolist() for _, inputs in pairs] == [[GOOD[row].tolist()] for row in chosen.rows]
        assert {inputs["x"].dtype.name for _, inputs in pairs} == {"float32"}
        assert [sample.label for sample, _ in pairs] == [row % 2 for row in chosen.rows]


def test_whole_numbers_are_model_input_when_that_is_said(tmp_path: Path) -> None:
    chosen = opened(saved(tmp_path, x=GOOD.astype(np.int64)), SaidPreprocessing(preprocessed=True))
    assert [inputs["x"].max() for _, inputs in chosen] == GOOD.max(axis=(1, 2)).tolist()
    with pytest.raises(PreprocessingError, match="'x' are int64"):
        opened(tmp_path / "a.npz")


def test_arrays_that_are_declared_images_are_resized(tmp_path: Path) -> None:
    photos = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    spec = InputSpec("photo", (1, 4, 4, 3), "NHWC")
    said = SaidPreprocessing(range=(0.0, 1.0), resize="bilinear", color="RGB")
    chosen = open_set(saved(tmp_path, x=photos), [spec], {"photo": said})
    assert [inputs["photo"].shape for _, inputs in chosen] == [(1, 4, 4, 3)] * 3


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.nan, r"a\.npz row 3: input 'x' holds NaN at \[1, 0\] \(1 such"),
        (-np.inf, r"a\.npz row 3: input 'x' holds infinity at \[1, 0\]"),
        (1e300, r"a\.npz row 3: input 'x' holds a value beyond float32 at \[1, 0\]"),
    ],
)
def test_values_without_a_range_are_named_with_row_and_place(tmp_path: Path, value: float, says: str) -> None:
    bad = GOOD.astype(np.float64)
    bad[3, 1, 0] = value
    with pytest.raises(BadSampleError, match=says):
        list(opened(saved(tmp_path, x=bad)))


def test_a_wrong_shape_is_named_with_row_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(BadSampleError, match=r"a\.npz row 0: input 'x': .*\(3, 2\), and \(2, 2\)") as caught:
        list(opened(saved(tmp_path, x=np.zeros((5, 3, 2), np.float32))))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: np.zeros((5, 2, 2)), "input 'x' is 0 throughout all 5 samples"),
        (lambda: np.repeat(GOOD[:1], 5, axis=0), "all 5 samples are the same"),
        (lambda: GOOD[:1], "one sample sets no range"),
    ],
)
def test_sets_that_say_nothing_about_ranges_cannot_calibrate_but_can_measure(
    tmp_path: Path, make: Callable[[], Any], says: str
) -> None:
    path = saved(tmp_path, x=make())
    with pytest.raises(DataError, match=says) as caught:
        list(opened(path))
    assert caught.value.hint
    assert list(opened(path, for_calibration=False))


def test_one_chosen_sample_is_refused_and_one_constant_input_beside_another_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one sample sets no range"):
        opened(saved(tmp_path, x=GOOD), samples=1)
    both = saved(tmp_path, x=GOOD, gate=np.ones((10, 1)))
    with pytest.raises(DataError, match="input 'gate' is 1 throughout all 10"):
        list(open_set(both, [X, Y], {}))


def test_a_set_with_an_all_black_sample_is_fine(tmp_path: Path) -> None:
    assert len(list(opened(saved(tmp_path, x=np.concatenate([np.zeros((1, 2, 2)), GOOD]))))) == 11


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_beyond_the_classes_of_the_model_name_their_row(tmp_path: Path, label: int) -> None:
    labels = np.zeros(10, int)
    labels[6] = label
    with pytest.raises(
        BadSampleError, match=rf"a\.npz row 6: has the label {label}, and .* 3 classes are 0\.\.2"
    ):
        check_classes(opened(saved(tmp_path, x=GOOD, y=labels)).source, 3)


def test_the_fingerprint_is_of_content_and_labels(tmp_path: Path) -> None:
    def fingerprint(**arrays: Any) -> str:
        return opened(saved(tmp_path, **arrays)).fingerprint()

    labels = np.arange(10)
    reference = fingerprint(x=GOOD, y=labels)
    assert reference == fingerprint(x=GOOD.astype(">f4"), y=labels.astype(np.uint8))
    assert len(reference) == 64
    changed = GOOD.copy()
    changed[9, 1, 1] += 1
    others = [
        fingerprint(x=changed, y=labels),
        fingerprint(x=GOOD, y=labels[::-1]),
        fingerprint(x=GOOD),
        fingerprint(x=GOOD.astype(np.float64), y=labels),
        fingerprint(x=GOOD[::-1], y=labels),
    ]
    assert len({reference, *others}) == 6


def test_a_finished_pass_knows_the_fingerprint_and_a_change_between_passes_is_found(tmp_path: Path) -> None:
    path = saved(tmp_path, x=GOOD)
    chosen = opened(path)
    list(chosen)
    fingerprint = chosen.fingerprint()
    saved(tmp_path, x=GOOD + 1)
    assert chosen.fingerprint() == fingerprint
    with pytest.raises(DataError, match="not the same as in the pass before"):
        list(chosen)


def test_labels_of_any_kind_have_a_stable_fingerprint() -> None:
    class Opaque:
        pass

    def samples() -> Iterator[Any]:
        yield (
            GOOD[0],
            {
                "boxes": np.ones((2, 4)),
                "names": ["cat", None],
                "more": (1, 2.5, b"x"),
                "days": np.array(["2026-11-24"], "M8[D]"),
                "o": np.array([{}]),
            },
        )
        yield GOOD[1], Opaque()

    chosen = open_set(samples, [X], {})
    list(chosen)
    list(chosen)


@pytest.mark.parametrize(
    ("name", "content", "error", "says"),
    [
        ("a.npz", b"", NoDataError, r"a\.npz: is empty"),
        ("a.bin", b"\x89HDF\r\n\x1a\n\0\0", DataError, r"a\.bin: its content is of no kind"),
        ("a.parquet", b"PAR1 and more", DataError, r"a\.parquet: its content is of no kind"),
        ("a.wav", b"RIFF\0\0\0\0WAVE", DataError, r"a\.wav: is a single file of audio"),
    ],
)
def test_other_files_are_refused_with_what_is_read(
    tmp_path: Path, name: str, content: bytes, error: type[EdgekitError], says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=says) as caught:
        opened(tmp_path / name)
    assert caught.value.hint


def test_missing_data_are_named_and_a_hash_may_belong_to_a_path(tmp_path: Path) -> None:
    for name in ("none.npz", "none.npz#x", ""):
        with pytest.raises(NoDataError, match="no such file or folder"):
            open_set(name, [X], {})
    folder = tmp_path / "run #3"
    folder.mkdir()
    path = saved(folder, x=GOOD, other=GOOD)
    assert len(list(open_set(str(path), [X], {}))) == 10
    assert len(list(open_set(f"{path}#other", [X], {}))) == 10


def test_the_package_imports_no_numpy() -> None:
    program = "import sys, edgekit_converters.calibration; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_shared_arrays_stream() -> None:
    data = Path(__file__).resolve().parents[3] / "shared" / "data"
    if not data.is_dir():
        pytest.skip("the shared data are not on this machine")
    motion = open_set(f"{data}/uci-har.npz#x_train,y_train", [InputSpec("x", (1, 128, 9))], {}, samples=30)
    assert {inputs["x"].shape for _, inputs in motion} == {(1, 128, 9)}
    assert {sample.label for sample, _ in motion} == set(range(6))
    said = {"x": SaidPreprocessing(range=(-1.0, 1.0))}
    clips = open_set(f"{data}/speech-commands.npz#wave,y", [InputSpec("x", (1, 16000))], said, samples=30)
    assert all(inputs["x"].min() >= -1 and inputs["x"].max() < 1 for _, inputs in clips)
