"""Trains a new head on a published backbone, as most people do: `python train_transfer.py BACKBONE.h5 DATA.npz MODEL.h5`.

The backbone (MobileNetV1, ReLU6, trained for weeks by others) stays as it was, at 96x96; Fashion-MNIST, enlarged, has new
classes for it. Its channels differ in scale as in no network that is trained in a minute, which is what min-max loses on.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tf_keras as keras
from features import enlarged

SEED = 1
SAMPLES = 4000
EPOCHS = 60


def backbone(file: str) -> keras.Model:
    """Every layer up to the last activation, at 96x96 whatever it was trained at."""
    published = keras.models.load_model(file, compile=False)
    last = max(n for n, each in enumerate(published.layers) if isinstance(each, keras.layers.DepthwiseConv2D))
    x = image = keras.layers.Input((96, 96, 3))
    for layer in published.layers[1:]:
        pools = isinstance(layer, keras.layers.GlobalAveragePooling2D | keras.layers.AveragePooling2D)
        if pools and published.layers.index(layer) > last:
            break
        x = layer(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


def main(file: str, data: str, out: str) -> None:
    keras.utils.set_random_seed(SEED)
    arrays = np.load(data)
    images = enlarged(arrays["x_train"][:SAMPLES]).astype(np.float32)
    features = backbone(file)
    seen = features.predict(images / 127.5 - 1, batch_size=64, verbose=0)
    head = keras.Sequential([keras.layers.Input(seen.shape[1:]), keras.layers.Dense(10, "softmax")])
    head.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    head.fit(seen, arrays["y_train"][:SAMPLES], epochs=EPOCHS, batch_size=64, verbose=0)
    keras.Model(features.input, head(features.output)).save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
