"""The Edge TPU forecast beside the compiler's own placement, and beside the trivial predictor.

    python benchmarks/edgetpu_forecast.py --truth shared/edgetpu/placement.json

FILE holds records of operators, not flatbuffers, without the numbers of tensors: who reads whom is found again from
shapes, types, scales and zero points (the latest operator before whose output agrees, one that nobody has read yet
if there is one). An uncertain operator counts
as not agreeing. Exit status 1 where an operator is forecast "TPU" that the compiler left on the CPU.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit_targets.catalog import load_target
from edgekit_targets.forecast import Forecast, OpForecast, Placement, forecast
from edgekit_targets.ops import FLOATS, OpView, TensorView
from edgekit_targets.tflite.schema import ENUMS, OptionField, option_tables, options_of_operators

TARGET = "coral-usb-accelerator"
BYTES_ALIKE = 0.10  # of the true bytes


@dataclass(frozen=True)
class Model:
    """A record of the file, its forecast, and who is right."""

    name: str
    family: str
    ops: tuple[OpView, ...]
    truth: tuple[str, ...]
    trivial: tuple[str, ...]
    forecast: Forecast
    cached_bytes: int
    streamed_bytes: int

    @property
    def said(self) -> tuple[str, ...]:
        return tuple(op.placement.value for op in self.forecast.ops)


def family(record: Mapping[str, Any]) -> str:
    """One word for models that differ in size only: the repository, and the name without its numbers."""
    repository = record["source"].split("@")[0].split("/")[-1]
    return f"{repository}/{re.split(r'[-_.0-9]', record['name'])[0]}"


def op_views(record: Mapping[str, Any]) -> tuple[OpView, ...]:
    """The records of operators as edgekit's rules see operators."""
    views: list[OpView] = []
    unread: set[int] = set()
    for number, op in enumerate(record["ops"]):
        opcode, _, custom = op["op"].partition(":")
        inputs = tuple(None if t is None else tensor_view(t) for t in op["inputs"])
        reads: set[int] = set()
        for tensor in op["inputs"]:
            if tensor is not None and not tensor.get("const"):
                reads |= _producer(key(tensor), record["ops"][:number], unread)
                unread -= reads
        unread.add(number)
        views.append(
            OpView(
                index=number,
                opcode=opcode,
                version=op["ver"],
                custom_code=custom or None,
                name=op["out_names"][0] if op["out_names"] else "",
                inputs=inputs,
                outputs=tuple(map(tensor_view, op["outputs"])),
                options=options(opcode, op.get("options") or {}),
                reads=tuple(sorted(reads)),
            )
        )
    return tuple(views)


def key(tensor: Mapping[str, Any]) -> tuple[object, ...]:
    return (*tensor["shape"], tensor["dtype"], tensor.get("scale"), tensor.get("zp"))


def _producer(wanted: tuple[object, ...], before: Sequence[Mapping[str, Any]], unread: set[int]) -> set[int]:
    """The operator whose output it is, if any."""
    found = [n for n, op in enumerate(before) if any(key(t) == wanted for t in op["outputs"])]
    return set(([n for n in found if n in unread] or found)[-1:])


def tensor_view(tensor: Mapping[str, Any]) -> TensorView:
    shape = tuple(tensor["shape"])
    signature = tensor.get("shape_signature") or shape
    opened = [axis for axis, size in enumerate(signature) if size < 0 or shape[axis] < 0]
    return TensorView(
        shape=shape,
        dtype=tensor["dtype"],
        constant=bool(tensor.get("const")),
        quantized="scale" in tensor or "nscales" in tensor,
        per_channel=bool(tensor.get("per_channel")),
        dynamic=bool(opened) and opened != [0],
        open_batch=opened == [0],
        scale=tensor.get("scale"),
        zero_point=tensor.get("zp"),
    )


def options(opcode: str, found: Mapping[str, Any]) -> dict[str, object]:
    """The options under the schema's names, enumerations by their names."""
    table = options_of_operators().get(opcode)
    fields = {} if table is None else {_camel(field.name): field for field in option_tables()[table]}
    return {
        fields[name].name: _decoded(fields[name], value) for name, value in found.items() if name in fields
    }


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def _decoded(field: OptionField, value: object) -> object:
    names = ENUMS.get(field.kind)
    return names[value] if names is not None and isinstance(value, int) else value


def trivial(op: OpView) -> str:
    """The predictor to beat: float, custom operators and DEQUANTIZE on the CPU, all else on the TPU."""
    is_float = any(t.dtype in FLOATS for t in op.tensors)
    return "CPU" if is_float or op.opcode in ("CUSTOM", "DEQUANTIZE") else "TPU"


def read(path: Path) -> list[Model]:
    target = load_target(TARGET)
    models = []
    for record in json.loads(path.read_text())["models"]:
        ops = op_views(record)
        models.append(
            Model(
                name=record["name"],
                family=family(record),
                ops=ops,
                truth=tuple(op["placement"] for op in record["ops"]),
                trivial=tuple(map(trivial, ops)),
                forecast=forecast(ops, target, several_partitions=record["multiple_subgraphs"]),
                cached_bytes=record["on_chip_param_bytes"],
                streamed_bytes=record["streamed_param_bytes"],
            )
        )
    return models


