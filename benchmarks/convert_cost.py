"""Wall time and peak memory of `edgekit convert` beside a minimal TFLiteConverter script on the same samples.

    python benchmarks/convert_cost.py [--rounds 3]

The model is keras.applications MobileNetV2-224 with random weights, whose batch-norm statistics come from one
training-mode pass over samples, so that its activations do not collapse. The samples are 500 crops of
scikit-learn's two photos. Every figure is that of the whole command, the best of the rounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from commands import EDGEKIT, output_of
from measure import Cost, run
from sklearn.datasets import load_sample_images

SIZE = 224
PEER = "TFLiteConverter"
MOST_WALL = {("edgekit fast", 100): 0.8, ("edgekit fast", 500): 0.5, ("edgekit balanced", 500): 1.0}
MOST_MEMORY = {"edgekit fast": 1.0, "edgekit balanced": 1.0}

MAKE_MODEL = """
import keras, numpy as np
photos = np.load("photos.npy")[:64].astype("float32") / 127.5 - 1
keras.utils.set_random_seed(0)
model = keras.applications.MobileNetV2(weights=None)
for layer in model.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.momentum = 0.0
model(photos, training=True)
model.save("mobilenet_v2.keras")
"""

TFLITE_CONVERTER = """
import sys
import keras, numpy as np, tensorflow as tf
photos = np.load("photos.npy", mmap_mode="r")[: int(sys.argv[1])]
model = keras.models.load_model("mobilenet_v2.keras", compile=False)
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([photo[None].astype("float32") / 127.5 - 1] for photo in photos)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
open("tfliteconverter.tflite", "wb").write(converter.convert())
"""


def photos(count: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    images = load_sample_images().images
    crops = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for row in range(count):
        image = images[row % len(images)]
        top, left = (int(generator.integers(0, size - SIZE)) for size in image.shape[:2])
        crops[row] = image[top : top + SIZE, left : left + SIZE]
    return crops


def edgekit(effort: str, samples: int) -> list[str | Path]:
    return [
        EDGEKIT, "convert", "mobilenet_v2.keras", "--target", "raspberry-pi-4",
        "--calibration", "photos.npy", "--range", "-1,1", "--color", "RGB", "--samples", str(samples),
        "--effort", effort, "-o", f"{effort}.edgekit",
    ]  # fmt: skip


def commands(samples: int) -> dict[str, list[str | Path]]:
    return {
        PEER: [sys.executable, "-c", TFLITE_CONVERTER, str(samples)],
        "edgekit fast": edgekit("fast", samples),
        "edgekit balanced": edgekit("balanced", samples),
        "edgekit best": edgekit("best", samples),
    }


def best_of(rounds: int, commands: dict[str, list[str | Path]], folder: Path) -> dict[str, Cost]:
    """Takes the commands in turn, so that a noisy minute hits all of them."""
    costs: dict[str, list[Cost]] = {how: [] for how in commands}
    for _ in range(rounds):
        for how, command in commands.items():
            costs[how].append(run(command, folder))
    return {
        how: Cost(min(each.wall_s for each in taken), min(each.peak_rss_mb for each in taken))
        for how, taken in costs.items()
    }


def print_rows(samples: int, costs: dict[str, Cost]) -> None:
    peer = costs[PEER]
    for how, cost in costs.items():
        wall, memory = cost.wall_s / peer.wall_s, cost.peak_rss_mb / peer.peak_rss_mb
        bars = "" if how == PEER else f"wall {verdict(wall, MOST_WALL.get((how, samples)))}"
        bars += "" if how == PEER else f", memory {verdict(memory, MOST_MEMORY.get(how))}"
        print(
            f"{samples:>7}  {how:<16}  {cost.wall_s:>6.1f}  {wall:>5.2f}  "
            f"{cost.peak_rss_mb:>7.0f}  {memory:>5.2f}  {bars}"
        )


def verdict(ratio: float, bar: float | None) -> str:
    if bar is None:
        return "has no bar"
    return f"<= {bar}x {'met' if ratio <= bar else 'NOT MET'}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "photos.npy", photos(500))
        output_of([sys.executable, "-c", MAKE_MODEL], folder)
        print(f"best of {rounds}")
        print(f"{'samples':>7}  {'':<16}  {'wall s':>6}  {'ratio':>5}  {'peak MB':>7}  {'ratio':>5}  bars")
        for samples in (100, 500):
            print_rows(samples, best_of(rounds, commands(samples), folder))


if __name__ == "__main__":
    main()
