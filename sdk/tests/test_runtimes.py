"""tflite-runtime and TensorFlow for real: each in a process of its own, where it is the only runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tinymodel import TinyTensor, write_model
from edgekit.bundle import write_bundle
from edgekit.manifest import Manifest, Preprocessing, TensorSpec
from edgekit.opening import load
from edgekit.trust import UNSIGNED

SOURCE = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "device_targets")]
LARGEST_DIFFERENCE = 12
"""Steps between LiteRT and tflite-runtime on the same int8 model, the largest that was measured (2026-11-23)."""

PROGRAM = """
import json, sys, warnings
sys.path[:0] = {source!r}
sys.modules |= dict.fromkeys({hidden!r})  # None: there is no such module
warnings.simplefilter("error")
import numpy as np
import edgekit
from edgekit.errors import EdgekitError
warnings.filterwarnings("ignore", message="this bundle runs unsigned")
try:
    with edgekit.load(sys.argv[1], trust=edgekit.UNSIGNED) as model:
        answers = [model.run_quantized(x).ravel().tolist() for x in np.load(sys.argv[2])]
        backend = edgekit.backends.find_backend()
        print(json.dumps({{"answers": answers, "runtime": [backend.name, backend.version, backend.kernels]}}))
except EdgekitError as error:
    print(json.dumps({{"error": str(error), "hint": error.hint}}))
