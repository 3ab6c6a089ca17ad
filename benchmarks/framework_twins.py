"""The same networks as framework_networks.py written in Keras, untrained: to see which operators the chip would take.

PYTHON framework_twins.py WORK
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
from keras import layers


def conv(x: Any, width: int, size: int = 3, stride: int = 1, act: str | None = "relu") -> Any:
    x = layers.Conv2D(width, size, stride, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation(act)(x) if act else x


def depthwise(x: Any, size: int, stride: int, act: str) -> Any:
    x = layers.DepthwiseConv2D(size, stride, padding="same", use_bias=False)(x)
    return layers.Activation(act)(layers.BatchNormalization()(x))


def resnet20() -> keras.Model:
    image = keras.Input((28, 28, 1))
    x = conv(image, 16)
    before = 16
    for width, stride in [(16, 1)] * 3 + [(32, 2)] + [(32, 1)] * 2 + [(64, 2)] + [(64, 1)] * 2:
        skip = x if (before, stride) == (width, 1) else conv(x, width, 1, stride, act=None)
        x = layers.ReLU()(layers.Add()([conv(conv(x, width, 3, stride), width, act=None), skip]))
        before = width
    return keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def excite(x: Any) -> Any:
    width = x.shape[-1]
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Conv2D(width, 1)(layers.Conv2D(width // 4, 1, activation="relu")(y))
    return layers.Multiply()([x, layers.Activation("hard_sigmoid")(y)])


def mobilenet(size: int, channels: int, v3: bool) -> keras.Model:
    image, act = keras.Input((size, size, channels)), "hard_swish" if v3 else "relu6"
    x = conv(image, 16, 3, 2, act)
    for i, o, t, s in [(16, 16, 2, 1), (16, 24, 4, 2), (24, 24, 4, 1), (24, 40, 4, 2), (40, 40, 4, 1)]:
        y = depthwise(conv(x, i * t, 1, act=act), 5 if v3 and i > 24 else 3, s, act)
        y = conv(excite(y) if v3 and i > 16 else y, o, 1, act=None)
        x = layers.Add()([x, y]) if i == o and s == 1 else y
    x = layers.GlobalAveragePooling2D()(conv(x, 160, 1, act=act))
    return keras.Model(image, layers.Dense(10)(x))


def unet() -> keras.Model:
    image = keras.Input((64, 64, 3))
    one = conv(image, 16)
    two = conv(layers.MaxPooling2D()(one), 32)
    three = conv(layers.MaxPooling2D()(two), 64)
    two = conv(layers.Concatenate()([two, layers.Conv2DTranspose(32, 2, 2)(three)]), 32)
    up = layers.UpSampling2D(interpolation="bilinear")(two)
    return keras.Model(image, layers.Conv2D(2, 1)(conv(layers.Concatenate()([one, up]), 16)))


TWINS = {
    "resnet20": resnet20,
    "mobilenetv2": lambda: mobilenet(64, 3, v3=False),
    "mobilenetv3": lambda: mobilenet(28, 1, v3=True),
    "unet": unet,
}


if __name__ == "__main__":
    for name, build in TWINS.items():
        build().save(Path(sys.argv[1]) / f"{name}.keras")
