"""Models run in the real TensorFlow Lite Micro, beside LiteRT, and Vela's estimate beside them."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tflite_models import Net, Op, activation, binary, conv, dense, depthwise, net, shape_constant, unary

from edgekit.bundle import read_unverified
from edgekit.errors import InputError, MalformedModelError, MissingExtraError
from edgekit_converters.compilers.vela import find_vela
from edgekit_converters.conversion import convert
from edgekit_converters.micro import certify, tflm
from edgekit_converters.micro.arena import estimate_arena, size_arena
from edgekit_converters.micro.certify import certify_micro
from edgekit_converters.micro.vela_row import vela_estimate
from edgekit_targets.catalog import load_target
from edgekit_targets.tflite import read_graph

needs_tflm = pytest.mark.skipif(
    not tflm.is_installed(), reason="tflite-micro is not installed: the extra 'micro'"
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
KEYWORDS, CLIPS = DATA / "models" / "ds_cnn_kws_saved_model", DATA / "speech-commands.npz"

ROW_KEYS = {"board", "runtime", "kernels", "started", "signal", "bit_exact", "max_step", "top1_agreement"}


def pooled() -> Net:
    """CONV_2D, MAX_POOL_2D, then SOFTMAX along the channels."""
    base = conv(channels=16)
    y = base.tensors["y"]
    tensors = {
        **base.tensors,
        "p": replace(y, shape=(1, 4, 4, 16)),
        "s": activation(1, 4, 4, 16, scale=1 / 256, zero_point=-128),
    }
    pool = {"padding": 1, "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    ops = (
        *base.ops,
        Op("MAX_POOL_2D", ("y",), ("p",), "Pool2DOptions", pool, 2),
        Op("SOFTMAX", ("p",), ("s",), "SoftmaxOptions", {"beta": 1.0}, 2),
    )
    return Net(tensors, ops, ("x",), ("s",))


MODELS = {
    "convolution": conv(channels=16),
    "depthwise": depthwise(channels=8),
    "dense": dense(units=10),
    "addition": binary(),
    "pooled": pooled(),
}


def noise(model: bytes, count: int = 6) -> list[np.ndarray]:
    graph = read_graph(model)
    random = np.random.default_rng(5)
    shapes = [graph.main.tensors[number].shape[1:] for number in graph.main.inputs]
    return [random.integers(-128, 128, (count, *shape), np.int8) for shape in shapes]


@needs_tflm
@pytest.mark.parametrize("name", MODELS)
def test_it_answers_as_the_reference_kernels_do(name: str) -> None:
    model = MODELS[name].build()
    rows = certify_micro(model, noise(model), board="cortex-m4f")
    assert [row.kernels for row in rows] == ["reference", "builtin"]
    for row in rows:
        assert row.started
        assert row.samples == 6
        assert row.board == "cortex-m4f"
        assert row.runtime == f"tflite-micro {tflm.tflm_version()}"
        assert row.error is None
    reference = rows[0]
    assert (reference.bit_exact, reference.max_step, reference.top1_agreement) == (True, 0, 1.0)
    assert set(reference.to_json()) > ROW_KEYS


@needs_tflm
def test_the_answers_change_with_the_samples() -> None:
    """So that equal answers say something."""
    model = MODELS["dense"].build()
    run = tflm.run_micro(model, noise(model))
    assert run.outputs is not None
    (scores,) = run.outputs
    assert scores.shape == (6, 10)
    assert scores.dtype == np.int8
    assert len({tuple(row) for row in scores}) == 6


@needs_tflm
def test_a_difference_of_one_step_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteRT's answers, and those of the runtime with a single value one step off."""
    model = MODELS["dense"].build()
    inputs = noise(model)
    good = tflm.run_micro(model, inputs)
    assert good.outputs is not None
    spoiled = good.outputs[0].copy()
    spoiled[3, 2] += np.int8(1 if spoiled[3, 2] < 0 else -1)
    monkeypatch.setattr(
        certify,
        "run_micro",
        lambda *_, **__: tflm.MicroRun(good.runtime, (spoiled,), good.arena_bytes, None, None),
    )
    (row,) = certify_micro(model, inputs, kernels=("reference",))
    assert (row.bit_exact, row.max_step, row.started) == (False, 1, True)


@needs_tflm
@pytest.mark.parametrize("name", MODELS)
def test_the_estimate_is_enough_and_not_far_off(name: str) -> None:
    model = MODELS[name].build()
    measured = tflm.measure_arena(model)
    estimate = estimate_arena(read_graph(model))
    assert measured is not None
    assert measured <= estimate <= 1.5 * measured


def loads(model: bytes, arena_bytes: int) -> bool:
    """Whether the runtime itself, asked without edgekit, loads a model in an arena of that size."""
    program = (
        "import sys\n"
        "from tflite_micro.python.tflite_micro import runtime\n"
        "data = sys.stdin.buffer.read()\n"
        "runtime.Interpreter.from_bytes(data, arena_size=int(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", program, str(arena_bytes)]
    return subprocess.run(command, input=model, capture_output=True, check=False).returncode == 0


