"""Dead channels that carry a second reading of a live one: what floats compute, and what int8 loses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from float_nets import NONE, RELU, Stack

from edgekit_converters.calibration.observe import observe
from edgekit_converters.quantize.engine import Quantizer, quantize, write_ranges
from edgekit_converters.quantize.linear import BIAS, WEIGHTS, as_rows, constant, linear_layers
from edgekit_converters.quantize.reconstruct import Method, reconstruct
from edgekit_converters.quantize.spans import channel_spans, int8_ranges
from edgekit_converters.quantize.spare import LEVELS, use_dead_channels
from edgekit_converters.runner import Runner
from edgekit_converters.surgery import pack, unpack
from edgekit_converters.worker import Worker

DEAD, LOUD = 1, 3
Samples = list[dict[str, np.ndarray]]


def dead_and_loud(stack: Stack, through: tuple[str, ...] = ("a",)) -> Stack:
    """Channel 1 holds its bias whatever comes; channel 3 weighs most in what follows."""
    for name in through:
        depthwise = stack.tensors[f"{name}/w"].shape[0] == 1
        for constant_name in (f"{name}/w", f"{name}/b"):
            value = stack.tensors[constant_name].data.copy()
            if constant_name.endswith("w"):
                value[(..., DEAD) if depthwise else DEAD] = 0
            else:
                value[:] = np.abs(value) + 1  # away from where the activation function cuts
            stack.constant(constant_name, value)
    mixed = stack.tensors["c/w"].data.copy()
    mixed[..., LOUD] *= 4
    stack.constant("c/w", mixed)
    return stack


def conv_net() -> Stack:
    return dead_and_loud(Stack(2).conv("a", 4, NONE).conv("c", 3, NONE))


def pooled_net() -> Stack:
    return dead_and_loud(Stack(2).conv("a", 4, NONE).mean("m").dense("c", 3))


def deep_net() -> Stack:
    return dead_and_loud(Stack(2).conv("a", 4, NONE).depthwise("b", NONE).mean("m").dense("c", 3), ("a", "b"))


NETS: dict[str, Callable[[], Stack]] = {"conv": conv_net, "pooled": pooled_net, "depthwise": deep_net}


def answers(model: bytes, samples: Samples) -> np.ndarray:
    runner = Runner(model)
    return np.concatenate([next(iter(runner.run_real(each).values())) for each in samples])


def quantized(model: bytes, samples: Samples, worker: Worker) -> bytes:
    return worker.call(
        "quantize", quantize, write_ranges(model, observe(model, samples).minmax()), Quantizer()
    )


def reread(model: bytes, int8_model: bytes, samples: Samples) -> tuple[bytes, bytes]:
    """The float model with its dead channels used, and its int8 model; weights rounded to nearest, nothing else."""
    twin, count = use_dead_channels(model, channel_spans(model, samples), int8_ranges(int8_model))
    assert count == 1
    (port,) = Runner(int8_model).inputs
    pairs = [(sample, {"x": port.store(sample["x"])}) for sample in samples]
    return twin, reconstruct(twin, int8_model, pairs, Method("nearest", bias=False))


@pytest.mark.parametrize("name", NETS)
def test_floats_compute_nearly_the_same_and_int8_loses_less(name: str, worker: Worker) -> None:
    stack = NETS[name]()
    model, samples = stack.net().build(), stack.samples(40)
    plain = quantized(model, samples, worker)
    twin, better = reread(model, plain, samples)
    exact = answers(model, samples)
    int8_error = float(np.sqrt(np.square(answers(plain, samples) - exact).mean()))
    middle = (slice(None), slice(1, -1), slice(1, -1)) if exact.ndim == 4 else (slice(None),)
    # At borders padding is not shifted; depthwise layers have them on the way to the mean.
    assert np.abs(answers(twin, samples) - exact)[middle].max() < (
        1e-4 if name != "depthwise" else int8_error
    )
    after = float(np.sqrt(np.square(answers(better, samples) - exact)[middle].mean()))
    assert after < 0.97 * float(np.sqrt(np.square(answers(plain, samples) - exact)[middle].mean()))


def test_the_dead_channel_reads_the_loud_one_half_a_step_apart(worker: Worker) -> None:
    stack = conv_net()
    model, samples = stack.net().build(), stack.samples(40)
    plain = quantized(model, samples, worker)
    twin, _ = use_dead_channels(model, channel_spans(model, samples), int8_ranges(plain))
    before, after = unpack(model), unpack(twin)
    first, mixer = linear_layers(after)
    rows, biases = as_rows(first, constant(after, first, WEIGHTS)), constant(after, first, BIAS)
    low, high = int8_ranges(plain)["a"]
    assert np.array_equal(rows[DEAD], rows[LOUD])
    assert biases[DEAD] - biases[LOUD] == pytest.approx((high - low) / LEVELS / 2, rel=1e-4)
    old, new = constant(before, linear_layers(before)[1], WEIGHTS), constant(after, mixer, WEIGHTS)
    assert np.array_equal(new[..., LOUD], old[..., LOUD] / 2)
    assert np.array_equal(new[..., DEAD], old[..., LOUD] / 2)
    assert np.array_equal(new[..., [0, 2]], old[..., [0, 2]])


def test_what_the_dead_channel_held_goes_into_the_next_bias(worker: Worker) -> None:
    """Its constant times the weights that read it: without that the output would move."""
    stack = pooled_net()
    model, samples = stack.net().build(), stack.samples(40)
    twin, _ = use_dead_channels(model, channel_spans(model, samples), {"a": (-1e-6, 1e-6)})
    assert np.allclose(answers(twin, samples), answers(model, samples), atol=1e-4)
    held = channel_spans(model, samples)["a"].high[DEAD]
    assert abs(held * stack.tensors["c/w"].data[:, DEAD]).max() > 0.1


@pytest.mark.parametrize(
    "stack",
    [
        Stack(2).conv("a", 4, RELU).conv("c", 3, NONE),
        # dead, but with nobody behind who sums over channels and nothing else
        dead_and_loud(Stack(2).conv("a", 4, NONE).plain("HARD_SWISH", "h").conv("c", 3, NONE)),
    ],
    ids=["nothing-dead", "no-joint"],
)
def test_nothing_changes(stack: Stack) -> None:
    model, samples = stack.net().build(), stack.samples()
    done, count = use_dead_channels(
        model, channel_spans(model, samples), dict.fromkeys(("a", "c"), (-4.0, 4.0))
    )
    assert count == 0
    assert done == pack(unpack(model))


def test_layers_without_a_range_are_left_alone() -> None:
    stack = conv_net()
    model, samples = stack.net().build(), stack.samples()
    assert use_dead_channels(model, channel_spans(model, samples), {})[1] == 0
