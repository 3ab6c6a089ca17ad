"""A bundle answers its own golden inputs exactly, on the machine at hand, loaded as a device loads it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.arrays import read_arrays
from edgekit.backends import find_backend
from edgekit.bundle import GOLDEN, MODEL, UnverifiedBundle, read_unverified
from edgekit.trust import UnsignedBundleWarning

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = f"litert-{version('ai-edge-litert')}"


@pytest.fixture(scope="module")
def bundle_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits of `make demo`, converted by the command line."""
    folder = tmp_path_factory.mktemp("digits")
    subprocess.run(
        [sys.executable, ROOT / "examples" / "digits" / "train.py", folder], check=True, capture_output=True
    )
    words = (
        "convert digits.keras --target raspberry-pi-4 --calibration calibration.npz --range 0,1 -o d.edgekit"
    )
    command = [Path(sys.executable).parent / "edgekit", *words.split()]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "d.edgekit"


@pytest.fixture(scope="module")
def bundle(bundle_file: Path) -> UnverifiedBundle:
    return read_unverified(bundle_file.read_bytes())


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
def test_kernels_reproduce_the_golden_outputs(bundle: UnverifiedBundle, kernels: str) -> None:
    golden = read_arrays(bundle.members[GOLDEN])
    interpreter = find_backend().open(bytes(bundle.members[MODEL]), threads=1, kernels=kernels)  # type: ignore[arg-type]
    expected = golden[f"output.0.{RUNTIME}.{kernels}"]
    assert len(expected) == 4
    for given, wanted in zip(golden["input.0"], expected, strict=True):
        interpreter.set_input(interpreter.inputs[0].index, given[None])
        interpreter.invoke()
        assert np.array_equal(interpreter.output(interpreter.outputs[0].index)[0], wanted)


def test_a_session_reproduces_the_golden_outputs(bundle: UnverifiedBundle, bundle_file: Path) -> None:
    golden = read_arrays(bundle.members[GOLDEN])
    with pytest.warns(UnsignedBundleWarning):
        session = edgekit.load(bundle_file, trust=edgekit.UNSIGNED)
    with session:
        for given, wanted in zip(golden["input.0"], golden[f"output.0.{RUNTIME}.xnnpack"], strict=True):
            answer = session.run_quantized(given[None])
            assert np.array_equal(np.asarray(answer)[0], wanted)


def test_golden_inputs_are_drawn_and_no_sample_of_the_user(
    bundle: UnverifiedBundle, bundle_file: Path
) -> None:
    golden = read_arrays(bundle.members[GOLDEN])["input.0"]
    samples = np.load(bundle_file.parent / "calibration.npz")["x"].astype(np.int16) - 128
    assert not any(np.array_equal(each, sample) for each in golden for sample in samples)
