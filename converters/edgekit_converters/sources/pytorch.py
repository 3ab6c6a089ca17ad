"""PyTorch models: exported programs, modules in memory, and a function of the user's that makes one."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.errors import SourceError, UnsupportedModelError
from edgekit_converters.environments.locate import interpreter_for
from edgekit_converters.sources.imported import import_float
from edgekit_converters.sources.model import FloatModel, SourceOptions
from edgekit_converters.sources.naming import first_line
from edgekit_converters.sources.original import Original
from edgekit_converters.sources.shapes import resolve_shapes
from edgekit_converters.worker import Worker
from edgekit_targets.tflite import read_graph

FRAMEWORK = "PyTorch"


def is_module(model: object) -> bool:
    """Whether this is a `torch.nn.Module` or a `torch.export.ExportedProgram` of this process."""
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(model).__mro__}
    return bool(kinds & {"torch.nn.modules.module.Module", "torch.export.exported_program.ExportedProgram"})


def load_torch(path: Path | None, options: SourceOptions, worker: Worker) -> FloatModel:
    """Convert an exported program, or what ``--torch`` and ``--weights`` name.

    Args:
        path: Of the .pt2; None for ``options.torch``.
        options: What is said about it.
        worker: Where TensorFlow and LiteRT run.

    Raises:
        MissingEnvironmentError: Nothing here has PyTorch and litert-torch.
        SourceError: One of its classes, naming the input, operator or key.
    """
    python = interpreter_for("torch")
    return _converted(Original("torch_stage", python, FRAMEWORK), path, options, worker)


def load_module(model: Any, options: SourceOptions, worker: Worker) -> FloatModel:
    """Convert a module or exported program in memory; it is as before when this returns.

    Args:
        model: See `is_module`.
        options: `example_inputs` are the tensors that a module is traced with, batch 1.
        worker: Where TensorFlow and LiteRT run.

    Raises:
        EdgekitError: See `load_torch`.
    """
    python = interpreter_for("torch")
    folder = tempfile.TemporaryDirectory(prefix="edgekit-")
    path = Path(folder.name) / "model.pt2"
    _save(model, options.example_inputs, path)
    return _converted(Original("torch_stage", python, FRAMEWORK, folder), path, options, worker)


def _save(model: Any, example_inputs: Any, path: Path) -> None:
    torch = sys.modules["torch"]
    program = model
    if isinstance(model, torch.nn.Module):
        if example_inputs is None:
            raise SourceError(
                "a torch.nn.Module does not know the shapes of its inputs",
                hint="add example_inputs=(torch.zeros(1, 3, 224, 224),), one tensor an input of forward(), batch 1",
            )
        arguments = example_inputs if isinstance(example_inputs, tuple | list) else (example_inputs,)
        modes = {part: part.training for part in model.modules()}
        model.eval()
        try:
            program = torch.export.export(model, tuple(arguments), strict=False)
        except Exception as error:
            raise UnsupportedModelError(
                f"torch.export cannot trace the model: {first_line(error)}",
                hint="no branch or loop of forward() may depend on values, and the example inputs must fit",
            ) from error
        finally:
            for part, mode in modes.items():
                part.training = mode
    torch.export.save(program, path)


def _converted(original: Original, path: Path | None, options: SourceOptions, worker: Worker) -> FloatModel:
    try:
        opened = original.ask(
            "open",
            model=None if path is None else str(path.absolute()),
            factory=options.torch,
            weights=None if options.weights is None else os.fspath(options.weights),
            shapes=dict(options.input_shapes),
            trust=options.trust_model_code,
        )
        return export_float(original, opened, options, worker)
    except BaseException:
        original.close()
        raise


def export_float(
    original: Original, opened: Mapping[str, Any], options: SourceOptions, worker: Worker
) -> FloatModel:
    """Let an opened model export itself, and bring the result to the form of every source.

    Args:
        original: Its stage.
        opened: What "open" answered: "inputs", "kind" and "notes".
        options: What is said about the model.
        worker: Where LiteRT runs.

    Raises:
        SourceError: One of its classes.
    """
    declared = [(name, tuple(shape)) for name, shape in opened["inputs"]]
    shapes = resolve_shapes(declared, options.input_shapes)
    exported = original.ask("export", shapes=shapes)
    data = (original.folder / "float.tflite").read_bytes()
    inputs, outputs = _port_names(data, exported["inputs"], exported["outputs"])
    notes = (*opened["notes"], *exported.get("notes", ()))
    plain = replace(options, example_inputs=None, params=None)  # what is in memory here stays here
    turned = exported.get("shapes")
    made = worker.call(
        "import the float model", import_float, data, opened["kind"], inputs, outputs, plain, notes, turned
    )
    return made.with_original(original, shapes)


def _port_names(
    data: bytes, called: Sequence[Sequence[str]], outputs: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The names of inputs and outputs in tensor order, out of the names that the converter gave them."""
    graph = read_graph(data)
    if not graph.signatures:  # jax2tf: in order
        return [name for _, name in called], list(outputs)
    signature = graph.signatures[0]
    theirs = {index: name for name, index in signature.inputs.items()}
    own = {each[0]: each[1] for each in called}
    numbers = {index: name for name, index in signature.outputs.items()}
    inputs = [own[theirs[index]] for index in graph.main.inputs]
    names = [
        name if (name := numbers[index]) in outputs else outputs[int(name.rpartition("_")[2])]
        for index in graph.main.outputs
    ]
    return inputs, names
