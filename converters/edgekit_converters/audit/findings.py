"""What an audit says: its rules, one sentence each, the findings, and the whole verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from edgekit_targets.tflite import Tensor

MIN_ACTIVATION_SCALE = 2.0**-24
"""The least step of an activation, in real units; a layer that varies less has collapsed."""

MAX_BIAS = 2**30 + 2**10
"""The largest magnitude of an int32 bias. TensorFlow's quantizer widens a weight scale until the bias fits
2^30; 2^10 more allows for the rounding of that scale to float32."""

BIAS_TOLERANCE = 1e-4
"""Relative error allowed in a bias scale: a bias as large as the whole output range is off by 0.03 steps."""

MAX_MULTIPLIER = 256.0
"""input scale * weight scale / output scale above which XNNPACK refuses to prepare a weighted operator.
Measured on 2026-11-24 with ai-edge-litert 2.3.0: 255.9 is accepted, 256.1 refused."""


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"  # the model is not strictly int8, or a runtime refuses or miscomputes it
    WARNING = "warning"  # it runs as it is, but not everywhere


RULES: Mapping[str, str] = MappingProxyType(
    {
        "float-io": "An input or output of the model is float.",
        "float-operator": "An operator reads or writes float tensors.",
        "float-tensor": "A float tensor lies in the file and no operator uses it.",
        "hybrid-operator": "An operator has 8-bit weights, but computes in float.",
        "legacy-uint8": "A tensor is uint8: the scheme that TensorFlow used before int8.",
        "wide-tensor": "A tensor has 16 bits.",
        "wide-scheme": "A 16-bit tensor that is allowed is not as int16 kernels want it.",
        "narrow-tensor": "A tensor has less than 8 bits.",
        "integer-tensor": "A fed or computed tensor holds plain integers other than shapes.",
        "string-tensor": "A tensor holds text.",
        "state": "A tensor keeps its value between two runs.",
        "control-flow": "An operator runs another subgraph.",
        "flex-operator": "An operator is TensorFlow's own (Flex), which no device runtime has.",
        "custom-operator": "An operator is custom: the runtime needs code of its own for it.",
        "stablehlo-operator": "An operator is StableHLO's, for which TFLite has no int8 kernel.",
        "open-batch": "The batch size is left open; the model runs with 1.",
        "dynamic-shape": "A dimension beside the batch is left open.",
        "sparse": "A constant is stored sparsely.",
        "scale-missing": "An 8-bit tensor or a bias has no scale.",
        "scale-invalid": "A scale is zero, negative or not finite.",
        "scale-scheme": "A tensor is quantized by another scheme than scale and zero point.",
        "scale-degenerate": f"The scale of an activation is below 2^-24 ({MIN_ACTIVATION_SCALE:.1e}).",
        "channel-scales": "Scales per channel do not match the channels of the weights.",
        "zero-point": "A zero point lies outside the range of its type.",
        "weights-zero-point": "Weights have a zero point other than 0.",
        "bias-scale": f"A bias scale is not input scale x weight scale, to {BIAS_TOLERANCE:g}.",
        "bias-saturated": f"A bias is beyond 2^30 (as stored, {MAX_BIAS:,}): clipped, or near overflow.",
        "multiplier": "The scales of an operator give a multiplier that a runtime refuses.",
        "fixed-scale": "An operator has a fixed output scale and zero point, and the file has others.",
        "unequal-scales": "An operator only moves values, but its input and output have different scales.",
    }
)
"""Every rule of the audit by its id, as one sentence."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, where, and what to do about it.

    Attributes:
        rule: Key in RULES.
        severity: Whether it refuses the model.
        subgraph: Number of the subgraph.
        op_index: Number of the operator in it, None for a tensor that no operator touches.
        opcode: Of that operator, such as "CONV_2D"; for a custom one its own name.
        layer: The layer as the training framework named it, as well as tensor names tell.
        tensor: Name of the tensor in question, if it is about one.
        message: What is wrong, with the numbers.
        fix: What to change.
    """

    rule: str
    severity: Severity
    subgraph: int
    op_index: int | None
    opcode: str | None
    layer: str
    tensor: str | None
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"

    @property
    def place(self) -> str:
        """Operator and layer for people, such as "op 12 EXP in 'softplus'"."""
        where = "" if self.subgraph == 0 else f"subgraph {self.subgraph}, "
        if self.op_index is None:
            return f"{where}tensor '{self.tensor}'"
        return f"{where}op {self.op_index} {self.opcode} in '{self.layer}'"

    def to_json(self) -> dict[str, object]:
        """The finding as plain JSON types."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "subgraph": self.subgraph,
            "op_index": self.op_index,
            "opcode": self.opcode,
            "layer": self.layer,
            "tensor": self.tensor,
            "message": self.message,
            "fix": self.fix,
        }


@dataclass(frozen=True, slots=True)
class Audit:
    """What the finished file holds, and what is wrong with it.

    Attributes:
        findings: In the order of operators.
        exceptions: What would be a finding but was allowed by name, one sentence each.
        operators: How many of each opcode, all subgraphs together; custom operators by their own name.
        tensors: Of the first subgraph.
        inputs: Of the model.
        outputs: Of the model.
        parameter_bytes: Bytes of all constants, each buffer once.
        size: Bytes of the file.
    """

    findings: tuple[Finding, ...]
    exceptions: tuple[str, ...]
    operators: Mapping[str, int] = field(hash=False)
    tensors: tuple[Tensor, ...] = field(repr=False)
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parameter_bytes: int
    size: int

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that refuse the model."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)

    @property
    def strictly_int8(self) -> bool:
        """Whether everything is int8, inputs and outputs too, with nothing wrong and nothing excepted."""
        return not self.errors and not self.exceptions

    @property
    def fully_integer(self) -> bool:
        """Whether nothing is wrong but that tensors are uint8 in place of int8, or what was allowed."""
        return all(f.rule == "legacy-uint8" for f in self.errors)
