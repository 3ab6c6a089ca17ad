"""16-bit activations in a few operators: right on every set of kernels, few, audited by name, and never unasked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firewall_models import sound_models
from tflite_models import Net, Op, T, edit, shape_constant

import edgekit
from edgekit.backends import Kernels
from edgekit.bundle import MODEL, read_unverified
from edgekit.errors import EdgekitError, NotInt8Error
from edgekit.trust import UnsignedBundleWarning
from edgekit_converters.audit import Audit, audit, require_int8
from edgekit_converters.calibration.observe import observe
from edgekit_converters.conversion import run
from edgekit_converters.inspection import inspect_file
from edgekit_converters.quantize.candidates import Base, Choice, Inputs
from edgekit_converters.quantize.engine import Quantizer, quantize, write_ranges
from edgekit_converters.quantize.int16 import SUFFIX, convertible, wide_scale, widen
from edgekit_converters.quantize.int16_choice import with_int16
from edgekit_converters.quantize.int16_search import MOST_MACS_SHARE, MOST_OPERATORS, units
from edgekit_converters.quantize.recipe import Recipe
from edgekit_converters.quantize.reconstruct import Method, reconstruct
from edgekit_converters.quantize.search import Budget, repeat, search
from edgekit_converters.quantize.ties import tie_ranges
from edgekit_converters.request import Request
from edgekit_converters.runner import Runner
from edgekit_converters.worker import Worker
from edgekit_targets.tflite import read_graph
from edgekit_targets.tflite.firewall import check_model
from edgekit_targets.tflite.wide import WIDE_OPERATORS

SOUND = sound_models()
KERNELS: tuple[Kernels, ...] = ("xnnpack", "builtin", "reference")
CHANNELS = 4
READINGS = 32


def answers(
    model: bytes, inputs: Sequence[Mapping[str, np.ndarray]], kernels: Kernels = "xnnpack"
) -> np.ndarray:
    """float32 [samples, values]: what the model answers to real inputs."""
    runner = Runner(model, kernels=kernels)
    return np.stack(
        [np.concatenate([v.ravel() for v in runner.run_real(sample).values()]) for sample in inputs]
    )


def sqnr_db(exact: np.ndarray, rough: np.ndarray) -> float:
    return float(10 * np.log10(np.square(exact).sum() / np.square(exact - rough).sum()))


@pytest.mark.parametrize("opcode", sorted(WIDE_OPERATORS - {"QUANTIZE"}))
def test_each_operator_computes_in_16_bits_what_it_computes_in_8(opcode: str) -> None:
    int8 = SOUND[opcode].build()
    graph = read_graph(int8)
    widened = widen(int8, convertible(graph))
    check_model(widened.model)
    assert audit(widened.model, int16=widened.tensors).errors == audit(int8).errors
    generator, least = np.random.default_rng(0), 4 if opcode in ("RSQRT", "SQRT") else -128  # 3 stands for 0
    samples = [
        {
            spec.name: spec.real(generator.integers(least, 128, spec.shape, np.int8))
            for spec in Runner(int8).inputs
        }
        for _ in range(10)
    ]
    step = max(read_graph(int8).main.tensors[n].quantization.scale[0] for n in graph.main.outputs)  # type: ignore[union-attr]
    expected = answers(int8, samples)
    found = [answers(widened.model, samples, kernels) for kernels in KERNELS]
    assert np.abs(found[0] - expected).max() <= 1.01 * step
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_scales_are_those_that_kernels_have_built_in() -> None:
    assert wide_scale(1 / 256, -128) == 1 / 32768
    assert wide_scale(1 / 128, 0) == 1 / 32768
    assert wide_scale(0.5, 3) == pytest.approx(0.5 * 131 / 32768)


def energy() -> Net:
    """A float network whose inside spans decades: the energy of four bands, its root, and two mixtures of them."""
    mixing = np.array([[1.0, -0.5, 0.25, 0.3], [-0.4, 0.8, 0.6, -0.2]], np.float32)
    tensors = {
        "x": T((1, READINGS, CHANNELS), "FLOAT32"),
        "squared": T((1, READINGS, CHANNELS), "FLOAT32"),
        "axis": shape_constant(1),
        "energy": T((1, CHANNELS), "FLOAT32"),
        "root": T((1, CHANNELS), "FLOAT32"),
        "weights": T((2, CHANNELS), "FLOAT32", data=mixing),
        "bias": T((2,), "FLOAT32", data=[0.1, -0.2]),
        "y": T((1, 2), "FLOAT32"),
    }
    ops = (
        Op("MUL", ("x", "x"), ("squared",), "MulOptions"),
        Op("MEAN", ("squared", "axis"), ("energy",), "ReducerOptions"),
        Op("SQRT", ("energy",), ("root",)),
        Op("FULLY_CONNECTED", ("root", "weights", "bias"), ("y",), "FullyConnectedOptions"),
    )
    return Net(tensors, ops, ("x",), ("y",))


def loudness(count: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Noise whose loudness differs from band to band and from sample to sample, up to a hundredfold."""
    generator = np.random.default_rng(seed)
    loud = 10 ** generator.uniform(-1.5, 0.5, (count, 1, CHANNELS))
    readings = (generator.uniform(-1, 1, (count, READINGS, CHANNELS)) * loud).astype(np.float32)
    return [{"x": sample[None]} for sample in readings]


