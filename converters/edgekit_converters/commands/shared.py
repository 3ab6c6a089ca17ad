"""The words that every command shares which brings a trained model to int8: on calibration, preprocessing and the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from edgekit_converters.commands.sections import section
from edgekit_converters.commands.words import (
    COLOR,
    LAYOUT,
    NUMBERS,
    RANGE,
    RESIZER,
    SHAPE,
    one_or_by_name,
)

PER_INPUT = ("range", "mean", "std", "resize", "color", "layout")

DATA_WORDS = """\
\b
DATA is a folder of images or of .wav files (subfolders are classes), an .npz, .npy or .csv
(FILE#ARRAY[,LABELS] picks arrays; FILE#INPUT=ARRAY,... where the model has several inputs),
or a Python function that yields samples, as file.py:function.

Words with [NAME=] hold for every input, or for the one named, and can be said again for another.
"""

calibration_section = section(
    "Calibration",
    {
        "--calibration": {
            "metavar": "DATA",
            "help": "Samples of what the device will see, 100 to 500 of them.",
        },
        "--samples": {
            "type": int,
            "default": 200,
            "show_default": True,
            "help": "The most to use; spread over the set and its classes.",
        },
        "--seed": {"type": int, "default": 0, "show_default": True, "help": "Of the choice among them."},
        "--effort": {
            "type": click.Choice(["fast", "balanced", "best"]),
            "default": "balanced",
            "show_default": True,
            "help": "fast: minimum and maximum. balanced: tries a few corrections on samples held out, keeps what is "
            "closest to float. best: tries more, in minutes.",
        },
        "--budget": {
            "type": float,
            "metavar": "SECONDS",
            "help": "After so long the search opens no other candidate and keeps the best so far.",
        },
        "--recipe": {
            "type": click.Path(),
            "metavar": "FILE",
            "help": "Do what an earlier search found: its bundle, or a .json file. No search.",
        },
        "--per-tensor-weights": {
            "is_flag": True,
            "help": "One scale a tensor for weights, for delegates that know no other. Costs accuracy.",
        },
        "--allow-int16": {
            "is_flag": True,
            "help": "Let a few cheap layers work on 16 bits, where that measures much better; named in the report.",
        },
        "--keep-outliers": {
            "is_flag": True,
            "help": "Use every sample. Without it, samples whose values lie far outside all others are left "
            "out and named: one image scaled wrongly would cost all others their precision.",
        },
        "--threads": {
            "type": int,
            "help": "Interpreters side by side. Default: one a core. Changes no result.",
        },
    },
)

preprocessing_section = section(
    "Preprocessing, which the device will repeat",
    {
        "--range": {
            "type": RANGE,
            "multiple": True,
            "help": "What 0..255 of images, or the span of int16 sound, becomes: -1,1 or 0,1 for most models.",
        },
        "--mean": {
            "type": NUMBERS,
            "multiple": True,
            "help": "Subtracted after --range; one number, or one a channel.",
        },
        "--std": {
            "type": NUMBERS,
            "multiple": True,
            "help": "Divided by after --mean; one number, or one a channel.",
        },
        "--resize": {
            "type": RESIZER,
            "multiple": True,
            "help": "Stretch images of another size: nearest, bilinear, bicubic or lanczos.",
        },
        "--color": {
            "type": COLOR,
            "multiple": True,
            "help": "The channel order that the model wants: RGB, BGR or GRAY.",
        },
        "--preprocessed": {"is_flag": True, "help": "The data are model input already."},
        "--layout": {
            "type": LAYOUT,
            "multiple": True,
            "help": "Where the channels of image inputs are. Default: as the shape tells.",
        },
    },
)

model_section = section(
    "Model",
    {
        "--outputs": {
            "metavar": "NAME,...",
            "help": "Cut the graph there: before an ArgMax or an NMS head, for instance.",
        },
        "--input-shape": {
            "type": SHAPE,
            "multiple": True,
            "help": "The shape of an input with open dimensions.",
        },
        "--saved-model-signature": {
            "metavar": "NAME",
            "help": "Which signature, where a SavedModel has several.",
        },
        "--custom-objects": {
            "metavar": "FILE.py|MODULE",
            "help": "Python with the custom layers and functions of a Keras model.",
        },
        "--trust-model-code": {
            "is_flag": True,
            "help": "Run code that is stored in the model file (Lambda layers).",
        },
    },
)


def request_words(words: Mapping[str, Any]) -> dict[str, Any]:
    """The words of these sections as the fields of `Request` take them; all others are passed on.

    Raises:
        click.UsageError: A word is said for all inputs and for one of them, or twice for the same.
    """
    said = dict(words)
    said["outputs"] = tuple(said["outputs"].split(",")) if said["outputs"] is not None else ()
    said["input_shapes"] = one_or_by_name("input-shape", said.pop("input_shape")) or {}
    return said | {word: one_or_by_name(word, said[word]) for word in PER_INPUT}
