"""Reads what edgetpu_compiler prints.

The form is that of versions 1.0 to 16.0 in published logs, and of the messages in issues of google-coral/edgetpu,
whose numbers stand beside each failure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAPPED = "Mapped to Edge TPU"

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the operator table: operators of one kind that fared alike.

    Attributes:
        opcode: Such as "CONV_2D".
        count: How many.
        status: "Mapped to Edge TPU", or why they stay on the CPU.
    """

    opcode: str
    count: int
    status: str


@dataclass(frozen=True, slots=True)
class CompilerLog:
    """What the compiler says of its work; None for what it does not say.

    Attributes:
        version: Such as "16.0.384591198".
        succeeded: It says that the model was compiled. That is no success yet: nothing may be mapped.
        total: Operators of the model.
        mapped: Operators on the Edge TPU.
        subgraphs: Pieces that the Edge TPU runs.
        cached_bytes: Memory on the chip that parameters take.
        remaining_bytes: Memory on the chip that is left for parameters.
        streamed_bytes: Parameters that are sent on each inference.
        rows: The operator table.
    """

    version: str | None
    succeeded: bool
    total: int | None
    mapped: int | None
    subgraphs: int | None
    cached_bytes: int | None
    remaining_bytes: int | None
    streamed_bytes: int | None
    rows: tuple[Row, ...]

    def statuses(self, opcode: str) -> tuple[str, ...]:
        """Returns why operators of a kind stay on the CPU, each reason once."""
        found = (row.status for row in self.rows if row.opcode == opcode and row.status != MAPPED)
        return tuple(dict.fromkeys(found))


def parse_log(text: str) -> CompilerLog:
    """Reads what the compiler printed (with --show_operations), or the .log file that it wrote."""
    rows = tuple(_rows(text))
    on_cpu = _count(text, r"Number of operations that will run on CPU: (\d+)")
    total = _count(text, r"Total number of operations: (\d+)")
    mapped = _count(text, r"Number of operations that will run on Edge TPU: (\d+)")
    if mapped is None and total is not None and on_cpu is None:
        mapped = total  # both lines are missing where every operator is mapped
    return CompilerLog(
        version=_first(text, r"Edge TPU Compiler version (\S+)"),
        succeeded="Model compiled successfully" in text or "Model successfully compiled" in text,
        total=total,
        mapped=mapped,
        subgraphs=_count(text, r"Number of Edge TPU subgraphs: (\d+)"),
        cached_bytes=_size(text, "On-chip memory used for caching model parameters"),
        remaining_bytes=_size(text, "On-chip memory (?:remaining|available) for caching model parameters"),
        streamed_bytes=_size(text, "Off-chip memory used for streaming uncached model parameters"),
        rows=rows,
    )


def _rows(text: str) -> list[Row]:
    """Returns the rows below "Operator  Count  Status"."""
    rows: list[Row] = []
    inside = False
    for line in text.splitlines():
        if re.fullmatch(r"\s*Operator\s+Count\s+Status\s*", line):
            inside = True
        elif inside and line.strip():
            match = re.fullmatch(r"\s*(\S+)\s+(\d{1,9})\s+(\S.*?)\s*", line)
            if match is None:
                inside = False
            else:
                rows.append(Row(match[1], int(match[2]), match[3]))
    return rows


def _first(text: str, pattern: str) -> str | None:
    match = re.search(pattern, text)
    return None if match is None else match[1]


def _count(text: str, pattern: str) -> int | None:
    found = _first(text, pattern)
    return None if found is None else int(found[:18])


def _size(text: str, what: str) -> int | None:
    match = re.search(what + r": (\d{1,15}(?:\.\d+)?)(B|KiB|MiB|GiB)", text)
    return None if match is None else round(float(match[1]) * _UNITS[match[2]])


@dataclass(frozen=True, slots=True)
class Failure:
    """A way in which the compiler fails.

    Attributes:
        pattern: What it prints, as a regular expression.
        says: What that means; may name the first group of the pattern as {0}.
        hint: What to do.
    """

    pattern: str
    says: str
    hint: str


_FIXED_BATCH = (
    "fix the batch to 1 (keras.Input(shape, batch_size=1)) and convert again; edgekit convert does both"
)

FAILURES = (
    # issues 829, 831, 586
    Failure("static-sized tensors", "the model has tensors whose size is open", _FIXED_BATCH),
    # issues 168, 313: a float model, or one whose batch is open
    Failure("Model not quantized", "it takes the model for one that is not quantized, or whose batch is open", _FIXED_BATCH),
    # issues 631, 845, 879
    Failure(
        r"Didn't find op for builtin opcode '?(\w+)'?",
        "it does not know {0} in the version that the model has",
        "the compiler is of 2021: 'edgekit check' names the layer, and what to use instead",
    ),
    Failure(
        r"Encountered unresolved custom op: ([\w.]+?)\.?(?:\s|$)",
        "it does not know the custom operator {0}",
        "leave that operator out of the model, and compute it on the host",
    ),
    # issues 439, 444
    Failure(
        "large activation tensors",
        "activations are too large for the chip",
        "lower the input resolution, or the channels of the first layers",
    ),
    # issue 686
    Failure(
        r"Compilation timeout|[Tt]imed out",
        "it gave up in its own time limit, which mostly means activations too large for the chip",
        "lower the input resolution, or give it more time",
    ),
    Failure("Model could not be parsed", "it cannot read the model", "convert it anew with edgekit convert"),
    # issues 728, 157, 190, 211
    Failure(
        r"uncaught exception|Internal compiler error",
        "it crashed",
        "try again, as it is known to fail now and then; then with search_delegate, which looks for a smaller part",
    ),
)  # fmt: skip
"""What edgetpu_compiler 1.0 to 16.0 is known to print when it fails, the most telling first."""


def failure(text: str) -> tuple[str, str] | None:
    """Returns what a failed compilation means and what to do, or None where the text is not a known one."""
    for known in FAILURES:
        match = re.search(known.pattern, text)
        if match is not None:
            return known.says.format(*match.groups()), known.hint
    return None


def reason_of(log: CompilerLog, opcode: str) -> str:
    """Returns why operators of a kind stay on the CPU, in the compiler's words."""
    return " or: ".join(log.statuses(opcode)) or "left on the CPU, without a reason in the log"
