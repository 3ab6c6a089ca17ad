"""LiteRT's own profiler, which only its C interface offers: libLiteRt.so of the package ai-edge-litert, by ctypes.

Names and parameters are those of version 2.3.0 (litert/c/*.h of google-ai-edge/LiteRT; they changed in 1.4, 2.0.3,
2.1.0 and 2.2), checked by running them. Only a child process should use this: the profiler's ring buffer takes
68 MB, and a wrong parameter would end the process instead of raising.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_int, c_int64, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.backends import Kernels

VERSION = "2.3.0"
LIBRARY = "libLiteRt.so"

KERNEL_MODES: dict[Kernels, int] = {"xnnpack": 0, "builtin": 2}
"""LiteRtCpuKernelMode in litert/c/options/litert_cpu_options.h. Its mode 1, "reference", is left out: with it the
built-in kernels run (MobileNetV1 0.25 takes 1.7 ms, and 16.4 ms on the reference kernels of `Interpreter`)."""

OPERATOR, DELEGATED = 1 << 1, 1 << 3
"""Kinds of events (tflite/core/api/profiler.h): an operator of the runtime's own, and one inside a delegate."""

_CPU = 1  # kLiteRtHwAcceleratorCpu
_WRITE = 1  # kLiteRtTensorBufferLockModeWrite
_TENSOR_TYPE_BYTES = 256  # more than sizeof(LiteRtRankedTensorType): two words and two arrays of 8 dimensions


class LiteRtCError(Exception):
    """A function of the C interface fails, or is not there."""


