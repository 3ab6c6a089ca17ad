"""From figures to advice: pure decisions over the layers of a diagnosis. A sound network gets no finding at all."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgekit.page.figures import counted, millions, percent, three_digits
from edgekit_converters.diagnosis.channels import Channels, dead_macs
from edgekit_converters.diagnosis.lone import LEAST_SAMPLES
from edgekit_converters.diagnosis.record import INPUT, Finding, Layer
from edgekit_converters.diagnosis.score import decibels
from edgekit_converters.quantize.recipe import EFFORTS

SOUND_DB = 30.0
"""An error of a thousandth of the output's power, 3 % of its size, seldom changes an answer: no layer is blamed for it."""

POOR_DB = 20.0
"""An error of a hundredth of the output's power, 10 % of its size, changes answers."""

LARGE_SHARE = 0.3
"""Of the output error: a layer that causes so much is named."""

NOTABLE_SHARE = 0.1
"""Of the output error: from here on a cause in a layer is worth telling."""

LEAST_CLIPPED = 0.01
"""Share of a tensor's float values beyond its range: a hundredth is more than any choice of a range cuts off on purpose."""

FEW_STEPS = 32
"""Of 256: where 99 % of the values share so few, three bits of the eight are spent on the other 1 %."""

UNEVEN = 8.0
"""Times that a channel of a tensor reaches further than the median one: three bits are lost to the others."""

SMALL_WEIGHT = 16
"""Of 127: where half of a layer's int8 weights are smaller, a few large ones set the steps."""

LEAST_SHIFT = 0.5
"""Of the weights' error: from here on it is mostly a shift, which a bias takes back."""

LEAST_DEAD = 0.02
"""Of all multiplications: dead channels that take less are not worth the pruning."""

LEAST_GAIN_DB = 0.5
"""A smaller gain, on a few dozen samples, is chance; `quantize.candidates.MARGIN_DB` is the same."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What findings are made of.

    Attributes:
        layers: All of them, the inputs first.
        error: Relative power of the output error.
        effort: With which the int8 model was made.
        origins: Where each calibration sample that was used comes from, by its number.
        left_out: The samples that were not used, and why.
        closers: Opcodes of the functions that close the network, and that are not among the layers.
    """

    layers: Sequence[Layer]
    error: float
    effort: str
    origins: Mapping[int, str]
    left_out: Sequence[str] = ()
    closers: Sequence[str] = ()

    @property
    def sqnr_db(self) -> float:
        """Of the outputs."""
        return decibels(self.error)

    @property
    def is_sound(self) -> bool:
        """Whether there is no error worth a word."""
        return self.sqnr_db >= SOUND_DB

    def more_effort(self) -> str:
        """The next larger effort as an option with the word "or" behind it; nothing where there is none."""
        known = EFFORTS.index(self.effort) if self.effort in EFFORTS else len(EFFORTS)
        return f"try --effort {EFFORTS[known + 1]}, or " if known + 1 < len(EFFORTS) else ""


def findings(facts: Facts) -> tuple[Finding, ...]:
    """All that is worth a word, the weightiest first."""
    found = [
        *_large_shares(facts),
        *_last_layers(facts),
        *_one_sample_ranges(facts),
        *_saturations(facts),
        *_coarse_channels(facts),
    ]
    if not found:
        found += _no_layer(facts)
    found += [*_left_out(facts), *_dead_channels(facts)]
    return tuple(sorted(found, key=lambda finding: finding.minor))


def verdict(sqnr_db: float, found: Sequence[Finding]) -> str:
    """One sentence on the whole."""
    said = f"output SQNR {sqnr_db:.1f} dB"
    if any(not finding.minor for finding in found):
        count = sum(not finding.minor for finding in found)
        return f"{said}: {counted(count, 'thing')} worth a look"
    if sqnr_db >= SOUND_DB:
        return f"sound: int8 follows float closely ({said}), and there is nothing to mend"
    return f"{said}: the error comes from many layers a little, and none stands out"


def _large_shares(facts: Facts) -> Iterator[Finding]:
    """The layers that cause much of an error that matters."""
    if facts.is_sound:
        return
    least = max(LARGE_SHARE, 2 / len(facts.layers))
    worst = sorted(facts.layers, key=lambda layer: -layer.effect.share)
    for layer in worst[:3]:
        if layer.effect.share >= least:
            what = "rounding the inputs" if layer.opcode == INPUT else layer.title
            reason, advice = _why(facts, layer)
            yield Finding(
                "large-share",
                f"{what} causes {percent(layer.effect.share)} of the output error",
                reason + _gained(facts, layer),
                advice,
                (layer.number,),
            )


