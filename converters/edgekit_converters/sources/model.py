"""What goes into a source and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgekit_converters.calibration import InputSpec

if TYPE_CHECKING:
    import os

    from edgekit_converters.sources.original import Original


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
        torch: ``file.py:factory``, a function that returns a `torch.nn.Module`; None for any other source.
        weights: A file with the state dict for that module.
        example_inputs: Tensors or arrays that a module or function in memory is traced with.
        params: The first argument of a JAX function in memory.
    """

    outputs: tuple[str, ...] = ()
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    signature: str | None = None
    custom_objects: str | None = None
    trust_model_code: bool = False
    torch: str | None = None
    weights: str | os.PathLike[str] | None = None
    example_inputs: object = None
    params: object = None


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
        original: The model in its own framework, to be compared with; None where TensorFlow itself made this.
        original_shapes: The shape of every input of the original, by name.
    """

    flatbuffer: bytes
    kind: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    quantized: bool = False
    notes: tuple[str, ...] = ()
    original: Original | None = None
    original_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def with_original(self, original: Original, shapes: Mapping[str, tuple[int, ...]]) -> FloatModel:
        """The same beside the model that it was made from, whose process is open from now on."""
        return replace(self, original=original, original_shapes=shapes)

    def close_original(self) -> None:
        """Ends the process of the original, if there is one."""
        if self.original is not None:
            self.original.close()


def image_layout(shape: tuple[int, ...]) -> str | None:
    """The layout of a rank-4 input that looks like an image: 1, 3 or 4 channels, last or else first."""
    if len(shape) != 4:
        return None
    if shape[3] in (1, 3, 4):
        return "NHWC"
    return "NCHW" if shape[1] in (1, 3, 4) else None
