"""Every later version reads the bundles of every released format, and runs them to the same bytes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from old_bundles import FOLDER, KEPT, Kept

import edgekit
from edgekit.arrays import read_arrays
from edgekit.backends.litert import LiteRtBackend
from edgekit.bundle import GOLDEN, MODEL, read_unverified, write_bundle
from edgekit.manifest import FORMAT

each_kept = pytest.mark.parametrize("bundle", KEPT, ids=lambda each: each.name)


def test_there_are_bundles_of_every_format_so_far() -> None:
    kept_formats = {each.name.split("/")[0] for each in KEPT}
    assert kept_formats == {f"v{number}" for number in range(1, FORMAT + 1)}
    assert {path.name for path in FOLDER.glob("v*")} == kept_formats


@each_kept
def test_it_is_read_and_written_to_the_same_bytes(bundle: Kept) -> None:
    found = read_unverified(bundle.data)
    assert f"v{found.manifest.format}" == bundle.path.parent.name
    assert found.manifest.name == bundle.path.stem
    assert write_bundle(found.members) == bundle.data


@each_kept
def test_its_golden_answers_are_those_that_were_kept(bundle: Kept) -> None:
    golden = read_arrays(read_unverified(bundle.data).members[GOLDEN])
    for kernels in ("xnnpack", "builtin"):
        for number, expected in enumerate(bundle.expected("ai-edge-litert", kernels)):
            (name,) = (n for n in golden if n.startswith(f"output.{number}.litert-") and n.endswith(kernels))
            assert np.array_equal(golden[name], expected)


@each_kept
def test_reference_kernels_give_the_same_bits_for_ever(bundle: Kept) -> None:
    interpreter = LiteRtBackend().open(
        bytes(read_unverified(bundle.data).members[MODEL]), kernels="reference"
    )
    expected = bundle.expected("ai-edge-litert", "reference")
    for row in range(len(expected[0])):
        for number, port in enumerate(interpreter.inputs):
            interpreter.set_input(port.index, bundle.answers[f"input.{number}"][row][None])
        interpreter.invoke()
        for port, outputs in zip(interpreter.outputs, expected, strict=True):
            assert np.array_equal(interpreter.output(port.index)[0], outputs[row])


@each_kept
def test_a_session_runs_it(bundle: Kept) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = edgekit.load(bundle.path, trust=edgekit.UNSIGNED)
    with session:
        expected = bundle.expected("ai-edge-litert", session.kernels)
        names = [spec.name for spec in session.manifest.inputs]
        for row in range(len(expected[0])):
            sample = {name: bundle.answers[f"input.{number}"][row] for number, name in enumerate(names)}
            answer: Any = session.run_quantized(sample if len(names) > 1 else sample[names[0]])
            (output,) = answer.values() if isinstance(answer, dict) else (answer,)
            steps = np.abs(np.asarray(output).reshape(expected[0][row].shape).astype(int) - expected[0][row])
            assert steps.max() <= (1 if session.kernels == "xnnpack" else 16)
