"""The networks of the published times, layer by layer, and what is known of their size to check the lists.

Sources: the papers named with each, and the reference code in tensorflow/models (slim, object_detection), google/automl
(efficientdet), tensorflow/tpu (efficientnet lite and edgetpu), keras.applications, and mlcommons/tiny.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sketch import Sketch

from edgekit_targets.ops import OpView, TensorView


def _channels(base: float, multiple: int = 8) -> int:
    """Rounds to a multiple of 8, never down by more than a tenth (MobileNetV2's and EfficientNet's rule)."""
    rounded = max(multiple, int(base + multiple / 2) // multiple * multiple)
    return rounded + multiple if rounded < 0.9 * base else rounded


# --- MobileNet (1704.04861), MobileNetV2 (1801.04381) --------------------------------------------------------

V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


def _v1_features(s: Sketch, x: TensorView, alpha: float) -> list[TensorView]:
    """The outputs of the 13 blocks."""
    x = s.conv(x, int(32 * alpha), 3, 2)
    outputs = []
    for filters, stride in V1:
        x = s.separable(x, int(filters * alpha), 3, stride)
        outputs.append(x)
    return outputs


def mobilenet_v1(s: Sketch, alpha: float, size: int, classes: int = 1001, channels: int = 3) -> None:
    x = _v1_features(s, s.input(size, size, channels), alpha)[-1]
    x = s.pool(x, x.shape[1], x.shape[1], "VALID", "AVERAGE")
    s.softmax(s.reshape(s.conv(x, classes), 1, classes))


V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _inverted(
    s: Sketch, x: TensorView, expand: int, filters: int, stride: int, kernel: int = 3, fused: bool = False
) -> tuple[TensorView, TensorView]:
    """An inverted bottleneck: its output, and what lies after its expansion."""
    channels = x.shape[3]
    wide = x
    if fused:
        wide = s.conv(x, channels * expand, kernel, stride)
    elif expand != 1:
        wide = s.conv(x, channels * expand)
    y = s.conv(wide if fused else s.depthwise(wide, kernel, stride), filters)
    return (s.add(x, y) if stride == 1 and channels == filters else y), wide


def _v2_features(s: Sketch, x: TensorView, alpha: float = 1.0) -> tuple[TensorView, TensorView]:
    """The last layer (1280 channels), and the expansion in block 13 (stride 16)."""
    x = s.conv(x, _channels(32 * alpha), 3, 2)
    middle = x
    for expand, filters, repeats, stride in V2:
        for i in range(repeats):
            x, wide = _inverted(s, x, expand, _channels(filters * alpha), stride if i == 0 else 1)
            middle = wide if filters == 160 and i == 0 else middle
    return s.conv(x, 1280), middle


def mobilenet_v2(s: Sketch, size: int) -> None:
    x, _ = _v2_features(s, s.input(size, size))
    x = s.pool(x, x.shape[1], x.shape[1], "VALID", "AVERAGE")
    s.softmax(s.reshape(s.conv(x, 1001), 1, 1001))


# --- SSD (1512.02325) on both ------------------------------------------------------------------------------


def _ssd_head(s: Sketch, maps: list[TensorView], lite: bool, classes: int = 91) -> None:
    for squeeze, filters in ((256, 512), (128, 256), (128, 256), (64, 128)):
        x = s.conv(maps[-1], squeeze)
        maps.append(s.separable(x, filters, 3, 2) if lite else s.conv(x, filters, 3, 2))
    boxes, scores = [], []
    for i, x in enumerate(maps):
        anchors = 3 if i == 0 else 6
        count = x.shape[1] * x.shape[2] * anchors
        for outputs, width in ((boxes, 4), (scores, classes)):
            y = s.conv(s.depthwise(x) if lite else x, anchors * width)
            outputs.append(s.reshape(y, 1, width, count))
    s.unary("LOGISTIC", s.concat(*scores))
    s.concat(*boxes)


def ssd_mobilenet_v1(s: Sketch, alpha: float = 1.0) -> None:
    features = _v1_features(s, s.input(300, 300), alpha)
    _ssd_head(s, [features[10], features[12]], lite=False)


def ssd_mobilenet_v2(s: Sketch, lite: bool = False) -> None:
    last, middle = _v2_features(s, s.input(300, 300))
    _ssd_head(s, [middle, last], lite)


# --- EfficientNet-Lite, EfficientNet-EdgeTPU (1905.11946), EfficientDet-Lite (1911.09070) --------------------

LITE = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))  # fmt: skip
EDGETPU = ((4, 24, 1, 1, 3), (8, 32, 2, 2, 3), (8, 48, 4, 2, 3), (8, 96, 5, 2, 5), (8, 144, 4, 1, 5),
           (8, 192, 2, 2, 5))  # fmt: skip


def _efficientnet(
    s: Sketch, x: TensorView, blocks: Sequence[tuple[int, ...]], width: float, depth: float, lite: bool
) -> list[TensorView]:
    """The outputs of the stages, the stem's before."""
    outputs = [s.conv(x, 32 if lite else _channels(32 * width), 3, 2)]
    for number, (expand, filters, repeats, stride, kernel) in enumerate(blocks):
        x = outputs[-1]
        fixed = lite and number in (0, len(blocks) - 1)  # "fix_head_stem" of the lite models
        for i in range(repeats if fixed else -int(-repeats * depth // 1)):
            fused = not lite and number < 3
            x, _ = _inverted(s, x, expand, _channels(filters * width), stride if i == 0 else 1, kernel, fused)
        outputs.append(x)
    return outputs


def efficientnet_edgetpu(s: Sketch, width: float, depth: float, size: int) -> None:
    x = _efficientnet(s, s.input(size, size), EDGETPU, width, depth, lite=False)[-1]
    s.softmax(s.dense(s.mean(s.conv(x, _channels(1280 * width))), 1001))


def efficientnet_lite(s: Sketch, width: float, depth: float, size: int) -> None:
    x = _efficientnet(s, s.input(size, size), LITE, width, depth, lite=True)[-1]
    s.softmax(s.dense(s.mean(s.conv(x, 1280)), 1000))


def _fuse(s: Sketch, filters: int, *inputs: TensorView) -> TensorView:
    return s.separable(s.add(*inputs), filters)


def efficientdet_lite(
    s: Sketch, size: int, width: float, depth: float, filters: int, cells: int, repeats: int
) -> None:
    """BiFPN with plain sums over levels 3 to 7, and the two heads; without the non-maximum suppression."""
    stages = _efficientnet(s, s.input(size, size), LITE, width, depth, lite=True)
    features = [stages[3], stages[5], stages[7]]
    p6 = s.pool(s.conv(features[-1], filters), 3, 2)
    levels = [*features, p6, s.pool(p6, 3, 2)]
    for cell in range(cells):
        levels = _bifpn(s, levels, filters, first=cell == 0)
    for x in levels:
        for outputs in (9 * 90, 9 * 4):
            y = x
            for _ in range(repeats):
                y = s.separable(y, filters)
            y = s.separable(y, outputs)
            s.reshape(y, 1, y.shape[1] * y.shape[2] * 9, outputs // 9)


def _bifpn(s: Sketch, levels: list[TensorView], filters: int, first: bool) -> list[TensorView]:
    """One cell: down from level 7 to 3, then up again."""
    lateral = [s.conv(x, filters) if first and i < 3 else x for i, x in enumerate(levels)]
    # In the first cell, levels 4 and 5 are projected a second time for the way up.
    again = [s.conv(x, filters) if first and i in (1, 2) else y
             for i, (x, y) in enumerate(zip(levels, lateral, strict=True))]  # fmt: skip
    down = [lateral[4]]
    for x in lateral[3::-1]:
        down.insert(0, _fuse(s, filters, x, s.resize(down[0], x.shape[1], x.shape[2])))
    up = [down[0]]
    for i in range(1, 5):
        smaller = s.pool(up[-1], 3, 2)
        inputs = (again[i], smaller) if i == 4 else (again[i], down[i], smaller)
        up.append(_fuse(s, filters, *inputs))
    return up


# --- PoseNet and BodyPix on the first 11 blocks of MobileNet 0.75 (google-coral/project-posenet, -bodypix) ---


def posenet(s: Sketch, height: int, width: int, body_parts: bool = False) -> None:
    """Without the decoder, which runs on the host."""
    x = s.conv(s.input(height, width), 24, 3, 2)
    for filters, stride in V1[:11]:
        x = s.separable(x, filters * 3 // 4, 3, stride)
    for outputs in (17, 34, 24, 1, 34) if body_parts else (17, 34):
        s.conv(x, outputs)
    s.concat(s.conv(x, 32), s.conv(x, 32))


# --- VGG (1409.1556), ResNet (1512.03385), DenseNet (1608.06993) --------------------------------------------


def vgg(s: Sketch, repeats: Sequence[int]) -> None:
    x = s.input(224, 224)
    for filters, count in zip((64, 128, 256, 512, 512), repeats, strict=True):
        for _ in range(count):
            x = s.conv(x, filters, 3)
        x = s.pool(x, 2, 2)
    for units in (4096, 4096, 1000):
        x = s.dense(x, units)
    s.softmax(x)


def resnet(s: Sketch, repeats: Sequence[int], size: int, pre_activated: bool = False) -> None:
    x = s.pool(s.conv(s.input(size, size), 64, 7, 2))
    for stage, count in enumerate(repeats):
        filters = 64 << stage
        for i in range(count):
            stride = 2 if stage and i == 0 else 1
            before = s.affine(x) if pre_activated else x
            shortcut = s.conv(before, 4 * filters, 1, stride) if i == 0 else x
            y = s.conv(s.conv(before, filters, 1, stride), filters, 3)
            x = s.add(s.conv(y, 4 * filters), shortcut)
    s.softmax(s.dense(s.mean(x), 1000))


def densenet121(s: Sketch) -> None:
    x = s.pool(s.conv(s.input(224, 224), 64, 7, 2))
    for block, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            x = s.concat(x, s.conv(s.conv(s.affine(x), 128), 32, 3))
        if block < 3:
            x = s.pool(s.conv(s.affine(x), x.shape[3] // 2), 2, 2, kind="AVERAGE")
    s.softmax(s.dense(s.mean(s.affine(x)), 1000))


# --- MLPerf Tiny (2106.07597) -------------------------------------------------------------------------------


def ds_cnn(s: Sketch) -> None:
    x = s.conv(s.input(49, 10, 1), 64, (10, 4), 2)
    for _ in range(4):
        x = s.separable(x, 64)
    s.softmax(s.dense(s.mean(x), 12))


def resnet8(s: Sketch) -> None:
    x = s.conv(s.input(32, 32), 16, 3)
    for filters in (16, 32, 64):
        stride = 1 if filters == 16 else 2
        y = s.conv(s.conv(x, filters, 3, stride), filters, 3)
        x = s.add(y, x if stride == 1 else s.conv(x, filters, 1, stride))
    s.softmax(s.dense(s.mean(x), 10))


def autoencoder(s: Sketch) -> None:
    x = TensorView((1, 640), "INT8", quantized=True)
    for units in (*(128,) * 4, 8, *(128,) * 4, 640):
        x = s.dense(x, units)


def _all() -> Mapping[str, Callable[[Sketch], None]]:
    from inceptions import inception_resnet_v2, inception_v1, inception_v3, inception_v4

    detectors = ((320, 1.0, 1.0, 64, 3, 3), (384, 1.0, 1.1, 88, 4, 3), (448, 1.1, 1.2, 112, 5, 3),
                 (512, 1.2, 1.4, 160, 6, 4), (640, 1.2, 1.4, 200, 6, 4), (640, 1.4, 1.8, 224, 7, 4))  # fmt: skip
    lite_names = ("Lite0", "Lite1", "Lite2", "Lite3", "Lite3x", "Lite4")
    return {
        "MobileNetV1 1.0 224x224": partial(mobilenet_v1, alpha=1.0, size=224),
        "MobileNetV1 0.25 128x128": partial(mobilenet_v1, alpha=0.25, size=128),
        "MobileNetV1 0.25 96x96": partial(mobilenet_v1, alpha=0.25, size=96, classes=2),
        "MobileNetV2 1.0 224x224": partial(mobilenet_v2, size=224),
        "SSD-MobileNetV1 300x300": ssd_mobilenet_v1,
        "SSD-MobileNetV1 0.75 300x300": partial(ssd_mobilenet_v1, alpha=0.75),
        "SSD-MobileNetV2 300x300": ssd_mobilenet_v2,
        "SSDLite-MobileNetV2 300x300": partial(ssd_mobilenet_v2, lite=True),
        "EfficientNet-EdgeTPU-S 224x224": partial(efficientnet_edgetpu, width=1.0, depth=1.0, size=224),
        "EfficientNet-EdgeTPU-M 240x240": partial(efficientnet_edgetpu, width=1.0, depth=1.1, size=240),
        "EfficientNet-EdgeTPU-L 300x300": partial(efficientnet_edgetpu, width=1.2, depth=1.4, size=300),
        "EfficientNet-Lite0 224x224": partial(efficientnet_lite, width=1.0, depth=1.0, size=224),
        **{
            f"EfficientDet-{name} {p[0]}x{p[0]}": partial(
                efficientdet_lite, size=p[0], width=p[1], depth=p[2], filters=p[3], cells=p[4], repeats=p[5]
            )
            for name, p in zip(lite_names, detectors, strict=True)
        },
        "PoseNet 353x481": partial(posenet, height=353, width=481),
        "PoseNet 481x641": partial(posenet, height=481, width=641),
        "PoseNet 721x1281": partial(posenet, height=721, width=1281),
        "BodyPix 352x480": partial(posenet, height=352, width=480, body_parts=True),
        "BodyPix 512x512": partial(posenet, height=512, width=512, body_parts=True),
        "VGG16 224x224": partial(vgg, repeats=(2, 2, 3, 3, 3)),
        "VGG19 224x224": partial(vgg, repeats=(2, 2, 4, 4, 4)),
        "ResNet-50 V1 299x299": partial(resnet, repeats=(3, 4, 6, 3), size=299),
        "ResNet-50 V1 224x224": partial(resnet, repeats=(3, 4, 6, 3), size=224),
        "ResNet-50 V2 299x299": partial(resnet, repeats=(3, 4, 6, 3), size=299, pre_activated=True),
        "ResNet-152 V2 299x299": partial(resnet, repeats=(3, 8, 36, 3), size=299, pre_activated=True),
        "DenseNet-121 224x224": densenet121,
        "Inception V1 224x224": inception_v1,
        "Inception V3 224x224": partial(inception_v3, size=224),
        "Inception V3 299x299": partial(inception_v3, size=299),
        "Inception V4 299x299": inception_v4,
        "Inception-ResNet V2 299x299": inception_resnet_v2,
        "DS-CNN 49x10": ds_cnn,
        "ResNet-8 32x32": resnet8,
        "Autoencoder 640": autoencoder,
    }


NETWORKS: Mapping[str, Callable[[Sketch], None]] = _all()
"""How to draw each network, by the name that the tables of published times use."""

PUBLISHED_SIZES: Mapping[str, tuple[float, float]] = {
    "MobileNetV1 1.0 224x224": (569e6, 4.24e6),
    "MobileNetV2 1.0 224x224": (300e6, 3.47e6),
    "EfficientNet-Lite0 224x224": (407e6, 4.7e6),
    "VGG16 224x224": (15.5e9, 138.4e6),
    "VGG19 224x224": (19.6e9, 143.7e6),
    "ResNet-50 V1 224x224": (3.86e9, 25.6e6),
    "DenseNet-121 224x224": (2.83e9, 8.0e6),
    "Inception V3 299x299": (5.71e9, 23.8e6),
    "Inception V4 299x299": (12.27e9, 42.7e6),
    "Inception-ResNet V2 299x299": (13.17e9, 55.8e6),
    "DS-CNN 49x10": (2.66e6, 22.6e3),
    "ResNet-8 32x32": (12.5e6, 77.4e3),
    "MobileNetV1 0.25 96x96": (7.49e6, 208e3),
}
"""Multiplications and parameters as papers or model zoos state them, to check the drawings: within 5 %."""


def operators(name: str) -> tuple[OpView, ...]:
    """The operators of a network."""
    sketch = Sketch()
    NETWORKS[name](sketch)
    return tuple(sketch.ops)
