"""Which metric the first sample leads to."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import MetricError
from edgekit_converters.metrics import METRIC_NAMES, Answer, choose_metric, parse_metric


def first(outputs, label, inputs=None):
    arrays = [
        {name: np.full(shape, 0.25, np.float32) for name, shape in each.items()}
        for each in (outputs, inputs or {"x": (1, 8, 8, 3)})
    ]
    return Answer(arrays[0], label, arrays[1], "x.npz row 0")


CLASSES, SIGMOID, VECTOR = {"y": (1, 10)}, {"y": (1, 1)}, {"y": (1, 3)}
MASKS, IMAGE = {"y": (1, 8, 8, 5)}, {"y": (1, 8, 8, 3)}
BOXES = {"loc": (1, 6, 4), "conf": (1, 6, 21)}
INT_MASK = np.zeros((8, 8), np.uint8)


@pytest.mark.parametrize(
    ("outputs", "label", "name"),
    [
        (CLASSES, 3, "top1"),
        ({"y": (1, 1, 1, 10)}, np.int64(3), "top1"),
        (CLASSES, np.eye(10)[2], "top1"),
        (SIGMOID, 1, "top1"),
        (SIGMOID, True, "top1"),
        (SIGMOID, 20.5, "mae"),
        (VECTOR, np.array([0.5, 1.0, 2.0]), "mae"),
        (IMAGE, np.zeros((8, 8, 3)), "mae"),
        (MASKS, INT_MASK, "miou"),
        (MASKS, INT_MASK[..., None], "miou"),
        ({"y": (1, 5, 8, 8)}, INT_MASK, "miou"),
        ({"y": (1, 8, 8, 1)}, INT_MASK, "miou"),
        (BOXES, {"boxes": np.zeros((0, 4)), "classes": np.zeros(0)}, "map"),
        (CLASSES, None, "agreement"),
        (SIGMOID, None, "sqnr"),
        (IMAGE, None, "sqnr"),
        (BOXES, None, "sqnr"),
        (IMAGE, 1, "auc"),
        ({"a": (1, 5), "b": (1, 7)}, {"b": 6}, "top1"),
    ],
)
def test_the_default_is_what_the_labels_make_plain(outputs, label, name):
    assert choose_metric(None, first(outputs, label)).name == name


@pytest.mark.parametrize(
    ("outputs", "label", "inputs", "hint"),
    [
        (SIGMOID, 7, None, "mae or rmse or r2 or auc"),
        (SIGMOID, 1.0, None, "mae or top1"),
        (CLASSES, 3.0, None, "top1"),
        (CLASSES, 1, {"x": (1, 10)}, "top1 or auc"),
        (VECTOR, np.array([1, 1, 0]), None, "mae or rmse or r2"),
        ({"y": (1, 8, 8, 1)}, INT_MASK + 7, None, "miou or mae"),
        ({"a": (1, 5), "b": (1, 7)}, 3, None, "NAME:OUTPUT"),
        (CLASSES, "cat", None, "top1, top5, map"),
        (MASKS, np.zeros((4, 4), int), None, "top1, top5, map"),
        (MASKS, 3, None, "top1, top5, map"),
        (CLASSES, {"boxy": 1}, None, "top1, top5, map"),
    ],
)
def test_what_is_not_plain_is_refused_with_the_choices(outputs, label, inputs, hint):
    with pytest.raises(MetricError) as caught:
        choose_metric(None, first(outputs, label, inputs))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "outputs", "label"),
    [
        ("top1", CLASSES, 1),
        ("top5", CLASSES, 1),
        ("map", BOXES, None),
        ("map50", BOXES, None),
        ("miou", MASKS, INT_MASK),
        ("mae", VECTOR, np.zeros(3)),
        ("rmse", VECTOR, np.zeros(3)),
        ("r2", VECTOR, np.zeros(3)),
        ("auc", SIGMOID, 1),
        ("agreement", MASKS, None),
        ("agreement:y", MASKS, None),
        ("sqnr", MASKS, None),
    ],
)
def test_a_name_gives_that_metric(name, outputs, label):
    if name == "agreement" and outputs is MASKS:
        with pytest.raises(MetricError, match="no class axis") as caught:
            choose_metric(name, first(outputs, label))
        assert "agreement:OUTPUT" in caught.value.hint
        return
    chosen = choose_metric(name, first(outputs, label))
    assert chosen.name == name.partition(":")[0]
    assert chosen.compares_to_float == (chosen.name in ("agreement", "sqnr"))
    assert choose_metric(chosen, first(outputs, label)) is chosen


@pytest.mark.parametrize(
    ("name", "outputs", "message"),
    [
        ("top1", MASKS, "has no class axis"),
        ("top5", VECTOR, "always 100 %"),
        ("top1:z", CLASSES, "no output 'z'"),
        ("top1", {"a": (1, 5), "b": (1, 7)}, "several outputs ('a', 'b')"),
        ("map", CLASSES, "no pair of boxes"),
        ("auc", CLASSES, "neither one score nor the reconstruction"),
        ("miou", CLASSES, "the mask has shape"),
        ("agreement", SIGMOID, "no class axis"),
        ("accuracy", CLASSES, "no metric 'accuracy'"),
        ("", CLASSES, "no metric ''"),
        (":", CLASSES, "no metric ':'"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(name, outputs, message):
    with pytest.raises(MetricError) as caught:
        choose_metric(name, first(outputs, 1))
    assert message in str(caught.value)
    assert caught.value.hint


def test_an_output_can_be_named():
    chosen = choose_metric("top1:b", first({"a": (1, 5), "b": (1, 7)}, 3))
    assert chosen.output == "b"


def test_a_name_is_checked_before_any_model_runs(tmp_path):
    assert all(parse_metric(name) == (name, None) for name in METRIC_NAMES)
    assert parse_metric("mae:depth") == ("mae", "depth")
    file = tmp_path / "own_parsed.py"
    file.write_text("def own(outputs, label):\n    return 1\n")
    assert parse_metric(f"{file}:own").name == f"{file}:own"
    with pytest.raises(MetricError, match="no metric 'top-1'"):
        parse_metric("top-1")
