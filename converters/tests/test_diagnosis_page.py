"""The page of `edgekit diagnose`: what it shows, and that nothing in a model can become markup or reach a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from diagnosis_nets import TWO_LAYERS, effects_of, samples, twins
from page_reader import HOSTILE, allowed_by_policy, seen_in

from edgekit_converters.calibration.histogram import Histogram
from edgekit_converters.diagnosis.channels import Channels
from edgekit_converters.diagnosis.findings import Facts, findings
from edgekit_converters.diagnosis.lone import LoneSample
from edgekit_converters.diagnosis.page import render
from edgekit_converters.diagnosis.page.plots import histogram
from edgekit_converters.diagnosis.record import INPUT, Diagnosis, Layer
from edgekit_converters.diagnosis.written import Saturation, Written


def diagnosis(name: str = "conv", model: str = "nets/two.tflite") -> Diagnosis:
    """Of two layers, the first much too coarse, with every kind of fact."""
    effects = effects_of(*twins(TWO_LAYERS, {"x": 1 / 60, "a": 1 / 4, "y": 1 / 60}), samples())
    channels = Channels(count=8, dead=(2,), coarse=(), per_tensor=False, spread=3.0, typical=40.0, macs=1000)
    layers = (
        Layer(0, None, INPUT, name, effects[0]),
        Layer(1, 0, "CONV_2D", name, effects[1], channels, LoneSample("a", 7, 2.5)),
        Layer(2, 1, "MUL", name, effects[2]),
    )
    facts = Facts(layers, effects[-1].upto, "fast", {row: f"{name} row {row}" for row in range(12)})
    return Diagnosis(
        model=model,
        kind="float .tflite",
        effort="fast",
        recipe="minmax",
        source=name,
        samples=12,
        looked_at=12,
        layers=layers,
        findings=findings(facts),
        notes=(f"a note on {name}",),
    )


def test_it_shows_every_layer_and_every_finding() -> None:
    found = diagnosis()
    assert [finding.rule for finding in found.findings] == [
        "large-share",
        "one-sample-range",
        "dead-channels",
    ]
    seen = seen_in(render(found))
    said = "".join(seen.said)
    for finding in found.findings:
        assert finding.title in said
        assert finding.reason in said
        assert finding.advice in said
    assert len(seen.named("figure")) == len(seen.named("tr")) - 1 == 3
    bars = [rect for rect in seen.named("rect") if rect.get("class") == "rounding"]
    assert len(bars) == 3
    assert f"{found.sqnr_db:.1f} dB" in said
    assert "a note on conv" in said


def test_it_loads_nothing_and_its_policy_allows_its_own_texts_only() -> None:
    allowed_by_policy(seen_in(render(diagnosis())))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_stay_text(hostile: str) -> None:
    plain = seen_in(render(diagnosis()))
    page = render(diagnosis(hostile, f"$x <b>&{hostile}"))
    seen = seen_in(page)
    assert [element for element, _ in seen.elements] == [element for element, _ in plain.elements]
    assert [set(a) for _, a in seen.elements] == [set(a) for _, a in plain.elements]
    assert seen.raw == plain.raw
    assert "\x00" not in page
    assert "\u202e" not in page


def test_the_same_diagnosis_gives_the_same_page() -> None:
    assert render(diagnosis()) == render(diagnosis())


def test_a_sound_network_has_a_page_without_findings() -> None:
    page = render(replace(diagnosis(), findings=()))
    assert "Worth a look" not in page
    assert "<article" not in page


def written(values: np.ndarray, scale: float = 1 / 16) -> Written:
    return Written(
        "t", scale, 0, 0.0, Saturation(0.0, 0.0), Histogram.of(np.asarray(values, np.float32)), 1.0
    )


def paths(drawn: str) -> list[str | None]:
    return [path["class"] for path in seen_in(drawn).named("path")]


def test_a_histogram_tells_what_is_cut_off() -> None:
    assert paths(histogram(written(np.linspace(-7, 7.9, 500)))) == ["inside"]
    assert paths(histogram(written(np.linspace(-7, 12, 500)))) == ["inside", "beyond"]
    assert paths(histogram(written(np.linspace(-12, 12, 500)))) == ["beyond", "inside", "beyond"]


def test_a_histogram_of_one_value_or_of_none_is_drawn() -> None:
    assert paths(histogram(written(np.zeros(3)))) == ["inside"]
    assert paths(histogram(written(np.zeros(0)))) == []
