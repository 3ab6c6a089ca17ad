"""The bundles that every version must read and run, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.arrays import read_arrays

FOLDER = Path(__file__).resolve().parent / "bundles"


@dataclass(frozen=True)
class Kept:
    """A bundle of a released format.

    Attributes:
        path: The file.
        answers: input.NUMBER, and output.NUMBER.RUNTIME.KERNELS for each runtime.
    """

    path: Path
    answers: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def word(self) -> str:
        return self.name.replace("/", "-")

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @property
    def npz(self) -> bytes:
        return self.path.with_suffix(".npz").read_bytes()

    def expected(self, runtime: str, kernels: str) -> list[np.ndarray]:
        """What was answered, output by output."""
        suffix = f".{runtime}.{kernels}"
        return [self.answers[name] for name in sorted(self.answers) if name.endswith(suffix)]


KEPT = tuple(
    Kept(path, read_arrays(path.with_suffix(".npz").read_bytes()))
    for path in sorted(FOLDER.glob("v*/*.edgekit"))
)


def kept(name: str) -> Kept:
    """Such as "v1/digits"."""
    return next(each for each in KEPT if each.name == name)
