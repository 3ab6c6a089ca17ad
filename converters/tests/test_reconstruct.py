"""Layers rewritten one by one: the quantizer's own rounding is met, limits hold, and no other layer is changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from float_nets import NONE, RELU, RELU6, Stack

from edgekit_converters.audit import audit
from edgekit_converters.calibration.observe import observe
from edgekit_converters.quantize.engine import Quantizer, quantize, write_ranges
from edgekit_converters.quantize.linear import (
    BIAS,
    WEIGHTS,
    as_rows,
    constant,
    from_rows,
    linear_layers,
    replace_constant,
    scales,
)
from edgekit_converters.quantize.reconstruct import BIAS_LIMIT, Method, reconstruct
from edgekit_converters.quantize.rounding import WEIGHT_LIMIT
from edgekit_converters.runner import Runner
from edgekit_converters.surgery import pack, unpack
from edgekit_converters.worker import Worker

PLAIN = Method("nearest", bias=False)
METHODS = [PLAIN, Method("nearest"), Method("compensated"), Method("refitted", ridge=0.1)]
Samples = list[dict[str, np.ndarray]]


def net() -> Stack:
    return (
        Stack(4)
        .conv("a", 4, RELU6, (1, 0.2, 3, 1))
        .depthwise("b", RELU)
        .pad("p")
        .conv("c", 5, NONE)
        .mean("m")
        .dense("d", 3)
    )


def quantized(model: bytes, samples: Samples, worker: Worker, *, per_channel: bool = True) -> bytes:
    calibrated = write_ranges(model, observe(model, samples).minmax())
    quantizer = Quantizer(per_channel=per_channel, per_channel_dense=per_channel)
    return worker.call("quantize", quantize, calibrated, quantizer)


def pairs(int8_model: bytes, samples: Samples) -> list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    (port,) = Runner(int8_model).inputs
    return [(sample, {port.name: port.store(sample["x"])}) for sample in samples]


def constants(model: bytes) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Weights, bias and their scales of every layer, by name."""
    tree = unpack(model)
    return {
        layer.name: (
            constant(tree, layer, WEIGHTS), constant(tree, layer, BIAS),
            scales(tree, layer, WEIGHTS), scales(tree, layer, BIAS),
        )
        for layer in linear_layers(tree)
    }  # fmt: skip


@pytest.mark.parametrize("per_channel", [True, False])
def test_taking_the_float_weights_gives_what_the_quantizer_gives(per_channel: bool, worker: Worker) -> None:
    stack = net()
    model, samples = stack.net().build(), stack.samples()
    theirs = quantized(model, samples, worker, per_channel=per_channel)
    ours = reconstruct(model, theirs, pairs(theirs, samples), PLAIN)
    assert constants(ours).keys() == constants(theirs).keys() == {"a", "b", "c", "d"}
    for (w, b, ws, bs), (w2, b2, ws2, bs2) in zip(
        constants(ours).values(), constants(theirs).values(), strict=True
    ):
        assert len(ws) == (1 if not per_channel else len(b))
        assert ws == pytest.approx(ws2, rel=1e-5)
        assert bs == pytest.approx(bs2, rel=1e-5)
        assert np.abs(w.astype(int) - w2).max() <= 1
        assert (w != w2).mean() < 0.01
        assert np.abs(b.astype(int) - b2).max() <= 1


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.rounding}-{method.bias}")
def test_weights_and_biases_stay_within_what_int8_allows(method: Method, worker: Worker) -> None:
    stack = net()
    stack.constant(
        "c/b", np.array([1e6, -1e6, 0, 0, 0], np.float32)
    )  # far beyond 2^30 steps at nearest scales
    weights = stack.tensors["c/w"].data.copy()
    weights[:3] *= 1e-7
    stack.constant("c/w", weights)
    model, samples = stack.net().build(), stack.samples()
    int8_model = quantized(model, samples, worker)
    done = reconstruct(model, int8_model, pairs(int8_model, samples), method)
    assert audit(done).strictly_int8
    for w, b, ws, bs in constants(done).values():
        assert w.dtype == np.int8
        assert np.abs(w.astype(int)).max() <= WEIGHT_LIMIT
        assert np.abs(b.astype(np.int64)).max() <= BIAS_LIMIT
        assert (ws > 0).all()
        assert (bs > 0).all()
    _, b, _, bs = constants(done)["c"]
    assert b[:2] * bs[:2] == pytest.approx([1e6, -1e6], rel=0.02)
    Runner(done).run_real(samples[0])


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("method", METHODS[1:], ids=lambda method: method.rounding)
def test_every_method_comes_closer_than_the_quantizer(
    method: Method, per_channel: bool, worker: Worker
) -> None:
    """On samples that it was not fitted to."""
    stack = net()
    model, samples = stack.net().build(), stack.samples(160)
    int8_model = quantized(model, samples, worker, per_channel=per_channel)
    done = reconstruct(model, int8_model, pairs(int8_model, samples[::2]), method, threads=2)
    exact, before, after = (answers(each, samples[1::2]) for each in (model, int8_model, done))
    assert np.square(after - exact).mean() < np.square(before - exact).mean()


