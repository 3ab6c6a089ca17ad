"""Decides what is wrong with a machine, and how it is mended. Pure: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterable

from edgekit.doctor.accelerators import coral_findings
from edgekit.doctor.facts import Facts
from edgekit.doctor.finding import Finding, Kind, Severity
from edgekit.doctor.remedies import Targets
from edgekit.doctor.runtimes import runtime_findings, smoke_finding

_WHY_NOTHING_RUNS = frozenset({Kind.NO_RUNTIME, Kind.NO_WHEEL, Kind.NUMPY_MISSING, Kind.NUMPY_TOO_NEW})


def diagnose(facts: Facts, targets: Targets) -> tuple[Finding, ...]:
    """Everything that is to be said of a machine, worst first.

    That a tiny model does not run is said only where no other finding says why.

    Args:
        facts: Of the machine.
        targets: The catalogue, `edgekit_targets.catalog.open_catalog().targets`: it has the lines that install.
    """
    found = list(runtime_findings(facts, targets))
    smoke = smoke_finding(facts, targets)
    if smoke is not None and not any(finding.kind in _WHY_NOTHING_RUNS for finding in found):
        found.insert(0, smoke)
    found += coral_findings(facts, targets)
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def has_fault(found: Iterable[Finding]) -> bool:
    """Whether any of the findings is a fault."""
    return any(finding.severity is Severity.FAULT for finding in found)
