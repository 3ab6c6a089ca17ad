"""What is measured: trained models, their samples, and what edgekit is told of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from commands import output_of
from features import enlarged, spectra
from normal import NORMAL
from PIL import Image

HERE = Path(__file__).resolve().parent
CALIBRATION_ROWS = 200  # of the training samples, for the networks of our own
ENLARGED_ROWS = 2000
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
        labels: Class of each evaluation sample; where `anomaly` is set, whether it is one.
        pool_inputs: float32, (n, ...): samples to draw from where their number varies; none of them evaluates.
        anomaly: The model restores its input, and what it restores badly counts as an anomaly.
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
    pool_inputs: np.ndarray
    anomaly: bool = False
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
        pool_inputs=x / np.float32(127.5) - 1,
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
        pool_inputs=x[calibrates],
        evaluation_inputs=x[~calibrates],
        labels=y[~calibrates],
    )


def fashion(data: Path, work: Path) -> Case:
    return _of_images("fashion", "depthwise CNN of our own, Fashion-MNIST", data, work)


def hswish(data: Path, work: Path) -> Case:
    return _of_images("hswish", "MobileNetV3-like (hard-swish, squeeze-excite), Fashion-MNIST", data, work)


def mobilenet_v2(data: Path, work: Path) -> Case:
    return _of_images("mobilenet_v2", "MobileNetV2-like (ReLU6, residuals), Fashion-MNIST", data, work)


def resnet8(data: Path, work: Path) -> Case:
    return _of_images("resnet8", "ResNet-8, Fashion-MNIST", data, work)


def har_spectra(data: Path, work: Path) -> Case:
    case = _of_readings("har_spectra", "hard-swish and squeeze-excite on spectra, UCI HAR", data, work)
    arrays = np.load(data / "uci-har.npz")
    pool, evaluation = spectra(arrays["x_train"]), spectra(arrays["x_test"])
    np.savez(work / "calibration.npz", x=pool[:CALIBRATION_ROWS])
    np.savez(work / "evaluation.npz", x=evaluation, y=case.labels)
    return replace(
        case,
        evaluation="evaluation.npz",
        pool="calibration.npz",
        calibration_inputs=pool[:CALIBRATION_ROWS],
        pool_inputs=pool,
        evaluation_inputs=evaluation,
    )


def transfer(data: Path, work: Path) -> Case:
    backbone, file = data / "models" / "mobilenet_v1_0.25_224.h5", data / "fashion-mnist.npz"
    if not (work / "transfer.h5").exists():
        output_of([sys.executable, HERE / "train_transfer.py", backbone, file, "transfer.h5"], work)
    arrays = np.load(file)
    pixels = enlarged(arrays["x_train"][:CALIBRATION_ROWS])
    evaluation, labels = enlarged(arrays["x_test"][:ENLARGED_ROWS]), arrays["y_test"][:ENLARGED_ROWS]
    np.savez(work / "calibration.npz", x=pixels)
    np.savez(work / "evaluation.npz", x=evaluation, y=labels)
    inputs = pixels / np.float32(127.5) - 1
    return Case(
        title="MobileNetV1 0.25-96 of ImageNet with a new head, Fashion-MNIST",
        loader="keras2",
        model=work / "transfer.h5",
        calibration="calibration.npz",
        evaluation="evaluation.npz",
        pool="calibration.npz",
        words=("--range", "-1,1"),
        calibration_inputs=inputs,
        pool_inputs=inputs,
        evaluation_inputs=evaluation / np.float32(127.5) - 1,
        labels=labels,
    )


def har(data: Path, work: Path) -> Case:
    return _of_readings("har", "1-D CNN of our own, UCI HAR", data, work)


def har_dscnn(data: Path, work: Path) -> Case:
    return _of_readings("har_dscnn", "DS-CNN over time, UCI HAR", data, work)


def fashion_autoencoder(data: Path, work: Path) -> Case:
    return _of_normal(
        "fashion_autoencoder",
        "dense autoencoder, Fashion-MNIST (trousers, dresses, shoes normal)",
        data,
        work,
    )


def har_autoencoder(data: Path, work: Path) -> Case:
    return _of_normal(
        "har_autoencoder", "dense autoencoder, UCI HAR (walking normal, stairs not)", data, work
    )


def _of_images(name: str, title: str, data: Path, work: Path) -> Case:
    file = data / "fashion-mnist.npz"
    train(name, file, work / f"{name}.keras")
    arrays = np.load(file)
    calibration = arrays["x_train"][:CALIBRATION_ROWS]
    np.savez(work / "calibration.npz", x=calibration)
    return Case(
        title=title,
        loader="keras",
        model=work / f"{name}.keras",
        calibration="calibration.npz",
        evaluation=f"{file}#x_test,y_test",
        pool=f"{file}#x_train,y_train",
        words=("--range", "0,1"),
        calibration_inputs=calibration[..., None] / np.float32(255),
        pool_inputs=arrays["x_train"][..., None] / np.float32(255),
        evaluation_inputs=arrays["x_test"][..., None] / np.float32(255),
        labels=arrays["y_test"],
    )


def _of_readings(name: str, title: str, data: Path, work: Path) -> Case:
    file = data / "uci-har.npz"
    train(name, file, work / f"{name}.keras")
    arrays = np.load(file)
    calibration = arrays["x_train"][:CALIBRATION_ROWS]
    np.savez(work / "calibration.npz", x=calibration)
    return Case(
        title=title,
        loader="keras",
        model=work / f"{name}.keras",
        calibration="calibration.npz",
        evaluation=f"{file}#x_test,y_test",
        pool=f"{file}#x_train,y_train",
        calibration_inputs=calibration.astype(np.float32),
        pool_inputs=arrays["x_train"].astype(np.float32),
        evaluation_inputs=arrays["x_test"].astype(np.float32),
        labels=arrays["y_test"],
    )


def _of_normal(name: str, title: str, data: Path, work: Path) -> Case:
    """An autoencoder sees samples of the normal classes alone, when it is trained and when it is calibrated."""
    kinds = NORMAL[name]
    train(name, data / kinds.file, work / f"{name}.keras")
    arrays = np.load(data / kinds.file)
    divisor = np.float32(kinds.divisor)
    pool, evaluation = (
        arrays[f"x_{part}"].reshape(len(arrays[f"x_{part}"]), -1).astype(np.float32) / divisor
        for part in ("train", "test")
    )
    pool = pool[np.isin(arrays["y_train"], kinds.normal)]
    evaluates = np.isin(arrays["y_test"], kinds.normal + kinds.anomalous)
    evaluation, anomalies = evaluation[evaluates], np.isin(arrays["y_test"][evaluates], kinds.anomalous)
    np.savez(work / "calibration.npz", x=pool[:CALIBRATION_ROWS])
    np.savez(work / "evaluation.npz", x=evaluation, y=anomalies)
    return Case(
        title=title,
        loader="keras",
        model=work / f"{name}.keras",
        calibration="calibration.npz",
        evaluation="evaluation.npz",
        pool="calibration.npz",
        calibration_inputs=pool[:CALIBRATION_ROWS],
        pool_inputs=pool,
        evaluation_inputs=evaluation,
        labels=anomalies.astype(np.int64),
        anomaly=True,
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
        pool_inputs=np.load(work / "calibration.npz")["x"] / np.float32(255),
        evaluation_inputs=arrays["x"] / np.float32(255),
        labels=arrays["y"],
    )


NEED_DATA: tuple[Callable[[Path, Path], Case], ...] = (mobilenet, speech, fashion, har)
MORE: tuple[Callable[[Path, Path], Case], ...] = (
    hswish, mobilenet_v2, resnet8, transfer, har_dscnn, har_spectra, fashion_autoencoder, har_autoencoder,
)  # fmt: skip


def read_photos(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """uint8 RGB (n, 224, 224, 3) and the class numbers, which name the subfolders."""
    files = sorted(folder.glob("*/*.jpg"))
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    return pixels, np.array([int(file.parent.name) for file in files])


def train(name: str, data: Path, out: Path) -> None:
    """Trains a network of our own, unless an earlier run left it in the same folder."""
    if not out.exists():
        script = "train.py" if name in ("fashion", "har") else "train_more.py"
        output_of([sys.executable, HERE / script, name, data, out], out.parent)
