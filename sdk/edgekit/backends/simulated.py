"""A device that is not there: `Simulation`, for testing an application without a model's runtime or a board.

It is a product, not a mock: everything but the runtime is edgekit's own, so preprocessing, labels, batches, streams
and errors are those that the application meets on the device.

::

    slow_coral = edgekit.Simulation(latency_ms=4, jitter_ms=1, faults=[Unplug(after=1000, opens=2)])
    with edgekit.load("cats.edgekit", trust="release.pub.pem", device=slow_coral) as model:
        model.run(frame)

The faults are in `edgekit.backends.faults`. Answers come from the input and the seed alone, or from a function of the
user's. Nothing about them is right: a Simulation knows the model's inputs and outputs and runs none of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.arguments import real, whole
from edgekit.backends import Kernels, TensorDetails
from edgekit.backends.faults import Fault, Unplug, counted, failure, slowness
from edgekit.errors import SessionError, SimulatedFaultError
from edgekit.version import __version__

if TYPE_CHECKING:
    from edgekit.manifest import TensorSpec
    from edgekit.session import Session
    from edgekit_targets.tflite import Graph

Answers = Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]
"""From the model's integers by input name, batch 1 first, to those of its outputs by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """A simulated device, given to `edgekit.load` as ``device``.

    The same Simulation, input and number of the run give the same answer, latency and fault, whatever the clock
    says. Several sessions may share one, as they share a device: its runs are counted together.

    Attributes:
        latency_ms: How long a run takes, in milliseconds.
        jitter_ms: By how much it varies at most, up or down.
        seed: Of the answers and the jitter.
        faults: What goes wrong, and when: see `edgekit.backends.faults`.
        answers: Gives the outputs, as the model's integers by output name; it gets the model's input integers by
            input name. None: bytes that a hash draws from the input and the seed.
        sleep: What passes the time, in seconds; a test that must not wait gives a function of its own.

    Raises:
        SessionError: A number makes no sense, or `faults` holds something else than faults.
    """

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    seed: int = 0
    faults: Sequence[Fault] = ()
    answers: Answers | None = None
    sleep: Callable[[float], object] = time.sleep
    _plug: _Plug = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("latency_ms", "jitter_ms"):
            real(name, getattr(self, name), 0, error=SessionError)
        whole("seed", self.seed, None, error=SessionError)
        object.__setattr__(self, "faults", _checked(self.faults))
        object.__setattr__(self, "_plug", _Plug(tuple(self.faults)))

    def run_latency_ms(self, run: int) -> float:
        """How long the run of that number takes, counted from 1 over all sessions, in milliseconds."""
        unit = int.from_bytes(_drawn(b"latency %d %d" % (self.seed, run), 8), "big") / 2**64
        varied = max(0.0, self.latency_ms + self.jitter_ms * (2 * unit - 1))
        return varied * slowness(tuple(self.faults), run)

    def session(
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        *,
        labels: Sequence[str] | None = None,
    ) -> Session:
        """Open a session without a bundle: for an application whose model does not exist yet.

        The session gets a bundle made in memory, around a model with these inputs and outputs and no operator,
        and passes through the same checks as any other.

        Args:
            inputs: Of the model, with the preprocessing of each int8 or uint8 input.
            outputs: Of the model.
            labels: Class names.

        Raises:
            InvalidManifestError: No manifest may hold these inputs, outputs or labels.
            SimulatedFaultError: The device is unplugged.
        """
        from edgekit.backends.standin import standin_bundle
        from edgekit.session import Session
        from edgekit.trust import accept_unsigned

        bundle = standin_bundle(inputs, outputs, labels)
        return Session(accept_unsigned(bundle), device=self)


def _checked(faults: object) -> tuple[Fault, ...]:
    """The faults as a tuple.

    Raises:
        SessionError: They are no sequence, or one of them is no fault.
    """
    if not isinstance(faults, Iterable):
        raise _no_fault("faults is a sequence of faults", faults)
    checked = tuple(faults)
    for fault in checked:
        if not isinstance(fault, Fault):
            raise _no_fault("a fault is one of edgekit.backends.faults", fault)
    return checked


def _no_fault(rule: str, got: object) -> SessionError:
    return SessionError(f"{rule}, and got {got!r:.60}", hint="faults=[FailEvery(3)], for instance")


class _Plug:
    """What sessions of one Simulation share: how many runs there were, and whether it is plugged in."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._unplugs = [fault for fault in faults if isinstance(fault, Unplug)]
        self._lock = threading.Lock()
        self._runs = 0
        self._times_unplugged = 0
        self._refusals = 0.0

    def connect(self) -> int:
        """Begin a session; the number that is given is good until the device is unplugged.

        Raises:
            SimulatedFaultError: It is unplugged.
        """
        with self._lock:
            if self._refusals > 0:
                self._refusals -= 1
                raise _unplugged("it is not plugged in")
            return self._times_unplugged

    def count_run(self, connection: int) -> int:
        """The number of the run that begins, from 1.

        Raises:
            SimulatedFaultError: The device is unplugged, or was since this connection began.
        """
        with self._lock:
            if connection != self._times_unplugged:
                raise _unplugged("it was unplugged while the session was open")
            for fault in self._unplugs:
                if fault.after == self._runs:
                    self._unplugs.remove(fault)
                    self._times_unplugged += 1
                    self._refusals = float("inf") if fault.opens is None else fault.opens
                    raise _unplugged(f"it was unplugged after {counted(self._runs)}")
            self._runs += 1
            return self._runs


