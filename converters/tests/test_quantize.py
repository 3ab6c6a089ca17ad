"""The quantizer beside TFLiteConverter, and what corrections gain: on a real model, by real runtimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit_converters.calibration.observe import Observation, Ranges, observe
from edgekit_converters.progress import SILENT
from edgekit_converters.quantize import reconstruct as reconstruct_module
from edgekit_converters.quantize.candidates import Base, Choice
from edgekit_converters.quantize.engine import Quantizer, quantize, write_ranges
from edgekit_converters.quantize.linear import (
    BIAS,
    LINEAR_OPERATORS,
    constant,
    linear_layers,
    replace_constant,
)
from edgekit_converters.quantize.pipeline import Settings, fitting_samples, quantize_model
from edgekit_converters.quantize.recipe import Recipe
from edgekit_converters.quantize.reconstruct import Method, reconstruct
from edgekit_converters.quantize.samples import Samples
from edgekit_converters.quantize.search import BALANCED, Budget, search
from edgekit_converters.runner import Runner
from edgekit_converters.sources import SourceOptions, load_float
from edgekit_converters.surgery import pack, unpack
from edgekit_converters.worker import Worker
from edgekit_targets.tflite import Graph, Tensor, read_graph

MEANS_OF = {"scores"}
CORRECT_BIASES = Method("nearest", bias=True)


@pytest.fixture(scope="module")
def folder(made_by: Callable[[str], Path]) -> Path:
    return made_by("peer_models")


@pytest.fixture(scope="module")
def samples(folder: Path) -> list[dict[str, np.ndarray]]:
    return [{"photo": sample[None]} for sample in np.load(folder / "samples.npy")]


@pytest.fixture(scope="module")
def float_model(folder: Path, worker: Worker) -> bytes:
    return load_float(folder / "cnn.keras", SourceOptions(), worker).flatbuffer


@pytest.fixture(scope="module")
def observation(float_model: bytes, samples: list[dict[str, np.ndarray]]) -> Observation:
    return observe(float_model, samples, means_of=MEANS_OF, threads=2)


@pytest.fixture(scope="module")
def plain(float_model: bytes, observation: Observation, worker: Worker) -> bytes:
    calibrated = write_ranges(float_model, observation.minmax())
    return worker.call("quantize", quantize, calibrated, Quantizer())


@pytest.fixture(scope="module")
def coarse(float_model: bytes, observation: Observation, worker: Worker) -> bytes:
    """The same with one scale a tensor for weights."""
    calibrated = write_ranges(float_model, observation.minmax())
    return worker.call(
        "quantize", quantize, calibrated, Quantizer(per_channel=False, per_channel_dense=False)
    )


Pairs = list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]


@pytest.fixture(scope="module")
def pairs(plain: bytes, samples: list[dict[str, np.ndarray]]) -> Pairs:
    """Float inputs and what the int8 model stores of them."""
    spec = Runner(plain).inputs[0]
    return [(sample, {"photo": spec.store(sample["photo"])}) for sample in samples]


def answers(model: bytes, samples: list[dict[str, np.ndarray]]) -> np.ndarray:
    runner = Runner(model)
    return np.concatenate([next(iter(runner.run_real(sample).values())) for sample in samples])


def test_quantizer_makes_the_model_that_tfliteconverter_makes(
    plain: bytes, folder: Path, samples: list[dict[str, np.ndarray]]
) -> None:
    peer = (folder / "peer.tflite").read_bytes()
    ours, theirs = read_graph(plain).main, read_graph(peer).main
    assert [op.opcode for op in ours.operators] == [op.opcode for op in theirs.operators]
    for mine, other in zip(ours.operators, theirs.operators, strict=True):
        for a, b in zip((*mine.inputs, *mine.outputs), (*other.inputs, *other.outputs), strict=True):
            mine_q, other_q = ours.tensors[a].quantization, theirs.tensors[b].quantization
            assert (mine_q is None) == (other_q is None)
            if mine_q and other_q:
                assert mine_q.scale == pytest.approx(other_q.scale, rel=1e-4)
    runner, peer_runner = Runner(plain), Runner(peer)
    spec, peer_spec = runner.inputs[0], peer_runner.inputs[0]
    for sample in samples:
        mine_out = runner.run({spec.name: spec.store(sample["photo"])})
        their_out = peer_runner.run({peer_spec.name: peer_spec.store(sample["photo"])})
        difference = np.subtract(*(next(iter(o.values())).astype(int) for o in (mine_out, their_out)))
        assert np.abs(difference).max() <= 1


def test_per_tensor_weights(coarse: bytes) -> None:
    main = read_graph(coarse).main
    weights = [main.tensors[op.inputs[1]] for op in main.operators if op.opcode == "CONV_2D"]
    assert weights
    assert all(len(tensor.quantization.scale) == 1 for tensor in weights if tensor.quantization)


def test_ranges_are_the_extremes_of_the_float_tensors(
    float_model: bytes, observation: Observation, samples: list[dict[str, np.ndarray]]
) -> None:
    ranges = observation.minmax()
    assert ranges.low["photo"] == pytest.approx(min(float(s["photo"].min()) for s in samples))
    out = answers(float_model, samples)
    assert ranges.high["scores"] == pytest.approx(float(out.max()), rel=1e-6)
    assert ranges.low["scores"] == pytest.approx(float(out.min()), rel=1e-6)


def test_observation_does_not_depend_on_the_number_of_threads(
    float_model: bytes, observation: Observation, samples: list[dict[str, np.ndarray]]
) -> None:
    alone = observe(float_model, samples, means_of=MEANS_OF, threads=1)
    assert np.array_equal(alone.low, observation.low)
    assert np.array_equal(alone.high, observation.high)
    assert alone.channels.keys() == observation.channels.keys()
    for name, values in alone.channels.items():
        assert np.array_equal(values, observation.channels[name])


def test_channel_means_are_those_of_the_rows_asked_for(
    float_model: bytes, observation: Observation, samples: list[dict[str, np.ndarray]]
) -> None:
    expected = answers(float_model, [samples[3], samples[7]]).mean(axis=0)
    assert observation.channel_means([3, 7])["scores"] == pytest.approx(expected, rel=1e-5)


def test_xnnpack_stays_in_use_when_all_tensors_are_preserved(float_model: bytes) -> None:
    """LiteRT 2.3.0 keeps XNNPACK beside preserved tensors: what makes calibration cheap, and why it is pinned."""
    from ai_edge_litert.interpreter import Interpreter

    preserved = Interpreter(model_content=float_model, experimental_preserve_all_tensors=True)
    preserved.allocate_tensors()
    kinds = {op["op_name"] for op in preserved._get_ops_details()}
    assert "DELEGATE" in kinds or "TfLiteXNNPackDelegate" in kinds


@pytest.mark.parametrize("rounding", ["nearest", "compensated", "refitted"])
def test_correction_brings_means_together_and_error_down(
    rounding: str, plain: bytes, float_model: bytes, pairs: Pairs, samples: list[dict[str, np.ndarray]]
) -> None:
    done = reconstruct(float_model, plain, pairs, Method(rounding, bias=True))
    exact = answers(float_model, samples)
    before, after = answers(plain, samples) - exact, answers(done, samples) - exact
    assert np.abs(after.mean(axis=0)).max() < np.abs(before.mean(axis=0)).max()
    assert np.square(after).mean() < np.square(before).mean()


def test_bias_correction_changes_nothing_but_biases(plain: bytes, float_model: bytes, pairs: Pairs) -> None:
    before, after = read_graph(plain), read_graph(reconstruct(float_model, plain, pairs, CORRECT_BIASES))
    changed = {a.type for a, b in _pairs_of(before, after) if _content(before, a) != _content(after, b)}
    assert changed == {"INT32"}
    for mine, other in _pairs_of(before, after):
        assert (mine.quantization is None) == (other.quantization is None)
        if mine.quantization and other.quantization:
            assert mine.quantization.scale == pytest.approx(other.quantization.scale, rel=1e-6)
            assert mine.quantization.zero_point == other.quantization.zero_point


def _pairs_of(before: Graph, after: Graph) -> list[tuple[Tensor, Tensor]]:
    return list(zip(before.main.tensors, after.main.tensors, strict=True))


def _content(graph: Graph, tensor: Tensor) -> bytes | None:
    constant = graph.constant(tensor)
    return None if constant is None else bytes(constant)


@pytest.mark.parametrize("rounding", ["nearest", "compensated"])
def test_correction_gives_the_same_with_little_memory(
    rounding: str, plain: bytes, float_model: bytes, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = Method(rounding, bias=True)
    roomy = reconstruct(float_model, plain, pairs, method)
    for limit in ("INT8_MEMORY_BYTES", "FLOAT_MEMORY_BYTES"):
        monkeypatch.setattr(reconstruct_module, limit, 0)
    assert reconstruct(float_model, plain, pairs, method) == roomy


def test_layers_that_the_float_model_does_not_know_are_skipped(
    plain: bytes, float_model: bytes, pairs: Pairs
) -> None:
    model = unpack(float_model)
    layers = linear_layers(model)
    model.subgraphs[0].tensors[layers[1].output].name = b"another name"
    done = reconstruct(pack(model), plain, pairs, CORRECT_BIASES)
    before, after = read_graph(plain), read_graph(done)
    changed = [
        before.main.tensors[operator.outputs[0]].name
        for operator in before.main.operators
        if any(
            _content(before, before.main.tensors[index]) != _content(after, after.main.tensors[index])
            for index in operator.inputs
        )
    ]
    assert changed == [layer.name for layer in layers if layer.index != layers[1].index]


def race(samples: list[dict[str, np.ndarray]], *bases: Base) -> Choice:
    """A balanced search on those samples."""
    stream = Samples([(None, sample) for sample in samples], len(samples))
    fitting = fitting_samples(bases[0].float_model, stream)
    return search(bases, fitting, Budget(None, 0.0), lambda line: None, threads=1)


def test_choice_keeps_what_measures_best_on_samples_held_out(
    coarse: bytes, float_model: bytes, samples: list[dict[str, np.ndarray]]
) -> None:
    recipe = Recipe(per_channel=False)
    choice = race(samples, Base(recipe, float_model, coarse))
    assert [trial.recipe.corrections for trial in choice.trials] == [(), *BALANCED]
    assert choice.held_out == 10
    measured = {trial.recipe: trial.sqnr_db for trial in choice.trials}
    # Not the plain maximum: a candidate takes the place of a plainer one only by more than chance.
    assert measured[choice.recipe] > measured[recipe] + 5
    assert measured[choice.recipe] > max(measured.values()) - 1.5
    exact = answers(float_model, samples)
    errors = [np.square(answers(model, samples) - exact).mean() for model in (choice.model, coarse)]
    assert errors[0] < 0.2 * errors[1]


def test_a_correction_that_measures_worse_is_not_kept(
    plain: bytes, float_model: bytes, samples: list[dict[str, np.ndarray]]
) -> None:
    """Biases that are brought to those of a float model that computes something else."""
    wrong = unpack(float_model)
    layer = linear_layers(wrong)[-1]
    replace_constant(wrong, layer, BIAS, constant(wrong, layer, BIAS) + 0.2)
    worse = Recipe(ranges="mse")
    choice = race(samples, Base(Recipe(), float_model, plain), Base(worse, pack(wrong), plain))
    measured = {trial.recipe: trial.sqnr_db for trial in choice.trials}
    assert measured[worse.corrected("bias")] < measured[Recipe()] - 3
    assert choice.recipe.ranges == "minmax"


def test_few_samples_are_not_split(
    plain: bytes, float_model: bytes, samples: list[dict[str, np.ndarray]]
) -> None:
    base = Base(Recipe(), float_model, plain)
    few = race(samples[:9], base)
    assert (few.model, few.recipe, few.trials) == (plain, Recipe(), ())
    assert race(samples[:10], base).held_out == 2


@pytest.mark.parametrize("effort", ["fast", "balanced", "best"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_the_whole_package_gives_a_strictly_int8_model(
    effort: str, per_channel: bool, float_model: bytes, samples: list[dict[str, np.ndarray]], worker: Worker
) -> None:
    stream = Samples([(None, sample) for sample in samples], len(samples))
    settings = Settings(effort=effort, per_channel=per_channel, threads=2)
    made = quantize_model(float_model, stream, settings, worker, SILENT)
    assert made.audit.strictly_int8
    assert {spec.dtype for spec in (*Runner(made.model).inputs, *Runner(made.model).outputs)} == {"int8"}
    assert made.choice is not None
    assert made.choice.recipe.effort == effort
    assert made.choice.recipe.per_channel == per_channel
    assert [layer.name for layer in made.layers][-1] == "scores"
    assert made.layers[-1].sqnr_db > 15
    assert made.twin is not None
    assert np.allclose(answers(made.twin, samples), answers(float_model, samples), atol=0.05)
    main = read_graph(made.model).main
    scales = [
        len(quantization.scale)
        for operator in main.operators
        if operator.opcode in LINEAR_OPERATORS
        and (quantization := main.tensors[operator.inputs[1]].quantization)
    ]
    assert len(scales) == 4
    assert (set(scales) == {1}) == (not per_channel)


def test_write_ranges_leaves_constants_alone(float_model: bytes) -> None:
    ranges = Ranges("minmax", {"photo": -1.0}, {"photo": 1.0})
    tensors = unpack(write_ranges(float_model, ranges)).subgraphs[0].tensors
    with_range = [
        t.name.decode() for t in tensors if t.quantization is not None and t.quantization.min is not None
    ]
    assert with_range == ["photo"]
