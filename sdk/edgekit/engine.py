"""One open model behind a lock: `Engine`, what a `Session` and the threads that share it run samples on."""

from __future__ import annotations

from _thread import allocate_lock  # threading's own Lock; importing that costs 0.4 ms
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np

from edgekit.errors import SessionError
from edgekit.samples import stored_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from edgekit.backends import Interpreter
    from edgekit.ports import Input, Output

    Row = tuple[NDArray[Any], ...]
    Quantized = NDArray[Any] | dict[str, NDArray[Any]]


class Engine:
    """An interpreter with its inputs and outputs. Threads take turns, a whole sample at a time.

    Attributes:
        inputs: In the order of the model.
        outputs: In the order of the model.
    """

    __slots__ = ("_calls", "_lock", "inputs", "outputs")

    def __init__(
        self, interpreter: Interpreter, inputs: tuple[Input, ...], outputs: tuple[Output, ...]
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._lock = allocate_lock()
        # Empty once it is closed. Nothing else holds the interpreter, so that its memory is then free.
        self._calls: list[Any] = [interpreter.set_input, interpreter.invoke, interpreter.output]

    @property
    def closed(self) -> bool:
        """Whether it runs nothing any more."""
        return not self._calls

    def close(self) -> None:
        """Give the model's memory back, once the sample that runs now is done."""
        with self._lock:
            self._calls.clear()

    def infer(self, row: Row, *, raw: bool = False) -> tuple[dict[str, NDArray[Any]], int, int]:
        """Run one sample.

        Args:
            row: An array for every input: the model's integers, batch 1 first, or a raw sample.
            raw: Whether it is raw. Feeding is then part of the turn, because its buffers are shared.

        Returns:
            The model's integers by output name, and the nanoseconds that feeding and invoking took.

        Raises:
            InputError: A raw sample does not fit.
            SessionError: It is closed, or the runtime failed.
        """
        with self._lock:
            if not self._calls:
                raise closed()
            set_input, invoke, output = self._calls
            started = perf_counter_ns()
            if raw:
                row = tuple(port.feed(sample) for port, sample in zip(self.inputs, row, strict=True))
            fed = perf_counter_ns()
            for port, array in zip(self.inputs, row, strict=True):
                set_input(port.index, array)
            invoked = perf_counter_ns()
            invoke()
            done = perf_counter_ns()
            quantized = {port.name: output(port.index) for port in self.outputs}
        return quantized, fed - started, done - invoked

    def infer_quantized(self, x: NDArray[Any] | Mapping[str, NDArray[Any]]) -> Quantized:
        """Run whatever `Session.run_quantized` takes.

        Raises:
            InputError: The sample does not fit the model.
            SessionError: It is closed, or the runtime failed.
        """
        if not self._calls:
            raise closed()
        samples = stored_samples(x, [port.spec for port in self.inputs])
        rows = [self.infer(row)[0] for row in samples]
        quantized = rows[0] if len(rows) == 1 else joined(rows)
        return next(iter(quantized.values())) if len(quantized) == 1 else quantized

    def short_way(self) -> Callable[[NDArray[Any] | Mapping[str, NDArray[Any]]], Quantized]:
        """`infer_quantized` for a model with one input and one output, without a step too many.

        On top of the interpreter's three calls it takes 0.2 us, where `infer_quantized` takes 4.
        """
        if len(self.inputs) > 1 or len(self.outputs) > 1 or np.dtype(self.inputs[0].spec.dtype).itemsize > 1:
            return (
                self.infer_quantized
            )  # wider integers may have the other byte order, which no runtime checks
        acquire, release = self._lock.acquire, self._lock.release  # "with" would make an object at each call
        calls, long_way = self._calls, self.infer_quantized
        given, answered = self.inputs[0].index, self.outputs[0].index

        def infer_one(x: Any) -> Quantized:
            acquire()
            try:
                try:
                    set_input, invoke, output = calls  # a ValueError once it is closed
                    set_input(given, x)  # a ValueError for everything but the model's very dtype and shape
                except ValueError:
                    pass
                else:
                    invoke()
                    answer: NDArray[Any] = output(answered)
                    return answer
            finally:
                release()
            return long_way(x)  # which takes it, or says why not

        return infer_one


def joined(rows: Any) -> dict[str, NDArray[Any]]:
    """Arrays of several samples by name as one array by name, one row a sample."""
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def closed() -> SessionError:
    """The error of whoever uses a closed session."""
    return SessionError("the session is closed", hint="load the bundle again")
