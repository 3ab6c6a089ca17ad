"""Metrics that the user writes."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import MetricError
from edgekit_converters.metrics.custom import load_custom
from edgekit_converters.metrics.metric import Answer, aggregate

OUTPUTS = {"y": np.array([[0.25, 0.75]], np.float32), "map": np.zeros((1, 2, 2, 2), np.float32)}


def answer(label=1):
    return Answer(OUTPUTS, label, {}, "x.npz row 12")


def load(folder, body, name="own"):
    file = folder / "own_metric.py"
    file.write_text(body)
    return load_custom(f"{file}:{name}")


def test_the_mean_of_a_function_in_a_file(tmp_path):
    metric = load(tmp_path, "def own(outputs, label):\n    return outputs['y'][0, label]\n")
    assert metric.name.endswith("own_metric.py:own")
    assert metric.higher_is_better
    assert aggregate(metric, [metric.score(answer(0)), metric.score(answer(1))]) == 0.5


def test_attributes_say_direction_and_unit(tmp_path):
    metric = load(
        tmp_path, "def own(outputs, label):\n    return 1\nown.higher_is_better = False\nown.unit = 'px'\n"
    )
    assert (metric.higher_is_better, metric.unit) == (False, "px")


def test_a_file_finds_its_neighbour_and_a_module_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "neighbour_of_metric.py").write_text("def own(outputs, label):\n    return 3\n")
    metric = load(tmp_path, "from neighbour_of_metric import own\n")
    assert metric.score(answer()).tolist() == [3]
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "metric_in_this_folder.py").write_text("def own(outputs, label):\n    return 4\n")
    monkeypatch.chdir(tmp_path / "here")
    assert load_custom("metric_in_this_folder:own").score(answer()).tolist() == [4]


def test_the_function_cannot_change_what_models_are_judged_by(tmp_path):
    metric = load(tmp_path, "def own(outputs, label):\n    outputs['y'][:] = 9\n    return 1\n")
    metric.score(answer())
    assert OUTPUTS["y"].max() == 0.75


def test_agreement_is_over_the_outputs_with_classes(tmp_path):
    metric = load(tmp_path, "def own(outputs, label):\n    return 1\n")
    assert metric.decide(OUTPUTS) is None
    known = metric.for_outputs({name: array.shape for name, array in OUTPUTS.items()})
    assert known.decide(OUTPUTS).tolist() == [1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise_ = {}['gone']", "raised KeyError: 'gone'"),
        ("return 'good'", "returned 'good', which is no finite number"),
        ("return None", "returned None"),
        ("return float('nan')", "returned nan"),
        ("return [1, 2]", "returned [1, 2]"),
        ("return 1j", "returned 1j"),
        ("return [[1], [2, 3]]", "returned [[1], [2, 3]]"),
    ],
)
def test_what_the_function_does_wrong_names_it_and_the_sample(tmp_path, body, message):
    metric = load(tmp_path, f"def own(outputs, label):\n    {body}\n")
    with pytest.raises(MetricError) as caught:
        metric.score(answer())
    assert str(caught.value).startswith("x.npz row 12: metric '")
    assert "own_metric.py:own' " + message in str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def other(): pass", "has no function 'own'"),
        ("own = 3", "has no function 'own'"),
        ("def own(:", "raised SyntaxError"),
        ("import sys\nsys.exit(0)", "ends Python with sys.exit"),
        ("import nothing_of_that_name", "raised ModuleNotFoundError"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, body, message):
    with pytest.raises(MetricError, match=r"own_metric\.py") as caught:
        load(tmp_path, body)
    assert message in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("reference", ["gone.py:own", "no_module_of_that_name:own"])
def test_places_that_do_not_exist(reference):
    with pytest.raises(MetricError, match="importing"):
        load_custom(reference)
