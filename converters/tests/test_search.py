"""When a candidate takes the place of a plainer one, when the search ends, and where its judge listens."""

from __future__ import annotations

import time

import numpy as np
import pytest
from float_nets import NONE, RELU, Stack

from edgekit_converters.calibration.observe import observe
from edgekit_converters.quantize.candidates import Base
from edgekit_converters.quantize.engine import Quantizer, quantize, write_ranges
from edgekit_converters.quantize.judge import Judge
from edgekit_converters.quantize.recipe import Recipe
from edgekit_converters.quantize.search import Budget, Made, _Measured, search
from edgekit_converters.runner import Runner
from edgekit_converters.worker import Worker
from edgekit_targets.tflite import read_graph

Samples = list[dict[str, np.ndarray]]


def classifier(softmax: bool) -> tuple[bytes, Samples]:
    stack = Stack(3).conv("a", 6, RELU).mean("m").dense("logits", 4)
    if softmax:
        stack.plain("SOFTMAX", "scores", "SoftmaxOptions", beta=1.0)
    return stack.net().build(), stack.samples(30)


def quantized(model: bytes, samples: Samples, worker: Worker) -> bytes:
    return worker.call(
        "quantize", quantize, write_ranges(model, observe(model, samples).minmax()), Quantizer()
    )


def measured(noise: np.ndarray) -> _Measured:
    """A candidate with that power of the error, as a share of the output's, in each sample."""
    base = Base(Recipe(), b"", b"")
    return _Measured(base, base.recipe, Made(b"", b""), noise)


def test_what_is_as_good_rarely_wins_and_what_is_better_always() -> None:
    generator = np.random.default_rng(1)
    level = 1e-4 * np.exp(generator.normal(0, 1, (400, 24)))  # samples differ much more than candidates
    first, second = (level * np.exp(generator.normal(0, 0.2, level.shape)) for _ in range(2))
    equal = [measured(a).beats(measured(b)) for a, b in zip(first, second, strict=True)]
    better = [measured(a * 0.6).beats(measured(b)) for a, b in zip(first, second, strict=True)]
    assert np.mean(equal) < 0.25  # one standard error lets one in six win, and samples are not Gaussian
    assert np.mean(better) > 0.97
    assert not any(measured(a).beats(measured(a)) for a in first)


def test_a_gain_below_the_margin_does_not_win() -> None:
    """However sure it is: it is not worth a plainer model."""
    noise = np.full(40, 1e-4)
    assert not measured(noise * 0.99).beats(measured(noise))
    assert measured(noise * 0.9).beats(measured(noise))


def test_a_gain_on_one_sample_alone_does_not_win() -> None:
    noise = np.full(20, 1e-4)
    lucky = np.concatenate([[1e-3], noise])
    assert not measured(np.concatenate([[1e-5], noise])).beats(measured(lucky))


@pytest.mark.parametrize(("seconds", "stopped"), [(0.0, True), (None, False), (1e6, False)])
def test_the_budget_ends_the_search_after_the_first_candidate(
    seconds: float | None, stopped: bool, worker: Worker
) -> None:
    model, samples = classifier(softmax=False)
    plain = quantized(model, samples, worker)
    told: list[str] = []
    budget = Budget(seconds, time.monotonic())
    choice = search([Base(Recipe(), model, plain)], samples, budget, told.append, threads=1)
    assert choice.stopped == stopped
    assert (len(choice.trials) == 1) == stopped
    assert len(told) == len(choice.trials)
    if stopped:
        assert (choice.model, choice.recipe) == (plain, Recipe())


def test_the_judge_listens_in_front_of_a_softmax(worker: Worker) -> None:
    """What it says is the error of the logits, without what all of them have in common."""
    model, samples = classifier(softmax=True)
    int8_model = quantized(model, samples, worker)
    exact, rough = centred(model, samples), centred(int8_model, samples)
    expected = np.square(rough - exact).sum(axis=1) / np.square(exact).sum(axis=1).mean()
    assert Judge(model, int8_model, samples, 1).noise(int8_model) == pytest.approx(expected, rel=1e-4)


def centred(model: bytes, samples: Samples) -> np.ndarray:
    """float64 [samples, classes]: the real values of tensor "logits", less their mean."""
    (tensor,) = [tensor for tensor in read_graph(model).main.tensors if tensor.name == "logits"]
    runner, found = Runner(model, preserve_all_tensors=True), []
    for sample in samples:
        runner.run_real(sample)
        values = runner.view(tensor.index).astype(np.float64)
        if tensor.type == "INT8":
            assert tensor.quantization is not None
            values = (values - tensor.quantization.zero_point[0]) * tensor.quantization.scale[0]
        found.append(values[0] - values.mean())
    return np.array(found)


def test_the_judge_does_not_hear_what_a_softmax_does_not_see(worker: Worker) -> None:
    """All logits a little higher: an error without a softmax behind them, and none with one."""
    found = []
    for softmax in (False, True):
        stack = Stack(3).conv("a", 6, NONE).mean("m").dense("logits", 4)
        shifted = Stack(3).conv("a", 6, NONE).mean("m").dense("logits", 4)
        shifted.constant("logits/b", shifted.tensors["logits/b"].data + np.float32(0.5))
        for each in (stack, shifted):
            if softmax:
                each.plain("SOFTMAX", "scores", "SoftmaxOptions", beta=1.0)
        samples = stack.samples(20)
        model, other = stack.net().build(), shifted.net().build()
        int8, moved = quantized(model, samples, worker), quantized(other, samples, worker)
        judge = Judge(model, int8, samples, 1)
        found.append(judge.noise(moved).mean() / judge.noise(int8).mean())
    assert found[0] > 20
    assert found[1] < 3
