"""``edgekit check``: where every operator of a model would run on a device, why, and what to change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from edgekit import console
from edgekit_converters.commands.folding import folded
from edgekit_converters.commands.words import SHAPE

if TYPE_CHECKING:
    from edgekit.errors import EdgekitError
    from edgekit_converters.check import Check, CheckRequest
    from edgekit_converters.page.findings import Finding

_EXAMPLES = """\
\b
For instance:
  edgekit check cats.edgekit --target coral-usb-accelerator
  edgekit check cats.keras --target coral-usb-accelerator --html cats.html
"""


@click.command(epilog=_EXAMPLES)
@click.argument("model", type=click.Path())
@click.option("--target", required=True, help="The device, such as coral-usb-accelerator.")
@click.option(
    "--device-dir",
    "device_dirs",
    type=click.Path(),
    multiple=True,
    envvar="EDGEKIT_DEVICES",
    metavar="FOLDER",
    help="A folder with device files of your own; also $EDGEKIT_DEVICES.",
)
@click.option(
    "--as-is",
    is_flag=True,
    help="Look at a float .tflite as it stands, as a compiler would: nothing of it is mapped.",
)
@click.option("--strict", is_flag=True, help="Exit 3 unless every operator surely runs on the accelerator.")
@click.option("--all", "show_all", is_flag=True, help="List every operator, not only those that need a look.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False),
    metavar="OUT.html",
    help="Also write a page with the graph; it is one file and loads nothing.",
)
@click.option("--outputs", metavar="NAME,...", help="Cut the graph there first, as convert --outputs does.")
@click.option(
    "--input-shape",
    type=SHAPE,
    multiple=True,
    metavar="NAME=1,96,96,3",
    help="The shape of an input with open dimensions.",
)
@click.option(
    "--saved-model-signature", metavar="NAME", help="Which signature, where a SavedModel has several."
)
@click.option(
    "--custom-objects",
    metavar="FILE.py|MODULE",
    help="Python with the custom layers and functions of a Keras model.",
)
@click.option(
    "--trust-model-code", is_flag=True, help="Run code that is stored in the model file (Lambda layers)."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def check(
    context: click.Context,
    /,
    model: str,
    strict: bool,
    show_all: bool,
    page: str | None,
    as_json: bool,
    **words: Any,
) -> None:
    """Tell where each operator of a model would run on a device, why, and what to change.

    MODEL is a bundle, a quantized .tflite, or any model that convert takes: such a one is quantized in memory
    first, with placeholder ranges, and not saved. Neither the device nor its compiler is needed.
    """
    from pathlib import Path

    from edgekit.errors import ForecastContractError
    from edgekit.files import ensure_writable, refuse_inputs
    from edgekit_converters.check import check as run
    from edgekit_converters.check import hold_strict
    from edgekit_converters.progress import Progress

    if page is not None:
        ensure_writable(Path(page))
        code = words["custom_objects"]
        refuse_inputs(
            Path(page), {Path(model): "the model"} | ({Path(code): "the code of the model"} if code else {})
        )
    found = run(_request(model, **words), Progress(console.status, console.progress))
    if page is not None:
        _write_page(found, page)
    broken = None
    try:
        if strict:
            hold_strict(found)
    except ForecastContractError as error:
        broken = error
    if as_json:
        _print_json(context, found, page, broken)
        return
    click.echo("\n\n".join(_sections(found, show_all)))
    if broken is not None:
        raise broken


def _request(
    model: str,
    *,
    outputs: str | None,
    input_shape: tuple[tuple[str, tuple[int, ...]], ...],
    saved_model_signature: str | None,
    custom_objects: str | None,
    trust_model_code: bool,
    device_dirs: tuple[str, ...],
    target: str,
    as_is: bool,
) -> CheckRequest:
    from pathlib import Path

    from edgekit_converters.check import CheckRequest
    from edgekit_converters.sources.model import SourceOptions

    options = SourceOptions(
        outputs=tuple(outputs.split(",")) if outputs else (),
        input_shapes=dict(input_shape),
        signature=saved_model_signature,
        custom_objects=custom_objects,
        trust_model_code=trust_model_code,
    )
    return CheckRequest(
        model=Path(model),
        target=target,
        device_dirs=tuple(map(Path, device_dirs)),
        as_is=as_is,
        options=options,
    )


def _write_page(found: Check, page: str) -> None:
    from pathlib import Path

    from edgekit.files import write_atomically
    from edgekit_converters.page import render

    write_atomically(Path(page), render(found).encode())
    console.status(f"wrote {page}")


def _print_json(context: click.Context, found: Check, page: str | None, broken: EdgekitError | None) -> None:
    """Prints what was found; a broken contract stands beside it, so that stdout stays one document."""
    from edgekit.cli import report

    answer = found.to_json() | {"html": page}
    if broken is None:
        console.print_json(answer)
        return
    error = {"kind": type(broken).__name__, "message": str(broken), "hint": broken.hint}
    console.print_json(answer | {"error": error})
    context.exit(report(broken, as_json=False))


def _sections(found: Check, show_all: bool) -> Iterator[str]:
    from edgekit_converters.page.facts import facts
    from edgekit_converters.page.findings import findings

    rows = list(facts(found))
    width = max(len(word) for word, _ in rows)
    yield "\n".join(folded(f"{word:<{width}}  ", text) for word, text in rows)
    if show_all:
        yield _everything(found)
    apart = findings(found)
    if apart:
        yield "\n".join([_title(found), *map(_finding, apart)])


def _title(found: Check) -> str:
    if found.accelerator is None:
        return "worth a look:"
    return f"not on the {found.accelerator}, or not surely:"


def _finding(finding: Finding) -> str:
    rule = f" [{finding.rule}]" if finding.rule else ""
    lines = [
        folded(f"  {finding.word:<12}  ", finding.title),
        folded(f"{'why':>14}  ", finding.reason + rule),
    ]
    if finding.fix:
        lines.append(folded(f"{'change':>14}  ", finding.fix))
    return "\n".join(lines)


def _everything(found: Check) -> str:
    from edgekit.page.figures import millions
    from edgekit_converters.check import layer_of
    from edgekit_converters.page.facts import shape

    rows = [
        (op.index, op.opcode, layer_of(op), shape(view.outputs[0]) if view.outputs else None,
         millions(op.macs) if op.macs else None, op.placement, op.rule)
        for op, view in zip(found.forecast.ops, found.ops, strict=True)
    ]  # fmt: skip
    return console.table(rows, ("op", "opcode", "layer", "output", "MACs", "runs on", "rule"))
