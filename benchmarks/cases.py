"""What is measured: trained models, their samples, and what edgekit is told of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from commands import output_of
from PIL import Image

HERE = Path(__file__).resolve().parent
CALIBRATION_ROWS = 200  # of the training samples, for the networks of our own
EVERY = 5  # of the speech clips, every fifth calibrates and the others evaluate


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model with its data, twice: as `edgekit convert` is told, and as float model input for everyone else.

    Attributes:
        title: For the table.
        loader: What tfliteconverter.py needs to read the model.
        model: The trained model.
        calibration: What --calibration is given.
        evaluation: What --evaluation is given.
        pool: What --calibration is given where fewer samples are drawn; none of them evaluates.
        words: Further words of the command: the preprocessing.
        calibration_inputs: float32, (n, ...): the very same calibration samples, preprocessed here.
        evaluation_inputs: float32, (n, ...).
        labels: Class of each evaluation sample.
        least_agreement: The bar for agreement with float, in percent; None where there is no such bar.
    """

    title: str
    loader: str
    model: Path
    calibration: str
    evaluation: str
    pool: str
    words: tuple[str, ...] = ()
    calibration_inputs: np.ndarray
    evaluation_inputs: np.ndarray
    labels: np.ndarray
    least_agreement: float | None = None


def mobilenet(data: Path, work: Path) -> Case:
    photos = data / "imagenet-sample"
    x, _ = read_photos(photos / "calibration")
    evaluation_x, y = read_photos(photos / "evaluation")
    return Case(
        title="MobileNetV1 0.25-224, photos (ImageNet classes)",
        loader="keras2",
        model=data / "models" / "mobilenet_v1_0.25_224.h5",
        calibration=str(photos / "calibration"),
        evaluation=str(photos / "evaluation"),
        pool=str(photos / "calibration"),
        words=("--range", "-1,1"),
        calibration_inputs=x / np.float32(127.5) - 1,
        evaluation_inputs=evaluation_x / np.float32(127.5) - 1,
        labels=y,
        least_agreement=90.0,
    )


def speech(data: Path, work: Path) -> Case:
    arrays = np.load(data / "speech-commands.npz")
    x, y = arrays["mfcc"], arrays["y"]
    calibrates = np.arange(len(x)) % EVERY == 0
    np.savez(work / "calibration.npz", x=x[calibrates])
    np.savez(work / "evaluation.npz", x=x[~calibrates], y=y[~calibrates])
    return Case(
        title="DS-CNN, Speech Commands (MFCC)",
        loader="v1",
        model=data / "models" / "ds_cnn_kws_saved_model",
        calibration="calibration.npz",
        evaluation="evaluation.npz",
        pool="calibration.npz",
        calibration_inputs=x[calibrates],
        evaluation_inputs=x[~calibrates],
        labels=y[~calibrates],
    )


def fashion(data: Path, work: Path) -> Case:
    file = data / "fashion-mnist.npz"
    train("fashion", file, work / "fashion.keras")
    arrays = np.load(file)
    calibration = arrays["x_train"][:CALIBRATION_ROWS]
    np.savez(work / "calibration.npz", x=calibration)
    return Case(
        title="depthwise CNN of our own, Fashion-MNIST",
        loader="keras",
        model=work / "fashion.keras",
        calibration="calibration.npz",
        evaluation=f"{file}#x_test,y_test",
        pool=f"{file}#x_train,y_train",
        words=("--range", "0,1"),
        calibration_inputs=calibration[..., None] / np.float32(255),
        evaluation_inputs=arrays["x_test"][..., None] / np.float32(255),
        labels=arrays["y_test"],
    )


def har(data: Path, work: Path) -> Case:
    file = data / "uci-har.npz"
    train("har", file, work / "har.keras")
    arrays = np.load(file)
    calibration = arrays["x_train"][:CALIBRATION_ROWS]
    np.savez(work / "calibration.npz", x=calibration)
    return Case(
        title="1-D CNN of our own, UCI HAR",
        loader="keras",
        model=work / "har.keras",
        calibration="calibration.npz",
        evaluation=f"{file}#x_test,y_test",
        pool=f"{file}#x_train,y_train",
        calibration_inputs=calibration.astype(np.float32),
        evaluation_inputs=arrays["x_test"].astype(np.float32),
        labels=arrays["y_test"],
    )


def digits(data: Path | None, work: Path) -> Case:
    script = HERE.parent / "examples" / "digits" / "train.py"
    output_of([sys.executable, script, work], work)
    arrays = np.load(work / "evaluation.npz")
    return Case(
        title="small CNN, scikit-learn's digits",
        loader="keras",
        model=work / "digits.keras",
        calibration="calibration.npz",
        evaluation="evaluation.npz",
        pool="calibration.npz",
        words=("--range", "0,1"),
        calibration_inputs=np.load(work / "calibration.npz")["x"] / np.float32(255),
        evaluation_inputs=arrays["x"] / np.float32(255),
        labels=arrays["y"],
    )


NEED_DATA: tuple[Callable[[Path, Path], Case], ...] = (mobilenet, speech, fashion, har)


def read_photos(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """uint8 RGB (n, 224, 224, 3) and the class numbers, which name the subfolders."""
    files = sorted(folder.glob("*/*.jpg"))
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    return pixels, np.array([int(file.parent.name) for file in files])


def train(name: str, data: Path, out: Path) -> None:
    output_of([sys.executable, HERE / "train.py", name, data, out], out.parent)
