"""Objects in a frame, as typed values: decode what the model gives, drop duplicates, get `Box` values.

A YOLO model of 80 classes whose one output is (1, 84, 8400), with coordinates of 0..1 as its TFLite export has them::

    from edgekit.tasks import detection

    result = model.run(frame)
    candidates = detection.decode_yolo(
        result.outputs["boxes"], layout="4+C,N", classes=80, coordinates="normalized", threshold=0.3
    )
    for box in detection.best_boxes(candidates, model.manifest.labels, iou=0.5):
        left, top, right, bottom = box.pixels(frame.shape[0], frame.shape[1])
        print(box.label, round(box.score, 2), left, top, right, bottom)

An SSD model that gives encodings and class logits, with its anchors in a file::

    candidates = detection.decode_ssd(
        result.outputs["encodings"], result.outputs["logits"], numpy.load("anchors.npy"),
        background=True, activation="sigmoid", threshold=0.5,
    )

A model that ends in TFLite_Detection_PostProcess has decoded and dropped duplicates itself: `postprocessed`.
"""

from __future__ import annotations

from edgekit.tasks.detection.boxes import Box, Candidates, best_boxes, to_boxes
from edgekit.tasks.detection.decode import SSD_SCALES, decode_ssd, decode_yolo, postprocessed
from edgekit.tasks.detection.nms import nms

__all__ = [
    "SSD_SCALES",
    "Box",
    "Candidates",
    "best_boxes",
    "decode_ssd",
    "decode_yolo",
    "nms",
    "postprocessed",
    "to_boxes",
]
