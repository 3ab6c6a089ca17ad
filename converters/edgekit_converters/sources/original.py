"""The model in its own framework, alive in a process of its own: it exports itself, and runs real samples to compare."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import (
    EdgekitError,
    SourceError,
    UnsupportedModelError,
    UntrustedCodeError,
    WorkerCrashedError,
)
from edgekit_converters.sources.naming import refuse_input_type

_STAGES = Path(__file__).parent / "stages"
_TAIL_LINES = 5
_TAIL_WIDTH = 300
_KINDS: Mapping[str, type[EdgekitError]] = {
    "unsupported": UnsupportedModelError,
    "code": UntrustedCodeError,
    "source": SourceError,
}


class Original:
    """A stage script in the Python that has the framework.

    The process ends when this is closed or forgotten, as its stdin ends then.

    Args:
        stage: Name of the script, such as "torch_stage".
        python: The interpreter that runs it.
        framework: What it is called in messages, such as "PyTorch".
        folder: Where large files go, and what a model in memory was saved to; is removed in the end.
    """

    def __init__(
        self, stage: str, python: Path, framework: str, folder: tempfile.TemporaryDirectory[str] | None = None
    ) -> None:
        self.framework = framework
        self._kept = folder or tempfile.TemporaryDirectory(prefix="edgekit-")
        self.folder = Path(self._kept.name)
        with (self.folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                [str(python), str(_STAGES / f"{stage}.py"), str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=_environment(python),
                start_new_session=True,
                text=True,
                encoding="utf-8",
            )

    def close(self) -> None:
        """Ends the process and removes its files."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        self._kept.cleanup()

    def ask(self, do: str, **words: object) -> dict[str, Any]:
        """One request.

        Raises:
            EdgekitError: What the stage refused; or that it failed, with its traceback in `__notes__`.
            WorkerCrashedError: The process died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do} | words) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise self._crashed(do)
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise _refused(answer["refused"])
        if "failed" in answer:
            error = UnsupportedModelError(
                f"{self.framework} cannot {do} the model: {answer['failed']}",
                hint="does the model run in its own framework? If so, please report it, with the model or one like it",
            )
            error.add_note(answer["traceback"])
            raise error
        done: dict[str, Any] = answer["done"]
        return done

    def run(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the model itself answers.

        Args:
            rows: By input name, float32, (samples, *shape of the input with its batch of 1).

        Returns:
            By output name, float32, (samples, *shape of the output).

        Raises:
            EdgekitError: See `ask`.
        """
        np.savez(self.folder / "inputs.npz", **rows)  # type: ignore[arg-type]  # names of arrays, not of options
        self.ask("run", count=len(next(iter(rows.values()))))
        with np.load(self.folder / "outputs.npz", allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def _crashed(self, do: str) -> WorkerCrashedError:
        status = self._process.wait()
        text = (self.folder / "said").read_text("utf-8", errors="replace")
        lines = [line.strip()[:_TAIL_WIDTH] for line in text.splitlines() if line.strip()][-_TAIL_LINES:]
        said = f"; its last words: {' | '.join(lines)}" if lines else ""
        return WorkerCrashedError(
            f"the {self.framework} process ended with status {status} while trying to {do} the model{said}",
            hint="make its environment anew with edgekit env create, and please report it with the model, or one like it",
        )


def _refused(said: Mapping[str, str]) -> EdgekitError:
    if said["kind"] == "dtype":
        return refuse_input_type(said["message"], said["hint"])
    return _KINDS[said["kind"]](said["message"], hint=said["hint"])


def _environment(python: Path) -> dict[str, str]:
    """Ours, without the paths of this Python, and with the programs of that environment first."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    return kept | {
        "PATH": os.pathsep.join([str(python.parent), kept.get("PATH", "")]),
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def stacked(samples: Sequence[Mapping[str, np.ndarray]], name: str) -> np.ndarray:
    """The arrays of one input as one, a row a sample."""
    return np.stack([sample[name] for sample in samples])
