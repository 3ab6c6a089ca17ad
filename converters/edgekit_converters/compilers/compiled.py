"""What a compiler made of a model, as data: where each operator ended up, beside what was forecast."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgekit.errors import CompilerError
from edgekit_targets.cost import macs as macs_of
from edgekit_targets.errors import MalformedModelError
from edgekit_targets.forecast import Forecast, OpForecast, ParameterForecast
from edgekit_targets.ops import OpView, view
from edgekit_targets.placing import Placed, Placement
from edgekit_targets.rules import rule_set
from edgekit_targets.target import Target
from edgekit_targets.tflite import read_graph
from edgekit_targets.verdict import verdict


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled model.

    Attributes:
        data: The .tflite that the accelerator's runtime loads.
        forecast: Where the compiler put each operator of the model that it was given, in the form of a forecast;
            `forecast.rules` names the compiler and its version.
        figures: Further numbers of the compiler, by names that end in their unit.
        log: What it printed.
    """

    data: bytes
    forecast: Forecast
    figures: Mapping[str, float]
    log: str

    @property
    def tool(self) -> str:
        """The compiler and its version."""
        return self.forecast.rules


@dataclass(frozen=True, slots=True)
class Difference:
    """An operator that the compiler put elsewhere than was forecast.

    Attributes:
        index: Its place in the model.
        opcode: Such as "CONV_2D".
        name: Of its first output tensor.
        forecast: Where it was forecast.
        compiled: Where it is.
        reason: What the compiler says of it.
    """

    index: int
    opcode: str
    name: str
    forecast: Placement
    compiled: Placement
    reason: str


def differences(forecast: Forecast, compiled: Forecast) -> tuple[Difference, ...]:
    """Returns where a forecast and the truth differ; what was uncertain cannot differ.

    Args:
        forecast: Of a model.
        compiled: Of the same model.
    """
    return tuple(
        Difference(a.index, a.opcode, a.name, a.placement, b.placement, b.reason)
        for a, b in zip(forecast.ops, compiled.ops, strict=True)
        if a.placement not in (b.placement, Placement.UNCERTAIN)
    )


def left_on_cpu(ops: Sequence[OpView], compiled: bytes, accelerated: str) -> tuple[frozenset[int], int]:
    """Finds the operators of a model that a compiler left as they were.

    Args:
        ops: The operators of the model that the compiler was given.
        compiled: What it made.
        accelerated: Name of the custom operator that stands for what it took.

    Returns:
        Indices of the operators that stayed, and how many of those custom operators there are.

    Raises:
        CompilerError: The compiled file is none, or holds an operator that the model does not.
    """
    try:
        now = view(read_graph(compiled))
    except MalformedModelError as error:
        raise CompilerError(f"the compiler wrote a file that is no .tflite: {error}") from None
    # By name and form first, then by form alone: compilers rename tensors, and keep the order of operators.
    taken: set[int] = set()
    rest = [op for op in now if op.title != accelerated]
    for key in (_form_and_name, _form):
        rest = _match(rest, ops, key, taken)
    if rest:
        raise CompilerError(
            f"the compiled file holds {rest[0].title} '{rest[0].name}', which the model does not: "
            "where its operators run cannot be read from it"
        )
    return frozenset(taken), len(now) - len(taken)


def _form(op: OpView) -> object:
    return op.title, tuple((t.shape, t.dtype) for t in op.outputs)


def _form_and_name(op: OpView) -> object:
    return op.name, _form(op)


def _match(
    wanted: Sequence[OpView], ops: Sequence[OpView], key: Callable[[OpView], object], taken: set[int]
) -> list[OpView]:
    """Adds to `taken` the operator that each wanted one is, the first free one in order; returns what is left."""
    free: defaultdict[object, deque[int]] = defaultdict(deque)
    for op in ops:
        if op.index not in taken:
            free[key(op)].append(op.index)
    left = []
    for op in wanted:
        candidates = free[key(op)]
        if candidates:
            taken.add(candidates.popleft())
        else:
            left.append(op)
    return left


def truth(
    ops: Sequence[OpView],
    target: Target,
    on_cpu: frozenset[int],
    *,
    tool: str,
    reason: Callable[[OpView], str],
    parameters: ParameterForecast | None,
    partitions: int,
) -> Forecast:
    """Puts what a compiler did into the form of a forecast.

    Args:
        ops: The operators of the model.
        target: What it was compiled for.
        on_cpu: Indices of those that stayed on the CPU.
        tool: The compiler and its version.
        reason: Says of an operator that stayed why it did.
        parameters: Where the compiler put the parameters, None where it does not say.
        partitions: How many pieces the accelerator runs.

    Raises:
        CompilerError: Nothing runs on the accelerator.
    """
    rules = rule_set(target.rules)
    there = Placement(rules.accelerator)
    if len(on_cpu) == len(ops):
        kinds = Counter(op.title for op in ops)
        raise CompilerError(
            f"{tool} compiled the model, but mapped none of its {len(ops)} operators to the {there}: it would run "
            f"on the CPU alone ({', '.join(f'{n} {kind}' for kind, n in kinds.most_common(3))})",
            hint=f"'edgekit check MODEL --target {target.name}' says which operator is in the way, and the fix",
        )
    placed = [
        Placed(Placement.CPU, None, None, -1) if op.index in on_cpu else Placed(there, None, None, 0)
        for op in ops
    ]
    macs = [macs_of(op) for op in ops]
    return Forecast(
        target=target.name,
        rules=tool,
        ops=tuple(
            OpForecast(
                index=op.index,
                opcode=op.title,
                name=op.name,
                placement=at.placement,
                rule=None,
                reason=reason(op) if op.index in on_cpu else f"mapped by {tool}",
                fix=None,
                macs=count,
            )
            for op, at, count in zip(ops, placed, macs, strict=True)
        ),
        parameters=parameters,
        partitions=partitions,
        verdict=verdict(ops, placed, macs, rules, parameters),
    )
