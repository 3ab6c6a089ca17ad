"""Drives an installed edgetpu_compiler.

The compiler is closed and runs on x86-64 Debian alone; edgekit ships none and needs none to forecast. Options, output
and failures: coral.ai/docs/edgetpu/compiler, published logs, and issues of google-coral/edgetpu (see edgetpu_log.py).
It was not at hand when this was written: tests run a stand-in that behaves as those describe.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from edgekit.errors import CompilerError, CompilerNotFoundError
from edgekit_converters.compilers.compiled import Compiled, left_on_cpu, truth
from edgekit_converters.compilers.edgetpu_log import CompilerLog, failure, parse_log, reason_of
from edgekit_converters.compilers.process import Finished, run_tool
from edgekit_targets.forecast import ParameterForecast
from edgekit_targets.ops import OpView, view
from edgekit_targets.rules.edgetpu import COMPILED
from edgekit_targets.target import Target
from edgekit_targets.tflite import read_graph

NAME = "edgetpu_compiler"
_VERSION_TIMEOUT_S = 60.0
_TIMED_SINCE = 16  # the first version with --timeout_sec and --search_delegate
_STEM = "model"


def find_edgetpu_compiler() -> Path:
    """Returns where the compiler is installed.

    Raises:
        CompilerNotFoundError: It is not on the PATH.
    """
    found = shutil.which(NAME)
    if found is None:
        raise CompilerNotFoundError(
            f"{NAME} is not installed",
            hint="Google has it for x86-64 Debian and Ubuntu only: https://coral.ai/docs/edgetpu/compiler/ says how to "
            "install it; 'edgekit check' forecasts without it",
        )
    return Path(found)


def compile_edgetpu(
    model: bytes,
    target: Target,
    *,
    executable: Path | None = None,
    timeout_s: float = 600.0,
    several_partitions: bool = False,
    search_delegate: bool = False,
) -> Compiled:
    """Compiles a strictly int8 model for the Edge TPU.

    Args:
        model: The .tflite.
        target: A device with an Edge TPU.
        executable: The compiler; None for the one on the PATH.
        timeout_s: The longest that it may take. Its own limit is set below that.
        several_partitions: Let the Edge TPU run several pieces (-a, which the compiler calls experimental).
        search_delegate: Let the compiler look for a smaller part where the whole fails (--search_delegate).

    Returns:
        The compiled model, with where each operator is.

    Raises:
        CompilerNotFoundError: The compiler is not installed.
        CompilerError: It fails, does not end, or maps nothing.
        MalformedModelError: The model is no sound .tflite.
    """
    ops = view(read_graph(model))
    tool = executable if executable is not None else find_edgetpu_compiler()
    with tempfile.TemporaryDirectory(prefix="edgekit-") as name:
        folder = Path(name)
        version = _version(tool, folder)
        path = folder / f"{_STEM}.tflite"
        path.write_bytes(model)
        options = ["--show_operations", "--out_dir", str(folder)]
        if _major(version) >= _TIMED_SINCE:
            options += ["--timeout_sec", str(max(1, int(timeout_s * 0.9)))]
            options += ["--search_delegate"] if search_delegate else []
        options += ["--enable_multiple_subgraphs"] if several_partitions else []
        finished = run_tool([tool, *options, path], timeout_s=timeout_s, folder=folder)
        written = folder / f"{_STEM}_edgetpu.tflite"
        log = parse_log(finished.output)
        if finished.code != 0 or not log.succeeded or not written.is_file():
            raise _failed(finished, version)
        data = written.read_bytes()
    return _compiled(ops, target, data, log, finished, f"{NAME} {version}")


def _version(tool: Path, folder: Path) -> str:
    finished = run_tool([tool, "--version"], timeout_s=_VERSION_TIMEOUT_S, folder=folder)
    version = parse_log(finished.output).version
    if version is None:
        raise CompilerError(
            f"{tool} is not {NAME}: asked for its version, it says: {finished.last_words}",
            hint=f"'which {NAME}' shows what is found first on the PATH",
        )
    return version


def _major(version: str) -> int:
    digits = version.partition(".")[0]
    return int(digits) if digits.isdecimal() and len(digits) < 9 else 0


def _failed(finished: Finished, version: str) -> CompilerError:
    tool = f"{NAME} {version}"
    known = failure(finished.output)
    if known is not None:
        says, hint = known
        return CompilerError(f"{tool} failed: {says}", hint=hint)
    how = f"with exit status {finished.code}" if finished.code else "without a compiled model"
    return CompilerError(
        f"{tool} ended {how}: {finished.last_words}",
        hint="'edgekit check' says what is known to be in the way of the Edge TPU",
    )


def _compiled(
    ops: tuple[OpView, ...], target: Target, data: bytes, log: CompilerLog, finished: Finished, tool: str
) -> Compiled:
    """Reads the placement from the compiled file, and the reasons from the log."""
    on_cpu, partitions = left_on_cpu(ops, data, COMPILED)
    if log.mapped is not None and log.mapped != len(ops) - len(on_cpu):
        raise CompilerError(
            f"the log of {tool} has {log.mapped} operators on the Edge TPU, and the compiled file "
            f"{len(ops) - len(on_cpu)}: where they run cannot be told"
        )
    parameters = None
    if log.cached_bytes is not None and log.streamed_bytes is not None:
        total = log.cached_bytes + log.streamed_bytes
        parameters = ParameterForecast(total, log.cached_bytes, log.streamed_bytes)
    placed = truth(
        ops,
        target,
        on_cpu,
        tool=tool,
        reason=lambda op: reason_of(log, op.title),
        parameters=parameters,
        partitions=partitions,
    )
    remaining = {} if log.remaining_bytes is None else {"remaining_bytes": float(log.remaining_bytes)}
    return Compiled(data, placed, remaining, finished.output)
