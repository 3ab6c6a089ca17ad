"""What one inference gives: `Result`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the parts of one inference took, by the monotonic clock, in nanoseconds.

    Attributes:
        preprocess_ns: From the raw sample to the model's integers.
        invoke_ns: Inside the runtime's invoke alone.
        postprocess_ns: From the model's integers to real values and labels.
    """

    preprocess_ns: int
    invoke_ns: int
    postprocess_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The answer of a model to one sample. The arrays are the caller's own.

    Attributes:
        outputs: Output name -> real values, float32, of the output's shape (batch 1 first). An output that is
            not quantized (int32 indices, say) keeps its integers. In the order of the manifest.
        quantized: Output name -> what the model itself gave, int8 or uint8 where it is quantized.
        labels: The best classes with their scores, best first; of equal scores the lower class index comes
            first. Empty where the bundle has no labels, or not exactly one output with one value a label.
        timing: How long it took.
    """

    outputs: Mapping[str, NDArray[Any]]
    quantized: Mapping[str, NDArray[Any]]
    labels: tuple[tuple[str, float], ...]
    timing: Timing


def best_labels(
    scores: NDArray[np.float32], labels: tuple[str, ...], top: int
) -> tuple[tuple[str, float], ...]:
    """Pair the highest scores with their labels.

    Args:
        scores: One value a label, of any shape.
        labels: The name of each class.
        top: At most how many are wanted.
    """
    flat = scores.reshape(-1)
    order = (-flat).argsort(kind="stable")[:top]
    return tuple((labels[index], float(flat[index])) for index in order)