def share(part: int, whole: int) -> str:
    return f"{part}/{whole} = {part / whole:.2%}" if whole else "none"


def agreement(models: Iterable[Model], which: str) -> tuple[int, int, int, int]:
    """Operators that agree, operators, models that agree wholly, models."""
    pairs = [(getattr(m, which), m.truth) for m in models]
    right = sum(a == b for said, truth in pairs for a, b in zip(said, truth, strict=True))
    return right, sum(len(t) for _, t in pairs), sum(s == t for s, t in pairs), len(pairs)


def print_agreement(models: Sequence[Model]) -> None:
    print(
        f"{'family':<42} {'models':>6} {'ops':>5} | {'edgekit: ops':>12} {'exact':>6} | {'trivial: ops':>12}"
    )
    families: dict[str, list[Model]] = defaultdict(list)
    for model in models:
        families[model.family].append(model)
    for name, members in sorted(families.items()):
        ours, theirs = agreement(members, "said"), agreement(members, "trivial")
        print(
            f"{name:<42} {ours[3]:>6} {ours[1]:>5} | {ours[0] / ours[1]:>12.2%} {ours[2]:>6} "
            f"| {theirs[0] / theirs[1]:>12.2%} {theirs[2]:>6}"
        )
    for which, title in (("said", "edgekit"), ("trivial", "trivial predictor")):
        right, ops, exact, count = agreement(models, which)
        print(f"{title}: operators {share(right, ops)}, models exact {share(exact, count)}")


def rows(models: Iterable[Model]) -> Iterator[tuple[Model, OpForecast, str, str]]:
    """Every operator: its model, its forecast, the truth, and what the trivial predictor says."""
    for model in models:
        for op, truth, guess in zip(model.forecast.ops, model.truth, model.trivial, strict=True):
            yield model, op, truth, guess


def wrongly_mapped(models: Iterable[Model]) -> list[str]:
    """The worst error: operators forecast "TPU" that the compiler left on the CPU."""
    return [
        f"{model.name} #{op.index}"
        for model, op, truth, _ in rows(models)
        if truth == "CPU" and op.placement is Placement.TPU
    ]


def hard(models: Iterable[Model]) -> list[bool]:
    """Of the CPU operators that the trivial predictor misses, whether each is forecast "CPU"."""
    return [
        op.placement is Placement.CPU
        for _, op, truth, guess in rows(models)
        if (truth, guess) == ("CPU", "TPU")
    ]


def recall(models: Iterable[Model]) -> float:
    found = hard(models)
    return sum(found) / len(found) if found else 1.0


def parameters_apart(models: Iterable[Model], slack_bytes: int = 0) -> list[str]:
    """Models whose cached or streamed bytes are forecast wrongly."""
    apart = []
    for model in models:
        said = model.forecast.parameters
        if said is not None and not (
            _alike(said.cached_bytes, model.cached_bytes, slack_bytes)
            and _alike(said.streamed_bytes, model.streamed_bytes, slack_bytes)
        ):
            apart.append(
                f"{model.name}: cached {said.cached_bytes} for {model.cached_bytes}, "
                f"streamed {said.streamed_bytes} for {model.streamed_bytes}"
            )
    return apart


def _alike(forecast_bytes: int, true_bytes: int, slack_bytes: int) -> bool:
    return abs(forecast_bytes - true_bytes) <= max(BYTES_ALIKE * true_bytes, slack_bytes)


def print_hard(models: Sequence[Model]) -> None:
    found = hard(models)
    print(f"recall on CPU operators that the trivial predictor misses: {share(sum(found), len(found))}")
    print(f"uncertain: {sum(op.placement is Placement.UNCERTAIN for _, op, _, _ in rows(models))}")
    print(f'forecast "TPU", left on the CPU: {len(wrongly_mapped(models))}')
    for model, op, truth, _ in rows(models):
        if op.placement.value != truth:
            print(
                f"  {model.name} #{op.index} {op.opcode}: compiler {truth}, forecast {op.placement} ({op.rule})"
            )


def print_parameters(models: Sequence[Model]) -> None:
    apart = parameters_apart(models)
    print(
        f"parameter bytes cached and streamed within {BYTES_ALIKE:.0%}: "
        f"{share(len(models) - len(apart), len(models))}"
    )
    for line in apart:
        print(f"  {line}")
    ratios = sorted(
        m.forecast.parameters.total_bytes / total
        for m in models
        if m.forecast.parameters is not None and (total := m.cached_bytes + m.streamed_bytes)
    )
    if ratios:
        print(
            f"total forecast / true: median {ratios[len(ratios) // 2]:.3f}, {ratios[0]:.3f} to {ratios[-1]:.3f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--truth", type=Path, required=True, metavar="FILE", help="placement.json")
    models = read(parser.parse_args().truth)
    print_agreement(models)
    print_hard(models)
    print_parameters(models)
    return 1 if wrongly_mapped(models) else 0


if __name__ == "__main__":
    sys.exit(main())
