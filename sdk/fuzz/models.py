"""Structure-aware mutants of .tflite files through the firewall, and those that pass through the sandboxed self-test.

    python sdk/fuzz/models.py                        5,000 mutants of small models of one operator each
    python sdk/fuzz/models.py --models DIR --alone       also of the files in a folder; and shows the mutants to LiteRT
                                                     without a firewall, each in a process of its own

The self-test is the real one (`edgekit.selftest.child.answer` in `edgekit.selftest.sandbox`), in a fork of a process
that has the runtime imported, since starting Python takes longer than the test; `--whole N` also sends the first N that
pass through `edgekit.selftest.self_test` itself. What must hold: this process never dies, and nothing but edgekit's own
errors comes out of the firewall.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import random
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "device_targets/tests"))

from firewall_models import chained, sound_models  # noqa: E402
from model_mutations import mutate  # noqa: E402

import edgekit.session  # noqa: E402, F401  (imported before the forks)
from edgekit.arrays import write_arrays  # noqa: E402
from edgekit.backends.litert import LiteRtBackend  # noqa: E402
from edgekit.bundle import GOLDEN, MANIFEST, MODEL, read_unverified, write_bundle  # noqa: E402
from edgekit.errors import EdgekitError, MalformedModelError, SelfTestError  # noqa: E402
from edgekit.firewall import check_variant  # noqa: E402
from edgekit.manifest import CalibrationRecord, GoldenRecord, Manifest, Preprocessing, TensorSpec  # noqa: E402
from edgekit.selftest.child import Request, answer  # noqa: E402
from edgekit.selftest.conduct import self_test  # noqa: E402
from edgekit.selftest.golden import compare, expected, read_golden  # noqa: E402
from edgekit.selftest.sandbox import enter, rules_for  # noqa: E402
from edgekit.trust import accept_unsigned  # noqa: E402
from edgekit_converters.quantize.int16 import convertible, widen  # noqa: E402
from edgekit_targets.tflite import Tensor, read_graph  # noqa: E402

TIMEOUT_S = 10.0
COUNT = 2
STOPPED = "stopped by the firewall"


@dataclass(frozen=True)
class Seed:
    """A sound model with the manifest and golden vectors of its bundle."""

    name: str
    model: bytes
    manifest: Manifest
    golden: bytes

    def bundle(self, model: bytes) -> bytes:
        return write_bundle({MODEL: model, MANIFEST: self.manifest.to_bytes(), GOLDEN: self.golden})


def in_fork(work: Callable[[], Any]) -> tuple[str, Any]:
    """What `work` gives in a fork: ("done", value), ("error", type name), ("crash", signal) or ("hang", None)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            said: tuple[str, Any] = ("done", work())
        except BaseException as error:
            said = ("error", type(error).__name__)
        with os.fdopen(writer, "wb") as stream:
            pickle.dump(said, stream)
        os._exit(0)
    os.close(writer)
    deadline, said_bytes = time.monotonic() + TIMEOUT_S, b""
    with os.fdopen(reader, "rb", buffering=0) as stream:
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "hang", None
            chunk = stream.read(1 << 16)
            if not chunk:
                break
            said_bytes += chunk
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return "crash", signal.Signals(os.WTERMSIG(status)).name
    return pickle.loads(said_bytes) if said_bytes else ("crash", f"exit {status}")


