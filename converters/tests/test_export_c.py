"""`edgekit export-c`: sources that compile and hold the very model, and nothing half-written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tflite_models import Net, Op, T, activation, conv, dense, net, shape_constant, unary

from edgekit.bundle import write_bundle
from edgekit.errors import (
    EdgekitError,
    MalformedModelError,
    OutputError,
    UnknownModelError,
    UnsupportedModelError,
)
from edgekit.manifest import CalibrationRecord, Manifest, Preprocessing, TensorSpec
from edgekit_converters.commands.convert import convert
from edgekit_converters.commands.export_c import export_c
from edgekit_converters.micro.export import export, file_names, write_export
from edgekit_converters.micro.operators import method_of, needed
from edgekit_converters.micro.source import open_micro
from edgekit_targets.rules.tflite_micro import CUSTOM, OPERATORS
from edgekit_targets.tflite import read_graph

GCC, GXX = shutil.which("gcc"), shutil.which("g++")
ARM_GCC = shutil.which("arm-none-eabi-gcc")

needs_gcc = pytest.mark.skipif(GCC is None or GXX is None, reason="gcc and g++ are not installed")

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")

# Every method of MicroMutableOpResolver in TensorFlow Lite Micro that adds a kernel of its own (the header of 2025,
# without the signal library's).
METHODS = """
Abs Add AddN ArgMax ArgMin AssignVariable AveragePool2D BatchMatMul BatchToSpaceNd BroadcastArgs BroadcastTo CallOnce
Cast Ceil CircularBuffer Concatenation Conv2D Cos CumSum DepthToSpace DepthwiseConv2D Dequantize DetectionPostprocess
Div EmbeddingLookup Elu Equal EthosU Exp ExpandDims Fill Floor FloorDiv FloorMod FullyConnected Gather GatherNd Greater
GreaterEqual HardSwish If L2Normalization L2Pool2D LeakyRelu Less LessEqual Log LogicalAnd LogicalNot LogicalOr Logistic
LogSoftmax Maximum MaxPool2D MirrorPad Mean Minimum Mul Neg NotEqual Pack Pad PadV2 Prelu Quantize ReadVariable
ReduceMax ReduceMin Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt SelectV2 Shape Sin
Slice Softmax SpaceToBatchNd SpaceToDepth Split SplitV Squeeze Sqrt Square SquaredDifference StridedSlice Sub Sum Svdf
Tanh TransposeConv Transpose Unpack UnidirectionalSequenceLSTM VarHandle While ZerosLike
""".split()  # noqa: SIM905  # a list of 113 quoted names would say the same in as many lines


def run(*words: object) -> Result:
    return CliRunner().invoke(export_c, [str(word) for word in words])


def refused(*words: object) -> EdgekitError:
    result = run(*words)
    assert isinstance(result.exception, EdgekitError), result.output
    assert result.exception.hint
    return result.exception


def written(folder: Path, model: Net, name: str = "model.tflite") -> Path:
    path = folder / name
    path.write_bytes(model.build())
    return path


def manifest(name: str = "cats", labels: tuple[str, ...] | None = None, *variants: str) -> Manifest:
    feed = Preprocessing("image", "uint8", range=(-1.0, 1.0), mean=(0.5,), color="RGB")
    return Manifest(
        name=name,
        version="1.2.0",
        security_epoch=0,
        targets=("cortex-m4f",),
        inputs=(TensorSpec("photo", (1, 8, 8, 3), "int8", 0.05, 3, "NHWC", feed),),
        outputs=(TensorSpec("scores", (1, 8, 8, 4), "int8", 0.05, 3),),
        labels=labels,
        calibration=CalibrationRecord("photos", "ab" * 32, 20, 20, 0, "minmax"),
        recipe={"effort": "fast"},
        tools={"edgekit": "0.1.0"},
        accuracy=None,
        exceptions=(),
        runtime={variant: {"litert": "2.3.0"} for variant in variants or ("model.tflite",)},
        golden=None,
    )


def bundled(folder: Path, said: Manifest, **variants: bytes) -> Path:
    members = {"model.tflite": conv().build(), "manifest.json": said.to_bytes()}
    path = folder / "cats.edgekit"
    path.write_bytes(write_bundle({**members, **{f"{name}.tflite": data for name, data in variants.items()}}))
    return path


def compiled_and_run(folder: Path, sources: list[str], main: str) -> str:
    """What a C program beside the written sources prints."""
    (folder / "main.c").write_text(main)
    assert GCC is not None
    command = [GCC, "-std=c11", *STRICT, "main.c", *sources, "-o", "program"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return subprocess.run([folder / "program"], check=True, capture_output=True, text=True).stdout


# ---- what is written ---------------------------------------------------------------------


@needs_gcc
def test_a_c_program_finds_the_very_model_and_its_description(tmp_path: Path) -> None:
    path = bundled(tmp_path, manifest("Cats & dogs", ('say "cat"', "Köln??/", "a\\b", "3")))
    out = tmp_path / "out"
    assert run(path, "-o", out).exit_code == 0
    program = """
    #include <stdio.h>
    #include <stdint.h>
    #include "cats_dogs_model.h"
    #include "cats_dogs_config.h"
    int main(void) {
        static const char *const labels[] = CATS_DOGS_LABELS;
        static const int shape[CATS_DOGS_INPUT_0_RANK] = CATS_DOGS_INPUT_0_SHAPE;
        CATS_DOGS_INPUT_0_TYPE value = CATS_DOGS_INPUT_0_ZERO_POINT;
        uint32_t hash = 2166136261u;
        for (unsigned int i = 0; i < cats_dogs_model_size; i++)
            hash = (hash ^ cats_dogs_model_data[i]) * 16777619u;
        printf("%u %u %u\\n", cats_dogs_model_size, hash, (unsigned)((uintptr_t)cats_dogs_model_data % 16));
        printf("%s %d %d %d %d %d %d %a\\n", CATS_DOGS_INPUT_0_NAME, shape[0], shape[1], shape[3], CATS_DOGS_INPUT_0_SIZE,
               (int)value, (int)sizeof value, CATS_DOGS_INPUT_0_SCALE);
        for (int i = 0; i < CATS_DOGS_LABEL_COUNT; i++) puts(labels[i]);
        return 0;
    }
    """
    said = compiled_and_run(out, ["cats_dogs_model.c"], program).splitlines()
    model = conv().build()
    fnv = 2166136261
    for byte in model:
        fnv = (fnv ^ byte) * 16777619 % 2**32
    assert said[0] == f"{len(model)} {fnv} 0"
    *words, scale = said[1].split()
    assert words == ["photo", "1", "8", "3", "192", "3", "1"]
    assert float.fromhex(scale) == float(np.float32(0.05))
    assert said[2:] == ['say "cat"', "Köln??/", "a\\b", "3"]


@needs_gcc
def test_the_operators_are_added_with_methods_that_the_runtime_has(tmp_path: Path) -> None:
    """Compiled against the resolver's declarations: each method is there, and as many are called as it has room for."""
    header = tmp_path / "tensorflow/lite/micro/micro_mutable_op_resolver.h"
    header.parent.mkdir(parents=True)
    methods = "\n".join(f"  TfLiteStatus Add{name}() {{ return add(); }}" for name in METHODS)
    header.write_text(
        "#pragma once\nenum TfLiteStatus { kTfLiteOk, kTfLiteError };\nnamespace tflite {\n"
        "template <unsigned int room> struct MicroMutableOpResolver {\n  unsigned int added = 0;\n"
        f"  TfLiteStatus add() {{ return ++added > room ? kTfLiteError : kTfLiteOk; }}\n{methods}\n}};\n}}\n"
    )
    assert run(written(tmp_path, chain()), "-o", tmp_path / "out", "--name", "chain").exit_code == 0
    (tmp_path / "main.cc").write_text(
        '#include "out/chain_config.h"\n#include "out/chain_model.h"\n#include "out/chain_ops.h"\n'
        "alignas(16) static uint8_t arena[CHAIN_ARENA_BYTES];\n"
        "int main() { chain_op_resolver r; if (chain_add_ops(r) != kTfLiteOk) return 99;\n"
        "  return sizeof arena % 16 ? 98 : static_cast<int>(r.added) + (chain_model_size == 0); }\n"
    )
    assert GXX is not None
    assert GCC is not None
    subprocess.run(
        [GCC, "-std=c11", *STRICT, "-c", "out/chain_model.c", "-o", "model.o"], cwd=tmp_path, check=True
    )
    command = [GXX, "-std=c++17", *STRICT, "-I.", "main.cc", "model.o", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "program"], check=False).returncode == 3


