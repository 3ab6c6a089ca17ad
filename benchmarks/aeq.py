"""The peer ai-edge-quantizer 0.10: `python aeq.py FLOAT.tflite SAMPLES.npy OUT.tflite average|min-max|octav [tensor]`.

For the interpreter that has it; nothing of edgekit is imported. Weights and activations are int8 by its static
recipe; with `tensor` a weight tensor has one scale.

- `average` is what calibrate() does: moving averages of each sample's extremes, which depend on the samples' order;
- `min-max` are the extremes of all samples, by the package's own update rule;
- `octav` is min-max, with the ranges of weights by OCTAV (Sakr et al. 2022). It refuses a constant that an elementwise
  operator reads, so it is set for the operators that have weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, qtyping, recipe_manager
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.quantizer import Quantizer
from ai_edge_quantizer.utils import qsv_utils
from flatbuffers import Builder

WITH_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def main(model: str, samples: str, out: str, ranges: str, weights: str = "channel") -> None:
    content = signed(Path(model).read_bytes())
    recipe = recipe_manager.RecipeManager()
    granularity = qtyping.QuantGranularity["TENSORWISE" if weights == "tensor" else "CHANNELWISE"]

    def add(operator: qtyping.TFLOperationName, algorithm: AlgorithmName) -> None:
        recipe.add_static_config(".*", operator, 8, 8, granularity, algorithm)

    add(qtyping.TFLOperationName.ALL_SUPPORTED, AlgorithmName.MIN_MAX_UNIFORM_QUANT)
    if ranges == "octav":
        for name in WITH_WEIGHTS:
            add(qtyping.TFLOperationName[name], AlgorithmName.OCTAV)
    update = qsv_utils.moving_average_update if ranges == "average" else qsv_utils.min_max_update
    observer = calibrator.Calibrator(content, num_threads=1, qsv_update_func=update)
    ((key, signature),) = Interpreter(model_content=content).get_signature_list().items()
    observer.calibrate({key: [{signature["inputs"][0]: sample[None]} for sample in np.load(samples)]}, recipe)
    engine = Quantizer(content, recipe.get_quantization_recipe())
    result = engine.quantize(observer.get_model_qsvs(), enable_progress_report=False)
    Path(out).write_bytes(result.quantized_model)


def signed(content: bytes) -> bytes:
    """The same model with a signature, without which calibration does not run."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    if model.signatureDefs:
        return content
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT(signatureKey="serving_default", subgraphIndex=0)
    signature.inputs = [schema.TensorMapT(name=f"in{n}", tensorIndex=i) for n, i in enumerate(graph.inputs)]
    signature.outputs = [
        schema.TensorMapT(name=f"out{n}", tensorIndex=i) for n, i in enumerate(graph.outputs)
    ]
    model.signatureDefs = [signature]
    builder = Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    main(*sys.argv[1:])
