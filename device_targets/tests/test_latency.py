"""The estimate: its arithmetic by hand, what it refuses to guess, and how far it is from the published times."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit_targets.catalog import load_target
from edgekit_targets.latency import (
    ENGINES,
    Engine,
    LatencyEstimate,
    accelerator_ms,
    estimate,
    op_ns,
    processor_ms,
)
from edgekit_targets.ops import OpView, TensorView
from edgekit_targets.placing import Placement

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

# Round numbers: 1 ns a multiplication, 2 a depthwise one, 3 a byte, 100 an operator, and four fifths shared.
SIMPLE = Engine("simple", 1000, 1.0, 2.0, 3.0, 100.0, 0.0, 0.8, 2.0, 1, 1)


def fed(*shape: int, dtype: str = "INT8") -> TensorView:
    return TensorView(shape, dtype, quantized=dtype == "INT8")


def weights(*shape: int) -> TensorView:
    return TensorView(shape, "INT8", constant=True, quantized=True)


def op(opcode: str, inputs: Sequence[TensorView], output: TensorView, index: int = 0) -> OpView:
    return OpView(index, opcode, 1, None, "y", tuple(inputs), (output,))


# 8 * 8 * 16 outputs of 3 * 3 * 16 products: 147,456 multiplications; 1,024 + 1,024 + 2,304 bytes.
CONV = op("CONV_2D", (fed(1, 8, 8, 16), weights(16, 3, 3, 16)), fed(1, 8, 8, 16))
DEPTHWISE = op("DEPTHWISE_CONV_2D", (fed(1, 8, 8, 16), weights(1, 3, 3, 16)), fed(1, 8, 8, 16))
ADD = op("ADD", (fed(1, 8, 8, 16), fed(1, 8, 8, 16)), fed(1, 8, 8, 16))
RESHAPE = op("RESHAPE", (fed(1, 8, 8, 16),), fed(1, 1024))
DENSE = op("FULLY_CONNECTED", (fed(1, 1024), weights(10, 1024)), fed(1, 10))
FLOAT = op(
    "CONV_2D", (fed(1, 8, 8, 16, dtype="FLOAT32"), weights(16, 3, 3, 16)), fed(1, 8, 8, 16, dtype="FLOAT32")
)


@pytest.mark.parametrize(
    ("operator", "ns"),
    [
        (CONV, 147_456 + 100),  # bound by its multiplications
        (DEPTHWISE, 2 * 9_216 + 100),
        (ADD, 3 * 3_072 + 100),  # bound by what it moves
        (DENSE, 3 * (1024 + 10_240 + 10) + 100),
        (RESHAPE, 3 * 2_048),  # nothing is executed
    ],
)
def test_an_operator_takes_the_longer_of_multiplying_and_moving(operator: OpView, ns: float) -> None:
    assert op_ns(operator, SIMPLE) == pytest.approx(ns)


def test_threads_share_all_but_the_serial_part() -> None:
    one = processor_ms([CONV, ADD], SIMPLE, 1000, 1)
    assert processor_ms([CONV, ADD], SIMPLE, 1000, 4) == pytest.approx(one * (0.2 + 0.8 / 4))


def test_time_goes_with_the_clock() -> None:
    assert processor_ms([CONV], SIMPLE, 500, 1) == pytest.approx(2 * processor_ms([CONV], SIMPLE, 1000, 1))


def test_an_accelerator_waits_for_parameters_that_it_cannot_keep() -> None:
    engine = replace(SIMPLE, streamed_ns=10.0)
    large = op("FULLY_CONNECTED", (fed(1, 4096), weights(4096, 4096)), fed(1, 4096))
    fits = accelerator_ms([large], engine, 32 << 20)
    assert fits == pytest.approx((4096 * 4096 + 100) / 1e6)
    assert accelerator_ms([large], engine, 8 << 20) - fits > 8 * 10  # more than 8 MB are sent each time


def test_what_a_person_reads() -> None:
    assert LatencyEstimate(17.34, 1.6, "").text == "about 17 ms (published fits are within 1.6x)"
    assert LatencyEstimate(0.9312, 2.0, "").text == "about 0.93 ms (published fits are within 2x)"
    assert LatencyEstimate(1234.5, 1.3, "").text == "about 1200 ms (published fits are within 1.3x)"


MODEL = (CONV, DEPTHWISE, ADD)


def ms(target: str, threads: int = 4, placements: Sequence[Placement] | None = None) -> float:
    found = estimate(MODEL, placements, load_target(target), threads)
    assert found is not None
    return found.ms


def test_a_sibling_with_the_same_core_is_scaled_by_its_clock_and_says_so() -> None:
    assert ms("raspberry-pi-zero-2-w") == pytest.approx(1.4 * ms("raspberry-pi-3"))
    found = estimate(MODEL, None, load_target("raspberry-pi-zero-2-w"), 4)
    assert found is not None
    assert "scaled from 1400 MHz" in found.basis
    assert "Cortex-A53" in found.basis


def test_a_core_without_a_clock_is_taken_at_that_of_the_board_that_was_timed() -> None:
    found = estimate(MODEL, None, load_target("cortex-m4f"), 1)
    assert found is not None
    assert found.basis.endswith("1 thread, 120 MHz, the clock of the board that was timed")


def test_more_threads_than_cores_are_as_good_as_the_cores() -> None:
    assert (
        ms("raspberry-pi-4", 64)
        == ms("raspberry-pi-4", 4)
        < ms("raspberry-pi-4", 1)
        == ms("raspberry-pi-4", 0)
    )


@pytest.mark.parametrize("name", ["linux-arm64", "linux-x86_64", "cortex-m7", "cortex-m55", "ethos-u55-128"])
def test_a_device_that_nobody_timed_has_no_estimate(name: str) -> None:
    assert estimate(MODEL, None, load_target(name), 4) is None


def test_a_float_model_has_no_estimate() -> None:
    assert estimate([FLOAT, ADD], None, load_target("raspberry-pi-4"), 4) is None


def test_a_model_that_cannot_run_has_no_estimate() -> None:
    places = [Placement.CPU, Placement.UNSUPPORTED, Placement.CPU]
    assert estimate(MODEL, places, load_target("raspberry-pi-4"), 4) is None


def test_multiplications_on_an_unknown_host_are_not_guessed() -> None:
    stick = load_target("coral-usb-accelerator")
    assert estimate(MODEL, [Placement.TPU, Placement.CPU, Placement.CPU], stick, 4) is None
    found = estimate(MODEL, [Placement.TPU, Placement.TPU, Placement.CPU], stick, 4)
    assert found is not None
    assert found.basis.endswith("1 operator on the host not counted")


def test_nothing_on_the_accelerator_has_no_estimate() -> None:
    stick = load_target("coral-usb-accelerator")
    assert estimate(MODEL, [Placement.CPU] * 3, stick, 4) is None


def test_a_known_host_takes_its_part() -> None:
    everything = ms("coral-dev-board")
    split = ms("coral-dev-board", placements=[Placement.TPU, Placement.CPU, Placement.CPU])
    assert split != everything
    found = estimate(MODEL, [Placement.TPU, Placement.CPU, Placement.CPU], load_target("coral-dev-board"), 4)
    assert found is not None
    assert "2 operators on the host's Cortex-A53" in found.basis


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_the_constants_are_possible(engine: Engine) -> None:
    assert 0 <= engine.parallel < 1
    assert 0 < engine.mac_ns <= engine.depthwise_ns
    assert 1.1 <= engine.factor <= 2


@pytest.fixture(scope="module")
def bench() -> Any:
    """The module that fits the constants, where the checkout has it."""
    if not (BENCHMARKS / "networks.py").is_file():
        pytest.skip("benchmarks/ is not beside this package")
    pytest.importorskip("scipy", reason="benchmarks/latency.py needs scipy")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        patch.delitem(sys.modules, "latency", raising=False)
        import latency

        yield latency


def test_the_networks_have_the_sizes_that_are_published(bench: Any) -> None:
    import networks

    from edgekit_targets.cost import macs

    for name, (multiplications, parameters) in networks.PUBLISHED_SIZES.items():
        ops = networks.operators(name)
        constants = sum(t.elements for o in ops for t in o.given if t.constant)
        assert sum(map(macs, ops)) == pytest.approx(multiplications, rel=0.06), name
        assert constants == pytest.approx(parameters, rel=0.05), name


def test_nine_in_ten_published_times_are_met_within_a_factor_of_two(bench: Any) -> None:
    engines = {engine.name: engine for engine in ENGINES}
    ratios = []
    for time in bench.published():
        if time.left_out is None and time.kernels != "builtin":  # edgekit's runtime has XNNPACK
            ratios.append(bench.product_ms(time, engines[time.engine]) / time.ms)
    met = [0.5 <= ratio <= 2 for ratio in ratios]
    assert len(met) >= 80
    assert sum(met) / len(met) >= 0.9


def test_the_constants_are_those_of_the_fit(bench: Any) -> None:
    times = [t for t in bench.published() if t.left_out is None]
    engines = {engine.name: engine for engine in ENGINES}
    for group in bench.GROUPS:
        fit = bench.Fit(group, [t for t in times if t.engine in group.clocks])
        for name in group.clocks:
            ours, theirs = engines[name], fit.engine(name)
            for key in bench.COSTS:
                assert getattr(ours, key) == pytest.approx(getattr(theirs, key), rel=0.05), (name, key)
            assert (ours.times, ours.networks) == (theirs.times, theirs.networks)
