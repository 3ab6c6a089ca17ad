"""The driver of edgetpu_compiler, against a program that behaves as published logs and issues describe the real one."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Net, Op, activation, conv

from edgekit_converters.compilers import CompilerError, CompilerNotFoundError, differences
from edgekit_converters.compilers.edgetpu import compile_edgetpu, find_edgetpu_compiler
from edgekit_converters.compilers.edgetpu_log import FAILURES, Row, failure, parse_log
from edgekit_targets.catalog import load_target
from edgekit_targets.errors import MalformedModelError
from edgekit_targets.forecast import Placement, forecast
from edgekit_targets.ops import view
from edgekit_targets.tflite import read_graph

TARGET = load_target("coral-usb-accelerator")
VERSION = "Edge TPU Compiler version 16.0.384591198"

STAND_IN = """#!{python}
import json, pathlib, shutil, subprocess, sys, time
home = pathlib.Path({home!r})
does = json.loads((home / "does.json").read_text())
if "--version" in sys.argv:
    print(does["version"])
    sys.exit(0)
(home / "argv.json").write_text(json.dumps(sys.argv[1:]))
print(does["log"], flush=True)
if does["hangs"]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (home / "child").write_text(str(child.pid))
    time.sleep(600)
compiled = home / "compiled.tflite"
if compiled.is_file():
    out = pathlib.Path(sys.argv[sys.argv.index("--out_dir") + 1])
    shutil.copy(compiled, out / (pathlib.Path(sys.argv[-1]).stem + "_edgetpu.tflite"))
sys.exit(does["code"])
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Puts a stand-in for the compiler into place and returns its path."""

    def write(
        log: str, compiled: bytes | None = None, *, code: int = 0, version: str = VERSION, hangs: bool = False
    ) -> Path:
        does = {"version": version, "log": log, "code": code, "hangs": hangs}
        (tmp_path / "does.json").write_text(json.dumps(does), "utf-8")
        if compiled is not None:
            (tmp_path / "compiled.tflite").write_bytes(compiled)
        tool = tmp_path / "edgetpu_compiler"
        tool.write_text(STAND_IN.format(python=sys.executable, home=str(tmp_path)), "utf-8")
        tool.chmod(0o755)
        return tool

    return write


def argv(tool: Path) -> list[str]:
    return json.loads((tool.parent / "argv.json").read_text("utf-8"))


def model() -> Net:
    """CONV_2D, LOGISTIC, LEAKY_RELU."""
    base = conv(channels=4)
    tensors = {
        **base.tensors,
        "probability": activation(1, 8, 8, 4, scale=1 / 256, zero_point=-128),
        "z": activation(1, 8, 8, 4, scale=0.1),
    }
    ops = (
        *base.ops,
        Op("LOGISTIC", ("y",), ("probability",), version=2),
        Op("LEAKY_RELU", ("probability",), ("z",), "LeakyReluOptions", {"alpha": 0.1}, 2),
    )
    return Net(tensors, ops, ("x",), ("z",))


def compiled(net: Net, mapped: int) -> bytes:
    """What the compiler leaves of a net in a row when it maps the first few of its operators."""
    fed, first = net.ops[0].inputs[0], net.ops[mapped - 1].outputs
    taken = Op("CUSTOM", (fed,), first, custom_code="edgetpu-custom-op", custom_options=b"package")
    ops = (taken, *net.ops[mapped:])
    used = {name for op in ops for name in (*op.inputs, *op.outputs) if name is not None}
    tensors = {name: tensor for name, tensor in net.tensors.items() if name in used}
    return replace(net, ops=ops, tensors=tensors).build()


def log(*rows: tuple[str, int, str], on_tpu: int | None = None, on_cpu: int = 0, total: int = 3) -> str:
    """What 16.0 prints with --show_operations. Where all operators are mapped, it leaves two lines out."""
    counts = "" if on_tpu is None else (
        "\nmodel.tflite successfully compiled but not all operations are supported by the Edge TPU.\n"
        f"Number of operations that will run on Edge TPU: {on_tpu}\n"
        f"Number of operations that will run on CPU: {on_cpu}\n"
    )  # fmt: skip
    table = "\n".join(f"{opcode:30s} {count:<10d} {status}" for opcode, count, status in rows)
    return f"""{VERSION}
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 53 ms.

