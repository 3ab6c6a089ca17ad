"""The model that is to become C sources: a .tflite, or what a bundle holds with all that its manifest knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.bundle import MODEL, VELA_MODEL, read_unverified
from edgekit.errors import UnknownModelError, UnsupportedModelError
from edgekit.files import read_capped
from edgekit.manifest import Preprocessing, TensorSpec
from edgekit_targets.tflite import DEFAULT_LIMITS, Graph, Tensor, read_graph

C_TYPES: Mapping[str, str] = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "float32": "float",
}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output.

    Attributes:
        name: As the bundle or the file has it.
        shape: Static, batch first.
        dtype: A key of C_TYPES.
        scale: Real units a step; None for a tensor without one.
        zero_point: The stored integer that means 0; None likewise.
        preprocessing: How a raw sample becomes real values; None where nothing says.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True, slots=True)
class MicroModel:
    """A model for a microcontroller.

    Attributes:
        name: As its bundle has it; the stem of a .tflite.
        member: Where the bytes come from: the member of a bundle, or the name of the file.
        data: The .tflite.
        inputs: In the model's order.
        outputs: In the model's order.
        labels: Class names, or None.
    """

    name: str
    member: str
    data: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    labels: tuple[str, ...] | None

    @property
    def graph(self) -> Graph:
        """The model, read anew."""
        return read_graph(self.data)


def open_micro(path: Path) -> MicroModel:
    """Reads a bundle or a .tflite from a file.

    Raises:
        UnknownModelError: It cannot be read, or is neither.
        BundleError: A bundle that is not well-formed.
        MalformedModelError: A .tflite that is not sound.
        UnsupportedModelError: An input or output of a type that C has no name for.
    """
    data = read_capped(path, DEFAULT_LIMITS.size, error=UnknownModelError)
    if data[:2] == b"PK":
        return from_bundle(data)
    if data[4:8] != b"TFL3":
        raise UnknownModelError(
            f"{path} is neither a .tflite nor an .edgekit bundle",
            hint="other kinds of models become one with edgekit convert",
        )
    graph = read_graph(data)
    named = {
        number: name for s in graph.signatures[:1] for name, number in (*s.inputs.items(), *s.outputs.items())
    }
    main = graph.main

    def ports(numbers: Sequence[int]) -> tuple[Port, ...]:
        return tuple(_port(main.tensors[number], named.get(number)) for number in numbers)

    return MicroModel(path.stem, path.name, data, ports(main.inputs), ports(main.outputs), None)


def from_bundle(data: bytes) -> MicroModel:
    """Takes the model out of a bundle, which is not verified: what Vela compiled, where the bundle has that.

    Raises:
        BundleError: It is not well-formed.
        MalformedModelError: The model in it is not sound.
    """
    bundle = read_unverified(data)
    member = VELA_MODEL if VELA_MODEL in bundle.members else MODEL
    manifest = bundle.manifest
    model = bytes(bundle.members[member])
    read_graph(model)

    def ports(specs: Sequence[TensorSpec]) -> tuple[Port, ...]:
        return tuple(_specified(spec) for spec in specs)

    return MicroModel(
        manifest.name, member, model, ports(manifest.inputs), ports(manifest.outputs), manifest.labels
    )


def _specified(spec: TensorSpec) -> Port:
    quantized = spec.dtype in ("int8", "uint8")
    return Port(
        spec.name,
        spec.shape,
        spec.dtype,
        spec.scale if quantized else None,
        spec.zero_point if quantized else None,
        spec.preprocessing,
    )


def _port(tensor: Tensor, name: str | None) -> Port:
    dtype = tensor.type.lower()
    if dtype not in C_TYPES:
        raise UnsupportedModelError(
            f"'{tensor.name}' is {dtype}: a program on a microcontroller cannot feed or read that",
            hint="convert the model with edgekit convert, which makes inputs and outputs int8",
        )
    if not tensor.is_static:
        raise UnsupportedModelError(
            f"'{tensor.name}' has an open size: {list(tensor.shape)}",
            hint="fix its shape: edgekit convert takes --input-shape",
        )
    q = tensor.quantization
    single = q is not None and len(q.scale) == len(q.zero_point) == 1
    scale, zero_point = (q.scale[0], q.zero_point[0]) if q is not None and single else (None, None)
    return Port(name or tensor.name, tensor.shape, dtype, scale, zero_point)
