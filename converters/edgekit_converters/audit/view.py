"""One subgraph with what the rules ask of it: who computes a tensor, who reads it, and what is constant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgekit_converters.audit.findings import Finding, Severity
from edgekit_targets.layers import layer_name, layer_of
from edgekit_targets.tflite import Graph, Operator, Subgraph, Tensor

QUANTIZED = frozenset({"INT8", "UINT8"})
FLOATS = frozenset(
    {
        "FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64", "FLOAT8_E4M3FN", "FLOAT8_E5M2", "COMPLEX64",
        "COMPLEX128",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Weighted:
    """Where a weighted operator has its parts.

    Attributes:
        data: Position of the activation among its inputs.
        weights: Position of the weights.
        bias: Position of the bias, which may be left out.
        channel: Dimension of the weights that is the output channel.
    """

    data: int
    weights: int
    bias: int
    channel: int


# Source: LiteRT 8-bit quantization specification, https://ai.google.dev/edge/litert/models/quantization_spec,
# and for TRANSPOSE_CONV tensorflow/lite/kernels/transpose_conv.cc.
WEIGHTED = {
    "CONV_2D": Weighted(0, 1, 2, 0),
    "DEPTHWISE_CONV_2D": Weighted(0, 1, 2, 3),
    "FULLY_CONNECTED": Weighted(0, 1, 2, 0),
    "TRANSPOSE_CONV": Weighted(2, 1, 3, 0),
}


class View:
    """A subgraph of a graph, indexed.

    Attributes:
        graph: The whole file.
        subgraph: The part that is looked at.
        producer: The operator that computes a tensor, by the tensor's number.
        consumers: The operators that read a tensor, in their order.
        ends: Numbers of the tensors that go in and out of the subgraph.
    """

    @property
    def model_ends(self) -> frozenset[int]:
        """Numbers of the inputs and outputs of the model: none in the body of a loop or branch."""
        return self.ends if self.subgraph.index == 0 else frozenset()

    def __init__(self, graph: Graph, subgraph: Subgraph) -> None:
        self.graph = graph
        self.subgraph = subgraph
        self.producer: dict[int, Operator] = {}
        self.consumers: dict[int, list[Operator]] = {}
        self.ends = frozenset((*subgraph.inputs, *subgraph.outputs))
        for operator in subgraph.operators:
            for number in operator.outputs:
                self.producer[number] = operator
            for number in operator.inputs:
                self.consumers.setdefault(number, []).append(operator)

    def tensor(self, operator: Operator, position: int) -> Tensor | None:
        """Returns an input of an operator, None where it is left out."""
        if position >= len(operator.inputs) or operator.inputs[position] < 0:
            return None
        return self.subgraph.tensors[operator.inputs[position]]

    def inputs(self, operator: Operator) -> list[Tensor]:
        """Returns the inputs of an operator that are there."""
        return [self.subgraph.tensors[n] for n in operator.inputs if n >= 0]

    def outputs(self, operator: Operator) -> list[Tensor]:
        """Returns the outputs of an operator."""
        return [self.subgraph.tensors[n] for n in operator.outputs]

    def is_constant(self, tensor: Tensor) -> bool:
        """Tells whether a tensor has its data in the file, or is empty and so needs none."""
        return self.graph.buffers[tensor.buffer] is not None or (
            0 in tensor.shape
            and tensor.index not in self.producer
            and tensor.index not in self.subgraph.inputs
        )

    def weights(self) -> Iterator[tuple[Operator, Weighted, Tensor]]:
        """Yields each weighted operator with its constant weights."""
        for operator in self.subgraph.operators:
            roles = WEIGHTED.get(operator.opcode)
            weights = None if roles is None else self.tensor(operator, roles.weights)
            if roles is not None and weights is not None and self.is_constant(weights):
                yield operator, roles, weights

    def user(self, tensor: Tensor) -> Operator | None:
        """Returns the operator that tells a tensor best: the one that computes it, else its first reader."""
        readers = self.consumers.get(tensor.index)
        return self.producer.get(tensor.index) or (readers[0] if readers else None)

    def at_operator(
        self, rule: str, operator: Operator, message: str, fix: str, *, tensor: Tensor | None = None
    ) -> Finding:
        """Makes a finding about an operator."""
        return Finding(
            rule=rule,
            severity=Severity.ERROR,
            subgraph=self.subgraph.index,
            op_index=operator.index,
            opcode=operator.title,
            layer=layer_of(self.subgraph, operator),
            tensor=None if tensor is None else tensor.name,
            message=message,
            fix=fix,
        )

    def at_tensor(
        self, rule: str, tensor: Tensor, message: str, fix: str, severity: Severity = Severity.ERROR
    ) -> Finding:
        """Makes a finding about a tensor, told by the operator that computes or reads it."""
        operator = self.user(tensor)
        return Finding(
            rule=rule,
            severity=severity,
            subgraph=self.subgraph.index,
            op_index=None if operator is None else operator.index,
            opcode=None if operator is None else operator.title,
            layer=(layer_name(tensor.name) or tensor.name)
            if operator is None
            else layer_of(self.subgraph, operator),
            tensor=tensor.name,
            message=message,
            fix=fix,
        )
