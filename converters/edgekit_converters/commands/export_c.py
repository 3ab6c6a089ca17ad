"""``edgekit export-c``: a model as C sources for a microcontroller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit import console

if TYPE_CHECKING:
    from edgekit_converters.micro.export import Export


@click.command(name="export-c")
@click.argument("model", type=click.Path())
@click.option(
    "--output", "-o", required=True, type=click.Path(), metavar="FOLDER", help="Made if it is not there."
)
@click.option(
    "--name",
    help="What files and identifiers in them begin with. Default: the name of the bundle, or of the file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export_c(model: str, output: str, name: str | None, as_json: bool) -> None:
    """Write a model as C sources for TensorFlow Lite Micro.

    MODEL is an .edgekit bundle or a .tflite. Written are a C array of it, a header with the size of the arena and
    of inputs and outputs, and a header that adds just the operators that it has. Of a bundle with a model that Vela
    compiled, that one is taken. No signature is checked.

    The arena is measured where the extra "micro" is installed, else estimated.
    """
    from edgekit_converters.micro.export import export, write_export
    from edgekit_converters.micro.source import open_micro

    folder = Path(output)
    made = export(open_micro(Path(model)), name)
    write_export(folder, made.files)
    if as_json:
        console.print_json(made.to_json(folder))
    else:
        click.echo(render(made, folder))


def render(made: Export, folder: Path) -> str:
    """What was written, several lines, no newline at the end."""
    arena = made.arena
    rows = [
        ("model", f"{made.member}, {made.model_bytes:,} bytes of flash"),
        ("arena", f"{arena.bytes:,} bytes of RAM: {arena.needed:,} {arena.source},"),
        ("", f"and at most {arena.scratch:,} that CMSIS-NN takes in addition"),
        ("operators", f"{len(made.operators)}: {', '.join(made.operators)}"),
        ("wrote", f"{folder}: {', '.join(made.files)}"),
    ]
    return "\n".join(f"{word:<9}  {console.printable(text)}" for word, text in rows)
