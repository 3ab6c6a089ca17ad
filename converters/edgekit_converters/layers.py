"""Where along the network int8 departs from float: the error of each layer's output, errors of earlier layers included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from edgekit.preprocess import dequantize
from edgekit_converters.calibration.observe import live_tensors
from edgekit_converters.runner import Runner
from edgekit_targets.tflite import Subgraph, Tensor, read_graph

SAMPLES = 16
"""Samples that are looked at: enough to rank layers."""


@dataclass(frozen=True, slots=True)
class LayerError:
    """One operator of the int8 model beside its float original.

    Attributes:
        index: Of the operator in the int8 model.
        opcode: Such as "CONV_2D".
        name: Of its output tensor.
        sqnr_db: Power of the float output over the power of the int8 error, in dB.
        loss_db: How much lower that is than at the operator's worst input: what is lost here.
    """

    index: int
    opcode: str
    name: str
    sqnr_db: float
    loss_db: float

    def to_json(self) -> dict[str, object]:
        """For the report, rounded to hundredths of a dB."""
        return {
            key: round(value, 2) if isinstance(value, float) else value for key, value in asdict(self).items()
        }


def layer_errors(
    float_model: bytes, int8_model: bytes, samples: Iterable[Mapping[str, np.ndarray]]
) -> tuple[LayerError, ...]:
    """Compares every tensor that both models have by name.

    Args:
        float_model: The float .tflite.
        int8_model: What it became.
        samples: Float model inputs by name, batch 1; all are used.

    Returns:
        One record an operator whose output the float model knows, in the order of the int8 model.
    """
    int8_graph, float_graph = read_graph(int8_model), read_graph(float_model)
    int8_tensors = {tensor.name: tensor for tensor in live_tensors(int8_graph, ("INT8", "UINT8"))}
    float_tensors = {t.name: t for t in live_tensors(float_graph, ("FLOAT32",)) if t.name in int8_tensors}
    exact = Runner(float_model, threads=1, preserve_all_tensors=True)
    rough = Runner(int8_model, threads=1, preserve_all_tensors=True)
    signal = dict.fromkeys(float_tensors, 0.0)
    noise = dict.fromkeys(float_tensors, 0.0)
    for sample in samples:
        exact.run(sample)
        rough.run({spec.name: spec.store(sample[spec.name]) for spec in rough.inputs})
        for name, tensor in float_tensors.items():
            power, error = _powers(exact, tensor.index, rough, int8_tensors[name])
            signal[name] += power
            noise[name] += error
    sqnr = {
        name: 10 * float(np.log10(max(signal[name], 1e-30) / max(noise[name], 1e-30 + signal[name] * 1e-12)))
        for name in signal
    }
    return tuple(_errors(int8_graph.main, sqnr))


def worst(errors: Iterable[LayerError], count: int = 5) -> list[LayerError]:
    """The layers that lose most, worst first."""
    return sorted(errors, key=lambda error: -error.loss_db)[:count]


def _powers(exact: Runner, index: int, rough: Runner, tensor: Tensor) -> tuple[float, float]:
    """Of one tensor in one sample: the power of the float values, and that of the int8 error."""
    assert tensor.quantization is not None  # the audit has passed
    expected = exact.view(index)
    scale, zero_point = tensor.quantization.scale[0], tensor.quantization.zero_point[0]
    error = dequantize(rough.view(tensor.index), scale, zero_point) - expected
    return float(np.square(expected, dtype=np.float64).sum()), float(np.square(error, dtype=np.float64).sum())


def _errors(main: Subgraph, sqnr: Mapping[str, float]) -> Iterator[LayerError]:
    for operator in main.operators:
        name = main.tensors[operator.outputs[0]].name
        if name not in sqnr:
            continue
        inputs = [main.tensors[t].name for t in operator.inputs if t >= 0]
        worst_input = min((sqnr[i] for i in inputs if i in sqnr), default=sqnr[name])
        yield LayerError(operator.index, operator.opcode, name, sqnr[name], worst_input - sqnr[name])
