"""From the start of a process to its first result: a script with edgekit beside a script with LiteRT alone.

Both run from compiled bytecode, as pip leaves it behind; an editable install has none where PYTHONDONTWRITEBYTECODE
is set, so that the first round, which is not counted, writes it to a folder of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

from commands import quiet_environment

_RSS = """
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")), answer.tobytes().hex())
"""

BARE = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
given, answered = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
interpreter.set_tensor(given["index"], np.load(sys.argv[2]))
interpreter.invoke()
answer = interpreter.get_tensor(answered["index"])
"""

EDGEKIT = """
import sys, warnings
import numpy as np
import edgekit
warnings.simplefilter("ignore")
with edgekit.load(sys.argv[1], trust=edgekit.UNSIGNED, threads=1) as model:
    answer = model.run_quantized(np.load(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True)
class Started:
    """The best of several processes: wall time in milliseconds, and peak RSS in MB (10^6 bytes)."""

    wall_ms: float
    rss_mb: float


def compare(model: Path, bundle: Path, sample: Path, rounds: int) -> tuple[Started, Started]:
    """The bare script and edgekit's, taking turns.

    Raises:
        SystemExit: Their results differ.
    """
    scripts = {BARE: model, EDGEKIT: bundle}
    seen: dict[str, list[Started]] = {script: [] for script in scripts}
    answers = set()
    with tempfile.TemporaryDirectory() as bytecode:
        environment = quiet_environment() | {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
        for number in range(rounds + 1):
            for script, file in scripts.items():
                started, answer = _run(script, file, sample, environment)
                answers.add(answer)
                if number:
                    seen[script].append(started)
    if len(answers) != 1:
        raise SystemExit(f"the two scripts give different results: {json.dumps(sorted(answers))}")
    bare, own = (
        Started(min(each.wall_ms for each in runs), min(each.rss_mb for each in runs))
        for runs in seen.values()
    )
    return bare, own


def _run(script: str, file: Path, sample: Path, environment: dict[str, str]) -> tuple[Started, str]:
    started = perf_counter_ns()
    done = subprocess.run(
        [sys.executable, "-c", script + _RSS, file, sample],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    wall_ns = perf_counter_ns() - started
    kib, answer = done.stdout.split()
    return Started(wall_ns / 1e6, int(kib) * 1024 / 1e6), answer
