"""The quantizer beside TFLiteConverter, and what bias correction gains: on a real model, by real runtimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit_converters.calibration.observe import Observation, Ranges, observe
from edgekit_converters.progress import SILENT
from edgekit_converters.quantize import candidates
from edgekit_converters.quantize.corrections import correct_biases
from edgekit_converters.quantize.engine import Quantizer, quantize, write_ranges
from edgekit_converters.quantize.pipeline import Samples, biased_outputs, fitting_samples, quantize_model
from edgekit_converters.runner import Runner
from edgekit_converters.sources import SourceOptions, load_float
from edgekit_converters.surgery import unpack
from edgekit_converters.worker import Worker
from edgekit_targets.tflite import Graph, read_graph


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
    return observe(float_model, samples, means_of=biased_outputs(float_model), threads=2)


@pytest.fixture(scope="module")
def plain(float_model: bytes, observation: Observation, worker: Worker) -> bytes:
    calibrated = write_ranges(float_model, observation.minmax())
    return worker.call("quantize", quantize, calibrated, Quantizer())


@pytest.fixture(scope="module")
def stored(plain: bytes, samples: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    spec = Runner(plain).inputs[0]
    return [{"photo": spec.store(sample["photo"])} for sample in samples]


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


def test_per_tensor_weights(float_model: bytes, observation: Observation, worker: Worker) -> None:
    calibrated = write_ranges(float_model, observation.minmax())
    model = worker.call(
        "quantize", quantize, calibrated, Quantizer(per_channel=False, per_channel_dense=False)
    )
    main = read_graph(model).main
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
    alone = observe(float_model, samples, means_of=biased_outputs(float_model), threads=1)
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


def test_bias_correction_brings_means_together_and_error_down(
    plain: bytes,
    float_model: bytes,
    observation: Observation,
    stored: list[dict[str, np.ndarray]],
    samples: list[dict[str, np.ndarray]],
) -> None:
    means = observation.channel_means(range(len(samples)))
    done = correct_biases(plain, means, stored)
    assert set(done.corrected) == biased_outputs(float_model)
    assert done.skipped == ()
    exact = answers(float_model, samples)
    before, after = answers(plain, samples) - exact, answers(done.model, samples) - exact
    assert np.abs(after.mean(axis=0)).max() < np.abs(before.mean(axis=0)).max()
    assert np.square(after).mean() < np.square(before).mean()


def test_bias_correction_changes_nothing_but_biases(
    plain: bytes, observation: Observation, stored: list[dict[str, np.ndarray]]
) -> None:
    corrected = correct_biases(plain, observation.channel_means(range(len(stored))), stored).model
    before, after = read_graph(plain), read_graph(corrected)
    changed = {
        a.type
        for a, b in zip(before.main.tensors, after.main.tensors, strict=True)
        if _content(before, a) != _content(after, b)
    }
    assert changed == {"INT32"}
    assert [t.quantization for t in before.main.tensors] == [t.quantization for t in after.main.tensors]


def _content(graph: Graph, tensor: object) -> bytes | None:
    constant = graph.constant(tensor)  # type: ignore[arg-type]
    return None if constant is None else bytes(constant)


def test_bias_correction_gives_the_same_with_little_memory(
    plain: bytes, observation: Observation, stored: list[dict[str, np.ndarray]]
) -> None:
    means = observation.channel_means(range(len(stored)))
    assert (
        correct_biases(plain, means, stored).model
        == correct_biases(plain, means, stored, memory_bytes=0).model
    )


def test_layers_that_the_float_model_does_not_know_are_skipped(
    plain: bytes, observation: Observation, stored: list[dict[str, np.ndarray]]
) -> None:
    means = observation.channel_means(range(len(stored)))
    known = {name: value for name, value in means.items() if name != "scores"}
    done = correct_biases(plain, known, stored)
    assert done.skipped == ("scores",)
    assert "scores" not in done.corrected


def test_choice_keeps_what_measures_best_on_samples_held_out(
    plain: bytes, float_model: bytes, observation: Observation, samples: list[dict[str, np.ndarray]]
) -> None:
    stream = Samples([(None, sample) for sample in samples], len(samples))
    fitting = fitting_samples(float_model, plain, stream, observation)
    choice = candidates.choose(plain, candidates.Recipe(), observation, fitting, threads=1)
    assert [str(trial.recipe) for trial in choice.trials] == ["minmax", "minmax + bias correction"]
    gain_db = choice.trials[1].sqnr_db - choice.trials[0].sqnr_db
    assert choice.recipe == choice.trials[gain_db > candidates.MARGIN_DB].recipe
    assert choice.held_out == 10


def test_a_correction_that_measures_worse_is_not_kept(
    plain: bytes, float_model: bytes, observation: Observation, samples: list[dict[str, np.ndarray]]
) -> None:
    wrong = Observation(
        observation.tensors,
        observation.low,
        observation.high,
        {name: values + 1 for name, values in observation.channels.items()},
    )
    stream = Samples([(None, sample) for sample in samples], len(samples))
    fitting = fitting_samples(float_model, plain, stream, wrong)
    choice = candidates.choose(plain, candidates.Recipe(), wrong, fitting, threads=1)
    assert choice.recipe.corrections == ()
    assert choice.model == plain


def test_few_samples_are_not_split(
    plain: bytes, float_model: bytes, observation: Observation, samples: list[dict[str, np.ndarray]]
) -> None:
    stream = Samples([(None, sample) for sample in samples[:9]], 9)
    fitting = fitting_samples(float_model, plain, stream, observation)
    choice = candidates.choose(plain, candidates.Recipe(), observation, fitting, threads=1)
    assert choice == candidates.Choice(plain, candidates.Recipe())


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_the_whole_package_gives_a_strictly_int8_model(
    effort: str, float_model: bytes, samples: list[dict[str, np.ndarray]], worker: Worker
) -> None:
    stream = Samples([(None, sample) for sample in samples], len(samples))
    made = quantize_model(float_model, stream, effort, worker, SILENT, threads=2)
    assert made.audit.strictly_int8
    assert {spec.dtype for spec in (*Runner(made.model).inputs, *Runner(made.model).outputs)} == {"int8"}
    assert made.choice is not None
    assert made.choice.recipe.effort == effort
    assert [layer.name for layer in made.layers][-1] == "scores"
    assert made.layers[-1].sqnr_db > 15


def test_write_ranges_leaves_constants_alone(float_model: bytes) -> None:
    ranges = Ranges("minmax", {"photo": -1.0}, {"photo": 1.0})
    tensors = unpack(write_ranges(float_model, ranges)).subgraphs[0].tensors
    with_range = [
        t.name.decode() for t in tensors if t.quantization is not None and t.quantization.min is not None
    ]
    assert with_range == ["photo"]
