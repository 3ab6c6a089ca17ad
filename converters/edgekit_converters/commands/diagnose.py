"""``edgekit diagnose``: which layers lose what in int8, why, and what would help."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit import console
from edgekit_converters.commands.folding import folded
from edgekit_converters.commands.sections import SectionedCommand, section
from edgekit_converters.commands.shared import (
    DATA_WORDS,
    calibration_section,
    model_section,
    preprocessing_section,
    request_words,
)

if TYPE_CHECKING:
    from edgekit_converters.diagnosis.record import Diagnosis, Finding

HELP = """\
Tell which layers of a model lose what in int8, why, and what would help.

MODEL is a .keras or .h5 file, a SavedModel folder or a float .tflite. It is brought to int8 on your data as convert
does it, and then run in parts: each layer alone in int8, each alone in float. Nothing is saved but the page.

\b
For instance:
  edgekit diagnose cats.keras --calibration photos/ --range -1,1
  edgekit diagnose cats.keras --calibration photos/ --range -1,1 --effort fast --html cats.html
"""


@click.command(cls=SectionedCommand, help=HELP, epilog=DATA_WORDS)
@click.argument("model", type=click.Path())
@section(
    "Result",
    {
        "--all": {"is_flag": True, "help": "List every layer, in order, not only those that cause most."},
        "--html": {
            "type": click.Path(dir_okay=False),
            "metavar": "OUT.html",
            "help": "Also write a page with the error along the network and the histograms behind each range; it is one "
            "file and loads nothing.",
        },
        "--json": {"is_flag": True, "help": "Print one JSON object."},
    },
)
@calibration_section
@preprocessing_section
@model_section
def diagnose(model: str, **words: Any) -> None:
    """Diagnose as the words say; see HELP."""
    from edgekit_converters.extras import require_convert

    require_convert()
    from edgekit_converters.diagnosis.conduct import ANY_TARGET, run
    from edgekit_converters.progress import Progress
    from edgekit_converters.request import Request

    page, as_json, show_all = words.pop("html"), words.pop("json"), words.pop("all")
    if page is not None:
        _refuse_page(Path(page), model, words)
    request = Request(model=model, target=ANY_TARGET, **request_words(words))
    found = run(request, Progress(console.status, console.progress))
    if page is not None:
        _write_page(found, page)
    if as_json:
        console.print_json(found.to_json() | {"html": page})
    else:
        click.echo("\n\n".join(_sections(found, show_all)))


def _refuse_page(page: Path, model: str, words: dict[str, Any]) -> None:
    """Refuses a page that cannot be written, or that would take the place of what is read."""
    from edgekit.files import ensure_writable, refuse_inputs

    ensure_writable(page)
    read = {Path(model): "the model"}
    for word, name in (("calibration", "the samples"), ("custom_objects", "the code of the model")):
        if words[word] and os.path.lexists(words[word]):
            read[Path(words[word])] = name
    refuse_inputs(page, read)


def _write_page(found: Diagnosis, page: str) -> None:
    from edgekit.files import write_atomically
    from edgekit_converters.diagnosis.page import render

    write_atomically(Path(page), render(found).encode())
    console.status(f"wrote {page}")


def _sections(found: Diagnosis, show_all: bool) -> Iterator[str]:
    from edgekit_converters.diagnosis.text import LEGEND, facts, layer_table, worst

    rows = list(facts(found))
    width = max(len(word) for word, _ in rows)
    yield "\n".join(folded(f"{word:<{width}}  ", text) for word, text in rows)
    if show_all or found.findings:
        yield layer_table(found, found.layers if show_all else worst(found)) + "\n" + folded("", LEGEND)
    if found.findings:
        yield "\n".join(map(_finding, found.findings))


def _finding(finding: Finding) -> str:
    return "\n".join(
        [
            folded("  note     " if finding.minor else "  finding  ", finding.title),
            folded("      why  ", finding.reason),
            folded("   advice  ", finding.advice),
        ]
    )
