"""A .tflite file as plain frozen data; constants stay in the file and are handed out as views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Span = tuple[int, int]
"""Absolute byte offset in the file, and length in bytes."""


def _no_bytes() -> memoryview:
    return memoryview(b"")


@dataclass(frozen=True, slots=True)
class Quantization:
    """How integers of a tensor stand for reals: real = scale * (integer - zero_point).

    Attributes:
        scale: One value, or one a slice of `quantized_dimension`; empty where only min and max are known.
        zero_point: As many as scales, in a sound file.
        quantized_dimension: The axis along which scales differ.
        min: Smallest real value seen, one a tensor or one a slice; empty where not recorded.
        max: Largest real value seen.
        details: Kind of a further scheme ("CustomQuantization", "BlockwiseQuantization",
            "MultiAxisQuantization"), or None.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    quantized_dimension: int
    min: tuple[float, ...]
    max: tuple[float, ...]
    details: str | None


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a subgraph.

    Attributes:
        index: Its number in the subgraph.
        name: As the file has it; may be empty, need not be unique.
        shape: Sizes; -1 where not known.
        shape_signature: The shape before a converter fixed open dimensions (-1 for each); equals `shape`
            where the file has none.
        type: Name in the schema, such as "INT8" or "FLOAT32".
        buffer: Number of its buffer; 0 means none.
        quantization: None where the file records nothing.
        is_variable: It keeps its value between two runs.
        sparse: Its constant is stored sparsely.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    type: str
    buffer: int
    quantization: Quantization | None
    is_variable: bool
    sparse: bool

    @property
    def is_static(self) -> bool:
        """Whether no dimension is left open, now or in the signature."""
        return min(self.shape, default=0) >= 0 and min(self.shape_signature, default=0) >= 0


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a subgraph.

    Attributes:
        index: Its place in the order of execution.
        opcode: Name in the schema, such as "CONV_2D"; "CUSTOM" for custom and flex operators.
        version: The version of the operator that a runtime must support.
        custom_code: Name of a custom operator ("edgetpu-custom-op", "FlexErf"), else None.
        inputs: Tensor numbers; -1 for an optional input that is left out.
        outputs: Tensor numbers.
        intermediates: Tensor numbers that some recurrent operators use for scales; -1 for one left out.
        options: Fields of the operator's option table by their schema names, enumerations as their names
            ("SAME", "RELU6"). An operator whose table has fields has all of them, with the schema's defaults
            where the file has none.
        custom_options: What a custom operator carries, undecoded; empty otherwise.
        has_options: Whether the file has the option table; a runtime takes zeros where it has none.
    """

    index: int
    opcode: str
    version: int
    custom_code: str | None
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    intermediates: tuple[int, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict, hash=False)
    custom_options: memoryview = field(default_factory=_no_bytes, hash=False, repr=False)
    has_options: bool = True

    @property
    def title(self) -> str:
        """The opcode, or for a custom operator its own name."""
        return self.opcode if self.custom_code is None else self.custom_code


@dataclass(frozen=True, slots=True)
class Subgraph:
    """One function of the model; number 0 is the model itself, the others are bodies of control flow.

    Attributes:
        index: Its number.
        name: May be empty.
        tensors: All of them, so that `tensors[i].index == i`.
        operators: In the order of execution.
        inputs: Tensor numbers.
        outputs: Tensor numbers.
    """

    index: int
    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """A named way to call a subgraph: friendly names for its inputs and outputs.

    Attributes:
        key: Its name ("serving_default").
        subgraph: Number of the subgraph.
        inputs: Tensor number by name.
        outputs: Tensor number by name.
    """

    key: str
    subgraph: int
    inputs: Mapping[str, int] = field(hash=False)
    outputs: Mapping[str, int] = field(hash=False)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A whole .tflite file.

    Attributes:
        data: The bytes it was read from; constants are views into them.
        version: Of the schema; 3 in every file since 2017.
        description: What the converter wrote of itself.
        subgraphs: At least one.
        buffers: Where each buffer's data lie, or None for an empty one.
        signatures: Named ways to call it; often none.
        metadata: Named extra bytes ("min_runtime_version", "CONVERSION_METADATA").
    """

    data: memoryview = field(repr=False)
    version: int
    description: str
    subgraphs: tuple[Subgraph, ...]
    buffers: tuple[Span | None, ...] = field(repr=False)
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, memoryview]

    @property
    def main(self) -> Subgraph:
        """The subgraph that runs when the model runs."""
        return self.subgraphs[0]

    def constant_span(self, tensor: Tensor) -> Span | None:
        """Returns where in the file the constant of a tensor lies, so that it can be patched in place.

        Args:
            tensor: A tensor of this graph.

        Returns:
            Absolute offset and length in bytes, or None for a tensor that is computed.
        """
        return self.buffers[tensor.buffer]

    def constant(self, tensor: Tensor) -> memoryview | None:
        """Returns the little-endian bytes of a constant as a read-only view, or None if it is computed."""
        span = self.buffers[tensor.buffer]
        return None if span is None else self.data[span[0] : span[0] + span[1]]
