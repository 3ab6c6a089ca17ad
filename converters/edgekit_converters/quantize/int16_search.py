"""Which few operators of an int8 model should work on 16-bit activations: by measurement on held-out samples.

What 16 bits cost: XNNPACK has no such kernels, and LiteRT's built-in ones take 20 to 70 times as long for a multiplication
(decision 0012). So the operators are few and cheap, and the gain must be large.

It starts from the model *before* bias correction: a correction is fitted to the errors that 8 bits make, and harms where
they are gone (decision 0012). Correct the biases of what comes out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit_converters.quantize.int16 import Widened, convertible, widen
from edgekit_converters.runner import Runner
from edgekit_targets.cost import macs
from edgekit_targets.layers import layer_of
from edgekit_targets.ops import view
from edgekit_targets.tflite import Graph, Operator, read_graph

MOST_MACS_SHARE = 0.02
"""Of the multiplications of the model, in operators that work on 16 bits."""

MOST_OPERATORS = 16
MOST_STEPS = 5

STEP_DB = 0.5
"""Less than this, on a few dozen samples, is chance."""

LEAST_GAIN_DB = 3.0
"""Half of the error's power: for less, slower kernels and an exception from int8 do not pay."""

RESAMPLES = 1000

NOTICED = 1.1
"""By which factor the error of one sample must change to count as better or worse."""