def _unplugged(why: str) -> SimulatedFaultError:
    return SimulatedFaultError(
        f"the simulated device is gone: {why}", hint="close the session, and try to open another one"
    )


class SimulatedBackend:
    """The runtime of a Simulation; it opens any model, and runs none.

    Attributes:
        name: "simulated".
        version: edgekit's own.
        kernels: "builtin"; they make no difference.
    """

    name = "simulated"
    version = __version__
    kernels: Kernels = "builtin"

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def open(
        self, model: bytes, *, threads: int | None = None, kernels: Kernels = "builtin"
    ) -> SimulatedInterpreter:
        """Read what goes into a model and what comes out of it.

        Args:
            model: A .tflite flatbuffer.
            threads: Makes no difference.
            kernels: Makes no difference.

        Raises:
            MalformedModelError: It is not a sound .tflite.
            SimulatedFaultError: The device is unplugged.
        """
        from edgekit_targets.tflite import read_graph

        return SimulatedInterpreter(read_graph(model), self._simulation)


class SimulatedInterpreter:
    """One model on a simulated device.

    Attributes:
        inputs: The inputs, in the model's order.
        outputs: The outputs, in the model's order.
    """

    def __init__(self, graph: Graph, simulation: Simulation) -> None:
        main = graph.main
        self.inputs = tuple(_details(graph, index) for index in main.inputs)
        self.outputs = tuple(_details(graph, index) for index in main.outputs)
        self._names = _friendly_names(graph)
        self._simulation = simulation
        self._connection = simulation._plug.connect()
        self._runs = 0
        self._tensors: dict[int, NDArray[Any]] = {
            tensor.index: np.zeros(tensor.shape, tensor.dtype) for tensor in (*self.inputs, *self.outputs)
        }

    def set_input(self, index: int, array: NDArray[np.generic]) -> None:
        """Copy an array of the input's very shape and dtype into the tensor with this index.

        Raises:
            ValueError: It has another shape or dtype.
        """
        held = self._tensors[index]
        array = np.asarray(array)
        if array.dtype != held.dtype or array.shape != held.shape:
            raise ValueError(
                f"{array.dtype} of shape {array.shape} does not fit {held.dtype} of {held.shape}"
            )
        held[...] = array

    def invoke(self) -> None:
        """Take the time of a run, and answer.

        Raises:
            SimulatedFaultError: A fault that the user asked for.
            SessionError: The user's `answers` do not fit the model.
        """
        simulation = self._simulation
        run = simulation._plug.count_run(self._connection)
        self._runs += 1
        simulation.sleep(simulation.run_latency_ms(run) / 1000)
        why = failure(tuple(simulation.faults), run, self._runs)
        if why is not None:
            raise SimulatedFaultError(
                f"a simulated fault: {why}", hint="it was asked for by Simulation(faults=...)"
            )
        if simulation.answers is None:
            self._draw_answers(simulation.seed)
        else:
            self._take_answers(simulation.answers)

    def output(self, index: int) -> NDArray[Any]:
        """Copy the tensor with this index out."""
        return self._tensors[index].copy()

    def _draw_answers(self, seed: int) -> None:
        """Bytes of a hash over seed and inputs: in int32 and int64 outputs each is one small number, 0 to 255."""
        given = b"".join(self._tensors[tensor.index].tobytes() for tensor in self.inputs)
        for place, tensor in enumerate(self.outputs):
            held = self._tensors[tensor.index]
            drawn = np.frombuffer(_drawn(b"answer %d %d " % (seed, place) + given, held.size), np.uint8)
            values = drawn.view(np.int8) if tensor.dtype == "int8" else drawn
            held[...] = values.reshape(held.shape)

    def _take_answers(self, answers: Answers) -> None:
        answered = answers({self._names[t.index]: self._tensors[t.index].copy() for t in self.inputs})
        wanted = {self._names[tensor.index]: self._tensors[tensor.index] for tensor in self.outputs}
        if not isinstance(answered, Mapping) or set(answered) != set(wanted):
            got = ", ".join(map(str, answered)) if isinstance(answered, Mapping) else type(answered).__name__
            raise SessionError(
                f"Simulation.answers must give a dict with the outputs {', '.join(wanted)}, and gave {got}"
            )
        for name, held in wanted.items():
            array = np.asarray(answered[name])
            if array.dtype != held.dtype or array.shape not in (held.shape, held.shape[1:]):
                raise SessionError(
                    f"Simulation.answers must give {held.dtype} of shape {held.shape} for '{name}', "
                    f"and gave {array.dtype} of shape {array.shape}"
                )
            held[...] = array.reshape(held.shape)


def _drawn(key: bytes, size: int) -> bytes:
    from hashlib import shake_128

    return shake_128(key).digest(size)


def _friendly_names(graph: Graph) -> dict[int, str]:
    """Tensor number -> the name that the signature gives it, which the manifest has too, or its own."""
    names = {index: graph.main.tensors[index].name for index in (*graph.main.inputs, *graph.main.outputs)}
    for signature in graph.signatures:
        if signature.subgraph == graph.main.index:
            for ports in (signature.inputs, signature.outputs):
                names |= {index: name for name, index in ports.items()}
    return names


def _details(graph: Graph, index: int) -> TensorDetails:
    tensor = graph.main.tensors[index]
    quantization = tensor.quantization
    single = quantization is not None and len(quantization.scale) == 1
    return TensorDetails(
        index=index,
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.type.lower(),
        scale=quantization.scale[0] if quantization is not None and single else 0.0,
        zero_point=quantization.zero_point[0] if quantization is not None and single else 0,
    )
