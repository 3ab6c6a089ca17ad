"""The driver of Vela: the real one where it is installed, and what is said where it is not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tflite_models import Net, Op, T, activation, conv, depthwise

from edgekit.errors import MissingExtraError
from edgekit_converters.compilers import CompilerError, differences
from edgekit_converters.compilers.vela import compile_vela, find_vela
from edgekit_targets.catalog import load_target
from edgekit_targets.forecast import Placement, forecast
from edgekit_targets.ops import view
from edgekit_targets.tflite import read_graph

TARGETS = ("ethos-u55-128", "ethos-u55-256", "ethos-u65-256")


@pytest.fixture(scope="module")
def vela() -> Path:
    try:
        return find_vela()
    except MissingExtraError:
        pytest.skip("ethos-u-vela is not installed: the extra 'ethos-u'")


def mixed() -> Net:
    """CONV_2D in int8, then a float NEG between DEQUANTIZE and QUANTIZE, then RELU in int8."""
    base = conv(channels=4)
    shape = (1, 8, 8, 4)
    tensors = {
        **base.tensors,
        "real": T(shape, "FLOAT32"),
        "negative": T(shape, "FLOAT32"),
        "back": activation(*shape),
        "end": activation(*shape),
    }
    ops = (
        *base.ops,
        Op("DEQUANTIZE", ("y",), ("real",), version=2),
        Op("NEG", ("real",), ("negative",)),
        Op("QUANTIZE", ("negative",), ("back",)),
        Op("RELU", ("back",), ("end",), version=2),
    )
    return Net(tensors, ops, ("x",), ("end",))


@pytest.mark.parametrize("name", TARGETS)
def test_what_vela_takes_whole(vela: Path, name: str) -> None:
    model = depthwise(channels=8).build()
    result = compile_vela(model, load_target(name), executable=vela)
    assert [op.placement for op in result.forecast.ops] == [Placement.NPU]
    assert result.tool.startswith("ethos-u-vela ")
    assert result.forecast.partitions == 1
    assert [op.title for op in view(read_graph(result.data))] == ["ethos-u"]
    figures = result.figures
    assert figures["cycles"] > 0
    assert figures["inference_ms"] == pytest.approx(figures["cycles"] / figures["clock_mhz"] / 1000, rel=1e-3)
    assert figures["sram_bytes"] > 0


def test_what_vela_leaves_says_why(vela: Path) -> None:
    result = compile_vela(mixed().build(), load_target("ethos-u55-128"), executable=vela)
    placements = [op.placement for op in result.forecast.ops]
    assert placements == [Placement.NPU, Placement.CPU, Placement.CPU, Placement.CPU, Placement.NPU]
    assert result.forecast.partitions == 2
    assert "Float32" in result.forecast.ops[2].reason
    assert "Unsupported opType" in result.forecast.ops[1].reason


def test_vela_and_the_forecast(vela: Path) -> None:
    target = load_target("ethos-u55-128")
    model = mixed().build()
    ours = forecast(view(read_graph(model)), target)
    assert differences(ours, compile_vela(model, target, executable=vela).forecast) == ()


def test_what_vela_takes_nothing_of_is_a_failure(vela: Path) -> None:
    shape = (1, 8)
    net = Net(
        {"a": T(shape, "FLOAT32"), "b": T(shape, "FLOAT32")}, (Op("NEG", ("a",), ("b",)),), ("a",), ("b",)
    )
    with pytest.raises(CompilerError, match=r"mapped none of its 1 operators to the NPU.*NEG"):
        compile_vela(net.build(), load_target("ethos-u55-128"), executable=vela)


def test_what_vela_refuses(vela: Path) -> None:
    shape = (1, 8)
    net = Net(
        {"a": T(shape, "FLOAT32"), "b": T(shape, "FLOAT32")},
        (Op("HARD_SWISH", ("a",), ("b",)),),
        ("a",),
        ("b",),
    )
    with pytest.raises(CompilerError, match=r"refuses the model: HARD_SWISH 'b'.*8bit") as caught:
        compile_vela(net.build(), load_target("ethos-u55-128"), executable=vela)
    assert "Traceback" not in str(caught.value)


def test_the_same_model_compiles_to_the_same_bytes(vela: Path) -> None:
    model = conv(channels=8).build()
    target = load_target("ethos-u55-256")
    first = compile_vela(model, target, executable=vela)
    assert compile_vela(model, target, executable=vela).data == first.data


def test_without_vela_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(MissingExtraError, match="'ethos-u'"):
        compile_vela(conv().build(), load_target("ethos-u55-128"))


def test_vela_beside_this_python_comes_before_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    beside = tmp_path / "vela"
    beside.write_text("", "utf-8")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert find_vela() == beside


Script = Callable[[str], Path]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    def write(text: str) -> Path:
        tool = tmp_path / "vela"
        tool.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        tool.chmod(0o755)
        return tool

    return write


VERSION = 'if [ "$1" = --version ]; then echo 5.2.0; exit 0; fi'


def test_another_program_of_that_name(script: Script) -> None:
    with pytest.raises(CompilerError, match=r"is not Vela: .*hello"):
        compile_vela(conv().build(), load_target("ethos-u55-128"), executable=script("echo hello"))


def test_a_vela_that_dies(script: Script) -> None:
    tool = script(f"{VERSION}\necho about to die; kill -SEGV $$")
    with pytest.raises(CompilerError, match="refuses the model: about to die"):
        compile_vela(conv().build(), load_target("ethos-u55-128"), executable=tool)


def test_a_vela_that_does_not_end(script: Script) -> None:
    tool = script(f"{VERSION}\nsleep 600")
    with pytest.raises(CompilerError, match="did not end within 1 s"):
        compile_vela(conv().build(), load_target("ethos-u55-128"), executable=tool, timeout_s=1)


def test_a_summary_without_the_known_columns_gives_no_figures(script: Script, tmp_path: Path) -> None:
    net = depthwise(channels=8)
    taken = replace(net.ops[0], opcode="CUSTOM", table=None, options={}, custom_code="ethos-u", version=1)
    compiled = tmp_path / "compiled.tflite"
    compiled.write_bytes(replace(net, ops=(taken,)).build())
    copy = f'cp {compiled} "$3/model_vela.tflite"; echo "a,b\n1,2" > "$3/model_summary_x.csv"'
    result = compile_vela(net.build(), load_target("ethos-u55-128"), executable=script(f"{VERSION}\n{copy}"))
    assert result.figures == {}
    assert result.forecast.count(Placement.NPU) == 1


def test_a_device_that_is_no_ethos_u() -> None:
    with pytest.raises(CompilerError, match="does not say how Vela is to compile"):
        compile_vela(
            conv().build(), load_target("raspberry-pi-4"), executable=Path(shutil.which("true") or "true")
        )
