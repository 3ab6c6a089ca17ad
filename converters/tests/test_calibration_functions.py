"""Reader of samples that a Python function yields."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import BadSampleError, DataError, EdgekitError, NoDataError
from edgekit_converters.calibration import InputSpec, SaidPreprocessing, Sample, open_samples, open_set
from edgekit_converters.calibration import functions as functions_module

X = InputSpec("x", (1, 2))
PAIR = (X, InputSpec("z", (1, 3)))


def yields(*items: object) -> Callable[[], Iterator[object]]:
    return lambda: iter(items)


def row(number: float) -> Any:
    return np.array([number, number + 1], np.float32)


def test_every_form_of_a_sample_is_understood() -> None:
    forms = yields(
        row(0),
        (row(1), 7),
        {"x": row(2)},
        ({"x": row(3)}, {"boxes": [1]}),
        [row(4)],
        [row(5)[None]],
        row(6)[None],
    )
    source = open_samples(forms, [X], {})
    samples = list(source.read(range(7)))
    assert [sample.inputs["x"].tolist() for sample in samples] == [[n, n + 1] for n in range(7)]
    assert [sample.label for sample in samples] == [None, 7, None, {"boxes": [1]}, None, None, None]
    assert source.labels() is None
    assert (source.count(), source.raw_dtypes(), source.kind) == (7, {"x": "float32"}, "array")


def test_several_inputs_come_as_dicts_or_in_order() -> None:
    z = np.arange(3.0)
    source = open_samples(yields({"z": z, "x": row(0)}, ({"x": row(1), "z": z}, 1), [row(2), z]), PAIR, {})
    samples = list(source.read([0, 2]))
    assert [sorted(sample.inputs) for sample in samples] == [["x", "z"]] * 2
    assert samples[1].inputs["x"].tolist() == [2, 3]


def test_whole_number_labels_are_classes() -> None:
    source = open_samples(yields((row(0), 1), (row(1), np.int64(0)), (row(2), True)), [X], {})
    assert source.labels() == (1, 0, 1)


def test_a_pass_stops_at_the_last_row_that_is_wanted() -> None:
    seen: list[int] = []

    def samples() -> Iterator[Any]:
        for number in range(10):
            seen.append(number)
            yield row(number)

    source = open_samples(samples, [X], {})
    seen.clear()
    assert [sample.inputs["x"][0] for sample in source.read([1, 3])] == [1, 3]
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ((row(0), 1, 2), "sample 1: is a tuple of 3"),
        ({"y": row(0)}, r"sample 1: has arrays for y, and the model has 1 input\(s\): x"),
        ("text", "sample 1: input 'x' has dtype <U4"),
        ([[1, 2], [3]], "sample 1: input 'x' is not an array"),
        (None, "sample 1: input 'x' has dtype object"),
        (row(0).astype(np.float64), "sample 1: input 'x' is float64, and was float32 before"),
    ],
)
def test_what_is_no_sample_is_named(item: object, says: str) -> None:
    with pytest.raises(BadSampleError, match=says) as caught:
        open_samples(yields(row(0), item), [X], {})
    assert "yield" in str(caught.value.hint)


def test_one_array_for_two_inputs_is_refused() -> None:
    with pytest.raises(BadSampleError, match=r"is one ndarray, and the model has 2 input\(s\): x, z"):
        open_samples(yields(row(0)), PAIR, {})
    with pytest.raises(BadSampleError, match="is one list"):
        open_samples(yields([row(0)]), PAIR, {})


def test_a_failing_function_is_told_with_its_sample_and_line() -> None:
    def breaks_late() -> Iterator[Any]:
        yield row(0)
        raise KeyError("image")

    def breaks_at_once() -> Iterator[Any]:
        raise OSError("no such disk")

    with pytest.raises(
        DataError, match=r"breaks_late: fails at sample 1: KeyError: 'image' \(.*py line \d+\)"
    ):
        open_samples(breaks_late, [X], {})
    with pytest.raises(DataError, match="breaks_at_once: calling it fails: OSError: no such disk"):
        open_samples(breaks_at_once, [X], {})
    with pytest.raises(DataError, match="calling it fails: SystemExit: 3"):
        open_samples(lambda: sys.exit(3), [X], {})
    with pytest.raises(DataError, match="calling it fails: TypeError"):
        open_samples(lambda: 3, [X], {})  # type: ignore[arg-type, return-value]
    with pytest.raises(NoDataError, match="no samples"):
        open_samples(yields(), [X], {})


def test_an_endless_function_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions_module, "MAX_SAMPLES", 50)

    def endless() -> Iterator[Any]:
        while True:
            yield row(0)

    with pytest.raises(DataError, match="more than 50 samples; is it endless"):
        open_samples(endless, [X], {})


def test_a_function_that_runs_dry_or_shuffles_is_found_out() -> None:
    left = [4, 2]
    shrinking = open_samples(lambda: [row(n) for n in range(left.pop(0))], [X], {})
    with pytest.raises(DataError, match="yielded 4 samples when called first, and fewer"):
        list(shrinking.read([3]))

    random = np.random.default_rng(0)
    shuffling = open_set(
        lambda: random.permutation(np.arange(20.0, dtype=np.float32).reshape(10, 2)), [X], {}
    )
    list(shuffling)
    with pytest.raises(DataError, match="not the same as in the pass before") as caught:
        list(shuffling)
    assert "deterministic" in str(caught.value.hint)


def test_functions_are_found_in_files_and_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_neighbour_part.py").write_text("VALUE = 3.0\n")
    (tmp_path / "my data.py").write_text(
        "import numpy as np\nfrom my_neighbour_part import VALUE\n"
        "def samples():\n    yield np.full(2, VALUE, np.float32), 1\n    yield np.zeros(2, np.float32), 0\n"
    )
    (tmp_path / "my_data_module.py").write_text((tmp_path / "my data.py").read_text())
    for name in (f"{tmp_path}/my data.py:samples", "my data.py:samples", "my_data_module:samples"):
        source = open_samples(name, [X], {})
        (first,) = source.read([0])
        assert isinstance(first, Sample)
        assert (first.inputs["x"].tolist(), first.label) == ([3, 3], 1)
        assert first.origin == f"{name} sample 0"
        assert str(tmp_path) not in source.description


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        (
            "broken.py:samples",
            DataError,
            r"ZeroDivisionError: division by zero \(broken.py line 1\)",
        ),
        ("syntax.py:samples", DataError, "importing it fails: SyntaxError"),
        ("fine.py:number", DataError, "there is no function 'number' in fine.py"),
        ("fine.py:absent", DataError, "there is no function 'absent' in fine.py"),
        ("none.py:samples", DataError, "importing it fails: FileNotFoundError"),
        ("no_such_module_at_all:samples", DataError, "importing it fails: ModuleNotFoundError"),
        ("fine.py", DataError, "which function of it yields the samples"),
        ("fine", NoDataError, "no such file or folder"),
    ],
)
def test_functions_that_cannot_be_found_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[EdgekitError], says: str
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "syntax.py").write_text("def (:\n")
    (tmp_path / "fine.py").write_text("number = 5\n")
    with pytest.raises(error, match=says):
        open_samples(name, [X], {"x": SaidPreprocessing()})
