"""From the user's words about preprocessing to what one input gets. Nothing is guessed."""

from __future__ import annotations

import math

from edgekit.errors import PreprocessingError
from edgekit.manifest import COLOR_CHANNELS, RESIZERS, Preprocessing
from edgekit.preprocess import SPANS, image_geometry
from edgekit_converters.calibration.said import SaidPreprocessing
from edgekit_converters.calibration.sample import InputSpec


def resolve_preprocessing(
    said: SaidPreprocessing, raw_dtype: str, source_kind: str, spec: InputSpec
) -> Preprocessing:
    """Decides what turns the raw samples of one input into its float values.

    Float arrays are taken as model input, the convention of TFLiteConverter's representative_dataset. Raw
    integers need a
    word: a guess between -1..1 and 0..1 costs most of the accuracy when it is wrong.

    Args:
        said: The user's words.
        raw_dtype: Of the source's arrays for this input, by numpy name.
        source_kind: "image", "audio" or "array".
        spec: The input.

    Raises:
        PreprocessingError: Words are missing, contradict each other, or do not fit the data or the model.
    """
    check_words(said)
    _check_channels(said, spec)
    if raw_dtype.startswith("float"):
        return _resolve_floats(said, raw_dtype, spec)
    if raw_dtype not in SPANS:
        return _resolve_other_integers(said, raw_dtype, spec)
    declared_image = raw_dtype == "uint8" and (said.color is not None or said.resize is not None)
    kind = "image" if source_kind == "array" and declared_image else source_kind
    if kind != "image":
        _refuse_image_words(said, spec, raw_dtype)
    color = _resolve_color(said, spec, from_files=source_kind == "image") if kind == "image" else None
    if said.preprocessed and kind == "array":
        return Preprocessing("array", "float32")
    scaling = said.range
    if scaling is None:
        _require_scaling(said, raw_dtype, spec)
        scaling = (float(SPANS[raw_dtype][0]), float(SPANS[raw_dtype][1]))
    return Preprocessing(kind, raw_dtype, scaling, said.mean, said.std, said.resize, color)


def check_words(said: SaidPreprocessing) -> None:
    """Refuses words that make no sense whatever the data and the model are.

    Raises:
        PreprocessingError: Naming the word.
    """
    if said.preprocessed and said.scaling:
        raise PreprocessingError(
            "--preprocessed says that nothing is to be done, and --range, --mean or --std say otherwise",
            hint="drop --preprocessed if the data are raw, or the others if they are model input already",
        )
    numbers = (*(said.range or ()), *(said.mean or ()), *(said.std or ()))
    if not all(math.isfinite(number) for number in numbers):
        raise PreprocessingError(
            "--range, --mean and --std must be finite numbers", hint="write them out, as in --range -1,1"
        )
    if said.range is not None and not said.range[0] < said.range[1]:
        low, high = said.range
        raise PreprocessingError(
            f"--range {low:g},{high:g}: the first number must be below the second",
            hint="--range LO,HI says what 0 and 255 become, as in --range -1,1",
        )
    if said.std is not None and not all(number > 0 for number in said.std):
        raise PreprocessingError(
            "--std: every number must be above 0, because the data are divided by it",
            hint="take the standard deviations that the model was trained with, or leave --std out",
        )
    for word, value, known in (("resize", said.resize, RESIZERS), ("color", said.color, COLOR_CHANNELS)):
        if value is not None and value not in known:
            raise PreprocessingError(
                f"--{word} {value}: must be one of {', '.join(known)}",
                hint=f"say --{word} {next(iter(known))}, or whatever the model was trained with",
            )


def _check_channels(said: SaidPreprocessing, spec: InputSpec) -> None:
    channels = spec.shape[1] if spec.layout == "NCHW" else spec.shape[-1]
    for word, values in (("--mean", said.mean), ("--std", said.std)):
        if values is not None and len(values) not in (1, channels):
            raise PreprocessingError(
                f"{word} has {len(values)} numbers, and input '{spec.name}' has {channels} channels",
                hint=f"give one number for all channels, or {channels}; "
                "if the channels come first in the model, say --layout NCHW",
            )


