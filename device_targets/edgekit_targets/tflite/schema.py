"""Names and numbers of the public TFLite schema, as far as edgekit reads them.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs of TensorFlow 2.21 (the same in LiteRT 2.3:
litert/.../schema.fbs), schema version 3, file identifier TFL3. The position of a name is its number.
`device_targets/tests/test_schema.py` compares every one with the code that Google generates from that schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3

TENSOR_TYPES = _names(
    """
    FLOAT32 FLOAT16 INT32 UINT8 INT64 STRING BOOL INT16 COMPLEX64 INT8 FLOAT64 COMPLEX128 UINT64 RESOURCE
    VARIANT UINT32 UINT16 INT4 BFLOAT16 INT2 UINT4 FLOAT8_E4M3FN FLOAT8_E5M2
    """
)

BITS: Mapping[str, int] = MappingProxyType(
    {
        "FLOAT32": 32, "FLOAT16": 16, "INT32": 32, "UINT8": 8, "INT64": 64, "BOOL": 8, "INT16": 16,
        "COMPLEX64": 64, "INT8": 8, "FLOAT64": 64, "COMPLEX128": 128, "UINT64": 64, "UINT32": 32,
        "UINT16": 16, "INT4": 4, "BFLOAT16": 16, "INT2": 2, "UINT4": 4, "FLOAT8_E4M3FN": 8, "FLOAT8_E5M2": 8,
    }
)  # fmt: skip
"""Bits of one element. STRING, RESOURCE and VARIANT have no fixed size; less than 8 bits are packed."""

OPERATORS = _names(
    """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP
    FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC
    LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX
    SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD
    UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE
    UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX
    DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER
    GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL
    NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT
    LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE
    RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2
    ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND
    HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY
    SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D
    IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
    CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL
    BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD
    UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR
    RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM
    STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION
    STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE
    STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR
    STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH
    STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE
    STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL
    STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE
    STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT
    STABLEHLO_CASE
    """
)

# The unions Operator.builtin_options and Operator.builtin_options_2, in the order of the schema.
OPTIONS = _names(
    """
    NONE Conv2DOptions DepthwiseConv2DOptions ConcatEmbeddingsOptions LSHProjectionOptions Pool2DOptions
    SVDFOptions RNNOptions FullyConnectedOptions SoftmaxOptions ConcatenationOptions AddOptions
    L2NormOptions LocalResponseNormalizationOptions LSTMOptions ResizeBilinearOptions CallOptions
    ReshapeOptions SkipGramOptions SpaceToDepthOptions EmbeddingLookupSparseOptions MulOptions PadOptions
    GatherOptions BatchToSpaceNDOptions SpaceToBatchNDOptions TransposeOptions ReducerOptions SubOptions
    DivOptions SqueezeOptions SequenceRNNOptions StridedSliceOptions ExpOptions TopKV2Options SplitOptions
    LogSoftmaxOptions CastOptions DequantizeOptions MaximumMinimumOptions ArgMaxOptions LessOptions
    NegOptions PadV2Options GreaterOptions GreaterEqualOptions LessEqualOptions SelectOptions SliceOptions
    TransposeConvOptions SparseToDenseOptions TileOptions ExpandDimsOptions EqualOptions NotEqualOptions
    ShapeOptions PowOptions ArgMinOptions FakeQuantOptions PackOptions LogicalOrOptions OneHotOptions
    LogicalAndOptions LogicalNotOptions UnpackOptions FloorDivOptions SquareOptions ZerosLikeOptions
    FillOptions BidirectionalSequenceLSTMOptions BidirectionalSequenceRNNOptions
    UnidirectionalSequenceLSTMOptions FloorModOptions RangeOptions ResizeNearestNeighborOptions
    LeakyReluOptions SquaredDifferenceOptions MirrorPadOptions AbsOptions SplitVOptions UniqueOptions
    ReverseV2Options AddNOptions GatherNdOptions CosOptions WhereOptions RankOptions ReverseSequenceOptions
    MatrixDiagOptions QuantizeOptions MatrixSetDiagOptions HardSwishOptions IfOptions WhileOptions
    DepthToSpaceOptions NonMaxSuppressionV4Options NonMaxSuppressionV5Options ScatterNdOptions
    SelectV2Options DensifyOptions SegmentSumOptions BatchMatMulOptions CumsumOptions CallOnceOptions
    BroadcastToOptions Rfft2dOptions Conv3DOptions HashtableOptions HashtableFindOptions
    HashtableImportOptions HashtableSizeOptions VarHandleOptions ReadVariableOptions AssignVariableOptions
    RandomOptions BucketizeOptions GeluOptions DynamicUpdateSliceOptions UnsortedSegmentProdOptions
    UnsortedSegmentMaxOptions UnsortedSegmentMinOptions UnsortedSegmentSumOptions ATan2Options SignOptions
    BitcastOptions BitwiseXorOptions RightShiftOptions
    """
)

OPTIONS_2 = _names(
    """
    NONE StablehloConcatenateOptions StablehloBroadcastInDimOptions StablehloSliceOptions
    StablehloConvolutionOptions StablehloCustomCallOptions StablehloReduceOptions StablehloScatterOptions
    StablehloCompareOptions StablehloDynamicSliceOptions StablehloPadOptions StablehloIotaOptions
    StablehloDotGeneralOptions StablehloReduceWindowOptions StablehloSortOptions StablehloWhileOptions
    StablehloGatherOptions StablehloTransposeOptions DilateOptions StablehloRngBitGeneratorOptions
    ReduceWindowOptions StableHLOCompositeOptions StablehloShiftLeftOptions StablehloCaseOptions
    """
)

QUANTIZATION_DETAILS = ("NONE", "CustomQuantization", "BlockwiseQuantization", "MultiAxisQuantization")

ENUMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Padding": ("SAME", "VALID"),
        "Activation": ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"),
        "WeightsFormat": ("DEFAULT", "SHUFFLED4x16INT8"),
        "LstmKernel": ("FULL", "BASIC"),
        "MirrorPadMode": ("REFLECT", "SYMMETRIC"),
        "CustomOptionsFormat": ("FLEXBUFFERS",),
        "Type": TENSOR_TYPES,
    }
)
"""Enumerations (int8 fields) that occur in the option tables below."""

# One table a line (continued where indented): its name, the operators that carry it, then its fields in slot
# order as name:kind[=default]. "-" is a slot that the schema has retired. Kinds: bool, int (int32), uint
# (uint32), long (int64), float, string, ints, floats, bytes, or a name in ENUMS. Left out, and so
# decoded to {}: tables without fields, those of embedding look-ups and LSH from 2017, and those of StableHLO but
# the composite's (no TFLite runtime executes them on int8).
_OPTION_TABLES = """
Conv2DOptions CONV_2D padding:Padding stride_w:int stride_h:int fused_activation_function:Activation
    dilation_w_factor:int=1 dilation_h_factor:int=1 quantized_bias_type:Type
