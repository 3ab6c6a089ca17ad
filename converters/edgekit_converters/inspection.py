"""What lies in a .tflite file or a bundle: the facts behind ``edgekit inspect``, read without a runtime.

A bundle is read as an unverified one, and nothing in it runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite

from edgekit.bundle import VARIANTS, read_unverified
from edgekit.errors import UnknownModelError
from edgekit.manifest import Manifest
from edgekit_converters.audit import Audit, audit
from edgekit_targets.tflite import Graph, Tensor, read_graph

EDGETPU_OPERATOR = "edgetpu-custom-op"
"""What Google's compiler puts in place of the operators that it compiled."""


@dataclass(frozen=True, slots=True)
class Model:
    """One .tflite: its audit, and what the audit does not keep.

    Attributes:
        name: Of the file, or of the member of a bundle.
        audit: The verdict; an Edge TPU's compiled operator is listed as an exception.
        operators: (opcode, version, count), most frequent first.
        signatures: (key, tensor number, name, "input" or "output") of each named tensor.
        metadata: Name -> size in bytes.
        description: What the converter wrote of itself.
    """

    name: str
    audit: Audit
    operators: tuple[tuple[str, int, int], ...]
    signatures: tuple[tuple[str, int, str, str], ...]
    metadata: Mapping[str, int] = field(hash=False)
    description: str

    def to_json(self, tensors: bool) -> dict[str, object]:
        """The model as plain JSON types.

        Args:
            tensors: Whether to list every tensor.
        """
        verdict = self.audit
        facts: dict[str, object] = {
            "name": self.name,
            "size_bytes": verdict.size,
            "parameter_bytes": verdict.parameter_bytes,
            "strictly_int8": verdict.strictly_int8,
            "fully_integer": verdict.fully_integer,
            "description": self.description,
            "operators": [{"opcode": o, "version": v, "count": c} for o, v, c in self.operators],
            "inputs": [tensor_to_json(t) for t in verdict.inputs],
            "outputs": [tensor_to_json(t) for t in verdict.outputs],
            "signatures": [
                {"key": key, "tensor": tensor, "name": name, "kind": kind}
                for key, tensor, name, kind in self.signatures
            ],
            "metadata": dict(self.metadata),
            "findings": [finding.to_json() for finding in verdict.findings],
            "exceptions": list(verdict.exceptions),
        }
        return facts | ({"tensors": [tensor_to_json(t) for t in verdict.tensors]} if tensors else {})


@dataclass(frozen=True, slots=True)
class Inspection:
    """What one file holds.

    Attributes:
        kind: "tflite" or "bundle".
        size: Bytes of the file.
        models: One, or of a bundle all variants.
        manifest: What a bundle says of itself; None for a .tflite.
        members: Name -> size in bytes of a bundle's members; empty for a .tflite.
        digest: SHA-256 of a bundle; None for a .tflite.
    """

    kind: str
    size: int
    models: tuple[Model, ...]
    manifest: Manifest | None
    members: Mapping[str, int] = field(hash=False)
    digest: str | None

    def to_json(self, tensors: bool) -> dict[str, object]:
        """The inspection as plain JSON types.

        Args:
            tensors: Whether to list every tensor.
        """
        facts: dict[str, object] = {"kind": self.kind, "size_bytes": self.size}
        if self.manifest is not None:
            facts |= {
                "verified": False,
                "sha256": self.digest,
                "members": dict(self.members),
                "manifest": self.manifest.to_json(),
            }
        return facts | {"models": [model.to_json(tensors) for model in self.models]}


def inspect_file(name: str, data: bytes) -> Inspection:
    """Tells what a file holds.

    Args:
        name: Of the file, for messages and as the name of a .tflite.
        data: The whole file.

    Raises:
        UnknownModelError: It is neither a .tflite nor a bundle.
        MalformedModelError: A .tflite in it is not sound.
        MalformedBundleError: It is not a canonical bundle.
        NewerFormatError: A later edgekit wrote the bundle.
    """
    if data[4:8] == b"TFL3":
        return Inspection("tflite", len(data), (inspect_model(name, data),), None, {}, None)
    if data[:2] == b"PK":
        bundle = read_unverified(data)
        members = {member: len(content) for member, content in bundle.members.items()}
        int16 = _int16_tensors(bundle.manifest.recipe)
        models = [inspect_model(v, bundle.members[v], int16) for v in VARIANTS if v in bundle.members]
        return Inspection("bundle", len(data), tuple(models), bundle.manifest, members, bundle.digest)
    raise UnknownModelError(
        f"{name} is neither a .tflite nor an .edgekit bundle",
        hint="other kinds of models become one with edgekit convert",
    )


def inspect_model(name: str, data: bytes | memoryview, int16: Collection[str] = ()) -> Model:
    """Tells what a .tflite holds.

    Args:
        name: Of the model.
        data: The whole file.
        int16: Names of the tensors that its recipe allows to have 16 bits.

    Raises:
        MalformedModelError: It is not sound.
    """
    graph = read_graph(data)
    count = Counter((op.title, op.version) for sub in graph.subgraphs for op in sub.operators)
    return Model(
        name=name,
        audit=audit(data, allow=(EDGETPU_OPERATOR,), int16=int16),
        operators=tuple(sorted(((o, v, c) for (o, v), c in count.items()), key=lambda row: (-row[2], row))),
        signatures=tuple(_signatures(graph)),
        metadata={key: len(value) for key, value in graph.metadata.items()},
        description=graph.description,
    )


def _int16_tensors(recipe: Mapping[str, object]) -> frozenset[str]:
    """The tensors that a bundle's recipe, which nobody has verified yet, names as having 16 bits."""
    names = recipe.get("int16")
    return (
        frozenset(name for name in names if isinstance(name, str))
        if isinstance(names, list | tuple)
        else frozenset()
    )


def _signatures(graph: Graph) -> Iterator[tuple[str, int, str, str]]:
    for signature in graph.signatures:
        for kind, names in (("input", signature.inputs), ("output", signature.outputs)):
            for name, number in names.items():
                yield signature.key, number, name, kind


def tensor_to_json(tensor: Tensor) -> dict[str, object]:
    """A tensor as plain JSON types; scales that JSON has no number for become text."""
    q = tensor.quantization
    return {
        "index": tensor.index,
        "name": tensor.name,
        "shape": list(tensor.shape),
        "shape_signature": list(tensor.shape_signature),
        "dtype": tensor.type.lower(),
        "scale": [s if isfinite(s) else str(s) for s in q.scale] if q else [],
        "zero_point": list(q.zero_point) if q else [],
        "quantized_dimension": q.quantized_dimension if q and len(q.scale) > 1 else None,
    }
