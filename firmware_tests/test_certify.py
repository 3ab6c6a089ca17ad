"""``edgekit certify`` for real: what it puts into a bundle, and the faults that it must find."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from old_bundles import FOLDER, kept

from edgekit.arrays import read_arrays, write_arrays
from edgekit.bundle import GOLDEN, MODEL, read_unverified, write_bundle
from edgekit.errors import EmulatorError
from edgekit_converters.certify.boards import HOST, KERNELS
from edgekit_converters.certify.certifying import plan, prepare_systems, recipe_of
from edgekit_converters.certify.emulator import machine
from edgekit_converters.certify.recipes import LITERT
from edgekit_converters.certify.trial import Failure, try_kernels
from edgekit_converters.certify.vectors import collect

pytestmark = pytest.mark.usefixtures("emulating")

DIGITS = kept("v1/digits")
NO_BIAS = FOLDER / "faults" / "no-bias.edgekit"
KEYS = {"board", "runtime", "kernels", "started", "signal", "bit_exact", "max_step", "top1_agreement"}


def certify(*words: str | Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON on stdout, and stderr."""
    command = [sys.executable, "-m", "edgekit", "certify", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def row_of(answer: dict[str, Any], board: str, kernels: str, runtime: str = LITERT) -> dict[str, Any]:
    (row,) = (
        row
        for row in answer["results"]
        if (row["board"], row["runtime"], row["kernels"]) == (board, runtime, kernels)
    )
    assert isinstance(row, dict)
    return row


def test_the_certificate_goes_into_the_bundle(tmp_path: Path) -> None:
    out, again = tmp_path / "a.edgekit", tmp_path / "b.edgekit"
    boards = ("--target", "raspberry-pi-4", "--target", "linux-armhf")
    code, answer, said = certify(DIGITS.path, *boards, "-o", out)
    assert (code, set(answer)) == (0, {"results"}), said
    assert all(set(row) == KEYS and row["started"] for row in answer["results"])
    assert {row["board"] for row in answer["results"]} == {"x86-64", "raspberry-pi-4", "linux-armhf"}
    for kernels in ("xnnpack", "builtin", "reference"):
        assert row_of(answer, "raspberry-pi-4", kernels)["bit_exact"] is True
    assert row_of(answer, "linux-armhf", "builtin", "tflite-runtime")["top1_agreement"] == 1.0
    members = read_unverified(out.read_bytes()).members
    certificate = json.loads(bytes(members["certificate.json"]))
    assert certificate["model_sha256"] == hashlib.sha256(members[MODEL]).hexdigest()
    versions = {board["name"]: board["versions"] for board in certificate["boards"]}
    assert versions["raspberry-pi-4"][LITERT]["ai-edge-litert"] == "2.3.0"
    assert set(versions["linux-armhf"]["tflite-runtime"]) >= {"libc6", "python3-numpy", "tflite-runtime"}
    before = {name: bytes(content) for name, content in members.items() if name != "certificate.json"}
    assert write_bundle(before) == DIGITS.data
    assert certify(out, *boards, "-o", again)[0] == 0
    assert again.read_bytes() == out.read_bytes()


def test_golden_answers_that_are_off_by_one_step_are_caught(tmp_path: Path) -> None:
    bundle = read_unverified(DIGITS.data)
    golden = read_arrays(bundle.members[GOLDEN])
    shifted = {
        name: array + np.where(array < 127, 1, -1).astype(np.int8) if name.startswith("output") else array
        for name, array in golden.items()
    }
    wrong, out = tmp_path / "wrong.edgekit", tmp_path / "out.edgekit"
    wrong.write_bytes(write_bundle({**bundle.members, GOLDEN: write_arrays(shifted)}))
    code, answer, _ = certify(wrong, "--target", "linux-x86_64", "-o", out)
    assert code == 3
    assert answer["error"]["kind"] == "CertificateContractError"
    assert "off by 1 int8 step" in answer["error"]["message"]
    assert "golden answers" in answer["error"]["message"]
    assert row_of(answer, "x86-64", "builtin")["max_step"] == 1
    assert not out.exists()
    code, _, _ = certify(wrong, "--target", "linux-x86_64", "-o", out, "--tolerance", "golden=1")
    assert code == 0


def test_a_processor_without_a_needed_instruction_is_named(tmp_path: Path) -> None:
    """The ARMv6 of the first Raspberry Pi, in a device file of the user's, under Debian's ARMv7 programs."""
    from importlib.resources import files

    text = (files("edgekit_targets") / "devices" / "raspberry-pi-3.toml").read_text("utf-8")
    text = re.sub(r"(?m)^aliases = .*$", "aliases = []", text)
    swapped = text.replace('value = "Cortex-A53"', 'value = "ARM1176"')
    (tmp_path / "first-pi.toml").write_text(swapped, "utf-8")
    words = ("--device-dir", tmp_path, "--target", "first-pi/bookworm-32", "-o", tmp_path / "out.edgekit")
    code, answer, _ = certify(DIGITS.path, *words)
    assert code == 3
    row = row_of(answer, "first-pi/bookworm-32", "builtin", "tflite-runtime")
    assert (row["started"], row["signal"], row["max_step"]) == (False, "SIGILL", None)
    assert "illegal instruction (SIGILL)" in answer["error"]["message"]
    assert not (tmp_path / "out.edgekit").exists()


def test_a_wheel_on_a_processor_that_is_too_old_for_it_is_named() -> None:
    system = prepare_systems([HOST])[recipe_of(HOST).name]
    bundle = read_unverified(DIGITS.data)
    with machine(HOST, system, qemu_cpu="core2duo") as old:
        found = try_kernels(
            old, LITERT, KERNELS[LITERT], bytes(bundle.members[MODEL]), collect(bundle, ()), 120
        )
    assert list(found) == ["xnnpack", "builtin", "reference"]
    for outcome in found.values():
        assert isinstance(outcome, Failure)
        assert (outcome.signal, outcome.step) == ("SIGILL", "import numpy")


def test_a_runtime_that_dies_of_a_model_is_named(tmp_path: Path) -> None:
    """tflite-runtime 2.14.0 for 32-bit Arm does, of FULLY_CONNECTED without a bias; on x86-64 it does not."""
    code, answer, _ = certify(NO_BIAS, "--target", "linux-armhf", "-o", tmp_path / "out.edgekit")
    assert code == 3
    row = row_of(answer, "linux-armhf", "builtin", "tflite-runtime")
    assert (row["started"], row["signal"]) == (False, "SIGSEGV")
    assert row_of(answer, "x86-64", "builtin", "tflite-runtime")["started"] is True
    assert "while trying to run the model" in answer["error"]["message"]


@pytest.mark.parametrize("target", ["raspberry-pi-4", "linux-x86_64"])
def test_a_hung_program_ends_in_an_error_with_its_output(target: str) -> None:
    board = plan([target]).boards[-1]
    system = prepare_systems([board])[recipe_of(board).name]
    program = "print('so far', flush=True)\nimport time\ntime.sleep(600)"
    with (
        machine(board, system) as hung,
        pytest.raises(EmulatorError, match="still running after 10 s") as caught,
    ):
        hung.python(["-S", "-c", program], path=[], timeout_s=10)
    assert "so far" in str(caught.value)
    assert caught.value.hint is not None


def test_a_killed_emulator_ends_in_an_error_with_its_output() -> None:
    board = plan(["raspberry-pi-4"]).boards[-1]
    system = prepare_systems([board])[recipe_of(board).name]
    program = "print('so far', flush=True)\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    with (
        machine(board, system) as killed,
        pytest.raises(EmulatorError, match="ended from outside, by SIGKILL") as caught,
    ):
        killed.python(["-S", "-c", program], path=[], timeout_s=120)
    assert "so far" in str(caught.value)