Conv3DOptions CONV_3D,CONV_3D_TRANSPOSE padding:Padding stride_d:int stride_w:int stride_h:int
    fused_activation_function:Activation dilation_d_factor:int=1 dilation_w_factor:int=1
    dilation_h_factor:int=1
DepthwiseConv2DOptions DEPTHWISE_CONV_2D padding:Padding stride_w:int stride_h:int depth_multiplier:int
    fused_activation_function:Activation dilation_w_factor:int=1 dilation_h_factor:int=1
TransposeConvOptions TRANSPOSE_CONV padding:Padding stride_w:int stride_h:int
    fused_activation_function:Activation quantized_bias_type:Type
FullyConnectedOptions FULLY_CONNECTED fused_activation_function:Activation weights_format:WeightsFormat
    keep_num_dims:bool asymmetric_quantize_inputs:bool quantized_bias_type:Type quant_spec:bytes
Pool2DOptions AVERAGE_POOL_2D,MAX_POOL_2D,L2_POOL_2D padding:Padding stride_w:int stride_h:int
    filter_width:int filter_height:int fused_activation_function:Activation
SVDFOptions SVDF rank:int fused_activation_function:Activation asymmetric_quantize_inputs:bool
RNNOptions RNN fused_activation_function:Activation asymmetric_quantize_inputs:bool
SequenceRNNOptions UNIDIRECTIONAL_SEQUENCE_RNN time_major:bool fused_activation_function:Activation
    asymmetric_quantize_inputs:bool
BidirectionalSequenceRNNOptions BIDIRECTIONAL_SEQUENCE_RNN time_major:bool
    fused_activation_function:Activation merge_outputs:bool asymmetric_quantize_inputs:bool
LSTMOptions LSTM fused_activation_function:Activation cell_clip:float proj_clip:float kernel_type:LstmKernel
    asymmetric_quantize_inputs:bool
UnidirectionalSequenceLSTMOptions UNIDIRECTIONAL_SEQUENCE_LSTM fused_activation_function:Activation
    cell_clip:float proj_clip:float time_major:bool asymmetric_quantize_inputs:bool
    diagonal_recurrent_tensors:bool
BidirectionalSequenceLSTMOptions BIDIRECTIONAL_SEQUENCE_LSTM fused_activation_function:Activation
    cell_clip:float proj_clip:float merge_outputs:bool time_major:bool=true asymmetric_quantize_inputs:bool