@dataclass(frozen=True)
class Case:
    """The int8 model that would be kept, and the samples that it was found by."""

    plain: bytes
    choice: Choice
    fitting: Sequence[Inputs]

    def with_int16(self, asked: bool) -> Choice:
        return with_int16(self.choice, self.fitting, asked=asked, threads=1)


def case(worker: Worker, inputs: Sequence[Mapping[str, np.ndarray]]) -> Case:
    float_model = energy().build()
    ranges = tie_ranges(float_model, observe(float_model, inputs).minmax())
    plain = worker.call("quantize", quantize, write_ranges(float_model, ranges), Quantizer())
    base = Base(Recipe(), float_model, plain)
    return Case(plain, search([base], inputs, Budget(None, 0.0), lambda _: None, threads=1), inputs)


@pytest.fixture(scope="module")
def loud(worker: Worker) -> Case:
    return case(worker, loudness(100, seed=1))


@pytest.fixture(scope="module")
def mixed(loud: Case) -> Choice:
    return loud.with_int16(asked=True)


@pytest.fixture(scope="module")
def verdict(mixed: Choice) -> Audit:
    return audit(mixed.model, int16=mixed.recipe.int16)


def test_unasked_it_stays_int8_and_says_what_16_bits_would_bring(loud: Case) -> None:
    unasked = loud.with_int16(asked=False)
    assert unasked.model == loud.choice.model
    assert unasked.recipe.int16 == ()
    assert audit(unasked.model).strictly_int8
    assert "--allow-int16 would raise the output SQNR by" in unasked.proposal


def test_asked_it_takes_most_of_the_error_from_new_samples(loud: Case, mixed: Choice, verdict: Audit) -> None:
    new = [{"x": 0.8 * sample["x"]} for sample in loudness(100, seed=2)]  # within the calibrated range
    exact = answers(energy().build(), new)
    gain = sqnr_db(exact, answers(mixed.model, new)) - sqnr_db(exact, answers(loud.choice.model, new))
    assert gain > 6
    every = [answers(mixed.model, new[:20], kernels) for kernels in KERNELS]
    step = verdict.outputs[0].quantization.scale[0]  # type: ignore[union-attr]
    assert max(np.abs(every[0] - other).max() for other in every) <= 1.01 * step


def test_the_same_samples_give_the_same_model(loud: Case, mixed: Choice) -> None:
    assert loud.with_int16(asked=True) == mixed
    again = widen(loud.plain, mixed.recipe.int16_operators)
    assert again.tensors == set(mixed.recipe.int16)
    assert ("bias" in mixed.recipe.corrections) == (again.model != mixed.model)


