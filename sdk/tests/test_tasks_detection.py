"""Decoders and non-maximum suppression: against exact arithmetic, and against LiteRT's own detection operator."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.tasks.detection import (
    Candidates,
    best_boxes,
    decode_ssd,
    decode_yolo,
    nms,
    postprocessed,
    to_boxes,
)


def f32(values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


# ---- non-maximum suppression --------------------------------------------------------------------------------------

Rect = tuple[int, int, int, int]


def exact_iou(one: Rect, other: Rect) -> Fraction:
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return Fraction(shared, sum(areas) - shared) if min(areas) > 0 else Fraction(0)


def slow_nms(
    boxes: Sequence[Rect], scores: Sequence[int], classes: Sequence[int] | None, iou: Fraction
) -> list[int]:
    """The oracle, in whole numbers and fractions: a box stays unless a better one that stays covers it."""
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        rivals = [other for other in kept if classes is None or classes[other] == classes[index]]
        if all(exact_iou(boxes[index], boxes[other]) <= iou for other in rivals):
            kept.append(index)
    return kept


side = st.integers(0, 12)
rects = st.tuples(side, side, side, side).map(lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3]))
found = st.lists(st.tuples(rects, st.integers(0, 5), st.integers(0, 2)), max_size=14)


@given(found, st.sampled_from([0, 1, 2, 3, 4]), st.booleans())
def test_nms_is_exact_on_whole_numbers(found: list[Any], quarters: int, by_class: bool) -> None:
    boxes, scores, classes = [list(column) for column in zip(*found, strict=True)] if found else ([], [], [])
    expected = slow_nms(boxes, scores, classes if by_class else None, Fraction(quarters, 4))
    kinds = np.array(classes, np.int64) if by_class else None
    corners = f32(boxes).reshape(-1, 4)
    got = nms(corners, f32(scores), kinds, iou=quarters / 4)
    assert got.tolist() == expected
    assert nms(corners, f32(scores), kinds, iou=quarters / 4, limit=2).tolist() == expected[:2]


def test_nms_decides_like_opencv() -> None:
    """cv2.dnn.NMSBoxes of opencv-python-headless 5.0.0 gave these: IoU of boxes 0 and 1 is exactly 0.5."""
    corners = f32([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 10], [20, 20, 25, 25], [0, 1, 10, 11]])
    scores = f32([0.9, 0.8, 0.9, 0.7, 0.85])
    assert nms(corners, scores, iou=0.5).tolist() == [0, 1, 3]
    assert nms(corners, scores, iou=0.49).tolist() == [0, 3]


def test_nms_takes_thousands() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1, (3000, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + rng.uniform(0, 0.3, (3000, 2)).astype(np.float32)], axis=1)
    kept = nms(boxes, rng.uniform(0, 1, 3000).astype(np.float32), iou=0.5)
    assert 100 < len(kept) < 3000


@pytest.mark.parametrize(
    ("corners", "scores", "classes", "iou"),
    [
        (np.zeros((2, 4)), np.zeros(3), None, 0.5),
        (np.zeros((2, 3)), np.zeros(2), None, 0.5),
        (np.zeros((2, 4)), np.zeros(2), np.zeros(1), 0.5),
        (np.zeros((2, 4)), np.zeros(2), None, 1.5),
        (np.zeros((2, 4)), np.zeros(2), None, float("nan")),
    ],
)
def test_nms_refuses_what_does_not_fit(corners: Any, scores: Any, classes: Any, iou: float) -> None:
    with pytest.raises(InputError):
        nms(corners, scores, classes, iou=iou)


# ---- LiteRT's TFLite_Detection_PostProcess as the peer ------------------------------------------------------------


def detection_model(anchors: np.ndarray[Any, Any], classes: int, *, iou: float, regular: bool) -> bytes:
    """A .tflite of the one operator, over encodings and class scores with a background column."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import flexbuffers

    n = len(anchors)
    options = flexbuffers.Builder()
    with options.Map():
        for name, number in {
            "max_detections": n, "max_classes_per_detection": 1, "detections_per_class": n, "num_classes": classes
        }.items():  # fmt: skip
            options.Int(name, number)
        options.Bool("use_regular_nms", regular)
        for name, real in {
            "nms_score_threshold": 0.25, "nms_iou_threshold": iou,
            "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0,
        }.items():  # fmt: skip
            options.Float(name, real)
    model = schema.ModelT()
    model.version = 3
    data = schema.BufferT()
    data.data = np.frombuffer(anchors.astype("<f4").tobytes(), np.uint8)
    model.buffers = [schema.BufferT(), data]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = "TFLite_Detection_PostProcess", 1
    model.operatorCodes = [code]
    graph = schema.SubGraphT()
    graph.tensors = []
    outputs = {"boxes": [1, n, 4], "classes": [1, n], "scores": [1, n], "count": [1]}
    for name, shape in {
        "encodings": [1, n, 4],
        "all": [1, n, classes + 1],
        "anchors": [n, 4],
        **outputs,
    }.items():
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, shape, schema.TensorType.FLOAT32
        tensor.buffer = int(name == "anchors")
        graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, 2], [3, 4, 5, 6]
    operator.customOptions = np.frombuffer(bytes(options.Finish()), np.uint8)
    graph.inputs, graph.outputs, graph.operators = [0, 1], [3, 4, 5, 6], [operator]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("regular", [True, False], ids=["by-class", "across-classes"])
