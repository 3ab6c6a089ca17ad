"""The quantizer: a float .tflite whose tensors carry ranges goes in, a fully int8 one comes out.

The work is done by TensorFlow's own MLIR quantizer, entered behind TFLiteConverter: it makes the same int8 model as
TFLiteConverter does from the same ranges, with the same operator coverage, but takes a float .tflite and ranges of our own
choosing, in tens of milliseconds. The entry point is not a documented API. So TensorFlow is pinned, the call stands in
one function, and converters/tests/test_engine.py holds it against TFLiteConverter.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import QuantizationError
from edgekit_converters.calibration.observe import Ranges
from edgekit_converters.surgery import pack, unpack


@dataclass(frozen=True, slots=True)
class Quantizer:
    """What the engine is told beside the ranges.

    Attributes:
        per_channel: One scale a channel for the weights of convolutions, else one a tensor.
        per_channel_dense: The same for dense layers.
    """

    per_channel: bool = True
    per_channel_dense: bool = True


def write_ranges(model: bytes, ranges: Ranges) -> bytes:
    """Writes each tensor's range into the ``quantization.min/max`` of a float .tflite.

    Args:
        model: A float flatbuffer with one subgraph.
        ranges: By tensor name; tensors without a range stay as they are (constants, integers).

    Returns:
        The flatbuffer with ranges.
    """
    # Imported here: the generated schema costs 40 ms, and a command that refuses bad input early should not pay it.
    from ai_edge_litert.schema_py_generated import QuantizationParametersT

    mutable = unpack(model)
    for tensor in mutable.subgraphs[0].tensors:
        name = tensor.name.decode()
        if name in ranges.low:
            tensor.quantization = QuantizationParametersT()
            tensor.quantization.min = [ranges.low[name]]
            tensor.quantization.max = [ranges.high[name]]
    return pack(mutable)


def quantize(calibrated: bytes, quantizer: Quantizer) -> bytes:
    """Runs TensorFlow's quantizer; call it in the worker process.

    Args:
        calibrated: A float flatbuffer from `write_ranges`.
        quantizer: Settings.

    Returns:
        An int8 flatbuffer, inputs and outputs int8 too. What the quantizer could not quantize is still float in it: the
        audit finds that.

    Raises:
        QuantizationError: The quantizer refuses the model.
    """
    import tensorflow as tf
    from tensorflow.compiler.mlir.lite import types_pb2
    from tensorflow.lite.python.convert import mlir_quantize

    try:
        quantized: bytes = mlir_quantize(
            calibrated,
            disable_per_channel=not quantizer.per_channel,
            disable_per_channel_for_dense_layers=not quantizer.per_channel_dense,
            fully_quantize=True,
            inference_type=types_pb2.QUANTIZED_INT8,
            input_data_type=tf.int8,
            output_data_type=tf.int8,
        )
    except Exception as error:  # the binding raises RuntimeError, ValueError or its own ConverterError
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise QuantizationError(
            f"TensorFlow's quantizer refuses the model: {reason[-1][:300]}",
            hint="convert with --outputs up to the last layer that can be quantized, or report the model",
        ) from error
    return quantized