def test_a_compiler_for_cortex_m_takes_the_array(tmp_path: Path) -> None:
    if ARM_GCC is None:
        pytest.skip("arm-none-eabi-gcc is not installed: Debian's gcc-arm-none-eabi")
    assert run(written(tmp_path, conv()), "-o", tmp_path / "out").exit_code == 0
    command = [ARM_GCC, "-mcpu=cortex-m4", "-std=c11", *STRICT, "-c", "model_model.c", "-o", "model.o"]
    subprocess.run(command, cwd=tmp_path / "out", check=True)


def chain() -> Net:
    """CONV_2D, RELU, CONV_2D's result and the RELU's concatenated: three kinds of operators."""
    base = conv(channels=4)
    shape = (1, 8, 8, 4)
    tensors = {**base.tensors, "r": activation(*shape), "c": activation(1, 8, 8, 8)}
    ops = (
        *base.ops,
        Op("RELU", ("y",), ("r",), version=2),
        Op("CONCATENATION", ("y", "r"), ("c",), "ConcatenationOptions", {"axis": 3}, 2),
    )
    return Net(tensors, ops, ("x",), ("c",))


def test_equal_models_give_equal_files_and_a_second_run_replaces_them(tmp_path: Path) -> None:
    path = written(tmp_path, conv())
    out = tmp_path / "out"
    assert run(path, "-o", out).exit_code == 0
    first = {file.name: file.read_bytes() for file in out.iterdir()}
    assert sorted(first) == sorted(file_names("model"))
    assert run(path, "-o", out).exit_code == 0
    assert {file.name: file.read_bytes() for file in out.iterdir()} == first
    written(tmp_path, dense())
    assert run(path, "-o", out).exit_code == 0
    assert (out / "model_ops.h").read_bytes() != first["model_ops.h"]


