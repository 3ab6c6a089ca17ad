"""ONNX models, made by the Python of the onnx environment: onnx_models.py FOLDER; nothing of edgekit is here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shapes: dict[str, list[object]]
) -> onnx.ModelProto:
    """The first shape is the input's, the others are outputs'."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    held = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "net", ports[:1], ports[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    folder, draw = Path(sys.argv[1]), np.random.default_rng(0)
    node = helper.make_node
    weights = {
        "w1": draw.normal(0, 0.4, (8, 1, 3, 3)),
        "w2": draw.normal(0, 0.2, (8, 8, 3, 3)),
        "w3": draw.normal(0, 0.4, (8, 10)),
    }
    nodes = [
        node("Conv", ["image", "w1"], ["a"], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]),
        node("Add", ["b", "c"], ["d"]),
        node("Sigmoid", ["d"], ["map"]),
        node("GlobalAveragePool", ["d"], ["e"]),
        node("Flatten", ["e"], ["f"]),
        node("MatMul", ["f", "w3"], ["scores"]),
    ]
    shapes: dict[str, list[object]] = {"image": ["n", 1, 8, 8], "scores": ["n", 10], "map": ["n", 8, 8, 8]}
    net = model(nodes, weights, shapes)
    onnx.save(net, folder / "net.onnx")
    onnx.save(net, folder / "apart.onnx", save_as_external_data=True, location="apart.data", size_threshold=0)
    shapes = {"x": [1, 4, 4], "y": [1, 4, 4]}
    onnx.save(
        model([node("Inverse", ["x"], ["y"], name="invert", domain="com.example")], {}, shapes),
        folder / "own.onnx",
    )
    weights = {name: draw.normal(0, 0.3, shape) for name, shape in (("W", (1, 16, 3)), ("R", (1, 16, 4)))}
    lstm = [
        node("LSTM", ["x", "W", "R"], ["y", "h"], hidden_size=4),
        node("Squeeze", ["h", "axes"], ["last"]),
    ]
    net = model(lstm, weights, {"x": [5, 1, 3], "last": [1, 4]})
    net.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "axes"))
    net.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(net, folder / "lstm.onnx")
    det = model([node("Det", ["x"], ["y"], name="determinant")], {}, {"x": [1, 4, 4], "y": [1]})
    onnx.save(det, folder / "det.onnx")


if __name__ == "__main__":
    main()
