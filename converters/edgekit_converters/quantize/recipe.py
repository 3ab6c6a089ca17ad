"""How a model was, or shall be, quantized: printable data."""

from __future__ import annotations

from dataclasses import dataclass, replace

EFFORTS = ("fast", "balanced")
ENGINE = "tensorflow-mlir"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The steps between the float and the int8 model.

    Attributes:
        effort: "fast" takes the extremes of the calibration samples as they are; "balanced" also tries corrections and
            keeps what measures best.
        ranges: How ranges follow from the samples: "minmax".
        corrections: Applied in this order: "bias" or nothing.
        per_channel: One scale a channel for convolution weights.
        legalized: Operators that were rewritten because int8 has no kernel for them.
        int16: Names of the tensors that have 16 bits (int16, and int64 biases), in order; the audit allows no others.
        int16_operators: Numbers of the operators that were widened, in the int8 model as the quantizer makes it: what
            `int16.widen` takes, to do the same again.
    """

    effort: str = "balanced"
    ranges: str = "minmax"
    corrections: tuple[str, ...] = ()
    per_channel: bool = True
    legalized: tuple[str, ...] = ()
    int16: tuple[str, ...] = ()
    int16_operators: tuple[int, ...] = ()

    def with_correction(self, name: str) -> Recipe:
        """The same recipe with one more correction."""
        return replace(self, corrections=(*self.corrections, name))

    def __str__(self) -> str:
        steps = (self.ranges, *(f"{name} correction" for name in self.corrections))
        return " + ".join((*steps, "some int16") if self.int16 else steps)

    def to_json(self) -> dict[str, object]:
        """For the manifest."""
        return {
            "effort": self.effort,
            "engine": ENGINE,
            "ranges": self.ranges,
            "corrections": list(self.corrections),
            "per_channel": self.per_channel,
            "legalized": list(self.legalized),
            "int16": list(self.int16),
            "int16_operators": list(self.int16_operators),
        }
