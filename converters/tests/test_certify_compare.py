"""How far answers are apart, what is allowed, and what a row then says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import CertificateContractError, CertifyError
from edgekit_converters.certify.certificate import Certificate, Row
from edgekit_converters.certify.certifying import hold
from edgekit_converters.certify.compare import (
    TOLERANCES,
    Difference,
    Tolerance,
    compare,
    find_fault,
    parse_tolerances,
)
from edgekit_converters.certify.text import render
from edgekit_converters.certify.trial import Answers, Failure
from edgekit_converters.certify.vectors import Vectors
from edgekit_converters.certify.verdict import Judge

SCORES = np.array([[10, 20, -128], [5, 5, 4]], np.int8)


def test_equal_answers_are_bit_exact() -> None:
    assert compare([SCORES], [SCORES.copy()], 0) == Difference(True, 0, 1.0)


def test_the_largest_step_is_counted_without_overflow() -> None:
    given = SCORES.copy()
    given[0, 2] = 127
    assert compare([SCORES], [given], 0) == Difference(False, 255, 0.5)


def test_of_two_highest_values_either_agrees() -> None:
    given = SCORES.copy()
    given[1] = (4, 6, 4)
    assert compare([SCORES], [given], 0) == Difference(False, 1, 1.0)
    assert compare([SCORES], [given], None).top1_agreement is None


def test_all_outputs_count_for_the_steps() -> None:
    other = np.zeros((2, 4), np.int8)
    assert compare([SCORES, other], [SCORES, other + np.int8(3)], 0) == Difference(False, 3, 1.0)


@pytest.mark.parametrize("wrong", [SCORES.astype(np.uint8), SCORES[:1], SCORES[:, :2]])
def test_outputs_of_another_kind_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(CertifyError, match="does not know"):
        compare([SCORES], [wrong], 0)


@given(st.integers(0, 255), st.integers(0, 255))
def test_a_step_limit_is_inclusive(step: int, allowed: int) -> None:
    fault = find_fault(Difference(step == 0, step, 1.0), Tolerance(steps=allowed), 2)
    assert (fault is None) == (step <= allowed)


def test_a_share_is_asked_of_scores_and_steps_of_all_else() -> None:
    share = Tolerance(top1=0.99)
    assert find_fault(Difference(False, 200, 0.99), share, 50) is None
    assert find_fault(Difference(False, 1, 0.98), share, 50) == (
        "of another opinion too often: top-1 agrees in 98 % of 50 samples, and at least 99 is asked"
    )
    assert find_fault(Difference(False, 16, None), share, 50) is None
    assert find_fault(Difference(False, 17, None), share, 50) == "off by 17 int8 steps, and 16 allowed"


def test_tolerances_are_read_and_written_alike() -> None:
    found = parse_tolerances(["xnnpack=3,builtin=97.5%", "tflite-runtime=12"])
    assert found["xnnpack"] == Tolerance(steps=3)
    assert found["builtin"] == Tolerance(top1=0.975)
    assert found["tflite-runtime"] == Tolerance(steps=12)
    assert found["reference"] == TOLERANCES["reference"]
    words = [f"{name}={tolerance}" for name, tolerance in found.items()]
    assert parse_tolerances(words) == found


@pytest.mark.parametrize(
    "word",
    ["", "1", "xnnpack", "xnnpack=", "xnnpack=-1", "xnnpack=1.5", "neon=1", "xnnpack=256", "builtin=101%"],
)
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(CertifyError, match="--tolerance") as caught:
        parse_tolerances([word])
    assert caught.value.hint


def judge(*operators: str, recorded: bool = True, samples: int = 2) -> Judge:
    answers = {("litert-2.3.0", "xnnpack"): (SCORES,), ("litert-2.3.0", "builtin"): (SCORES,)}
    inputs = (np.zeros((samples, 4), np.int8),)
    vectors = Vectors(inputs, 2 if recorded else 0, answers if recorded else {})
    return Judge(vectors, 0, TOLERANCES, frozenset(operators))


OFF = Answers((SCORES - np.int8(1) * (SCORES > -128),))
SAME = Answers((SCORES,))


def test_the_same_bits_are_asked_of_x86_64_and_a_step_is_allowed_elsewhere() -> None:
    base = {("ai-edge-litert", "xnnpack"): SCORES} and {("ai-edge-litert", "xnnpack"): (SCORES,)}
    here = judge().row("x86-64", "ai-edge-litert", "2.3.0", "xnnpack", OFF, base)  # type: ignore[arg-type]
    there = judge().row("raspberry-pi-4", "ai-edge-litert", "2.3.0", "xnnpack", OFF, base)  # type: ignore[arg-type]
    assert (here.tolerance, here.max_step, here.expected) == ("0", 1, "recorded")
    assert here.fault == (
        "x86-64, ai-edge-litert 2.3.0, xnnpack kernels: is off by 1 int8 step, and 0 allowed "
        "(against the recorded golden answers)"
    )
    assert (there.tolerance, there.fault) == ("1", None)


def test_a_softmax_may_differ_by_a_step_on_x86_64_too() -> None:
    row = judge("SOFTMAX").row("x86-64", "ai-edge-litert", "2.3.0", "xnnpack", OFF, {})
    assert (row.tolerance, row.fault) == ("1", None)


def test_answers_of_another_version_are_not_held_against_the_recorded_ones() -> None:
    base = {("ai-edge-litert", "xnnpack"): OFF.outputs}
    row = judge().row("x86-64", "ai-edge-litert", "2.4.0", "xnnpack", OFF, base)  # type: ignore[arg-type]
    assert (row.expected, row.bit_exact, row.fault) == ("itself", True, None)


def test_recorded_answers_are_continued_by_those_of_x86_64() -> None:
    longer = np.concatenate([SCORES, SCORES + np.int8(1) * (SCORES < 127)])
    base = {("ai-edge-litert", "builtin"): (longer,)}
    found = Answers((np.concatenate([SCORES, SCORES]),))
    row = judge(samples=4).row("raspberry-pi-4", "ai-edge-litert", "2.3.0", "builtin", found, base)  # type: ignore[arg-type]
    assert (row.expected, row.max_step, row.bit_exact) == ("recorded", 1, False)


def test_a_board_is_held_against_x86_64_with_the_same_runtime() -> None:
    base = {("tflite-runtime", "builtin"): OFF.outputs, ("ai-edge-litert", "builtin"): SAME.outputs}
    there = judge().row("linux-armhf", "tflite-runtime", "2.14.0", "builtin", OFF, base)  # type: ignore[arg-type]
    here = judge().row("x86-64", "tflite-runtime", "2.14.0", "builtin", OFF, base)  # type: ignore[arg-type]
    assert (there.expected, there.bit_exact) == ("x86-64", True)
    assert (here.expected, here.max_step) == ("recorded", 1)


def test_a_program_that_died_has_no_figures_and_a_sentence() -> None:
    failure = Failure(
        "SIGILL", "import numpy", "qemu: uncaught target signal 4 (Illegal instruction) - core dumped"
    )
    row = judge().row("old-pi", "tflite-runtime", "2.14.0", "builtin", failure, {})
    assert (row.started, row.signal, row.bit_exact, row.max_step, row.top1_agreement) == (
        False,
        "SIGILL",
        None,
        None,
        None,
    )
    assert row.fault == (
        "old-pi, tflite-runtime 2.14.0, builtin kernels: does not start: illegal instruction (SIGILL) "
        "while trying to import numpy"
    )
    plain = judge().row(
        "old-pi",
        "tflite-runtime",
        "2.14.0",
        "builtin",
        Failure(None, "open the model", "a\nValueError: no"),
        {},
    )
    assert plain.fault is not None
    assert plain.fault.endswith("failed while trying to open the model: ValueError: no")


def test_reference_kernels_that_lack_an_operator_everywhere_are_no_fault_of_a_board() -> None:
    refused = Failure(None, "open the model", "ValueError: Registration failed.")
    rows = [
        judge().row(board, "ai-edge-litert", "2.3.0", "reference", refused, {})
        for board in ("x86-64", "raspberry-pi-4")
    ]
    assert [(row.started, row.fault) for row in rows] == [(False, None), (False, None)]
    base = {("ai-edge-litert", "reference"): SAME.outputs}
    assert judge().row("raspberry-pi-4", "ai-edge-litert", "2.3.0", "reference", refused, base).fault  # type: ignore[arg-type]
    assert judge().row("raspberry-pi-4", "ai-edge-litert", "2.3.0", "builtin", refused, {}).fault
    died = Failure("SIGILL", "open the model", "")
    assert judge().row("raspberry-pi-4", "ai-edge-litert", "2.3.0", "reference", died, {}).fault


def test_nothing_to_compare_with_is_a_fault() -> None:
    row = judge(recorded=False).row("raspberry-pi-4", "ai-edge-litert", "2.3.0", "reference", SAME, {})
    assert row.started
    assert row.fault is not None


GOOD = Row("x86-64", "ai-edge-litert", "reference", True, None, True, 0, 1.0, "itself", "0", None)
BAD = replace(
    GOOD,
    board="old-pi",
    started=False,
    signal="SIGILL",
    bit_exact=None,
    max_step=None,
    top1_agreement=None,
    fault="old-pi: no",
)


def certificate(*rows: Row) -> Certificate:
    return Certificate("0.1.0", "0" * 64, 2, 0, (), "1" * 64, (), rows)


def test_a_certificate_without_a_fault_holds() -> None:
    hold(certificate(GOOD))


def test_a_fault_breaks_the_contract_and_travels_with_the_error() -> None:
    with pytest.raises(CertificateContractError, match="old-pi: no") as caught:
        hold(certificate(GOOD, BAD))
    assert caught.value.exit_code == 3
    assert caught.value.report == certificate(GOOD, BAD).to_json()
    assert caught.value.hint is not None


def test_the_table_names_the_signal_and_what_is_broken() -> None:
    lines = render(certificate(GOOD, BAD)).splitlines()
    assert "BROKEN" not in lines[1]
    assert "SIGILL" in lines[2]
    assert lines[2].endswith("BROKEN")