def test_json_says_what_was_written(tmp_path: Path) -> None:
    path = written(tmp_path, chain(), "chain.tflite")
    out = tmp_path / "out"
    said = json.loads(run(path, "-o", out, "--json").stdout)
    assert sorted(said["files"]) == sorted(file.name for file in out.iterdir())
    assert [row["method"] for row in said["operators"]] == ["AddConcatenation", "AddConv2D", "AddRelu"]
    assert said["model_bytes"] == path.stat().st_size
    arena = said["arena"]
    assert arena["bytes"] % 16 == 0
    assert arena["needed_bytes"] + arena["scratch_bytes"] <= arena["bytes"]
    assert arena["tensor_bytes"] < arena["needed_bytes"]
    config = (out / "chain_config.h").read_text()
    assert f"#define CHAIN_ARENA_BYTES {arena['bytes']}\n" in config


def test_people_are_told_how_much_memory_it_takes(tmp_path: Path) -> None:
    out = run(written(tmp_path, conv()), "-o", tmp_path / "out").stdout
    assert re.search(r"arena +[\d,]+ bytes of RAM: [\d,]+ (measured|estimated)", out)
    assert "operators  1: CONV_2D" in out


def test_of_a_bundle_what_vela_made_is_taken(tmp_path: Path) -> None:
    shape = (1, 8, 8, 3)
    vela = net("CUSTOM", {"x": activation(*shape)}, {"y": activation(1, 8, 8, 4)}, custom_code="ethos-u")
    path = bundled(
        tmp_path, manifest("cats", None, "model.tflite", "model_vela.tflite"), model_vela=vela.build()
    )
    said = json.loads(run(path, "-o", tmp_path / "out", "--json").stdout)
    assert said["member"] == "model_vela.tflite"
    assert said["operators"] == [{"opcode": "ethos-u", "method": "AddEthosU"}]
    assert "core driver" in (tmp_path / "out/cats_ops.h").read_text()
    assert said["arena"]["measured_by"] is None  # no kernel on the workstation


