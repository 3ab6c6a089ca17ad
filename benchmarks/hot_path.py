"""What a session costs on top of the bare interpreter, call by call: time, integers, allocations."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import edgekit

POOL = 64
"""Inputs that take turns, so that no run finds its very own in the cache."""


@dataclass(frozen=True, slots=True)
class Times:
    """Two ways that took turns, in nanoseconds a call: the best round of each, and the median of the differences."""

    bare_ns: float
    edgekit_ns: float
    more_ns: float

    @property
    def ratio(self) -> float:
        return self.edgekit_ns / self.bare_ns


class Bare:
    """LiteRT as its documentation has it, with the tensor indices looked up once."""

    def __init__(self, model: bytes) -> None:
        self.interpreter = Interpreter(model_content=model, num_threads=1)
        self.interpreter.allocate_tensors()
        (given,), (answer,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.given, self.answer = given["index"], answer["index"]
        self.shape = tuple(given["shape"])
        self.in_scale, self.in_zero = given["quantization"]
        self.out_scale, self.out_zero = answer["quantization"]

    def naive(self, frame: np.ndarray, low: float, high: float) -> np.ndarray:
        """Pixels to scores as one writes it without a library: normalise, quantize, run, dequantize."""
        real = frame.astype(np.float32) / np.float32(255 / (high - low)) + np.float32(low)
        stored = np.clip(np.round(real / self.in_scale + self.in_zero), -128, 127).astype(np.int8)
        self.interpreter.set_tensor(self.given, stored[np.newaxis])
        self.interpreter.invoke()
        answer = self.interpreter.get_tensor(self.answer)
        return (answer.astype(np.float32) - self.out_zero) * self.out_scale


def quantized_calls(model: bytes, session: edgekit.Session, rounds: int, calls: int) -> Times:
    """`run_quantized` beside set_tensor, invoke and get_tensor. Outputs of every call are compared.

    Raises:
        SystemExit: An output differs.
    """
    bare = Bare(model)
    generator = np.random.default_rng(0)
    pool = [generator.integers(-128, 128, bare.shape, np.int8) for _ in range(POOL)]
    inputs = [pool[turn % POOL] for turn in range(calls)]
    set_tensor, invoke, get_tensor = (
        bare.interpreter.set_tensor,
        bare.interpreter.invoke,
        bare.interpreter.get_tensor,
    )
    given, answer = bare.given, bare.answer
    run_quantized = session.run_quantized

    def by_hand() -> list[Any]:
        outputs = []
        for x in inputs:
            set_tensor(given, x)
            invoke()
            outputs.append(get_tensor(answer))
        return outputs

    def by_edgekit() -> list[Any]:
        outputs = []
        for x in inputs:
            outputs.append(run_quantized(x))
        return outputs

    return _taking_turns(by_hand, by_edgekit, rounds, calls, same)


def frames(
    model: bytes, session: edgekit.Session, images: Sequence[np.ndarray], rounds: int, low: float, high: float
) -> tuple[Times, float]:
    """`run` on uint8 frames beside the naive route, and what the model itself takes, in nanoseconds a call."""
    bare = Bare(model)
    stored = np.zeros(bare.shape, np.int8)

    def by_hand() -> list[Any]:
        return [bare.naive(frame, low, high) for frame in images]

    def by_edgekit() -> list[Any]:
        return [session.run(frame) for frame in images]

    def inference() -> list[Any]:
        for _ in images:
            bare.interpreter.set_tensor(bare.given, stored)
            bare.interpreter.invoke()
            bare.interpreter.get_tensor(bare.answer)
        return []

    alone = []
    count = len(images)
    taken: list[tuple[float, float]] = []
    for way in (by_hand, by_edgekit, inference):
        way()
    for _ in range(rounds):
        alone.append(_timed(inference)[0] / count)
        taken.append((_timed(by_hand)[0] / count, _timed(by_edgekit)[0] / count))
    hand, own = min(pair[0] for pair in taken), min(pair[1] for pair in taken)
    return Times(hand, own, median(b - a for a, b in taken)), min(alone)


def differing_integers(
    session: edgekit.Session, images: Sequence[np.ndarray], low: float, high: float
) -> tuple[int, int]:
    """How many of the model's input integers differ from a careful calculation, of how many.

    Half a step is rounded away from zero, as TensorFlow Lite's QUANTIZE does
    (tensorflow/lite/kernels/internal/reference/quantize.h).
    """
    spec = session.manifest.inputs[0]
    feed = session._engine.inputs[0].feed
    wrong = total = 0
    for frame in images:
        real = frame.astype(np.float32) / np.float32(255 / (high - low)) + np.float32(low)
        steps = (real / np.float32(spec.scale)).astype(np.float64)
        rounded = np.sign(steps) * np.floor(np.abs(steps) + 0.5) + spec.zero_point
        wanted = np.clip(rounded, -128, 127).astype(np.int8)[np.newaxis]
        wrong += int(np.count_nonzero(feed(frame) != wanted))
        total += wanted.size
    return wrong, total


def allocations(model: bytes, session: edgekit.Session) -> tuple[int, int, int]:
    """What one call holds at most while it runs, by hand and by edgekit, and what it returns, in bytes (tracemalloc)."""
    bare = Bare(model)
    x = np.zeros(bare.shape, np.int8)

    def by_hand(x: np.ndarray) -> Any:
        bare.interpreter.set_tensor(bare.given, x)
        bare.interpreter.invoke()
        return bare.interpreter.get_tensor(bare.answer)

    hand, _ = _held(by_hand, x)
    own, returned = _held(session.run_quantized, x)
    return hand, own, returned


def _held(call: Callable[[np.ndarray], Any], x: np.ndarray, calls: int = 1000) -> tuple[int, int]:
    for _ in range(100):
        call(x)
    most = returned = 0
    tracemalloc.start()
    try:
        kept: list[object] = [call(x)]
        for _ in range(calls):
            kept[0] = None
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            kept[0] = call(x)
            after, peak = tracemalloc.get_traced_memory()
            most, returned = max(most, peak - before), max(returned, after - before)
    finally:
        tracemalloc.stop()
    return most, returned


def same(first: Any, second: Any) -> bool:
    """Whether two arrays are equal to the last bit."""
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()


def _taking_turns(
    bare: Callable[[], list[Any]],
    own: Callable[[], list[Any]],
    rounds: int,
    calls: int,
    equal: Callable[[Any, Any], bool],
) -> Times:
    taken = []
    bare(), own()
    for number in range(rounds):
        if number % 2:  # neither way always runs second
            own_ns, ours = _timed(own)
            bare_ns, theirs = _timed(bare)
        else:
            bare_ns, theirs = _timed(bare)
            own_ns, ours = _timed(own)
        if not all(equal(a, b) for a, b in zip(theirs, ours, strict=True)):
            raise SystemExit("run_quantized gave another output than the bare interpreter")
        taken.append((bare_ns / calls, own_ns / calls))
    return Times(
        min(pair[0] for pair in taken), min(pair[1] for pair in taken), median(b - a for a, b in taken)
    )


def _timed(way: Callable[[], list[Any]]) -> tuple[int, list[Any]]:
    started = perf_counter_ns()
    outputs = way()
    return perf_counter_ns() - started, outputs
