"""What `diagnose` found out: one record, as JSON; `text` and `page` show it to people."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit_converters.diagnosis.ablation import Effect
from edgekit_converters.diagnosis.channels import Channels
from edgekit_converters.diagnosis.lone import LoneSample
from edgekit_converters.diagnosis.score import decibels

INPUT = "INPUT"
"""What stands in the place of an operator's name for the rounding of the model's inputs."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the int8 model: an operator, with those that only move its values.

    Attributes:
        number: Its place, 0 for the inputs.
        index: Of the operator in the int8 model; None for the inputs.
        opcode: Such as "CONV_2D", or `INPUT`.
        name: What people call it.
        effect: What it does to the outputs.
        channels: Of its weights; None for a layer without.
        lone: The sample that alone set the range of what it writes, where there is one.
    """

    number: int
    index: int | None
    opcode: str
    name: str
    effect: Effect
    channels: Channels | None = None
    lone: LoneSample | None = None

    @property
    def title(self) -> str:
        """Name and kind: "conv_3 (CONV_2D)"."""
        return self.name if self.opcode == INPUT else f"{self.name} ({self.opcode})"

    @property
    def sqnr_db(self) -> float | None:
        """Of what it writes, the error of all layers before it included; None where it writes no int8."""
        written = self.effect.written
        return None if written is None else decibels(written.error)

    def to_json(self, final: float) -> dict[str, object]:
        """The layer as ``--json`` prints it.

        Args:
            final: The relative error power of the outputs.
        """
        effect, written = self.effect, self.effect.written
        found: dict[str, object] = {
            "number": self.number,
            "index": self.index,
            "opcode": self.opcode,
            "name": self.name,
            "sqnr_db": None if written is None else _rounded(decibels(written.error)),
            "share": round(effect.share, 5),
            "alone_db": _rounded(decibels(effect.alone)),
            "gain_db": _rounded(decibels(effect.without) - decibels(final)),
            "upto_db": _rounded(decibels(effect.upto)),
            "local_db": {
                "weights": _rounded(decibels(effect.local.weights)),
                "shift": _rounded(decibels(effect.local.shift)),
                "rounding": _rounded(decibels(effect.local.rounding)),
                "clipping": _rounded(decibels(effect.local.clipping)),
            },
        }
        if written is not None:
            found |= {
                "tensor": written.name,
                "range": [written.low, written.high],
                "scale": written.scale,
                "saturated": round(written.saturation.at_ends, 6),
                "saturated_beyond_float": round(written.saturation.beyond, 6),
                "clipped": round(written.clipped, 6),
            }
        if self.lone is not None:
            found["range_set_by"] = {"sample": self.lone.sample, "ratio": _rounded(self.lone.ratio)}
        if self.channels is not None:
            found["channels"] = {
                "count": self.channels.count,
                "dead": list(self.channels.dead),
                "coarse": list(self.channels.coarse),
                "spread": float(f"{self.channels.spread:.4g}"),
            }
        return found


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is worth a person's attention.

    Attributes:
        rule: Its kind, such as "one-sample-range".
        title: What was found, in one sentence.
        reason: The figures behind it.
        advice: What to do.
        layers: The numbers of the layers that it is about.
        minor: It costs something, but no accuracy.
    """

    rule: str
    title: str
    reason: str
    advice: str
    layers: tuple[int, ...] = ()
    minor: bool = False

    def to_json(self) -> dict[str, object]:
        """The finding as ``--json`` prints it."""
        return {
            "rule": self.rule,
            "title": self.title,
            "reason": self.reason,
            "advice": self.advice,
            "layers": list(self.layers),
            "minor": self.minor,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was measured on one model, and what follows from it.

    Attributes:
        model: What was diagnosed, as it was named.
        kind: What it came as, such as "keras".
        effort: With which the int8 model was made.
        recipe: How it was made, in words.
        source: Where the calibration samples are from.
        samples: How many set the ranges.
        looked_at: How many of them went through the parts of the models.
        layers: First the inputs, then in the order of execution.
        findings: The weightiest first; empty where there is nothing to mend.
        notes: What the user should know of the model: layers unrolled, operators rewritten.
        closers: Opcodes of functions that close the network; errors are measured at what they read.
    """

    model: str
    kind: str
    effort: str
    recipe: str
    source: str
    samples: int
    looked_at: int
    layers: tuple[Layer, ...] = field(repr=False)
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    closers: tuple[str, ...] = ()

    @property
    def measured_at(self) -> str:
        """Where the output error is measured, in words."""
        return f"what the closing {' and '.join(self.closers)} reads" if self.closers else "the outputs"

    @property
    def error(self) -> float:
        """Power of the output error of the whole int8 model, relative to that of the float outputs."""
        return self.layers[-1].effect.upto

    @property
    def sqnr_db(self) -> float:
        """The same as a signal-to-quantization-noise ratio, in dB."""
        return decibels(self.error)

    def gain_db(self, layer: Layer) -> float:
        """By how much the output's SQNR rises if that layer alone stays float, in dB."""
        return decibels(layer.effect.without) - self.sqnr_db

    @property
    def verdict(self) -> str:
        """One sentence."""
        from edgekit_converters.diagnosis.findings import verdict

        return verdict(self.sqnr_db, self.findings)

    def to_json(self) -> dict[str, object]:
        """The diagnosis as ``--json`` prints it."""
        return {
            "model": self.model,
            "kind": self.kind,
            "effort": self.effort,
            "recipe": self.recipe,
            "calibration": {"source": self.source, "samples": self.samples, "looked_at": self.looked_at},
            "measured_at": self.measured_at,
            "output_sqnr_db": _rounded(self.sqnr_db),
            "verdict": self.verdict,
            "notes": list(self.notes),
            "findings": [finding.to_json() for finding in self.findings],
            "layers": [layer.to_json(self.error) for layer in self.layers],
        }


def _rounded(value: float) -> float:
    return round(value, 2)
