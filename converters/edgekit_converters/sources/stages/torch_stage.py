"""PyTorch -> float .tflite through litert-torch, and PyTorch's own outputs to compare with."""

from __future__ import annotations

import inspect
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import stage_protocol
from stage_protocol import RefusalError

# What torch writes as a symbolic size: sums, products and floor divisions of symbols. torch.export.load hands these
# texts to sympy.sympify, which evaluates them as Python.
_EXPRESSION = re.compile(
    r"(?:[\s\d+\-*/%<>=!(),]|Symbol\('[su]\d+'|\b(?:[su]\d+|positive|nonnegative|integer|Integer|Add|Mul|Pow|Max|Min|Mod"
    r"|FloorDiv|PythonMod|CleanDiv|True|False|int_oo|oo)\b)*"
)


class _Opened:
    """The model that this process works on."""

    def __init__(self, module: Any, names: list[str], shapes: list[list[int | None]], spec: Any) -> None:
        self.module = module
        self.names = names
        self.shapes = shapes
        self.spec = spec


_folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
_opened: list[_Opened] = []


def open_model(request: dict[str, Any]) -> dict[str, Any]:
    """Loads the model and says what it takes."""
    import torch

    torch.set_num_threads(2)
    program = _program(request) if request.get("factory") is None else _traced(request)
    module = program.module()
    changed = _make_contiguous(module)
    placeholders = {
        node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"
    }
    names = [str(name) for name in program.graph_signature.user_inputs]
    shapes = []
    for name in names:
        value = placeholders.get(name)
        if not isinstance(value, torch.Tensor):
            raise RefusalError(
                "unsupported",
                f"input '{name}' is no tensor but {type(value).__name__}",
                "export the model with tensors as its only inputs",
            )
        if value.dtype != torch.float32:
            raise RefusalError("dtype", name, str(value.dtype).removeprefix("torch."))
        shapes.append([size if isinstance(size, int) else None for size in value.shape])
    _opened.append(_Opened(module, names, shapes, program.call_spec.in_spec))
    notes = []
    if changed:
        notes.append(f"parameters that were not contiguous were copied: {', '.join(changed)}")
    return {
        "inputs": [[name, shape] for name, shape in zip(names, shapes, strict=True)],
        "notes": notes,
        "kind": f"PyTorch {torch.__version__.partition('+')[0]} model",
    }


