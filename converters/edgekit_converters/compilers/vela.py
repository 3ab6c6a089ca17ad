"""Drives ethos-u-vela, Arm's compiler for the Ethos-U: the extra "ethos-u".

Written for 5.2.0. It is run as a program of its own, because it prints, ends its process on errors, and may be
installed apart from edgekit.
"""

from __future__ import annotations

import csv
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgekit.errors import CompilerError, MissingExtraError
from edgekit_converters.compilers.compiled import Compiled, left_on_cpu, truth
from edgekit_converters.compilers.process import Finished, run_tool
from edgekit_targets.ops import OpView, view
from edgekit_targets.target import Target
from edgekit_targets.tflite import read_graph

NAME = "vela"
ACCELERATED = "ethos-u"
"""The custom operator that Vela puts in the place of what it took."""

_VERSION_TIMEOUT_S = 60.0
_STEM = "model"
_KIB = 1024
_FIGURES = {  # of the summary: its column, our name, and what one of its units is in ours
    "inference_time": ("inference_ms", 1000.0),
    "cycles_total": ("cycles", 1.0),
    "core_clock": ("clock_mhz", 1e-6),
    "sram_memory_used": ("sram_bytes", _KIB),
    "dram_memory_used": ("dram_bytes", _KIB),
    "on_chip_flash_memory_used": ("on_chip_flash_bytes", _KIB),
    "off_chip_flash_memory_used": ("off_chip_flash_bytes", _KIB),
}


def find_vela() -> Path:
    """Returns where Vela is installed: beside this Python, or on the PATH.

    Raises:
        MissingExtraError: It is not.
    """
    beside = Path(sys.executable).with_name(NAME)
    found = str(beside) if beside.is_file() else shutil.which(NAME)
    if found is None:
        raise MissingExtraError("compiling for an Ethos-U", "ethos-u")
    return Path(found)


def compile_vela(
    model: bytes, target: Target, *, executable: Path | None = None, timeout_s: float = 600.0
) -> Compiled:
    """Compiles a strictly int8 model for an Ethos-U.

    Args:
        model: The .tflite.
        target: A device with an Ethos-U, whose options for Vela its file states.
        executable: Vela; None for the installed one.
        timeout_s: The longest that it may take.

    Returns:
        The compiled model, with where each operator is. Its figures hold what Vela's model of the hardware
        estimates: "inference_ms", "cycles", "sram_bytes" and so on.

    Raises:
        MissingExtraError: Vela is not installed.
        CompilerError: It fails, does not end, or takes nothing.
        MalformedModelError: The model is no sound .tflite.
    """
    options = None if target.accelerator is None else target.accelerator.compiler_options
    if options is None:
        raise CompilerError(
            f"{target.name} does not say how Vela is to compile for it",
            hint='its device file needs "compiler_options" under [accelerator]',
        )
    ops = view(read_graph(model))
    tool = executable if executable is not None else find_vela()
    with tempfile.TemporaryDirectory(prefix="edgekit-") as name:
        folder = Path(name)
        version = _version(tool, folder)
        path = folder / f"{_STEM}.tflite"
        path.write_bytes(model)
        command: list[str | Path] = [tool, path, "--output-dir", folder, *options.value]
        finished = run_tool(command, timeout_s=timeout_s, folder=folder)
        written = folder / f"{_STEM}_vela.tflite"
        if finished.code != 0 or not written.is_file():
            raise _failed(finished, version)
        data, figures = written.read_bytes(), _figures(folder)
    return _compiled(ops, target, data, figures, finished.output, f"ethos-u-vela {version}")


def _version(tool: Path, folder: Path) -> str:
    finished = run_tool([tool, "--version"], timeout_s=_VERSION_TIMEOUT_S, folder=folder)
    version = finished.output.strip()
    if finished.code != 0 or not re.fullmatch(r"\d+\.\d+\S*", version):
        raise CompilerError(
            f"{tool} is not Vela: asked for its version, it says: {finished.last_words}",
            hint="install it into the Python that runs edgekit: pip install 'edgekit[ethos-u]'",
        )
    return version


def _failed(finished: Finished, version: str) -> CompilerError:
    """Vela reports what it refuses as the last exception of a traceback."""
    match = re.search(
        r"^(?:[\w.]+Error: )(?:Compilation failed: )?(?:'?Error: )?(.+)$", finished.output, re.M
    )
    if match is None:
        why = finished.last_words
    else:
        rest = finished.output[match.end() :].strip().splitlines()
        why = " ".join([match[1], *(line.strip() for line in rest[:3])])
    shown = "".join(c if c.isprintable() else "?" for c in why)
    return CompilerError(
        f"ethos-u-vela {version} refuses the model: {shown[:500]}",
        hint="'edgekit check' says which operators an Ethos-U takes; give it a strictly int8 model",
    )


def _figures(folder: Path) -> Mapping[str, float]:
    """Reads the summary that Vela writes beside the model; its name ends in the system's."""
    found = sorted(folder.glob(f"{_STEM}_summary_*.csv"))
    if not found:
        return {}
    with found[0].open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file), {})
    figures = {}
    for column, (name, unit) in _FIGURES.items():
        try:
            figures[name] = float(row[column]) * unit
        except (KeyError, ValueError):
            continue  # another version may leave a column out
    return figures


def _reasons(output: str) -> Mapping[str, str]:
    """Reads why operators stay on the CPU, by the name of their output.

    Vela prints "Warning (supported operators) operator: QUANTIZE, ofm: 'name'", then "Reason: ..." and lines of detail.
    """
    pattern = r"operator: \S+, ofm: '(.*)'\n\s*Reason: (.+(?:\n(?!\s*$|Warning).+)*)"
    return {name: " ".join(reason.split()) for name, reason in re.findall(pattern, output)}


def _compiled(
    ops: tuple[OpView, ...],
    target: Target,
    data: bytes,
    figures: Mapping[str, float],
    output: str,
    tool: str,
) -> Compiled:
    on_cpu, partitions = left_on_cpu(ops, data, ACCELERATED)
    reasons = _reasons(output)
    placed = truth(
        ops,
        target,
        on_cpu,
        tool=tool,
        reason=lambda op: reasons.get(op.name, "left on the CPU, without a reason in the log"),
        parameters=None,
        partitions=partitions,
    )
    return Compiled(data, placed, figures, output)
