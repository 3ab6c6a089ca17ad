from __future__ import annotations

import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from edgekit.backends import Backend, Kernels, TensorDetails, find_backend
from edgekit.backends.litert import LiteRtBackend
from edgekit.errors import RuntimeNotFoundError, SessionError


def test_litert_is_found_and_names_its_version() -> None:
    backend: Backend = find_backend()
    assert backend.name == "ai-edge-litert"
    assert backend.version == version("ai-edge-litert")


def test_without_a_runtime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    for runtime in (
        "ai_edge_litert",
        "tflite_runtime",
        "tensorflow",
    ):  # find_spec looks at what is imported first
        monkeypatch.delitem(sys.modules, runtime, raising=False)
    with pytest.raises(RuntimeNotFoundError) as caught:
        find_backend()
    assert caught.value.hint == "pip install 'edgekit[runtime]'"


def test_a_runtime_that_does_not_import_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dense: Any
) -> None:
    broken = tmp_path / "ai_edge_litert"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('wrong ELF class: ELFCLASS64')")
    for name in [name for name in sys.modules if name.startswith("ai_edge_litert")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SessionError, match="cannot be imported: wrong ELF class"):
        LiteRtBackend().open(dense.model)


def test_details_are_the_models(dense: Any) -> None:
    interpreter = find_backend().open(dense.model)
    (given,), (answer,) = interpreter.inputs, interpreter.outputs
    scale = float(np.float32(1 / 255))
    assert given == TensorDetails(given.index, "pixels", (1, 4, 4, 3), "int8", scale, -128)
    assert (answer.name, answer.shape, answer.dtype, answer.zero_point) == ("scores", (1, 3), "int8", 0)


@pytest.mark.parametrize("kernels", get_args(Kernels))
def test_every_kernel_set_runs(dense: Any, kernels: Kernels) -> None:
    interpreter = find_backend().open(dense.model, threads=1, kernels=kernels)
    pixels = np.full((1, 4, 4, 3), -128, np.int8)
    pixels[..., 1] = 127
    interpreter.set_input(interpreter.inputs[0].index, pixels)
    interpreter.invoke()
    assert interpreter.output(interpreter.outputs[0].index).tolist() == [[0, 127, 0]]


def test_outputs_are_copies(dense: Any) -> None:
    interpreter = find_backend().open(dense.model)
    interpreter.set_input(interpreter.inputs[0].index, np.full((1, 4, 4, 3), 127, np.int8))
    interpreter.invoke()
    first = interpreter.output(interpreter.outputs[0].index)
    first[:] = 0
    assert interpreter.output(interpreter.outputs[0].index).tolist() == [[127, 127, 127]]
    interpreter.invoke()  # LiteRT refuses this while a view of a tensor is alive
    assert first.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("model", [b"", b"TFL3", b"\x1c\0\0\0TFL3" + bytes(64)])
def test_what_litert_refuses_is_a_session_error(model: bytes) -> None:
    with pytest.raises(SessionError, match=r"^ai-edge-litert [\d.]+ refuses the model: ") as caught:
        find_backend().open(model)
    assert caught.value.hint is not None
    assert "\n" not in str(caught.value)


def test_the_model_outlives_the_callers_bytes(dense: Any) -> None:
    interpreter = find_backend().open(bytes(bytearray(dense.model)))
    results: list[Any] = []

    def invoke() -> None:
        interpreter.set_input(interpreter.inputs[0].index, np.full((1, 4, 4, 3), 127, np.int8))
        interpreter.invoke()
        results.append(interpreter.output(interpreter.outputs[0].index).tolist())

    thread = threading.Thread(target=invoke)
    thread.start()
    thread.join()
    assert results == [[[127, 127, 127]]]


def test_every_tensor_can_be_seen_where_all_are_preserved(pair: Any) -> None:
    interpreter = LiteRtBackend().open(pair.model, preserve_all_tensors=True)
    left, right = interpreter.inputs
    interpreter.set_input(left.index, np.array([[2, 4]], np.int8))
    interpreter.set_input(right.index, np.array([[6, 9]], np.int8))
    interpreter.invoke()
    seen = {tensor.name: interpreter.view(tensor.index).tolist() for tensor in interpreter.outputs}
    assert seen == {"sum": [[4, 7]], "both": [[2, 4, 6, 9]]}
    interpreter.invoke()