@pytest.mark.parametrize("seed", range(5))
def test_decode_and_nms_give_what_litert_gives(seed: int, regular: bool) -> None:
    """The same encodings, decoded and thinned out here, and by the operator that SSD models end in."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    rng = np.random.default_rng(seed)
    n, classes, iou = 60, 3, 0.45
    anchors = np.concatenate([rng.uniform(0.2, 0.8, (n, 2)), rng.uniform(0.1, 0.5, (n, 2))], axis=1).astype(
        "f4"
    )
    encodings = rng.normal(0, 2, (1, n, 4)).astype(np.float32)
    scores = rng.uniform(0, 1, (1, n, classes + 1)).astype(np.float32)
    peer = litert.Interpreter(model_content=detection_model(anchors, classes, iou=iou, regular=regular))
    peer.allocate_tensors()
    for detail, array in zip(peer.get_input_details(), (encodings, scores), strict=True):
        peer.set_tensor(detail["index"], array)
    peer.invoke()
    theirs = postprocessed(
        *(peer.get_tensor(detail["index"]) for detail in peer.get_output_details()), threshold=0
    )
    assert len(theirs) > 10

    if regular:  # every class of every anchor is a candidate there
        ours = _every_class(encodings, scores, anchors, classes)
    else:
        ours = decode_ssd(encodings, scores, anchors, background=True, activation="none", threshold=0.25)
    labels = ("cat", "dog", "bird")
    got = best_boxes(ours, labels, iou=iou, limit=n, across_classes=not regular)
    expected = to_boxes(theirs, labels)
    assert [(box.label, box.score) for box in got] == [(box.label, box.score) for box in expected]
    edges = np.array([[(b.left, b.top, b.right, b.bottom) for b in boxes] for boxes in (got, expected)])
    np.testing.assert_allclose(edges[0], edges[1], atol=1e-6)


def _every_class(encodings: Any, scores: Any, anchors: Any, classes: int) -> Candidates:
    parts = []
    for kind in range(classes):
        column = scores[:, :, [kind + 1]]
        part = decode_ssd(encodings, column, anchors, background=False, activation="none", threshold=0.25)
        parts.append((part.corners, part.scores, part.classes + kind))
    corners, rank, kinds = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Candidates(corners, rank, kinds)


# ---- decoders -----------------------------------------------------------------------------------------------------


def test_ssd_with_zero_encodings_gives_the_anchors() -> None:
    anchors = f32([[0.5, 0.25, 0.5, 0.25], [0.5, 0.75, 1.0, 0.5]])  # center y, center x, height, width
    logits = f32([[9, -9, 0], [9, 0, 2]])
    got = decode_ssd(
        np.zeros((1, 2, 4)), logits[np.newaxis], anchors, background=True, activation="sigmoid", threshold=0.4
    )
    np.testing.assert_allclose(got.corners, [[0.125, 0.25, 0.375, 0.75], [0.5, 0, 1, 1]])
    np.testing.assert_allclose(got.scores, [0.5, 1 / (1 + np.exp(-2))], rtol=1e-6)
    assert got.classes.tolist() == [1, 1]


def test_ssd_scales_are_the_inverse_of_variances() -> None:
    anchors, one = f32([[0.5, 0.5, 0.2, 0.4]]), f32([[0.9]])
    got = decode_ssd(f32([[1, 2, 1, 2]]), one, anchors, background=False, activation="none", threshold=0)
    (left, top, right, bottom) = got.corners[0]
    assert (top + bottom) / 2 == pytest.approx(0.5 + 0.1 * 1 * 0.2)
    assert (left + right) / 2 == pytest.approx(0.5 + 0.1 * 2 * 0.4)
    assert bottom - top == pytest.approx(np.exp(0.2 * 1) * 0.2)
    assert right - left == pytest.approx(np.exp(0.2 * 2) * 0.4)
    plain = decode_ssd(
        f32([[1, 2, 1, 2]]),
        one,
        anchors,
        background=False,
        activation="none",
        threshold=0,
        scales=(1, 1, 1, 1),
    )
    assert plain.corners[0][3] - plain.corners[0][1] == pytest.approx(np.e * 0.2)


CELLS = f32([[0.5, 0.5, 0.2, 0.4], [0.25, 0.5, 0.5, 1.0], [0.9, 0.9, 0.1, 0.1]])
CLASS_SCORES = f32([[0.1, 0.9], [0.6, 0.3], [0.1, 0.2]])
CORNERS = [[0.4, 0.3, 0.6, 0.7], [0, 0, 0.5, 1]]


def test_yolo_with_box_and_scores_in_rows() -> None:
    output = np.concatenate([CELLS, CLASS_SCORES], axis=1).T[np.newaxis]
    got = decode_yolo(output, layout="4+C,N", classes=2, coordinates="normalized", threshold=0.5)
    np.testing.assert_allclose(got.corners, CORNERS, atol=1e-6)
    assert got.scores.tolist() == pytest.approx([0.9, 0.6])
    assert got.classes.tolist() == [1, 0]


def test_yolo_with_objectness_in_columns_and_pixels() -> None:
    objectness = f32([[0.5], [1.0], [1.0]])
    pixels = CELLS * [640, 320, 640, 320]
    output = np.concatenate([pixels, objectness, CLASS_SCORES], axis=1)[np.newaxis]
    got = decode_yolo(output, layout="N,5+C", classes=2, coordinates=(320, 640), threshold=0.4)
    np.testing.assert_allclose(got.corners, CORNERS, atol=1e-6)
    assert got.scores.tolist() == pytest.approx([0.45, 0.6])
    assert got.classes.tolist() == [1, 0]


def test_yolo_logits() -> None:
    output = f32([[[0.5, 0.5, 1, 1, 0, 2, -2]]])
    got = decode_yolo(
        output, layout="N,5+C", classes=2, coordinates="normalized", threshold=0, activation="sigmoid"
    )
    assert got.scores[0] == pytest.approx(0.5 / (1 + np.exp(-2)))


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((1, 7, 20), {"layout": "4+C,N"}),
        ((1, 20, 6), {"layout": "4+C,N"}),
        ((1, 20, 6), {"layout": "N,5+C"}),
        ((2, 6, 20), {"layout": "4+C,N"}),
        ((6,), {"layout": "4+C,N"}),
        ((1, 6, 20), {"layout": "v8"}),
        ((1, 4, 20), {"layout": "4+C,N", "classes": 0}),
        ((1, 6, 20), {"layout": "4+C,N", "activation": "tanh"}),
        ((1, 6, 20), {"layout": "4+C,N", "coordinates": "pixels"}),
        ((1, 6, 20), {"layout": "4+C,N", "coordinates": (320, 320, 3)}),
        ((1, 6, 20), {"layout": "4+C,N", "coordinates": (0, 320)}),
        ((1, 6, 20), {"layout": "4+C,N", "coordinates": None}),
    ],
)
def test_another_layout_than_was_said_is_refused(shape: tuple[int, ...], arguments: dict[str, Any]) -> None:
    said = {"classes": 2, "coordinates": "normalized", "threshold": 0.5, **arguments}
    with pytest.raises(InputError):
        decode_yolo(np.zeros(shape, np.float32), **said)


def test_ssd_refuses_what_does_not_fit() -> None:
    fits = {"background": True, "activation": "none", "threshold": 0.5}
    with pytest.raises(InputError, match=r"\(n, 4\)"):
        decode_ssd(np.zeros((1, 5, 4)), np.zeros((1, 5, 3)), np.zeros((6, 4)), **fits)
    with pytest.raises(InputError, match=r"\(n, 4\)"):
        decode_ssd(np.zeros((1, 5, 4)), np.zeros((1, 5, 1)), np.zeros((5, 4)), **fits)


def test_postprocessed_takes_what_is_filled_and_reaches_the_threshold() -> None:
    boxes = f32([[[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], [0.5, 0.5, 0.6, 0.6]]])  # top, left, bottom, right
    got = postprocessed(boxes, f32([[2, 0, 0]]), f32([[0.9, 0.3, 0.8]]), f32([2]), threshold=0.5)
    (box,) = to_boxes(got, ("a", "b", "c"))
    assert (box.label, box.index) == ("c", 2)
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.2, 0.1, 0.4, 0.3))


def test_postprocessed_in_the_wrong_order_is_refused() -> None:
    boxes, row, count = np.zeros((1, 3, 4)), np.zeros((1, 3)), np.zeros(1)
    for wrong in ((row, boxes, row, count), (boxes, row, count, row), (boxes, count, row, row)):
        with pytest.raises(InputError):
            postprocessed(*wrong, threshold=0.5)


# ---- boxes --------------------------------------------------------------------------------------------------------


def test_a_box_is_cut_off_at_the_edges_and_has_pixels() -> None:
    candidates = Candidates(f32([[-0.5, 0.25, 0.5, 1.5]]), f32([0.75]), np.array([0]))
    (box,) = best_boxes(candidates)
    assert (box.left, box.bottom, box.label, box.score) == (0, 1, None, 0.75)
    assert (box.width, box.height) == (0.5, 0.75)
    assert box.pixels(height=100, width=40) == (0, 25, 20, 100)
    assert box.pixels(height=7, width=3) == (0, 2, 2, 7)
    with pytest.raises(AttributeError):
        box.left = 1  # type: ignore[misc]


def test_classes_keep_each_other_unless_told_otherwise() -> None:
    candidates = Candidates(f32([[0, 0, 1, 1]] * 2), f32([0.5, 0.9]), np.array([0, 1]))
    assert [box.index for box in best_boxes(candidates)] == [1, 0]
    assert [box.index for box in best_boxes(candidates, across_classes=True)] == [1]
    assert [box.index for box in best_boxes(candidates, limit=1)] == [1]


def test_nothing_found_is_an_empty_tuple() -> None:
    output = np.zeros((1, 6, 20), np.float32)
    found = decode_yolo(output, layout="4+C,N", classes=2, coordinates="normalized", threshold=0.5)
    assert len(found) == 0
    assert best_boxes(found) == ()


def test_a_class_without_a_label_is_refused() -> None:
    candidates = Candidates(f32([[0, 0, 1, 1]]), f32([0.5]), np.array([7]))
    with pytest.raises(InputError, match="class 7, and there are 2 labels"):
        best_boxes(candidates, ("cat", "dog"))
