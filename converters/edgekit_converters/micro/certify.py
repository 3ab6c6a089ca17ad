"""Compares what a model answers in TensorFlow Lite Micro with what it answers on LiteRT's kernels, value by value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from edgekit.backends import Kernels
from edgekit_converters.micro.tflm import run_micro
from edgekit_converters.runner import PortNames, Runner
from edgekit_targets.tflite import read_graph

KERNELS: tuple[Kernels, ...] = ("reference", "builtin")
"""LiteRT's kernel sets that are compared with."""


@dataclass(frozen=True, slots=True)
class MicroRow:
    """One comparison. All but `runtime`, `kernels` and `board` is None or False where the model did not run.

    Attributes:
        board: The name of the target.
        runtime: The package that ran it, and its version.
        kernels: LiteRT's kernels that it is compared with.
        started: Whether it ran.
        signal: The signal that ended it, such as "SIGABRT".
        bit_exact: Whether every value of every output is equal.
        max_step: The largest difference of an integer output, in its steps; None where all outputs are float.
        top1_agreement: The share of equal arg-maxima along the last axis of the first output, 0..1; None where that axis
            has one value.
        samples: How many were run.
        arena_bytes: The smallest arena in which it runs, with 64-bit pointers.
        error: Why it did not run, one line.
    """

    board: str
    runtime: str
    kernels: str
    started: bool
    signal: str | None
    bit_exact: bool | None
    max_step: int | None
    top1_agreement: float | None
    samples: int
    arena_bytes: int | None
    error: str | None

    def to_json(self) -> dict[str, object]:
        """The row as plain JSON types."""
        return asdict(self)


def certify_micro(
    model: bytes,
    inputs: Sequence[np.ndarray],
    *,
    board: str = "cortex-m",
    kernels: Sequence[Kernels] = KERNELS,
    timeout_s: float = 300.0,
) -> tuple[MicroRow, ...]:
    """Runs a model in TensorFlow Lite Micro and on LiteRT's kernels, on the same samples.

    Args:
        model: The .tflite, never one that an accelerator's compiler made.
        inputs: One array an input, in the model's order: [count, *shape without batch], in the input's dtype, as
            "input.0", "input.1", ... of a bundle's golden.npz are.
        board: What the rows name.
        kernels: LiteRT's kernel sets to compare with.
        timeout_s: The longest that TensorFlow Lite Micro may take for all samples.

    Returns:
        One row for each of `kernels`. A model that the runtime refuses, or of which it dies, did not start.

    Raises:
        MissingExtraError: tflite-micro is not installed.
        MalformedModelError: The model is no sound .tflite.
        InputError: The inputs do not fit the model's.
        SessionError: LiteRT refuses the model.
    """
    run = run_micro(model, inputs, timeout_s=timeout_s)
    rows = []
    for chosen in kernels:
        equal, step, top1 = None, None, None
        if run.outputs is not None:
            expected = _litert(model, inputs, chosen)
            equal, step, top1 = _compare(expected, run.outputs)
        rows.append(
            MicroRow(
                board=board,
                runtime=run.runtime,
                kernels=chosen,
                started=run.outputs is not None,
                signal=run.signal,
                bit_exact=equal,
                max_step=step,
                top1_agreement=top1,
                samples=len(inputs[0]),
                arena_bytes=run.arena_bytes,
                error=run.error,
            )
        )
    return tuple(rows)


def _litert(model: bytes, inputs: Sequence[np.ndarray], kernels: Kernels) -> list[np.ndarray]:
    """LiteRT's answers, each [count, *shape without batch]."""
    main = read_graph(model).main
    # By numbers: names of tensors need not be unique.
    names = PortNames(_numbers(main.inputs), _numbers(main.outputs))
    runner = Runner(model, names, kernels=kernels)
    answers = [
        runner.run({name: array[row : row + 1] for name, array in zip(names.inputs, inputs, strict=True)})
        for row in range(len(inputs[0]))
    ]
    return [np.concatenate([answer[name] for answer in answers]) for name in names.outputs]


def _numbers(ports: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(number) for number in range(len(ports)))


def _compare(
    expected: Sequence[np.ndarray], given: Sequence[np.ndarray]
) -> tuple[bool, int | None, float | None]:
    """Whether all are equal, the largest difference in steps, and the share of equal arg-maxima."""
    pairs = list(zip(expected, given, strict=True))
    steps = [
        int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max(initial=0))
        for a, b in pairs
        if np.issubdtype(a.dtype, np.integer)
    ]
    first, other = pairs[0]
    scored = first.ndim > 1 and first.shape[-1] > 1
    top1 = float(np.mean(first.argmax(-1) == other.argmax(-1))) if scored else None
    return all(np.array_equal(a, b) for a, b in pairs), max(steps, default=None), top1