"""


@dataclass(frozen=True)
class Case:
    """A bundle, inputs for it, and what LiteRT answers."""

    bundle: Path
    inputs: Path
    expected: list[list[int]]

    def run(self, python: str, *, path: list[Path] | None = None, hidden: tuple[str, ...] = ()) -> Any:
        """The same in another process: what it printed as JSON."""
        program = PROGRAM.format(source=[*map(str, path or []), *SOURCE], hidden=hidden)
        done = subprocess.run(
            [python, "-I", "-c", program, self.bundle, self.inputs],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def difference(self, answers: list[list[int]]) -> int:
        return int(np.abs(np.array(answers) - np.array(self.expected)).max())


@pytest.fixture
def case(tmp_path: Path, manifest: Manifest) -> Case:
    random = np.random.default_rng(4)
    weights = random.integers(-127, 128, (10, 64), np.int8)
    tensors = [
        TinyTensor("features", (1, 64), "int8", 0.05, -3),
        TinyTensor("weights", weights.shape, "int8", 0.01, 0, weights.tobytes()),
        TinyTensor(
            "bias", (10,), "int32", 0.05 * 0.01, 0, random.integers(-999, 999, 10, np.int32).tobytes()
        ),
        TinyTensor("scores", (1, 10), "int8", 0.5, 7),
    ]
    model = write_model(tensors, [0], [3], description="a dense layer", dense=True)
    said = replace(
        manifest,
        inputs=(TensorSpec("features", (1, 64), "int8", 0.05, -3, None, Preprocessing("array", "float32")),),
        outputs=(TensorSpec("scores", (1, 10), "int8", 0.5, 7),),
        labels=None,
        golden=None,
        runtime={"model.tflite": {"tensorflow-lite": "1.14.0"}},
    )
    bundle, inputs = tmp_path / "dense.edgekit", tmp_path / "inputs.npy"
    bundle.write_bytes(write_bundle({"model.tflite": model, "manifest.json": said.to_bytes()}))
    samples = random.integers(-128, 128, (20, 1, 64), np.int8)
    np.save(inputs, samples)
    with pytest.warns(UserWarning, match="runs unsigned"), load(bundle, trust=UNSIGNED) as session:
        expected = [session.run_quantized(sample).ravel().tolist() for sample in samples]  # type: ignore[union-attr]
    assert len({tuple(answer) for answer in expected}) == 20
    return Case(bundle, inputs, expected)


@pytest.fixture(scope="session")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with what the extra 'runtime-legacy' pins."""
    if sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no wheel for Python 3.12 and later")
    folder = tmp_path_factory.mktemp("legacy")
    python = str(folder / "bin/python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    done = subprocess.run(
        [*command, "tflite-runtime==2.14.0", "numpy<2", "click"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"pip cannot install tflite-runtime here: {done.stderr.strip().splitlines()[-1:]}")
    return python


def test_tflite_runtime_runs_a_bundle(legacy: str, case: Case) -> None:
    said = case.run(legacy)
    assert said["runtime"] == ["tflite-runtime", "2.14.0", "builtin"]
    assert case.difference(said["answers"]) <= LARGEST_DIFFERENCE


def test_tflite_runtime_with_numpy_2_is_told_before_it_breaks(
    legacy: str, case: Case, tmp_path: Path
) -> None:
    if int(np.__version__.split(".")[0]) < 2:
        pytest.skip("the numpy here is older than 2")
    for name in ("numpy", "numpy.libs"):  # the one of this environment, in front of the legacy one
        (tmp_path / name).symlink_to(Path(np.__file__).parents[1] / name)
    said = case.run(legacy, path=[tmp_path])
    assert said["error"] == (
        f"tflite-runtime 2.14.0 works with numpy below 2 only, and numpy {np.__version__} is installed"
    )
    assert said["hint"] == "pip install 'edgekit[runtime-legacy]', or only: pip install 'numpy<2'"


def test_tflite_runtime_says_that_it_has_no_xnnpack(legacy: str, case: Case) -> None:
    program = (
        f"import sys; sys.path[:0] = {SOURCE!r}\n"
        "from edgekit.backends.tflite_runtime import TfliteRuntimeBackend as B\n"
        "B().open(b'', kernels='xnnpack')"
    )
    done = subprocess.run([legacy, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert "SessionError: tflite-runtime runs int8 models without XNNPACK" in done.stderr


def test_tflite_runtime_and_numpy_1_are_profiled(legacy: str, case: Case) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edgekit.profiling.conduct import profile_bundle\n"
        "from edgekit.profiling.plan import Plan\n"
        "profile = profile_bundle(Path(sys.argv[1]), Plan(unsigned=True, runs=3, warmup=1, batches=(2,)))\n"
        "print(profile.runtime, profile.host.numpy.partition('.')[0], profile.kernels, profile.steady.runs)\n"
    )
    done = subprocess.run(
        [legacy, "-c", program, case.bundle],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(SOURCE)},
    )
    assert done.stdout.split() == ["tflite-runtime", "2.14.0", "1", "builtin", "3"], done.stderr


def test_tflite_runtime_refuses_a_broken_model_by_its_name(legacy: str) -> None:
    program = (
        f"import sys; sys.path[:0] = {SOURCE!r}\n"
        "from edgekit.backends import find_backend\n"
        "find_backend().open(b'nonsense')"
    )
    done = subprocess.run([legacy, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert "SessionError: tflite-runtime 2.14.0 refuses the model: " in done.stderr


def test_tensorflow_is_the_last_resort(case: Case) -> None:
    pytest.importorskip("importlib.metadata").version("tensorflow")
    said = case.run(sys.executable, hidden=("ai_edge_litert", "tflite_runtime"))
    assert said["runtime"][::2] == ["tensorflow", "xnnpack"]
    assert case.difference(said["answers"]) <= 1


def test_a_tensorflow_that_does_not_import_is_named(
    bundle_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dense: Any
) -> None:
    from edgekit.backends.tensorflow import TensorFlowBackend
    from edgekit.errors import SessionError

    broken = tmp_path / "tensorflow"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise TypeError('Descriptors cannot be created directly')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SessionError, match="cannot be imported: TypeError: Descriptors") as caught:
        TensorFlowBackend().open(dense.model)
    assert caught.value.hint is not None
    assert "edgekit[runtime]" in caught.value.hint