@needs_tflm
def test_the_arena_that_is_measured_is_the_smallest() -> None:
    model = MODELS["pooled"].build()
    measured = tflm.measure_arena(model)
    assert measured is not None
    assert loads(model, measured)
    assert not loads(model, measured - 64)
    assert size_arena(read_graph(model)).needed == measured


@needs_tflm
def test_what_the_runtime_refuses_did_not_start() -> None:
    model = unary("RELU_N1_TO_1").build()
    (row,) = certify_micro(model, noise(model), kernels=("reference",))
    assert not row.started
    assert "RELU_N1_TO_1" in str(row.error)
    assert (row.bit_exact, row.max_step, row.top1_agreement, row.arena_bytes) == (None, None, None, None)


@needs_tflm
def test_a_runtime_that_dies_is_named_with_its_signal() -> None:
    """SLICE from far behind the end of its input: the kernel does not check, and the memory is not there."""
    feeds = {"x": activation(1, 8), "begin": shape_constant(0, 2**30), "size": shape_constant(1, 1)}
    model = net("SLICE", feeds, {"y": activation(1, 1)}, table="SliceOptions", version=2).build()
    (row,) = certify_micro(model, noise(model), kernels=("reference",))
    assert not row.started
    assert row.signal == "SIGSEGV"
    assert str(row.error).startswith("SIGSEGV: ")


@needs_tflm
def test_a_runtime_that_hangs_is_ended() -> None:
    model = MODELS["pooled"].build()
    run = tflm.run_micro(model, noise(model), timeout_s=0.001)
    assert run.outputs is None
    assert "did not end within 0.001 s" in str(run.error)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflm, "PACKAGE", "no-such-package-of-edgekit")
    model = conv().build()
    with pytest.raises(MissingExtraError, match="extra 'micro'"):
        certify_micro(model, noise(model))
    arena = size_arena(read_graph(model))
    assert arena.runtime is None
    assert arena.needed == estimate_arena(read_graph(model))
    assert "estimated by edgekit" in arena.source


@needs_tflm
def test_inputs_that_do_not_fit_are_refused() -> None:
    model = conv().build()
    (good,) = noise(model)
    for bad in ([], [good, good], [good[:0]], [good.astype(np.uint8)], [good[..., :2]], [np.int8(3)]):
        with pytest.raises(InputError):
            certify_micro(model, bad)
    two = binary().build()
    a, b = noise(two)
    with pytest.raises(InputError, match="3, 6 samples"):
        certify_micro(two, [a, b[:3]])
    with pytest.raises(MalformedModelError):
        certify_micro(b"nonsense", [good])


def test_vela_estimates_without_running() -> None:
    try:
        find_vela()
    except MissingExtraError:
        pytest.skip("ethos-u-vela is not installed: the extra 'ethos-u'")
    said = vela_estimate(depthwise(channels=8).build(), load_target("ethos-u55-128")).to_json()
    assert set(said) > ROW_KEYS
    assert said["board"] == "ethos-u55-128"
    assert said["kernels"] == "vela-estimate"
    assert said["started"] is None
    assert (said["mapped"], said["operators"]) == (1, 1)
    assert isinstance(said["cycles"], float)
    assert said["cycles"] > 0
    assert isinstance(said["sram_bytes"], float)
    assert said["sram_bytes"] > 0


@needs_tflm
def test_a_model_of_convert_runs_bit_for_bit(made_by: Callable[[str], Path], tmp_path: Path) -> None:
    folder = made_by("conversion_models")
    output = tmp_path / "signal.edgekit"
    convert(
        folder / "conv1d.keras",
        target="cortex-m4f",
        calibration=str(folder / "conv1d.npz"),
        effort="fast",
        output=output,
    )
    members = read_unverified(output.read_bytes()).members
    with np.load(io.BytesIO(members["golden.npz"])) as golden:
        inputs = [golden["input.0"]]
    model = bytes(members["model.tflite"])
    row = certify_micro(model, inputs)[0]
    assert row.bit_exact
    # For a moment this one needs more than the runtime says that it used, and dies where it has no more than that.
    assert row.arena_bytes == size_arena(read_graph(model)).needed
    assert loads(model, row.arena_bytes)
    assert not loads(model, row.arena_bytes - 64)


@needs_tflm
@pytest.mark.skipif(not (KEYWORDS.is_dir() and CLIPS.is_file()), reason="the shared speech data are not here")
def test_the_keyword_network_on_real_clips(tmp_path: Path) -> None:
    output = tmp_path / "keywords.edgekit"
    convert(
        KEYWORDS,
        target="cortex-m4f",
        calibration=f"{CLIPS}#mfcc",
        samples=40,
        effort="fast",
        golden_data=f"{CLIPS}#mfcc",
        golden=20,
        output=output,
    )
    members = read_unverified(output.read_bytes()).members
    model = bytes(members["model.tflite"])
    with np.load(io.BytesIO(members["golden.npz"])) as golden:
        (row,) = certify_micro(model, [golden["input.0"]], kernels=("reference",))
    assert (row.samples, row.bit_exact, row.max_step, row.top1_agreement) == (20, True, 0, 1.0)
    assert row.arena_bytes is not None
    assert row.arena_bytes <= estimate_arena(read_graph(model)) <= 1.2 * row.arena_bytes