Input model: model.tflite
Input size: 2.87MiB
Output model: model_edgetpu.tflite
Output size: 2.94MiB
On-chip memory used for caching model parameters: 1.50KiB
On-chip memory remaining for caching model parameters: 7.69MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: {total}
Operation log: model_edgetpu.log
{counts}
Operator                       Count      Status

{table}
Compilation child process completed within timeout period.
Compilation succeeded!
"""


MAPPED = "Mapped to Edge TPU"
ALL_MAPPED = log(("CONV_2D", 1, MAPPED), ("LOGISTIC", 1, MAPPED), ("LEAKY_RELU", 1, MAPPED))
ONE_LEFT = log(
    ("CONV_2D", 1, MAPPED),
    ("LEAKY_RELU", 1, "Operation not supported"),
    ("LOGISTIC", 1, MAPPED),
    on_tpu=2,
    on_cpu=1,
)
LIMITATION = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
TWO_LEFT = log(
    ("CONV_2D", 1, MAPPED),
    ("LOGISTIC", 1, LIMITATION),
    ("LEAKY_RELU", 1, "Operation not supported"),
    on_tpu=1,
    on_cpu=2,
)


def test_everything_mapped(install: Install) -> None:
    net = model()
    tool = install(ALL_MAPPED, compiled(net, 3))
    result = compile_edgetpu(net.build(), TARGET, executable=tool)
    assert [op.placement for op in result.forecast.ops] == [Placement.TPU] * 3
    assert result.tool == "edgetpu_compiler 16.0.384591198"
    assert result.forecast.partitions == 1
    assert result.forecast.parameters is not None
    assert (result.forecast.parameters.cached_bytes, result.forecast.parameters.streamed_bytes) == (1536, 0)
    assert result.figures == {"remaining_bytes": round(7.69 * 2**20)}
    assert result.data == (tool.parent / "compiled.tflite").read_bytes()


def test_what_stays_says_why_in_the_compilers_words(install: Install) -> None:
    net = model()
    result = compile_edgetpu(net.build(), TARGET, executable=install(ONE_LEFT, compiled(net, 2)))
    assert [op.placement for op in result.forecast.ops] == [Placement.TPU, Placement.TPU, Placement.CPU]
    assert result.forecast.ops[2].reason == "Operation not supported"
    assert result.forecast.to_json()["summary"]["operators"] == {"CPU": 1, "TPU": 2}  # type: ignore[index]


def test_forecast_and_truth_are_compared(install: Install) -> None:
    net = model()
    ours = forecast(view(read_graph(net.build())), TARGET)
    agrees = compile_edgetpu(net.build(), TARGET, executable=install(ONE_LEFT, compiled(net, 2)))
    assert differences(ours, agrees.forecast) == ()
    differs = compile_edgetpu(net.build(), TARGET, executable=install(TWO_LEFT, compiled(net, 1)))
    (one,) = differences(ours, differs.forecast)
    assert (one.index, one.opcode, one.forecast, one.compiled) == (
        1,
        "LOGISTIC",
        Placement.TPU,
        Placement.CPU,
    )
    assert one.reason == LIMITATION


def test_options(install: Install) -> None:
    net = model()
    tool = install(ALL_MAPPED, compiled(net, 3))
    compile_edgetpu(
        net.build(), TARGET, executable=tool, timeout_s=100, several_partitions=True, search_delegate=True
    )
    given_options = argv(tool)
    assert given_options[:2] == ["--show_operations", "--out_dir"]
    assert given_options[3:7] == ["--timeout_sec", "90", "--search_delegate", "--enable_multiple_subgraphs"]
    assert given_options[7].endswith(".tflite")


def test_an_older_compiler_gets_no_option_that_it_does_not_know(install: Install) -> None:
    net = model()
    version = "Edge TPU Compiler version 2.0.267685300"
    tool = install(ALL_MAPPED, compiled(net, 3), version=version)
    result = compile_edgetpu(net.build(), TARGET, executable=tool, search_delegate=True)
    assert result.tool == "edgetpu_compiler 2.0.267685300"
    assert len(argv(tool)) == 4


def test_compiled_with_nothing_mapped_is_a_failure(install: Install) -> None:
    net = model()
    text = log(*((op.opcode, 1, "Operation not supported") for op in net.ops), on_tpu=0, on_cpu=3)
    with pytest.raises(CompilerError, match="mapped none of its 3 operators") as caught:
        compile_edgetpu(net.build(), TARGET, executable=install(text, net.build()))
    assert "edgekit check MODEL --target coral-usb-accelerator" in str(caught.value.hint)


FAILING = {
    "Invalid model: /tmp/model.tflite\nModel not quantized": "not quantized",
    "ERROR: Attempting to use a delegate that only supports static-sized tensors with a graph that has "
    "dynamic-sized tensors.": "size is open",
    "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '6'\nERROR: Registration failed.\n"
    "Invalid model: m.tflite\nModel could not be parsed": "does not know CONV_2D in the version",
    "ERROR: Encountered unresolved custom op: Atan.\nCompilation failed: Model failed in Tflite interpreter. "
    "Please ensure model can be loaded/run in Tflite interpreter.": "custom operator Atan",
    "Compilation failed due to large activation tensors in model.": "too large for the chip",
    "Compilation timeout. This is usually caused by large activations.": "its own time limit",
    "libc++abi: terminating with uncaught exception of type std::out_of_range: vector": "it crashed",
    "Internal compiler error. Aborting!": "it crashed",
    "Invalid model: m.tflite\nModel could not be parsed": "cannot read the model",
}


@pytest.mark.parametrize("text", FAILING)
@pytest.mark.parametrize("code", [0, 1, 134])
def test_known_failures_say_what_they_mean_and_what_to_do(install: Install, text: str, code: int) -> None:
    tool = install(f"{VERSION}\n{text}\n\nCompilation failed!", code=code)
    with pytest.raises(CompilerError, match=FAILING[text]) as caught:
        compile_edgetpu(model().build(), TARGET, executable=tool)
    assert caught.value.hint


def test_each_known_failure_is_tried_above() -> None:
    tried = {known for text in FAILING if (known := failure(text)) is not None}
    assert {hint for _, hint in tried} == {known.hint for known in FAILURES}


def test_an_unknown_failure_shows_its_last_words(install: Install) -> None:
    tool = install(f"{VERSION}\nsomething new\nCompilation failed!", code=7)
    with pytest.raises(CompilerError, match=r"exit status 7: .*something new / Compilation failed!"):
        compile_edgetpu(model().build(), TARGET, executable=tool)


def test_success_without_a_file_is_a_failure(install: Install) -> None:
    with pytest.raises(CompilerError, match="without a compiled model"):
        compile_edgetpu(model().build(), TARGET, executable=install(ALL_MAPPED))


def test_log_and_file_that_disagree_are_refused(install: Install) -> None:
    net = model()
    with pytest.raises(CompilerError, match="has 2 operators on the Edge TPU, and the compiled file 1"):
        compile_edgetpu(net.build(), TARGET, executable=install(ONE_LEFT, compiled(net, 1)))


@pytest.mark.parametrize(("data", "says"), [(b"TFL3", "no .tflite"), (None, "which the model does not")])
def test_a_compiled_file_that_cannot_be_read_is_refused(
    install: Install, data: bytes | None, says: str
) -> None:
    other = Net({"a": activation(1, 5), "b": activation(1, 5)}, (Op("TANH", ("a",), ("b",)),), ("a",), ("b",))
    with pytest.raises(CompilerError, match=says):
        compile_edgetpu(model().build(), TARGET, executable=install(ALL_MAPPED, data or other.build()))


def test_a_compiler_that_does_not_end_is_stopped_with_its_children(install: Install) -> None:
    tool = install(f"{VERSION}\nStarted a compilation timeout timer of 180 seconds.", hangs=True)
    began = time.monotonic()
    with pytest.raises(CompilerError, match="did not end within 3 s"):
        compile_edgetpu(model().build(), TARGET, executable=tool, timeout_s=3)
    assert time.monotonic() - began < 30
    child = int((tool.parent / "child").read_text("utf-8"))
    for _ in range(50):
        if not _runs(child):
            return
        time.sleep(0.1)
    pytest.fail("what the compiler started still runs")


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_without_the_compiler_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompilerNotFoundError, match="edgetpu_compiler is not installed") as caught:
        compile_edgetpu(model().build(), TARGET)
    assert "x86-64 Debian" in str(caught.value.hint)


def test_the_compiler_is_found_on_the_path(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = install(ALL_MAPPED)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    assert find_edgetpu_compiler() == tool


def test_another_program_of_that_name_is_not_taken_for_it(install: Install) -> None:
    with pytest.raises(CompilerError, match=r"is not edgetpu_compiler: .*hello"):
        compile_edgetpu(model().build(), TARGET, executable=install("", version="hello"))


def test_a_file_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(CompilerError, match="cannot be started"):
        compile_edgetpu(model().build(), TARGET, executable=tmp_path / "edgetpu_compiler")


def test_a_model_that_is_none_never_reaches_the_compiler(install: Install) -> None:
    tool = install(ALL_MAPPED)
    with pytest.raises(MalformedModelError):
        compile_edgetpu(b"no model", TARGET, executable=tool)
    assert not (tool.parent / "argv.json").exists()


def test_a_log_of_sixteen() -> None:
    found = parse_log(ONE_LEFT)
    assert (found.version, found.succeeded) == ("16.0.384591198", True)
    assert (found.total, found.mapped, found.subgraphs) == (3, 2, 1)
    assert (found.cached_bytes, found.remaining_bytes, found.streamed_bytes) == (1536, 8_063_549, 0)
    assert found.rows[1] == Row("LEAKY_RELU", 1, "Operation not supported")
    assert found.statuses("LEAKY_RELU") == ("Operation not supported",)
    assert found.statuses("CONV_2D") == ()


def test_a_log_of_one() -> None:
    text = """Edge TPU Compiler version 1.0.249710469

Input: model.tflite
On-chip memory available for caching model parameters: 6.33MiB
On-chip memory used for caching model parameters: 3.76MiB
"""
    found = parse_log(text)
    assert (found.version, found.remaining_bytes) == ("1.0.249710469", round(6.33 * 2**20))
    assert (found.succeeded, found.total, found.mapped) == (False, None, None)


def test_one_kind_of_operator_in_several_rows() -> None:
    partition = "More than one subgraph is not supported"
    rows = (("CONV_2D", 5, MAPPED), ("CONV_2D", 2, partition), ("CONV_2D", 1, LIMITATION))
    assert parse_log(log(*rows)).statuses("CONV_2D") == (partition, LIMITATION)


@given(
    st.text() | st.text("Operator Count\nStatus0123456789:MiB.").map(lambda t: f"Operator Count Status\n{t}")
)
def test_no_text_makes_the_reader_fail(text: str) -> None:
    found: Any = parse_log(text)
    assert all(row.count >= 0 for row in found.rows)
    failure(text)
