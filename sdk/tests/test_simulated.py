from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends import find_backend
from edgekit.backends.choose import choose
from edgekit.backends.faults import FailAfter, FailEvery, Fault, SlowDown, Unplug
from edgekit.backends.simulated import SimulatedBackend, Simulation
from edgekit.backends.standin import standin_bundle, standin_model
from edgekit.bundle import read_unverified, write_bundle
from edgekit.errors import InvalidManifestError, SessionError, SimulatedFaultError
from edgekit.manifest import Preprocessing, TensorSpec
from edgekit.opening import load
from edgekit.trust import UNSIGNED

PHOTO = Preprocessing("image", "uint8", range=(0.0, 1.0), resize="bilinear", color="RGB")
CAMERA = TensorSpec("camera", (1, 8, 8, 3), "int8", 1 / 255, -128, "NHWC", PHOTO)
TOKENS = TensorSpec("tokens", (1, 5), "int32", 1.0, 0)
SCORES = TensorSpec("scores", (1, 3), "int8", 1 / 256, -128)
BOXES = TensorSpec("boxes", (1, 7, 4), "uint8", 0.1, 3)
PLACES = TensorSpec("places", (1, 2), "int64", 1.0, 0)
BLACK = np.zeros((8, 8, 3), np.uint8)
WHITE = np.full((8, 8, 3), 255, np.uint8)

pytestmark = pytest.mark.filterwarnings("ignore:this bundle runs unsigned")


class Clock:
    """Takes the place of time.sleep, and remembers."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def instant(**settings: Any) -> Simulation:
    return Simulation(sleep=Clock(), **settings)


def test_a_session_without_a_bundle_runs_like_any_other() -> None:
    with instant().session([CAMERA], [SCORES], labels=["cat", "dog", "bird"]) as model:
        first, again, other = model.run(BLACK), model.run(BLACK), model.run(WHITE)
    assert first.quantized["scores"].dtype == np.int8
    assert {label for label, _ in first.labels} == {"cat", "dog", "bird"}
    assert first.quantized["scores"].tolist() == again.quantized["scores"].tolist()
    assert first.quantized["scores"].tolist() != other.quantized["scores"].tolist()
    assert model.manifest.recipe == {"simulated": True}


def test_answers_depend_on_the_seed_and_on_nothing_else() -> None:
    def answer(seed: int) -> list[list[int]]:
        with instant(seed=seed).session([CAMERA], [SCORES, BOXES, PLACES]) as model:
            return [values.tolist() for values in model.run(WHITE).quantized.values()]

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)
    places = answer(1)[2]
    assert all(0 <= value <= 255 for row in places for value in row)


def test_a_bundle_runs_with_the_users_answers(bundle_file: Callable[..., Path], dense: Any) -> None:
    seen: list[np.ndarray[Any, Any]] = []

    def answers(inputs: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        seen.append(inputs["pixels"])
        return {"scores": np.array([1, 127, 2], np.int8)}

    path = bundle_file(dense, labels=("red", "green", "blue"))
    with load(path, trust=UNSIGNED, device=instant(answers=answers)) as model:  # type: ignore[arg-type]
        result = model.run(np.full((4, 4, 3), 255, np.uint8))
    assert result.labels[0] == ("green", pytest.approx(1.0))
    assert seen[0].tolist() == np.full((1, 4, 4, 3), 127).tolist()


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        (lambda inputs: {"scores": np.zeros((1, 4), np.int8)}, r"int8 of shape \(1, 3\).*shape \(1, 4\)"),
        (lambda inputs: {"scores": np.zeros((1, 3))}, "gave float64"),
        (lambda inputs: {"score": np.zeros((1, 3), np.int8)}, "outputs scores, and gave score"),
        (lambda inputs: np.zeros((1, 3), np.int8), "and gave ndarray"),
    ],
)
def test_answers_that_do_not_fit_the_model_are_named(answers: Any, complaint: str) -> None:
    with (
        instant(answers=answers).session([CAMERA], [SCORES]) as model,
        pytest.raises(SessionError, match=complaint),
    ):
        model.run(BLACK)


def test_latency_is_slept_and_jitter_repeats() -> None:
    simulation = instant(latency_ms=20, jitter_ms=5, seed=7)
    with simulation.session([CAMERA], [SCORES]) as model:
        for _ in range(50):
            model.run(BLACK)
    slept = simulation.sleep.slept  # type: ignore[attr-defined]
    assert slept == [simulation.run_latency_ms(run) / 1000 for run in range(1, 51)]
    assert slept == [
        Simulation(latency_ms=20, jitter_ms=5, seed=7).run_latency_ms(n) / 1000 for n in range(1, 51)
    ]
    assert 0.015 <= min(slept) < 0.017
    assert 0.023 < max(slept) <= 0.025


def test_latency_passes_for_real_unless_told_otherwise() -> None:
    with Simulation(latency_ms=30).session([CAMERA], [SCORES]) as model:
        assert model.run(BLACK).timing.invoke_ns >= 30e6


def test_jitter_never_makes_time_run_backwards() -> None:
    simulation = Simulation(latency_ms=1, jitter_ms=50)
    assert min(simulation.run_latency_ms(run) for run in range(200)) == 0


def outcomes(simulation: Simulation, runs: int) -> str:
    """One session's runs as letters: . worked, x failed."""
    said = ""
    with simulation.session([CAMERA], [SCORES]) as model:
        for _ in range(runs):
            try:
                model.run(BLACK)
                said += "."
            except SimulatedFaultError:
                said += "x"
    return said


def test_every_nth_run_fails() -> None:
    simulation = instant(faults=[FailEvery(3)])
    assert outcomes(simulation, 7) == "..x..x."
    assert outcomes(simulation, 3) == ".x."  # counted on, as it is the same device


