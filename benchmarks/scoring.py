"""Scores a .tflite with numpy and LiteRT alone: one yardstick, which is not edgekit's, for every row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter

RESAMPLES = 20_000


def classes(model: bytes, samples: np.ndarray) -> np.ndarray:
    """The class that the model gives each float sample, shape (n,); quantizes the input of an int8 model."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    answers = np.empty(len(samples), np.int64)
    for row, sample in enumerate(samples):
        interpreter.set_tensor(into["index"], _as(into, sample[None]))
        interpreter.invoke()
        answers[row] = interpreter.get_tensor(out["index"]).argmax()
    return answers


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
    """Percentile bootstrap over samples of the difference, in points: only the discordant samples move it."""
    n, won, lost = len(right), int((right & ~float_right).sum()), int((~right & float_right).sum())
    draws = np.random.default_rng(0).multinomial(n, [won / n, lost / n, 1 - (won + lost) / n], RESAMPLES)
    low, high = np.percentile(100 * (draws[:, 0] - draws[:, 1]) / n, [2.5, 97.5])
    return float(low), float(high)