def seed_of(name: str, model: bytes) -> Seed | None:
    """The seed of a sound model; None where a manifest cannot hold its inputs or outputs, or the runtime refuses it."""
    main = read_graph(model).main

    def spec(tensor: Tensor, given: bool) -> TensorSpec:
        q = tensor.quantization
        scaled = q is not None and len(q.scale) == 1
        raw = Preprocessing("array", "float32") if given and tensor.type in ("INT8", "UINT8") else None
        scale, zero = (q.scale[0], q.zero_point[0]) if scaled and q is not None else (1.0, 0)
        return TensorSpec(tensor.name, tensor.shape, tensor.type.lower(), scale, zero, None, raw)

    try:
        manifest = Manifest(
            name="seed",
            version="1.0.0",
            security_epoch=0,
            targets=("raspberry-pi-4",),
            inputs=tuple(spec(main.tensors[n], True) for n in main.inputs),
            outputs=tuple(spec(main.tensors[n], False) for n in main.outputs),
            labels=None,
            calibration=CalibrationRecord("none", "0" * 64, 1, 1, 0, "minmax"),
            recipe={},
            tools={"machine": os.uname().machine},
            accuracy=None,
            exceptions=(),
            runtime={MODEL: {}},
            golden=GoldenRecord(COUNT, 0, "drawn", {"xnnpack": 1, "builtin": 16}),
        )
    except EdgekitError:
        return None
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        f"input.{n}": generator.integers(0, 3, (COUNT, *s.shape[1:])).astype(s.dtype)
        for n, s in enumerate(manifest.inputs)
    }

    def run() -> list[Any]:
        interpreter = LiteRtBackend().open(model)
        rows = []
        for row in range(COUNT):
            for number, details in enumerate(interpreter.inputs):
                interpreter.set_input(details.index, arrays[f"input.{number}"][row][None])
            interpreter.invoke()
            rows.append([interpreter.output(details.index) for details in interpreter.outputs])
        return [np.concatenate(column) for column in zip(*rows, strict=True)]

    ending, outputs = in_fork(run)
    if ending != "done":
        return None
    key = f"litert-{LiteRtBackend().version}.xnnpack"
    arrays |= {f"output.{number}.{key}": output for number, output in enumerate(outputs)}
    seed = Seed(name, model, manifest, write_arrays(arrays))
    try:
        check_variant(MODEL, model)
        verdict = judged(seed, model)
    except EdgekitError as error:
        print(f"not a seed: {name}: {error}", file=sys.stderr)
        return None
    return seed if verdict == "same answers" else None


def judged(seed: Seed, model: bytes) -> str:
    """How the self-test of a model ends."""
    data = seed.bundle(model)
    rules = rules_for(
        "cpu", runtime="ai-edge-litert", threads=None, bundle_bytes=len(data), timeout_s=TIMEOUT_S
    )
    request = Request("cpu", None, rules)

    def run() -> Any:
        enter(request.rules)
        return answer(request, data)

    ending, value = in_fork(run)
    if ending == "crash":
        return f"crash of the child ({value})"
    if ending == "hang":
        return "hang of the child"
    if ending == "error":
        return "edgekit error" if value in _ERRORS else f"another exception: {value}"
    said, outputs = value
    bundle = read_unverified(data)
    golden = read_golden(bundle.members, bundle.manifest)
    assert golden is not None
    wanted = expected(golden, bundle.manifest, runtime=said["runtime"], kernels=said["kernels"], device="cpu")
    names = [spec.name for spec in bundle.manifest.outputs]
    try:
        if [o.shape for o in outputs] != [o.shape for o in wanted.outputs]:
            return "wrong answers"
        compare(wanted, outputs, names, said["runtime"])
    except SelfTestError:
        return "wrong answers"
    return "same answers"


def _names(kind: type) -> set[str]:
    return {kind.__name__}.union(*(_names(sub) for sub in kind.__subclasses__()))


_ERRORS = _names(EdgekitError)


def alone(model: bytes, resolver: str = "BUILTIN") -> str:
    """How LiteRT takes a model without edgekit: with XNNPACK, or BUILTIN_WITHOUT_DEFAULT_DELEGATES."""
    import ai_edge_litert.interpreter as runtime

    def run() -> None:
        kind = runtime.OpResolverType[resolver]
        interpreter = runtime.Interpreter(model_content=model, experimental_op_resolver_type=kind)
        interpreter.allocate_tensors()
        for details in interpreter.get_input_details():
            interpreter.set_tensor(details["index"], np.ones(details["shape"], details["dtype"]))
        interpreter.invoke()
        for details in interpreter.get_output_details():
            interpreter.get_tensor(details["index"])

    ending, _ = in_fork(run)
    return ending


