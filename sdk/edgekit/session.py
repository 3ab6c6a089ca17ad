"""Run a verified bundle: `Session`."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgekit import media
from edgekit.backends import Interpreter, TensorDetails, find_backend
from edgekit.bundle import MODEL
from edgekit.errors import InputError, SessionError, TrustRequiredError
from edgekit.manifest import Manifest, TensorSpec
from edgekit.preprocess import dequantize, image_geometry, quantize, to_model_input
from edgekit.result import Result, Timing, best_labels
from edgekit.trust import VerifiedBundle

Sample = NDArray[Any] | str | os.PathLike[str]
"""What one input takes: a raw array as the manifest says; for an image input also the path of an image."""

QUANTIZED = ("int8", "uint8")


@dataclass(frozen=True, slots=True)
class _Port:
    """One input or output: what the manifest says of it, and where the runtime has it."""

    spec: TensorSpec
    index: int


class Session:
    """A model that is open and ready to run. Threads may share it: they take turns.

    Attributes:
        manifest: What the bundle says of itself.
    """

    def __init__(self, bundle: VerifiedBundle, *, device: str = "auto", threads: int | None = None) -> None:
        """Open the model of a verified bundle.

        Args:
            bundle: From `edgekit.trust`; nothing else is accepted.
            device: "auto" or "cpu".
            threads: Threads for one inference; None leaves it to the runtime.

        Raises:
            TrustRequiredError: The bundle is not verified.
            RuntimeNotFoundError: No TFLite runtime is installed.
            SessionError: The runtime refuses the model, or it is not the one that the manifest describes.
        """
        if not isinstance(bundle, VerifiedBundle):
            raise TrustRequiredError(
                f"a session takes a VerifiedBundle, and got {type(bundle).__name__}",
                hint="use edgekit.load(path, trust=...)",
            )
        if device not in ("auto", "cpu"):
            raise SessionError(f"there is no device {device!r}", hint='device is "auto" or "cpu"')
        if threads is not None and threads < 1:
            raise SessionError(f"threads must be at least 1, and is {threads}")
        self.manifest: Manifest = bundle.manifest
        interpreter = find_backend().open(bytes(bundle.members[MODEL]), threads=threads)
        self._inputs = _match("input", self.manifest.inputs, interpreter.inputs)
        self._outputs = _match("output", self.manifest.outputs, interpreter.outputs)
        self._scores = _scores_name(self.manifest)
        self._interpreter: Interpreter | None = interpreter
        self._lock = threading.Lock()

    def run(self, x: Sample | Mapping[str, Sample], *, top: int = 5) -> Result:
        """Run one sample, from raw data to real values and labels.

        Args:
            x: A raw sample of the dtype and shape that the manifest's preprocessing says, with or without the
                batch axis; for an image input also the path of an image. A dict by input name where the
                model has several inputs.
            top: At most how many labels to give.

        Raises:
            InputError: The sample does not fit the model.
            BadSampleError: An image file cannot be read.
            SessionError: The session is closed, or the runtime failed.
        """
        samples = self._by_name(x)
        raw = {port.spec.name: _raw(samples[port.spec.name], port.spec) for port in self._inputs}
        started = perf_counter_ns()
        stored = [_to_stored(raw[port.spec.name], port.spec) for port in self._inputs]
        preprocessed = perf_counter_ns()
        quantized, invoke_ns = self._infer(stored)
        inferred = perf_counter_ns()
        outputs = {port.spec.name: _to_real(quantized[port.spec.name], port.spec) for port in self._outputs}
        labels: tuple[tuple[str, float], ...] = ()
        if self._scores is not None and self.manifest.labels is not None:
            labels = best_labels(outputs[self._scores], self.manifest.labels, top)
        timing = Timing(preprocessed - started, invoke_ns, perf_counter_ns() - inferred)
        return Result(outputs, quantized, labels, timing)

    def run_quantized(
        self, x: NDArray[Any] | Mapping[str, NDArray[Any]]
    ) -> NDArray[Any] | dict[str, NDArray[Any]]:
        """Run the model's own integers, with no preprocessing and no conversion of the outputs.

        Args:
            x: An array of the input's very dtype (int8), with or without the batch axis. A dict by input name
                where the model has several inputs.

        Returns:
            The output's integers, batch 1 first; a dict by output name where there are several. They are
            copies, the caller's own.

        Raises:
            InputError: The sample does not fit the model.
            SessionError: The session is closed, or the runtime failed.
        """
        samples = self._by_name(x)
        stored = [_exactly(samples[port.spec.name], port.spec) for port in self._inputs]
        quantized, _ = self._infer(stored)
        return next(iter(quantized.values())) if len(quantized) == 1 else quantized

    def close(self) -> None:
        """Give the model's memory back. Closing twice does no harm."""
        with self._lock:
            self._interpreter = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _by_name(self, x: Any) -> Mapping[str, Any]:
        """The sample as one entry an input, no more and no fewer."""
        names = [port.spec.name for port in self._inputs]
        if not isinstance(x, Mapping):
            if len(names) > 1:
                raise InputError(
                    f"the model has {len(names)} inputs, and one value was given",
                    hint=f"give a dict with the keys {', '.join(names)}",
                )
            return {names[0]: x}
        for name in x:
            self.manifest.input(name)  # refuses an unknown one
        missing = [name for name in names if name not in x]
        if missing:
            raise InputError(f"no value is given for the input(s) {', '.join(missing)}")
        return x

    def _infer(self, stored: list[NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], int]:
        """The model's integers by output name, and the nanoseconds that invoke took."""
        with self._lock:
            interpreter = self._interpreter
            if interpreter is None:
                raise SessionError("the session is closed", hint="load the bundle again")
            for port, array in zip(self._inputs, stored, strict=True):
                interpreter.set_input(port.index, array)
            started = perf_counter_ns()
            interpreter.invoke()
            invoke_ns = perf_counter_ns() - started
            return {port.spec.name: interpreter.output(port.index) for port in self._outputs}, invoke_ns