PASSING = frozenset(
    {"EXPAND_DIMS", "PACK", "RESHAPE", "SLICE", "SPLIT", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE", "UNPACK"}
)
"""Operators that hand values on as they are: 16 bits matter behind them."""

Samples = Sequence[Mapping[str, np.ndarray]]
Unit = frozenset[int]
"""Numbers of operators that are widened together."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """A model with some operators in 16 bits, beside the int8 one that it came from.

    Attributes:
        widened: The model, biases not corrected.
        operators: Numbers of the widened operators in the int8 model.
        layers: Operator and layer of each, such as "MUL in 'energy'".
        macs_share: Of the model's multiplications, in these operators.
        gain_db: How much the output SQNR rises on the held-out samples.
    """

    widened: Widened
    operators: tuple[int, ...]
    layers: tuple[str, ...]
    macs_share: float
    gain_db: float


class Judge:
    """Measures models on held-out samples.

    Args:
        quantized: Model inputs of each sample by name, int8.
        float_outputs: What the float model answers, float32, by name.
        threads: Of the interpreter.
    """

    def __init__(self, quantized: Samples, float_outputs: Samples, *, threads: int) -> None:
        self._quantized, self._expected, self._threads = quantized, float_outputs, threads
        names = float_outputs[0].keys()
        self._power = {
            name: max(
                float(np.mean([np.square(sample[name], dtype=np.float64).sum() for sample in float_outputs])),
                1e-30,
            )
            for name in names
        }

    @classmethod
    def of(cls, float_model: bytes, int8_model: bytes, samples: Samples, *, threads: int) -> Judge:
        """A judge on the answers of a float model to those samples of its inputs."""
        exact, ports = Runner(float_model, threads=threads), Runner(int8_model).inputs
        stored = [{port.name: port.store(inputs[port.name]) for port in ports} for inputs in samples]
        return cls(stored, [exact.run(inputs) for inputs in samples], threads=threads)

    def noise(self, model: bytes) -> np.ndarray:
        """float64 [samples]: the power of the outputs' error over the mean power of the float outputs."""
        runner = Runner(model, threads=self._threads)
        found = []
        for inputs, expected in zip(self._quantized, self._expected, strict=True):
            answers = runner.run(inputs)
            shares = [
                np.square(spec.real(answers[spec.name]) - expected[spec.name], dtype=np.float64).sum()
                / self._power[spec.name]
                for spec in runner.outputs
            ]
            found.append(float(np.mean(shares)))
        return np.maximum(found, 1e-12)


def search(plain: bytes, judge: Judge) -> Mixed | None:
    """Widens few operators, one unit after the other, each the one that helps most.

    Args:
        plain: A fully int8 model, before bias correction.
        judge: Of the samples that nothing is fitted on.

    Returns:
        The best within the limits above; None where nothing brings LEAST_GAIN_DB.
    """
    graph = read_graph(plain)
    costs = [macs(operator) for operator in view(graph)]
    allowed = max(sum(costs) * MOST_MACS_SHARE, 0)
    candidates = [unit for unit in units(graph) if _fits(unit, costs, allowed)]
    chosen: Unit = frozenset()
    before = noise = judge.noise(plain)
    for _ in range(MOST_STEPS):
        unions = {chosen | unit for unit in candidates} - {chosen}
        tried = [
            (judge.noise(widen(plain, union).model), union)
            for union in sorted(unions, key=sorted)
            if _fits(union, costs, allowed)
        ]
        better = [
            (each, union)
            for each, union in tried
            if gain_db(noise, each) >= STEP_DB and mostly_better(noise, each)
        ]
        if not better:
            break
        noise, chosen = min(better, key=lambda pair: float(pair[0].mean()))
    gain = gain_db(before, noise)
    if gain < LEAST_GAIN_DB:
        return None
    main = graph.main
    return Mixed(
        widened=widen(plain, chosen),
        operators=tuple(sorted(chosen)),
        layers=tuple(
            f"{main.operators[n].opcode} in '{layer_of(main, main.operators[n])}'" for n in sorted(chosen)
        ),
        macs_share=sum(costs[n] for n in chosen) / max(sum(costs), 1),
        gain_db=gain,
    )


def gain_db(before: np.ndarray, after: np.ndarray) -> float:
    """By how many dB the SQNR over all samples rises."""
    return float(10 * np.log10(before.mean() / after.mean()))


def mostly_better(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether twice as many samples gain as lose, so that no single one decides."""
    won, lost = int((after * NOTICED < before).sum()), int((after > before * NOTICED).sum())
    return won > 2 * lost


def surely_better(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether it gains LEAST_GAIN_DB, on most samples, and something in nearly every resampling of them.

    The power of an error is the sum of a few large ones, and a gain that rests on these does not come again: the lower
    end of the 90 % bootstrap interval must be above 0 dB.
    """
    if gain_db(before, after) < LEAST_GAIN_DB or not mostly_better(before, after):
        return False
    rows = np.random.default_rng(0).integers(0, len(before), (RESAMPLES, len(before)))
    gains = 10 * np.log10(before[rows].mean(axis=1) / after[rows].mean(axis=1))
    return bool(np.quantile(gains, 0.05) > 0)


def _fits(unit: Unit, costs: Sequence[int], allowed: float) -> bool:
    return len(unit) <= MOST_OPERATORS and sum(costs[number] for number in unit) <= allowed


def units(graph: Graph) -> list[Unit]:
    """What may be widened together: the ends of one tensor, or operators without weights that hang together.

    A single operator gains nothing, because what goes in and out of it is int8 still.
    """
    links = _links(graph)
    return sorted({*_pairs(graph, links), *_islands(graph, links)}, key=sorted)


def islands_that_fit(model: bytes) -> list[Unit]:
    """Operators without weights that hang together, few enough to be widened; the larger first."""
    graph = read_graph(model)
    islands = [unit for unit in _islands(graph, _links(graph)) if len(unit) <= MOST_OPERATORS]
    return sorted(islands, key=lambda unit: (-len(unit), min(unit)))


def _links(graph: Graph) -> dict[int, set[int]]:
    """By operator that may be widened: the others that read what it computes."""
    allowed = convertible(graph)
    readers: dict[int, list[Operator]] = {}
    for operator in graph.main.operators:
        for index in operator.inputs:
            readers.setdefault(index, []).append(operator)
    return {
        number: {
            reader.index
            for index in graph.main.operators[number].outputs
            for reader in readers.get(index, ())
            if reader.index in allowed
        }
        for number in allowed
    }


def _pairs(graph: Graph, links: Mapping[int, set[int]]) -> Iterator[Unit]:
    """For each operator: itself, and all that read its output, past those that only pass values on."""
    for number in links:
        if graph.main.operators[number].opcode in PASSING:
            continue
        unit, ends = {number}, [*links[number]]
        while ends:
            reader = ends.pop()
            if reader not in unit:
                unit.add(reader)
                ends += links[reader] if graph.main.operators[reader].opcode in PASSING else ()
        if len(unit) > 1:
            yield frozenset(unit)


def _islands(graph: Graph, links: Mapping[int, set[int]]) -> Iterator[Unit]:
    """Operators without multiplications by weights that are joined by tensors."""
    operators = view(graph)
    free = {number for number in links if macs(operators[number]) == 0}
    joined = {number: links[number] & free for number in free}
    for number in free:
        for reader in links[number] & free:
            joined[reader] = joined[reader] | {number}
    while free:
        island, ends = set[int](), [min(free)]
        while ends:
            number = ends.pop()
            if number not in island:
                island.add(number)
                ends += joined[number]
        free -= island
        if len(island) > 1:
            yield frozenset(island)
