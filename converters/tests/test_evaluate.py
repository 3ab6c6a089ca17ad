"""int8 beside float, with models that are plain functions."""

from __future__ import annotations

import json
import math
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import DataError, MetricError, NoDataError
from edgekit_converters.evaluate import evaluate, render
from edgekit_converters.metrics.agreement import DECIBELS_LIMIT
from edgekit_converters.metrics.statistics import Interval, wilson


@dataclass(frozen=True)
class Sample:
    label: object
    origin: str = "a"


def samples(inputs, labels):
    for row, (values, label) in enumerate(zip(inputs, labels, strict=True)):
        yield Sample(label, f"x.npz row {row}"), {"x": np.asarray(values, np.float32)[None, None]}


def same(inputs):
    return {"y": inputs["x"][0]}


def coarse(step):
    return lambda inputs: {"y": (np.round(inputs["x"][0] / step) * step).astype(np.float32)}


def scores(n=200, classes=5, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    return generator.random((n, classes)) * 2 + np.eye(classes)[labels], labels


def test_both_models_on_the_very_same_input():
    seen = {"float": [], "int8": []}

    def watched(which):
        def model(inputs):
            seen[which].append(inputs["x"])
            return same(inputs)

        return model

    values, labels = scores(5)
    evaluate(samples(values, labels), watched("float"), watched("int8"))
    assert all(a is b for a, b in zip(seen["float"], seen["int8"], strict=True))


def test_values_of_top1_equal_counting():
    values, labels = scores()
    rough = np.round(values / 0.9) * 0.9
    result = evaluate(samples(values, labels), same, coarse(0.9))
    right, right8 = values.argmax(1) == labels, rough.argmax(1) == labels
    agree = values.argmax(1) == rough.argmax(1)
    assert (result.metric, result.unit, result.n, result.labelled) == ("top1", "%", 200, True)
    assert result.float_value == pytest.approx(100 * right.mean())
    assert result.int8_value == pytest.approx(100 * right8.mean())
    assert result.difference == pytest.approx(100 * (right8.mean() - right.mean()))
    assert result.drop_pp == pytest.approx(-result.difference)
    assert result.float_interval == wilson(right.sum(), 200).scaled(100)
    assert result.agreement.value == pytest.approx(100 * agree.mean())
    assert result.agreement.n == 200
    assert result.agreement.interval == wilson(agree.sum(), 200).scaled(100)
    noise = np.float32(values).astype(float) - np.float32(rough)
    assert result.sqnr_db["y"] == pytest.approx(
        10 * math.log10((values**2).mean() / (noise**2).mean()), abs=1e-3
    )


def test_the_interval_is_of_the_paired_difference():
    values, labels = scores()
    result = evaluate(samples(values, labels), same, coarse(0.9))
    change = (np.round(values / 0.9).argmax(1) == labels) * 1.0 - (values.argmax(1) == labels)
    error = 100 * change.std() / math.sqrt(200)
    assert result.difference_interval.low == pytest.approx(result.difference - 1.96 * error, abs=0.25 * error)
    assert result.difference_interval.high == pytest.approx(
        result.difference + 1.96 * error, abs=0.25 * error
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["top1", "mae", "rmse", "auc", "agreement", "sqnr"]))
def test_the_same_input_gives_the_same_result(seed, metric):
    generator = np.random.default_rng(seed)
    width = 1 if metric in ("mae", "rmse", "auc") else 4
    values = generator.random((20, width))
    labels = [0, 1] * 10

    def run():
        return evaluate(samples(values, labels), same, coarse(0.3), metric)

    result = run()
    assert run() == result
    assert json.loads(json.dumps(result.to_json(), allow_nan=False)) == result.to_json()
    assert result.difference_interval.low <= result.difference_interval.high