@dataclass
class Outcome:
    """What became of the mutants.

    `ends` counts how each ended; `builtin` how those that passed ended on LiteRT's built-in kernels, which devices
    without XNNPACK use; `alone` how all of them ended in LiteRT without edgekit; `worst` holds those that passed and
    ended a child.
    """

    ends: Counter[str] = field(default_factory=Counter)
    builtin: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    worst: list[tuple[Seed, bytes]] = field(default_factory=list)


def run_mutants(
    seeds: Sequence[Seed], count: int, seed: int, *, also_alone: bool = False, whole: int = 0
) -> Outcome:
    """Makes mutants and sends them through firewall and self-test, the first `whole` that pass through all of it."""
    generator, outcome = random.Random(seed), Outcome()
    while outcome.ends.total() < count:
        base = generator.choice(seeds)
        mutant = mutate(base.model, generator)
        if mutant is None or mutant == base.model:
            continue
        if also_alone:
            outcome.alone[alone(mutant)] += 1
        try:
            check_variant(MODEL, mutant)
        except MalformedModelError:
            outcome.ends[STOPPED] += 1
            continue
        verdict, builtin = judged(base, mutant), alone(mutant, "BUILTIN_WITHOUT_DEFAULT_DELEGATES")
        outcome.ends[verdict] += 1
        outcome.builtin[builtin] += 1
        if verdict.startswith(("crash", "hang")) or builtin in ("crash", "hang"):
            print(f"{base.name}: {verdict}; on the built-in kernels: {builtin}")
            outcome.worst.append((base, mutant))
        if whole > 0:
            whole -= 1
            with contextlib.suppress(EdgekitError):
                self_test(accept_unsigned(read_unverified(base.bundle(mutant))), timeout_s=TIMEOUT_S)
    return outcome


def find_seeds(folder: Path | None = None) -> list[Seed]:
    """The small models of the tests, in 16 bits too where operators can have them, and the files of a folder."""
    models = {name: net.build() for name, net in {**sound_models(), "chained": chained()}.items()}
    wide = {name: convertible(read_graph(model)) for name, model in models.items()}
    models |= {f"{name}-int16": widen(models[name], chosen).model for name, chosen in wide.items() if chosen}
    if folder is not None:
        models |= {path.name: path.read_bytes() for path in sorted(folder.glob("*.tflite"))}
    found = (seed_of(name, model) for name, model in models.items())
    return [seed for seed in found if seed is not None]


def _counts(tally: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in tally.most_common())


def main() -> int:
    """Runs and prints; exit code 1 where a child ended by what the firewall let pass."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=20261127)
    parser.add_argument("--models", type=Path, help="a folder of further .tflite files to mutate")
    parser.add_argument(
        "--alone", action="store_true", help="also show each mutant to LiteRT without a firewall"
    )
    parser.add_argument(
        "--whole", type=int, default=20, help="how many of those that pass go through self_test() too"
    )
    parser.add_argument(
        "--keep", type=Path, help="a folder for mutants that pass the firewall and end a child"
    )
    given = parser.parse_args()
    LiteRtBackend().module()  # imported before the forks
    seeds = find_seeds(given.models)
    outcome = run_mutants(seeds, given.count, given.seed, also_alone=given.alone, whole=given.whole)
    print(f"{given.count} mutants of {len(seeds)} models, generator seeded with {given.seed}")
    for what, count in outcome.ends.most_common():
        print(f"  {count:6} {what}")
    print("those that passed, on the built-in kernels: " + _counts(outcome.builtin))
    if given.alone:
        print("the interpreter alone, with XNNPACK: " + _counts(outcome.alone))
    print("crashes of this process: 0")
    if given.keep is not None and outcome.worst:
        given.keep.mkdir(parents=True, exist_ok=True)
        for number, (seed, mutant) in enumerate(outcome.worst):
            (given.keep / f"{seed.name.removesuffix('.tflite')}-{number}.tflite").write_bytes(mutant)
    return 1 if outcome.worst else 0


if __name__ == "__main__":
    sys.exit(main())
