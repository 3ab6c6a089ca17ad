"""What trust costs on a device, and beside the official verifier of OpenSSF Model Signing.

    python benchmarks/trust.py [--rounds 15] [--official PYTHON]

Everything is measured on one bundle: 64 convolutions, 4 MB of weights, golden inputs, signed with P-256, its self-test
already passed. The official package runs in an environment of its own, from sdk/tests/official/requirements.txt, made
in .venv-official at the first run; `--official` takes the python of another one.

Times are the best of the rounds, and what is compared takes turns. A process counts from its start to its end; what is
"after import" is measured within one process that has done it all once. It measures the python that runs it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "device_targets" / "tests"))

from tflite_models import Net, Op, T, activation  # noqa: E402

from edgekit.arrays import write_arrays  # noqa: E402
from edgekit.bundle import read_unverified, write_bundle  # noqa: E402
from edgekit.firewall import check_variant  # noqa: E402
from edgekit.manifest import CalibrationRecord, GoldenRecord, Manifest, Preprocessing, TensorSpec  # noqa: E402
from edgekit.trust import Trust  # noqa: E402
from edgekit.trust.keys import P256  # noqa: E402
from edgekit.trust.private import PrivateKey  # noqa: E402
from edgekit.trust.signing import sign_bundle  # noqa: E402

LAYERS, CHANNELS = 64, 256
MOST_MORE_MS, MOST_TIMES, MOST_FIREWALL_MS, MOST_RSS_MB = 60, 2.5, 30, 40
OFFICIAL = ROOT / ".venv-official" / "bin" / "python"


def network() -> Net:
    """64 convolutions of 1x1 over 256 channels: 65,536 weights each, with a scale a channel."""
    dice = np.random.default_rng(0)
    tensors, ops = {"x0": activation(1, 4, 4, CHANNELS)}, []
    scales = [0.01] * CHANNELS
    for layer in range(LAYERS):
        weights = dice.integers(-127, 128, (CHANNELS, 1, 1, CHANNELS), np.int8)
        tensors[f"w{layer}"] = T(weights.shape, "INT8", scales, 0, weights)
        biases = [0.05 * scale for scale in scales]
        tensors[f"b{layer}"] = T((CHANNELS,), "INT32", biases, 0, np.zeros(CHANNELS, np.int32))
        tensors[f"x{layer + 1}"] = activation(1, 4, 4, CHANNELS)
        options = {"padding": 0, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
        given = (f"x{layer}", f"w{layer}", f"b{layer}")
        ops.append(Op("CONV_2D", given, (f"x{layer + 1}",), "Conv2DOptions", options, 3))
    return Net(tensors, tuple(ops), ("x0",), (f"x{LAYERS}",))


def answers(model: bytes, inputs: np.ndarray) -> np.ndarray:
    """What LiteRT gives."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    outputs = []
    for row in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], row[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.stack(outputs)


def make_bundle() -> bytes:
    """The bundle, unsigned."""
    model = network().build()
    shape = (1, 4, 4, CHANNELS)
    inputs = np.random.default_rng(1).integers(-128, 128, (4, *shape[1:]), np.int8)
    runtime = f"litert-{importlib.metadata.version('ai-edge-litert')}"
    golden = {"input.0": inputs, f"output.0.{runtime}.xnnpack": answers(model, inputs)}
    manifest = Manifest(
        name="bench",
        version="1.0.0",
        security_epoch=1,
        targets=("raspberry-pi-4",),
        inputs=(TensorSpec("x0", shape, "int8", 0.05, 3, None, Preprocessing("array", "float32")),),
        outputs=(TensorSpec(f"x{LAYERS}", shape, "int8", 0.05, 3),),
        labels=None,
        calibration=CalibrationRecord("random numbers", "00" * 32, 1, 1, 0, "minmax"),
        recipe={},
        tools={},
        accuracy=None,
        exceptions=(),
        runtime={"model.tflite": {}},
        golden=GoldenRecord(4, 0, "drawn", {"xnnpack": 0}),
    )
    members = {
        "model.tflite": model,
        "manifest.json": manifest.to_bytes(),
        "golden.npz": write_arrays(golden),
    }
    return write_bundle(members)


LOAD = """
import sys, warnings
warnings.simplefilter("ignore")
import edgekit
trust = sys.argv[2] or edgekit.UNSIGNED
edgekit.load(sys.argv[1], trust=trust, self_test="once" if sys.argv[2] else "never").close()
"""

VERIFY = """
import json, sys, time
begin = time.perf_counter()
from edgekit.bundle import read_unverified
from edgekit.files import read_capped
from edgekit.trust import Trust
from pathlib import Path
middle = time.perf_counter()
trust = Trust.read(sys.argv[2])
def verify():
    trust.check(read_unverified(read_capped(Path(sys.argv[1]))))
"""

OFFICIAL_VERIFY = """
import json, sys, time
begin = time.perf_counter()
from model_signing.verifying import Config
middle = time.perf_counter()
def verify():
    config = Config().use_elliptic_key_verifier(public_key=sys.argv[2])
    config.verify(sys.argv[1], sys.argv[1] + "/signature.json")
"""

# The peak is that of the memory map (VmHWM): what getrusage tells is inherited from the process that started this one.
SAY = """
verify()
first = time.perf_counter()
verify()
again = time.perf_counter()
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
took = [middle - begin, first - middle, again - first]
print(json.dumps([*(each * 1e3 for each in took), int(peak) * 1024 / 1e6]))
"""


@dataclass(frozen=True, slots=True)
class Verifier:
    """What one verifier took, in a process of its own each time: it imports, verifies the first time, and again."""

    process_ms: float
    import_ms: float
    first_ms: float
    again_ms: float
    rss_mb: float


def timed(words: Sequence[object], environment: Mapping[str, str]) -> tuple[float, str]:
    """Milliseconds of a process, and what it printed."""
    begin = time.perf_counter()
    done = subprocess.run(
        list(map(str, words)), env={**environment}, capture_output=True, text=True, check=False
    )
    took = (time.perf_counter() - begin) * 1e3
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return took, done.stdout


def best_of(rounds: int, **calls: Callable[[], object]) -> dict[str, float]:
    """The best milliseconds of each call, taken in turn."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            best[name] = min(best[name], (time.perf_counter() - begin) * 1e3)
    return best


def official_python(named: str | None) -> Path | None:
    """The python of an environment that has the official package; it is made where it is not named."""
    if named is not None:
        return Path(named)
    if not OFFICIAL.exists():
        print("installing the official package into .venv-official", file=sys.stderr)
        venv.create(OFFICIAL.parents[1], with_pip=True)
        wanted = ROOT / "sdk" / "tests" / "official" / "requirements.txt"
        install = [OFFICIAL, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--only-binary", ":all:", "--requirement", wanted], check=True)
    return OFFICIAL


def beside_the_official(
    rounds: int, python: Path, bundle: Path, unpacked: Path, key: Path
) -> dict[str, Verifier]:
    """Both verifiers in turn, on the same signature over the same files."""
    commands = {
        "edgekit": ([sys.executable, "-c", VERIFY + SAY, bundle, key], os.environ),
        "model_signing": ([python, "-P", "-c", OFFICIAL_VERIFY + SAY, unpacked, key], {"PATH": os.defpath}),
    }
    runs: dict[str, list[tuple[float, ...]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, (words, environment) in commands.items():
            took, said = timed(words, environment)
            runs[name].append((took, *json.loads(said)))
    # Each column its best; of the memory that is the least peak.
    return {name: Verifier(*map(min, zip(*seen, strict=True))) for name, seen in runs.items()}


def copied_bytes(data: bytes, trust: Trust) -> int:
    """Peak of what parsing and checking allocate beside the file itself."""
    trust.check(read_unverified(data))
    tracemalloc.start()
    trust.check(read_unverified(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def bar(what: str, figure: str, met: bool) -> None:
    print(f"bar: {what}: {figure}: {'met' if met else 'NOT MET'}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--official", metavar="PYTHON", help="of an environment with model-signing 1.1.1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options.rounds, official_python(options.official), Path(folder))


def measure(rounds: int, official: Path, folder: Path) -> None:
    signer = PrivateKey.generate(P256)
    signed = sign_bundle(make_bundle(), signer)
    data, members = signed.data, signed.members
    bundle, key, unpacked = folder / "b.edgekit", folder / "key.pem", folder / "unpacked"
    bundle.write_bytes(data)
    key.write_bytes(signer.public.pem)
    unpacked.mkdir()
    for name, content in members.items():
        (unpacked / name).write_bytes(content)
    environment = {**os.environ, "EDGEKIT_STATE": str(folder / "state")}
    print(
        f"Python {sys.version.split()[0]}, cryptography {importlib.metadata.version('cryptography')}, "
        f"{len(data) / 1e6:.2f} MB bundle; best of {rounds}"
    )

    load = {
        name: [sys.executable, "-c", LOAD, bundle, trust]
        for name, trust in (("unsigned", ""), ("signed", key))
    }
    timed(load["signed"], environment)  # the self-test, once
    took = dict.fromkeys(load, float("inf"))
    for _ in range(rounds):
        for name, words in load.items():
            took[name] = min(took[name], timed(words, environment)[0])
    print("\na process that loads it         ms")
    print(f"  unsigned, no self-test   {took['unsigned']:>7.0f}")
    print(f"  signed, self-test passed {took['signed']:>7.0f}")
    more = took["signed"] - took["unsigned"]

    trust = Trust(keys=(signer.public,))
    within = best_of(
        rounds * 4,
        hash=lambda: hashlib.sha256(data).digest(),
        parse=lambda: read_unverified(data),
        check=lambda: trust.check(read_unverified(data)),
        firewall=lambda: check_variant("model.tflite", members["model.tflite"]),
    )
    print("\nafter import                    ms")
    for name, text in (
        ("hash", "SHA-256 of the file alone"),
        ("parse", "parse"),
        ("check", "parse, hashes, signature"),
        ("firewall", "firewall, 64 operators"),
    ):
        print(f"  {text:25}{within[name]:>7.2f}")

    peers = beside_the_official(rounds, official, bundle, unpacked, key)
    print("\na process that verifies it  process ms   import    first    again  peak RSS MB")
    for name, peer in peers.items():
        times_ms = f"{peer.process_ms:>10.0f}{peer.import_ms:>9.0f}{peer.first_ms:>9.1f}{peer.again_ms:>9.1f}"
        print(f"  {name:26}{times_ms}{peer.rss_mb:>13.1f}")
    ours, theirs = peers["edgekit"], peers["model_signing"]
    ratios = [
        f"{getattr(ours, column) / getattr(theirs, column):.2f}x {word}"
        for column, word in (("process_ms", "process"), ("again_ms", "again"), ("rss_mb", "memory"))
    ]
    print(f"  edgekit beside it: {', '.join(ratios)}\n")

    copied = copied_bytes(data, trust)
    times = within["check"] / within["hash"]
    bar(f"a signed load takes at most {MOST_MORE_MS} ms more", f"{more:.0f} ms", more <= MOST_MORE_MS)
    bar(f"parse, hashes, signature at most {MOST_TIMES}x the hash", f"{times:.2f}x", times <= MOST_TIMES)
    bar(
        "no second copy of the members",
        f"{copied / 1e3:.0f} kB allocated at most",
        copied < len(members["model.tflite"]) / 4,
    )
    firewall = within["firewall"]
    bar(
        f"the firewall takes at most {MOST_FIREWALL_MS} ms",
        f"{firewall:.1f} ms",
        firewall <= MOST_FIREWALL_MS,
    )
    bar(
        f"the verifier's peak RSS is at most {MOST_RSS_MB} MB",
        f"{ours.rss_mb:.1f} MB",
        ours.rss_mb <= MOST_RSS_MB,
    )


if __name__ == "__main__":
    main()
