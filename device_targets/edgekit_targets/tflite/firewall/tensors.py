"""What the tensors, buffers and signatures of an int8 model must be."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, prod
from typing import NoReturn

from edgekit_targets.errors import MalformedModelError
from edgekit_targets.tflite.firewall.call import MOST_DIMENSIONS
from edgekit_targets.tflite.graph import Graph, Quantization, Tensor
from edgekit_targets.tflite.schema import BITS


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What a model may ask for.

    Attributes:
        rank: Dimensions of a tensor; some kernels have room for no more.
        tensor: Bytes of one tensor.
        computed: Bytes of all tensors together that the model computes, as if no two shared memory.
        metadata: Bytes of all metadata.
        signatures: Signatures.
    """

    rank: int = MOST_DIMENSIONS
    tensor: int = 512 << 20
    computed: int = 2 << 30
    metadata: int = 1 << 20
    signatures: int = 64


DEFAULT_MODEL_LIMITS = ModelLimits()

_ZERO_POINTS = {"INT8": (-128, 127), "UINT8": (0, 255), "INT16": (0, 0), "INT32": (0, 0), "INT64": (0, 0)}
_INTEGERS = frozenset({"INT8", "UINT8", "INT16", "INT32", "UINT32", "INT64", "BOOL"})
_SCALES = (1e-30, 1e30)
"""Beyond these, products of two scales leave the range of float32."""


def check_tensors(graph: Graph, limits: ModelLimits = DEFAULT_MODEL_LIMITS) -> None:
    """Checks every tensor by itself.

    Raises:
        MalformedModelError: One is not what an int8 model has.
    """
    total = 0
    for tensor in graph.main.tensors:
        size = _check_shape(tensor, graph, limits)
        if graph.buffers[tensor.buffer] is None:
            total += size
        if tensor.is_variable:
            _fail(tensor, "it keeps its value between two runs")
        if tensor.quantization is not None:
            _check_quantization(tensor, tensor.quantization, graph.buffers[tensor.buffer] is not None)
    if total > limits.computed:
        raise MalformedModelError(
            f"its tensors take {total:,} bytes together, over the limit of {limits.computed:,}"
        )


def _fail(tensor: Tensor, message: str) -> NoReturn:
    raise MalformedModelError(f"tensor {tensor.index} ('{tensor.name[:80]}'): {message}")


def _check_shape(tensor: Tensor, graph: Graph, limits: ModelLimits) -> int:
    """Checks type and shape; returns the size in bytes."""
    if tensor.type not in _INTEGERS:
        _fail(tensor, f"it is {tensor.type.lower()}, and int8 models hold integers")
    shape = tensor.shape
    if len(shape) > limits.rank:
        _fail(tensor, f"it has {len(shape)} dimensions, over the limit of {limits.rank}")
    empty = 0 in shape
    if empty and (shape != (0,) or tensor.type not in ("INT32", "INT64")):
        _fail(tensor, f"its shape {list(shape)} has no elements")
    if min(shape, default=1) < 0:
        _fail(tensor, f"its shape {list(shape)} is open")
    for size, signed in zip(shape, tensor.shape_signature, strict=True):
        if signed not in (size, -1):
            _fail(
                tensor, f"its signature {list(tensor.shape_signature)} is not that of its shape {list(shape)}"
            )
    size = prod(shape) * BITS[tensor.type] // 8
    if size > limits.tensor:
        _fail(tensor, f"it takes {size:,} bytes, over the limit of {limits.tensor:,}")
    return size


def _check_quantization(tensor: Tensor, q: Quantization, constant: bool) -> None:
    if q.details is not None:
        _fail(tensor, f"it is quantized by {q.details}")
    if not isfinite(sum(q.min)) or not isfinite(sum(q.max)):
        _fail(tensor, "its recorded range is not finite")
    if len(q.scale) != len(q.zero_point):
        _fail(tensor, f"it has {len(q.zero_point)} zero points for {len(q.scale)} scales")
    if not q.scale:
        return
    low, high = _SCALES
    # By the sum first: where one is not a number, least and largest depend on the order.
    if not (isfinite(sum(q.scale)) and low <= min(q.scale) and max(q.scale) <= high):
        bad = next(scale for scale in q.scale if not low <= scale <= high)
        _fail(tensor, f"its scale {bad:g} is not finite and positive, or beyond 1e-30..1e30")
    allowed = _ZERO_POINTS.get(tensor.type)
    if allowed is None:
        _fail(tensor, f"it is {tensor.type.lower()}, and has a scale")
    if min(q.zero_point) < allowed[0] or max(q.zero_point) > allowed[1]:
        bad_point = next(z for z in q.zero_point if not allowed[0] <= z <= allowed[1])
        _fail(tensor, f"its zero point {bad_point} is outside {allowed[0]}..{allowed[1]}")
    if not 0 <= q.quantized_dimension < max(len(tensor.shape), 1):
        _fail(tensor, f"its quantized dimension {q.quantized_dimension} is not among {len(tensor.shape)}")
    if len(q.scale) > 1:
        if not constant:
            _fail(tensor, f"it has {len(q.scale)} scales, and is no constant")
        if not tensor.shape or len(q.scale) != tensor.shape[q.quantized_dimension]:
            _fail(tensor, f"it has {len(q.scale)} scales for the shape {list(tensor.shape)}")


def check_buffers(graph: Graph, *, orphans: bool, limits: ModelLimits = DEFAULT_MODEL_LIMITS) -> None:
    """Checks that the file's data belong to tensors or metadata.

    Args:
        graph: The file.
        orphans: Whether there may be data that belong to neither, as vendors' compilers may leave them.
        limits: Of the metadata.

    Raises:
        MalformedModelError: Some belong to neither, or the metadata are too large.
    """
    metadata = sum(map(len, graph.metadata.values()))
    if metadata > limits.metadata:
        raise MalformedModelError(f"{metadata:,} bytes of metadata are over the limit of {limits.metadata:,}")
    if not graph.buffers or graph.buffers[0] is not None:
        raise MalformedModelError("buffer 0 must be there and empty: it stands for no data")
    used = {tensor.buffer for tensor in graph.main.tensors}
    rest = sum(span[1] for number, span in enumerate(graph.buffers) if span and number not in used)
    if rest > metadata and not orphans:
        raise MalformedModelError(
            f"{rest - metadata:,} bytes in buffers belong to no tensor and no metadata: hidden data",
            hint="write the model again with its converter",
        )


def check_signatures(graph: Graph, limits: ModelLimits = DEFAULT_MODEL_LIMITS) -> None:
    """Checks that signatures name inputs and outputs of the model.

    Raises:
        MalformedModelError: One names another tensor, or two have one name.
    """
    if len(graph.signatures) > limits.signatures:
        raise MalformedModelError(
            f"{len(graph.signatures)} signatures are over the limit of {limits.signatures}"
        )
    if len({signature.key for signature in graph.signatures}) != len(graph.signatures):
        raise MalformedModelError("two signatures have the same name")
    for signature in graph.signatures:
        taken, given = set(signature.inputs.values()), set(signature.outputs.values())
        if not (taken <= set(graph.main.inputs) and given <= set(graph.main.outputs)):
            raise MalformedModelError(
                f"signature '{signature.key[:80]}' names tensors that are no inputs or outputs of the model"
            )