def answers(model: bytes, samples: Samples) -> np.ndarray:
    runner = Runner(model)
    return np.concatenate([next(iter(runner.run_real(each).values())) for each in samples])


def shared_net() -> tuple[bytes, Samples]:
    """Two layers that share weights and bias, as a network does that is applied twice."""
    stack = Stack(5).conv("a", 3, RELU).conv("b", 3, RELU).conv("c", 2, NONE)
    built = stack.net()
    second = replace(built.ops[1], inputs=("a", "a/w", "a/b"))
    return replace(built, ops=(built.ops[0], second, built.ops[2])).build(), stack.samples()


def test_a_constant_that_two_layers_share_is_replaced_for_one() -> None:
    model, samples = shared_net()
    tree = unpack(model)
    first, second, _ = linear_layers(tree)
    kept = constant(tree, first, WEIGHTS).copy(), constant(tree, first, BIAS).copy()
    replace_constant(tree, second, WEIGHTS, np.zeros_like(kept[0]))
    replace_constant(tree, second, BIAS, np.full(3, 7.0))
    done = pack(tree)
    tree = unpack(done)
    first, second, third = linear_layers(tree)
    assert np.array_equal(constant(tree, first, WEIGHTS), kept[0])
    assert np.array_equal(constant(tree, first, BIAS), kept[1])
    assert not constant(tree, second, WEIGHTS).any()
    runner = Runner(done, preserve_all_tensors=True)
    runner.run(samples[0])
    assert (runner.view(second.output) == 7).all()
    assert third.source == second.output


def test_tensors_that_share_a_buffer_do_not_share_a_change() -> None:
    stack = Stack(5).conv("a", 3, RELU).conv("b", 3, RELU)
    tree = unpack(stack.net().build())
    first, second = linear_layers(tree)
    tensors = tree.subgraphs[0].tensors
    tensors[second.operator.inputs[BIAS]].buffer = tensors[first.operator.inputs[BIAS]].buffer
    kept = constant(tree, first, BIAS).copy()
    replace_constant(tree, second, BIAS, kept + 1)
    assert np.array_equal(constant(tree, first, BIAS), kept)
    assert np.array_equal(constant(tree, second, BIAS), kept + 1)


@pytest.mark.parametrize("method", METHODS[1:], ids=lambda method: method.rounding)
def test_layers_that_share_weights_are_each_rounded_for_themselves(method: Method, worker: Worker) -> None:
    model, samples = shared_net()
    int8_model = quantized(model, samples, worker)
    done = reconstruct(model, int8_model, pairs(int8_model, samples), method)
    assert audit(done).strictly_int8
    exact, before, after = (answers(each, samples) for each in (model, int8_model, done))
    assert np.square(after - exact).mean() < np.square(before - exact).mean()
    biases = {name: bias for name, (_, bias, _, _) in constants(done).items()}
    assert not np.array_equal(biases["a"], biases["b"])


def test_layers_of_other_names_are_left_as_they_are(worker: Worker) -> None:
    stack = net()
    model, samples = stack.net().build(), stack.samples()
    int8_model = quantized(model, samples, worker)
    renamed = stack.net().rename(b="another").build()
    before, after = (
        constants(int8_model),
        constants(reconstruct(renamed, int8_model, pairs(int8_model, samples), Method("compensated"))),
    )
    same = {name: all(map(np.array_equal, before[name], after[name])) for name in before}
    assert same == {"a": False, "b": True, "c": False, "d": False}


def test_rows_go_there_and_back() -> None:
    tree = unpack(net().net().build())
    for layer in linear_layers(tree):
        weights = constant(tree, layer, WEIGHTS)
        rows = as_rows(layer, weights)
        assert len(rows) == weights.shape[layer.channel_axis]
        assert np.array_equal(from_rows(layer, rows, weights.shape), weights)


def test_the_models_given_are_not_changed(worker: Worker) -> None:
    stack = net()
    model, samples = stack.net().build(), stack.samples()
    int8_model = quantized(model, samples, worker)
    given = bytes(bytearray(model)), bytes(bytearray(int8_model))
    first = reconstruct(model, int8_model, pairs(int8_model, samples), Method("compensated"))
    assert (model, int8_model) == given
    assert (
        reconstruct(model, int8_model, pairs(int8_model, samples), Method("compensated"), threads=2) == first
    )
