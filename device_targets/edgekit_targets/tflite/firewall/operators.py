"""Which operators an int8 model may hold, in which versions, and what each must satisfy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from edgekit_targets.tflite.firewall import computed, moves, weighted
from edgekit_targets.tflite.firewall.call import Call
from edgekit_targets.tflite.schema import options_of_operators

MOST_OPERANDS = 1024
"""Inputs or outputs of one operator."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What is known of an operator.

    Attributes:
        version: The highest that a runtime has.
        inputs: Least and most of them.
        outputs: Least and most of them.
        optional: The position from which on an input may be left out.
        rule: What shapes, types and constants must satisfy.
    """

    version: int
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    optional: int
    rule: Callable[[Call], None]


# One rule a line, then its operators as NAME:version, and before them inputs > outputs; "2-3" is two with an optional
# third, "1+" one or more. The versions are the highest that LiteRT 2.3.0 resolves (measured on 2026-11-27);
# device_targets/tests/test_firewall.py measures them again. Convolutions must have a bias, as converters write it: without
# one LiteRT 2.3.0 refuses CONV_2D and crashes on DEPTHWISE_CONV_2D.
_OPERATORS = """
weighted.convolution 3 > 1 CONV_2D:8
weighted.depthwise 3 > 1 DEPTHWISE_CONV_2D:7
weighted.dense 2-3 > 1 FULLY_CONNECTED:14
weighted.transposed 3-4 > 1 TRANSPOSE_CONV:5
weighted.pool 1 > 1 AVERAGE_POOL_2D:3 MAX_POOL_2D:3
weighted.products 2 > 1 BATCH_MATMUL:4
computed.binary 2 > 1 ADD:6 SUB:5 MUL:8 DIV:2 MAXIMUM:4 MINIMUM:4 SQUARED_DIFFERENCE:2
computed.unary 1 > 1 ABS:5 ELU:1 EXP:2 GELU:3 HARD_SWISH:1 LOG:2 LOGISTIC:3 NEG:1 RELU:3 RELU6:3 RELU_0_TO_1:1
computed.unary 1 > 1 RELU_N1_TO_1:1 RSQRT:3 SIGN:2 SQRT:2 TANH:3 ZEROS_LIKE:1
computed.rescale 1 > 1 CAST:9 QUANTIZE:6
computed.leaky 1 > 1 LEAKY_RELU:2
computed.prelu 2 > 1 PRELU:1
computed.softmax 1 > 1 SOFTMAX:4
computed.along_last 1 > 1 L2_NORMALIZATION:2 LOG_SOFTMAX:2
computed.compare 2 > 1 EQUAL:5 GREATER:2 GREATER_EQUAL:3 LESS:3 LESS_EQUAL:2 NOT_EQUAL:4
computed.logical 2 > 1 LOGICAL_AND:1 LOGICAL_OR:1
computed.logical 1 > 1 LOGICAL_NOT:1
computed.select 3 > 1 SELECT:4 SELECT_V2:2
computed.reduce 2 > 1 MEAN:3 REDUCE_ALL:1 REDUCE_ANY:1 REDUCE_MAX:3 REDUCE_MIN:3 REDUCE_PROD:2 SUM:2
computed.place_of 2 > 1 ARG_MAX:3 ARG_MIN:3
computed.largest 2 > 2 TOPK_V2:3
computed.cumulate 2 > 1 CUMSUM:1
computed.one_hot 4 > 1 ONE_HOT:1
moves.reshape 1-2 > 1 RESHAPE:1
moves.squeeze 1 > 1 SQUEEZE:2
moves.expand 2 > 1 EXPAND_DIMS:1
moves.concatenate 1+ > 1 CONCATENATION:7
moves.pack 1+ > 1 PACK:5
moves.unpack 1 > 1+ UNPACK:6
moves.split 2 > 1+ SPLIT:5
moves.split_sizes 3 > 1+ SPLIT_V:3
moves.pad 2 > 1 PAD:6 MIRROR_PAD:3
moves.pad 3 > 1 PADV2:6
moves.transpose 2 > 1 TRANSPOSE:9
moves.cut 3 > 1 SLICE:8
moves.strided_slice 4 > 1 STRIDED_SLICE:8
moves.gather 2 > 1 GATHER:8
moves.gather_slices 2 > 1 GATHER_ND:6
moves.embed 2 > 1 EMBEDDING_LOOKUP:5
moves.reverse 2 > 1 REVERSE_V2:4
moves.tile 2 > 1 TILE:3
moves.broadcast_to 2 > 1 BROADCAST_TO:4
moves.fill 2 > 1 FILL:5
moves.shape_of 1 > 1 SHAPE:1
moves.rank_of 1 > 1 RANK:1
moves.space_to_depth 1 > 1 SPACE_TO_DEPTH:2 DEPTH_TO_SPACE:2
moves.space_to_batch 3 > 1 SPACE_TO_BATCH_ND:4
moves.batch_to_space 3 > 1 BATCH_TO_SPACE_ND:4
moves.resize 2 > 1 RESIZE_BILINEAR:4 RESIZE_NEAREST_NEIGHBOR:4
moves.update_slice 3 > 1 DYNAMIC_UPDATE_SLICE:6
"""

_MODULES = {"weighted": weighted, "computed": computed, "moves": moves}
_WITHOUT_TABLE = frozenset({"RESHAPE"})
"""Operators whose options may be missing: the shape is an input."""


@cache
def allowed_operators() -> Mapping[str, Allowed]:
    """The operators by their names in the schema."""
    found: dict[str, Allowed] = {}
    for line in _OPERATORS.strip().splitlines():
        rule, inputs, _, outputs, *names = line.split()
        module, _, function = rule.partition(".")
        least, most, optional = _counts(inputs)
        for word in names:
            name, _, version = word.partition(":")
            check = getattr(_MODULES[module], function)
            found[name] = Allowed(int(version), (least, most), _counts(outputs)[:2], optional, check)
    return MappingProxyType(found)


def _counts(word: str) -> tuple[int, int, int]:
    """Least, most, and from which position on one may be left out."""
    if word.endswith("+"):
        return int(word[:-1]), MOST_OPERANDS, MOST_OPERANDS
    least, _, most = word.partition("-")
    return int(least), int(most or least), int(least)


def check_operator(call: Call) -> None:
    """Checks one builtin operator.

    Raises:
        MalformedModelError: It is not one that an int8 model may hold, or breaks its rule.
    """
    operator = call.operator
    known = allowed_operators().get(operator.opcode)
    if known is None:
        call.fail("it is not among the operators of int8 models")
    call.require(
        1 <= operator.version <= known.version,
        f"version {operator.version}, and versions 1 to {known.version} are known",
    )
    _check_count(call, "input", len(operator.inputs), known.inputs)
    _check_count(call, "output", len(operator.outputs), known.outputs)
    for position, number in enumerate(operator.inputs):
        call.require(number >= 0 or position >= known.optional, f"input {position} must not be left out")
    expected = options_of_operators().get(operator.opcode)
    if expected is not None and operator.opcode not in _WITHOUT_TABLE:
        call.require(operator.has_options, f"it lacks its {expected}")
    call.require(not operator.intermediates, "it has intermediate tensors")
    call.require(not operator.custom_options, "it carries custom options")
    known.rule(call)


def _check_count(call: Call, what: str, count: int, allowed: tuple[int, int]) -> None:
    least, most = allowed
    if not least <= count <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        call.fail(f"it has {count} {what}s, and takes {wanted}")