def _match(kind: str, specs: tuple[TensorSpec, ...], details: tuple[TensorDetails, ...]) -> tuple[_Port, ...]:
    """Pair what the manifest says with what the model holds; both list their tensors in the model's order.

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
    return tuple(_Port(spec, tensor.index) for spec, tensor in zip(specs, details, strict=True))


def _disagreement(what: str, manifest: object, model: object) -> SessionError:
    return SessionError(
        f"manifest and model disagree: {what} is {manifest} in the manifest and {model} in the model",
        hint="the bundle was put together wrongly: convert the model again",
    )


def _scores_name(manifest: Manifest) -> str | None:
    """The one output that has a value for each label, if there is exactly one."""
    if manifest.labels is None:
        return None
    fitting = [spec.name for spec in manifest.outputs if int(np.prod(spec.shape)) == len(manifest.labels)]
    return fitting[0] if len(fitting) == 1 else None


def _raw(sample: Sample, spec: TensorSpec) -> NDArray[Any]:
    """The sample as an array, read from its file where a path was given."""
    if not isinstance(sample, (str, os.PathLike)):
        return np.asarray(sample)
    preprocessing = spec.preprocessing
    if preprocessing is None or preprocessing.source != "image" or preprocessing.color is None:
        raise InputError(
            f"the input '{spec.name}' takes arrays, and got a path",
            hint="read the file into an array first; only images are read from a path",
        )
    geometry = image_geometry(spec.shape, spec.layout)
    size = (geometry.height, geometry.width) if geometry is not None else None
    return media.read_image(Path(sample), size, preprocessing.resize, preprocessing.color)


def _to_stored(raw: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """The integers that the model takes, out of a raw sample."""
    if spec.preprocessing is None:  # token or index inputs, whose integers mean themselves
        return _integers(raw, spec)
    try:
        fitted = media.fit_image(raw, spec.shape, spec.layout, spec.preprocessing)
        real = to_model_input(fitted, spec.shape, spec.layout, spec.preprocessing)
        return quantize(real, spec.scale, spec.zero_point, spec.dtype)
    except InputError as error:
        raise InputError(f"input '{spec.name}': {error}", hint=error.hint) from error


def _to_real(stored: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    return dequantize(stored, spec.scale, spec.zero_point) if spec.dtype in QUANTIZED else stored


def _integers(raw: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    limits = np.iinfo(spec.dtype)
    if raw.dtype.kind not in "iu" or (raw.size and (raw.min() < limits.min or raw.max() > limits.max)):
        raise InputError(f"the input '{spec.name}' takes integers within the range of {spec.dtype}")
    return _exactly(raw.astype(spec.dtype), spec)


def _exactly(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """The array with its batch axis, if dtype and shape are the model's own."""
    array = np.asarray(array)
    if array.dtype != spec.dtype or array.shape not in (spec.shape, spec.shape[1:]):
        raise InputError(
            f"the input '{spec.name}' takes {spec.dtype} of shape {spec.shape}, "
            f"and got {array.dtype} of shape {array.shape}"
        )
    return array.reshape(spec.shape)
