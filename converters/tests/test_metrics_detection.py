"""mAP on cases worked out by hand from COCO's definition (https://cocodataset.org/#detection-eval)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import MetricError
from edgekit_converters.metrics.detection import (
    COCO_IOUS,
    DETECTIONS,
    MeanAveragePrecision,
    average_precision,
    find_outputs,
    iou,
    match,
    suppress,
)
from edgekit_converters.metrics.metric import Answer, aggregate

MAP = MeanAveragePrecision("map", boxes="boxes", scores="scores")
MAP50 = MeanAveragePrecision("map50", boxes="boxes", scores="scores", ious=(0.5,))


def box(*sides):
    return np.array(sides, dtype=np.float32)


A, B, C = box(0.0, 0.0, 0.4, 0.4), box(0.5, 0.5, 0.9, 0.9), box(0.0, 0.6, 0.3, 0.9)


def answer(boxes, scores, true, classes, origin="street.jpg"):
    label = {"boxes": np.array(true).reshape(-1, 4), "classes": np.array(classes, dtype=int)}
    outputs = {"boxes": np.array(boxes, np.float32)[None], "scores": np.array(scores, np.float32)[None]}
    return Answer(outputs, label, {}, origin)


def value(metric, *answers):
    return aggregate(metric, [metric.score(each) for each in answers])


def test_iou_by_hand():
    half = box(0.0, 0.0, 0.4, 0.2)
    found = iou(np.stack([A, half]), np.stack([A, B, half]))
    assert found == pytest.approx(np.array([[1, 0, 0.5], [0.5, 0, 1]]), abs=1e-6)
    assert iou(np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32)) == 0


def test_a_perfect_detector_has_100():
    assert value(MAP, answer([A, B], [[0.9, 0], [0, 0.8]], [A, B], [0, 1])) == pytest.approx(100)


def test_one_of_two_found():
    # Precision 1 up to recall 0.5, never more: 51 of the 101 recalls 0, 0.01, ... are reached.
    assert value(MAP50, answer([A], [[0.9]], [A, B], [0, 0])) == pytest.approx(100 * 51 / 101)


def test_a_wrong_box_above_a_right_one():
    # By score: wrong, right. Precision at recall 1 is 1/2, and interpolation carries it down to recall 0.
    assert value(MAP50, answer([C, A], [[0.9], [0.8]], [A], [0])) == pytest.approx(50)


def test_right_wrong_right():
    # Precision 1 to recall 0.5 (51 recalls), then 2/3 to recall 1 (50 recalls).
    expected = 100 * (51 * 1 + 50 * 2 / 3) / 101
    assert value(MAP50, answer([A, C, B], [[0.9], [0.8], [0.7]], [A, B], [0, 0])) == pytest.approx(expected)


def test_a_shifted_box_counts_up_to_its_iou():
    # Half the width is found: IoU 0.78 counts at .50 .55 .60 .65 .70 .75, six of ten thresholds.
    shifted = box(0.0, 0.0, 0.4, 0.312)
    assert value(MAP, answer([shifted], [[0.9]], [A], [0])) == pytest.approx(60)
    assert value(MAP50, answer([shifted], [[0.9]], [A], [0])) == pytest.approx(100)


def test_an_object_is_found_once_and_classes_without_objects_are_left_out():
    near = box(0.0, 0.0, 0.4, 0.19)  # survives suppression (IoU 0.475 with A), finds nothing new
    one = answer([A, near], [[0.9, 0.5], [0.8, 0.5]], [A], [0])
    assert value(MAP50, one) == pytest.approx(100)
    assert MAP50.score(one).matched.sum() == 1


def test_classes_are_averaged_over_images():
    images = answer([A], [[0.9, 0.1]], [A], [0]), answer([A], [[0.1, 0.9]], [B], [1])
    assert value(MAP50, *images) == pytest.approx(50)


def test_a_detection_takes_the_best_free_object():
    found = np.stack([A, A])
    true = np.stack([box(0.0, 0.0, 0.4, 0.3), A])
    none = np.zeros(2, dtype=np.int64)
    assert match(found, none, true, none, (0.5,)).ravel().tolist() == [True, True]
    assert match(found, none, true, none, (0.9,)).ravel().tolist() == [True, False]
    assert match(found, none + 1, true, none, (0.5,)).sum() == 0


def test_suppression_is_by_class_and_keeps_the_best():
    near = box(0.0, 0.0, 0.4, 0.35)
    boxes, scores, classes = suppress(
        np.stack([A, near, B]), np.array([[0.5, 0.1], [0.6, 0.2], [0.1, 0.0]], np.float32)
    )
    assert scores.tolist() == pytest.approx([0.6, 0.2, 0.1, 0.0])
    assert classes.tolist() == [0, 1, 0, 1]
    assert np.array_equal(boxes[0], near)


def test_detections_are_capped():
    corners = np.random.default_rng(0).random((3000, 2), dtype=np.float32)
    boxes = np.hstack([corners, corners + 1e-4])
    _, scores, _ = suppress(boxes, np.random.default_rng(1).random((3000, 2), dtype=np.float32))
    assert len(scores) == DETECTIONS
    assert np.all(np.diff(scores) <= 0)


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_weights_equal_repeated_images(seed):
    generator = np.random.default_rng(seed)
    records = []
    for _ in range(6):
        corners = generator.random((8, 2)) * 0.6
        boxes = np.hstack([corners, corners + 0.3])
        true = np.clip(boxes[:3] + generator.normal(0, 0.03, (3, 4)), 0, 1)
        # Scores that differ everywhere: the order among equal ones is arbitrary in COCO too.
        records.append(MAP.score(answer(boxes, generator.random((8, 2)), true, generator.integers(0, 2, 3))))
    counts = np.bincount(generator.integers(0, 6, 6), minlength=6)
    repeated = [record for record, count in zip(records, counts, strict=True) for _ in range(count)]
    assert MAP.pool(records)(counts[None].astype(float))[0] == pytest.approx(aggregate(MAP, repeated))


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 5))
def test_average_precision_equals_its_definition(hits, missed):
    truths = sum(hits) + missed
    if truths == 0:
        return
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    recall = np.cumsum(hits) / truths
    points = [
        max((p for p, r in zip(precision, recall, strict=True) if r >= t), default=0.0)
        for t in np.linspace(0, 1, 101)
    ]
    found = average_precision(np.array(hits)[:, None], np.ones(len(hits)), truths)
    assert found[0] == pytest.approx(np.mean(points))


def test_images_without_objects_cost_precision_and_no_more():
    empty = answer([A], [[0.95]], [], [])
    assert value(MAP50, answer([A], [[0.9]], [A], [0]), empty) == pytest.approx(50)
    assert np.isnan(value(MAP50, empty))


def test_a_detector_that_finds_nothing_is_suspected():
    record = MAP50.score(answer([A * 300], [[0.9]], [A], [0]))
    assert "ymin, xmin, ymax, xmax in 0..1" in MAP50.notes([record])[0]
    assert MAP50.notes([MAP50.score(answer([A], [[0.9]], [A], [0]))]) == ()


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (3, "not a mapping with 'boxes' and 'classes'"),
        ({"boxes": [A]}, "not a mapping"),
        ({"boxes": [A * 300], "classes": [0]}, "leaves 0..1"),
        ({"boxes": [A[::-1]], "classes": [0]}, "ends before it starts"),
        ({"boxes": [A], "classes": [5]}, "[5] are not whole numbers within 0..1"),
        ({"boxes": [A], "classes": [0.5]}, "not whole numbers"),
        ({"boxes": [A], "classes": [0, 1]}, "shape (1, 4) and its classes (2,)"),
        ({"boxes": [A * np.nan], "classes": [0]}, "leaves 0..1"),
    ],
)
def test_labels_that_do_not_fit_name_the_sample(label, message):
    outputs = {"boxes": np.stack([A])[None], "scores": np.array([[[0.9, 0.1]]], np.float32)}
    with pytest.raises(MetricError) as caught:
        MAP.score(Answer(outputs, label, {}, "street.jpg"))
    assert str(caught.value).startswith("street.jpg: ")
    assert message in str(caught.value)


def test_outputs_are_found_by_shape_and_else_by_name():
    assert find_outputs({"a": (1, 9, 20), "b": (1, 9, 4)}) == ("b", "a")
    assert find_outputs({"class_scores": (1, 9, 4), "Boxes": (1, 9, 4)}) == ("Boxes", "class_scores")
    assert find_outputs({"a": (1, 9, 4), "b": (1, 9, 4)}) is None
    assert find_outputs({"a": (1, 9, 4), "b": (1, 8, 20)}) is None
    assert find_outputs({"a": (1, 10)}) is None


def test_thresholds_are_cocos():
    assert pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]) == COCO_IOUS
