"""What can go wrong in a `Simulation`: one small record a fault, counted in runs, so that every test repeats."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.arguments import real, whole
from edgekit.errors import SessionError


@dataclass(frozen=True, slots=True)
class FailEvery:
    """Every `runs`-th run fails, and the next one works again; counted over all sessions of the Simulation.

    Attributes:
        runs: 10 lets runs 10, 20, 30 ... fail.
    """

    runs: int

    def __post_init__(self) -> None:
        whole("FailEvery.runs", self.runs, 1, error=SessionError)


@dataclass(frozen=True, slots=True)
class FailAfter:
    """A session works for so many runs, and then every run fails; a new session works again.

    Attributes:
        runs: How many work; 0 lets the first one fail.
    """

    runs: int

    def __post_init__(self) -> None:
        whole("FailAfter.runs", self.runs, 0, error=SessionError)


@dataclass(frozen=True, slots=True)
class Unplug:
    """The device is gone after so many runs, once: sessions that are open then never work again.

    Attributes:
        after: Runs that work, counted over all sessions of the Simulation.
        opens: How many attempts to open a session fail before it is plugged in again; None: it never is.
    """

    after: int
    opens: int | None = None

    def __post_init__(self) -> None:
        whole("Unplug.after", self.after, 0, error=SessionError)
        if self.opens is not None:
            whole("Unplug.opens", self.opens, 0, error=SessionError)


@dataclass(frozen=True, slots=True)
class SlowDown:
    """Runs take longer for a while, as on a board that is hot or short of power.

    Attributes:
        after: Runs at full speed before it, counted over all sessions of the Simulation.
        factor: How many times longer each run takes.
        runs: How many runs it lasts; None: to the end.
    """

    after: int
    factor: float
    runs: int | None = None

    def __post_init__(self) -> None:
        whole("SlowDown.after", self.after, 0, error=SessionError)
        real("SlowDown.factor", self.factor, 1, error=SessionError)
        if self.runs is not None:
            whole("SlowDown.runs", self.runs, 1, error=SessionError)

    def covers(self, run: int) -> bool:
        """Whether it slows the run of that number, counted from 1."""
        return self.after < run and (self.runs is None or run <= self.after + self.runs)


Fault = FailEvery | FailAfter | Unplug | SlowDown


def failure(faults: tuple[Fault, ...], run: int, session_run: int) -> str | None:
    """Why a run fails; None where it does not.

    Args:
        faults: Those of the Simulation.
        run: The number of the run among all of the Simulation, from 1.
        session_run: Its number in its session, from 1.
    """
    for fault in faults:
        match fault:
            case FailEvery(runs) if run % runs == 0:
                return f"one run in {runs} fails, and this is run {run}" if runs > 1 else "every run fails"
            case FailAfter(runs) if session_run > runs:
                return f"a session works for {counted(runs)}, and this is run {session_run} of it"
    return None


def slowness(faults: tuple[Fault, ...], run: int) -> float:
    """How many times longer than usual the run of that number, from 1, takes."""
    factor = 1.0
    for fault in faults:
        if isinstance(fault, SlowDown) and fault.covers(run):
            factor *= fault.factor
    return factor


def counted(runs: int) -> str:
    """So many runs, in words."""
    return "1 run" if runs == 1 else f"{runs} runs"
