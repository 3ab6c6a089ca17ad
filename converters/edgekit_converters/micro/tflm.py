"""Runs a model in TensorFlow Lite Micro, through the Python package tflite-micro: the extra "micro".

It has the runtime's reference kernels, compiled for x86-64. CMSIS-NN, which a Cortex-M has in their place, computes the
same integers (its project says bit-exact). Each run is a process of its own, so that one that aborts is only a result.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from edgekit.endings import signal_name
from edgekit.errors import CompilerError, InputError, MissingExtraError
from edgekit_converters.compilers.process import Finished, run_tool
from edgekit_targets.memory import Planner, plan_arena
from edgekit_targets.tflite import Graph, read_graph

PACKAGE = "tflite-micro"
CHILD = Path(__file__).with_name("tflm_child.py")

DTYPES = {
    "INT8": "int8",
    "UINT8": "uint8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FLOAT32": "float32",
}
"""What it takes and gives, by the names of the schema."""

_ROOM_BYTES = 16 << 20  # beside tensors, for kernels and tables; pages that nothing touches take no memory
_BYTES_AN_OPERATOR = 4096
_ENDED_EARLY = "it ended without an answer"


@dataclass(frozen=True, slots=True)
class MicroRun:
    """What became of a model in TensorFlow Lite Micro.

    Attributes:
        runtime: The package and its version, such as "tflite-micro 0.dev20261023182759".
        outputs: Each [count, *shape without batch], in the model's order; None where it did not run.
        arena_bytes: The smallest arena in which it loads and runs; None where that is not known. With the 64-bit pointers
            of the workstation, so that a Cortex-M needs less for the runtime's own tables.
        signal: The signal that ended it, such as "SIGABRT", or None.
        error: Why it did not run, one line, or None.
    """

    runtime: str
    outputs: tuple[np.ndarray, ...] | None
    arena_bytes: int | None
    signal: str | None
    error: str | None


def is_installed() -> bool:
    """Whether tflite-micro is, without importing it."""
    return _version() is not None


def tflm_version() -> str:
    """The version of tflite-micro, such as "0.dev20261023182759".

    Raises:
        MissingExtraError: It is not installed.
    """
    found = _version()
    if found is None:
        raise MissingExtraError("running a model in TensorFlow Lite Micro", "micro")
    return found


def _version() -> str | None:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def run_micro(model: bytes, inputs: Sequence[np.ndarray], *, timeout_s: float = 300.0) -> MicroRun:
    """Runs a model on some inputs, one sample after the other.

    Args:
        model: The .tflite, with static shapes and batch 1.
        inputs: One array an input, in the model's order: [count, *shape without batch], in the input's dtype.
        timeout_s: The longest that all of it may take.

    Returns:
        What it answered and how much of the arena it used, or why it did not run.

    Raises:
        MissingExtraError: tflite-micro is not installed.
        MalformedModelError: The model is no sound .tflite.
        InputError: The inputs do not fit the model's.
    """
    runtime = f"{PACKAGE} {tflm_version()}"
    graph = read_graph(model)
    check_inputs(graph, inputs)
    operators = sum(len(subgraph.operators) for subgraph in graph.subgraphs)
    arena = 2 * plan_arena(graph, Planner.MICRO).bytes + _ROOM_BYTES + operators * _BYTES_AN_OPERATOR
    with tempfile.TemporaryDirectory(prefix="edgekit-") as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model)
        np.savez(folder / "inputs.npz", *inputs)
        # -P: a numpy.py in the folder the user stands in must not shadow the real one.
        command: list[str | Path] = [sys.executable, "-P", CHILD, folder, str(arena)]
        try:
            finished = run_tool(command, timeout_s=timeout_s, folder=folder)
        except CompilerError as error:
            return MicroRun(runtime, None, None, None, str(error))
        return _outcome(runtime, finished, folder)


def measure_arena(model: bytes) -> int | None:
    """The smallest arena in which a model loads and runs on zeros, in bytes; None where it does not run.

    Raises:
        MissingExtraError: tflite-micro is not installed.
        MalformedModelError: The model is no sound .tflite.
    """
    graph = read_graph(model)
    tensors = [graph.main.tensors[number] for number in graph.main.inputs]
    if any(tensor.type not in DTYPES or not tensor.is_static for tensor in tensors):
        return None
    return run_micro(model, [np.zeros((1, *t.shape[1:]), DTYPES[t.type]) for t in tensors]).arena_bytes


def check_inputs(graph: Graph, inputs: Sequence[np.ndarray]) -> None:
    """Refuses arrays that do not fit the inputs of a model.

    Raises:
        InputError: Their number, a shape or a dtype differs, or there is no sample.
    """
    main = graph.main
    if len(inputs) != len(main.inputs) or not inputs:
        raise InputError(
            f"the model has {len(main.inputs)} inputs, and {len(inputs)} arrays are given",
            hint="give one array an input, in the model's order",
        )
    counts = {len(array) if array.ndim else 0 for array in inputs}
    if len(counts) > 1 or 0 in counts:
        raise InputError(
            f"the arrays hold {', '.join(map(str, sorted(counts)))} samples",
            hint="give the same number for each input, 1 at least",
        )
    for number, array in zip(main.inputs, inputs, strict=True):
        tensor = main.tensors[number]
        wanted, given = (1, *array.shape[1:]), DTYPES.get(tensor.type)
        if tensor.shape != wanted or array.dtype != given:
            raise InputError(
                f"input '{tensor.name}' takes {tensor.type.lower()} {list(tensor.shape)}, and the samples are "
                f"{array.dtype} {list(wanted)}",
                hint="give arrays of [count, *shape without batch] in the input's own dtype",
            )


def _outcome(runtime: str, finished: Finished, folder: Path) -> MicroRun:
    result = folder / "result.json"
    if finished.code == 0 and result.is_file():
        said = json.loads(result.read_text())
        if "error" not in said:
            with np.load(folder / "outputs.npz") as stored:
                outputs = tuple(stored[f"arr_{number}"] for number in range(len(stored.files)))
            return MicroRun(runtime, outputs, said["arena_bytes"], None, None)
        words = f": {finished.last_words}" if finished.output.strip() else ""
        return MicroRun(runtime, None, None, None, f"{said['error']}{words}")
    ended = signal_name(-finished.code) if finished.code < 0 else None
    return MicroRun(runtime, None, None, ended, f"{ended or _ENDED_EARLY}: {finished.last_words}")