def test_what_has_16_bits_is_named_and_nothing_else_has(mixed: Choice, verdict: Audit) -> None:
    wide = {tensor.name for tensor in verdict.tensors if tensor.type in ("INT16", "INT64")}
    assert wide
    assert wide == set(mixed.recipe.int16)
    assert not {tensor.type for tensor in verdict.tensors} & {"FLOAT32", "FLOAT16"}
    assert [tensor.type for tensor in (*verdict.inputs, *verdict.outputs)] == ["INT8", "INT8"]
    require_int8(verdict)
    assert not verdict.strictly_int8
    (sentence,) = verdict.exceptions
    assert sentence.startswith("16-bit activations in ")
    assert "SQRT" in sentence


def test_biases_beside_16_bits_are_corrected_as_the_others_are(loud: Case) -> None:
    """With an error put into the bias of the float model's twin on purpose."""
    made = widen(loud.plain, convertible(read_graph(loud.plain)))
    bias = next(t for t in read_graph(made.model).main.tensors if t.type == "INT64")
    spoilt = edit(made.model, lambda m: _shift(m, bias.index, 0.5 / bias.quantization.scale[0]))  # type: ignore[union-attr]
    port = Runner(loud.plain).inputs[0]
    pairs = [(sample, {port.name: port.store(sample["x"])}) for sample in loud.fitting]
    mended = reconstruct(energy().build(), spoilt, pairs, Method(), threads=1)
    inputs = loudness(100, seed=1)
    exact = answers(energy().build(), inputs)
    assert sqnr_db(exact, answers(mended, inputs)) > sqnr_db(exact, answers(spoilt, inputs)) + 6


def _shift(model: Any, tensor: int, by: float) -> None:
    buffer = model.buffers[model.subgraphs[0].tensors[tensor].buffer]
    moved = np.frombuffer(bytes(buffer.data), "<i8") + round(by)
    buffer.data = np.frombuffer(moved.astype("<i8").tobytes(), np.uint8)


@pytest.fixture(scope="module")
def wide(loud: Case) -> tuple[bytes, frozenset[str]]:
    """A model all in 16 bits but for its ends, and what may have them."""
    made = widen(loud.plain, convertible(read_graph(loud.plain)))
    return made.model, made.tensors


def test_the_audit_refuses_each_tensor_that_is_not_listed(wide: tuple[bytes, frozenset[str]]) -> None:
    model, names = wide
    require_int8(audit(model, int16=names))
    assert len(names) > 3
    for name in names:
        with pytest.raises(NotInt8Error):
            require_int8(audit(model, int16=names - {name}))
    with pytest.raises(NotInt8Error):
        require_int8(audit(model))


def scheme(model: bytes, change: Callable[[object], object], names: frozenset[str]) -> Audit:
    return audit(edit(model, change), int16=names)


def test_the_audit_refuses_listed_tensors_of_another_scheme(wide: tuple[bytes, frozenset[str]]) -> None:
    model, names = wide
    main = read_graph(model).main
    root = next(t.index for t in main.tensors if t.type == "INT16" and "root" in t.name)
    bias = next(t.index for t in main.tensors if t.type == "INT64")

    def put(index: int, **fields: object) -> Callable[..., object]:
        return lambda m: [
            setattr(m.subgraphs[0].tensors[index].quantization, k, v) for k, v in fields.items()
        ]

    def rules(change: Callable[..., object]) -> set[str]:
        return {f.rule for f in scheme(model, change, names).errors}

    assert "wide-scheme" in rules(put(root, zeroPoint=[3]))
    assert "wide-scheme" in rules(put(root, scale=[0.0]))
    assert "wide-scheme" in rules(put(bias, scale=[0.5, 0.5]))
    assert "float-operator" in rules(lambda m: setattr(m.subgraphs[0].tensors[root], "type", 0))


def test_units_hang_together_and_are_within_the_limits(loud: Case) -> None:
    graph = read_graph(loud.plain)
    found = units(graph)
    assert found
    assert all(1 < len(unit) <= MOST_OPERATORS for unit in found)
    assert set().union(*found) <= convertible(graph)
    assert MOST_MACS_SHARE <= 0.1


def test_where_8_bits_do_there_are_no_others(worker: Worker) -> None:
    """Even values in, so that no part of the inside is small beside another."""
    generator = np.random.default_rng(3)
    even = [
        {"x": generator.choice([-1.0, 1.0], (1, READINGS, CHANNELS)).astype(np.float32)} for _ in range(100)
    ]
    found = case(worker, even)
    asked = found.with_int16(asked=True)
    assert asked.model == found.choice.model
    assert asked.recipe.int16 == ()
    assert asked.proposal.startswith("--allow-int16: no few layers bring")