def test_a_session_that_broke_is_cured_by_a_new_one() -> None:
    simulation = instant(faults=[FailAfter(2)])
    assert outcomes(simulation, 4) == "..xx"
    assert outcomes(simulation, 3) == "..x"


def test_an_unplugged_device_comes_back_after_so_many_attempts() -> None:
    simulation = instant(faults=[Unplug(after=2, opens=2)])
    before = simulation.session([CAMERA], [SCORES])
    assert outcomes(simulation, 4) == "..xx"
    for _ in range(2):
        with pytest.raises(SimulatedFaultError, match="not plugged in") as caught:
            simulation.session([CAMERA], [SCORES])
        assert caught.value.hint is not None
    assert outcomes(simulation, 4) == "...."
    with pytest.raises(SimulatedFaultError, match="unplugged while the session was open"):
        before.run(BLACK)


def test_a_device_may_never_come_back() -> None:
    simulation = instant(faults=[Unplug(after=0)])
    assert outcomes(simulation, 1) == "x"
    for _ in range(5):
        with pytest.raises(SimulatedFaultError):
            simulation.session([CAMERA], [SCORES])


def test_throttling_slows_some_runs() -> None:
    simulation = instant(
        latency_ms=10, faults=[SlowDown(after=2, factor=3, runs=2), SlowDown(after=3, factor=2)]
    )
    assert [simulation.run_latency_ms(run) for run in range(1, 7)] == [10, 10, 30, 60, 20, 20]


def test_a_fault_says_that_it_was_asked_for() -> None:
    model = instant(faults=[FailEvery(1)]).session([CAMERA], [SCORES])
    with pytest.raises(SimulatedFaultError, match="simulated fault: every run fails") as caught:
        model.run(BLACK)
    assert caught.value.hint == "it was asked for by Simulation(faults=...)"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Simulation(latency_ms=-1),
        lambda: Simulation(jitter_ms=float("nan")),
        lambda: FailEvery(0),
        lambda: FailAfter(-1),
        lambda: Unplug(after=0, opens=-1),
        lambda: SlowDown(after=0, factor=0.5),
        lambda: SlowDown(after=0, factor=2, runs=0),
        lambda: Simulation(latency_ms="4"),  # type: ignore[arg-type]
        lambda: Simulation(jitter_ms=float("inf")),
        lambda: Simulation(jitter_ms=10**400),
        lambda: Simulation(seed=1.5),  # type: ignore[arg-type]
        lambda: FailEvery(2.5),  # type: ignore[arg-type]
        lambda: FailEvery("3"),  # type: ignore[arg-type]
        lambda: FailAfter(True),
        lambda: Unplug(after=1.5),  # type: ignore[arg-type]
        lambda: Unplug(after=1, opens="2"),  # type: ignore[arg-type]
        lambda: SlowDown(after=0, factor="2"),  # type: ignore[arg-type]
        lambda: SlowDown(after=0, factor=float("inf")),
    ],
)
def test_numbers_that_make_no_sense_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(SessionError, match="must be") as caught:
        make()
    assert caught.value.hint is not None


@pytest.mark.parametrize("faults", [["unplug"], "unplug", ..., [...], FailEvery(3), [FailEvery], None])
def test_what_is_no_fault_is_refused(faults: Any) -> None:
    with pytest.raises(SessionError, match="fault") as caught:
        Simulation(faults=faults)
    assert "faults=[" in str(caught.value.hint)


def test_one_run_and_several_are_said_as_they_are() -> None:
    def complaint(fault: Fault, runs: int) -> str:
        with instant(faults=[fault]).session([CAMERA], [SCORES]) as model:
            for _ in range(runs - 1):
                model.run(BLACK)
            with pytest.raises(SimulatedFaultError) as caught:
                model.run(BLACK)
        return str(caught.value)

    assert complaint(Unplug(after=1), 2).endswith("unplugged after 1 run")
    assert complaint(Unplug(after=2), 3).endswith("unplugged after 2 runs")
    assert "works for 1 run," in complaint(FailAfter(1), 2)
    assert "one run in 3 fails, and this is run 3" in complaint(FailEvery(3), 3)


def test_the_choice_of_a_simulation_needs_no_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    simulation = instant()
    bundle = standin_bundle([CAMERA], [SCORES], None)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    choice = choose(
        simulation, variants=bundle.members, runtime={}, targets=("raspberry-pi-4",), fallback=False
    )
    assert (choice.device, choice.variant, choice.fallback) == ("simulated", "model.tflite", None)
    assert isinstance(choice.backend, SimulatedBackend)


def test_a_stand_in_is_a_sound_bundle_and_a_sound_model() -> None:
    specs = ([CAMERA, TOKENS], [SCORES, replace(BOXES, name="bóxes"), PLACES])
    bundle = standin_bundle(*specs, ["a", "b", "c"])
    assert read_unverified(write_bundle(bundle.members)).manifest.inputs == (CAMERA, TOKENS)
    real, ours = find_backend(), SimulatedBackend(Simulation())
    model = standin_model(*specs)
    assert real.open(model).inputs == ours.open(model).inputs
    assert real.open(model).outputs == ours.open(model).outputs


def test_a_stand_in_refuses_what_no_manifest_may_hold() -> None:
    with pytest.raises(InvalidManifestError, match="inputs must not repeat a name"):
        Simulation().session([CAMERA, CAMERA], [SCORES])


def test_details_of_a_real_model_are_those_that_litert_gives(dense: Any, pair: Any, tokens: Any) -> None:
    for built in (dense, pair, tokens):
        simulated, real = SimulatedBackend(Simulation()).open(built.model), find_backend().open(built.model)
        assert simulated.inputs == real.inputs
        assert simulated.outputs == real.outputs
