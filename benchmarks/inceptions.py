"""The Inception networks: V1 (1409.4842), V3 (1512.00567), V4 and Inception-ResNet V2 (1602.07261)."""

from __future__ import annotations

from collections.abc import Sequence

from sketch import Kernel, Sketch

from edgekit_targets.ops import TensorView

Layer = tuple[int, Kernel]


def _chain(s: Sketch, x: TensorView, *layers: Layer) -> TensorView:
    """Convolutions in a row, each (filters, kernel)."""
    for filters, kernel in layers:
        x = s.conv(x, filters, kernel)
    return x


def _down(s: Sketch, x: TensorView, *layers: Layer) -> TensorView:
    """The same, the last one 3x3 with stride 2 and without padding."""
    x = _chain(s, x, *layers[:-1])
    return s.conv(x, layers[-1][0], 3, 2, "VALID")


def _pooled(s: Sketch, x: TensorView, filters: int) -> TensorView:
    return s.conv(s.pool(x, 3, 1, kind="AVERAGE"), filters)


def _classify(s: Sketch, x: TensorView) -> None:
    s.softmax(s.dense(s.mean(x), 1001))


def inception_v1(s: Sketch) -> None:
    x = s.pool(s.conv(s.input(224, 224), 64, 7, 2))
    x = s.pool(_chain(s, x, (64, 1), (192, 3)))
    modules: Sequence[tuple[int, ...] | None] = (
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None, (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128), None, (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    )  # fmt: skip
    for module in modules:
        if module is None:
            x = s.pool(x)
            continue
        a, b, c, d, e, f = module
        pooled = s.conv(s.pool(x, 3, 1), f)
        x = s.concat(s.conv(x, a), _chain(s, x, (b, 1), (c, 3)), _chain(s, x, (d, 1), (e, 3)), pooled)
    _classify(s, x)


def _stem(s: Sketch, size: int) -> TensorView:
    """The first layers of V3 and Inception-ResNet V2."""
    x = s.conv(s.input(size, size), 32, 3, 2, "VALID")
    x = s.conv(s.conv(x, 32, 3, padding="VALID"), 64, 3)
    x = s.pool(x, 3, 2, "VALID")
    x = s.conv(s.conv(x, 80), 192, 3, padding="VALID")
    return s.pool(x, 3, 2, "VALID")


def inception_v3(s: Sketch, size: int) -> None:
    x = _stem(s, size)
    for filters in (32, 64, 64):
        x = s.concat(
            s.conv(x, 64),
            _chain(s, x, (48, 1), (64, 5)),
            _chain(s, x, (64, 1), (96, 3), (96, 3)),
            _pooled(s, x, filters),
        )
    x = s.concat(_down(s, x, (384, 3)), _down(s, x, (64, 1), (96, 3), (96, 3)), s.pool(x, 3, 2, "VALID"))
    for c in (128, 160, 160, 192):
        x = s.concat(
            s.conv(x, 192),
            _chain(s, x, (c, 1), (c, (1, 7)), (192, (7, 1))),
            _chain(s, x, (c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))),
            _pooled(s, x, 192),
        )
    x = s.concat(
        _down(s, x, (192, 1), (320, 3)),
        _down(s, x, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)),
        s.pool(x, 3, 2, "VALID"),
    )
    for _ in range(2):
        a, b = s.conv(x, 384), _chain(s, x, (448, 1), (384, 3))
        x = s.concat(
            s.conv(x, 320), *(s.conv(y, 384, k) for y in (a, b) for k in ((1, 3), (3, 1))), _pooled(s, x, 192)
        )
    _classify(s, x)


def inception_v4(s: Sketch) -> None:
    x = s.conv(s.input(299, 299), 32, 3, 2, "VALID")
    x = s.conv(s.conv(x, 32, 3, padding="VALID"), 64, 3)
    x = s.concat(s.pool(x, 3, 2, "VALID"), _down(s, x, (96, 3)))
    long = _chain(s, x, (64, 1), (64, (7, 1)), (64, (1, 7)))
    x = s.concat(*(s.conv(y, 96, 3, padding="VALID") for y in (s.conv(x, 64), long)))
    x = s.concat(_down(s, x, (192, 3)), s.pool(x, 3, 2, "VALID"))
    for _ in range(4):
        x = s.concat(
            s.conv(x, 96),
            _chain(s, x, (64, 1), (96, 3)),
            _chain(s, x, (64, 1), (96, 3), (96, 3)),
            _pooled(s, x, 96),
        )
    x = s.concat(_down(s, x, (384, 3)), _down(s, x, (192, 1), (224, 3), (256, 3)), s.pool(x, 3, 2, "VALID"))
    for _ in range(7):
        x = s.concat(
            s.conv(x, 384),
            _chain(s, x, (192, 1), (224, (1, 7)), (256, (7, 1))),
            _chain(s, x, (192, 1), (192, (1, 7)), (224, (7, 1)), (224, (1, 7)), (256, (7, 1))),
            _pooled(s, x, 128),
        )
    x = s.concat(
        _down(s, x, (192, 1), (192, 3)),
        _down(s, x, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3)),
        s.pool(x, 3, 2, "VALID"),
    )
    for _ in range(3):
        a, b = s.conv(x, 384), _chain(s, x, (384, 1), (448, (1, 3)), (512, (3, 1)))
        x = s.concat(
            s.conv(x, 256), *(s.conv(y, 256, k) for y in (a, b) for k in ((1, 3), (3, 1))), _pooled(s, x, 256)
        )
    _classify(s, x)


def _residual(s: Sketch, x: TensorView, *branches: TensorView) -> TensorView:
    return s.add(x, s.conv(s.concat(*branches), x.shape[3]))


def inception_resnet_v2(s: Sketch) -> None:
    x = _stem(s, 299)
    x = s.concat(
        s.conv(x, 96),
        _chain(s, x, (48, 1), (64, 5)),
        _chain(s, x, (64, 1), (96, 3), (96, 3)),
        _pooled(s, x, 64),
    )
    for _ in range(10):
        x = _residual(
            s, x, s.conv(x, 32), _chain(s, x, (32, 1), (32, 3)), _chain(s, x, (32, 1), (48, 3), (64, 3))
        )
    x = s.concat(_down(s, x, (384, 3)), _down(s, x, (256, 1), (256, 3), (384, 3)), s.pool(x, 3, 2, "VALID"))
    for _ in range(20):
        x = _residual(s, x, s.conv(x, 192), _chain(s, x, (128, 1), (160, (1, 7)), (192, (7, 1))))
    x = s.concat(
        _down(s, x, (256, 1), (384, 3)),
        _down(s, x, (256, 1), (288, 3)),
        _down(s, x, (256, 1), (288, 3), (320, 3)),
        s.pool(x, 3, 2, "VALID"),
    )
    for _ in range(10):
        x = _residual(s, x, s.conv(x, 192), _chain(s, x, (192, 1), (224, (1, 3)), (256, (3, 1))))
    _classify(s, s.conv(x, 1536))
