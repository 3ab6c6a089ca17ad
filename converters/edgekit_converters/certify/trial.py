"""Runs one model on one board, on every set of kernels, and tells which of them came through."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekit.backends import Kernels
from edgekit.backends.wrapped import RESOLVERS
from edgekit.errors import EmulatorError
from edgekit_converters.certify import onboard
from edgekit_converters.certify.emulator import Ended, Machine
from edgekit_converters.certify.vectors import Vectors

MODULES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answered on one set of kernels.

    Attributes:
        outputs: One array for each output, [samples, *shape without batch].
    """

    outputs: tuple[np.ndarray, ...] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer.

    Attributes:
        signal: The signal that ended the program, such as "SIGILL"; None where it ended with an error.
        step: What it was about to do, such as "import numpy".
        said: The last of what it wrote.
    """

    signal: str | None
    step: str
    said: str


def try_kernels(
    machine: Machine,
    runtime: str,
    kernels: Sequence[Kernels],
    model: bytes,
    vectors: Vectors,
    timeout_s: float,
) -> dict[Kernels, Answers | Failure]:
    """Runs a model on a board; where one set of kernels ends the program, the others are run without it.

    Args:
        machine: The board.
        runtime: The runtime's name for pip.
        kernels: Which sets of its kernels.
        model: The .tflite.
        vectors: What it is run on.
        timeout_s: How long one program may take, in seconds.

    Returns:
        An entry for each of `kernels`, in their order.

    Raises:
        EmulatorError: The emulator hung or was ended from outside, or the program left no sound answer.
    """
    found: dict[Kernels, Answers | Failure] = {}
    with tempfile.TemporaryDirectory(prefix="edgekit-") as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model)
        np.savez(folder / "inputs.npz", **{f"input.{n}": array for n, array in enumerate(vectors.inputs)})  # type: ignore[arg-type]
        while waiting := [each for each in kernels if each not in found]:
            ended = _run(machine, runtime, waiting, folder, timeout_s)
            found |= _outcome(ended, waiting, folder, vectors.count, machine.board.name)
    return {each: found[each] for each in kernels}


def _run(machine: Machine, runtime: str, kernels: Sequence[Kernels], folder: Path, timeout_s: float) -> Ended:
    words: list[str | Path] = [
        str(onboard.__file__),
        folder,
        MODULES[runtime],
        *(f"{each}={RESOLVERS[each]}" for each in kernels),
    ]
    return machine.python(words, path=[machine.system.site(runtime)], timeout_s=timeout_s)


def _outcome(
    ended: Ended, waiting: Sequence[Kernels], folder: Path, count: int, board: str
) -> Mapping[Kernels, Answers | Failure]:
    """What a program left behind: the answers that it finished, and how it ended."""
    done, step, began = _spoken(ended.stdout)
    found: dict[Kernels, Answers | Failure] = {
        each: Answers(_read(folder / f"{each}.npz", count, board)) for each in waiting if each in done
    }
    if ended.code == 0:
        if len(found) < len(waiting):
            raise EmulatorError(f"{board}: the program ended without an answer; it said:\n{ended.tail}")
        return found
    failure = Failure(ended.fault, step, ended.stderr.decode("utf-8", "replace").strip()[-1000:])
    # Before the first set of kernels it is the board that failed, and none of them can run.
    blamed = [each for each in waiting if each not in found] if began is None else [began]
    return found | dict.fromkeys((each for each in waiting if each in blamed), failure)


def _spoken(stdout: bytes) -> tuple[set[str], str, str | None]:
    """The sets of kernels that are done, the last step, and the set that it belongs to."""
    done: set[str] = set()
    step, began = "start Python", None
    for line in stdout.decode("utf-8", "replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # a library's own words
            continue
        if isinstance(entry, dict) and "done" in entry:
            done.add(str(entry["done"]))
        elif isinstance(entry, dict) and "step" in entry:
            step, began = str(entry["step"]), entry.get("kernels")
    return done, step, began


def _read(path: Path, count: int, board: str) -> tuple[np.ndarray, ...]:
    try:
        with np.load(path) as arrays:
            outputs = tuple(arrays[f"output.{number}"] for number in range(len(arrays.files)))
    except (OSError, ValueError, KeyError) as error:
        raise EmulatorError(f"{board}: the program's answer cannot be read: {error}") from error
    if not outputs or {len(array) for array in outputs} != {count}:
        raise EmulatorError(
            f"{board}: the program answered {len(outputs)} outputs, not of {count} samples each"
        )
    return outputs
