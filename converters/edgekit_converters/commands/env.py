"""``edgekit env``: the environments of other frameworks."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit import console

KINDS = ("torch", "onnx", "jax")


@click.group()
def env() -> None:
    """Make and list environments for models of PyTorch, ONNX and JAX.

    PyTorch, ONNX and JAX models are brought to TensorFlow Lite by packages of their own, whose versions may not go
    together with TensorFlow's. Each can live in an environment of its own, which edgekit makes only here, when you ask.
    """


@env.command("create")
@click.argument("kind", type=click.Choice(KINDS))
@click.option(
    "--python", metavar="PATH", help="The interpreter to make it from. Default: this one, if it fits."
)
@click.option("--folder", metavar="FOLDER", help="Where to make it. Default: edgekit's cache folder.")
@click.option("--renew", is_flag=True, help="Make it anew if it is there already.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def create_command(kind: str, python: str | None, folder: str | None, renew: bool, as_json: bool) -> None:
    """Make the pinned environment of one framework, with venv and pip."""
    from edgekit_converters.environments.create import create

    made = create(
        kind,
        folder=None if folder is None else Path(folder),
        python=python,
        renew=renew,
        status=console.status,
    )
    if as_json:
        console.print_json({"kind": kind, "folder": str(made.folder), "python": str(made.python)})
    else:
        click.echo(f"{made.spec.framework} models are converted in {made.folder}")


@env.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_command(as_json: bool) -> None:
    """Show which frameworks this edgekit can convert from, and what does it."""
    from edgekit_converters.environments.locate import installed_here, read_environment
    from edgekit_converters.environments.pins import SPECS

    rows = []
    for kind, spec in SPECS.items():
        found = read_environment(kind)
        if installed_here(spec):
            state, place = "installed in this Python", None
        elif found is None:
            state, place = f"missing: edgekit env create {kind}", None
        else:
            state, place = (
                "ready" if found.current else f"outdated: edgekit env create {kind} --renew",
                found.folder,
            )
        rows.append((kind, spec.framework, state, "" if place is None else str(place)))
    if as_json:
        names = ("kind", "framework", "state", "folder")
        console.print_json({"environments": [dict(zip(names, row, strict=True)) for row in rows]})
    else:
        click.echo(console.table(rows, ["kind", "for", "state", "folder"]))
