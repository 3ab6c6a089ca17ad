"""What every part of quantization.py shares: folders, the peers' interpreter, one way to call edgekit and the peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cases
import numpy as np
from cases import Case
from commands import Converted, edgekit_convert
from peers import Peers, converted

OURS = "edgekit "  # before the effort


@dataclass(frozen=True, slots=True)
class Bench:
    """One run.

    Attributes:
        data: The data folder of benchmarks/README.md.
        cache: Where trained networks are left for the next run; one folder a case.
        peers: Where they are installed.
        efforts: Of edgekit.
        draws: How often part `sizes` draws its samples.
    """

    data: Path
    cache: Path
    peers: Peers
    efforts: tuple[str, ...]
    draws: int

    def case(self, name: str) -> Case:
        make: Callable[[Path, Path], Case] = getattr(cases, name)
        return make(self.data, self.work(name))

    def work(self, name: str) -> Path:
        folder = self.cache / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@dataclass(frozen=True, slots=True)
class Models:
    """Everyone's model of one case, the float one among them, by who made it; what edgekit said and took, by effort."""

    models: dict[str, bytes]
    ours: dict[str, Converted]


def everyone(bench: Bench, case: Case, samples: np.ndarray, work: Path, weights: str = "channel") -> Models:
    """Converts with every peer, then with every effort of edgekit, all on the same float samples (n, ...)."""
    models = converted(case, samples, work, bench.peers, weights)
    words = ("--per-tensor-weights",) if weights == "tensor" else ()
    ours = {effort: edgekit(case, samples, work, effort, *words) for effort in bench.efforts}
    return Models(models | {OURS + effort: each.model for effort, each in ours.items()}, ours)


def edgekit(case: Case, samples: np.ndarray, work: Path, effort: str, *words: str) -> Converted:
    np.save(work / "ours.npy", samples)
    data = ("--calibration", "ours.npy", "--samples", len(samples), "--preprocessed")
    return edgekit_convert(case.model, *data, "--effort", effort, *words, cwd=work)
