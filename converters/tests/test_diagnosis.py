"""`diagnose`: figures against an independent computation, and faults that are put in on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from diagnosis_nets import TWO_LAYERS, effects_of, samples, times, twins
from tflite_models import Op

from edgekit.errors import UnsupportedModelError
from edgekit.preprocess import dequantize, quantize
from edgekit_converters import diagnose
from edgekit_converters.calibration.observe import Observation
from edgekit_converters.commands.diagnose import diagnose as command
from edgekit_converters.diagnosis.ablation import ablate
from edgekit_converters.diagnosis.blocks import chain_of
from edgekit_converters.diagnosis.conduct import spread
from edgekit_converters.diagnosis.hybrid import Hybrid
from edgekit_converters.diagnosis.lone import find_lone_samples
from edgekit_converters.diagnosis.record import Diagnosis
from edgekit_converters.diagnosis.score import decibels
from edgekit_converters.diagnosis.text import worst
from edgekit_converters.quantize.closing import open_ended
from edgekit_converters.runner import Runner

# ---- the figures, beside the same in numpy


def rounded(values: np.ndarray, scale: float) -> np.ndarray:
    return dequantize(quantize(values, scale, 0), scale, 0)


def test_figures_of_two_layers_are_those_of_an_independent_computation() -> None:
    scales = {"x": 1 / 50, "a": 1 / 20, "y": 1 / 30}
    x = np.stack([sample["x"] for sample in samples()])
    power = np.square(x * -0.7 * 1.3).sum(axis=(1, 2))
    weights = 1 / (np.maximum(power, np.median(power)) * len(power))

    def product(one: np.ndarray, other: np.ndarray) -> float:
        return float((weights * (one * other).sum(axis=(1, 2))).sum())

    exact = x * -0.7 * 1.3
    stored_x, exact_a = rounded(x, scales["x"]), x * -0.7
    stored_a = rounded(stored_x * -0.7, scales["a"])
    answer = rounded(stored_a * 1.3, scales["y"])
    upto = [stored_x * -0.7 * 1.3 - exact, stored_a * 1.3 - exact, answer - exact]
    alone = [upto[0], upto[1], rounded(rounded(exact_a, scales["a"]) * 1.3, scales["y"]) - exact]
    without = [
        rounded(rounded(exact_a, scales["a"]) * 1.3, scales["y"]) - exact,
        rounded(stored_x * -0.7 * 1.3, scales["y"]) - exact,
        stored_a * 1.3 - exact,
    ]
    added = [upto[0], upto[1] - upto[0], upto[2] - upto[1]]
    found = effects_of(*twins(TWO_LAYERS, scales), samples())
    # A kernel may round an exact half the other way than numpy does: of 768 values, a few.
    for effect, *expected in zip(found, upto, alone, without, added, strict=True):
        assert effect.upto == pytest.approx(product(expected[0], expected[0]), rel=0.02)
        assert effect.alone == pytest.approx(product(expected[1], expected[1]), rel=0.02)
        assert effect.without == pytest.approx(product(expected[2], expected[2]), rel=0.02)
        share = product(expected[3], upto[2]) / product(upto[2], upto[2])
        assert effect.share == pytest.approx(share, abs=0.02)


def test_shares_sum_to_one_and_the_last_state_is_the_whole_int8_model() -> None:
    exact, rough = twins(TWO_LAYERS, {"x": 1 / 50, "a": 1 / 20, "y": 1 / 30})
    found = effects_of(exact, rough, samples())
    assert sum(effect.share for effect in found) == pytest.approx(1)
    whole, model = Runner(exact.build()), Runner(rough.build())
    expected = np.stack([whole.run_real(sample)["y"] for sample in samples()])
    error = np.stack([model.run_real(sample)["y"] for sample in samples()]) - expected
    power = np.square(expected).sum(axis=(1, 2))
    relative = (np.square(error).sum(axis=(1, 2)) / np.maximum(power, np.median(power))).mean()
    assert found[-1].upto == pytest.approx(relative, rel=1e-4)


@pytest.mark.parametrize("bad", ["x", "a", "b", "y"])
def test_the_layer_with_the_coarse_scale_is_named_first_by_every_figure(bad: str) -> None:
    """Two branches meet again, so that a tensor has two readers, one of them far behind."""
    ops = (times("x", "c", "a"), times("a", "d", "b"), Op("ADD", ("b", "a"), ("y",), "AddOptions"))
    scales = {"x": 1 / 60, "a": 1 / 90, "b": 1 / 60, "y": 1 / 40} | {bad: 1 / 5}
    found = effects_of(*twins(ops, scales), samples())
    place = ["x", "a", "b", "y"].index(bad)
    ranked = sorted(range(4), key=lambda number: -found[number].share)
    assert ranked[0] == place
    assert found[place].share > 0.8
    assert min(range(4), key=lambda number: found[number].without) == place
    assert decibels(found[place].without) - decibels(found[-1].upto) > 8
    assert found[place].local.cause == "rounding"


def test_an_error_of_nothing_has_no_shares() -> None:
    found = effects_of(
        *twins(TWO_LAYERS, {"x": 1 / 50, "a": 1 / 50, "y": 1 / 50}), [{"x": np.zeros((1, 64), np.float32)}]
    )
    assert [effect.share for effect in found] == [0, 0, 0]
    assert {effect.local.cause for effect in found} == {"nothing"}


def test_values_beyond_the_range_are_clipped_and_saturated() -> None:
    _, narrow, last = effects_of(*twins(TWO_LAYERS, {"x": 1 / 60, "a": 1 / 200, "y": 1 / 60}), samples())
    assert narrow.local.cause == "clipping"
    assert narrow.written is not None
    values = np.concatenate([sample["x"] for sample in samples()]) * -0.7
    beyond = np.mean((values > 128 / 200) | (values < -129 / 200))
    assert narrow.written.clipped == pytest.approx(beyond, abs=0.01)
    assert narrow.written.saturation.beyond == pytest.approx(beyond, abs=0.02)
    assert last.written is not None
    assert last.written.clipped == 0


# ---- where both models can be cut


def test_operators_that_move_values_belong_to_the_layer_before() -> None:
    ops = (
        times("x", "c", "a"),
        Op("RESHAPE", ("a", None), ("b",), "ReshapeOptions", {"newShape": [1, 64]}),
        times("b", "d", "y"),
    )
    exact, rough = twins(ops, {"x": 1 / 60, "a": 1 / 60, "b": 1 / 60, "y": 1 / 60})
    chain = chain_of(exact.build(), rough.build())
    assert [block.writes for block in chain.blocks] == [("x",), ("b",), ("y",)]
    assert [block.int8_ops for block in chain.blocks] == [(0, 0), (0, 2), (2, 3)]


def test_what_the_quantizer_put_in_falls_into_the_layer_that_it_serves() -> None:
    exact, rough = twins(TWO_LAYERS, {"x": 1 / 60, "a": 1 / 60, "y": 1 / 60})
    between = replace(rough.tensors["a"], scale=1 / 40)
    rough = replace(
        rough,
        tensors={**rough.tensors, "a_requantized": between},
        ops=(TWO_LAYERS[0], Op("QUANTIZE", ("a",), ("a_requantized",)), times("a_requantized", "d", "y")),
    )
    chain = chain_of(exact.build(), rough.build())
    assert [block.int8_ops for block in chain.blocks] == [(0, 0), (0, 1), (1, 3)]
    assert len(effects_of(exact, rough, samples(2))) == 3


# ---- the function that closes a network


def closed(*outputs: str) -> tuple[bytes, bytes]:
    """x -> a -> y, and softmaxes of a and of y."""
    softmaxes = [
        Op("SOFTMAX", (x,), (p,), "SoftmaxOptions", {"beta": 1.0}) for x, p in (("a", "p"), ("y", "q"))
    ]
    ops = (*TWO_LAYERS, *softmaxes)
    exact, rough = twins(ops, {"x": 1 / 60, "a": 1 / 60, "y": 1 / 60, "p": 1 / 256, "q": 1 / 256}, outputs)
    for name in ("p", "q"):
        rough = rough.tensor(name, zero_point=-128)
    return exact.build(), rough.build()


@pytest.mark.parametrize(
    ("outputs", "measured"),
    [(("q",), ("y",)), (("q", "p"), ("y", "a")), (("p", "a"), ("a",)), (("y",), ("y",))],
)
def test_errors_are_measured_at_what_a_closing_softmax_reads(
    outputs: tuple[str, ...], measured: tuple[str, ...]
) -> None:
    exact, rough, opcodes = open_ended(*closed(*outputs))
    chain = chain_of(exact, rough)
    assert chain.outputs == measured
    assert opcodes == (() if outputs == ("y",) else ("SOFTMAX",))
    assert sum(effect.share for effect in ablate(Hybrid(exact, rough, chain), samples(3))) == pytest.approx(1)


# ---- ranges that one sample set


def observation(high: list[float]) -> Observation:
    column = np.array(high, np.float32)[:, None]
    return Observation(("t",), -column, column, {}, numbers=np.arange(len(column)))


def test_the_sample_that_alone_set_a_range_is_found_unless_int8_leaves_it_out() -> None:
    seen = observation([*np.linspace(1, 2, 19), 8])
    (found,) = find_lone_samples(seen, {"t": (-8.0, 8.0)})
    assert (found.tensor, found.sample) == ("t", 19)
    assert found.ratio == pytest.approx(4)
    assert find_lone_samples(seen, {"t": (-2.0, 2.0)}) == []
    assert find_lone_samples(observation([*np.linspace(1, 2, 19), 2.5]), {"t": (-8.0, 8.0)}) == []
    assert find_lone_samples(observation([1, 1, 8]), {"t": (-8.0, 8.0)}) == []


# ---- whole models


@pytest.fixture(scope="module")
def folder(made_by: Callable[[str], Path]) -> Path:
    return made_by("diagnosis_models")


@pytest.fixture(scope="module")
def faulty(folder: Path) -> Diagnosis:
    return diagnose(folder / "faulty.keras", calibration=folder / "clean.npy", effort="fast")


@pytest.fixture(scope="module")
def clean(folder: Path) -> Diagnosis:
    return diagnose(folder / "clean.keras", calibration=folder / "clean.npy", effort="fast")


def test_the_layer_with_the_large_channel_is_named_first(faulty: Diagnosis) -> None:
    assert worst(faulty)[0].name == "second"
    first = faulty.findings[0]
    assert (first.rule, first.layers) == ("large-share", (2,))
    assert "second (CONV_2D) causes" in first.title
    assert "one of its channels reaches" in first.reason
    assert faulty.sqnr_db < 15


def test_dead_channels_are_counted(faulty: Diagnosis) -> None:
    third = next(layer for layer in faulty.layers if layer.name == "third")
    assert third.channels is not None
    assert {5, 6} <= {*third.channels.dead}
    (finding,) = [finding for finding in faulty.findings if finding.rule == "dead-channels"]
    assert finding.minor
    assert f"{len(third.channels.dead)} of 8 of third" in finding.title


def test_a_sound_network_is_said_to_be_sound_and_nothing_more(clean: Diagnosis) -> None:
    assert clean.findings == ()
    assert clean.verdict.startswith("sound: int8 follows float closely (output SQNR ")
    assert sum(layer.effect.share for layer in clean.layers) == pytest.approx(1)


def test_a_sample_that_sets_ranges_alone_is_named(folder: Path) -> None:
    words = {"calibration": folder / "outlier.npy", "effort": "fast"}
    found = diagnose(folder / "clean.keras", keep_outliers=True, **words)
    (finding,) = [finding for finding in found.findings if finding.rule == "one-sample-range"]
    assert finding.title.startswith("sample 7 (outlier.npy row 7) alone set the range of ")
    assert len(finding.layers) == 6


def test_the_command_prints_one_object_and_names_what_was_left_out(folder: Path) -> None:
    words = [str(folder / "clean.keras"), "--calibration", str(folder / "outlier.npy"), "--effort", "fast"]
    done = CliRunner().invoke(command, [*words, "--json"])
    assert done.exit_code == 0
    printed = json.loads(done.stdout)
    (finding,) = printed["findings"]
    assert (finding["rule"], finding["minor"]) == ("left-out", True)
    assert finding["reason"].startswith("outlier.npy row 7: reaches ")
    assert printed["verdict"].startswith("sound: ")
    assert printed["calibration"]["samples"] == 39
    assert [layer["name"] for layer in printed["layers"][1:4]] == ["first", "second", "third"]
    assert sum(layer["share"] for layer in printed["layers"]) == pytest.approx(1, abs=1e-3)
    assert printed["html"] is None


def test_the_samples_that_are_looked_at_are_spread_and_fit_into_memory() -> None:
    class Set:
        def __len__(self) -> int:
            return 10

        def __iter__(self):  # type: ignore[no-untyped-def]
            return ((None, {"x": row}) for row in range(10))

    assert spread(Set(), 5, 1) == [{"x": row} for row in (0, 2, 4, 6, 8)]  # type: ignore[arg-type, comparison-overlap]
    assert len(spread(Set(), 5, 1 << 40)) == 2  # type: ignore[arg-type]


def test_a_model_that_came_quantized_is_refused(made_by: Callable[[str], Path]) -> None:
    peer = made_by("peer_models")
    with pytest.raises(UnsupportedModelError, match="came quantized") as raised:
        diagnose(peer / "peer.tflite", calibration=peer / "samples.npy")
    assert raised.value.hint
    assert "float model" in raised.value.hint
