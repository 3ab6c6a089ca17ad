"""Converts functions of JAX in a process of its own, which has JAX in memory as a user's has: jax_models.py FOLDER.

Real data that need no download: handwritten digits and two photos, both out of scikit-learn.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from edgekit.errors import EdgekitError
from edgekit_converters import convert
from edgekit_converters.calibration import SaidPreprocessing, open_set
from edgekit_converters.parity import compare_with_original
from edgekit_converters.sources import SourceOptions, load_float
from edgekit_converters.worker import Worker

NCHW = ("NCHW", "HWIO", "NCHW")
TARGET = "coral-usb-accelerator"


def convolved(x: Any, weights: Any, stride: int) -> Any:
    made = jax.lax.conv_general_dilated(x, weights, (stride, stride), "SAME", dimension_numbers=NCHW)
    return jax.nn.relu(made)


def net(params: Any, image: Any) -> Any:
    """Channels first, as PyTorch has it."""
    x = convolved(convolved(image, params["one"], 1), params["two"], 2)
    pooled = x.mean((2, 3)) if "dense" not in params else x.reshape(x.shape[0], -1) @ params["dense"]
    return {"scores": pooled @ params["head"], "features": pooled}


def parameters(channels: int, dense: int | None) -> dict[str, Any]:
    keys = jax.random.split(jax.random.PRNGKey(0), 4)
    made = {
        "one": jax.random.normal(keys[0], (3, 3, channels, 8)) * 0.3,
        "two": jax.random.normal(keys[1], (3, 3, 8, 16)) * 0.15,
        "head": jax.random.normal(keys[2], (32 if dense else 16, 10)) * 0.3,
    }
    return made | ({"dense": jax.random.normal(keys[3], (dense, 32)) * 0.1} if dense else {})


def trained(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    def loss(params: Any, rows: Any, labels: Any) -> Any:
        scores = jax.nn.log_softmax(net(params, rows)["scores"])
        return -jnp.take_along_axis(scores, labels[:, None], 1).mean()

    @jax.jit
    def step(params: Any, speed: Any, rows: Any, labels: Any) -> Any:
        slope = jax.grad(loss)(params, rows, labels)
        speed = jax.tree.map(lambda v, g: 0.9 * v - 0.05 * g, speed, slope)
        return jax.tree.map(jnp.add, params, speed), speed

    params = parameters(1, 16 * 4 * 4)
    speed, draw = jax.tree.map(jnp.zeros_like, params), np.random.default_rng(0)
    for _ in range(300):
        rows = draw.integers(0, len(x), 64)
        params, speed = step(params, speed, x[rows], y[rows])
    return params


def digits(folder: Path) -> None:
    """A trained network with labels: accuracy beside float."""
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    params = trained(x[:1300], y[:1300])
    np.savez(folder / "calibration.npz", x=x[:200])
    np.savez(folder / "evaluation.npz", x=x[1300:], y=y[1300:])
    report = convert(
        net, params=params, example_inputs=(x[:1],), target=TARGET, calibration=folder / "calibration.npz",
        evaluation=folder / "evaluation.npz", metric="top1:scores", output=folder / "digits.edgekit", effort="fast",
    )  # fmt: skip
    (folder / "digits.json").write_text(json.dumps(report.to_json()))


def photos(folder: Path) -> None:
    """One network calibrated on the same crops twice: as channels-first arrays, and as a folder of photos."""
    crops = [
        photo[top : top + 24, left : left + 24]
        for photo in load_sample_images().images
        for top in range(0, 360, 90)
        for left in range(0, 600, 120)
    ]
    (folder / "crops").mkdir()
    for number, crop in enumerate(crops):
        Image.fromarray(crop).save(folder / "crops" / f"{number:03}.png")
    first = np.stack(crops).transpose(0, 3, 1, 2)
    np.savez(folder / "crops.npz", x=first)
    params = parameters(3, None)
    example = (jax.ShapeDtypeStruct((1, 3, 24, 24), jnp.float32),)
    for name, data in (("folder", folder / "crops"), ("arrays", folder / "crops.npz")):
        convert(
            net, params=params, example_inputs=example, target=TARGET, calibration=data, range=(0, 1), color="RGB",
            output=folder / f"{name}.edgekit", effort="fast",
        )  # fmt: skip


def changed(folder: Path, worker: Worker) -> list[str]:
    """The float model of one set of weights beside the original of another."""
    options = SourceOptions(
        example_inputs=(np.zeros((1, 3, 24, 24), np.float32),), params=parameters(3, None)
    )
    one = load_float(net, options, worker)
    other = {**parameters(3, None), "head": parameters(3, None)["head"] * 1.02}
    two = load_float(net, replace(options, params=other), worker)
    said = {"image": SaidPreprocessing(range=(0, 1), color="RGB")}
    crops = open_set(folder / "crops.npz", one.inputs, said)
    compare_with_original(one, crops)
    assert one.original is not None
    one.close_original()
    error = refused(lambda: compare_with_original(replace(one, original=two.original), crops))
    two.close_original()
    return error


def refused(act: Any) -> list[str]:
    try:
        act()
    except EdgekitError as error:
        return [type(error).__name__, str(error), error.hint or ""]
    return ["nothing was refused", "", ""]


def main() -> None:
    folder = Path(sys.argv[1])
    digits(folder)
    photos(folder)
    with Worker() as worker:

        def load(function: Any, *examples: Any) -> Any:
            return lambda: load_float(function, SourceOptions(example_inputs=examples), worker)

        row = np.zeros((1, 16), np.float32)
        facts = {
            "operator": refused(load(lambda x: jnp.sort(x), row)),
            "library": refused(load(lambda x: jnp.linalg.eigh(x.T @ x)[0][None], row)),
            "integers": refused(load(lambda ids: ids * 2.0, np.zeros((1, 4), np.int32))),
            "branch": refused(load(lambda x: x if x.sum() > 0 else -x, row)),
            "batch": refused(load(lambda x: jnp.tanh(x), np.zeros((4, 16), np.float32))),
            "changed": changed(folder, worker),
        }
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
