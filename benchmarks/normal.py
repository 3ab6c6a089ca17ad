"""Which classes an autoencoder of the benchmarks takes for normal, and which for anomalies; it is trained on the former."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Normal:
    """Class numbers; samples of neither kind are left out of the evaluation."""

    file: str
    normal: tuple[int, ...]
    anomalous: tuple[int, ...]
    divisor: int


NORMAL = {
    # Trousers, dresses, sandals, sneakers and boots; a T-shirt, pullover, coat, shirt or bag is an anomaly.
    "fashion_autoencoder": Normal("fashion-mnist.npz", (1, 3, 5, 7, 9), (0, 2, 4, 6, 8), 255),
    # Walking on the level; up or down the stairs is an anomaly.
    "har_autoencoder": Normal("uci-har.npz", (0,), (1, 2), 1),
}