def test_an_interrupted_certify_writes_nothing_and_leaves_nothing_running(tmp_path: Path) -> None:
    out = tmp_path / "out.edgekit"
    command = [sys.executable, "-m", "edgekit", "certify", str(DIGITS.path), "--target", "raspberry-pi-5"]
    process = subprocess.Popen(
        [*command, "-o", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("running"):
            break
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    assert process.wait(timeout=120) == 130
    assert not out.exists()
    assert list(tmp_path.iterdir()) == []
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(str(tmp_path).encode() in words for words in commands)


def test_samples_of_the_users_are_run_after_the_golden_ones(tmp_path: Path) -> None:
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.full((8, 8, 1), 80 * number, np.uint8))
    files = sorted(tmp_path.glob("*.npy"))
    out = tmp_path / "out.edgekit"
    code, _, said = certify(DIGITS.path, "--target", "linux-x86_64", "-o", out, "--data", *files)
    assert code == 0, said
    samples = json.loads(bytes(read_unverified(out.read_bytes()).members["certificate.json"]))["samples"]
    assert (samples["golden"], samples["data"]) == (3, 3)
    assert samples["files"] == ["0.npy", "1.npy", "2.npy"]


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("unexpected", "--target", "linux-x86_64"), 2, "UsageError"),
        (("--target", "linux-x86_64", "--data", "missing.npy"), 1, "BadSampleError"),
        (("--target", "coral-usb-accelerator"), 1, "CertifyError"),
        (("--tolerance", "xnnpack=many"), 1, "CertifyError"),
        (("--target", "linux-x86_64", "-o", "missing/out.edgekit"), 1, "OutputError"),
    ],
)
def test_bad_words_end_with_an_error_and_change_nothing(
    tmp_path: Path, words: tuple[str, ...], code: int, kind: str
) -> None:
    bundle = tmp_path / "b.edgekit"
    bundle.write_bytes(DIGITS.data)
    found, answer, _ = certify(bundle, *words)
    assert (found, answer["error"]["kind"]) == (code, kind)
    assert list(tmp_path.iterdir()) == [bundle]
    assert bundle.read_bytes() == DIGITS.data


def test_a_signed_bundle_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    signed = tmp_path / "signed.edgekit"
    members = read_unverified(DIGITS.data).members
    signed.write_bytes(write_bundle({**members, "signature.json": b"{}\n"}))
    code, answer, _ = certify(signed, "--target", "raspberry-pi-4")
    assert (code, answer["error"]["kind"]) == (1, "CertifyError")
    assert "signed already" in answer["error"]["message"]
    assert "certify first" in answer["error"]["hint"]


def test_microcontrollers_stand_in_the_same_table(tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro", reason="the extra 'micro' is not installed")
    pytest.importorskip("ethosu", reason="the extra 'ethos-u' is not installed")
    words = ("--target", "cortex-m55", "--target", "ethos-u55-128", "-o", tmp_path / "out.edgekit")
    code, answer, said = certify(DIGITS.path, *words)
    assert code == 0, said
    rows = [row for row in answer["results"] if row["board"] == "cortex-m55"]
    assert [row["kernels"] for row in rows] == ["reference", "builtin"]
    assert all(set(row) == KEYS and row["bit_exact"] for row in rows)
    (estimate,) = answer["estimates"]
    assert estimate["board"] == "ethos-u55-128"
    assert estimate["cycles"] > 0
