"""What goes into a source and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgekit_converters.calibration import InputSpec


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a person says about the model beside its path.

    Attributes:
        outputs: Where to cut the graph; empty for the model's own outputs. Layer names (Keras), node names or
            signature keys (SavedModel), tensor names (.tflite).
        input_shapes: Whole static shapes, batch 1 first, by input name.
        signature: Which signature of a SavedModel or .tflite, where there are several.
        custom_objects: A Python file or module whose public classes and functions Keras may need.
        trust_model_code: Whether code that is stored in the model file may run.
    """

    outputs: tuple[str, ...] = ()
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    signature: str | None = None
    custom_objects: str | None = None
    trust_model_code: bool = False


@dataclass(frozen=True, slots=True)
class FloatModel:
    """A .tflite with static shapes and batch 1: float, or already quantized and then untouched.

    Attributes:
        flatbuffer: The .tflite bytes.
        kind: What it was made from, in words: "Keras 3 model", "SavedModel", ...
        inputs: Name and shape of each input, in tensor order.
        outputs: Name of each output, in tensor order, unique. In a float model these are the tensors'
            names; an already quantized file keeps its own tensor names, and these match by position only.
        quantized: Whether the file was quantized before edgekit saw it.
        notes: What was changed on the way and a person should know, as sentences.
    """

    flatbuffer: bytes
    kind: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    quantized: bool = False
    notes: tuple[str, ...] = ()


def image_layout(shape: tuple[int, ...]) -> str | None:
    """The layout of a rank-4 input that looks like an image: 1, 3 or 4 channels, last or else first."""
    if len(shape) != 4:
        return None
    if shape[3] in (1, 3, 4):
        return "NHWC"
    return "NCHW" if shape[1] in (1, 3, 4) else None
