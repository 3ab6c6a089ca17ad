"""``edgekit convert``: the whole way from a trained model to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit import console
from edgekit_converters.commands.sections import SectionedCommand, section
from edgekit_converters.commands.shared import (
    DATA_WORDS,
    calibration_section,
    model_section,
    preprocessing_section,
    request_words,
)

if TYPE_CHECKING:
    from edgekit_converters.conversion import Conversion

HELP = """\
Turn a trained model into a strictly int8 bundle for a device.

MODEL is a .keras, .h5, .tflite, .pt2 or .onnx file or a SavedModel folder. It is calibrated on your data, quantized
to int8 (inputs and outputs too), audited, and measured beside the float original.

\b
For instance:
  edgekit convert cats.keras --target raspberry-pi-4 --calibration photos/ --range -1,1
  edgekit convert cats.keras --target raspberry-pi-4 --calibration photos/ --range -1,1 \\
      --evaluation labelled/ --max-drop 1 --labels from-folder -o cats.edgekit
"""


@click.command(cls=SectionedCommand, help=HELP, epilog=DATA_WORDS)
@click.argument("model", type=click.Path(), required=False)
@section(
    "Device and result",
    {
        "--target": {
            "required": True,
            "metavar": "NAME",
            "help": "The device, as edgekit targets lists them.",
        },
        "--device-dir": {
            "multiple": True,
            "metavar": "FOLDER",
            "help": "A folder with device files of your own; $EDGEKIT_DEVICES names more of them.",
        },
        "--output, -o": {
            "type": click.Path(),
            "metavar": "FILE",
            "help": "The bundle to write. Default: the model's name with .edgekit, in this folder. "
            "For a microcontroller, NAME.edgekit gets its C sources in NAME_c beside it.",
        },
        "--compile": {
            "is_flag": True,
            "help": "Also compile for the accelerator, with edgetpu_compiler or Vela, which must be installed.",
        },
        "--json": {"is_flag": True, "help": "Print one JSON object."},
    },
)
@calibration_section
@section(
    "Accuracy",
    {
        "--evaluation": {
            "metavar": "DATA",
            "help": "Labelled samples that were not trained on, to measure int8 beside float.",
        },
        "--metric": {
            "metavar": "NAME",
            "help": "top1, top5, map, map50, miou, mae, rmse, r2, auc, agreement, sqnr (NAME:OUTPUT picks "
            "an output), or your own as file.py:function. Default: what the labels are for.",
        },
        "--max-drop": {
            "type": float,
            "metavar": "PP",
            "help": "A contract: if int8 loses more points than this, write nothing and exit 3.",
        },
    },
)
@preprocessing_section
@model_section
@section(
    "PyTorch code",
    {
        "--torch": {
            "metavar": "FILE.py:FUNCTION",
            "help": "In place of MODEL: a function that returns a torch.nn.Module. Give --input-shape too.",
        },
        "--weights": {
            "metavar": "FILE",
            "help": "The state dict of that module (.pth, .safetensors), loaded without running code.",
        },
    },
)
@section(
    "What the bundle says of itself",
    {
        "--name": {"help": "The model's name. Default: the output's stem."},
        "--model-version": {"default": "0.1.0", "show_default": True, "help": "The model's version."},
        "--security-epoch": {
            "type": int,
            "default": 0,
            "show_default": True,
            "help": "Raise it when older bundles of this name must no longer run.",
        },
        "--labels": {
            "metavar": "FILE|from-folder",
            "help": "Class names, one a line, or the class folders of the data.",
        },
        "--golden": {
            "type": int,
            "default": 4,
            "show_default": True,
            "help": "How many golden inputs a device can check itself with.",
        },
        "--golden-data": {
            "metavar": "DATA",
            "help": "Real samples for that, which then travel in the bundle. Default: drawn from histograms.",
        },
    },
)
def convert(model: str | None, **words: Any) -> None:
    """Convert as the words say; see HELP."""
    if model is None and words["torch"] is None:
        raise click.UsageError("Missing argument 'MODEL'.")
    from edgekit_converters.extras import require_convert

    require_convert()
    from edgekit.devices import device_folders, find_device
    from edgekit_converters.conversion import run
    from edgekit_converters.progress import Progress
    from edgekit_converters.request import Request

    folders = device_folders(words.pop("device_dir"))
    words |= {"target": find_device(words["target"], folders).name, "device_dirs": folders}
    as_json = words.pop("json")
    words["output"] = output = Path(words["output"] or default_output(model or words["weights"] or "model"))
    conversion = run(Request(model=model, **request_words(words)), Progress(console.status, console.progress))
    if as_json:
        console.print_json(_as_json(conversion, output))
    else:
        click.echo(conversion.report.render())
        click.echo(f"\nwrote {output}, {len(conversion.bundle) / 1000:.1f} kB")
        if conversion.sources is not None or conversion.no_sources is not None:
            click.echo(_sources_line(conversion, output))


def default_output(model: str) -> str:
    """The name of the model with .edgekit; of a folder the whole name, whose dots end no suffix."""
    path = Path(model).resolve()
    return f"{(path.name if path.is_dir() else path.stem) or 'model'}.edgekit"


def _sources_line(conversion: Conversion, output: Path) -> str:
    """Where the C sources are and how they are made anew, or why there are none."""
    from edgekit_converters.micro.export import folder_beside

    sources = conversion.sources
    if sources is None:
        error = conversion.no_sources
        assert error is not None
        advice = "" if error.hint is None else f" (hint: {error.hint})"
        return f"no C sources: {console.printable(str(error))}{advice}"
    folder = folder_beside(output)
    arena = f"an arena of {sources.arena.bytes:,} bytes, {len(sources.operators)} operators"
    return f"wrote {folder}, C sources: {arena}; anew with: edgekit export-c {output} -o {folder}"


def _as_json(conversion: Conversion, output: Path) -> dict[str, object]:
    import hashlib

    from edgekit_converters.micro.export import folder_beside

    digest = hashlib.sha256(conversion.bundle).hexdigest()
    facts: dict[str, object] = {"bundle": str(output), "sha256": digest, "bytes": len(conversion.bundle)}
    if conversion.sources is not None:
        facts["c_sources"] = conversion.sources.to_json(folder_beside(output))
    return facts | conversion.report.to_json()
