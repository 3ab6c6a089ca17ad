"""What the float model's tensors do on real samples: their extremes, and the means of their channels.

Calibration runs the float .tflite itself with LiteRT, one single-threaded interpreter a core, batch 1. Batching gains
nothing (1.9 to 2.2 ms an image either way on MobileNetV2) and models with a Flatten cannot be resized; beside that,
``experimental_preserve_all_tensors`` keeps XNNPACK in LiteRT 2.3, which makes a pass about as cheap as inference.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

import numpy as np

from edgekit.errors import BadSampleError
from edgekit_converters.runner import Runner
from edgekit_targets.tflite import Graph, Tensor, read_graph

BLOCK = 8
"""Samples that one runner takes at a time; fixed, so that results do not depend on the number of threads."""

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
class Observation:
    """One pass of the float model over samples.

    Attributes:
        tensors: Names of the observed tensors: every float tensor that is computed or fed, in the model's order.
        low: float32 [samples, tensors], the least value of each tensor in each sample.
        high: float32 [samples, tensors], the greatest.
        channels: For the tensors asked for, float32 [samples, channels]: means over all other axes.
    """

    tensors: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    channels: Mapping[str, np.ndarray]

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


def observe(
    model: bytes,
    samples: Iterable[FloatInputs],
    *,
    means_of: Collection[str] = (),
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Observation:
    """Runs `model` over `samples` and notes what its tensors do.

    Args:
        model: A float .tflite with static shapes.
        samples: Model inputs by name, float32 with the batch axis; a stream, never held as a whole.
        means_of: Names of the tensors whose channel means are wanted.
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
    idle: SimpleQueue[Runner] = SimpleQueue()
    for _ in range(threads):
        idle.put(Runner(model, threads=1, preserve_all_tensors=True))

    def run(block: Sequence[FloatInputs]) -> list[_Row]:
        runner = idle.get()
        try:
            return [_observe_one(runner, sample, watched, means) for sample in block]
        finally:
            idle.put(runner)

    low: list[list[float]] = []
    high: list[list[float]] = []
    columns: dict[str, list[np.ndarray]] = {tensor.name: [] for tensor in means}
    for block in in_order(run, _blocks(samples), threads):
        _refuse_non_finite(block, watched, first=len(low))
        low += [row.low for row in block]
        high += [row.high for row in block]
        for number, column in enumerate(columns.values()):
            column += [row.means[number] for row in block]
        if progress is not None:
            progress(len(block))
    return Observation(
        tensors=tuple(tensor.name for tensor in watched),
        low=np.array(low, np.float32),
        high=np.array(high, np.float32),
        # Popped one by one, so that the means of one tensor only are ever in memory twice.
        channels={name: np.array(columns.pop(name)) for name in list(columns)},
    )


@dataclass(frozen=True, slots=True)
class _Row:
    low: list[float]
    high: list[float]
    means: list[np.ndarray]


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


def _observe_one(
    runner: Runner, sample: FloatInputs, watched: Sequence[Tensor], means: Sequence[Tensor]
) -> _Row:
    runner.run(sample)
    # Views, not copies; they must be gone before the next invoke, and are when this function returns.
    views = [runner.view(tensor.index) for tensor in watched]
    return _Row(
        [float(view.min()) for view in views],
        [float(view.max()) for view in views],
        [_channel_means(runner.view(tensor.index)) for tensor in means],
    )


def _channel_means(values: np.ndarray) -> np.ndarray:
    flat = values.reshape(-1, values.shape[-1])
    means: np.ndarray = flat.sum(axis=0, dtype=np.float64) / len(flat)
    return means.astype(np.float32)


def _refuse_non_finite(block: Sequence[_Row], watched: Sequence[Tensor], first: int) -> None:
    for offset, row in enumerate(block):
        for tensor, low, high in zip(watched, row.low, row.high, strict=True):
            if not (np.isfinite(low) and np.isfinite(high)):
                raise BadSampleError(
                    f"the float model computes {low if not np.isfinite(low) else high} in tensor "
                    f"'{tensor.name}' on calibration sample {first + offset}",
                    hint="run the float model on that sample: either the sample or the model is broken",
                )


def _blocks(samples: Iterable[FloatInputs]) -> Iterator[list[FloatInputs]]:
    iterator = iter(samples)
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