def _last_layers(facts: Facts) -> Iterator[Finding]:
    """What comes behind the last weights, if it causes much: such code need not run on int8."""
    last = max((layer.number for layer in facts.layers if layer.channels is not None), default=-1)
    behind = facts.layers[last + 1 :]
    share = sum(layer.effect.share for layer in behind)
    if last < 0 or not behind or facts.is_sound or share < LARGE_SHARE:
        return
    before = facts.layers[last]
    where = before.effect.written.name if before.effect.written else before.name
    names = ", ".join(dict.fromkeys(layer.opcode for layer in behind))
    yield Finding(
        "last-layers",
        f"what comes behind {before.title} causes {percent(share)} of the output error",
        f"{counted(len(behind), 'layer')} without weights: {names}",
        f"cut there with --outputs {shlex.quote(where)}, and compute the rest in float on the device",
        tuple(layer.number for layer in behind),
    )


def _gained(facts: Facts, layer: Layer) -> str:
    gain = decibels(layer.effect.without) - facts.sqnr_db
    if gain < LEAST_GAIN_DB:
        return ""
    return f"; left in float alone, it would let the output's SQNR rise by {gain:.1f} dB to {facts.sqnr_db + gain:.1f}"


def _why(facts: Facts, layer: Layer) -> tuple[str, str]:
    """Reason and advice for a layer that causes much."""
    cause = layer.effect.local.cause
    more = facts.more_effort()
    if cause == "weights" and layer.channels is not None:
        return _weights(layer, layer.channels, more)
    if cause == "clipping":
        return (
            f"its range cuts off {percent(layer.effect.written.clipped if layer.effect.written else 0.0)} of its values",
            f"{more}calibrate with samples that cover what the device will see",
        )
    return _rounding(layer, more)


def _weights(layer: Layer, channels: Channels, more: str) -> tuple[str, str]:
    local = layer.effect.local
    said = "rounding its weights costs most: "
    if channels.per_tensor:
        return (
            f"{said}the largest weights of its channels differ by a factor of {three_digits(channels.spread)}, and all "
            "share one scale",
            "give each channel a scale of its own: leave --per-tensor-weights out",
        )
    if local.shift > LEAST_SHIFT * local.weights:
        return (
            f"{said}{percent(local.shift / local.weights)} of that is a constant shift of its channels",
            f"{more}give more calibration samples: a corrected bias takes such a shift back",
        )
    why = "what reads it is sensitive to that"
    if channels.typical < SMALL_WEIGHT:
        why = f"half of them have {channels.typical:.0f} of 127 steps or fewer, because a few large ones set the steps"
    return said + why, f"{more}train it with weight decay, or with quantization in the loop"


def _rounding(layer: Layer, more: str) -> tuple[str, str]:
    written = layer.effect.written
    steps = 256.0 if written is None else bulk_steps(layer)
    if written is not None and written.uneven >= UNEVEN:
        return (
            f"one of its channels reaches {three_digits(written.uneven)} times as far as half of the others, and one scale "
            "holds for all",
            f"{more}bring its channels to one size in training, with batch normalization for instance",
        )
    if written is not None and steps <= FEW_STEPS:
        return (
            f"99 % of its values lie within {steps:.0f} of the 256 steps, because a few large ones set the range",
            f"{more}keep the values small in training: a ReLU6 in place of a ReLU, or batch normalization before it",
        )
    if layer.opcode == INPUT:
        return (
            "the network is sensitive to changes of its inputs as small as one of 256 steps",
            "check --range, --mean and --std: they shall be those of the training",
        )
    return (
        "what reads it is sensitive to changes as small as one of its 256 steps",
        f"{more}let training see int8 there (quantization-aware training)",
    )


def bulk_steps(layer: Layer) -> float:
    """How many of the 256 steps the middle 99 % of a layer's values take."""
    written = layer.effect.written
    assert written is not None
    low, high = written.histogram.quantile(0.005), written.histogram.quantile(0.995)
    return max((min(high, written.high) - max(low, written.low)) / written.scale, 1.0)


def _one_sample_ranges(facts: Facts) -> Iterator[Finding]:
    """The samples that set ranges alone, each with all tensors whose range it set."""
    samples: dict[int, list[Layer]] = {}
    for layer in facts.layers:
        if layer.lone is not None:
            samples.setdefault(layer.lone.sample, []).append(layer)
    for sample, layers in sorted(samples.items(), key=lambda each: -_share(each[1])):
        worst = max(layers, key=lambda layer: layer.lone.ratio if layer.lone else 0.0)
        assert worst.lone is not None
        ratio = worst.lone.ratio
        if facts.is_sound or (_share(layers) < NOTABLE_SHARE and ratio < 3):
            continue
        also = f", and those of {counted(len(layers) - 1, 'other layer')}" if len(layers) > 1 else ""
        yield Finding(
            "one-sample-range",
            f"sample {sample} ({facts.origins[sample]}) alone set the range of {worst.title}{also}",
            f"without it that range would be {ratio:.1f}x narrower, and as much finer the steps of all other samples",
            "look at it: if the device will not meet the like, take it out; else give more samples like it",
            tuple(layer.number for layer in layers),
        )