def test_nothing_but_records_is_kept():
    alive = {}
    most = 0

    def watched(inputs):
        nonlocal most
        output = np.full((1, 16, 16, 3), inputs["x"].ravel()[0], np.float32)
        key = len(pulled), len(alive)
        alive[key] = weakref.ref(output, lambda _: alive.pop(key))
        most = max(most, len(alive))
        return {"y": output}

    pulled = []

    def stream():
        for row in range(60):
            pulled.append(row)
            yield Sample(np.zeros((16, 16), np.uint8), f"row {row}"), {"x": np.ones((1, 1), np.float32)}

    def progress(done):
        assert pulled == list(range(done))  # nothing is read ahead

    result = evaluate(stream(), watched, watched, progress=progress)
    assert result.n == 60
    assert most <= 4  # two models, the sample before and this one


def test_agreement_without_labels():
    values, _ = scores()
    result = evaluate(samples(values, [None] * 200), same, coarse(0.9))
    agree = (values.argmax(1) == np.round(values / 0.9).argmax(1)).mean()
    assert (result.metric, result.labelled, result.float_value) == ("agreement", False, 100)
    assert result.against_float
    assert result.int8_value == pytest.approx(100 * agree)
    assert result.drop_pp == pytest.approx(100 - 100 * agree)
    assert result.agreement.value == result.int8_value
    assert result.agreement.interval == result.int8_interval
    text = render(result)
    assert "against the float model" in text
    assert "int8 - float" not in text


def test_noise_ratio_without_labels_or_classes():
    values = np.random.default_rng(0).random((40, 1))
    result = evaluate(samples(values, [None] * 40), same, coarse(0.1))
    assert (result.metric, result.unit, result.float_value) == ("sqnr", "dB", DECIBELS_LIMIT)
    assert result.int8_value == pytest.approx(result.sqnr_db["y"])
    assert result.drop_pp is None
    with pytest.raises(MetricError, match="--max-drop cannot be held"):
        result.exceeds(1)


def test_a_drop_in_an_error_is_relative():
    truth = np.linspace(1, 2, 40)
    result = evaluate(samples((truth + 0.5)[:, None], truth), same, lambda x: {"y": x["x"][0] + 0.1})
    assert (result.metric, result.higher_is_better) == ("mae", False)
    assert result.float_value == pytest.approx(0.5, rel=1e-5)
    assert result.drop_pp == pytest.approx(20, rel=1e-4)
    assert result.drop_unit == "% of float's value"
    assert result.exceeds(19.9)
    assert not result.exceeds(20.1)


def test_a_drop_from_a_perfect_float_model_is_infinite_and_still_json():
    truth = np.linspace(1.1, 2, 40).astype(np.float32)
    result = evaluate(samples(truth[:, None], truth), same, coarse(0.5))
    assert result.drop_pp == math.inf
    assert result.exceeds(1e9)
    assert result.to_json()["drop_pp"] is None
    assert evaluate(samples(truth[:, None], truth), same, same).drop_pp == 0


def test_a_contract_is_held_to_the_point():
    labels = [0] * 100
    values = np.tile([[1.0, 0.0]], (100, 1))
    calls = iter(range(100))
    result = evaluate(
        samples(values, labels), same, lambda x: {"y": x["x"][0, :, ::-1] if next(calls) < 3 else x["x"][0]}
    )
    assert result.drop_pp == pytest.approx(3)
    assert not result.exceeds(3)
    assert result.exceeds(2.99)


def test_several_outputs_each_have_a_ratio_and_one_is_judged():
    values, labels = scores(50)

    def two(inputs):
        return {"y": inputs["x"][0], "z": inputs["x"][0, :, :2]}

    result = evaluate(samples(values, labels), two, two, "top1:y")
    assert dict(result.sqnr_db) == {"y": DECIBELS_LIMIT, "z": DECIBELS_LIMIT}
    assert result.agreement.value == 100


def test_equal_models_get_no_false_certainty():
    values, labels = scores(100)
    result = evaluate(samples(values, labels), same, same)
    assert result.difference_interval == Interval(0, 0)
    assert any("up to 3 %" in note for note in result.notes)
    unlabelled = evaluate(samples(values, [None] * 100), same, same)
    assert unlabelled.notes == ()  # Wilson's interval has a width there
    assert unlabelled.int8_interval.low < 100


