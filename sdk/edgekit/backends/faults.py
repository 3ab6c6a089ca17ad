"""What can go wrong in a `Simulation`: one small record a fault, counted in runs, so that every test repeats."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import SessionError


@dataclass(frozen=True, slots=True)
class FailEvery:
    """Every `runs`-th run fails, and the next one works again; counted over all sessions of the Simulation.

    Attributes:
        runs: 10 lets runs 10, 20, 30 ... fail.
    """

    runs: int

    def __post_init__(self) -> None:
        _at_least("FailEvery.runs", self.runs, 1)


@dataclass(frozen=True, slots=True)
class FailAfter:
    """A session works for so many runs, and then every run fails; a new session works again.

    Attributes:
        runs: How many work; 0 lets the first one fail.
    """

    runs: int

    def __post_init__(self) -> None:
        _at_least("FailAfter.runs", self.runs, 0)


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
        _at_least("Unplug.after", self.after, 0)
        _at_least("Unplug.opens", self.opens or 0, 0)


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
        _at_least("SlowDown.after", self.after, 0)
        _at_least("SlowDown.factor", self.factor, 1)
        _at_least("SlowDown.runs", 1 if self.runs is None else self.runs, 1)

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
                return f"every {runs}th run fails, and this is run {run}" if runs > 1 else "every run fails"
            case FailAfter(runs) if session_run > runs:
                return f"a session works for {runs} runs, and this is run {session_run} of it"
    return None


def slowness(faults: tuple[Fault, ...], run: int) -> float:
    """How many times longer than usual the run of that number, from 1, takes."""
    factor = 1.0
    for fault in faults:
        if isinstance(fault, SlowDown) and fault.covers(run):
            factor *= fault.factor
    return factor


def _at_least(what: str, value: float, least: int) -> None:
    if not value >= least:
        raise SessionError(f"{what} must be at least {least}, and is {value}")