def _left_out(facts: Facts) -> Iterator[Finding]:
    """The samples that calibration did not use."""
    count = len(facts.left_out)
    if count:
        more = f", and {count - 1} more" if count > 1 else ""
        yield Finding(
            "left-out",
            f"{counted(count, 'sample')} lay far outside the others and set no range",
            f"{facts.left_out[0]}{more}",
            "look at it: if the device will meet the like, say --keep-outliers and give more samples like it",
            minor=True,
        )


def _share(layers: Sequence[Layer]) -> float:
    return sum(max(layer.effect.share, 0.0) for layer in layers)


def _saturations(facts: Facts) -> Iterator[Finding]:
    """Ranges that are narrower than the values, where it costs something.

    What is only driven to an end by errors of other layers is their fault; and what the next operator cuts off anyway
    (`quantize.ties`) may lie beyond the range at no cost.
    """
    for layer in facts.layers:
        written = layer.effect.written
        if written is None or written.clipped < LEAST_CLIPPED:
            continue
        if facts.is_sound or layer.effect.share < NOTABLE_SHARE:
            continue
        is_read = layer is facts.layers[-1] and facts.closers
        into = f", which the closing {' and '.join(facts.closers)} reads," if is_read else ""
        saturation = written.saturation
        yield Finding(
            "saturation",
            f"what {layer.title} writes{into} saturates: {percent(written.clipped)} of its values lie beyond its range",
            f"{percent(saturation.at_ends)} of the int8 values are at an end of {three_digits(written.low)} to "
            f"{three_digits(written.high)}, and float has a reason for {percent(saturation.explained)}",
            f"{facts.more_effort()}calibrate with samples that cover what the device will see",
            (layer.number,),
        )


def _coarse_channels(facts: Facts) -> Iterator[Finding]:
    """Layers some of whose channels have hardly any weight bits left, where it matters."""
    for layer in facts.layers:
        channels = layer.channels
        if channels is None or not channels.coarse or facts.is_sound:
            continue
        if layer.effect.share < NOTABLE_SHARE or layer.effect.local.cause != "weights":
            continue
        why = (
            "all channels share one scale"
            if channels.per_tensor
            else "a large bias widened their scales (|bias| <= 2^30)"
        )
        advice = (
            "leave --per-tensor-weights out, which gives each channel a scale of its own"
            if channels.per_tensor
            else f"{facts.more_effort()}prune channels with tiny weights before the conversion"
        )
        yield Finding(
            "coarse-channels",
            f"{len(channels.coarse)} of {counted(channels.count, 'channel')} of {layer.title} have less than 4 bits "
            "of weights",
            f"{why}, and the largest weights of channels differ by a factor of {three_digits(channels.spread)}",
            advice,
            (layer.number,),
        )


def _no_layer(facts: Facts) -> Iterator[Finding]:
    """A large error that nobody in particular causes."""
    if facts.sqnr_db >= POOR_DB:
        return
    worst = sorted(facts.layers, key=lambda layer: -layer.effect.share)[:5]
    names = ", ".join(f"{layer.name} {percent(max(layer.effect.share, 0.0))}" for layer in worst)
    yield Finding(
        "no-single-layer",
        f"no single layer causes the output error, and it is large (SQNR {facts.sqnr_db:.1f} dB)",
        f"the largest shares: {names}",
        f"{facts.more_effort()}give more calibration samples, or train with quantization in the loop",
        tuple(layer.number for layer in worst),
    )


def _dead_channels(facts: Facts) -> Iterator[Finding]:
    """Channels that say nothing, if leaving them out would save something."""
    layers = [layer for layer in facts.layers if layer.channels is not None and layer.channels.dead]
    dead, whole = dead_macs([layer.channels for layer in facts.layers if layer.channels is not None])
    if len(facts.origins) < LEAST_SAMPLES or not whole or dead < LEAST_DEAD * whole:
        return
    layers.sort(key=lambda layer: -layer.channels.dead_macs if layer.channels else 0)
    listed = [f"{len(c.dead)} of {c.count} of {layer.name}" for layer in layers[:3] if (c := layer.channels)]
    more = f" and {counted(len(layers) - 3, 'more layer')}" if len(layers) > 3 else ""
    count = sum(len(layer.channels.dead) for layer in layers if layer.channels)
    yield Finding(
        "dead-channels",
        f"{counted(count, 'channel')} never change over all {counted(len(facts.origins), 'sample')}: "
        f"{', '.join(listed)}{more}",
        f"they take {millions(dead)} of {millions(whole)} multiplications",
        "prune them before the conversion, and what they feed shrinks too",
        tuple(layer.number for layer in layers),
        minor=True,
    )