def test_few_samples_choose_nothing(worker: Worker) -> None:
    found = case(worker, loudness(40, seed=1))
    asked = found.with_int16(asked=True)
    assert asked.model == found.choice.model
    assert "needs 80 calibration samples" in asked.proposal
    assert found.with_int16(asked=False) == found.choice


def test_a_bundle_names_the_exception_and_runs(tmp_path: Path) -> None:
    (tmp_path / "energy.tflite").write_bytes(energy().build())
    np.save(tmp_path / "calibration.npy", np.concatenate([s["x"] for s in loudness(100, seed=1)]))
    request = Request(
        model=tmp_path / "energy.tflite",
        target="raspberry-pi-4",
        calibration=str(tmp_path / "calibration.npy"),
        output=tmp_path / "energy.edgekit",
        preprocessed=True,
        allow_int16=True,
    )
    conversion = run(request)
    bundle = read_unverified(conversion.bundle)
    assert bundle.manifest.runtime[MODEL] == {"tensorflow-lite": "2.21.0"}
    assert [text for text in bundle.manifest.exceptions if "SQRT" in text]
    shown = inspect_file("energy.edgekit", conversion.bundle).models[0].audit
    assert not shown.errors
    assert shown.exceptions == bundle.manifest.exceptions
    sample = loudness(1, seed=5)[0]["x"]
    with (
        pytest.warns(UnsignedBundleWarning),
        edgekit.load(tmp_path / "energy.edgekit", trust=edgekit.UNSIGNED) as model,
    ):
        got = np.asarray(next(iter(model.run(sample[0]).outputs.values()))).ravel()
    assert got == pytest.approx(answers(bytes(bundle.members[MODEL]), [{"x": sample}])[0])


@pytest.mark.parametrize("target", ["coral-usb-accelerator", "ethos-u55-128", "cortex-m7", "linux-armhf"])
def test_devices_without_such_kernels_refuse_the_word(target: str, tmp_path: Path) -> None:
    (tmp_path / "energy.tflite").write_bytes(energy().build())
    request = Request(
        model=tmp_path / "energy.tflite", target=target, calibration="none.npy", allow_int16=True
    )
    with pytest.raises(EdgekitError, match="--allow-int16") as caught:
        run(request)
    assert caught.value.hint
    assert caught.value.hint.startswith("leave --allow-int16 out")


def test_names_tell_the_8_bit_tensor(wide: tuple[bytes, frozenset[str]]) -> None:
    model, _ = wide
    names = {tensor.name for tensor in read_graph(model).main.tensors}
    beside = {name for name in names if name.endswith(SUFFIX)}
    assert beside
    assert {name.removesuffix(SUFFIX) for name in beside} <= names


def test_a_recipe_repeats_a_mixed_model(loud: Case, mixed: Choice) -> None:
    assert loud.choice.base is not None
    again = repeat(loud.choice.base, mixed.recipe, loud.fitting, threads=1)
    assert again.model == mixed.model
    assert again.recipe.int16 == mixed.recipe.int16


def test_a_recipe_that_widens_what_cannot_be_is_refused(loud: Case) -> None:
    assert loud.choice.base is not None
    with pytest.raises(EdgekitError, match="operator 9999 of this model") as caught:
        repeat(loud.choice.base, Recipe(int16_operators=(9999,)), loud.fitting, threads=1)
    assert caught.value.hint


@pytest.mark.parametrize("target", ["coral-usb-accelerator", "cortex-m7", "linux-armhf"])
def test_a_recipe_is_no_way_around_the_device(target: str, tmp_path: Path) -> None:
    (tmp_path / "energy.tflite").write_bytes(energy().build())
    recipe = {"int16_operators": [1, 2]}
    request = Request(model=tmp_path / "energy.tflite", target=target, calibration="none.npy", recipe=recipe)
    with pytest.raises(EdgekitError, match="--recipe with int16_operators") as caught:
        run(request)
    assert caught.value.hint
