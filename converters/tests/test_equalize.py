"""Rescaled channels: the float network computes the same, and nothing is touched where it must not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from float_nets import FLOAT, NONE, RELU, RELU6, Stack
from tflite_models import Net, Op, T

from edgekit_converters.quantize.equalize import equalize_activations, equalize_weights, joints
from edgekit_converters.quantize.linear import WEIGHTS, as_rows, constant, linear_layers
from edgekit_converters.quantize.spans import Span, channel_spans
from edgekit_converters.runner import Runner
from edgekit_converters.surgery import unpack

UNEVEN = (1.0, 0.1, 0.5, 0.02)
"""Gains of output channels: what folded batch normalization leaves."""

NETS: dict[str, Callable[[], Stack]] = {
    "relu": lambda: Stack().conv("a", 4, RELU, UNEVEN).conv("b", 5, RELU).conv("c", 2, NONE),
    "relu6": lambda: Stack().conv("a", 4, RELU6, UNEVEN).depthwise("b", RELU6).conv("c", 2, NONE),
    "linear": lambda: Stack().conv("a", 4, NONE, UNEVEN).depthwise("b", NONE).conv("c", 2, NONE),
    "pad": lambda: Stack().conv("a", 4, RELU, UNEVEN).pad("p").conv("b", 2, NONE),
    "pools": lambda: Stack().conv("a", 4, RELU, UNEVEN).pool("p").pool("q", "MAX_POOL_2D").conv("b", 2, NONE),
    "mean": lambda: Stack().conv("a", 4, RELU6, UNEVEN).mean("m").dense("d", 3),
}


def answers(model: bytes, samples: list[dict[str, np.ndarray]]) -> np.ndarray:
    runner = Runner(model)
    return np.stack([np.concatenate([out.ravel() for out in runner.run(each).values()]) for each in samples])


def tops_of(spans: dict[str, Span]) -> dict[str, tuple[float, float]]:
    """The int8 ranges that follow from the extremes."""
    return {
        name: (min(0.0, float(span.low.min())), max(0.0, float(span.high.max())))
        for name, span in spans.items()
    }


def activations(model: bytes, samples: list[dict[str, np.ndarray]]) -> bytes:
    spans = channel_spans(model, samples)
    return equalize_activations(model, spans, tops_of(spans))[0]


def weights(model: bytes, samples: list[dict[str, np.ndarray]]) -> bytes:
    return equalize_weights(model, channel_spans(model, samples))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("equalized", [activations, weights])
def test_the_float_network_computes_the_same(name: str, equalized: Callable[..., bytes]) -> None:
    stack = NETS[name]()
    before, samples = stack.net().build(), stack.samples()
    after = equalized(before, samples)
    assert constants(after) != constants(before)
    exact = answers(before, samples)
    assert np.allclose(answers(after, samples), exact, rtol=1e-4, atol=1e-4 * np.abs(exact).max())


def constants(model: bytes) -> list[bytes]:
    tree = unpack(model)
    return [constant(tree, layer, WEIGHTS).tobytes() for layer in linear_layers(tree)]


def test_a_channel_with_a_tenth_of_the_range_is_stretched_to_all_of_it() -> None:
    """In front of depthwise weights, which have a scale each; half way, as a logarithm counts, in front of others."""
    for stack, wanted in (
        (Stack().conv("a", 4, NONE).depthwise("b").conv("c", 2, NONE), 10.0),
        (Stack().conv("a", 4, NONE).conv("c", 2, NONE), 10.0**0.5),
    ):
        before = stack.net().build()
        spans = {"a": Span(np.full(4, -1.0), np.array([8.0, 0.8, 4.0, 8.0]))}
        after, _ = equalize_activations(before, spans, {"a": (-20.0, 8.0)})
        gains = gains_of(before, after, "a")
        assert gains == pytest.approx([1, wanted, np.sqrt(2) if wanted < 5 else 2, 1], rel=1e-5)


def gains_of(before: bytes, after: bytes, name: str) -> np.ndarray:
    """By how much each output channel of a layer was stretched."""
    rows = []
    for model in (before, after):
        tree = unpack(model)
        (layer,) = [layer for layer in linear_layers(tree) if layer.name == name]
        rows.append(as_rows(layer, constant(tree, layer, WEIGHTS))[:, 0].astype(np.float64))
    return np.asarray(rows[1] / rows[0])


def test_a_channel_at_both_ends_is_held_by_the_nearer_one() -> None:
    before = Stack().conv("a", 4, NONE).depthwise("b").conv("c", 2, NONE).net().build()
    spans = {"a": Span(np.array([-1.0, -1, -4, 0]), np.array([1.0, 4, 1, 1]))}
    after, _ = equalize_activations(before, spans, {"a": (-4.0, 8.0)})
    assert gains_of(before, after, "a") == pytest.approx([4, 2, 1, 8], rel=1e-5)


def test_what_is_silent_on_all_samples_stays() -> None:
    """A rare input that wakes it would be cut off at a fraction of the range."""
    before = Stack().conv("a", 4, RELU).depthwise("b").conv("c", 2, NONE).net().build()
    spans = {"a": Span(np.zeros(4), np.array([0.0, 1, 2, 8]))}
    after, _ = equalize_activations(before, spans, {"a": (0.0, 8.0)})
    assert gains_of(before, after, "a") == pytest.approx([1, 8, 4, 1], rel=1e-5)


@pytest.mark.parametrize("method", ["activations", "weights"])
def test_channels_at_6_stay_and_no_other_passes_6(method: str) -> None:
    stack = Stack().conv("a", 4, RELU6, (30, 0.1, 1, 0.3)).depthwise("b").conv("c", 2, NONE)
    before, samples = stack.net().build(), stack.samples()
    spans = channel_spans(before, samples)
    assert spans["a"].high[0] == 6
    after = (activations if method == "activations" else weights)(before, samples)
    high = channel_spans(after, samples)["a"].high
    gains = gains_of(before, after, "a")
    assert gains[0] == pytest.approx(1, rel=1e-5) if method == "activations" else gains[0] <= 1 + 1e-5
    assert (high <= 6).all()
    # Not cut off either: every channel is what it was, stretched.
    assert high == pytest.approx(spans["a"].high * gains, rel=1e-4)


def added(stack: Stack, opcode: str, other: str, name: str, table: str | None) -> Stack:
    """An operator of two operands."""
    stack.tensors[name] = T(stack.shape, FLOAT)
    return stack.add(opcode, (stack.last, other), name, table)


def joined(stack: Stack) -> Stack:
    batch, height, width, channels = stack.shape
    stack.tensors["j"] = T((batch, height, width, 2 * channels), FLOAT)
    return stack.add("CONCATENATION", ("a", "a2"), "j", "ConcatenationOptions", axis=3)


def two_branches() -> Stack:
    stack = Stack().conv("a2", 4, RELU, UNEVEN)
    stack.last = "x"
    return stack.conv("a", 4, RELU, UNEVEN)


def two_readers() -> Net:
    stack = Stack().conv("a", 4, RELU, UNEVEN).conv("b", 2, NONE)
    stack.last = "a"
    return stack.conv("c", 2, NONE).net("b", "c")


def mean_of_channels() -> Net:
    """A mean over channels of as many rows as the layer has channels, so that shapes alone do not tell."""
    stack = Stack().conv("a", 6, RELU).mean("m", (3,))
    return stack.dense("d", 3).net()


UNTOUCHED: dict[str, Callable[[], Net]] = {
    "ADD": lambda: added(two_branches(), "ADD", "a2", "s", "AddOptions").conv("c", 2, NONE).net(),
    "MUL": lambda: added(two_branches(), "MUL", "a2", "s", "MulOptions").conv("c", 2, NONE).net(),
    "concatenation": lambda: joined(two_branches()).conv("c", 2, NONE).net(),
    "softmax": lambda: Stack().conv("a", 4, NONE, UNEVEN).plain("SOFTMAX", "s", "SoftmaxOptions", beta=1.0)
    .conv("c", 2, NONE).net(),
    "hard-swish": lambda: Stack().conv("a", 4, NONE, UNEVEN).plain("HARD_SWISH", "s").conv("c", 2, NONE).net(),
    "relu-n1-to-1": lambda: Stack().conv("a", 4, 2, UNEVEN).conv("c", 2, NONE).net(),
    "pool-with-relu6": lambda: Stack().conv("a", 4, RELU, UNEVEN).pool("p", activation=RELU6).conv("c", 2, NONE)
    .net(),
    "two-readers": two_readers,
    "mean-over-channels": mean_of_channels,
    "output": lambda: Stack().conv("a", 4, RELU, UNEVEN).conv("c", 2, NONE).net("c", "a"),
    "output-of-a-pool": lambda: Stack().conv("a", 4, RELU, UNEVEN).pool("p").conv("c", 2, NONE).net("c", "p"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNTOUCHED)
def test_nothing_is_touched_across(name: str) -> None:
    model, samples = UNTOUCHED[name]().build(), Stack().samples(4)
    answers(model, samples)  # it is a network that runs
    assert joints(unpack(model)) == []
    assert constants(activations(model, samples)) == constants(model)
    assert constants(weights(model, samples)) == constants(model)


def test_the_same_network_without_what_stands_between_is_touched() -> None:
    """Else the test above could not fail."""
    net = Stack().conv("a", 4, RELU, UNEVEN).pool("p", activation=RELU6).conv("c", 2, NONE).net()
    options = {**net.ops[1].options, "fusedActivationFunction": NONE}
    (joint,) = joints(unpack(net.op(1, options=options).build()))
    assert (joint.before.name, joint.after.name, joint.bounded) == ("a", "c", False)


def test_weights_that_two_layers_share_are_changed_for_one_alone() -> None:
    net = Stack().conv("a", 3, RELU, (1, 0.1, 0.3)).conv("b", 3, RELU).conv("c", 3, NONE).net()
    ops: list[Op] = list(net.ops)
    ops[2] = replace(ops[2], inputs=(ops[2].inputs[0], "a/w", "a/b"))
    model, samples = replace(net, ops=tuple(ops)).build(), Stack().samples()
    exact = answers(model, samples)
    for equalized in (activations, weights):
        assert np.allclose(answers(equalized(model, samples), samples), exact, rtol=1e-4, atol=1e-4)