class _Event(ctypes.Structure):
    """ProfiledEventData in litert/c/litert_profiler_event.h; a MemoryUsage has three 64-bit numbers."""

    _fields_ = (
        ("tag", c_char_p),
        ("kind", c_int),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("memory", c_int64 * 6),
        ("node", c_uint64),
        ("subgraph", c_uint64),
        ("source", c_int),
    )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the profiler timed.

    Attributes:
        kind: `OPERATOR` or `DELEGATED`.
        name: The operator's, as the runtime or the delegate calls it.
        node: Its number in the model, or inside the delegate.
        elapsed_us: How long it took.
    """

    kind: int
    name: str
    node: int
    elapsed_us: int


class ProfiledModel:
    """A model compiled with the profiler on board. Nothing is given back: the process ends soon.

    Args:
        model: A .tflite flatbuffer.
        threads: Threads for one inference.
        kernels: Which kernels to run on.
        inputs: The bytes of each input.

    Raises:
        LiteRtCError: The library cannot be loaded, or refuses something.
    """

    def __init__(self, model: bytes, threads: int, kernels: Kernels, inputs: Sequence[bytes]) -> None:
        self._library = _load()
        self._kept: list[Any] = []  # what the library reads for as long as it runs
        environment = self._new("LiteRtCreateEnvironment", c_int(0), None)
        data = self._keep(ctypes.create_string_buffer(model, len(model)))
        loaded = self._new("LiteRtCreateModelFromBuffer", environment, data, c_size_t(len(model)))
        options = self._new("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, c_int(_CPU))
        self._add(options, "xnnpack", f"kernel_mode = {KERNEL_MODES[kernels]}\nnum_threads = {threads}\n")
        self._add(options, "runtime_options_string", "enable_profiling = true\n")
        self._model = self._new("LiteRtCreateCompiledModel", environment, loaded, options)
        main = self._new("LiteRtGetModelSubgraph", loaded, c_size_t(0))
        self._inputs = self._buffers("Input", environment, main)
        self._outputs = self._buffers("Output", environment, main)
        for buffer, content in zip(self._inputs, inputs, strict=True):
            self._fill(buffer, content)
        self._profiler = self._new("LiteRtCompiledModelGetProfiler", self._model)

    def run(self) -> None:
        """Runs the model once."""
        self._call(
            "LiteRtRunCompiledModel",
            self._model,
            c_size_t(0),
            c_size_t(len(self._inputs)),
            self._inputs,
            c_size_t(len(self._outputs)),
            self._outputs,
        )

    def profile(self, runs: int) -> list[Event]:
        """Runs the model under the profiler, after one run without it.

        Args:
            runs: How often.

        Returns:
            The operators of the main subgraph, run after run in the order of execution.
        """
        self.run()
        self._call("LiteRtResetProfiler", self._profiler)
        self._call("LiteRtStartProfiler", self._profiler)
        for _ in range(runs):
            self.run()
        self._call("LiteRtStopProfiler", self._profiler)
        count = c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, byref(count))
        events = (_Event * count.value)()
        self._call("LiteRtGetProfilerEvents", self._profiler, count, events)
        return [
            Event(event.kind, event.tag.decode("utf-8", "backslashreplace"), event.node, event.elapsed_us)
            for event in events
            if event.kind in (OPERATOR, DELEGATED) and event.subgraph == 0
        ]

    def _buffers(self, side: str, environment: c_void_p, subgraph: c_void_p) -> Any:
        """A buffer of the library's own for each input or output."""
        count = c_size_t()
        self._call(f"LiteRtGetNumSubgraph{side}s", subgraph, byref(count))
        made = (c_void_p * count.value)()
        for index in range(count.value):
            tensor = self._new(f"LiteRtGetSubgraph{side}", subgraph, c_size_t(index))
            kind = ctypes.create_string_buffer(_TENSOR_TYPE_BYTES)
            self._call("LiteRtGetRankedTensorType", tensor, kind)
            place = (self._model, c_size_t(0), c_size_t(index))
            needs = self._new(f"LiteRtGetCompiledModel{side}BufferRequirements", *place)
            buffer = self._new("LiteRtCreateManagedTensorBufferFromRequirements", environment, kind, needs)
            made[index] = buffer.value
        return made

    def _fill(self, buffer: int, content: bytes) -> None:
        handle, size, address = c_void_p(buffer), c_size_t(), c_void_p()
        self._call("LiteRtGetTensorBufferPackedSize", handle, byref(size))
        if size.value != len(content):
            raise LiteRtCError(f"an input takes {size.value} bytes, and got {len(content)}")
        self._call("LiteRtLockTensorBuffer", handle, byref(address), c_int(_WRITE))
        ctypes.memmove(address, content, len(content))
        self._call("LiteRtUnlockTensorBuffer", handle)

    def _add(self, options: c_void_p, kind: str, toml: str) -> None:
        """Adds options that the library takes as text."""
        text = self._keep(ctypes.create_string_buffer(toml.encode()))
        added = self._new("LiteRtCreateOpaqueOptions", c_char_p(kind.encode()), text, self._keep(_NOTHING))
        self._call("LiteRtAddOpaqueOptions", options, added)

    def _keep(self, value: Any) -> Any:
        self._kept.append(value)
        return value

    def _new(self, name: str, *arguments: Any) -> c_void_p:
        """Calls a function that hands out a handle through its last parameter."""
        handle = c_void_p()
        self._call(name, *arguments, byref(handle))
        return handle

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise LiteRtCError(f"{LIBRARY} has no {name}") from None
        status = function(*arguments)
        if status:
            raise LiteRtCError(f"{name} fails with status {status}")


_NOTHING = ctypes.CFUNCTYPE(None, c_void_p)(lambda _: None)  # the texts of options are ours to free


def _load() -> ctypes.CDLL:
    spec = find_spec("ai_edge_litert")
    if spec is None or spec.origin is None:
        raise LiteRtCError("ai-edge-litert is not installed")
    try:
        return ctypes.CDLL(str(Path(spec.origin).parent / LIBRARY))
    except OSError as error:
        raise LiteRtCError(f"{LIBRARY} cannot be loaded: {error}") from None
