"""Run a verified bundle: `Session`."""

from __future__ import annotations

from _thread import allocate_lock  # threading's own Lock; importing that costs 0.4 ms
from collections.abc import Mapping
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np

from edgekit.backends.choose import choose
from edgekit.engine import Engine, closed, joined
from edgekit.errors import InputError, SessionError, TrustRequiredError
from edgekit.ports import QUANTIZED, Input, Output, indices
from edgekit.preprocess import dequantize
from edgekit.result import Result, Timing, best_labels
from edgekit.samples import raw_samples
from edgekit.trust import VerifiedBundle

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Any, Literal, Self

    from numpy.typing import NDArray

    from edgekit.backends import Kernels
    from edgekit.backends.simulated import Simulation
    from edgekit.manifest import Manifest
    from edgekit.profiling.record import Profile
    from edgekit.result import Labels
    from edgekit.streams import Worker

    Sample = NDArray[Any] | str | os.PathLike[str]


class Session:
    """A model that is open and ready to run. Threads may share it.

    There is one interpreter and one lock: calls of several threads take turns, whole samples at a time (a batch is
    several). What a call returns is the caller's own. Resizing images and reading files happen outside the lock.

    Attributes:
        manifest: What the bundle says of itself.
        device: What runs the model: "cpu", "usb:0", "pci:0" (with any number) or "simulated".
        threads: Threads for one inference; None left it to the runtime.
        kernels: The kernel set that it runs on.
        fallback: Why the CPU runs it although an Edge TPU was asked for; None where nothing fell back.
    """

    def __init__(
        self,
        bundle: VerifiedBundle,
        *,
        device: str | Simulation = "auto",
        threads: int | None = None,
        fallback: bool = False,
        screened: str | None = None,
    ) -> None:
        """Open the model of a verified bundle.

        Args:
            bundle: From `edgekit.trust`; nothing else is accepted.
            device: "auto" (the Edge TPU where the bundle was compiled for one, else the CPU), "cpu", "usb", "usb:N",
                "pci", "pci:N", or a `Simulation`.
            threads: Threads for one inference, 1 to 1024; None leaves it to the runtime.
            fallback: Whether the CPU may run the int8 model of the bundle where the Edge TPU cannot be used.
            screened: The device on which these very bytes have passed firewall and self-test, as only `edgekit.load`
                knows from the state store; there they need no second look.

        Raises:
            TrustRequiredError: The bundle is not verified.
            MalformedModelError: The firewall refuses the model; no runtime has seen it.
            RuntimeNotFoundError: No TFLite runtime is installed.
            DeviceError: The Edge TPU that is wanted cannot be used, and `fallback` is False.
            SessionError: The runtime refuses the model or is too old for it, the model is not the one that the
                manifest describes, or `threads` makes no sense.
        """
        if not isinstance(bundle, VerifiedBundle):
            raise TrustRequiredError(
                f"a session takes a VerifiedBundle, and got {type(bundle).__name__}",
                hint="use edgekit.load(path, trust=...)",
            )
        if threads is not None:
            from edgekit.arguments import MOST_THREADS, whole

            threads = whole("threads", threads, 1, most=MOST_THREADS, error=SessionError)
        manifest = bundle.manifest
        choice = choose(
            device,
            variants=bundle.members,
            runtime=manifest.runtime,
            targets=manifest.targets,
            fallback=fallback,
        )
        model = bytes(bundle.members[choice.variant])
        if screened != choice.device:
            from edgekit.firewall import check_variant

            check_variant(choice.variant, model, executed=choice.device != "simulated")
        interpreter = choice.backend.open(model, threads=threads, kernels=choice.kernels)
        places = indices("input", manifest.inputs, interpreter.inputs)
        inputs = tuple(map(Input, manifest.inputs, places))
        places = indices("output", manifest.outputs, interpreter.outputs)
        outputs = tuple(map(Output, manifest.outputs, places))
        self._engine = Engine(interpreter, inputs, outputs)
        # The method below says what it does; this is the same, less the step through it.
        self.run_quantized = self._engine.short_way()  # type: ignore[method-assign, assignment]
        self._scores = _scores_name(manifest)
        self._backend = choice.backend
        self._lock = allocate_lock()
        self._worker: Worker[Result] | None = None
        self.manifest: Manifest = manifest
        self.device: str = choice.device
        self.threads: int | None = threads
        self.kernels: Kernels = choice.kernels
        self.fallback: str | None = choice.fallback

    @property
    def runtime(self) -> str:
        """Name and version of what runs the model, as in "ai-edge-litert 2.3.0"."""
        return f"{self._backend.name} {self._backend.version}"

    @property
    def closed(self) -> bool:
        """Whether the session takes no further sample."""
        return self._engine.closed

    def run(self, x: Sample | Mapping[str, Sample], *, top: int = 5) -> Result:
        """Run one sample or a batch, from raw data to real values and labels.

        Args:
            x: A raw sample of the dtype and shape that the manifest's preprocessing says, with or without the
                batch axis, or several along the first axis; for an image input also the path of an image. A
                dict by input name where the model has several inputs.
            top: At most how many labels to give for each sample.

        Raises:
            InputError: The sample does not fit the model, or `top` is no whole number from 0.
            BadSampleError: An image file cannot be read.
            SessionError: The session is closed, or the runtime failed.
        """
        if type(top) is not int or top < 0:
            from edgekit.arguments import whole

            top = whole("top", top, 0, error=InputError)
        specs = self.manifest.inputs
        answers = [self._answer(row, top) for row in raw_samples(x, specs)]
        if len(answers) == 1:
            quantized, outputs, labels, timing = answers[0]
            return Result(outputs, quantized, (labels,), (timing,), self.device, self.fallback)
        all_quantized, all_outputs, ranking, timings = zip(*answers, strict=True)
        return Result(
            joined(all_outputs), joined(all_quantized), ranking, timings, self.device, self.fallback
        )

    def run_quantized(
        self, x: NDArray[Any] | Mapping[str, NDArray[Any]]
    ) -> NDArray[Any] | dict[str, NDArray[Any]]:
        """Run the model's own integers, with no preprocessing and no conversion of the outputs.

        Args:
            x: An array of the input's very dtype (int8), with or without the batch axis, or several samples along
                it. A dict by input name where the model has several inputs.

        Returns:
            The output's integers, one row a sample; a dict by output name where there are several. They are
            copies, the caller's own, and no later call changes them.

        Raises:
            InputError: The sample does not fit the model.
            SessionError: The session is closed, or the runtime failed.
        """
        return self._engine.infer_quantized(x)

    def run_async(self, x: Sample | Mapping[str, Sample]) -> Future[Result]:
        """Run one sample, or a batch, on a background thread of this session, in the order of the calls.

        Args:
            x: As for `run`. It must stay unchanged until the future is done.

        Returns:
            The future of what `run` returns or raises. `close` fails what has not begun with a SessionError.

        Raises:
            SessionError: The session is closed.
        """
        from edgekit.streams import Worker

        with self._lock:
            if self.closed:
                raise closed()
            if self._worker is None:
                self._worker = Worker(self.run)
            worker = self._worker
        return worker.submit(x)

    def stream(
        self,
        iterable: Iterable[Any],
        *,
        queue: int = 2,
        when_full: Literal["wait", "drop-oldest"] = "wait",
    ) -> Iterator[Result]:
        """Run samples as they come: a second thread takes them while this one infers. Order is kept.

        Args:
            iterable: Samples as for `run`; it is iterated on the second thread.
            queue: How many samples may wait.
            when_full: "wait" holds the iterable back; "drop-oldest" drops what has waited longest, so that a slow
                model always sees the latest frame of a camera.

        Returns:
            An iterator of the results; `edgekit.streams.Stream` says what else it can.

        Raises:
            SessionError: The session is closed, or a keyword has no such value.
        """
        from edgekit.streams import stream

        if self.closed:
            raise closed()
        return stream(self.run, iterable, queue=queue, when_full=when_full)

    def profile(
        self, x: Sample | Mapping[str, Sample] | None = None, *, runs: int = 200, warmup: int = 20
    ) -> Profile:
        """Measure where time and memory go on this machine, and under which conditions.

        Args:
            x: What `run` takes, one sample or a batch; None draws random values.
            runs: How many runs are measured.
            warmup: How many runs come before them.

        Raises:
            InputError: The sample does not fit the model.
            ProfileError: `runs` or `warmup` makes no sense.
            SessionError: The session is closed, or the runtime failed.
        """
        from edgekit.profiling import profile_session

        if self.closed:
            raise closed()
        return profile_session(self, x, runs=runs, warmup=warmup)

    def close(self) -> None:
        """Give the model's memory back, once the sample that runs now is done. Closing twice does no harm."""
        with self._lock:
            self._engine.close()
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.close(finish=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(
        self, row: tuple[NDArray[Any], ...], top: int
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]], Labels, Timing]:
        """The model's integers, their real values, the labels and the times of one raw sample."""
        started = perf_counter_ns()
        fitted = tuple(port.fit(raw) for port, raw in zip(self._engine.inputs, row, strict=True))
        fit_ns = perf_counter_ns() - started
        quantized, feed_ns, invoke_ns = self._engine.infer(fitted, raw=True)
        started = perf_counter_ns()
        outputs = {port.name: _real(quantized[port.name], port) for port in self._engine.outputs}
        labels: Labels = ()
        if self._scores is not None and self.manifest.labels is not None:
            labels = best_labels(quantized[self._scores], outputs[self._scores], self.manifest.labels, top)
        return (
            quantized,
            outputs,
            labels,
            Timing(fit_ns + feed_ns, invoke_ns, perf_counter_ns() - started),
        )


def _scores_name(manifest: Manifest) -> str | None:
    """The one output that has a value for each label, if there is exactly one."""
    if manifest.labels is None:
        return None
    fitting = [spec.name for spec in manifest.outputs if int(np.prod(spec.shape)) == len(manifest.labels)]
    return fitting[0] if len(fitting) == 1 else None


def _real(stored: NDArray[Any], port: Output) -> NDArray[Any]:
    spec = port.spec
    return dequantize(stored, spec.scale, spec.zero_point) if spec.dtype in QUANTIZED else stored
