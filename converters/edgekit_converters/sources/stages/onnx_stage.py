"""ONNX -> float .tflite through onnx2tf's own flatbuffer writer, and ONNX Runtime's outputs to compare with."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import stage_protocol
from stage_protocol import RefusalError

_folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
_opened: dict[str, Any] = {}


def open_model(request: dict[str, Any]) -> dict[str, Any]:
    """Reads the file and says what it takes."""
    import onnx

    path = Path(request["model"])
    try:
        model = onnx.load(path)  # external data too, which lie beside the file
        onnx.checker.check_model(str(path))
    except Exception as error:
        raise RefusalError(
            "source",
            f"onnx cannot read the model: {stage_protocol.one_line(error)}",
            "is it whole, and are the files of its external data beside it?",
        ) from error
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = []
    for port in model.graph.input:
        if port.name in held:
            continue
        kind = port.type.tensor_type
        if not port.type.HasField("tensor_type"):
            raise RefusalError(
                "unsupported", f"input '{port.name}' is no tensor", "export it with tensors alone"
            )
        if kind.elem_type != onnx.TensorProto.FLOAT:
            raise RefusalError("dtype", port.name, onnx.TensorProto.DataType.Name(kind.elem_type).lower())
        if not kind.HasField("shape"):
            raise RefusalError(
                "unsupported", f"nothing says how many dimensions input '{port.name}' has", "export it anew"
            )
        dims = kind.shape.dim
        inputs.append([port.name, [dim.dim_value if dim.dim_value > 0 else None for dim in dims]])
    _opened.update(path=path, model=model, outputs=[port.name for port in model.graph.output])
    foreign = sorted({node.domain for node in model.graph.node} - {"", "ai.onnx"})
    notes = [f"it has operators of {', '.join(foreign)}"] if foreign else []
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    return {"inputs": inputs, "notes": notes, "kind": f"ONNX model, opset {opset}"}


def export(request: dict[str, Any]) -> dict[str, Any]:
    """Writes float.tflite for the settled shapes, in the layouts of the ONNX model."""
    import numpy as np
    import onnx
    import onnx2tf

    model, shapes = _opened["model"], request["shapes"]
    for port in model.graph.input:
        if port.name in shapes:
            for dim, size in zip(port.type.tensor_type.shape.dim, shapes[port.name], strict=True):
                dim.dim_value = size
    del model.graph.value_info[:]  # inferred for other shapes, perhaps
    for port in model.graph.output:
        port.type.tensor_type.ClearField("shape")
    settled = _folder / "settled.onnx"
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.save(model, settled)
        _opened["settled"] = settled
        feeds = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        answers = _session().run(None, feeds)
    except Exception as error:
        raise RefusalError(
            "source",
            f"the model does not work with inputs of these shapes: {stage_protocol.one_line(error)}",
            "check --input-shape; the batch is 1",
        ) from error
    wide = [name for name, shape in shapes.items() if len(shape) in (3, 4, 5)]
    try:
        onnx2tf.convert(
            input_onnx_file_path=str(settled),
            output_folder_path=str(_folder / "onnx2tf"),
            tflite_backend="flatbuffer_direct",
            keep_ncw_or_nchw_or_ncdhw_input_names=wide or None,
            non_verbose=True,
            verbosity="error",
        )
    except (Exception, SystemExit) as error:
        raise _explained(error) from error
    made = _folder / "onnx2tf" / "settled_float32.tflite"
    made.rename(_folder / "float.tflite")
    turned = {name: list(answer.shape) for name, answer in zip(_opened["outputs"], answers, strict=True)}
    return {"inputs": [[name, name] for name in shapes], "outputs": _opened["outputs"], "shapes": turned}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Runs the ONNX model on the rows of inputs.npz and writes outputs.npz."""
    import numpy as np

    session = _session()
    with np.load(_folder / "inputs.npz", allow_pickle=False) as archive:
        rows = {name: archive[name] for name in archive.files}
    made: dict[str, list[Any]] = {}
    for number in range(request["count"]):
        answers = session.run(None, {name: values[number] for name, values in rows.items()})
        for name, value in zip(_opened["outputs"], answers, strict=True):
            made.setdefault(name, []).append(np.asarray(value, np.float32))
    stage_protocol.write_arrays(_folder / "outputs.npz", made)
    return {}


def _session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(
        str(_opened["settled"]), sess_options=options, providers=["CPUExecutionProvider"]
    )


def _explained(error: BaseException) -> RefusalError:
    """One operator with its node and what to do, out of what onnx2tf says."""
    said = stage_protocol.one_line(error)
    cause: Any = error
    while cause is not None and not hasattr(cause, "node_op"):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:  # its own NodeValidationError
        return RefusalError(
            "unsupported",
            f"onnx2tf has no TFLite form for {cause.node_op} in node '{cause.node_name}': "
            f"{str(cause)[: stage_protocol.WIDTH]}",
            "replace this operator, or end the model before it and do the rest in the app",
        )
    text = str(error)
    operator = re.search(r"\bop(?:_type)?['\"]?\s*[=:]\s*['\"]?(\w+)", text)
    node = re.search(r"\b(?:node|node_name|name)['\"]?\s*[=:]\s*['\"]?([\w./:-]+)", text)
    if operator:
        place = f" in node '{node[1]}'" if node else ""
        reason = re.search(r"\breason(?:_code|_message)?['\"]?\s*[=:]\s*['\"]?([^'\"\n]{3,160})", text)
        return RefusalError(
            "unsupported",
            f"onnx2tf has no TFLite form for {operator[1]}{place}{f': {reason[1]}' if reason else ''}",
            "replace this operator, or end the model before it and do the rest in the app",
        )
    return RefusalError(
        "unsupported",
        f"onnx2tf cannot convert it: {said}",
        "end the model before the part that fails and do the rest in the app, or report the model",
    )


if __name__ == "__main__":
    stage_protocol.serve({"open": open_model, "export": export, "run": run})
