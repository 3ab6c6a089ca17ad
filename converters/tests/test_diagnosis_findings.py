"""From figures to advice: which finding follows from which figure, and from which none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tflite_models import Net, Op, T

from edgekit_converters.calibration.histogram import Histogram
from edgekit_converters.diagnosis.ablation import Effect
from edgekit_converters.diagnosis.channels import Channels, look_at_channels
from edgekit_converters.diagnosis.findings import Facts, findings, verdict
from edgekit_converters.diagnosis.local import Local
from edgekit_converters.diagnosis.lone import LoneSample
from edgekit_converters.diagnosis.record import INPUT, Layer
from edgekit_converters.diagnosis.written import Saturation, Written
from edgekit_targets.tflite import read_graph

ROUNDING = Local(weights=1e-6, shift=0.0, rounding=1e-4, clipping=0.0)
WEIGHTS = Local(weights=1e-4, shift=0.0, rounding=1e-6, clipping=0.0)
CHANNELS = Channels(count=8, dead=(), coarse=(), per_tensor=False, spread=3.0, typical=40.0, macs=1000)
VALUES = np.random.default_rng(2).uniform(-7, 7, 4000)


def written(values: np.ndarray = VALUES, *, scale: float = 1 / 16, uneven: float = 1.5) -> Written:
    histogram = Histogram.of(values.astype(np.float32))
    return Written("t;1", scale, 0, 1e-3, Saturation(0.3, 0.1), histogram, uneven)


def effect(share: float, local: Local = ROUNDING, tensor: Written | None = None) -> Effect:
    return Effect(0.001, 0.005, 0.01, share, local, tensor or written())


def layers(*shares: float, **last: object) -> list[Layer]:
    """The inputs and convolutions with those shares; the last one with changes."""
    made = [
        Layer(
            number,
            number - 1 if number else None,
            "CONV_2D" if number else INPUT,
            f"l{number}",
            effect(share),
            CHANNELS,
        )
        for number, share in enumerate(shares)
    ]
    return [*made[:-1], replace(made[-1], **last)]  # type: ignore[arg-type]


def facts(made: list[Layer], error: float = 0.02, effort: str = "balanced", samples: int = 20) -> Facts:
    return Facts(made, error, effort, {row: f"photos/{row}.jpg" for row in range(samples)})


def rules(made: list[Layer], error: float = 0.02) -> list[str]:
    return [finding.rule for finding in findings(facts(made, error))]


EVEN = (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2)
ODD = (0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.6)


def test_a_layer_is_blamed_for_a_large_share_of_an_error_that_matters() -> None:
    assert rules(layers(*ODD)) == ["large-share"]
    assert rules(layers(*ODD), error=0.0009) == []
    assert rules(layers(*EVEN), error=0.009) == []
    (finding,) = findings(facts(layers(*ODD)))
    assert finding.title == "l8 (CONV_2D) causes 60 % of the output error"
    assert finding.layers == (8,)
    assert "rise by 6.0 dB to 23.0" in finding.reason


@pytest.mark.parametrize(
    ("local", "tensor", "channels", "reason"),
    [
        (ROUNDING, written(), CHANNELS, "as small as one of its 256 steps"),
        (ROUNDING, written(np.append(VALUES / 10, 7.9)), CHANNELS, "99 % of its values lie within 22 of the 256 steps"),
        (ROUNDING, written(uneven=40.0), CHANNELS, "one of its channels reaches 40 times"),
        (WEIGHTS, written(), CHANNELS, "sensitive to that"),
        (WEIGHTS, written(), replace(CHANNELS, typical=5.0), "half of them have 5 of 127 steps or fewer"),
        (replace(WEIGHTS, shift=9e-5), written(), CHANNELS, "90 % of that is a constant shift"),
        (WEIGHTS, written(), replace(CHANNELS, per_tensor=True, spread=700.0), "differ by a factor of 700"),
        (Local(0.0, 0.0, 1e-6, 1e-4), written(scale=1 / 32), CHANNELS, "its range cuts off 4"),
    ],
)  # fmt: skip
def test_the_reason_names_the_cause(local: Local, tensor: Written, channels: Channels, reason: str) -> None:
    made = layers(*ODD, effect=effect(0.6, local, tensor), channels=channels)
    first = findings(facts(made))[0]
    assert first.rule == "large-share"
    assert reason in first.reason
    assert first.advice


def test_the_advice_names_the_next_effort_where_there_is_one() -> None:
    made = layers(*ODD)
    assert findings(facts(made, effort="fast"))[0].advice.startswith("try --effort balanced, or ")
    assert "--effort fast" not in findings(facts(made))[0].advice


def test_what_comes_behind_the_last_weights_is_cut_off() -> None:
    found = findings(facts(layers(*ODD, opcode="EXP", channels=None)))
    assert [finding.rule for finding in found] == ["large-share", "last-layers"]
    assert found[1].title == "what comes behind l7 (CONV_2D) causes 60 % of the output error"
    assert "--outputs 't;1'" in found[1].advice


def test_a_large_error_of_nobody_in_particular_is_one_finding() -> None:
    (finding,) = findings(facts(layers(*EVEN)))
    assert finding.rule == "no-single-layer"
    assert finding.reason.startswith("the largest shares: l8 20 %, l0 10 %, ")


def test_saturation_counts_where_it_costs_something() -> None:
    narrow = written(scale=1 / 32)
    assert "saturation" in rules(layers(*ODD, effect=effect(0.6, ROUNDING, narrow)))
    assert "saturation" not in rules(layers(*ODD, effect=effect(0.05, ROUNDING, narrow)))
    assert rules(layers(*ODD, effect=effect(0.6, ROUNDING, narrow)), error=1e-4) == []
    said = replace(facts(layers(*ODD, effect=effect(0.6, ROUNDING, narrow))), closers=("SOFTMAX",))
    assert findings(said)[1].title.startswith(
        "what l8 (CONV_2D) writes, which the closing SOFTMAX reads, saturates: "
    )


def test_a_sample_that_set_ranges_alone_is_named_with_its_file() -> None:
    made = layers(*EVEN, lone=LoneSample("t;1", 3, 2.1))
    (finding,) = findings(facts(made))
    assert finding.title == "sample 3 (photos/3.jpg) alone set the range of l8 (CONV_2D)"
    assert "2.1x narrower" in finding.reason
    assert rules(layers(*EVEN[:-1], 0.01, lone=LoneSample("t;1", 3, 2.1))) == ["no-single-layer"]


def test_dead_channels_are_a_note_where_they_cost_something() -> None:
    made = layers(*EVEN, channels=replace(CHANNELS, dead=(1, 2), macs=8000))
    found = findings(facts(made, error=1e-4))
    assert [(finding.rule, finding.minor) for finding in found] == [("dead-channels", True)]
    assert found[0].reason == "they take 2 k of 16 k multiplications"
    assert verdict(40.0, found).startswith("sound: ")
    assert rules(layers(*EVEN, channels=replace(CHANNELS, dead=(1,), macs=800)), error=1e-4) == []
    assert findings(facts(made, error=1e-4, samples=5)) == ()


def test_coarse_channels_are_told_where_weights_cost_most() -> None:
    coarse = replace(CHANNELS, coarse=(4,), per_tensor=True)
    assert "coarse-channels" in rules(layers(*ODD, effect=effect(0.6, WEIGHTS), channels=coarse))
    assert "coarse-channels" not in rules(layers(*ODD, channels=coarse))


def test_verdicts() -> None:
    assert (
        verdict(41.0, ())
        == "sound: int8 follows float closely (output SQNR 41.0 dB), and there is nothing to mend"
    )
    assert verdict(25.0, ()).endswith("none stands out")
    assert verdict(15.0, findings(facts(layers(*ODD)))) == "output SQNR 15.0 dB: 1 thing worth a look"


# ---- channels


def dense(*, per_tensor: bool) -> tuple[Net, Net]:
    """Four units, the second with weights 100 times smaller than the others', the third with none."""
    weights = np.tile(np.array([[1.0], [0.01], [0.0], [0.5]], np.float32), (1, 8))
    op = Op("FULLY_CONNECTED", ("x", "w", None), ("y",), "FullyConnectedOptions")
    exact = Net(
        {"x": T((1, 8), "FLOAT32"), "w": T((4, 8), "FLOAT32", data=weights), "y": T((1, 4), "FLOAT32")},
        (op,), ("x",), ("y",),
    )  # fmt: skip
    scale = [1 / 127] if per_tensor else [1 / 127, 0.01 / 127, 1 / 127, 0.5 / 127]
    stored = np.round(weights / np.array(scale, np.float32)[:, None]).astype(np.int8)
    rough = {
        "x": T((1, 8), scale=0.1), "w": T((4, 8), scale=scale, data=stored), "y": T((1, 4), scale=0.1)
    }  # fmt: skip
    return exact, replace(exact, tensors=rough)


@pytest.mark.parametrize("per_tensor", [True, False])
def test_channels_with_hardly_any_weight_bits_are_found(per_tensor: bool) -> None:
    exact, rough = (read_graph(net.build()) for net in dense(per_tensor=per_tensor))
    means = np.array([[0, 1, 5, 2], [1, 2, 5, 3]], np.float32)
    found = look_at_channels(exact, rough, {"y": means})["y"]
    assert found.coarse == ((1,) if per_tensor else ())
    assert found.dead == (2,)
    assert found.per_tensor is per_tensor
    assert found.spread == pytest.approx(100)
    assert (found.macs, found.dead_macs) == (32, 8)