def export(request: dict[str, Any]) -> dict[str, Any]:
    """Writes float.tflite for the settled shapes."""
    import litert_torch
    import torch

    opened = _opened[-1]
    torch.manual_seed(0)
    arguments, keywords = _arguments(opened, [torch.randn(*request["shapes"][name]) for name in opened.names])
    try:
        with torch.no_grad():
            outputs = _named_outputs(opened.module(*arguments, **keywords))
    except Exception as error:
        raise RefusalError(
            "source",
            f"the model does not run on inputs of these shapes: {stage_protocol.one_line(error)}",
            "check --input-shape; the batch is 1",
        ) from error
    try:
        edge = litert_torch.convert(opened.module, arguments, keywords or None)
    except Exception as error:
        raise _explained(error, opened.module, arguments, keywords) from error
    edge.export(str(_folder / "float.tflite"))
    return {"inputs": [[f"args_{n}", name] for n, name in enumerate(opened.names)], "outputs": list(outputs)}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Runs the PyTorch model on the rows of inputs.npz and writes outputs.npz."""
    import numpy as np
    import torch

    opened = _opened[-1]
    with np.load(_folder / "inputs.npz", allow_pickle=False) as archive:
        rows = {name: archive[name] for name in archive.files}
    made: dict[str, list[Any]] = {}
    for number in range(request["count"]):
        flat = [torch.from_numpy(np.ascontiguousarray(rows[name][number])) for name in opened.names]
        arguments, keywords = _arguments(opened, flat)
        with torch.no_grad():
            for name, value in _named_outputs(opened.module(*arguments, **keywords)).items():
                made.setdefault(name, []).append(value.detach().to(torch.float32).numpy())
    stage_protocol.write_arrays(_folder / "outputs.npz", made)
    return {}


def _program(request: dict[str, Any]) -> Any:
    import torch

    path = Path(request["model"])
    if not request.get("trust"):
        _refuse_code(path)
    try:
        return torch.export.load(path)
    except Exception as error:
        raise RefusalError(
            "source",
            f"PyTorch {torch.__version__} cannot load it: {stage_protocol.one_line(error)}",
            "save it with torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2'), "
            "with a version of PyTorch that is not newer",
        ) from error


def _refuse_code(path: Path) -> None:
    """Refuses an archive whose loading may run code: torch.export.load unpickles and evaluates parts of it."""
    import io

    import torch

    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if "/data/constants/" in name and name.rpartition("/")[2].startswith(
                ("custom_obj", "opaque_obj")
            ):
                raise _code(name)
            if name.endswith("_config.json"):
                entries = json.loads(archive.read(name)).get("config", {})
                if any(entry.get("use_pickle") for entry in entries.values()):
                    raise _code(name)
            elif "/data/sample_inputs/" in name:
                try:
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True)
                except Exception as error:
                    raise _code(name) from error
            elif "/models/" in name and name.endswith(".json"):
                _refuse_expressions(json.loads(archive.read(name)), name)


def _refuse_expressions(value: Any, name: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            symbolic = key in ("expr_str", "expr") and isinstance(inner, str)
            if symbolic and not _EXPRESSION.fullmatch(inner):
                raise _code(f"{name}, size '{inner[:60]}'")
            _refuse_expressions(inner, name)
    elif isinstance(value, list):
        for inner in value:
            _refuse_expressions(inner, name)


def _code(where: str) -> RefusalError:
    return RefusalError(
        "code",
        f"loading the exported program may run code that it carries, in {where}",
        "if you trust where it comes from, say --trust-model-code",
    )


def _traced(request: dict[str, Any]) -> Any:
    """The exported program of a factory's module, with its weights."""
    import torch

    module = _made(request["factory"])
    if request.get("weights") is not None:
        _load_weights(module, Path(request["weights"]))
    module.eval()
    parameters = [
        name
        for name, parameter in inspect.signature(module.forward).parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    missing = [name for name in parameters if name not in request["shapes"]]
    if missing or not parameters:
        said = " ".join(f"--input-shape {name}=1,3,224,224" for name in missing or ["x"])
        raise RefusalError(
            "source",
            f"nothing says the shape of {', '.join(missing) or 'its inputs'}, and a PyTorch module does not know it",
            f"say it as forward() names it, batch 1 first, such as {said}",
        )
    unknown = sorted(set(request["shapes"]) - set(parameters))
    if unknown:
        raise RefusalError(
            "source", f"forward() has no input '{unknown[0]}'", f"it has: {', '.join(parameters)}"
        )
    torch.manual_seed(0)
    arguments = tuple(torch.randn(*request["shapes"][name]) for name in parameters)
    try:
        return torch.export.export(module, arguments, strict=False)
    except Exception as error:
        raise RefusalError(
            "unsupported",
            f"torch.export cannot trace the model: {stage_protocol.one_line(error)}",
            "no branch or loop of forward() may depend on values; check --input-shape",
        ) from error


def _made(said: str) -> Any:
    import importlib
    import importlib.util

    import torch

    place, _, name = said.rpartition(":")
    try:
        if place.endswith(".py"):
            sys.path.append(str(Path(place).resolve().parent))
            specification = importlib.util.spec_from_file_location(Path(place).stem, place)
            assert specification is not None
            assert specification.loader is not None
            code = importlib.util.module_from_spec(specification)
            sys.modules.setdefault(Path(place).stem, code)
            specification.loader.exec_module(code)
        else:
            sys.path.append(str(Path.cwd()))
            code = importlib.import_module(place)
        module = getattr(code, name)()
    except (Exception, SystemExit) as error:
        raise RefusalError(
            "source",
            f"--torch {said}: {stage_protocol.one_line(error)}",
            "give file.py:factory, a function without arguments that returns the torch.nn.Module; "
            "what it imports must be installed in the environment that holds PyTorch",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise RefusalError(
            "source",
            f"--torch {said} returned a {type(module).__name__}, and a torch.nn.Module is wanted",
            "let the function return the model itself",
        )
    return module


def _load_weights(module: Any, path: Path) -> None:
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RefusalError(
            "code",
            f"--weights {path}: holds more than weights, or is broken ({type(error).__name__})",
            "save them with torch.save(model.state_dict(), 'w.pth'); a pickled module would run code",
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):  # what training scripts wrap around it
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
            break
    try:
        missing, unexpected = module.load_state_dict(state, strict=False)
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RefusalError(
            "source", f"--weights {path}: {lines[-1][: stage_protocol.WIDTH]}", "are they of this very model?"
        ) from error
    if missing or unexpected:
        parts = [
            f"{word} {', '.join(keys[:3])}"
            for word, keys in (("misses", missing), ("has besides", unexpected))
            if keys
        ]
        raise RefusalError("source", f"--weights {path}: {'; '.join(parts)}", "are they of this very model?")


def _make_contiguous(module: Any) -> list[str]:
    """Copies every parameter, buffer and constant: litert-torch reads the memory of some as if they were contiguous."""
    import torch

    changed = []
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if not tensor.is_contiguous():
                changed.append(name)
            tensor.data = tensor.data.contiguous().clone()
        for node in module.graph.nodes:
            value = getattr(module, str(node.target), None) if node.op == "get_attr" else None
            if isinstance(value, torch.Tensor) and not value.is_contiguous():
                changed.append(str(node.target))
                value.data = value.data.contiguous().clone()
    return changed


def _arguments(opened: _Opened, flat: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    from torch.utils import _pytree

    arguments, keywords = _pytree.tree_unflatten(flat, opened.spec)
    return tuple(arguments), dict(keywords)


def _named_outputs(value: Any) -> dict[str, Any]:
    import torch
    from torch.utils import _pytree

    leaves, _ = _pytree.tree_flatten_with_path(value)
    tensors = [(path, leaf) for path, leaf in leaves if isinstance(leaf, torch.Tensor)]
    if len(tensors) == 1 and not tensors[0][0]:
        return {"output": tensors[0][1]}
    names: dict[str, Any] = {}
    for path, leaf in tensors:
        name = re.sub(r"\W+", "_", _pytree.keystr(path)).strip("_")
        names[f"output_{name}" if name[:1].isdigit() or not name else name] = leaf
    return names


def _explained(
    error: Exception, module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> RefusalError:
    """The operators that litert-torch does not know, with their layers, and what to do."""
    try:
        unknown = _unknown_operators(module, arguments, keywords)
    except Exception:  # what failed once may fail again, and then only litert-torch's own words are left
        unknown = []
    if unknown:
        return RefusalError(
            "unsupported",
            f"litert-torch has no TFLite form for {'; '.join(unknown[:5])}",
            "replace this operation in the model, or end the model before it and do the rest in the app",
        )
    return RefusalError(
        "unsupported",
        f"litert-torch cannot convert it: {stage_protocol.one_line(error)}",
        "end the model before the part that fails and do the rest in the app, or report the model",
    )


def _unknown_operators(module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> list[str]:
    import torch
    from litert_torch import fx_infra
    from litert_torch.backend import lowerings

    program = torch.export.export(module, arguments, keywords or None, strict=False)
    program = program.run_decompositions(fx_infra.decomp.pre_lower_decomp())
    found = []
    for node in program.graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload) and lowerings.lookup(node.target) is None:
            stack = list((node.meta.get("nn_module_stack") or {}).values())
            layer = str(stack[-1][0]).removeprefix("L['self'].") if stack else ""
            place = f"{node.target}{f' in layer {layer!r}' if layer else ''}"
            if place not in found:
                found.append(place)
    return found


if __name__ == "__main__":
    stage_protocol.serve({"open": open_model, "export": export, "run": run})
