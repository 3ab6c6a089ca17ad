"""A certificate as a table for people."""

from __future__ import annotations

from edgekit import console
from edgekit_converters.certify.certificate import Certificate, Row

HEADERS = (
    "board",
    "runtime",
    "kernels",
    "starts",
    "bit-exact",
    "largest step",
    "top-1 agrees",
    "allowed",
    "",
)


def render(certificate: Certificate) -> str:
    """The table, what ran where, and what is wrong."""
    rows = [_cells(row) for row in certificate.rows]
    parts = [console.table(rows, HEADERS)] if rows else []
    parts += [_estimate(entry) for entry in certificate.estimates]
    samples = f"{certificate.golden} golden inputs"
    if certificate.data:
        samples += f" and {certificate.data} of your samples"
    emulators = sorted({board.emulator for board in certificate.boards if board.emulator != "none"})
    ran = f"{samples}; emulated by {', '.join(emulators)}" if emulators else samples
    return "\n\n".join([*parts, ran])


def _cells(row: Row) -> tuple[object, ...]:
    starts = "yes" if row.started else row.signal or "no"
    exact = None if row.bit_exact is None else "yes" if row.bit_exact else "no"
    top1 = None if row.top1_agreement is None else f"{row.top1_agreement * 100:.4g} %"
    allowed = row.tolerance.replace("%", " % top-1") if "%" in row.tolerance else _steps(int(row.tolerance))
    return (
        row.board, row.runtime, row.kernels, starts, exact, row.max_step, top1, allowed,
        "BROKEN" if row.fault else "" if row.started else "lacks an operator",
    )  # fmt: skip


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"


def _estimate(entry: object) -> str:
    assert isinstance(entry, dict)
    cycles = entry.get("cycles")
    said = "unknown" if cycles is None else f"{cycles:,.0f}"
    return (
        f"{entry['board']}: nothing ran; {entry['runtime']} maps {entry['mapped']} of {entry['operators']} operators "
        f"and estimates {said} cycles"
    )
