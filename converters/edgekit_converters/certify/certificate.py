"""What certifying found: the record that travels in the bundle as ``certificate.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgekit import strictjson

CERTIFICATE = "certificate.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One board, one runtime, one set of kernels.

    Attributes:
        board: Its name.
        runtime: The runtime's name for pip.
        kernels: The set of its kernels.
        started: Whether the model ran.
        signal: The signal that ended the program, such as "SIGILL"; None where none did.
        bit_exact: Whether every value is as expected; None where the model did not run, as are the next two.
        max_step: The largest difference of any value, in int8 steps.
        top1_agreement: The share of samples with the same highest value, 0..1; also None without an output of scores.
        expected: What was expected: "recorded" (the bundle's golden answers and, for the user's data, those of
            x86-64), "x86-64", or "itself" where it is what the others are compared with.
        tolerance: What was allowed, as on the command line.
        fault: What is wrong, one sentence; None where nothing is.
    """

    board: str
    runtime: str
    kernels: str
    started: bool
    signal: str | None
    bit_exact: bool | None
    max_step: int | None
    top1_agreement: float | None
    expected: str
    tolerance: str
    fault: str | None

    def to_json(self) -> dict[str, object]:
        """The row as ``edgekit certify --json`` prints it."""
        return {
            "board": self.board,
            "runtime": self.runtime,
            "kernels": self.kernels,
            "started": self.started,
            "signal": self.signal,
            "bit_exact": self.bit_exact,
            "max_step": self.max_step,
            "top1_agreement": self.top1_agreement,
        }


@dataclass(frozen=True, slots=True)
class BoardRecord:
    """What a board was made of.

    Attributes:
        name: Of the board.
        title: For people.
        cpu: QEMU's model of the processor; "native" for the one at hand.
        emulator: QEMU and its version; "none".
        system: Debian's architecture and release.
        versions: Runtime -> package -> version, of all that can change an answer.
    """

    name: str
    title: str
    cpu: str
    emulator: str
    system: str
    versions: Mapping[str, Mapping[str, str]] = field(hash=False)

    def to_json(self) -> dict[str, object]:
        """The record as JSON types."""
        return {
            "name": self.name,
            "title": self.title,
            "cpu": self.cpu,
            "emulator": self.emulator,
            "system": self.system,
            "versions": {runtime: dict(versions) for runtime, versions in self.versions.items()},
        }


@dataclass(frozen=True, slots=True)
class Certificate:
    """Everything that certifying found. It has no date, so that the same bundle gives the same bytes again.

    Attributes:
        edgekit: The version that made it.
        model_sha256: Of the model that was run.
        golden: How many of the bundle's golden inputs were run.
        data: How many samples of the user's.
        data_files: Their files.
        inputs_sha256: Of all inputs as the model stores them.
        boards: What was emulated.
        rows: What came out.
        estimates: What a compiler reports of boards on which nothing runs, as JSON values.
    """

    edgekit: str
    model_sha256: str
    golden: int
    data: int
    data_files: tuple[str, ...]
    inputs_sha256: str
    boards: tuple[BoardRecord, ...]
    rows: tuple[Row, ...]
    estimates: tuple[Mapping[str, object], ...] = field(default=(), hash=False)

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, one sentence each."""
        return tuple(row.fault for row in self.rows if row.fault is not None)

    def to_json(self) -> dict[str, object]:
        """What ``edgekit certify --json`` prints."""
        answer: dict[str, object] = {"results": [row.to_json() for row in self.rows]}
        return answer | ({"estimates": [dict(entry) for entry in self.estimates]} if self.estimates else {})

    def to_bytes(self) -> bytes:
        """``certificate.json``, in its one spelling."""
        rows = [row.to_json() | {"expected": row.expected, "tolerance": row.tolerance} for row in self.rows]
        return strictjson.dump(
            {
                "format": FORMAT,
                "edgekit": self.edgekit,
                "model_sha256": self.model_sha256,
                "samples": {
                    "golden": self.golden,
                    "data": self.data,
                    "files": list(self.data_files),
                    "inputs_sha256": self.inputs_sha256,
                },
                "boards": [board.to_json() for board in self.boards],
                "results": rows,
                "estimates": [dict(entry) for entry in self.estimates],
            }
        )
