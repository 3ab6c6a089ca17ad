"""Runs a model part by part over many samples, keeping what the next part starts from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgekit_converters.quantize.parts import part, tensors_read
from edgekit_converters.runner import Runner
from edgekit_converters.surgery import tensor_name

Sample = Mapping[str, np.ndarray]
"""Stored tensors of one sample, by name."""


class Walk:
    """A model that is walked through from its inputs to its outputs, once, over all samples together.

    Tensors alive between two operators are kept for all samples where they fit into memory; else the next part starts
    further back. So a walk that stops at every layer costs a few passes over the samples, not one pass a layer. The model
    may be changed ahead of where the walk stands.

    Args:
        model: A `ModelT` with one subgraph; it is read anew at every step and never changed.
        samples: Stored model inputs by name, batch 1.
        memory_bytes: The most that kept tensors may take.
        threads: Of the interpreters.
    """

    def __init__(self, model: Any, samples: Sequence[Sample], memory_bytes: int, threads: int) -> None:
        self.model = model
        self._kept: list[Sample] = [dict(sample) for sample in samples]
        self._first = 0
        self._memory_bytes = memory_bytes
        self._threads = threads

    def values(self, tensor: int, last: int) -> Iterator[np.ndarray]:
        """What a tensor holds once operator `last` has run, sample by sample.

        Args:
            tensor: Kept already, or written by an operator up to `last`.
            last: Index of the last operator to run, not before where the walk stands.
        """
        name = tensor_name(self.model.subgraphs[0], tensor)
        if name in self._kept[0]:
            yield from (sample[name] for sample in self._kept)
            return
        runner = self._runner(last, [tensor])
        for sample in self._kept:
            yield runner.run(sample)[name]

    def advance(self, last: int) -> None:
        """Moves behind operator `last`, if the tensors that are alive there fit into memory."""
        subgraph = self.model.subgraphs[0]
        computed = {int(t) for op in subgraph.operators[self._first : last + 1] for t in op.outputs}
        later = tensors_read(subgraph.operators[last + 1 :]) | {int(t) for t in subgraph.outputs}
        names = {t: tensor_name(subgraph, t) for t in sorted(later)}
        alive = [t for t in names if t in computed or names[t] in self._kept[0]]
        size = sum(_bytes(subgraph.tensors[t]) for t in alive)
        if not alive or size * len(self._kept) > self._memory_bytes:
            return
        fresh = [t for t in alive if names[t] not in self._kept[0]]
        runner = self._runner(last, fresh) if fresh else None
        for number, sample in enumerate(self._kept):
            known = {**sample, **(runner.run(sample) if runner else {})}
            self._kept[number] = {names[t]: known[names[t]] for t in alive}
        self._first = last + 1

    def _runner(self, last: int, outputs: Sequence[int]) -> Runner:
        """The operators from where the walk stands up to `last`, as a model that starts from the kept tensors."""
        subgraph = self.model.subgraphs[0]
        read = tensors_read(subgraph.operators[self._first : last + 1])
        inputs = [t for t in sorted(read) if tensor_name(subgraph, t) in self._kept[0]]
        return Runner(part(self.model, self._first, last, inputs, outputs), threads=self._threads)


def _bytes(tensor: Any) -> int:
    width = {0: 4, 2: 4, 4: 8, 7: 2}.get(
        tensor.type, 1
    )  # schema.fbs, TensorType: FLOAT32, INT32, INT64, INT16
    return width * math.prod(int(size) for size in tensor.shape)
