"""Scores a .tflite with numpy and LiteRT alone: one yardstick, which is not edgekit's, for every row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter

RESAMPLES = 20_000
AUC_RESAMPLES = 2_000


def classes(model: bytes, samples: np.ndarray) -> np.ndarray:
    """The class that the model gives each float sample, shape (n,); quantizes the input of an int8 model."""
    return np.array([output.argmax() for output in _outputs(model, samples)])


def restoration_errors(model: bytes, samples: np.ndarray) -> np.ndarray:
    """Mean squared difference of each float sample and what an autoencoder makes of it, shape (n,)."""
    pairs = zip(_outputs(model, samples), samples, strict=True)
    return np.array([np.square(output[0] - sample).mean() for output, sample in pairs])


def _outputs(model: bytes, samples: np.ndarray) -> Iterator[np.ndarray]:
    """The float output of each sample, shape (1, ...); an int8 one is dequantized."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = out["quantization"]
    for sample in samples:
        interpreter.set_tensor(into["index"], _as(into, sample[None]))
        interpreter.invoke()
        output = interpreter.get_tensor(out["index"])
        yield output if output.dtype == np.float32 else (output.astype(np.float32) - zero_point) * scale


def _as(tensor: dict, sample: np.ndarray) -> np.ndarray:
    """Quantizes as the QUANTIZE kernel of TFLite does: divide in float32, halves away from zero, saturate."""
    if tensor["dtype"] == np.float32:
        return sample.astype(np.float32)
    scale, zero_point = tensor["quantization"]
    steps = sample.astype(np.float32) / np.float32(scale)
    rounded = np.trunc(steps + np.copysign(np.float32(0.5), steps)) + zero_point
    return rounded.clip(-128, 127).astype(np.int8)


@dataclass(frozen=True, slots=True)
class Score:
    """Of one model beside float; all in percent or percentage points, intervals at 95 %."""

    top1: float
    top1_interval: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    agreement: float


def score(answers: np.ndarray, float_answers: np.ndarray, labels: np.ndarray) -> Score:
    right, float_right = answers == labels, float_answers == labels
    return Score(
        top1=100 * right.mean(),
        top1_interval=wilson(int(right.sum()), len(labels)),
        difference=100 * (right.mean() - float_right.mean()),
        difference_interval=paired(right, float_right),
        agreement=100 * (answers == float_answers).mean(),
    )


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The Wilson score interval of a share, in percent."""
    z = 1.959964
    middle = (hits + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (hits * (n - hits) / n + z * z / 4) ** 0.5
    return 100 * (middle - half), 100 * (middle + half)


def paired(right: np.ndarray, float_right: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap over samples of the difference, in points: only the discordant samples move it.

    Both are (n,), true where right, or the share of several models that were.
    """
    steps, counts = np.unique(right.astype(float) - float_right, return_counts=True)
    draws = np.random.default_rng(0).multinomial(len(right), counts / len(right), RESAMPLES)
    low, high = np.percentile(100 * (draws @ steps) / len(right), [2.5, 97.5])
    return float(low), float(high)


def auc(errors: np.ndarray, anomalies: np.ndarray) -> float:
    """Chance, in percent, that an anomaly has a greater error than a normal sample; half of it where they tie."""
    weights = np.ones((1, len(errors)))
    return float(_aucs(errors, anomalies, weights)[0])


def resampled_aucs(errors: np.ndarray, anomalies: np.ndarray) -> np.ndarray:
    """AUC in percent under AUC_RESAMPLES bootstraps over samples: the same ones for every model."""
    generator = np.random.default_rng(0)
    weights = generator.multinomial(len(errors), np.full(len(errors), 1 / len(errors)), AUC_RESAMPLES)
    return _aucs(errors, anomalies, weights.astype(float))


def _aucs(errors: np.ndarray, anomalies: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC of each row of weights (rows, n), by the rank sum of Mann and Whitney."""
    _, ranks = np.unique(errors, return_inverse=True)
    normal, anomalous = (np.zeros((len(weights), ranks.max() + 1)) for _ in range(2))
    for group, chosen in ((normal, anomalies == 0), (anomalous, anomalies == 1)):
        np.add.at(group.T, ranks[chosen], weights[:, chosen].T)
    below = np.cumsum(normal, axis=1) - normal / 2
    return 100 * (anomalous * below).sum(axis=1) / (normal.sum(axis=1) * anomalous.sum(axis=1))
