"""``edgekit convert``: the whole way from a trained model to a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgekit import console

if TYPE_CHECKING:
    from edgekit_converters.conversion import Conversion

Value = TypeVar("Value")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _pair(text: str) -> tuple[float, float]:
    low, high = _numbers(text)
    return low, high


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


class PerInput(click.ParamType):
    """A word for all inputs, or ``NAME=`` and a word for one of them.

    Args:
        parse: Turns the text of one word into its value; a ValueError is wrong usage.
        form: How the word is written, for messages and help.
        named: Whether the name must be given.
    """

    def __init__(self, parse: Callable[[str], Any], form: str, *, named: bool = False) -> None:
        self.name = f"NAME={form}" if named else f"[NAME=]{form}"
        self._parse = parse
        self._named = named

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str | None, Any]:
        """Splits off the name and parses the rest."""
        name, equals, text = str(value).rpartition("=")
        if self._named and not name:
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)
        try:
            return (name if equals else None), self._parse(text)
        except ValueError:
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)


def _one_or_by_name(pairs: tuple[tuple[str | None, Value], ...]) -> Value | Mapping[str, Value] | None:
    """What the fields of `Request` take: nothing, one value for all inputs, or values by input name."""
    if not pairs:
        return None
    if any(name is None for name, _ in pairs):
        if len(pairs) > 1:
            raise click.UsageError(
                "say a word about preprocessing once for all inputs, or once by NAME= for each"
            )
        return pairs[0][1]
    return {name: value for name, value in pairs if name is not None}


RANGE = PerInput(_pair, "LO,HI")
NUMBERS = PerInput(_numbers, "X[,X...]")
RESIZER = PerInput(str, "METHOD")
COLOR = PerInput(str.upper, "ORDER")
LAYOUT = PerInput(str.upper, "LAYOUT")
SHAPE = PerInput(_shape, "1,96,96,3", named=True)


@click.command()
@click.argument("model", type=click.Path())
@click.option("--target", required=True, help="The device, such as raspberry-pi-4 or coral-usb-accelerator.")
@click.option(
    "--calibration",
    metavar="DATA",
    help="Samples of what the device will see, 100 to 500 of them: a folder of images or .wav files, an .npz, .npy or .csv "
    "(FILE#ARRAY[,LABELS] picks arrays), or a Python function as file.py:function.",
)
@click.option(
    "--evaluation",
    metavar="DATA",
    help="Labelled samples that were not trained on; int8 is measured beside float on them.",
)
@click.option(
    "--metric",
    metavar="NAME",
    help="top1, top5, map, map50, miou, mae, rmse, r2, auc, agreement, sqnr (NAME:OUTPUT where there are several outputs), or your own as file.py:function. Default: what the labels are for.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0),
    metavar="PP",
    help="A contract: if int8 loses more percentage points than this, write nothing and exit 3.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False),
    metavar="OUT.edgekit",
    help="The bundle to write. Default: the model's name with .edgekit, in this folder.",
)
@click.option(
    "--effort",
    type=click.Choice(["fast", "balanced"]),
    default="balanced",
    show_default=True,
    help="fast: extremes of the samples. balanced: also corrects biases where that measures better.",
)
@click.option(
    "--samples",
    type=int,
    default=200,
    show_default=True,
    help="The most calibration samples to use; spread over the set and over its classes.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice among the samples.")
@click.option(
    "--range",
    "value_range",
    type=RANGE,
    multiple=True,
    metavar="[NAME=]LO,HI",
    help="What 0..255 of images, or the span of int16 sound, becomes: -1,1 for MobileNet, 0,1 for many others.",
)
@click.option(
    "--mean",
    type=NUMBERS,
    multiple=True,
    metavar="[NAME=]M[,M,M]",
    help="Subtracted after --range, one number or one a channel.",
)
@click.option(
    "--std",
    type=NUMBERS,
    multiple=True,
    metavar="[NAME=]S[,S,S]",
    help="Divided by after --mean, one number or one a channel.",
)
@click.option(
    "--resize",
    type=RESIZER,
    multiple=True,
    metavar="METHOD",
    help="Stretch images of another size: nearest, bilinear, bicubic or lanczos.",
)
@click.option(
    "--color",
    type=COLOR,
    multiple=True,
    metavar="ORDER",
    help="The channel order that the model wants: RGB, BGR or GRAY.",
)
@click.option("--preprocessed", is_flag=True, help="The data are model input already.")
@click.option(
    "--layout",
    type=LAYOUT,
    multiple=True,
    metavar="NHWC|NCHW",
    help="Where the channels of image inputs are. Default: as the shape tells.",
)
@click.option(
    "--labels",
    metavar="FILE|from-folder",
    help="Class names, one a line, or taken from the class folders of the data.",
)
@click.option("--name", help="The model's name in the bundle. Default: the output's stem.")
@click.option(
    "--model-version", default="0.1.0", show_default=True, help="The model's version in the bundle."
)
@click.option(
    "--security-epoch",
    type=int,
    default=0,
    show_default=True,
    help="Raise it when older bundles of this name must no longer run.",
)
@click.option(
    "--golden", type=int, default=4, show_default=True, help="How many golden inputs the bundle carries."
)
@click.option(
    "--outputs",
    metavar="NAME,...",
    help="Cut the graph there: before an ArgMax or an NMS head, for instance.",
)
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
@click.option(
    "--threads", type=int, help="Interpreters side by side. Default: one a core. Changes no result."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def convert(model: str, as_json: bool, **words: Any) -> None:
    """Turn a trained model into a strictly int8 bundle for a device.

    MODEL is a .keras or .h5 file, a SavedModel folder or a .tflite. It is calibrated on your data, quantized
    to int8 (inputs and outputs too), audited, and measured beside the float original.

    \b
    For instance:
      edgekit convert cats.keras --target raspberry-pi-4 --calibration photos/ --range -1,1 \\
          --evaluation labelled/ --max-drop 1 -o cats.edgekit
    """
    from pathlib import Path

    from edgekit_converters.extras import require_convert

    require_convert()
    from edgekit_converters.conversion import run
    from edgekit_converters.progress import Progress
    from edgekit_converters.request import Request

    output = Path(words.pop("output") or Path(model.rstrip("/")).with_suffix(".edgekit").name)
    outputs = words.pop("outputs")
    request = Request(
        model=model,
        output=output,
        range=_one_or_by_name(words.pop("value_range")),
        outputs=tuple(outputs.split(",")) if outputs else (),
        input_shapes=dict(words.pop("input_shape")),
        **{word: _one_or_by_name(words.pop(word)) for word in ("mean", "std", "resize", "color", "layout")},
        **words,
    )
    conversion = run(request, Progress(console.status, console.progress))
    if as_json:
        console.print_json(_as_json(conversion, output))
    else:
        click.echo(conversion.report.render())
        click.echo(f"\nwrote {output}, {len(conversion.bundle) / 1000:.1f} kB")


def _as_json(conversion: Conversion, output: object) -> dict[str, object]:
    import hashlib

    digest = hashlib.sha256(conversion.bundle).hexdigest()
    return {
        "bundle": str(output),
        "sha256": digest,
        "bytes": len(conversion.bundle),
    } | conversion.report.to_json()
