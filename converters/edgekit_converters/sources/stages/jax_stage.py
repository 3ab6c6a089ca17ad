"""A serialized function of JAX -> float .tflite through jax2tf, and JAX's own outputs to compare with."""

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
    """Reads what `jax.export` wrote and says what it takes."""
    import jax
    from jax import export as jax_export

    try:
        exported = jax_export.deserialize(bytearray(Path(request["model"]).read_bytes()))
    except Exception as error:
        raise RefusalError(
            "source",
            f"JAX {jax.__version__} cannot read the function: {stage_protocol.one_line(error)}",
            "export it with a version of JAX that is not newer, or install edgekit's extra convert-jax beside it",
        ) from error
    inputs = []
    for name, value in zip(request["names"], exported.in_avals, strict=True):
        if value.dtype != "float32":
            raise RefusalError("dtype", name, str(value.dtype))
        inputs.append([name, [int(size) for size in value.shape]])
    _opened.update(exported=exported, names=request["names"])
    return {"inputs": inputs, "notes": [], "kind": f"JAX {jax.__version__} function"}


def export(request: dict[str, Any]) -> dict[str, Any]:
    """Writes float.tflite."""
    import tensorflow as tf
    from jax.experimental import jax2tf

    exported, names = _opened["exported"], _opened["names"]
    shapes = [request["shapes"][name] for name in names]
    probe = _named_outputs(exported.call(*(_zeros(shape) for shape in shapes)))
    _opened["outputs"] = list(probe)
    converted = jax2tf.convert(exported.call, with_gradient=False)
    # jax2tf puts what is between its own marks into one XlaCallModule, which TFLiteConverter takes apart again.
    function = tf.function(
        lambda *inputs: list(_named_outputs(converted(*inputs)).values()),
        autograph=False,
        input_signature=[
            tf.TensorSpec(shape, tf.float32, name=f"args_{number}") for number, shape in enumerate(shapes)
        ],
    )
    try:
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [function.get_concrete_function()], function
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        (_folder / "float.tflite").write_bytes(converter.convert())
    except Exception as error:
        raise _explained(error) from error
    called = [[f"args_{number}", name] for number, name in enumerate(names)]
    return {"inputs": called, "outputs": _opened["outputs"]}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Runs the function on the rows of inputs.npz and writes outputs.npz."""
    import numpy as np

    with np.load(_folder / "inputs.npz", allow_pickle=False) as archive:
        rows = {name: archive[name] for name in archive.files}
    made: dict[str, list[Any]] = {}
    for number in range(request["count"]):
        answer = _opened["exported"].call(*(rows[name][number] for name in _opened["names"]))
        for name, value in _named_outputs(answer).items():
            made.setdefault(name, []).append(np.asarray(value, np.float32))
    stage_protocol.write_arrays(_folder / "outputs.npz", made)
    return {}


def _zeros(shape: list[int]) -> Any:
    import numpy as np

    return np.zeros(shape, np.float32)


def _named_outputs(value: Any) -> dict[str, Any]:
    import jax

    leaves = jax.tree_util.tree_flatten_with_path(value)[0]
    if len(leaves) == 1 and not leaves[0][0]:
        return {"output": leaves[0][1]}
    names: dict[str, Any] = {}
    for path, leaf in leaves:
        name = re.sub(r"\W+", "_", jax.tree_util.keystr(path)).strip("_")
        names[f"output_{name}" if name[:1].isdigit() or not name else name] = leaf
    return names


def _explained(error: Exception) -> RefusalError:
    """The operators and what to do, out of hundreds of lines of TFLiteConverter."""
    text = str(error)
    found = sorted(set(re.findall(r"'(?:stablehlo|chlo|tf|mhlo|vhlo)\.([\w.]+?)(?:_v\d+)?' op", text)))
    if found == ["XlaCallModule"]:  # a call of a library, such as LAPACK's, which nothing else names
        found = sorted(set(re.findall(r"custom_call @(\w+)", _opened["exported"].mlir_module()))) or found
    if found:
        return RefusalError(
            "unsupported",
            f"TensorFlow has no TFLite form for {', '.join(found[:5])}",
            "replace these operations in the function, or end it before them and do the rest in the app",
        )
    return RefusalError(
        "unsupported",
        f"TensorFlow cannot convert the function: {stage_protocol.one_line(error)}",
        "end the function before the part that fails and do the rest in the app, or report it",
    )


if __name__ == "__main__":
    stage_protocol.serve({"open": open_model, "export": export, "run": run})
