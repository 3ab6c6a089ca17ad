"""The inputs and outputs of an open model: what the manifest says of each, and where the runtime has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgekit.errors import InputError, SessionError
from edgekit.feeding import Feeder
from edgekit.preprocess import image_geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from edgekit.backends import TensorDetails
    from edgekit.manifest import TensorSpec

    Feed = Callable[[NDArray[Any]], NDArray[Any]]

QUANTIZED = ("int8", "uint8")


class Input:
    """One input of an open model.

    Attributes:
        spec: What the manifest says of it.
        index: The runtime's number for it.
        name: The name that applications use.
        feed: Turns a raw sample into the model's integers; for one thread at a time. Its tables are made at first use.
        size: Height and width that an image of another size is stretched to; None where nothing is resized.
    """

    __slots__ = ("feed", "index", "name", "size", "spec")

    def __init__(self, spec: TensorSpec, index: int) -> None:
        self.spec = spec
        self.index = index
        self.name = spec.name
        self.feed: Feed = self._first_feed
        self.size: tuple[int, int] | None = None
        if spec.preprocessing is not None and spec.preprocessing.resize is not None:
            geometry = image_geometry(spec.shape, spec.layout)
            self.size = None if geometry is None else (geometry.height, geometry.width)

    def _first_feed(self, raw: NDArray[Any]) -> NDArray[Any]:
        self.feed = Feeder(self.spec)
        return self.feed(raw)

    def fit(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Stretch an image of another size to the model's, where the manifest says how.

        Raises:
            InputError: It is not an image that can be resized.
            MissingExtraError: Pillow is needed and not installed.
        """
        preprocessing = self.spec.preprocessing
        if self.size is None or raw.shape[-3:-1] == self.size or preprocessing is None:
            return raw
        from edgekit.media import fit_image

        try:
            return fit_image(raw, self.spec.shape, self.spec.layout, preprocessing)
        except InputError as error:
            raise InputError(f"input '{self.name}': {error}", hint=error.hint) from error


class Output:
    """One output of an open model.

    Attributes:
        spec: What the manifest says of it.
        index: The runtime's number for it.
        name: The name that applications use.
    """

    __slots__ = ("index", "name", "spec")

    def __init__(self, spec: TensorSpec, index: int) -> None:
        self.spec = spec
        self.index = index
        self.name = spec.name


def indices(kind: str, specs: Sequence[TensorSpec], details: Sequence[TensorDetails]) -> tuple[int, ...]:
    """The runtime's numbers for the tensors of a manifest; both list them in the model's order.

    Args:
        kind: "input" or "output", for messages.
        specs: What the manifest says of them.
        details: What the runtime says.

    Raises:
        SessionError: They disagree.
    """
    if len(specs) != len(details):
        raise _disagreement(f"{kind} count", len(specs), len(details))
    names = {spec.name for spec in specs}
    for spec, tensor in zip(specs, details, strict=True):
        what = f"{kind} '{spec.name}'"
        if tensor.name in names - {spec.name}:
            raise _disagreement(f"place of {what}", spec.name, tensor.name)
        if spec.shape != tensor.shape:
            raise _disagreement(f"shape of {what}", spec.shape, tensor.shape)
        if spec.dtype != tensor.dtype:
            raise _disagreement(f"dtype of {what}", spec.dtype, tensor.dtype)
        if spec.dtype in QUANTIZED:
            # A flatbuffer holds scales as float32, JSON as the shortest decimal of a float64.
            if np.float32(spec.scale) != np.float32(tensor.scale):
                raise _disagreement(f"scale of {what}", spec.scale, tensor.scale)
            if spec.zero_point != tensor.zero_point:
                raise _disagreement(f"zero point of {what}", spec.zero_point, tensor.zero_point)
    return tuple(tensor.index for tensor in details)


def _disagreement(what: str, manifest: object, model: object) -> SessionError:
    return SessionError(
        f"manifest and model disagree: {what} is {manifest} in the manifest and {model} in the model",
        hint="the bundle was put together wrongly: convert the model again",
    )
