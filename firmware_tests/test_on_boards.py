"""edgekit itself on every board, installed from its wheel: loading, running, refusing, looking, measuring."""

from __future__ import annotations

import json
import os
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_kinds import VARIABLE, Board, Outcome
from old_bundles import KEPT, Kept, kept

from edgekit.version import __version__

PROGRAMS = Path(__file__).resolve().parent / "programs"

MOST_STEPS = {"xnnpack": 1, "builtin": 2}
"""Between a board and x86-64 on the kept bundles, by the kernels that the board's runtime takes; "builtin" is
tflite-runtime's on 32-bit Arm."""

MOST_MEMORY_KIB = 160 * 1024
"""For Python, numpy, a runtime, a small model and, where there is one, the emulator."""
MOST_GROWTH_KIB = 4 * 1024
"""Over 2,000 runs."""

DIGITS = kept("v1/digits")


def program(name: str) -> bytes:
    return (PROGRAMS / name).read_bytes()


def answer(outcome: Outcome) -> Any:
    """What a program printed as JSON."""
    assert outcome.code == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_a_real_board_is_among_them(request: pytest.FixtureRequest) -> None:
    if VARIABLE not in os.environ:
        pytest.skip(f"no real board is named: set {VARIABLE}=ssh://pi@host")
    assert any("[ssh" in item.name for item in request.session.items)


def test_the_installed_wheel_is_what_runs(board: Board) -> None:
    outcome = board.run(
        ["python", "-c", "import edgekit, platform; print(edgekit.__version__, platform.machine())"]
    )
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.split() == [__version__, board.machine]
    shown = board.run(["edgekit", "--version"])
    assert shown.stdout == f"edgekit {__version__}\n", shown.stderr


def test_importing_edgekit_imports_no_runtime(board: Board) -> None:
    line = "import edgekit, sys; print(sorted({'ai_edge_litert', 'tflite_runtime', 'tensorflow'} & set(sys.modules)))"
    assert board.run(["python", "-c", line]).stdout == "[]\n"


@pytest.fixture(scope="module")
def kept_answers(board: Board) -> dict[str, Any]:
    """What the board answers to the stored inputs of every kept bundle."""
    files = {"golden.py": program("golden.py")}
    for each in KEPT:
        files |= {f"{each.word}.edgekit": each.data, f"{each.word}.npz": each.npz}
    found: dict[str, Any] = answer(board.run(["python", "golden.py", *(each.word for each in KEPT)], files))
    return found


@pytest.mark.parametrize("bundle", KEPT, ids=lambda each: each.name)
def test_a_kept_bundle_runs_and_answers_as_it_did(kept_answers: dict[str, Any], bundle: Kept) -> None:
    found = kept_answers[bundle.word]
    expected = bundle.expected(found["runtime"].split()[0], found["kernels"])
    outputs = zip(*found["answers"], strict=True)
    given = [np.array(rows).reshape(first.shape) for rows, first in zip(outputs, expected, strict=True)]
    steps = max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(expected, given, strict=True))
    assert steps <= (0 if bundle == DIGITS else MOST_STEPS[found["kernels"]])


def test_run_prints_the_answer_to_raw_data(board: Board) -> None:
    stream = BytesIO()
    np.save(stream, np.arange(64, dtype=np.uint8).reshape(8, 8, 1))
    words = ["edgekit", "run", "b.edgekit", "x.npy", "--unsigned", "--json"]
    found = answer(board.run(words, {"b.edgekit": DIGITS.data, "x.npy": stream.getvalue()}))
    (result,) = found["results"]
    scores = [entry["score"] for entry in result["labels"]]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) <= 1.01


def test_a_bundle_with_one_bit_turned_is_refused(board: Board) -> None:
    with zipfile.ZipFile(BytesIO(DIGITS.data)) as archive:
        place = archive.getinfo("model.tflite").header_offset + 200
    tampered = bytearray(DIGITS.data)
    tampered[place] ^= 1
    words = ["edgekit", "run", "b.edgekit", "x.npy", "--unsigned", "--json"]
    outcome = board.run(words, {"b.edgekit": bytes(tampered)})
    assert outcome.code == 1
    assert json.loads(outcome.stdout)["error"]["kind"] == "MalformedBundleError"


def test_a_bundle_of_unproven_origin_is_refused(board: Board) -> None:
    outcome = board.run(["edgekit", "run", "b.edgekit", "x.npy", "--json"], {"b.edgekit": DIGITS.data})
    assert outcome.code != 0
    assert "unsigned" in outcome.stdout + outcome.stderr


@pytest.fixture(scope="module")
def doctor(board: Board) -> Any:
    """What ``edgekit doctor`` says on the board."""
    return answer(board.run(["edgekit", "doctor", "--json"]))


def test_doctor_finds_the_runtime_and_runs_a_model(board: Board, doctor: Any) -> None:
    assert doctor["can_run"] is True
    assert doctor["facts"]["machine"] == board.machine
    assert doctor["facts"]["smoke"]["error"] is None
    names = [entry["name"] for entry in doctor["facts"]["runtimes"]]
    assert names[0] == ("tflite-runtime" if board.machine.startswith("armv") else "ai-edge-litert")


def test_doctor_names_the_board(board: Board, doctor: Any) -> None:
    named = doctor["facts"]["board"]
    assert named is None or named.split()
    if board.name.startswith("raspberry-pi"):
        assert named.startswith("Raspberry Pi")


def test_profile_measures_every_step(board: Board) -> None:
    words = ["edgekit", "profile", "b.edgekit", "--unsigned", "--runs", "5", "--warmup", "1", "--json"]
    found = answer(board.run(words, {"b.edgekit": DIGITS.data}))
    assert found["steady"]["runs"] == 5
    assert found["host"]["machine"] == board.machine


def test_memory_stays_under_a_ceiling_and_does_not_grow(board: Board) -> None:
    files = {"memory.py": program("memory.py"), "b.edgekit": DIGITS.data, "b.npz": DIGITS.npz}
    first, last = answer(board.run(["python", "memory.py", "b.edgekit", "b.npz"], files))
    assert 5 * 1024 < first < MOST_MEMORY_KIB
    assert last - first <= MOST_GROWTH_KIB
