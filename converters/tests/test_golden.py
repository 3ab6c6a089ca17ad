"""Golden inputs: drawn as the calibration set was distributed, and answered by every kernel set."""

from __future__ import annotations

import numpy as np
import pytest
from tflite_models import activation, dense, net

from edgekit.bundle import DEFAULT_LIMITS
from edgekit.errors import EdgekitError, SessionError
from edgekit_converters.golden import TOLERANCE_STEPS, draw_inputs, golden_arrays, probe, require_room
from edgekit_converters.reference import reference_histograms
from edgekit_converters.runner import PortNames, Runner, TensorIO, runtime_name


def tensor(name: str, *shape: int, dtype: str = "int8") -> TensorIO:
    return TensorIO(0, name, shape, dtype, 0.1, 0)


def histogram(**counts: int) -> np.ndarray:
    bins = np.zeros(256, np.int64)
    for place, count in counts.items():
        bins[int(place[1:])] = count
    return bins


def test_drawn_values_are_those_of_the_histogram_in_its_shares() -> None:
    spec = tensor("x", 1, 50, 20)
    drawn = draw_inputs({"input.0": histogram(b0=3, b128=6, b255=1)}, [spec], 4)["x"]
    assert drawn.shape == (4, 50, 20)
    assert drawn.dtype == np.int8
    shares = {value: float((drawn == value).mean()) for value in np.unique(drawn)}
    assert shares == {
        -128: pytest.approx(0.3, abs=0.03),
        0: pytest.approx(0.6, abs=0.03),
        127: pytest.approx(0.1, abs=0.03),
    }


def test_uint8_inputs_count_from_zero() -> None:
    drawn = draw_inputs({"input.0": histogram(b7=1)}, [tensor("x", 1, 3, dtype="uint8")], 2)["x"]
    assert drawn.dtype == np.uint8
    assert drawn.tolist() == [[7, 7, 7]] * 2


def test_drawing_is_the_same_every_time_and_differs_between_inputs() -> None:
    flat = np.ones(256, np.int64)
    histograms = {"input.0": flat, "input.1": flat}
    inputs = [tensor("a", 1, 9), tensor("b", 1, 9)]
    drawn, again = (draw_inputs(histograms, inputs, 3) for _ in range(2))
    assert all(np.array_equal(drawn[name], again[name]) for name in "ab")
    assert not np.array_equal(drawn["a"], drawn["b"])
    # The very numbers, so that a change of numpy's generator does not pass unseen.
    assert drawn["a"][0].tolist() == [117, 118, -96, -40, 19, 62, 75, -21, 61]


def test_every_kernel_set_answers_every_golden_input() -> None:
    model = dense().build()
    fed = np.random.default_rng(0).integers(-128, 128, (3, 16), np.int8)
    arrays = golden_arrays(model, {"x": fed})
    names = {f"output.0.{runtime_name()}.{kernels}" for kernels in TOLERANCE_STEPS}
    assert arrays.keys() == {"input.0", *names}
    assert np.array_equal(arrays["input.0"], fed)
    runner = Runner(model)
    for name in names:
        assert arrays[name].shape == (3, 4)
    expected = [runner.run({"x": row[None]})["y"][0] for row in fed]
    assert np.array_equal(arrays[f"output.0.{runtime_name()}.xnnpack"], expected)


def test_names_of_a_signature_stand_for_those_of_the_tensors() -> None:
    model, names = dense().build(), PortNames(("photo",), ("scores",))
    fed = np.random.default_rng(0).integers(-128, 128, (2, 16), np.int8)
    arrays, plain = golden_arrays(model, {"photo": fed}, names), golden_arrays(model, {"x": fed})
    assert all(np.array_equal(arrays[key], plain[key]) for key in plain)
    histograms = reference_histograms(model, [{"photo": np.ones((1, 16), np.float32)}], names)
    assert histograms["input.0"].sum() == 16
    assert histograms["output.0"].sum() == 4


def test_histograms_count_every_value_where_it_belongs() -> None:
    model = net(
        "LOGISTIC",
        {"x": activation(1, 8, scale=0.5, zero_point=-3)},
        {"y": activation(1, 8, scale=1 / 256, zero_point=-128)},
    ).build()
    samples = [{"x": np.float32([[0, 0, 0.5, -100, 100, 1, 1, 1]])}] * 2
    steps: list[int] = []
    counts = reference_histograms(model, samples, progress=steps.append)
    assert steps == [1, 1]
    places = {int(place) - 128: int(counts["input.0"][place]) for place in np.flatnonzero(counts["input.0"])}
    assert places == {-3: 4, -2: 2, -1: 6, -128: 2, 127: 2}
    assert counts["output.0"].sum() == 16


def test_more_golden_inputs_than_a_bundle_holds_are_refused_with_the_number_that_fits() -> None:
    image, masks = (1, 1024, 1024, 3), (1, 1024, 1024, 2)
    each = 1024 * 1024 * (3 + 2 * len(TOLERANCE_STEPS))
    most = DEFAULT_LIMITS.arrays // each
    require_room(most, [image], [masks])
    with pytest.raises(EdgekitError, match=f"--golden {most + 1}") as caught:
        require_room(most + 1, [image], [masks])
    assert caught.value.hint == f"say --golden {most}"
    with pytest.raises(EdgekitError, match="room for 0"):
        require_room(1, [(1, 8192, 8192, 3)], [(1, 2)])


def test_probe_passes_what_runs_and_refuses_what_does_not() -> None:
    probe(dense().build())
    with pytest.raises(SessionError):
        probe(net("RESHAPE", {"x": activation(1, 8)}, {"y": activation(1, 9)}).build())