def test_how_raw_samples_become_input_stands_beside_it(tmp_path: Path) -> None:
    assert run(bundled(tmp_path, manifest()), "-o", tmp_path / "out").exit_code == 0
    config = (tmp_path / "out/cats_config.h").read_text()
    assert "// raw image of uint8; channels RGB; its span scaled to -1..1; less the mean 0.5\n" in config


def test_every_operator_has_a_method_of_the_resolver() -> None:
    assert {method_of(title) for title in OPERATORS | CUSTOM} <= {f"Add{name}" for name in METHODS}
    assert len({method_of(title) for title in OPERATORS | CUSTOM}) == len(OPERATORS | CUSTOM)


def test_operators_in_branches_count_too() -> None:
    body = unary("RELU")
    condition = T((1,), "BOOL")
    main = net(
        "IF",
        {"c": condition, "x": activation(1, 8)},
        {"y": activation(1, 8)},
        table="IfOptions",
        options={"thenSubgraphIndex": 1, "elseSubgraphIndex": 1},
    )
    graph = read_graph(Net(main.tensors, main.ops, main.inputs, main.outputs, subgraphs=(body,)).build())
    assert needed(graph) == ("IF", "RELU")


def test_a_hostile_name_only_names(tmp_path: Path) -> None:
    path = written(tmp_path, conv(), 'x"\n#error\\.tflite')
    assert run(path, "-o", tmp_path / "out").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(file_names("x_error"))
    for file in (tmp_path / "out").iterdir():
        assert not re.search(r"^#error", file.read_text(), re.M)


# ---- refused -----------------------------------------------------------------------------


