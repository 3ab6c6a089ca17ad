"""Turns what came of a trial into a row of the certificate: what was expected of it, and what is wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgekit.backends import Kernels
from edgekit_converters.certify.boards import X86
from edgekit_converters.certify.certificate import Row
from edgekit_converters.certify.compare import (
    APPROXIMATED,
    GOLDEN,
    Tolerance,
    compare,
    find_fault,
)
from edgekit_converters.certify.recipes import LITERT
from edgekit_converters.certify.trial import Answers, Failure
from edgekit_converters.certify.vectors import Vectors

Base = Mapping[tuple[str, Kernels], tuple[np.ndarray, ...]]
"""(runtime, kernels) -> what x86-64 answered."""

_QEMU_SAYS = "qemu: uncaught target signal"
"""What QEMU writes of a signal that the row names already."""

RECORDED, HOST_ANSWERS, ITSELF = "recorded", X86, "itself"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a board was to answer.

    Attributes:
        outputs: One array for each output.
        source: RECORDED, HOST_ANSWERS or ITSELF.
    """

    outputs: tuple[np.ndarray, ...] = field(hash=False)
    source: str


@dataclass(frozen=True, slots=True)
class Judge:
    """What all rows are judged by.

    Attributes:
        vectors: What was run.
        scores: The output whose last axis holds scores of classes; None for none.
        tolerances: By kernels or runtime.
        operators: The names of the model's operators.
    """

    vectors: Vectors = field(hash=False)
    scores: int | None
    tolerances: Mapping[str, Tolerance] = field(hash=False)
    operators: frozenset[str]

    def row(
        self, board: str, runtime: str, version: str, kernels: Kernels, outcome: Answers | Failure, base: Base
    ) -> Row:
        """The row of one trial.

        Args:
            board: Its name.
            runtime: The runtime's name for pip.
            version: Of it.
            kernels: The set of its kernels.
            outcome: What came of it.
            base: What x86-64 answered, this trial's own answers among them where it is that board's.
        """
        expected = self._expected(board, runtime, version, kernels, base)
        tolerance = self._tolerance(board, runtime, kernels, expected)
        where = f"{board}, {runtime} {version}, {kernels} kernels"
        if isinstance(outcome, Failure):
            lacking = kernels == "reference" and _is_refused(outcome) and (board == X86 or expected is None)
            fault = None if lacking else f"{where}: {_how(outcome)}"
            return Row(
                board, runtime, kernels, False, outcome.signal, None, None, None,
                expected.source if expected else HOST_ANSWERS, str(tolerance), fault,
            )  # fmt: skip
        if expected is None:
            fault = f"{where}: there is nothing to compare with, because x86-64 gave no answer"
            return Row(
                board, runtime, kernels, True, None, None, None, None, HOST_ANSWERS, str(tolerance), fault
            )
        found = compare(expected.outputs, outcome.outputs, self.scores)
        why = find_fault(found, tolerance, self.vectors.count)
        against = "the recorded golden answers" if expected.source == RECORDED else "x86-64"
        return Row(
            board, runtime, kernels, True, None, found.bit_exact, found.max_step, found.top1_agreement,
            expected.source, str(tolerance), None if why is None else f"{where}: is {why} (against {against})",
        )  # fmt: skip

    def _expected(
        self, board: str, runtime: str, version: str, kernels: Kernels, base: Base
    ) -> Expected | None:
        """Recorded answers where the bundle has them, and else those of x86-64.

        tflite-runtime on x86-64 is held against LiteRT: what a bundle promises is what LiteRT answered. On a board it is
        held against itself on x86-64, so that what shows is the processor's doing.
        """
        own = base.get((runtime, kernels))
        recorded = self._recorded(runtime, version, kernels, board)
        if recorded is not None:
            rest = own if runtime == LITERT else base.get((LITERT, kernels))
            if self.vectors.golden == self.vectors.count:
                return Expected(recorded, RECORDED)
            if rest is not None:
                return Expected(_joined(recorded, rest, self.vectors.golden), RECORDED)
        if own is None:
            return None
        if board != X86:
            return Expected(own, HOST_ANSWERS)
        return Expected(own if runtime == LITERT else base.get((LITERT, kernels), own), ITSELF)

    def _recorded(
        self, runtime: str, version: str, kernels: Kernels, board: str
    ) -> tuple[np.ndarray, ...] | None:
        """The bundle's golden answers of this runtime and kernels; on x86-64 LiteRT's stand for all runtimes."""
        if runtime == LITERT:
            return self.vectors.recorded.get((f"litert-{version}", kernels))
        if board != X86:
            return None
        found = [outputs for (_, other), outputs in self.vectors.recorded.items() if other == kernels]
        return found[-1] if found else None

    def _tolerance(self, board: str, runtime: str, kernels: Kernels, expected: Expected | None) -> Tolerance:
        if runtime != LITERT:
            return self.tolerances[runtime]
        if board != X86 or expected is None or expected.source != RECORDED:
            return self.tolerances[kernels]
        if kernels == "xnnpack" and self.operators & APPROXIMATED:
            return self.tolerances[kernels]
        return self.tolerances[GOLDEN]


def _joined(
    recorded: Sequence[np.ndarray], rest: Sequence[np.ndarray], golden: int
) -> tuple[np.ndarray, ...]:
    """Recorded answers to the golden inputs, and others to those after them."""
    return tuple(np.concatenate([first, other[golden:]]) for first, other in zip(recorded, rest, strict=True))


def _is_refused(failure: Failure) -> bool:
    """Whether the runtime itself refused the model: the reference kernels of LiteRT 2.3.0 have no TILE, for instance.

    No device runs on them, so that where x86-64 cannot either, nothing is amiss with the board.
    """
    return failure.signal is None and failure.step == "open the model"


def _how(failure: Failure) -> str:
    """How a program ended that gave no answer."""
    if failure.signal == "SIGILL":
        how = "illegal instruction (SIGILL)"
    else:
        how = f"ended by {failure.signal}" if failure.signal else "failed"
    lines = [line.strip() for line in failure.said.splitlines()]
    last = next((line for line in reversed(lines) if line and not line.startswith(_QEMU_SAYS)), "")
    said = f": {last}" if last else ""
    return f"does not start: {how} while trying to {failure.step}{said}"
