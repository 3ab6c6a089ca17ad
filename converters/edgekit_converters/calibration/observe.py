"""What the float model's tensors do on real samples: their extremes, means of their channels, histograms of their values.

Calibration runs the float .tflite itself with LiteRT, one single-threaded interpreter a core, batch 1. Batching gains
nothing (1.9 to 2.2 ms an image either way on MobileNetV2) and models with a Flatten cannot be resized; beside that,
``experimental_preserve_all_tensors`` keeps XNNPACK in LiteRT 2.3, which makes a pass about as cheap as inference.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import TypeVar

import numpy as np

from edgekit.errors import BadSampleError
from edgekit_converters.calibration import subsample
from edgekit_converters.calibration.histogram import Histogram, keys_of
from edgekit_converters.runner import Runner
from edgekit_targets.tflite import Graph, Tensor, read_graph

BLOCK = 8
"""Samples that one runner takes at a time; fixed, so that results do not depend on the number of threads."""

PARTS = 8
"""Histograms of blocks that wait until they are merged into one; it bounds the memory they take."""

FloatInputs = Mapping[str, np.ndarray]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Ranges:
    """The interval of real values that each tensor's int8 values shall cover, by tensor name.

    Attributes:
        method: How the intervals were chosen, for the manifest: "minmax".
        low: Lower ends, in the tensor's own unit.
        high: Upper ends.
    """

    method: str
    low: Mapping[str, float]
    high: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Extreme:
    """One end of what a tensor reached.

    Attributes:
        value: The end, over all samples.
        sample: Number of the sample that set it, the first if several did.
        without: The end over all other samples; `value` itself if there are none.
    """

    value: float
    sample: int
    without: float


@dataclass(frozen=True, slots=True)
class Observation:
    """One pass of the float model over samples.

    Attributes:
        tensors: Names of the observed tensors: every float tensor that is computed or fed, in the model's order.
        low: float32 [samples, tensors], the least value of each tensor in each sample.
        high: float32 [samples, tensors], the greatest.
        channels: For the tensors asked for, float32 [samples, channels]: means over all other axes.
        fed: Those of the tensors that are inputs of the model.
        numbers: int64 [samples]: the number of each row's sample in its set.
        histograms: Of each tensor over all samples, of a subsample of its values; empty unless asked for.
    """

    tensors: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    channels: Mapping[str, np.ndarray]
    fed: frozenset[str] = frozenset()
    numbers: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    histograms: Mapping[str, Histogram] = field(default_factory=dict)

    def minmax(self) -> Ranges:
        """The extremes over all samples."""
        return Ranges(
            "minmax",
            dict(zip(self.tensors, self.low.min(axis=0).tolist(), strict=True)),
            dict(zip(self.tensors, self.high.max(axis=0).tolist(), strict=True)),
        )

    def channel_means(self, rows: Sequence[int]) -> dict[str, np.ndarray]:
        """float32 [channels] a tensor: the means over those samples."""
        return {name: values[list(rows)].mean(axis=0) for name, values in self.channels.items()}

    def extremes(self, tensor: str) -> tuple[Extreme, Extreme]:
        """Which samples set the range of a tensor: its low and its high end."""
        column = self.tensors.index(tensor)
        lowest, highest = self._extreme(-self.low[:, column]), self._extreme(self.high[:, column])
        return Extreme(-lowest.value, lowest.sample, -lowest.without), highest

    def _extreme(self, values: np.ndarray) -> Extreme:
        row = int(values.argmax())
        others = np.delete(values, row)
        value = float(values[row])
        return Extreme(value, int(self.numbers[row]), float(others.max()) if len(others) else value)

    def without(self, rows: Collection[int], histograms: Mapping[str, Histogram]) -> Observation:
        """The observation as if those samples had never been there.

        Args:
            rows: Of this observation, not all of them.
            histograms: What they contributed, by tensor: from observing them anew, under their numbers. Empty where
                this observation has none.
        """
        left = sorted(rows)
        return replace(
            self,
            low=np.delete(self.low, left, axis=0),
            high=np.delete(self.high, left, axis=0),
            channels={name: np.delete(means, left, axis=0) for name, means in self.channels.items()},
            numbers=np.delete(self.numbers, left),
            histograms={name: whole.minus(histograms[name]) for name, whole in self.histograms.items()},
        )


def observe(
    model: bytes,
    samples: Iterable[FloatInputs],
    *,
    means_of: Collection[str] = (),
    histograms: bool = False,
    numbers: Iterable[int] | None = None,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Observation:
    """Runs `model` over `samples` and notes what its tensors do.

    Args:
        model: A float .tflite with static shapes.
        samples: Model inputs by name, float32 with the batch axis; a stream, never held as a whole.
        means_of: Names of the tensors whose channel means are wanted.
        histograms: Whether histograms are wanted; they cost about half as much again.
        numbers: The number of each sample in its set, where these are only some of a set; None counts from 0.
        threads: Interpreters that run side by side. The result is the same whatever their number.
        progress: Called with the number of samples done since the last call.

    Returns:
        The observation.

    Raises:
        BadSampleError: A tensor of the float model is NaN or infinite; the message names it and the sample.
    """
    graph = read_graph(model)
    watched = live_tensors(graph, ("FLOAT32",))
    means = [tensor for tensor in watched if tensor.name in means_of and tensor.shape]
    strides = [subsample.stride(math.prod(tensor.shape)) for tensor in watched] if histograms else []
    watch = _Watch(watched, means, strides)
    idle: SimpleQueue[Runner] = SimpleQueue()
    for _ in range(threads):
        idle.put(Runner(model, threads=1, preserve_all_tensors=True))

    def run(block: Sequence[tuple[int, FloatInputs]]) -> _Block:
        runner = idle.get()
        try:
            return watch.block(runner, block)
        finally:
            idle.put(runner)

    notes = _Notes(watch)
    numbered = zip(itertools.count() if numbers is None else numbers, samples, strict=False)
    for block in in_order(run, _blocks(numbered), threads):
        notes.add(block)
        if progress is not None:
            progress(len(block.rows))
    fed = {graph.main.tensors[index].name for index in graph.main.inputs}
    return notes.observation(frozenset(fed.intersection(tensor.name for tensor in watched)))


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    low: list[float]
    high: list[float]
    means: list[np.ndarray]


@dataclass(frozen=True, slots=True)
class _Block:
    rows: list[_Row]
    histograms: list[Histogram]


@dataclass(frozen=True, slots=True)
class _Watch:
    """What is looked at in every sample.

    Attributes:
        tensors: Whose extremes are noted.
        means: Whose channel means are.
        strides: Of the values that are counted, one a tensor; empty for no histograms.
    """

    tensors: Sequence[Tensor]
    means: Sequence[Tensor]
    strides: Sequence[int]

    def block(self, runner: Runner, samples: Sequence[tuple[int, FloatInputs]]) -> _Block:
        keys: list[list[np.ndarray]] = [[] for _ in self.strides]
        rows = [self._row(runner, number, inputs, keys) for number, inputs in samples]
        return _Block(rows, [Histogram.from_keys(np.concatenate(each)) for each in keys])

    def _row(
        self, runner: Runner, number: int, inputs: FloatInputs, keys: Sequence[list[np.ndarray]]
    ) -> _Row:
        runner.run(inputs)
        # Views, not copies; they must be gone before the next invoke, and are when this function returns.
        views = [runner.view(tensor.index) for tensor in self.tensors]
        if self.strides:
            places = zip(keys, views, self.strides, subsample.offsets(self.strides, number), strict=True)
            for kept, view, stride, offset in places:
                kept.append(keys_of(view.reshape(-1)[offset::stride]))
        return _Row(
            number,
            [float(view.min()) for view in views],
            [float(view.max()) for view in views],
            [_channel_means(runner.view(tensor.index)) for tensor in self.means],
        )


class _Notes:
    """What the blocks said, put together in their order."""

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch
        self._numbers: list[int] = []
        self._low: list[list[float]] = []
        self._high: list[list[float]] = []
        self._means: dict[str, list[np.ndarray]] = {tensor.name: [] for tensor in watch.means}
        self._histograms: list[list[Histogram]] = [[] for _ in watch.strides]

    def add(self, block: _Block) -> None:
        """Notes one block.

        Raises:
            BadSampleError: A tensor is NaN or infinite.
        """
        _refuse_non_finite(block.rows, self._watch.tensors)
        self._numbers += [row.number for row in block.rows]
        self._low += [row.low for row in block.rows]
        self._high += [row.high for row in block.rows]
        for column, means in enumerate(self._means.values()):
            means += [row.means[column] for row in block.rows]
        for parts, histogram in zip(self._histograms, block.histograms, strict=True):
            parts.append(histogram)
            if len(parts) > PARTS:
                parts[:] = [Histogram.merging(parts)]

    def observation(self, fed: frozenset[str]) -> Observation:
        """What all blocks said together."""
        names = tuple(tensor.name for tensor in self._watch.tensors)
        whole = map(Histogram.merging, self._histograms)
        return Observation(
            tensors=names,
            low=np.array(self._low, np.float32),
            high=np.array(self._high, np.float32),
            # Popped one by one, so that the means of one tensor only are ever in memory twice.
            channels={name: np.array(self._means.pop(name)) for name in list(self._means)},
            fed=fed,
            numbers=np.array(self._numbers, np.int64),
            histograms=dict(zip(names, whole, strict=True)) if self._watch.strides else {},
        )


def live_tensors(graph: Graph, types: Collection[str]) -> list[Tensor]:
    """The tensors of those types that are fed or computed, and that hold something after a run.

    XNNPACK gives no memory to an output that nothing reads, such as the forget gate of an LSTM's first step.
    """
    main = graph.main
    read = {index for operator in main.operators for index in operator.inputs} | {*main.outputs}
    return [
        tensor
        for tensor in main.tensors
        if tensor.type in types
        and tensor.index in read
        and graph.constant(tensor) is None
        and 0 not in tensor.shape
    ]


def _channel_means(values: np.ndarray) -> np.ndarray:
    flat = values.reshape(-1, values.shape[-1])
    means: np.ndarray = flat.sum(axis=0, dtype=np.float64) / len(flat)
    return means.astype(np.float32)


def _refuse_non_finite(rows: Sequence[_Row], watched: Sequence[Tensor]) -> None:
    for row in rows:
        for tensor, low, high in zip(watched, row.low, row.high, strict=True):
            if not (np.isfinite(low) and np.isfinite(high)):
                raise BadSampleError(
                    f"the float model computes {low if not np.isfinite(low) else high} in tensor "
                    f"'{tensor.name}' on calibration sample {row.number}",
                    hint="run the float model on that sample: either the sample or the model is broken",
                )


def _blocks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while block := list(itertools.islice(iterator, BLOCK)):
        yield block


def in_order(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Maps `function` over `items` on several threads, results in order, few items drawn ahead."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