def test_an_operator_without_a_kernel_is_named(tmp_path: Path) -> None:
    error = refused(written(tmp_path, unary("RELU_N1_TO_1")), "-o", tmp_path / "out")
    assert isinstance(error, UnsupportedModelError)
    assert str(error).startswith("TensorFlow Lite Micro does not run RELU_N1_TO_1: ")
    assert "ReLU6 stands for RELU_N1_TO_1" in str(error.hint)
    assert not (tmp_path / "out").exists()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "model.txt"
    text.write_text("hello, world")
    assert isinstance(refused(text, "-o", tmp_path / "out"), UnknownModelError)
    assert isinstance(refused(tmp_path / "none", "-o", tmp_path / "out"), UnknownModelError)
    assert isinstance(refused(tmp_path, "-o", tmp_path / "out"), UnknownModelError)
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(conv().build()[:200])
    with pytest.raises(MalformedModelError):
        open_micro(broken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.tflite", "model.txt"]


def test_inputs_that_c_cannot_feed_are_refused(tmp_path: Path) -> None:
    error = refused(
        written(tmp_path, net("RESHAPE", {"x": T((1, 8), "STRING")}, {"y": T((8,), "STRING")})),
        "-o",
        tmp_path / "out",
    )
    assert "string" in str(error)
    opened = net("RELU", {"x": activation(1, -1, 8)}, {"y": activation(1, -1, 8)}, version=2)
    assert "open size" in str(refused(written(tmp_path, opened), "-o", tmp_path / "out"))


def test_files_of_others_are_never_replaced(tmp_path: Path) -> None:
    path, out = written(tmp_path, conv()), tmp_path / "out"
    out.mkdir()
    mine = out / "model_ops.h"
    mine.write_text("// my own\n")
    error = refused(path, "-o", out)
    assert isinstance(error, OutputError)
    assert "edgekit export-c did not write it" in str(error)
    assert [(file.name, file.read_text()) for file in out.iterdir()] == [("model_ops.h", "// my own\n")]


def test_a_file_or_a_missing_folder_in_the_way(tmp_path: Path) -> None:
    path = written(tmp_path, conv())
    assert "it is a file" in str(refused(path, "-o", path))
    error = refused(path, "-o", tmp_path / "a/b")
    assert "mkdir -p" in str(error.hint)
    assert isinstance(refused(path, "-o", path / "under"), OutputError)
    assert [file.name for file in tmp_path.iterdir()] == ["model.tflite"]


def test_a_folder_that_takes_no_files_stays_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    if os.access(out, os.W_OK):
        pytest.skip("this user may write anywhere")
    assert isinstance(refused(written(tmp_path, conv()), "-o", out), OutputError)


def test_all_files_or_none(tmp_path: Path) -> None:
    """A folder in the place of a file that comes with the sources: they are not written either."""
    made = export(open_micro(written(tmp_path, conv())))
    (tmp_path / "bundle").mkdir()
    with pytest.raises(OutputError):
        write_export(tmp_path / "out", made.files, {tmp_path / "bundle": b"bytes"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "model.tflite"]


# ---- convert -----------------------------------------------------------------------------


def converted(model: Path, data: str, output: Path, *more: str) -> Result:
    words = [model, "--target", "cortex-m4f", "--calibration", data, "--effort", "fast", "-o", output, *more]
    return CliRunner().invoke(convert, list(map(str, words)))


def test_convert_for_a_microcontroller_writes_the_sources_beside_the_bundle(
    made_by: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = made_by("conversion_models")
    output = tmp_path / "signal.edgekit"
    result = converted(folder / "conv1d.keras", str(folder / "conv1d.npz"), output)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["signal.edgekit", "signal_c"]
    assert f"anew with: edgekit export-c {output} -o {tmp_path / 'signal_c'}" in result.output
    by_convert = {file.name: file.read_bytes() for file in (tmp_path / "signal_c").iterdir()}
    assert run(output, "-o", tmp_path / "again").exit_code == 0
    assert {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()} == by_convert


def test_convert_refuses_a_folder_of_others_before_it_begins(
    made_by: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = made_by("conversion_models")
    output = tmp_path / "x.edgekit"
    (tmp_path / "x_c").write_text("mine")
    result = converted(folder / "conv1d.keras", str(folder / "conv1d.npz"), output)
    assert "export the float model" not in result.output
    assert isinstance(result.exception, OutputError)
    assert [path.name for path in tmp_path.iterdir()] == ["x_c"]


def test_convert_says_why_there_are_no_sources(tmp_path: Path) -> None:
    """TILE: the bundle is written, as its forecast says the same; the folder is not."""
    inputs = {"x": activation(1, 8), "n": shape_constant(1, 2)}
    model = net("TILE", inputs, {"y": activation(1, 16)}, version=2)
    path = written(tmp_path, model, "tile.tflite")
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(1).normal(0, 1, (24, 8)).astype(np.float32))
    result = converted(path, str(tmp_path / "data.npz"), tmp_path / "tile.edgekit")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "no C sources: TensorFlow Lite Micro does not run TILE" in result.output
    assert (tmp_path / "tile.edgekit").is_file()
    assert not (tmp_path / "tile_c").exists()
