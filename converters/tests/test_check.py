"""`check`: which model is looked at, what is refused, and that TensorFlow stays out of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from check_models import bundled, chain, float_edges, float_model, saved
from tflite_models import activation, conv, net

from edgekit.errors import (
    EdgekitError,
    ForecastContractError,
    MalformedBundleError,
    MalformedModelError,
    UnknownModelError,
    UnknownTargetError,
    UnsupportedModelError,
)
from edgekit.strictjson import dump, parse
from edgekit_converters.check import CheckRequest, check, hold_strict
from edgekit_converters.sources import SourceOptions, load_float
from edgekit_converters.worker import Worker
from edgekit_targets.forecast import Placement
from edgekit_targets.memory import Planner, plan_arena
from edgekit_targets.tflite import read_graph

CORAL = "coral-usb-accelerator"
PI = "raspberry-pi-4"


def checked(model: Path, target: str = CORAL, **words: object):
    return check(CheckRequest(model=model, target=target, **words))  # type: ignore[arg-type]


def test_a_quantized_model_is_checked_as_it_is(tmp_path: Path) -> None:
    found = checked(saved(tmp_path, chain("RELU", "LOGISTIC", "HARD_SWISH")))
    assert [op.opcode for op in found.forecast.ops] == ["RELU", "LOGISTIC", "HARD_SWISH"]
    assert [op.index for op in found.forecast.ops] == [0, 1, 2]
    assert [op.placement for op in found.forecast.ops] == ["TPU", "TPU", "CPU"]
    assert found.subject.kind == "quantized .tflite"
    assert not found.subject.assumed_ranges
    assert not found.forecast.assumed_ranges


def test_uint8_with_float_edges_is_quantized(tmp_path: Path) -> None:
    found = checked(saved(tmp_path, float_edges()))
    assert [op.placement for op in found.forecast.ops] == ["CPU", "TPU", "CPU"]
    assert not found.subject.assumed_ranges


def test_a_bundle_is_unverified_and_its_own_model_is_checked(tmp_path: Path) -> None:
    model = chain("RELU", "LOGISTIC")
    found = checked(bundled(tmp_path, model))
    assert found.subject.unverified
    assert "UNVERIFIED" in found.subject.kind
    assert found.forecast.ops == checked(saved(tmp_path, model)).forecast.ops


def test_a_float_model_as_it_is_maps_nothing(tmp_path: Path) -> None:
    found = checked(saved(tmp_path, float_model()), as_is=True)
    assert [op.opcode for op in found.forecast.ops] == ["RELU", "TANH"]
    assert {op.placement for op in found.forecast.ops} == {Placement.CPU}
    assert not found.subject.assumed_ranges
    assert found.forecast.partitions == 0


def test_layers_come_back_from_tensor_names(tmp_path: Path) -> None:
    (op,) = checked(saved(tmp_path, chain("HARD_SWISH"))).remarkable()
    assert op.name == "block/hard_swish_0"


def test_without_an_accelerator_only_what_a_rule_objects_to_is_remarkable(tmp_path: Path) -> None:
    found = checked(saved(tmp_path, chain("RELU", "LOGISTIC")), target=PI)
    assert found.accelerator is None
    assert {op.placement for op in found.forecast.ops} == {Placement.CPU}
    assert [op.opcode for op in found.remarkable()] == ["RELU"]  # XNNPACK has a LOGISTIC and no RELU


def test_the_summary_has_what_the_parts_say(tmp_path: Path) -> None:
    found = checked(saved(tmp_path, chain("RELU", "HARD_SWISH")))
    summary = found.to_json()["summary"]
    assert isinstance(summary, dict)
    assert summary["operators"] == {"CPU": 1, "TPU": 1}
    assert summary["arena_bytes"] == plan_arena(found.subject.graph).bytes > 0
    assert [timing["threads"] for timing in summary["latency"]] == [t.threads for t in found.timings]


def test_a_microcontroller_has_its_own_arena(tmp_path: Path) -> None:
    path = saved(tmp_path, chain("RELU", "LOGISTIC"))
    micro = checked(path, "cortex-m7")
    assert micro.arena_bytes == plan_arena(micro.subject.graph, Planner.MICRO).bytes
    assert micro.arena_bytes < checked(path, PI).arena_bytes


def test_the_forecast_fits_into_a_bundle(tmp_path: Path) -> None:
    record = checked(saved(tmp_path, chain("RELU", "HARD_SWISH"))).forecast.to_json()
    assert dump(parse(dump(record), "forecast.json")) == dump(record)


def test_strict_holds_where_everything_is_mapped(tmp_path: Path) -> None:
    hold_strict(checked(saved(tmp_path, chain("RELU", "LOGISTIC"))))


@pytest.mark.parametrize(
    ("opcodes", "target", "message"),
    [
        (("RELU", "HARD_SWISH"), CORAL, "of 2 operators 1 on the CPU"),
        (("RELU", "LOGISTIC"), PI, "of 2 operators 2 on the CPU"),
    ],
)
def test_strict_breaks(tmp_path: Path, opcodes: tuple[str, ...], target: str, message: str) -> None:
    found = checked(saved(tmp_path, chain(*opcodes)), target)
    with pytest.raises(ForecastContractError, match=message) as caught:
        hold_strict(found)
    assert caught.value.exit_code == 3
    assert caught.value.hint


COMPILED = net(
    "CUSTOM",
    {"x": activation(1, 8)},
    {"y": activation(1, 8)},
    custom_code="edgetpu-custom-op",
    custom_options=b"\1",
)


@pytest.mark.parametrize(
    ("content", "name", "kind", "message"),
    [
        (None, "none.tflite", UnknownModelError, "no such file"),
        (None, "none.edgekit", UnknownModelError, "no such file"),
        (b"", "empty.tflite", UnknownModelError, "is empty"),
        (b"garbage of no kind", "cats.tflite", UnknownModelError, "not a model of a known kind"),
        (b"\x1c\0\0\0TFL3" + b"\xff" * 40, "cats.tflite", MalformedModelError, "cats|model|flatbuffer"),
        (b"PK\3\4broken", "cats.edgekit", MalformedBundleError, "truncated"),
        (b"", "cats.edgekit", MalformedBundleError, "empty"),
        (COMPILED.build(), "cats.tflite", UnknownModelError, "already compiled"),
    ],
)
def test_bad_files(
    tmp_path: Path, content: bytes | None, name: str, kind: type[EdgekitError], message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind, match=message) as caught:
        checked(path)
    assert caught.value.hint or kind in (MalformedModelError, MalformedBundleError)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnknownModelError, match="not a regular file"):
        checked(tmp_path / "pipe")


def test_a_path_that_no_system_has(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError):
        checked(Path("cats\0.tflite"))


def test_an_unknown_target_comes_before_the_model(tmp_path: Path) -> None:
    with pytest.raises(UnknownTargetError) as caught:
        checked(tmp_path / "none.tflite", target="corral-usb-accelerator")
    assert CORAL in (caught.value.hint or "")


@pytest.mark.parametrize(
    "options",
    [
        SourceOptions(outputs=("y",)),
        SourceOptions(input_shapes={"x": (1, 8)}),
        SourceOptions(signature="serving_default"),
        SourceOptions(custom_objects="mine.py"),
    ],
)
def test_words_that_would_be_skipped_are_refused(tmp_path: Path, options: SourceOptions) -> None:
    for path in (saved(tmp_path, chain("RELU")), bundled(tmp_path, chain("RELU"))):
        with pytest.raises(UnsupportedModelError, match="checked as it is"):
            checked(path, options=options)


def test_as_is_needs_a_tflite(tmp_path: Path) -> None:
    (tmp_path / "cats.keras").write_bytes(b"PK\5\6" + bytes(18))
    with pytest.raises(UnsupportedModelError, match="--as-is"):
        checked(tmp_path / "cats.keras", as_is=True)


def test_no_tensorflow_and_no_numpy_for_a_tflite(tmp_path: Path) -> None:
    path = saved(tmp_path, chain("RELU", "HARD_SWISH"))
    code = (
        "import sys; from pathlib import Path; from edgekit_converters.commands.check import check;"
        f"check.main([{str(path)!r}, '--target', '{CORAL}', '--html', {str(tmp_path / 'o.html')!r}],"
        " standalone_mode=False);"
        "print(sorted({'tensorflow', 'keras', 'numpy', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_keras_model_is_quantized_in_memory(made_by: Callable[[str], Path]) -> None:
    folder = made_by("source_models")
    before = sorted(folder.iterdir())
    said: list[str] = []
    from edgekit_converters.progress import Progress

    found = check(CheckRequest(model=folder / "two.keras", target=CORAL), Progress(status=said.append))
    assert found.subject.assumed_ranges
    assert found.forecast.assumed_ranges
    assert found.to_json()["assumed_ranges"] is True
    assert any("placeholder ranges" in note for note in found.subject.notes)
    assert any("placeholder" in line for line in said)
    main = found.subject.graph.main
    assert {main.tensors[number].type for number in (*main.inputs, *main.outputs)} == {"INT8"}
    assert all("FLOAT" not in tensor.dtype for op in found.ops for tensor in op.tensors)
    assert sorted(folder.iterdir()) == before


def test_placeholder_ranges_give_the_operators_that_observed_ranges_give(
    made_by: Callable[[str], Path], worker: Worker
) -> None:
    from edgekit_converters.calibration.observe import observe
    from edgekit_converters.quantize.engine import Quantizer, quantize, write_ranges

    path = made_by("source_models") / "two.keras"
    model = load_float(path, SourceOptions(), worker)
    generator = np.random.default_rng(3)
    samples = [
        {spec.name: generator.normal(size=spec.shape).astype(np.float32) for spec in model.inputs}
        for _ in range(8)
    ]
    ranges = observe(model.flatbuffer, samples, means_of=frozenset(), threads=1).minmax()
    observed = worker.call("quantize", quantize, write_ranges(model.flatbuffer, ranges), Quantizer())

    def signature(data: bytes | memoryview) -> list[object]:
        main = read_graph(data).main
        return [
            (op.opcode, op.version, [(main.tensors[t].shape, main.tensors[t].type) for t in op.outputs])
            for op in main.operators
        ]

    assert signature(checked(path).subject.graph.data) == signature(observed)


def test_options_reach_the_source(made_by: Callable[[str], Path]) -> None:
    path = made_by("source_models") / "two.keras"
    found = checked(path, options=SourceOptions(outputs=("pooled",)))
    assert len(found.subject.graph.main.outputs) == 1
    assert "FULLY_CONNECTED" not in {op.opcode for op in found.ops}


@pytest.mark.skipif(
    not Path(sys.executable).with_name("vela").exists(), reason="Vela (the extra ethos-u) is not installed"
)
def test_vela_is_asked_where_it_is_installed(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(conv().build())
    found = check(CheckRequest(model=path, target="ethos-u55-128"))
    assert any("ethos-u-vela" in note and "itself says" in note for note in found.subject.notes)
    assert [op.placement for op in found.forecast.ops] == [Placement.NPU]
    assert found.forecast.rules == "ethos-u"


def test_without_vela_the_rules_forecast_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "m.tflite"
    path.write_bytes(conv().build())
    found = check(CheckRequest(model=path, target="ethos-u55-128"))
    assert any("forecast by rules, not by Vela" in note for note in found.subject.notes)