def _resolve_floats(said: SaidPreprocessing, raw_dtype: str, spec: InputSpec) -> Preprocessing:
    _refuse_image_words(said, spec, raw_dtype)
    if said.range is not None:
        raise PreprocessingError(
            f"--range is for raw uint8 or int16 data, and those of input '{spec.name}' are {raw_dtype}",
            hint="drop --range if they are model input already, or give the raw integers",
        )
    return Preprocessing("array", "float32", mean=said.mean, std=said.std)


def _resolve_other_integers(said: SaidPreprocessing, raw_dtype: str, spec: InputSpec) -> Preprocessing:
    _refuse_image_words(said, spec, raw_dtype)
    if said.preprocessed:
        return Preprocessing("array", "float32")
    raise PreprocessingError(
        f"the data of input '{spec.name}' are {raw_dtype}: nothing says what these integers are to the model",
        hint="say --preprocessed if they are model input as they are; "
        "save raw pixels as uint8 or raw audio as int16 and say --range LO,HI",
    )


def _refuse_image_words(said: SaidPreprocessing, spec: InputSpec, raw_dtype: str) -> None:
    for word, value in (("--resize", said.resize), ("--color", said.color)):
        if value is not None:
            raise PreprocessingError(
                f"{word} is for images, and the data of input '{spec.name}' are {raw_dtype} arrays or sound",
                hint=f"drop {word}, or give uint8 images",
            )


def _resolve_color(said: SaidPreprocessing, spec: InputSpec, *, from_files: bool) -> str:
    """The colour order of an image input; that of files is RGB unless the user wants another."""
    geometry = image_geometry(spec.shape, spec.layout)
    if geometry is None or geometry.channels not in COLOR_CHANNELS.values():
        raise PreprocessingError(
            f"input '{spec.name}' takes {spec.shape[1:]}, which is no image of 1 or 3 channels",
            hint="say --layout NCHW if its channels come first; otherwise give its data as arrays in an .npz",
        )
    fitting = [color for color, channels in COLOR_CHANNELS.items() if channels == geometry.channels]
    if said.color is None and (from_files or len(fitting) == 1):
        return fitting[0]
    if said.color not in fitting:
        words = " or ".join(f"--color {color}" for color in fitting)
        problem = "nothing says their order" if said.color is None else f"--color {said.color} does not fit"
        raise PreprocessingError(
            f"input '{spec.name}' has {geometry.channels} channel(s), and {problem}", hint=f"say {words}"
        )
    return said.color


def _require_scaling(said: SaidPreprocessing, raw_dtype: str, spec: InputSpec) -> None:
    """Refuses integers without a range, unless the words show that the model takes raw units."""
    if said.preprocessed:
        return
    if not said.scaling:
        raise PreprocessingError(
            f"the data of input '{spec.name}' are raw {raw_dtype}, and nothing says what the model takes",
            hint=_SCALING_HINTS[raw_dtype],
        )
    span = ",".join(map(str, SPANS[raw_dtype]))
    if all(abs(number) <= 1 for number in (said.mean or ()) + (said.std or ())):
        raise PreprocessingError(
            f"--mean and --std for raw {raw_dtype}: these numbers look like 0..1 units",
            hint=f"add --range 0,1, or --range {span} if they really are in raw units",
        )


_SCALING_HINTS = {
    "uint8": "say it as the model was trained: --range -1,1 (MobileNet, Inception); --range 0,1; "
    "--range 0,1 with --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 (torchvision); "
    "or --preprocessed if 0..255 is what the model takes",
    "int16": "say it as the model was trained: --range -1,1 is what most audio models take; "
    "or --preprocessed if the model takes -32768..32767",
}