def test_one_sample_and_few_samples_are_told():
    values, labels = scores(12)
    single = evaluate(samples(values[:1], labels[:1]), same, coarse(0.9))
    assert single.notes[-1].startswith("one sample tells nothing")
    assert "1 sample" in render(single)
    few = evaluate(samples(values, labels), same, coarse(0.9))
    assert any("12 samples are few" in note for note in few.notes)


def test_suspicions_of_the_metric_reach_the_notes():
    values = np.tile(np.eye(6), (10, 1))
    labels = np.tile(np.arange(6), 10)
    background = np.hstack([np.zeros((60, 1)), values])
    result = evaluate(samples(background, labels), same, same)
    assert "label + 1" in result.notes[0]
    assert "label + 1" in render(result)


def test_pixels_agree_in_part():
    generator = np.random.default_rng(0)
    values = generator.random((30, 4, 4, 3))
    masks = generator.integers(0, 3, (30, 4, 4))
    result = evaluate(samples(values, masks), same, coarse(0.4))
    assert result.metric == "miou"
    equal = (values.argmax(-1) == np.round(np.float32(values) / 0.4).argmax(-1)).mean()
    assert result.agreement.value == pytest.approx(100 * equal)
    assert result.agreement.interval.low < result.agreement.value < result.agreement.interval.high


def test_custom_metric_without_labels(tmp_path):
    file = tmp_path / "evaluate_own.py"
    file.write_text("def peak(outputs, label):\n    assert label is None\n    return outputs['y'].max()\n")
    values, _ = scores(40)
    result = evaluate(samples(values, [None] * 40), same, coarse(0.9), f"{file}:peak")
    assert not result.labelled
    assert result.float_value == pytest.approx(values.max(1).mean(), rel=1e-6)
    assert result.drop_pp == pytest.approx(
        100 * (result.float_value - result.int8_value) / result.float_value
    )
    assert result.agreement is not None
    assert "float" in render(result)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("which", ["float", "int8"])
def test_outputs_that_are_no_numbers_name_model_output_and_sample(bad, which):
    values, labels = scores(5)
    calls = iter(range(5))

    def broken(inputs):
        return {"y": inputs["x"][0] * bad} if next(calls) == 2 else same(inputs)

    models = (broken, same) if which == "float" else (same, broken)
    with pytest.raises(MetricError, match=rf"^x\.npz row 2: the {which} model's output 'y' holds NaN"):
        evaluate(samples(values, labels), *models)


def test_no_samples():
    with pytest.raises(NoDataError) as caught:
        evaluate([], same, same)
    assert caught.value.hint


def test_models_that_differ_in_their_outputs():
    values, labels = scores(2)
    with pytest.raises(MetricError, match=r"^x\.npz row 0: the models differ"):
        evaluate(samples(values, labels), same, lambda inputs: {"z": inputs["x"][0]})


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1, None, 1], r"row 1: the sample has no label"), ([None, None, 1], r"row 2: the sample has a label")],
)
def test_labels_on_some_samples_only(labels, message):
    values, _ = scores(3)
    with pytest.raises(MetricError, match=message):
        evaluate(samples(values, labels), same, same)


def test_labels_may_be_left_aside_when_agreement_is_asked_for():
    values, _ = scores(3)
    assert evaluate(samples(values, [None, 2, "cat"]), same, same, "agreement").int8_value == 100


def test_a_metric_without_a_value():
    with pytest.raises(MetricError, match="metric 'auc' has no value over these 3 samples"):
        evaluate(samples(np.ones((3, 1)), [1, 1, 1]), same, same, "auc")


def test_errors_of_the_stream_pass_through():
    def broken():
        yield from samples([[1.0, 2.0]], [1])
        raise DataError("x.npz row 1: broken")

    with pytest.raises(DataError, match="row 1: broken"):
        evaluate(broken(), same, same)


def test_the_table_says_what_a_person_needs():
    values, labels = scores()
    text = render(evaluate(samples(values, labels), same, coarse(0.9)))
    lines = [line.split(maxsplit=1)[0] for line in text.splitlines()]
    assert lines[:4] == ["metric", "float", "int8", "int8"]
    assert "top1 on 200 samples" in text
    assert "points  [" in text
    assert "2000 resamples" in text
    assert "dB" in text
