"""A diagnosis as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekit.console import table
from edgekit.page.figures import counted
from edgekit_converters.diagnosis.record import Diagnosis, Layer
from edgekit_converters.diagnosis.score import decibels

WORST = 8
"""Layers that the table shows where not all are asked for."""

LEAST_SHARE = 0.01
"""Of the error: layers below it are left out of the short table."""

_HEADS = ("layer", "operator", "share", "alone dB", "gain dB", "SQNR dB", "costs most", "range")


def facts(found: Diagnosis) -> Iterator[tuple[str, str]]:
    """Yields what was diagnosed, how, and the verdict, as words with their text."""
    yield "model", f"{found.model} ({found.kind})"
    yield "int8", f"{found.recipe}, effort {found.effort}"
    looked = "all" if found.looked_at == found.samples else str(found.looked_at)
    yield "samples", f"{counted(found.samples, 'sample')} of {found.source}, {looked} of them layer by layer"
    if found.closers:
        yield "measured at", f"{found.measured_at}: there errors add up"
    for note in found.notes:
        yield "note", note
    yield "verdict", found.verdict


def worst(found: Diagnosis) -> list[Layer]:
    """The layers that cause most of the error, worst first."""
    ranked = sorted(found.layers, key=lambda layer: -layer.effect.share)
    return [layer for layer in ranked[:WORST] if layer.effect.share >= LEAST_SHARE]


def layer_table(found: Diagnosis, layers: Sequence[Layer]) -> str:
    """The figures of some layers."""
    return table([_row(found, layer) for layer in layers], _HEADS)


def _row(found: Diagnosis, layer: Layer) -> tuple[object, ...]:
    effect, written = layer.effect, layer.effect.written
    return (
        layer.name,
        layer.opcode,
        f"{100 * effect.share:.1f} %",
        f"{decibels(effect.alone):.1f}",
        f"{found.gain_db(layer):+.1f}",
        None if layer.sqnr_db is None else f"{layer.sqnr_db:.1f}",
        effect.local.cause,
        None if written is None else f"{written.low:.3g}..{written.high:.3g}",
    )


LEGEND = (
    "share of the output error; alone: output SQNR with only this layer in int8; gain: what the output's SQNR would "
    "rise by with only this layer in float; SQNR: of what it writes, earlier errors included"
)
"""What the columns are."""