SoftmaxOptions SOFTMAX beta:float
ConcatenationOptions CONCATENATION axis:int fused_activation_function:Activation
AddOptions ADD fused_activation_function:Activation pot_scale_int16:bool=true
SubOptions SUB fused_activation_function:Activation pot_scale_int16:bool=true
MulOptions MUL fused_activation_function:Activation
DivOptions DIV fused_activation_function:Activation
L2NormOptions L2_NORMALIZATION fused_activation_function:Activation
LocalResponseNormalizationOptions LOCAL_RESPONSE_NORMALIZATION radius:int bias:float alpha:float beta:float
ResizeBilinearOptions RESIZE_BILINEAR - - align_corners:bool half_pixel_centers:bool
ResizeNearestNeighborOptions RESIZE_NEAREST_NEIGHBOR align_corners:bool half_pixel_centers:bool
ReshapeOptions RESHAPE new_shape:ints
SpaceToDepthOptions SPACE_TO_DEPTH block_size:int
DepthToSpaceOptions DEPTH_TO_SPACE block_size:int
GatherOptions GATHER axis:int batch_dims:int
ReducerOptions MEAN,SUM,REDUCE_PROD,REDUCE_MAX,REDUCE_MIN,REDUCE_ANY,REDUCE_ALL keep_dims:bool
SqueezeOptions SQUEEZE squeeze_dims:ints
SplitOptions SPLIT num_splits:int
SplitVOptions SPLIT_V num_splits:int
StridedSliceOptions STRIDED_SLICE begin_mask:int end_mask:int ellipsis_mask:int new_axis_mask:int
    shrink_axis_mask:int offset:bool
CastOptions CAST in_data_type:Type out_data_type:Type
ArgMaxOptions ARG_MAX output_type:Type
ArgMinOptions ARG_MIN output_type:Type
SparseToDenseOptions SPARSE_TO_DENSE validate_indices:bool
ShapeOptions SHAPE out_type:Type
FakeQuantOptions FAKE_QUANT min:float max:float num_bits:int narrow_range:bool
PackOptions PACK values_count:int axis:int
UnpackOptions UNPACK num:int axis:int
OneHotOptions ONE_HOT axis:int
LeakyReluOptions LEAKY_RELU alpha:float
MirrorPadOptions MIRROR_PAD mode:MirrorPadMode
UniqueOptions UNIQUE idx_out_type:Type=2
ReverseSequenceOptions REVERSE_SEQUENCE seq_dim:int batch_dim:int
CallOptions CALL subgraph:uint
CallOnceOptions CALL_ONCE init_subgraph_index:int
IfOptions IF then_subgraph_index:int else_subgraph_index:int
WhileOptions WHILE cond_subgraph_index:int body_subgraph_index:int
BatchMatMulOptions BATCH_MATMUL adj_x:bool adj_y:bool asymmetric_quantize_inputs:bool
CumsumOptions CUMSUM exclusive:bool reverse:bool
HashtableOptions HASHTABLE table_id:int key_dtype:Type value_dtype:Type
VarHandleOptions VAR_HANDLE container:string shared_name:string
RandomOptions RANDOM_STANDARD_NORMAL,RANDOM_UNIFORM,MULTINOMIAL seed:long seed2:long
BucketizeOptions BUCKETIZE boundaries:floats
GeluOptions GELU approximate:bool
StableHLOCompositeOptions STABLEHLO_COMPOSITE name:string decomposition_subgraph_index:int
    composite_attributes:bytes composite_attributes_format:CustomOptionsFormat version:int
"""

SUBGRAPH_FIELDS = frozenset(
    {
        "subgraph", "init_subgraph_index", "then_subgraph_index", "else_subgraph_index",
        "cond_subgraph_index", "body_subgraph_index", "decomposition_subgraph_index",
    }
)  # fmt: skip
"""Option fields that are the index of another subgraph."""


@dataclass(frozen=True, slots=True)
class OptionField:
    """One field of an option table.

    Attributes:
        slot: Its number in the table.
        name: As the schema spells it.
        kind: See the notation of the table above.
        default: What an absent field means, as an int (bool, enumerations and integers) or 0.
    """

    slot: int
    name: str
    kind: str
    default: int


def _option_lines() -> list[str]:
    return _OPTION_TABLES.replace("\n    ", " ").strip().splitlines()


@cache
def option_tables() -> Mapping[str, tuple[OptionField, ...]]:
    """Returns the fields of each option table that edgekit decodes, by the table's name."""
    return MappingProxyType(
        {
            words[0]: tuple(_field(slot, word) for slot, word in enumerate(words[2:]) if word != "-")
            for words in map(str.split, _option_lines())
        }
    )


@cache
def options_of_operators() -> Mapping[str, str]:
    """Returns the name of the option table that an operator carries, for operators whose table has fields.

    Source: tensorflow/compiler/mlir/lite/core/api/flatbuffer_conversions.cc, which reads just these.
    """
    return MappingProxyType(
        {opcode: words[0] for words in map(str.split, _option_lines()) for opcode in words[1].split(",")}
    )


def _field(slot: int, word: str) -> OptionField:
    name, _, rest = word.partition(":")
    kind, _, default = rest.partition("=")
    return OptionField(slot, name, kind, int(default.replace("true", "1") or 0))
