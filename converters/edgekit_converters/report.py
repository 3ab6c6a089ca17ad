"""What `convert` found out: one record, printed for people and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

from edgekit.console import table
from edgekit.manifest import Manifest
from edgekit_converters.audit import Audit, layer_name
from edgekit_converters.calibration.outliers import LeftOut
from edgekit_converters.compilers import Compiled, differences
from edgekit_converters.evaluate import Evaluation, render
from edgekit_converters.layers import LayerError, worst
from edgekit_converters.page.facts import headline
from edgekit_converters.parity import Parity
from edgekit_converters.quantize.candidates import LEAST_SAMPLES, Choice
from edgekit_targets.forecast import Forecast

MOST_TRIALS = 4
"""Candidates that the recipe's line names; the report's JSON has all."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the models, in bytes.

    Attributes:
        float_bytes: The float .tflite; None where the model came quantized.
        int8_bytes: The int8 one.
    """

    float_bytes: int | None
    int8_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of one conversion. It holds no time and no path, so that the same inputs give the same report.

    Attributes:
        kind: What the model came as, such as "keras".
        notes: What the user should know: layers unrolled, operators rewritten, colour converted.
        manifest: Of the bundle.
        sizes: Of the models.
        audit: Of the int8 model.
        choice: Which int8 models were compared; None for a model that came quantized.
        evaluation: int8 beside float; None where no evaluation data were given.
        layers: The error along the network; empty for a model that came quantized.
        forecast: Where its operators would run on the target.
        compiled: What the accelerator's compiler made of the model; None where it was not asked for.
        left_out: Calibration samples that were not used.
        parity: The float model beside the one of another framework that it was made from; None for TensorFlow's.
    """

    kind: str
    notes: tuple[str, ...]
    manifest: Manifest
    sizes: Sizes
    audit: Audit
    choice: Choice | None
    evaluation: Evaluation | None
    layers: tuple[LayerError, ...]
    forecast: Forecast
    compiled: Compiled | None = None
    left_out: tuple[LeftOut, ...] = ()
    parity: Parity | None = None

    def to_json(self) -> dict[str, object]:
        """The report as it goes into the bundle and onto ``--json``."""
        return {
            "name": self.manifest.name,
            "kind": self.kind,
            "targets": list(self.manifest.targets),
            "notes": list(self.notes),
            "sizes": {"float_bytes": self.sizes.float_bytes, "int8_bytes": self.sizes.int8_bytes},
            "strictly_int8": self.audit.strictly_int8,
            "operators": dict(self.audit.operators),
            "recipe": dict(self.manifest.recipe),
            "trials": [
                {"recipe": str(trial.recipe), "sqnr_db": round(trial.sqnr_db, 2)}
                for trial in (self.choice.trials if self.choice else ())
            ],
            "calibration": self.manifest.calibration.to_json(),
            "left_out": [each.to_json() for each in self.left_out],
            "accuracy": self.evaluation.to_json() if self.evaluation else None,
            "forecast": self.forecast.to_json()["summary"],
            "compiled": self._compiled_json(),
            "original": self.parity.to_json() if self.parity else None,
            "layers": [layer.to_json() for layer in self.layers],
        }

    def render(self) -> str:
        """The report as a person reads it, several lines, no newline at the end."""
        facts = [
            ("model", f"{self.manifest.name} {self.manifest.version} ({self.kind})"),
            ("target", ", ".join(self.manifest.targets)),
            ("int8", self._audit_line()),
            ("size", self._size_line()),
            ("calibrated on", self._calibration_line()),
            *(("left out", str(each)) for each in self.left_out),
            ("recipe", self._recipe_line()),
            ("forecast", headline(self.forecast)),
        ]
        if self.parity is not None:
            facts.insert(1, ("original", self.parity.render()))
        facts += [("compiled", line) for line in self._compiled_lines()]
        if self.evaluation is None:
            facts.append(("accuracy", "not measured: --evaluation DATA measures int8 beside float"))
        width = max(len(word) for word, _ in facts)
        lines = [f"{word:<{width}}  {text}" for word, text in facts]
        lines += [f"{'note':<{width}}  {note}" for note in self.notes]
        if self.evaluation is not None:
            lines += ["", render(self.evaluation)]
        return "\n".join(lines)

    def render_worst_layers(self) -> str:
        """A table of the layers that lose most, for when accuracy falls short."""
        rows = [
            (e.index, e.opcode, layer_name(e.name), f"{e.sqnr_db:.1f}", f"{e.loss_db:.1f}")
            for e in worst(self.layers)
        ]
        return table(rows, ["op", "opcode", "layer", "SQNR dB", "lost here dB"])

    def _compiled_lines(self) -> list[str]:
        if self.compiled is None:
            return []
        differing = [
            f"{each.opcode} {each.index} was forecast on {each.forecast} and is on {each.compiled}: {each.reason}"
            for each in differences(self.forecast, self.compiled.forecast)
        ]
        placed = Counter(str(op.placement) for op in self.compiled.forecast.ops)
        counts = ", ".join(f"{count} {place}" for place, count in sorted(placed.items(), reverse=True))
        return [f"{self.compiled.tool}: {counts}", *differing]

    def _compiled_json(self) -> dict[str, object] | None:
        if self.compiled is None:
            return None
        return {
            "tool": self.compiled.tool,
            "figures": dict(self.compiled.figures),
            "summary": self.compiled.forecast.to_json()["summary"],
            "differences": [asdict(each) for each in differences(self.forecast, self.compiled.forecast)],
        }

    def _audit_line(self) -> str:
        count = sum(self.audit.operators.values())
        exceptions = self.manifest.exceptions
        if not exceptions:
            return f"strictly int8: {count} operators, inputs and outputs included"
        plural = "" if len(exceptions) == 1 else "s"
        return f"int8 but for {len(exceptions)} named exception{plural}: {'; '.join(exceptions)}"

    def _size_line(self) -> str:
        if self.sizes.float_bytes is None:
            return kilobytes(self.sizes.int8_bytes)
        ratio = self.sizes.float_bytes / self.sizes.int8_bytes
        return f"{kilobytes(self.sizes.int8_bytes)} ({ratio:.1f}x smaller than float, {kilobytes(self.sizes.float_bytes)})"

    def _calibration_line(self) -> str:
        record = self.manifest.calibration
        return f"{record.samples} of {record.available} samples: {record.source}"

    def _recipe_line(self) -> str:
        if self.choice is None:
            return "as the model came: it was quantized already"
        line, trials = str(self.choice.recipe), self.choice.trials
        if not trials:
            if self.choice.repeated:
                return f"{line} (repeated, as --recipe said)"
            few = self.choice.recipe.effort != "fast"
            return f"{line} (corrections need {LEAST_SAMPLES} samples or more)" if few else line
        shown = (
            trials
            if len(trials) <= MOST_TRIALS
            else [trials[0], *(trial for trial in trials[1:] if trial.recipe == self.choice.recipe)]
        )
        compared = ", ".join(f"{trial.recipe}: {trial.sqnr_db:.1f} dB" for trial in shown)
        others = f"; {len(trials) - len(shown)} others tried" if len(shown) < len(trials) else ""
        ended = "; --budget ended the search" if self.choice.stopped else ""
        return f"{line} (output SQNR on {self.choice.held_out} held-out samples: {compared}{others}{ended})"


def kilobytes(size: int) -> str:
    """A size for people, in units of 1,000 bytes."""
    return f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
