"""`SaidPreprocessing`: what the user said about preprocessing, in his own words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SaidPreprocessing:
    """The user's own words, each None or False where nothing was said.

    Attributes:
        range: ``--range LO,HI``: what 0..255 (uint8) or -32768..32768 (int16) becomes.
        mean: ``--mean``, applied after `range`: one number, or one a channel.
        std: ``--std``, applied after `mean`.
        resize: ``--resize``: one of `edgekit.manifest.RESIZERS`.
        color: ``--color``: "RGB", "BGR" or "GRAY", the order that the model wants. Files are converted to
            it. Arrays must have it already; saying it declares uint8 arrays to be images.
        preprocessed: ``--preprocessed``: the numbers are model input as they are.
    """

    range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: str | None = None
    color: str | None = None
    preprocessed: bool = False

    @property
    def scaling(self) -> bool:
        """Whether anything says how values are scaled."""
        return self.range is not None or self.mean is not None or self.std is not None
